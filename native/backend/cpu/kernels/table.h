// What the kernels of one instruction set offer: a table of function pointers, and the plain
// structs that they take. The tables are constant-initialised; the device picks one.
//
// A kernel is a function of a task number: tasks of one call write disjoint memory, and what a task
// computes does not depend on which worker runs it. Images are NHWC without borders, weights are in
// panels of 16 outputs (backend.h).
//
// Nothing here may have a constructor or an inline function: this header is read by files that
// are compiled for instruction sets that the running processor may not have.

#pragma once

#include <stdint.h>

namespace mn::cpu {

// A pooling of ih x iw images with `channels` channels.
struct PoolShape {
    int64_t ih, iw, oh, ow, channels;
    int64_t kh, kw, sh, sw, ph, pw;
    int64_t count_include_pad;
};

// A convolution, with what is fused behind it.
struct ConvShape {
    int64_t ih, iw, ic;  // source
    int64_t oh, ow, oc;  // result before pooling
    int64_t kh, kw, sh, sw, pt, pl, dh, dw, groups;
    int64_t relu;
    int64_t has_pool;
    PoolShape pool;  // its ih, iw, channels are oh, ow, oc
};

struct ConvForward {
    ConvShape shape;
    const float* src;
    const float* weights;
    const float* bias;  // null: none
    float* dst;
    int64_t stream;       // products, depthwise: 1: dst is written past the caches
    uint8_t* saved;       // null at inference; which element of its window won, one a result
    int64_t saved_image;  // bytes from one image's `saved` to the next
    // task = (image * row_tasks + strip of rows) * column_tasks + block of output channels
    int64_t row_tasks, rows_per_task;  // rows of dst
    int64_t column_tasks, columns_per_task;
    const int64_t* taps;  // offsets into the source (strip)
    int64_t tap_count, inner;
    int64_t in_place;      // 1: the source needs no zero border and is read where it stands
    int64_t src_pixel;     // products: floats from a pixel of the source (strip) to the next
    int64_t strip_floats;  // part of the scratch for the strip with its border
    int64_t not_finite;    // products, image: 1: some of the weights are not finite
};

// 3 x 3 convolutions with stride 1 as Winograd's F(tile x tile, 3 x 3): the image falls into tiles
// of 2 x 2 or 4 x 4 results. Used for the forward pass and, on the gradient, for the gradient by
// the source.
struct WinogradShape {
    int64_t tile;
    int64_t channels, padded;  // of what is read; padded to whole vectors of any set
    int64_t out_channels;
    int64_t tile_rows, tile_columns;  // of the whole image
    // Parts of the scratch, in floats: strip with border | transformed | products
    int64_t strip_floats, transformed_stride, product_stride;
    // task = (image * row_tasks + strip of tile rows) * column_tasks + block of output channels
    int64_t row_tasks, rows_per_task, column_tasks, columns_per_task;
};

// The gradient by the weights: task = (chunk of images * in_blocks + block of inputs) * out_blocks
// + block of outputs. Chunks hold sums like the packed filters.
struct WinogradSums {
    int64_t tile_rows, tile_columns;
    int64_t block, in_blocks, out_blocks;  // channels of a block, a multiple of 16
    int64_t tiles;                         // at least tile_columns: most that are gathered
    // Floats from one of the 16 to the next in the scratch, which holds 4 rows of the source and 2
    // rows of the gradient with `block` channels, then sources and gradients transformed.
    int64_t stride;
};

// How many products one float adds up, and how many such sums another, which then moves to a double
// (sums.h).
constexpr int64_t kProductTerms = 128, kProductParts = 64;

// Input pixels (y + i * sh, x + j * sw): they share the taps that reach them.
struct ConvPhase {
    int64_t y, x;
    int64_t tap_count, first_tap;  // offsets into the gradient strip: ConvBackward::taps
    int64_t weights;               // offset of its packed weights [ic / 16][taps][oc / groups][16]
};

struct ConvBackward {
    ConvShape shape;
    const float* src;
    const float* dst;
    const float* diff_dst;
    const uint8_t* saved;
    int64_t saved_image;
    // gradient by the source: task = image * row_tasks + strip of rows
    float* diff_src;
    int64_t stream;  // products, depthwise: 1: diff_src is written past the caches
    const float* packed;
    const float* weights;  // depthwise: as they are stored
    const ConvPhase* phases;
    const int64_t* taps;
    int64_t phase_count, row_tasks, rows_per_task;
    int64_t first_column, strip_width;  // of the gradient strip with its border
    int64_t diff_dst_pixel;             // products: floats from a pixel of it to the next
    // gradient by the weights: task = chunk of images * column_tasks + block of output channels
    int64_t count, images_per_chunk, column_tasks, columns_per_task, rows_per_strip;
    const int64_t* row_taps;  // where in the source strip each row of the result reads
    float* chunk_weights;
    double* chunk_sums;  // null where chunk_weights take at most kProductParts sums; laid out alike
    double* chunk_bias;  // null: no bias
    int64_t chunk_weights_stride, chunk_bias_stride;
    int64_t in_place, strip_floats;  // in_place, by the source: the gradient needs no copy
    int64_t not_finite;  // by the source, products and sparse: 1: some of the weights are not
};

struct PoolRun {
    PoolShape shape;
    const float* src;
    float* dst;
    uint8_t* saved;
    int64_t saved_image;
    const float* diff_dst;
    float* diff_src;
};

// dst[rows][columns] = src[rows][depth] * weights + bias
struct LinearForward {
    const float* src;
    const float* weights;
    const float* bias;
    float* dst;
    int64_t rows, depth, columns, relu;
    // task = block of columns * row_tasks + block of rows
    int64_t row_tasks, rows_per_task, columns_per_task;
};

struct LinearBackward {
    const float* src;
    const float* weights;
    const float* dst;
    const float* diff_dst;
    float* diff_src;
    float* diff_weights;
    float* diff_bias;
    float* by_row;        // masked gradient [rows][columns rounded up to 16]
    float* by_column;     // and transposed, [rows / 16][columns][16]
    const int64_t* taps;  // i -> i * depth * 16: the panels of the weights
    int64_t rows, depth, columns, relu, accumulate, accumulate_bias;
    int64_t depth_per_task;
};

// A pass of a batch normalisation over the channels [first_channel, last_channel), whole panels, of
// the pixels [first_pixel, last_pixel) of the batch. The forward pass is
//     dst = (src - mean) * factor + shift
// with one of each a channel, perhaps followed by a ReLU; g is the gradient that the ReLU lets
// pass.
struct BatchNormPass {
    int64_t channels;
    int64_t first_pixel, last_pixel, first_channel, last_channel;
    int64_t relu;
    const float *mean, *factor, *shift;
    const float *slope, *diff_shift;  // diff_src = factor * g + slope * (src - mean) + diff_shift
    const float* src;
    float* dst;
    const float* diff_dst;
    float* diff_src;
    int64_t stream;                  // 1: what is written goes past the caches
    double *first_sum, *second_sum;  // of x and x^2, or of g and g (x - mean), by channel
};

// dst = src * factor, 0 for the elements that are dropped and `scale` for the others; backward
// alike. Elements are counted by image, channel and pixel. One channel: task = kDropoutElements of
// all `pixels`; else NHWC, task = image * panels of channels + panel.
constexpr int64_t kDropoutElements = 4096;

struct DropoutRun {
    uint32_t key[2], counter[2];  // of Philox; the upper half of the counter
    float probability, scale;
    int64_t channels, pixels;
    const float* src;
    float* dst;
};

struct ActivationRun {
    int64_t kind;            // mn_activation_kind
    float alpha, threshold;  // mn_activation_desc
    const float* value;      // the source; backward: source or result, as the reference's uses_dst
    const float* diff_dst;   // null: forward
    float* result;           // dst or diff_src
    int64_t count;
};

struct LoadRun {
    const void* images;
    const int32_t* indices;    // null: contiguous
    int64_t is_byte, is_copy;  // is_copy: floats that need no change at all
    int64_t channels, pixels;
    const float* scale;  // a channel each: dst = x * scale + shift
    const float* shift;
    float* dst;
};

// The class scores of one image.
struct ClassScores {
    const float* scores;
    int64_t classes, target;
    // Results.
    float* exponentials;  // of score - largest; null: not wanted
    double sum;           // of the exponentials; a NaN if a score is one
    float largest;
    int64_t leads;  // 1: no score is a NaN, and the target is the first of the largest
};

// One step of an optimizer on one parameter; the formulas are in optimizers.cpp.
struct UpdateStep {
    int64_t kind;                         // mn_optimizer_kind
    float scale, clip_value, clip_scale;  // of the gradient: g = clip_scale cut(scale g); 0: no cut
    float weight_decay, learning_rate;
    float momentum, undamped;      // SGD, RMSprop; undamped = 1 - dampening
    int64_t first, nesterov;       // SGD: the first step fills the momentum buffer
    float share1, decay2, share2;  // 1 - beta1; beta2 and 1 - beta2, RMSprop: alpha, 1 - alpha
    float step_size, root_scale, epsilon;  // Adam: lr / (1 - beta1^t), 1 / sqrt(1 - beta2^t)
};

// The storage that a step changes; moments that the optimizer does not have are null.
struct UpdateRange {
    float* value;
    const float* gradient;
    float* moment1;
    float* moment2;
    float* moment3;
    int64_t count;
};

struct KernelTable {
    const char* name;  // "base", "avx2", "avx512", "neon"

