// Padding, enlargement, pooling to a given size, max unpooling and embedding. Backward passes ask
// for each element of a gradient what goes into it, so that every sum has one fixed order.

#include "backend/cuda/kernels/kernel.h"
#include "backend/cuda/kernels/norm_params.h"

using namespace mn::cuda;

// Every element is a mix of rows times a mix of columns.
MN_KERNEL(mn_resample, ResampleParams, MN_NO_BARRIERS) {
    const int64_t area = static_cast<int64_t>(p.dst_h) * p.dst_w;
    for (int64_t i = MN_FIRST; i < p.planes * area; i += MN_STRIDE) {
        const int32_t h = static_cast<int32_t>(i % area / p.dst_w);
        const int32_t w = static_cast<int32_t>(i % p.dst_w);
        const float* src = p.src + i / area * p.src_h * p.src_w;
        double sum = 0;
        for (int32_t r = p.row_starts[h]; r < p.row_starts[h + 1]; r++)
            for (int32_t c = p.column_starts[w]; c < p.column_starts[w + 1]; c++)
                sum += static_cast<double>(p.rows[r].share) * p.columns[c].share *
                       src[static_cast<int64_t>(p.rows[r].from) * p.src_w + p.columns[c].from];
        p.dst[i] = static_cast<float>(sum);
    }
}

// The first of equals, or a NaN.
MN_KERNEL(mn_adaptive_max_forward, AdaptiveMaxParams, MN_NO_BARRIERS) {
    const int64_t area = static_cast<int64_t>(p.dst_h) * p.dst_w;
    for (int64_t i = MN_FIRST; i < p.planes * area; i += MN_STRIDE) {
        const int64_t h = i % area / p.dst_w, w = i % p.dst_w;
        const float* src = p.src + i / area * p.src_h * p.src_w;
        const int64_t bottom = ((h + 1) * p.src_h + p.dst_h - 1) / p.dst_h;
        const int64_t right = ((w + 1) * p.src_w + p.dst_w - 1) / p.dst_w;
        int32_t taken = -1;
        float best = 0;
        for (int64_t y = h * p.src_h / p.dst_h; y < bottom; y++)
            for (int64_t x = w * p.src_w / p.dst_w; x < right; x++) {
                const int32_t at = static_cast<int32_t>(y * p.src_w + x);
                if (taken >= 0 && !(src[at] > best) && src[at] == src[at]) continue;
                best = src[at];
                taken = at;
            }
        p.dst[i] = best;
        if (p.taken) p.taken[i] = taken;
    }
}

MN_KERNEL(mn_adaptive_max_backward, AdaptiveMaxParams, MN_NO_BARRIERS) {
    const int64_t area = static_cast<int64_t>(p.src_h) * p.src_w;
    for (int64_t i = MN_FIRST; i < p.planes * area; i += MN_STRIDE) {
        const int64_t plane = i / area * p.dst_h * p.dst_w, at = i % area;
        const int64_t y = at / p.src_w, x = at % p.src_w;
        const int64_t last_h = ((y + 1) * p.dst_h - 1) / p.src_h;
        const int64_t last_w = ((x + 1) * p.dst_w - 1) / p.src_w;
        double sum = 0;
        for (int64_t h = y * p.dst_h / p.src_h; h <= last_h; h++)
            for (int64_t w = x * p.dst_w / p.src_w; w <= last_w; w++)
                if (p.taken[plane + h * p.dst_w + w] == at)
                    sum += p.diff_dst[plane + h * p.dst_w + w];
        p.dst[i] = static_cast<float>(sum);
    }
}

namespace {

// Where the largest element of a window is in its plane of the image; -1: nowhere. The first of
// equals, and a NaN is larger than all before it.
__device__ __forceinline__ int64_t largest_of_window(const UnpoolParams& p, const float* image,
                                                     int32_t oh, int32_t ow) {
    int64_t best_at = -1;
    float best = 0;
    for (int32_t kh = 0; kh < p.kernel_h; kh++) {
        const int32_t h = oh * p.stride_h - p.pad_h + kh * p.dilation_h;
        if (h < 0 || h >= p.image_h) continue;
        for (int32_t kw = 0; kw < p.kernel_w; kw++) {
            const int32_t w = ow * p.stride_w - p.pad_w + kw * p.dilation_w;
            if (w < 0 || w >= p.image_w) continue;
            const int64_t at = static_cast<int64_t>(h) * p.image_w + w;
            if (best_at >= 0 && !(image[at] > best) && image[at] == image[at]) continue;
            best = image[at];
            best_at = at;
        }
    }
    return best_at;
}

}  // namespace

// Where several windows share a maximum the last one's value stays.
MN_KERNEL(mn_unpool_forward, UnpoolParams, MN_NO_BARRIERS) {
    const int64_t area = static_cast<int64_t>(p.image_h) * p.image_w;
    for (int64_t i = MN_FIRST; i < p.planes * area; i += MN_STRIDE) {
        const int64_t at = i % area;
        const float* image = p.image + (i - at);
        const float* values = p.values + i / area * p.value_h * p.value_w;
        float value = 0;
        for (int32_t oh = 0; oh < p.value_h; oh++) {
            const int32_t h = static_cast<int32_t>(at / p.image_w) + p.pad_h - oh * p.stride_h;
            if (h < 0 || h > (p.kernel_h - 1) * p.dilation_h) continue;
            for (int32_t ow = 0; ow < p.value_w; ow++) {
                const int32_t w = static_cast<int32_t>(at % p.image_w) + p.pad_w - ow * p.stride_w;
                if (w < 0 || w > (p.kernel_w - 1) * p.dilation_w) continue;
                if (largest_of_window(p, image, oh, ow) == at)
                    value = values[static_cast<int64_t>(oh) * p.value_w + ow];
            }
        }
        p.dst[i] = value;
    }
}

MN_KERNEL(mn_unpool_backward, UnpoolParams, MN_NO_BARRIERS) {
    const int64_t area = static_cast<int64_t>(p.value_h) * p.value_w;
    for (int64_t i = MN_FIRST; i < p.planes * area; i += MN_STRIDE) {
        const int64_t plane = i / area * p.image_h * p.image_w;
        const int64_t at =
            largest_of_window(p, p.image + plane, static_cast<int32_t>(i % area / p.value_w),
                              static_cast<int32_t>(i % p.value_w));
        p.dst[i] = at < 0 ? 0.0f : p.diff_dst[plane + at];
    }
}

MN_KERNEL(mn_embedding_forward, EmbeddingParams, MN_NO_BARRIERS) {
    const int64_t size = p.features * p.length;
    for (int64_t i = MN_FIRST; i < p.images * size; i += MN_STRIDE) {
        const int64_t image = i / size, d = i % size / p.length, l = i % p.length;
        const int64_t row = static_cast<int64_t>(p.indices[image * p.length + l]);
        p.dst[i] = p.weight[row * p.features + d];
    }
}

MN_KERNEL(mn_embedding_backward, EmbeddingParams, MN_NO_BARRIERS) {
    for (int64_t i = MN_FIRST; i < p.rows * p.features; i += MN_STRIDE) {
        const float row = static_cast<float>(i / p.features);
        const int64_t d = i % p.features;
        LongSum sum;
        for (int64_t image = 0; image < p.images; image++)
            for (int64_t l = 0; l < p.length; l++)
                if (p.indices[image * p.length + l] == row)
                    sum.add(p.diff_dst[(image * p.features + d) * p.length + l]);
        p.dst[i] = (p.accumulate ? p.dst[i] : 0.0f) + static_cast<float>(sum.total());
    }
}
