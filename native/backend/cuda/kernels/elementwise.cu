// Every element by itself, and sums over channels.

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

__device__ __forceinline__ float sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}

__device__ __forceinline__ float cut6(float x) {
    return x < 0.0f ? 0.0f : x > 6.0f ? 6.0f : x;
}

constexpr float kRootHalf = 0.70710678f;
constexpr float kDensity = 0.39894228f;  // 1 / sqrt(2 pi)
constexpr float kBeta = 0.79788456f;     // sqrt(2 / pi)
constexpr float kKappa = 0.044715f;

__device__ __forceinline__ float activate(const ActivationParams& p, float x) {
    switch (p.kind) {
        case MN_ACTIVATION_RELU6:
            return cut6(x);
        case MN_ACTIVATION_LEAKY_RELU:
            return x > 0.0f ? x : x * p.alpha;
        case MN_ACTIVATION_ELU:
            return x > 0.0f ? x : p.alpha * expm1f(x);
        case MN_ACTIVATION_GELU:
            return 0.5f * x * (1.0f + erff(x * kRootHalf));
        case MN_ACTIVATION_GELU_TANH:
            return 0.5f * x * (1.0f + tanhf(kBeta * (x + kKappa * x * x * x)));
        case MN_ACTIVATION_SILU:
            return x / (1.0f + expf(-x));
        case MN_ACTIVATION_SIGMOID:
            return sigmoid(x);
        case MN_ACTIVATION_TANH:
            return tanhf(x);
        case MN_ACTIVATION_HARDSWISH:
            return x * (cut6(x + 3.0f) / 6.0f);
        case MN_ACTIVATION_HARDSIGMOID:
            return cut6(x + 3.0f) / 6.0f;
        case MN_ACTIVATION_SOFTPLUS:
            if (x * p.alpha > p.threshold) return x;
            return (fmaxf(x * p.alpha, 0.0f) + log1pf(expf(-fabsf(x * p.alpha)))) / p.alpha;
        default:
            return x < 0.0f ? 0.0f : x;
    }
}

// Of ReLU, ReLU6, sigmoid and tanh, v is the result; of the others, the source.
__device__ __forceinline__ float gradient(const ActivationParams& p, float v, float g) {
    switch (p.kind) {
        case MN_ACTIVATION_RELU6:
            return v <= 0.0f || v >= 6.0f ? 0.0f : g;
        case MN_ACTIVATION_LEAKY_RELU:
            return v > 0.0f ? g : g * p.alpha;
        case MN_ACTIVATION_ELU:
            return v > 0.0f ? g : g * p.alpha * expf(v);
        case MN_ACTIVATION_GELU:
            return g * (0.5f * (1.0f + erff(v * kRootHalf)) + v * kDensity * expf(-0.5f * v * v));
        case MN_ACTIVATION_GELU_TANH: {
            const float t = tanhf(kBeta * (v + kKappa * v * v * v));
            // Of both ends nothing is left before v^2 overflows.
            const float bump = v * (1.0f - t * t);
            return g * (0.5f * (1.0f + t) + 0.5f * kBeta * (bump + 3.0f * kKappa * (bump * v) * v));
        }
        case MN_ACTIVATION_SILU: {
            const float s = sigmoid(v);
            return g * s * (1.0f + v * (1.0f - s));
        }
        case MN_ACTIVATION_SIGMOID:
            return g * (1.0f - v) * v;
        case MN_ACTIVATION_TANH:
            return g * (1.0f - v * v);
        case MN_ACTIVATION_HARDSWISH:
            return v <= -3.0f ? 0.0f : v < 3.0f ? g * (v / 3.0f + 0.5f) : g;
        case MN_ACTIVATION_HARDSIGMOID:
            return v > -3.0f && v < 3.0f ? g / 6.0f : 0.0f;
        case MN_ACTIVATION_SOFTPLUS:
            return v * p.alpha > p.threshold ? g : g * sigmoid(v * p.alpha);
        default:
            return v <= 0.0f ? 0.0f : g;
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
