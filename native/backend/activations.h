// The elementwise activations, with PyTorch's formulas and its gradients where they have corners;
// of the reference kernels and of CUDA's.
//
// An activation is forward(a, x) and backward(a, v, g), the gradient times g at v: its result,
// where that is enough (kUsesDst), else its source.

#pragma once

#include <cmath>

#include "mnistnative.h"

// A function of the host, and of the device where nvcc compiles.
#if defined(__CUDACC__)
#define MN_FORMULA __host__ __device__ __forceinline__ static
#else
#define MN_FORMULA [[maybe_unused]] inline static
#endif

namespace mn::activations {

// Those of mn_activation_desc.
struct Activation {
    float alpha, threshold;
};

MN_FORMULA float sigmoid(float x) {
    return 1.0f / (1.0f + std::exp(-x));
}

struct Relu {
    static constexpr bool kUsesDst = true;
    MN_FORMULA float forward(const Activation&, float x) { return x < 0.0f ? 0.0f : x; }
    MN_FORMULA float backward(const Activation&, float y, float g) { return y <= 0.0f ? 0.0f : g; }
};

struct Relu6 {
    static constexpr bool kUsesDst = true;
    MN_FORMULA float forward(const Activation&, float x) {
        return x < 0.0f ? 0.0f : x > 6.0f ? 6.0f : x;
    }
    MN_FORMULA float backward(const Activation&, float y, float g) {
        return y <= 0.0f || y >= 6.0f ? 0.0f : g;
    }
};

struct LeakyRelu {
    static constexpr bool kUsesDst = false;
    // Both sides are computed, so that there is no branch on a random sign.
    MN_FORMULA float forward(const Activation& a, float x) {
        const float below = x * a.alpha;
        return x > 0.0f ? x : below;
    }
    MN_FORMULA float backward(const Activation& a, float x, float g) {
        const float below = g * a.alpha;
        return x > 0.0f ? g : below;
    }
};

struct Elu {
    static constexpr bool kUsesDst = false;
    MN_FORMULA float forward(const Activation& a, float x) {
        return x > 0.0f ? x : a.alpha * std::expm1(x);
    }
    MN_FORMULA float backward(const Activation& a, float x, float g) {
        return x > 0.0f ? g : g * a.alpha * std::exp(x);
    }
};

struct Gelu {
    static constexpr bool kUsesDst = false;
    static constexpr float root_half = 0.70710678f, density = 0.39894228f;  // 1 / sqrt(2 pi)
    MN_FORMULA float forward(const Activation&, float x) {
        return 0.5f * x * (1.0f + std::erf(x * root_half));
    }
    MN_FORMULA float backward(const Activation&, float x, float g) {
        const float phi = density * std::exp(-0.5f * x * x);
        return g * (0.5f * (1.0f + std::erf(x * root_half)) + x * phi);
    }
};

struct GeluTanh {
    static constexpr bool kUsesDst = false;
    static constexpr float beta = 0.79788456f, kappa = 0.044715f;  // beta = sqrt(2 / pi)
    MN_FORMULA float forward(const Activation&, float x) {
        return 0.5f * x * (1.0f + std::tanh(beta * (x + kappa * x * x * x)));
    }
    MN_FORMULA float backward(const Activation&, float x, float g) {
        const float t = std::tanh(beta * (x + kappa * x * x * x));
        // Of both ends nothing is left before x^2 overflows.
        const float bump = x * (1.0f - t * t);
        return g * (0.5f * (1.0f + t) + 0.5f * beta * (bump + 3.0f * kappa * (bump * x) * x));
    }
};

struct Silu {
    static constexpr bool kUsesDst = false;
    MN_FORMULA float forward(const Activation&, float x) { return x / (1.0f + std::exp(-x)); }
    MN_FORMULA float backward(const Activation&, float x, float g) {
        const float s = sigmoid(x);
        return g * s * (1.0f + x * (1.0f - s));
    }
};

struct Sigmoid {
    static constexpr bool kUsesDst = true;
    MN_FORMULA float forward(const Activation&, float x) { return sigmoid(x); }
    MN_FORMULA float backward(const Activation&, float y, float g) { return g * (1.0f - y) * y; }
};

struct Tanh {
    static constexpr bool kUsesDst = true;
    MN_FORMULA float forward(const Activation&, float x) { return std::tanh(x); }
    MN_FORMULA float backward(const Activation&, float y, float g) { return g * (1.0f - y * y); }
};

struct Hardswish {
    static constexpr bool kUsesDst = false;
    MN_FORMULA float forward(const Activation& a, float x) {
        return x * (Relu6::forward(a, x + 3.0f) / 6.0f);
    }
    MN_FORMULA float backward(const Activation&, float x, float g) {
        const float middle = g * (x / 3.0f + 0.5f);
        const float upper = x < 3.0f ? middle : g;
        return x <= -3.0f ? 0.0f : upper;
    }
};

struct Hardsigmoid {
    static constexpr bool kUsesDst = false;
    MN_FORMULA float forward(const Activation& a, float x) {
        return Relu6::forward(a, x + 3.0f) / 6.0f;
    }
    MN_FORMULA float backward(const Activation&, float x, float g) {
        const float middle = g / 6.0f;
        return x > -3.0f && x < 3.0f ? middle : 0.0f;
    }
};

struct Softplus {
    static constexpr bool kUsesDst = false;
    MN_FORMULA float forward(const Activation& a, float x) {
        const float z = x * a.alpha, above = z > 0.0f ? z : 0.0f;
        return z > a.threshold ? x : (above + std::log1p(std::exp(-std::fabs(z)))) / a.alpha;
    }
    MN_FORMULA float backward(const Activation& a, float x, float g) {
        return x * a.alpha > a.threshold ? g : g * sigmoid(x * a.alpha);
    }
};

// tanh(log(1 + exp(x))) is a ratio of polynomials in e = exp(-|x|), in which nothing cancels.
struct Mish {
    static constexpr bool kUsesDst = false;
    MN_FORMULA float forward(const Activation&, float x) {
        const float e = std::exp(-std::fabs(x)), square = e * e;
        const float above = 1.0f + 2.0f * e, below = square + 2.0f * e;
        return x * (x < 0.0f ? below / (below + 2.0f) : above / (above + 2.0f * square));
    }
    MN_FORMULA float backward(const Activation&, float x, float g) {
        const float e = std::exp(-std::fabs(x)), square = e * e;
        const float n = x < 0.0f ? square + 2.0f * e : 1.0f + 2.0f * e;
        const float rest = x < 0.0f ? 2.0f : 2.0f * square, d = n + rest;
        const float logistic = (x < 0.0f ? e : 1.0f) / (1.0f + e);
        // 1 - (n / d)^2 = rest (n + d) / d^2
        return g * (n / d + x * logistic * (rest * (n + d) / (d * d)));
    }
};

struct Hardtanh {
    static constexpr bool kUsesDst = true;
    MN_FORMULA float forward(const Activation& a, float x) {
        return x < a.alpha ? a.alpha : x > a.threshold ? a.threshold : x;
    }
    MN_FORMULA float backward(const Activation& a, float y, float g) {
        return y <= a.alpha || y >= a.threshold ? 0.0f : g;
    }
};

struct Softsign {
    static constexpr bool kUsesDst = false;
    MN_FORMULA float forward(const Activation&, float x) { return x / (1.0f + std::fabs(x)); }
    MN_FORMULA float backward(const Activation&, float x, float g) {
        const float d = 1.0f + std::fabs(x);
        return g / d / d;
    }
};

struct Threshold {
    static constexpr bool kUsesDst = false;
    MN_FORMULA float forward(const Activation& a, float x) {
        return x <= a.threshold ? a.alpha : x;
    }
    MN_FORMULA float backward(const Activation& a, float x, float g) {
        return x <= a.threshold ? 0.0f : g;
    }
};

#undef MN_FORMULA

}  // namespace mn::activations
