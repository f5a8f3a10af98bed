// What depends on the step only (bias corrections) is computed in double, once; the rest is
// float32, in the device's instruction set.

#include "backend/cpu/optimizer.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/kernels/table.h"
#include "graph/error.h"

namespace mn::cpu {
namespace {

// Elements of one task: fixed, so that the split does not depend on the number of threads.
constexpr int64_t chunk_size = 16384;

void apply(Device& device, const UpdateStep& step, const mnb_update* params, int param_count) {
    const auto chunks = [](const mnb_update& u) { return (u.count + chunk_size - 1) / chunk_size; };
    const bool has_moment = step.adam || step.momentum != 0;
    int64_t tasks = 0;
    for (int p = 0; p < param_count; ++p) tasks += chunks(params[p]);
    device.pool.parallel_for(static_cast<int>(tasks), [&](int task, int) {
        int64_t chunk = task;
        const mnb_update* u = params;
        for (; chunk >= chunks(*u); ++u) chunk -= chunks(*u);
        const int64_t at = chunk * chunk_size;
        device.table->f32_update(step, u->value + at, u->gradient + at,
                                 has_moment && u->moment1 ? u->moment1 + at : nullptr,
                                 u->moment2 ? u->moment2 + at : nullptr,
                                 std::min(chunk_size, u->count - at));
    });
}

}  // namespace

void update(Device& device, const mn_optimizer_desc& optimizer, const mnb_update* params,
            int param_count, const mnb_update_options& options) {
    UpdateStep rule = {};
    rule.scale = static_cast<float>(options.scale);
    rule.weight_decay = optimizer.weight_decay;
    rule.learning_rate = optimizer.learning_rate;
    if (optimizer.kind == MN_OPTIMIZER_SGD) {
        rule.momentum = optimizer.momentum;
        rule.undamped = static_cast<float>(1.0 - static_cast<double>(optimizer.dampening));
        rule.first = options.step == 1;
        rule.nesterov = optimizer.nesterov != 0;
    } else if (optimizer.kind == MN_OPTIMIZER_ADAM) {
        const double beta1 = optimizer.beta1, beta2 = optimizer.beta2;
        const double exponent = static_cast<double>(options.step);
        rule.adam = 1;
        rule.share1 = static_cast<float>(1.0 - beta1);
        rule.beta2 = optimizer.beta2;
        rule.share2 = static_cast<float>(1.0 - beta2);
        rule.step_size = static_cast<float>(static_cast<double>(optimizer.learning_rate) /
                                            (1.0 - std::pow(beta1, exponent)));
        rule.root_scale = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(beta2, exponent)));
        rule.epsilon = optimizer.epsilon;
    } else {
        fail(MN_UNSUPPORTED, "the CPU has no optimizer of kind ", optimizer.kind);
    }
    apply(device, rule, params, param_count);
}

}  // namespace mn::cpu
