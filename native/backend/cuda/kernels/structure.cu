// How values are put together and taken apart.

#include "backend/cuda/kernels/kernel.h"
#include "mnistnative.h"

using namespace mn::cuda;

MN_KERNEL(mn_binary_forward, BinaryParams, MN_NO_BARRIERS) {
    for (int64_t i = MN_FIRST; i < p.count; i += MN_STRIDE) {
        const float a = p.a[i], b = p.b[i / p.b_area];
        p.dst[i] = p.kind == MN_BINARY_ADD ? a + b : p.kind == MN_BINARY_SUBTRACT ? a - b : a * b;
    }
}

// The gradient of a, and that of b where the shapes are equal.
MN_KERNEL(mn_binary_backward, BinaryParams, MN_NO_BARRIERS) {
    for (int64_t i = MN_FIRST; i < p.count; i += MN_STRIDE) {
        const float g = p.diff_dst[i];
        float result = g;
        if (p.kind == MN_BINARY_MULTIPLY)
            result = g * (p.second ? p.a[i] : p.b[i / p.b_area]);
        else if (p.kind == MN_BINARY_SUBTRACT && p.second)
            result = -g;
        p.dst[i] = result;
    }
}

// The gradient of a b that is repeated over an image. A block a value of b.
MN_KERNEL(mn_binary_backward_repeated, BinaryParams, MN_BARRIERS) {
    MN_SHARED(double, shared, kBlockThreads);
    const int64_t first = blockIdx.x * p.b_area;
    double sum = 0;
    for (int64_t i = threadIdx.x; i < p.b_area; i += blockDim.x) {
        const float g = p.diff_dst[first + i];
        sum += p.kind == MN_BINARY_MULTIPLY   ? g * p.a[first + i]
               : p.kind == MN_BINARY_SUBTRACT ? -g
                                              : g;
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) p.dst[blockIdx.x] = static_cast<float>(sum);
}

MN_KERNEL(mn_copy_part, CopyPartParams, MN_NO_BARRIERS) {
    for (int64_t i = MN_FIRST; i < p.images * p.features; i += MN_STRIDE) {
        const int64_t n = i / p.features, f = i % p.features;
        p.dst[n * p.dst_features + p.dst_first + f] = p.src[n * p.src_features + p.src_first + f];
    }
}

MN_KERNEL(mn_shuffle, ShuffleParams, MN_NO_BARRIERS) {
    const int64_t each = p.channels / p.groups;
    for (int64_t i = MN_FIRST; i < p.count; i += MN_STRIDE) {
        const int64_t plane = i / p.area, n = plane / p.channels, c = plane % p.channels;
        p.dst[(n * p.channels + c % each * p.groups + c / each) * p.area + i % p.area] = p.src[i];
    }
}

MN_KERNEL(mn_scale, ScaleParams, MN_NO_BARRIERS) {
    for (int64_t i = MN_FIRST; i < p.count; i += MN_STRIDE)
        p.dst[i] = p.src[i] * p.factor[i / p.area % p.channels];
}