    void (*f32_conv2d_gemm_forward)(const ConvForward&, int64_t task, float* scratch);
    void (*f32_conv2d_gemm_diff_src)(const ConvBackward&, int64_t task, float* scratch);
    void (*f32_conv2d_gemm_diff_weights)(const ConvBackward&, int64_t task, float* scratch);
    // packed[t][k][16 of i] = weights of output k of [o / 16][all taps][i][16], tap taps[t]; for
    // panel `panel` of the inputs of one group.
    void (*f32_conv2d_gemm_pack)(const ConvShape&, const float* weights, const int64_t* taps,
                                 int64_t tap_count, int64_t panel, float* packed);

    // Each channel with a filter of its own. Nothing has a border: taps and strips are not used.
    // Scratch, for all channels rounded up to 16: results before pooling; backward, their gradient,
    // where an activation or a pooling follows.
    void (*f32_conv2d_depthwise_forward)(const ConvForward&, int64_t task, float* scratch);
    void (*f32_conv2d_depthwise_diff_src)(const ConvBackward&, int64_t task, float* scratch);
    void (*f32_conv2d_depthwise_diff_weights)(const ConvBackward&, int64_t chunk, float* scratch);
    // packed[(tile + 2)^2 of the transform][o / 16][i][16], with one more panel after each element
    // of the transform; of one panel of outputs. transposed: o and i are swapped and the filter is
    // turned, for the gradient by the source.
    void (*f32_conv2d_winograd_pack)(const ConvShape&, int64_t tile, const float* weights,
                                     int64_t transposed, int64_t panel, float* packed);
    void (*f32_conv2d_winograd_forward)(const ConvForward&, const WinogradShape&,
                                        const float* packed, int64_t task, float* scratch);
    void (*f32_conv2d_winograd_diff_src)(const ConvBackward&, const WinogradShape&, int64_t task,
                                         float* scratch);
    void (*f32_conv2d_winograd_diff_weights)(const ConvBackward&, const WinogradSums&, int64_t task,
                                             float* scratch);
    // Adds up the chunks of a panel of output channels, into or onto the stored layout.
    void (*f32_conv2d_winograd_sum_filters)(const ConvBackward&, int64_t chunks, int64_t panel,
                                            float* diff_weights, int64_t accumulate);

