// The optimizers, with PyTorch's formulas, over all parameters in one launch. g is the gradient,
// scaled and clipped; p the parameter; wd the weight decay.
//
// Adam      g += wd p,  m += (1 - beta1) (g - m),  v = beta2 v + (1 - beta2) g^2
//           p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
//           AMSGrad takes the largest v so far instead of v
// AdamW     p -= lr wd p instead of g += wd p
// SGD       g += wd p,  b = momentum b + (1 - dampening) g (b = g at first)
//           p -= lr (nesterov ? g + momentum b : b); without momentum b = g
// RMSprop   g += wd p,  v = alpha v + (1 - alpha) g^2,  d = sqrt(v) + epsilon
//           centered: a += (1 - alpha) (g - a),  d = sqrt(v - a^2) + epsilon
//           p -= lr g / d; with momentum: b = momentum b + g / d, p -= lr b

#include "backend/cuda/kernels/kernel.h"
#include "mnistnative.h"

using namespace mn::cuda;

namespace {

// The item that a chunk belongs to.
__device__ __forceinline__ int32_t item_of(const int64_t* first_chunk, int32_t items,
                                           int64_t chunk) {
    int32_t low = 0, high = items - 1;
    while (low < high) {
        const int32_t middle = (low + high + 1) / 2;
        if (first_chunk[middle] <= chunk)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

// A NaN stays a NaN.
__device__ __forceinline__ float scaled(float g, float scale, float clip_value) {
    g *= scale;
    if (clip_value > 0.0f) {
        g = g > clip_value ? clip_value : g;
        g = g < -clip_value ? -clip_value : g;
    }
    return g;
}

__device__ __forceinline__ void adam(const UpdateParams& p, const UpdateItem& u, int64_t i,
                                     float g) {
    float value = u.value[i];
    if (p.kind == MN_OPTIMIZER_ADAMW)
        value -= u.learning_rate * u.weight_decay * value;
    else
        g += u.weight_decay * value;
    float m = u.moment1[i];
    m += p.share1 * (g - m);
    float v = p.decay2 * u.moment2[i] + p.share2 * (g * g);
    u.moment1[i] = m;
    u.moment2[i] = v;
    if (u.moment3) {
        const float largest = u.moment3[i];
        v = v <= largest ? largest : v;
        u.moment3[i] = v;
    }
    u.value[i] = value - u.step_size * (m / (sqrtf(v) * u.root_scale + p.epsilon));
}

__device__ __forceinline__ void sgd(const UpdateParams& p, const UpdateItem& u, int64_t i,
                                    float g) {
    const float value = u.value[i];
    g += u.weight_decay * value;
    float change = g;
    if (u.moment1) {
        const float b = u.first ? g : p.momentum * u.moment1[i] + p.undamped * g;
        u.moment1[i] = b;
        change = p.nesterov ? g + p.momentum * b : b;
    }
    u.value[i] = value - u.learning_rate * change;
}

__device__ __forceinline__ void rmsprop(const UpdateParams& p, const UpdateItem& u, int64_t i,
                                        float g) {
    const float value = u.value[i];
    g += u.weight_decay * value;
    float v = p.decay2 * u.moment2[i] + p.share2 * (g * g);
    u.moment2[i] = v;
    if (u.moment3) {
        float mean = u.moment3[i];
        mean += p.share2 * (g - mean);
        u.moment3[i] = mean;
        v -= mean * mean;
        v = v < 0.0f ? 0.0f : v;  // rounding may take it below 0
    }
    float change = g / (sqrtf(v) + p.epsilon);
    if (u.moment1) {
        change += p.momentum * u.moment1[i];
        u.moment1[i] = change;
    }
    u.value[i] = value - u.learning_rate * change;
}

}  // namespace

MN_KERNEL(mn_update, UpdateParams, MN_NO_BARRIERS) {
    const int64_t chunk = blockIdx.x;
    const int32_t item = item_of(p.first_chunk, p.item_count, chunk);
    const UpdateItem u = p.items[item];
    const int64_t first = (chunk - p.first_chunk[item]) * kUpdateChunk;
    const int64_t last = first + kUpdateChunk < u.count ? first + kUpdateChunk : u.count;
    float clip = 1;
    if (p.square_sum) {
        // As torch.nn.utils.clip_grad_norm_.
        const double scale = p.clip_norm / (sqrt(*p.square_sum) + 1e-6);
        clip = static_cast<float>(scale > 1 ? 1 : scale);
    }
    for (int64_t i = first + threadIdx.x; i < last; i += blockDim.x) {
        const float g = scaled(u.gradient[i], p.scale, p.clip_value) * clip;
        if (p.kind == MN_OPTIMIZER_SGD)
            sgd(p, u, i, g);
        else if (p.kind == MN_OPTIMIZER_RMSPROP)
            rmsprop(p, u, i, g);
        else
            adam(p, u, i, g);
    }
}

MN_KERNEL(mn_square_sum, SquareSumParams, MN_BARRIERS) {
    MN_SHARED(double, shared, kBlockThreads);
    const int64_t chunk = blockIdx.x;
    const int32_t item = item_of(p.first_chunk, p.item_count, chunk);
    const UpdateItem u = p.items[item];
    const int64_t first = (chunk - p.first_chunk[item]) * kUpdateChunk;
    const int64_t last = first + kUpdateChunk < u.count ? first + kUpdateChunk : u.count;
    double sum = 0;
    for (int64_t i = first + threadIdx.x; i < last; i += blockDim.x) {
        const double g = scaled(u.gradient[i], p.scale, p.clip_value);
        sum += g * g;
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) p.parts[chunk] = sum;
}

// One block.
MN_KERNEL(mn_total, TotalParams, MN_BARRIERS) {
    MN_SHARED(double, shared, kBlockThreads);
    double sum = 0;
    for (int64_t i = threadIdx.x; i < p.count; i += blockDim.x) sum += p.parts[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) *p.total = sum;
}
