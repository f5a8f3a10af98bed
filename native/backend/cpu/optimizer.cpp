// PyTorch's formulas. What depends on the step only (bias corrections) is computed in double, once;
// the rest is float32 as there.

#include "backend/cpu/optimizer.h"

#include <algorithm>
#include <cmath>

#include "graph/error.h"

namespace mn::cpu {
namespace {

// Elements of one task: fixed, so that the split does not depend on the number of threads.
constexpr int64_t chunk_size = 16384;

struct Sgd {
    float scale, weight_decay, learning_rate, momentum, undamped;
    bool first, nesterov;

    void operator()(const mnb_update& u, int64_t begin, int64_t end) const {
        for (int64_t i = begin; i < end; ++i) {
            float g = u.gradient[i] * scale;
            if (weight_decay != 0) g += weight_decay * u.value[i];
            if (momentum != 0) {
                const float m = first ? g : momentum * u.moment1[i] + undamped * g;
                u.moment1[i] = m;
                g = nesterov ? g + momentum * m : m;
            }
            u.value[i] -= learning_rate * g;
        }
    }
};

struct Adam {
    float scale, weight_decay, share1, beta2, share2, step_size, root_correction, epsilon;

    void operator()(const mnb_update& u, int64_t begin, int64_t end) const {
        for (int64_t i = begin; i < end; ++i) {
            float g = u.gradient[i] * scale;
            if (weight_decay != 0) g += weight_decay * u.value[i];
            const float m = u.moment1[i] + share1 * (g - u.moment1[i]);
            const float v = beta2 * u.moment2[i] + share2 * (g * g);
            u.moment1[i] = m;
            u.moment2[i] = v;
            u.value[i] -= step_size * (m / (std::sqrt(v) / root_correction + epsilon));
        }
    }
};

template <class Rule>
void apply(ThreadPool& pool, const Rule& rule, const mnb_update* params, int param_count) {
    const auto chunks = [](const mnb_update& u) { return (u.count + chunk_size - 1) / chunk_size; };
    int64_t tasks = 0;
    for (int p = 0; p < param_count; ++p) tasks += chunks(params[p]);
    pool.parallel_for(static_cast<int>(tasks), [&](int task, int) {
        int64_t chunk = task;
        const mnb_update* u = params;
        for (; chunk >= chunks(*u); ++u) chunk -= chunks(*u);
        rule(*u, chunk * chunk_size, std::min((chunk + 1) * chunk_size, u->count));
    });
}

}  // namespace

void update(Device& device, const mn_optimizer_desc& optimizer, const mnb_update* params,
            int param_count, double scale, int64_t step) {
    const double lr = optimizer.learning_rate;
    if (optimizer.kind == MN_OPTIMIZER_SGD) {
        Sgd rule{};
        rule.scale = static_cast<float>(scale);
        rule.weight_decay = optimizer.weight_decay;
        rule.learning_rate = optimizer.learning_rate;
        rule.momentum = optimizer.momentum;
        rule.undamped = static_cast<float>(1.0 - static_cast<double>(optimizer.dampening));
        rule.first = step == 1;
        rule.nesterov = optimizer.nesterov != 0;
        apply(device.pool, rule, params, param_count);
    } else if (optimizer.kind == MN_OPTIMIZER_ADAM) {
        const double beta1 = optimizer.beta1, beta2 = optimizer.beta2;
        Adam rule{};
        rule.scale = static_cast<float>(scale);
        rule.weight_decay = optimizer.weight_decay;
        rule.share1 = static_cast<float>(1.0 - beta1);
        rule.beta2 = optimizer.beta2;
        rule.share2 = static_cast<float>(1.0 - beta2);
        const double exponent = static_cast<double>(step);
        rule.step_size = static_cast<float>(lr / (1.0 - std::pow(beta1, exponent)));
        rule.root_correction = static_cast<float>(std::sqrt(1.0 - std::pow(beta2, exponent)));
        rule.epsilon = optimizer.epsilon;
        apply(device.pool, rule, params, param_count);
    } else {
        fail(MN_UNSUPPORTED, "the CPU has no optimizer of kind ", optimizer.kind);
    }
}

}  // namespace mn::cpu
