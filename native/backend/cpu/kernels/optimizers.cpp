// The optimizers' arithmetic, with PyTorch's formulas. g is the gradient, scaled and clipped; p the
// parameter; wd the weight decay.
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

#include "backend/cpu/kernels/table.h"
#include "backend/cpu/kernels/vec.h"
#include "mnistnative.h"

namespace mn::cpu::MN_ISA {
namespace {

MN_INLINE Vec root_of(Vec v) {
    Vec root;
    for (int i = 0; i < kLanes; i++) root[i] = __builtin_sqrtf(v[i]);
    return root;
}

// A NaN stays a NaN.
MN_INLINE Vec cut(Vec g, float limit) {
    g = g > splat(limit) ? splat(limit) : g;
    return g < splat(-limit) ? splat(-limit) : g;
}

MN_INLINE Vec gradient_of(const UpdateStep& op, const float* gradient) {
    Vec g = load(gradient) * splat(op.scale);
    if (op.clip_value > 0) g = cut(g, op.clip_value);
    if (op.clip_scale != 1) g *= splat(op.clip_scale);
    return g;
}

MN_INLINE void adam(const UpdateStep& op, const UpdateRange& at) {
    Vec p = load(at.value), g = gradient_of(op, at.gradient);
    if (op.kind == MN_OPTIMIZER_ADAMW)
        p -= splat(op.learning_rate * op.weight_decay) * p;
    else
        g += splat(op.weight_decay) * p;
    Vec m = load(at.moment1);
    m += splat(op.share1) * (g - m);
    Vec v = splat(op.decay2) * load(at.moment2) + splat(op.share2) * (g * g);
    store(at.moment1, m);
    store(at.moment2, v);
    if (at.moment3) {
        const Vec largest = load(at.moment3);
        v = v <= largest ? largest : v;
        store(at.moment3, v);
    }
    p -= splat(op.step_size) * (m / (root_of(v) * splat(op.root_scale) + splat(op.epsilon)));
    store(at.value, p);
}

MN_INLINE void sgd(const UpdateStep& op, const UpdateRange& at) {
    Vec p = load(at.value);
    const Vec g = gradient_of(op, at.gradient) + splat(op.weight_decay) * p;
    if (at.moment1) {
        const Vec b = op.first ? g : splat(op.momentum) * load(at.moment1) + splat(op.undamped) * g;
        store(at.moment1, b);
        p -= splat(op.learning_rate) * (op.nesterov ? g + splat(op.momentum) * b : b);
    } else {
        p -= splat(op.learning_rate) * g;
    }
    store(at.value, p);
}

MN_INLINE void rmsprop(const UpdateStep& op, const UpdateRange& at) {
    Vec p = load(at.value);
    const Vec g = gradient_of(op, at.gradient) + splat(op.weight_decay) * p;
    Vec v = splat(op.decay2) * load(at.moment2) + splat(op.share2) * (g * g);
    store(at.moment2, v);
    if (at.moment3) {
        Vec mean = load(at.moment3);
        mean += splat(op.share2) * (g - mean);
        store(at.moment3, mean);
        v = relu(v - mean * mean);  // rounding may take it below 0
    }
    Vec change = g / (root_of(v) + splat(op.epsilon));
    if (at.moment1) {
        change += splat(op.momentum) * load(at.moment1);
        store(at.moment1, change);
    }
    store(at.value, p - splat(op.learning_rate) * change);
}

MN_INLINE void update_vector(const UpdateStep& op, const UpdateRange& at) {
    if (op.kind == MN_OPTIMIZER_SGD)
        sgd(op, at);
    else if (op.kind == MN_OPTIMIZER_RMSPROP)
        rmsprop(op, at);
    else
        adam(op, at);
}

MN_INLINE float* moved(float* p, int64_t i) {
    return p ? p + i : nullptr;
}

}  // namespace

void f32_update(const UpdateStep& op, const UpdateRange& range) {
    int64_t i = 0;
    for (; i + kLanes <= range.count; i += kLanes) {
        update_vector(op, {range.value + i, range.gradient + i, moved(range.moment1, i),
                           moved(range.moment2, i), moved(range.moment3, i), kLanes});
    }
    if (i == range.count) return;
    // The rest goes through whole vectors.
    const size_t bytes = sizeof(float) * (range.count - i);
    float gradient[kLanes] = {}, part[4][kLanes] = {};
    float* const from[4] = {range.value, range.moment1, range.moment2, range.moment3};
    memcpy(gradient, range.gradient + i, bytes);
    for (int k = 0; k < 4; k++)
        if (from[k]) memcpy(part[k], from[k] + i, bytes);
    update_vector(op, {part[0], gradient, from[1] ? part[1] : nullptr, from[2] ? part[2] : nullptr,
                       from[3] ? part[3] : nullptr, kLanes});
    for (int k = 0; k < 4; k++)
        if (from[k]) memcpy(from[k] + i, part[k], bytes);
}

double f32_sum_of_squares(const float* g, int64_t count, float scale, float clip_value) {
    constexpr int kSums = 8;
    double sums[kSums] = {};
    for (int64_t i = 0; i < count; i++) {
        float x = g[i] * scale;
        if (clip_value > 0) {
            x = x > clip_value ? clip_value : x;
            x = x < -clip_value ? -clip_value : x;
        }
        sums[i % kSums] += static_cast<double>(x) * static_cast<double>(x);
    }
    double sum = 0;
    for (double part : sums) sum += part;
    return sum;
}

}  // namespace mn::cpu::MN_ISA
