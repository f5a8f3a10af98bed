// The arguments of the kernels in norm.cu and resample.cu; see params.h.

#pragma once

#include <stdint.h>

namespace mn::cuda {

// ---- norm.cu ----

// What is normalised together: a channel of the batch, the pixel of an image, or a run of an
// image's elements.
enum NormSets { kChannelSets = 0, kPixelSets = 1, kRunSets = 2 };

// Normalisation over sets of values. Element j of set s stands at
//
//     s / inner_sets * outer_step + s % inner_sets * inner_step + j / row * row_step + j % row *
//     step
//
// and has the parameters of channel at / area % channels.
struct NormParams {
    const float* src;
    const float* diff_dst;  // backward
    float* dst;             // backward: diff_src
    const float* weight;    // or null
    const float* bias;
    double* statistics;  // mean and 1 / standard deviation of each set; null where not kept
    float* running_mean;
    float* running_variance;
    float* weight_gradient;  // or null
    float* bias_gradient;    // or null
    int64_t images, channels, area;
    int64_t set_count, set_size;
    int64_t inner_sets, outer_step, inner_step, row, row_step, step;
    double epsilon, momentum;
    int32_t uses_running;
    int32_t moves_running;  // as the forward pass of training does
    int32_t relu;           // fused behind the result
    int32_t accumulate_weight, accumulate_bias;
    int32_t sets;  // NormSets
};

struct LocalResponseParams {
    const float* src;
    const float* diff_dst;
    float* dst;
    int64_t count, channels, area;
    int64_t before, after;  // channels of the window beside the element's own
    float k, beta, factor;  // factor: alpha / size
};

// A block an image.
struct SoftmaxParams {
    const float* src;       // forward
    const float* result;    // backward
    const float* diff_dst;  // backward
    float* dst;
    int64_t features;
    int32_t logarithm;
};

struct DropoutParams {
    const float* src;
    float* dst;
    int64_t count;
    int64_t unit_size;    // elements that are dropped together
    const uint32_t* key;  // two words
    uint32_t layer, purpose;
    float probability, scale;
};

// ---- resample.cu ----

// One source element and its share of a result.
struct ResampleEntry {
    int32_t from;
    float share;
};

// Result row h is made of the entries row_starts[h] to row_starts[h + 1] - 1 of `rows`; columns
// likewise.
struct ResampleParams {
    const float* src;
    float* dst;
    const int32_t* row_starts;
    const int32_t* column_starts;
    const ResampleEntry* rows;
    const ResampleEntry* columns;
    int64_t planes;
    int32_t src_h, src_w, dst_h, dst_w;
};

struct AdaptiveMaxParams {
    const float* src;
    const float* diff_dst;
    float* dst;
    int32_t* taken;  // which element of the source's plane each result is; or null
    int64_t planes;
    int32_t src_h, src_w, dst_h, dst_w;
};

// Values go to where the largest element of their window in an image is.
struct UnpoolParams {
    const float* values;    // forward
    const float* diff_dst;  // backward
    const float* image;
    float* dst;
    int64_t planes;
    int32_t value_h, value_w, image_h, image_w;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
};

struct EmbeddingParams {
    const float* indices;
    const float* weight;    // forward
    const float* diff_dst;  // backward
    float* dst;             // backward: the gradient of the weight
    int64_t images, length, features, rows;
    int32_t accumulate;
};

}  // namespace mn::cuda