    // Behind a max pooling: rows_per_strip are rows of windows; the scratch holds the source strip,
    // then (from strip_floats on) 34 floats a window of it; a block has 32 channels. Chunks hold
    // filters as
    // [o][pieces][floats of a piece rounded up to 16], where pieces are the parts of a filter that
    // lie together in the source: rows, or pixels with dilation.
    void (*f32_conv2d_sparse_diff_weights)(const ConvBackward&, int64_t task, float* scratch);
    void (*f32_conv2d_sparse_sum_filters)(const ConvBackward&, int64_t chunks, int64_t panel,
                                          float* diff_weights, int64_t accumulate);
    // 3 x 3 kernels and 2 x 2 windows; scratch: 16 floats a pixel of the strip, then 8 floats a
    // window and 64 channels.
    void (*f32_conv2d_sparse_diff_src)(const ConvBackward&, int64_t task, float* scratch);
    // Of 16 input channels.
    void (*f32_conv2d_sparse_pack)(const ConvShape&, const float* weights, int64_t panel,
                                   float* packed);

    // One input channel, 3 x 3, whole 2 x 2 windows, whole panels of output channels.
    void (*f32_conv2d_image_forward)(const ConvForward&, int64_t task, float* scratch);
    void (*f32_conv2d_image_diff_weights)(const ConvBackward&, int64_t chunk, float* scratch);

