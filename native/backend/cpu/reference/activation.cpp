// The elementwise activations, with PyTorch's formulas and its gradients where they have corners.
//
// An activation is forward(x) and backward(v, g), the gradient times g at v: its result, where that
// is enough (uses_dst), else its source.

#include <algorithm>

#include "backend/cpu/reference/common.h"

namespace mn::cpu::reference {
namespace {

// Elements of one task.
constexpr int64_t chunk = 16 * 1024;

float sigmoid(float x) {
    return 1.0f / (1.0f + std::exp(-x));
}

struct Relu {
    static constexpr bool uses_dst = true;
    explicit Relu(const mn_activation_desc&) {}
    float forward(float x) const { return x < 0.0f ? 0.0f : x; }
    float backward(float y, float g) const { return y <= 0.0f ? 0.0f : g; }
};

struct Relu6 {
    static constexpr bool uses_dst = true;
    explicit Relu6(const mn_activation_desc&) {}
    float forward(float x) const { return x < 0.0f ? 0.0f : x > 6.0f ? 6.0f : x; }
    float backward(float y, float g) const { return y <= 0.0f || y >= 6.0f ? 0.0f : g; }
};

struct LeakyRelu {
    static constexpr bool uses_dst = false;
    float slope;
    explicit LeakyRelu(const mn_activation_desc& d) : slope(d.alpha) {}
    // Both sides are computed, so that there is no branch on a random sign.
    float forward(float x) const {
        const float below = x * slope;
        return x > 0.0f ? x : below;
    }
    float backward(float x, float g) const {
        const float below = g * slope;
        return x > 0.0f ? g : below;
    }
};

struct Elu {
    static constexpr bool uses_dst = false;
    float alpha;
    explicit Elu(const mn_activation_desc& d) : alpha(d.alpha) {}
    float forward(float x) const { return x > 0.0f ? x : alpha * std::expm1(x); }
    float backward(float x, float g) const { return x > 0.0f ? g : g * alpha * std::exp(x); }
};

struct Gelu {
    static constexpr bool uses_dst = false;
    static constexpr float root_half = 0.70710678f, density = 0.39894228f;  // 1 / sqrt(2 pi)
    explicit Gelu(const mn_activation_desc&) {}
    float forward(float x) const { return 0.5f * x * (1.0f + std::erf(x * root_half)); }
    float backward(float x, float g) const {
        const float phi = density * std::exp(-0.5f * x * x);
        return g * (0.5f * (1.0f + std::erf(x * root_half)) + x * phi);
    }
};

struct GeluTanh {
    static constexpr bool uses_dst = false;
    static constexpr float beta = 0.79788456f, kappa = 0.044715f;  // beta = sqrt(2 / pi)
    explicit GeluTanh(const mn_activation_desc&) {}
    float forward(float x) const {
        return 0.5f * x * (1.0f + std::tanh(beta * (x + kappa * x * x * x)));
    }
    float backward(float x, float g) const {
        const float t = std::tanh(beta * (x + kappa * x * x * x));
        // Of both ends nothing is left before x^2 overflows.
        const float bump = x * (1.0f - t * t);
        return g * (0.5f * (1.0f + t) + 0.5f * beta * (bump + 3.0f * kappa * (bump * x) * x));
    }
};

struct Silu {
    static constexpr bool uses_dst = false;
    explicit Silu(const mn_activation_desc&) {}
    float forward(float x) const { return x / (1.0f + std::exp(-x)); }
    float backward(float x, float g) const {
        const float s = sigmoid(x);
        return g * s * (1.0f + x * (1.0f - s));
    }
};

struct Sigmoid {
    static constexpr bool uses_dst = true;
    explicit Sigmoid(const mn_activation_desc&) {}
    float forward(float x) const { return sigmoid(x); }
    float backward(float y, float g) const { return g * (1.0f - y) * y; }
};

struct Tanh {
    static constexpr bool uses_dst = true;
    explicit Tanh(const mn_activation_desc&) {}
    float forward(float x) const { return std::tanh(x); }
    float backward(float y, float g) const { return g * (1.0f - y * y); }
};

struct Hardswish {
    static constexpr bool uses_dst = false;
    explicit Hardswish(const mn_activation_desc&) {}
    float forward(float x) const { return x * (Relu6({}).forward(x + 3.0f) / 6.0f); }
    float backward(float x, float g) const {
        const float middle = g * (x / 3.0f + 0.5f);
        const float upper = x < 3.0f ? middle : g;
        return x <= -3.0f ? 0.0f : upper;
    }
};

struct Hardsigmoid {
    static constexpr bool uses_dst = false;
    explicit Hardsigmoid(const mn_activation_desc&) {}
    float forward(float x) const { return Relu6({}).forward(x + 3.0f) / 6.0f; }
    float backward(float x, float g) const {
        const float middle = g / 6.0f;
        return x > -3.0f && x < 3.0f ? middle : 0.0f;
    }
};

struct Softplus {
    static constexpr bool uses_dst = false;
    float beta, threshold;
    explicit Softplus(const mn_activation_desc& d) : beta(d.alpha), threshold(d.threshold) {}
    float forward(float x) const {
        const float z = x * beta, above = z > 0.0f ? z : 0.0f;
        return z > threshold ? x : (above + std::log1p(std::exp(-std::abs(z)))) / beta;
    }
    float backward(float x, float g) const {
        return x * beta > threshold ? g : g * sigmoid(x * beta);
    }
};

// Calls body(activation) with the activation of the description.
template <class Body>
auto with_activation(const mn_activation_desc& d, Body&& body) {
    switch (d.kind) {
        case MN_ACTIVATION_RELU6:
            return body(Relu6(d));
        case MN_ACTIVATION_LEAKY_RELU:
            return body(LeakyRelu(d));
        case MN_ACTIVATION_ELU:
            return body(Elu(d));
        case MN_ACTIVATION_GELU:
            return body(Gelu(d));
        case MN_ACTIVATION_GELU_TANH:
            return body(GeluTanh(d));
        case MN_ACTIVATION_SILU:
            return body(Silu(d));
        case MN_ACTIVATION_SIGMOID:
            return body(Sigmoid(d));
        case MN_ACTIVATION_TANH:
            return body(Tanh(d));
        case MN_ACTIVATION_HARDSWISH:
            return body(Hardswish(d));
        case MN_ACTIVATION_HARDSIGMOID:
            return body(Hardsigmoid(d));
        case MN_ACTIVATION_SOFTPLUS:
            return body(Softplus(d));
        default:
            return body(Relu(d));
    }
}

bool same_place(const ImageView& a, const ImageView& b) {
    return a.sn == b.sn && a.sc == b.sc && a.sh == b.sh && a.sw == b.sw;
}

template <class Function>
class Activation : public Kernel {
public:
    Activation(const ImageNode& node, int direction, const Function& function)
        : src_(node.src[0]),
          dst_(node.dst),
          function_(function),
          backward_(direction == MNB_BACKWARD),
          dense_(same_place(src_, dst_) && src_.sn == feature_count(src_)) {}

