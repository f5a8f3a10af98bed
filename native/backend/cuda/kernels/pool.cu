// Pooling, with PyTorch's rules for padding, divisors, equals and NaNs. Backward passes ask for
// each element of the source which windows took it, so that every sum has one fixed order.

#include "backend/cuda/kernels/kernel.h"

using namespace mn::cuda;

namespace {

__device__ __forceinline__ int32_t winner(const PoolParams& p, int64_t i) {
    if (!p.small) return static_cast<const int32_t*>(p.argmax)[i];
    const int32_t element = static_cast<const uint8_t*>(p.argmax)[i];
    return element == 255 ? -1 : element;
}

// The first window that can hold the element at `place`, whose last one is place / stride.
__device__ __forceinline__ int32_t first_window(int32_t place, int32_t reach, int32_t stride) {
    const int32_t before = place - reach;
    return before < 0 ? 0 : before / stride + 1;
}

__device__ __forceinline__ int32_t smaller(int32_t a, int32_t b) {
    return a < b ? a : b;
}

__device__ __forceinline__ int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

}  // namespace

// With a bias and a ReLU before it where a convolution is fused with it.
MN_KERNEL(mn_max_pool_forward, PoolParams, MN_NO_BARRIERS) {
    const int64_t area = static_cast<int64_t>(p.dst_h) * p.dst_w;
    for (int64_t i = MN_FIRST; i < p.planes * area; i += MN_STRIDE) {
        const int64_t plane = i / area;
        const int32_t oh = static_cast<int32_t>(i % area / p.dst_w);
        const int32_t ow = static_cast<int32_t>(i % p.dst_w);
        const float* src = p.src + plane * p.src_h * p.src_w;
        const float bias = p.bias ? p.bias[plane % p.channels] : 0.0f;
        float best = -INFINITY;
        int32_t element = -1;
        for (int32_t kh = 0; kh < p.kernel_h; kh++) {
            const int32_t h = oh * p.stride_h - p.pad_h + kh * p.dilation_h;
            if (h < 0 || h >= p.src_h) continue;
            for (int32_t kw = 0; kw < p.kernel_w; kw++) {
                const int32_t w = ow * p.stride_w - p.pad_w + kw * p.dilation_w;
                if (w < 0 || w >= p.src_w) continue;
                float x = src[static_cast<int64_t>(h) * p.src_w + w];
                if (p.bias) x += bias;
                if (p.relu && x < 0.0f) x = 0.0f;
                if (element < 0 || x > best || x != x) {
                    best = x;
                    element = kh * p.kernel_w + kw;
                }
            }
        }
        p.dst[i] = best;
        if (!p.argmax) continue;
        if (p.small)
            static_cast<uint8_t*>(p.argmax)[i] = static_cast<uint8_t>(element);
        else
            static_cast<int32_t*>(p.argmax)[i] = element;
    }
}

MN_KERNEL(mn_max_pool_backward, PoolParams, MN_NO_BARRIERS) {
    const int64_t area = static_cast<int64_t>(p.src_h) * p.src_w;
    const int32_t reach_h = (p.kernel_h - 1) * p.dilation_h + 1;
    const int32_t reach_w = (p.kernel_w - 1) * p.dilation_w + 1;
    for (int64_t i = MN_FIRST; i < p.planes * area; i += MN_STRIDE) {
        const int64_t plane = i / area * p.dst_h * p.dst_w;
        const int32_t h = static_cast<int32_t>(i % area / p.src_w) + p.pad_h;
        const int32_t w = static_cast<int32_t>(i % p.src_w) + p.pad_w;
        const int32_t last_h = smaller(h / p.stride_h, p.dst_h - 1);
        const int32_t last_w = smaller(w / p.stride_w, p.dst_w - 1);
        double sum = 0;
        for (int32_t oh = first_window(h, reach_h, p.stride_h); oh <= last_h; oh++)
            for (int32_t ow = first_window(w, reach_w, p.stride_w); ow <= last_w; ow++) {
                const int64_t at = plane + static_cast<int64_t>(oh) * p.dst_w + ow;
                const int32_t element = winner(p, at);
                if (element < 0) continue;
                if (oh * p.stride_h + element / p.kernel_w * p.dilation_h != h) continue;
                if (ow * p.stride_w + element % p.kernel_w * p.dilation_w != w) continue;
                if (p.result && p.result[at] <= 0.0f) continue;
                sum += p.diff_dst[at];
            }
        p.dst[i] = static_cast<float>(sum);
    }
}

namespace {

// The part of an average's window in the image, and what its sum is divided by: the window may
// reach into the padding, which counts if the node says so, but not beyond it.
struct Window {
    int32_t top, bottom, left, right;
    double divisor;

    __device__ __forceinline__ Window(const PoolParams& p, int32_t oh, int32_t ow) {
        top = oh * p.stride_h - p.pad_h;
        left = ow * p.stride_w - p.pad_w;
        bottom = smaller(top + p.kernel_h, p.src_h + p.pad_h);
        right = smaller(left + p.kernel_w, p.src_w + p.pad_w);
        const int64_t with_padding = static_cast<int64_t>(bottom - top) * (right - left);
        top = larger(top, 0);
        left = larger(left, 0);
        bottom = smaller(bottom, p.src_h);
        right = smaller(right, p.src_w);
        const int64_t inside = static_cast<int64_t>(bottom - top) * (right - left);
        divisor = static_cast<double>(p.count_include_pad ? with_padding : inside);
    }
};

}  // namespace

MN_KERNEL(mn_avg_pool_forward, PoolParams, MN_NO_BARRIERS) {
    const int64_t area = static_cast<int64_t>(p.dst_h) * p.dst_w;
    for (int64_t i = MN_FIRST; i < p.planes * area; i += MN_STRIDE) {
        const float* src = p.src + i / area * p.src_h * p.src_w;
        const Window window(p, static_cast<int32_t>(i % area / p.dst_w),
                            static_cast<int32_t>(i % p.dst_w));
        double sum = 0;
        for (int32_t h = window.top; h < window.bottom; h++)
            for (int32_t w = window.left; w < window.right; w++)
                sum += src[static_cast<int64_t>(h) * p.src_w + w];
        p.dst[i] = static_cast<float>(sum / window.divisor);
    }
}

MN_KERNEL(mn_avg_pool_backward, PoolParams, MN_NO_BARRIERS) {
    const int64_t area = static_cast<int64_t>(p.src_h) * p.src_w;
    for (int64_t i = MN_FIRST; i < p.planes * area; i += MN_STRIDE) {
        const float* diff = p.diff_dst + i / area * p.dst_h * p.dst_w;
        const int32_t h = static_cast<int32_t>(i % area / p.src_w) + p.pad_h;
        const int32_t w = static_cast<int32_t>(i % p.src_w) + p.pad_w;
        const int32_t last_h = smaller(h / p.stride_h, p.dst_h - 1);
        const int32_t last_w = smaller(w / p.stride_w, p.dst_w - 1);
        double sum = 0;
        for (int32_t oh = first_window(h, p.kernel_h, p.stride_h); oh <= last_h; oh++)
            for (int32_t ow = first_window(w, p.kernel_w, p.stride_w); ow <= last_w; ow++)
                sum += diff[static_cast<int64_t>(oh) * p.dst_w + ow] / Window(p, oh, ow).divisor;
        p.dst[i] = static_cast<float>(sum);
    }
}
