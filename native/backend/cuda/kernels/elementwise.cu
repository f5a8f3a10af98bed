// Every element by itself, and sums over channels.

#include "backend/activations.h"
#include "backend/cuda/kernels/kernel.h"
#include "mnistnative.h"

using namespace mn::cuda;

MN_KERNEL(mn_sum, SumParams, MN_NO_BARRIERS) {
    for (int64_t i = MN_FIRST; i < p.count; i += MN_STRIDE) p.dst[i] = p.a[i] + p.b[i];
}

MN_KERNEL(mn_bias, BiasParams, MN_NO_BARRIERS) {
    for (int64_t i = MN_FIRST; i < p.count; i += MN_STRIDE) {
        float x = p.src[i];
        if (p.bias) x += p.bias[i / p.area % p.channels];
        p.dst[i] = p.relu && x < 0.0f ? 0.0f : x;
    }
}

MN_KERNEL(mn_relu_mask, ReluMaskParams, MN_NO_BARRIERS) {
    for (int64_t i = MN_FIRST; i < p.count; i += MN_STRIDE)
        p.dst[i] = p.result[i] <= 0.0f ? 0.0f : p.diff_dst[i];
}

MN_KERNEL(mn_channel_sum, ChannelSumParams, MN_BARRIERS) {
    MN_SHARED(double, shared, kBlockThreads);
    const int64_t c = blockIdx.x;
    double sum = 0;
    for (int64_t i = threadIdx.x; i < p.images * p.area; i += blockDim.x) {
        const int64_t at = (i / p.area * p.channels + c) * p.area + i % p.area;
        const double g = p.diff_dst[at];
        sum += p.src ? g * p.src[at] : g;
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0)
        p.gradient[c] = (p.accumulate ? p.gradient[c] : 0.0f) + static_cast<float>(sum);
}

namespace {

__device__ __forceinline__ float activate(const ActivationParams& p, float x) {
    const mn::activations::Activation a = {p.alpha, p.threshold};
    switch (p.kind) {
#define MN_ACTIVATION(id, value, formula) \
    case MN_ACTIVATION_##id:              \
        return mn::activations::formula::forward(a, x);
#include "graph/ops.def"
        default:
            return x;
    }
}

// v is the result where the formula says so, else the source.
__device__ __forceinline__ float gradient(const ActivationParams& p, float v, float g) {
    const mn::activations::Activation a = {p.alpha, p.threshold};
    switch (p.kind) {
#define MN_ACTIVATION(id, value, formula) \
    case MN_ACTIVATION_##id:              \
        return mn::activations::formula::backward(a, v, g);
#include "graph/ops.def"
        default:
            return g;
    }
}

}  // namespace

MN_KERNEL(mn_activation_forward, ActivationParams, MN_NO_BARRIERS) {
    for (int64_t i = MN_FIRST; i < p.count; i += MN_STRIDE) p.dst[i] = activate(p, p.src[i]);
}

MN_KERNEL(mn_activation_backward, ActivationParams, MN_NO_BARRIERS) {
    for (int64_t i = MN_FIRST; i < p.count; i += MN_STRIDE)
        p.dst[i] = gradient(p, p.src[i], p.diff_dst[i]);
}
