// The elementwise activations. Formulas and corners are those of the reference
// (backend/activations.h), with a backward(v, g) alike; where exponentials come in, they are
// written so that an exponent is never above 0 and nothing cancels.
//
// Polynomials are minimax fits (Remez exchange in 40 digits), rounded to float.

#include "backend/cpu/kernels/exponential.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/vec.h"
#include "mnistnative.h"

namespace mn::cpu::MN_ISA {
namespace {

constexpr int32_t kSign = INT32_MIN;

MN_INLINE Vec minus_magnitude(Vec x) {
    return reinterpret_cast<Vec>(reinterpret_cast<IntVec>(x) | kSign);
}

// The logistic function and what is left to 1.
struct Logistic {
    Vec value, rest;
};

MN_INLINE Logistic logistic(Vec x) {
    const Vec e = exp(minus_magnitude(x)), large = 1.0f / (1.0f + e), small = e * large;
    return {x < Vec{} ? small : large, x < Vec{} ? large : small};
}

// The normal distribution: the probability of what lies below x, and exp(-x^2 / 2).
struct Normal {
    Vec below, exponential;
};

MN_INLINE Normal normal(Vec x) {
    const Vec e = exp(x * x * -0.5f);
    // The tail beyond y = |x| is exp(-y^2 / 2) t p(s), t = 1 / (y + 3), s = (y - 3) t, to 3e-8 of
    // itself for y <= 12.
    const Vec t = 1.0f / (3.0f - minus_magnitude(x)), s = 1.0f - t * 6.0f;
    Vec p = splat(-0.000282711177f);
    p = p * s + splat(-0.000928090183f);
    p = p * s + splat(0.00107871317f);
    p = p * s + splat(0.00693996697f);
    p = p * s + splat(-0.010478088f);
    p = p * s + splat(-0.047259176f);
    p = p * s + splat(0.230019022f);
    p = p * s + splat(-0.509332132f);
    p = p * s + splat(0.729083674f);
    const Vec tail = e * (t * p);
    return {x < Vec{} ? tail : 1.0f - tail, e};
}

MN_INLINE Vec cut6(Vec x) {
    return x < Vec{} ? Vec{} : x > splat(6.0f) ? splat(6.0f) : x;
}

struct Relu {
    MN_INLINE static Vec forward(const ActivationRun&, Vec x) { return relu(x); }
    MN_INLINE static Vec backward(const ActivationRun&, Vec y, Vec g) {
        return y <= Vec{} ? Vec{} : g;
    }
};

struct Relu6 {
    MN_INLINE static Vec forward(const ActivationRun&, Vec x) { return cut6(x); }
    MN_INLINE static Vec backward(const ActivationRun&, Vec y, Vec g) {
        return y <= Vec{} ? Vec{} : y >= splat(6.0f) ? Vec{} : g;
    }
};

struct LeakyRelu {
    MN_INLINE static Vec forward(const ActivationRun& op, Vec x) {
        return x > Vec{} ? x : x * splat(op.alpha);
    }
    MN_INLINE static Vec backward(const ActivationRun& op, Vec x, Vec g) {
        return x > Vec{} ? g : g * splat(op.alpha);
    }
};

struct Elu {
    MN_INLINE static Vec forward(const ActivationRun& op, Vec x) {
        return x > Vec{} ? x : expm1(x) * splat(op.alpha);
    }
    MN_INLINE static Vec backward(const ActivationRun& op, Vec x, Vec g) {
        return x > Vec{} ? g : g * splat(op.alpha) * exp(x);
    }
};

struct Gelu {
    MN_INLINE static Vec forward(const ActivationRun&, Vec x) { return x * normal(x).below; }
    MN_INLINE static Vec backward(const ActivationRun&, Vec x, Vec g) {
        const Normal n = normal(x);
        return g * (n.below + x * (n.exponential * 0.39894228f));  // 1 / sqrt(2 pi)
    }
};

// (1 + tanh(u)) / 2 is the logistic function of 2 u.
struct GeluTanh {
    static constexpr float kTwoBeta = 1.59576912f, kKappa = 0.044715f;  // beta = sqrt(2 / pi)
    MN_INLINE static Logistic inner(Vec x) { return logistic(kTwoBeta * (x + kKappa * x * x * x)); }
    MN_INLINE static Vec forward(const ActivationRun&, Vec x) { return x * inner(x).value; }
    MN_INLINE static Vec backward(const ActivationRun&, Vec x, Vec g) {
        const Logistic s = inner(x);
        // Of both ends nothing is left before x^2 overflows.
        const Vec bump = x * (s.value * s.rest);
        return g * (s.value + kTwoBeta * (bump + 3.0f * kKappa * (bump * x) * x));
    }
};

struct Silu {
    MN_INLINE static Vec forward(const ActivationRun&, Vec x) { return x * logistic(x).value; }
    MN_INLINE static Vec backward(const ActivationRun&, Vec x, Vec g) {
        const Logistic s = logistic(x);
        return g * s.value * (1.0f + x * s.rest);
    }
};

struct Sigmoid {
    MN_INLINE static Vec forward(const ActivationRun&, Vec x) { return logistic(x).value; }
    MN_INLINE static Vec backward(const ActivationRun&, Vec y, Vec g) { return g * (1.0f - y) * y; }
};

struct Tanh {
    MN_INLINE static Vec forward(const ActivationRun&, Vec x) {
        const Vec e = expm1(minus_magnitude(x) * 2.0f);
        const IntVec magnitude = reinterpret_cast<IntVec>(e / (e + 2.0f)) & ~kSign;
        return reinterpret_cast<Vec>(magnitude | (reinterpret_cast<IntVec>(x) & kSign));
    }
    MN_INLINE static Vec backward(const ActivationRun&, Vec y, Vec g) { return g * (1.0f - y * y); }
};

struct Hardswish {
    MN_INLINE static Vec forward(const ActivationRun&, Vec x) {
        return x * (cut6(x + 3.0f) * (1.0f / 6.0f));
    }
    MN_INLINE static Vec backward(const ActivationRun&, Vec x, Vec g) {
        const Vec middle = g * (x * (1.0f / 3.0f) + 0.5f);
        return x <= splat(-3.0f) ? Vec{} : x < splat(3.0f) ? middle : g;
    }
};

struct Hardsigmoid {
    MN_INLINE static Vec forward(const ActivationRun&, Vec x) {
        return cut6(x + 3.0f) * (1.0f / 6.0f);
    }
    MN_INLINE static Vec backward(const ActivationRun&, Vec x, Vec g) {
        const Vec middle = x < splat(3.0f) ? g * (1.0f / 6.0f) : Vec{};
        return x > splat(-3.0f) ? middle : Vec{};
    }
};

struct Softplus {
    MN_INLINE static Vec forward(const ActivationRun& op, Vec x) {
        const Vec z = x * splat(op.alpha), u = exp(minus_magnitude(z));
        // log(1 + u) = 2 atanh(s), s = u / (u + 2) <= 1 / 3; to 5e-9 of itself.
        const Vec s = u / (u + 2.0f), square = s * s;
        Vec p = splat(0.1401223f);
        p = p * square + splat(0.139995704f);
        p = p * square + splat(0.200108495f);
        p = p * square + splat(0.333332066f);
        const Vec log1p = 2.0f * (s + s * square * p);
        const Vec above = z > Vec{} ? z : Vec{};
        return z > splat(op.threshold) ? x : (above + log1p) * splat(1.0f / op.alpha);
    }
    MN_INLINE static Vec backward(const ActivationRun& op, Vec x, Vec g) {
        const Vec z = x * splat(op.alpha);
        return z > splat(op.threshold) ? g : g * logistic(z).value;
    }
};

struct Mish {
    // tanh(log(1 + exp(x))) is n / d.
    struct Ratio {
        Vec n, d, rest;
    };
    MN_INLINE static Ratio ratio(Vec x, Vec e) {
        const Vec square = e * e, n = x < Vec{} ? square + 2.0f * e : 1.0f + 2.0f * e;
        const Vec rest = x < Vec{} ? splat(2.0f) : 2.0f * square;
        return {n, n + rest, rest};
    }
    MN_INLINE static Vec forward(const ActivationRun&, Vec x) {
        const Ratio r = ratio(x, exp(minus_magnitude(x)));
        return x * (r.n / r.d);
    }
    MN_INLINE static Vec backward(const ActivationRun&, Vec x, Vec g) {
        const Vec e = exp(minus_magnitude(x));
        const Ratio r = ratio(x, e);
        const Vec logistic = (x < Vec{} ? e : splat(1.0f)) / (1.0f + e);
        return g * (r.n / r.d + x * logistic * (r.rest * (r.n + r.d) / (r.d * r.d)));
    }
};

struct Hardtanh {
    MN_INLINE static Vec forward(const ActivationRun& op, Vec x) {
        const Vec low = splat(op.alpha), high = splat(op.threshold);
        return x < low ? low : x > high ? high : x;
    }
    MN_INLINE static Vec backward(const ActivationRun& op, Vec y, Vec g) {
        return y <= splat(op.alpha) ? Vec{} : y >= splat(op.threshold) ? Vec{} : g;
    }
};

struct Softsign {
    MN_INLINE static Vec forward(const ActivationRun&, Vec x) {
        return x / (1.0f - minus_magnitude(x));
    }
    MN_INLINE static Vec backward(const ActivationRun&, Vec x, Vec g) {
        const Vec d = 1.0f - minus_magnitude(x);
        return g / d / d;
    }
};

struct Threshold {
    MN_INLINE static Vec forward(const ActivationRun& op, Vec x) {
        return x <= splat(op.threshold) ? splat(op.alpha) : x;
    }
    MN_INLINE static Vec backward(const ActivationRun& op, Vec x, Vec g) {
        return x <= splat(op.threshold) ? Vec{} : g;
    }
};

// Whole vectors; one at a time, because unrolled loops take room and memory bounds them anyway.
template <class Function>
void apply(const ActivationRun& shared) {
    const ActivationRun op = shared;  // which no store changes
    if (op.diff_dst == nullptr) {
        MN_NO_UNROLL
        for (int64_t i = 0; i < op.count; i += kLanes)
            store(op.result + i, Function::forward(op, load(op.value + i)));
    } else {
        MN_NO_UNROLL
        for (int64_t i = 0; i < op.count; i += kLanes)
            store(op.result + i, Function::backward(op, load(op.value + i), load(op.diff_dst + i)));
    }
}

void apply_kind(const ActivationRun& op) {
    switch (op.kind) {
#define MN_ACTIVATION(id, value, formula) \
    case MN_ACTIVATION_##id:              \
        return apply<formula>(op);
#include "graph/ops.def"
        default:
            return apply<Relu>(op);
    }
}

}  // namespace

void f32_activation(const ActivationRun& op) {
    const int64_t rest = op.count % kLanes, whole = op.count - rest;
    ActivationRun part = op;
    part.count = whole;
    apply_kind(part);
    if (rest == 0) return;
    // The rest goes through a whole vector: an element's bits do not depend on where it lies.
    const size_t bytes = sizeof(float) * rest;
    float value[kLanes] = {}, diff_dst[kLanes] = {};
    memcpy(value, op.value + whole, bytes);
    if (op.diff_dst) {
        memcpy(diff_dst, op.diff_dst + whole, bytes);
        part.diff_dst = diff_dst;
    }
    part.value = part.result = value;
    part.count = kLanes;
    apply_kind(part);
    memcpy(op.result + whole, value, bytes);
}

}  // namespace mn::cpu::MN_ISA