    void (*f32_max_pool_forward)(const PoolRun&, int64_t image);
    void (*f32_max_pool_backward)(const PoolRun&, int64_t image);
    void (*f32_avg_pool_forward)(const PoolRun&, int64_t image);
    void (*f32_avg_pool_backward)(const PoolRun&, int64_t image);

    void (*f32_linear_forward)(const LinearForward&, int64_t task);
    // Fills by_row and by_column for rows 16 * task to 16 * task + 15.
    void (*f32_linear_prepare)(const LinearBackward&, int64_t task);
    void (*f32_linear_diff_src)(const LinearBackward&, int64_t task, float* scratch);
    void (*f32_linear_diff_weights)(const LinearBackward&, int64_t task);
    void (*f32_linear_diff_bias)(const LinearBackward&);

    void (*f32_batch_norm_sum_sources)(const BatchNormPass&);
    void (*f32_batch_norm_scale)(const BatchNormPass&);
    void (*f32_batch_norm_sum_gradients)(const BatchNormPass&);
    void (*f32_batch_norm_diff_src)(const BatchNormPass&);

    // Adds up the chunks of one tap of a panel of outputs, task = panel * taps + tap, into or onto
    // the layout that they share with the weights; sums that are not finite are made directly.
    void (*f32_conv2d_sum_filters)(const ConvBackward&, int64_t chunks, int64_t task,
                                   float* diff_weights, int64_t accumulate);
    int64_t (*f32_is_finite)(const float* values, int64_t count);  // all of them: 1

    void (*f32_activation)(const ActivationRun&);
    // dst (+)= sum of `chunks` arrays that lie `stride` apart, in their order.
    void (*f32_sum_chunks)(const float* chunks, int64_t chunk_count, int64_t stride, float* dst,
                           int64_t count, int64_t accumulate);
    void (*f32_dropout)(const DropoutRun&, int64_t task);
    void (*load_image)(const LoadRun&, int64_t image);
    void (*f32_update)(const UpdateStep&, const UpdateRange&);
    // The sum of squares of cut(scale g), cut to +- clip_value if that is above 0.
    double (*f32_sum_of_squares)(const float* g, int64_t count, float scale, float clip_value);
    // g = factor g; returns the sum of x g before that.
    double (*f32_scale_product)(const float* x, float* g, int64_t count, float factor);
    // g = factor * 2 (x - g); returns the sum of (x - g)^2.
    double (*f32_squared_error)(const float* x, float* g, int64_t count, float factor);
    void (*f32_class_scores)(ClassScores&);
    // values = scale values - share weights, all weights 1 if null.
    void (*f32_class_gradients)(float* values, int64_t classes, float scale, float share,
                                const float* weights);
    // Multiply-adds from registers; returns how many operations they were, each counted as two.
    double (*f32_multiply_adds)(int64_t iterations, float* sink);
};

namespace base {
extern const KernelTable table;
}
namespace avx2 {
extern const KernelTable table;
}
namespace avx512 {
extern const KernelTable table;
}
namespace neon {
extern const KernelTable table;
}

}  // namespace mn::cpu