    void run(Device& device, const mnb_run& run) override {
        if (backward_ && run.diff_src[0] == nullptr) return;
        const int64_t count = run.count * feature_count(src_);
        device.pool.parallel_for(static_cast<int>(divide_up(count, chunk)), [&](int task, int) {
            const int64_t first = task * chunk, last = std::min(first + chunk, count);
            if (dense_) {
                elements(
                    run, first, last, [](int64_t i) { return i; }, [](int64_t i) { return i; });
                return;
            }
            const int64_t features = feature_count(src_);
            elements(
                run, first, last,
                [&](int64_t i) { return feature_offset(src_, i / features, i % features); },
                [&](int64_t i) { return feature_offset(dst_, i / features, i % features); });
        });
    }

private:
    // src_at(i) and dst_at(i) give the places of the batch's element i.
    template <class SrcAt, class DstAt>
    void elements(const mnb_run& run, int64_t first, int64_t last, SrcAt&& src_at,
                  DstAt&& dst_at) const {
        const Function function = function_;
        if (!backward_) {
            const float* src = run.src[0];
            float* dst = run.dst;
            for (int64_t i = first; i < last; ++i)
                dst[dst_at(i)] = function.forward(src[src_at(i)]);
            return;
        }
        const float* diff_dst = run.diff_dst;
        float* diff_src = run.diff_src[0];
        if constexpr (Function::uses_dst) {
            const float* dst = run.dst;
            for (int64_t i = first; i < last; ++i)
                diff_src[src_at(i)] = function.backward(dst[dst_at(i)], diff_dst[dst_at(i)]);
        } else {
            const float* src = run.src[0];
            for (int64_t i = first; i < last; ++i)
                diff_src[src_at(i)] = function.backward(src[src_at(i)], diff_dst[dst_at(i)]);
        }
    }

    ImageView src_, dst_;
    Function function_;
    bool backward_;
    bool dense_;  // source and result are one piece of memory each, in the same order
};

}  // namespace

bool activation_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    take_layouts(node, support);
    support.backward_needs = with_activation(node.desc.activation, [](auto function) -> int32_t {
        return decltype(function)::uses_dst ? MNB_NEEDS_DST : MNB_NEEDS_SRC;
    });
    return true;
}

std::unique_ptr<Kernel> activation_create(const Device&, const ImageNode& node, int direction) {
    return with_activation(node.desc.activation, [&](auto function) -> std::unique_ptr<Kernel> {
        return std::make_unique<Activation<decltype(function)>>(node, direction, function);
    });
}

}  // namespace mn::cpu::reference
