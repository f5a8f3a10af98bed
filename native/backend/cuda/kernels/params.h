// The arguments of every kernel: plain data of fixed widths, the same for the host's compiler, for
// nvcc and for the tests' host build. Values are dense N x C x H x W; counts are elements unless
// said otherwise.

#pragma once

#include <stdint.h>

namespace mn::cuda {

// Threads of every block.
constexpr int kBlockThreads = 256;

// ---- elementwise.cu ----

struct SumParams {
    const float* a;
    const float* b;
    float* dst;
    int64_t count;
};

struct ActivationParams {
    const float* src;       // backward: the source or the result, whichever the formula takes
    const float* diff_dst;  // backward
    float* dst;             // backward: diff_src
    int64_t count;
    int32_t kind;  // mn_activation_kind
    float alpha, threshold;
};

// dst = act(src + bias of the channel). dst may be src.
struct BiasParams {
    const float* src;
    const float* bias;  // or null
    float* dst;
    int64_t count, channels, area;
    int32_t relu;
};

// dst = diff_dst where the ReLU with the result `result` let pass, else 0.
struct ReluMaskParams {
    const float* result;
    const float* diff_dst;
    float* dst;
    int64_t count;
};

// gradient[c] (+)= sum over images and pixels of diff_dst, times src if there is one. A block a
// channel.
struct ChannelSumParams {
    const float* diff_dst;
    const float* src;  // or null
    float* gradient;
    int64_t images, channels, area;
    int32_t accumulate;
};

// ---- load.cu ----

// Reads images, normalises. A block row an image.
struct LoadParams {
    const void* images;
    const int32_t* indices;  // or null
    const float* mean;       // of each channel, or null
    const float* std;
    float* dst;
    int64_t images_count, channels, area;
    int32_t is_byte;
};

// ---- structure.cu ----

struct BinaryParams {
    const float* a;
    const float* b;
    const float* diff_dst;  // backward
    float* dst;             // backward: the gradient of a or of b
    int64_t count;
    int64_t b_area;  // pixels of a for one value of b, 1 if the shapes are equal
    int32_t kind;    // mn_binary_kind
    int32_t second;  // backward: 1 for b's gradient
};

// dst[n][dst_first + i] = src[n][src_first + i] for i < features.
struct CopyPartParams {
    const float* src;
    float* dst;
    int64_t images, features;
    int64_t src_features, src_first, dst_features, dst_first;
};

// dst[c % each * groups + c / each] = src[c] of each image, areas whole; `each` = channels / groups
struct ShuffleParams {
    const float* src;
    float* dst;
    int64_t count, channels, area, groups;
};

struct ScaleParams {
    const float* src;
    const float* factor;  // one a channel
    float* dst;
    int64_t count, channels, area;
};

// ---- pool.cu ----

struct PoolParams {
    const float* src;       // forward
    const float* diff_dst;  // backward
    float* dst;             // backward: diff_src
    void* argmax;           // max pooling; bytes if small, else int32
    const float* result;    // backward through a ReLU: its pooled result, else null
    const float* bias;      // forward of a fused convolution, or null
    int64_t planes;         // images x channels
    int64_t channels;
    int32_t src_h, src_w, dst_h, dst_w;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    int32_t count_include_pad;
    int32_t small;  // windows of at most 255 elements
    int32_t relu;
};

// ---- conv.cu ----

// The windows of a convolution, over an image of `channels` and pixels of its result. For a
// transposed convolution image and result change places.
struct WindowParams {
    const float* src;
    float* dst;
    int64_t images, channels;
    int32_t image_h, image_w, pixel_h, pixel_w;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
};

// Convolution of groups by direct sums. Weights: pixel_channels x image_channels / groups x kh x
// kw.
struct GroupedParams {
    const float* image;
    const float* pixels;
    const float* weights;
    float* dst;
    int64_t images, image_channels, pixel_channels, groups;
    int32_t image_h, image_w, pixel_h, pixel_w;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
    int32_t accumulate;
};

// gradient (+)= sum of the parts, in order.
struct ReducePartsParams {
    const float* parts;
    float* gradient;
    int64_t count, part_count;
    int32_t accumulate;
};

// ---- loss.cu ----

struct LossRow {
    double loss, weight;
    int64_t correct;
};

// A block an image.
struct LabelLossParams {
    const float* src;
    float* diff_src;  // or null
    const int32_t* labels;
    const int32_t* indices;      // into the labels, or null
    const float* class_weights;  // or null
    LossRow* rows;
    int64_t images, classes;
    const double* factor;  // of the gradient
    double smoothing, weight_sum;
    int32_t nll, ignores, ignore_index;
};

// Losses by targets and by given gradients. A block an image.
struct TargetLossParams {
    const float* src;
    float* diff_src;  // or null
    const float* targets;
    LossRow* rows;
    int64_t images, features;
    const double* factor;  // of the gradient
    double delta;
    int32_t kind;  // mn_loss_kind
};

struct LossTotalParams {
    const LossRow* rows;
    void* result;  // mnb_loss_result
    int64_t images;
    double denominator;  // or negative: the sum of the weights
};

// ---- optimizer.cu ----

struct UpdateItem {
    float* value;
    const float* gradient;
    float* moment1;
    float* moment2;
    float* moment3;
    int64_t count;
    float learning_rate, step_size, weight_decay;
    float root_scale;  // Adam: 1 / sqrt(1 - beta2^t)
    int32_t first, unused;
};

// A block a chunk of a parameter. One launch updates them all.
struct UpdateParams {
    const UpdateItem* items;
    const int64_t* first_chunk;  // of each item, and the number of all at the end
    const double* square_sum;    // of all gradients, for clipping by norm; or null
    double clip_norm;
    int32_t item_count, kind, nesterov;
    float scale, clip_value, epsilon, momentum, undamped;
    float share1, decay2, share2;
};

// A block a chunk: sums of squares of scaled and cut gradients.
struct SquareSumParams {
    const UpdateItem* items;
    const int64_t* first_chunk;
    double* parts;
    int32_t item_count;
    float scale, clip_value;
};

struct TotalParams {
    const double* parts;
    double* total;
    int64_t count;
};

constexpr int64_t kUpdateChunk = 4096;

}  // namespace mn::cuda
