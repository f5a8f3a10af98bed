// What depends on the step only (bias corrections) is computed in double, once; the rest is
// float32, in the device's instruction set.

#include "backend/cpu/optimizer.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/kernels/table.h"
#include "graph/error.h"
#include "graph/moments.h"

namespace mn::cpu {
namespace {

// Elements of one task: fixed, so that the split does not depend on the number of threads.
constexpr int64_t chunk_size = 16384;

int64_t chunk_count(const mnb_update& u) {
    return (u.count + chunk_size - 1) / chunk_size;
}

// Calls body(parameter, first element, elements) for chunk `index` of all parameters.
template <class Body>
void on_chunk(const mnb_update* params, int64_t index, Body&& body) {
    const mnb_update* u = params;
    for (; index >= chunk_count(*u); ++u) index -= chunk_count(*u);
    const int64_t at = index * chunk_size;
    body(*u, at, std::min(chunk_size, u->count - at));
}

// As torch.nn.utils.clip_grad_norm_. Squares are summed in double, in an order that depends on the
// number of chunks only. The sums are few enough for the stack: nothing is allocated in a step.
double clip_scale(Device& device, const mnb_update* params, int64_t chunks,
                  const mnb_update_options& options) {
    constexpr int64_t most_tasks = 256;
    const int64_t tasks = std::min(chunks, most_tasks);
    double sums[most_tasks] = {};
    device.pool.parallel_for(static_cast<int>(tasks), [&](int task, int) {
        for (int64_t i = chunks * task / tasks; i < chunks * (task + 1) / tasks; ++i) {
            on_chunk(params, i, [&](const mnb_update& u, int64_t at, int64_t count) {
                sums[task] += device.table->f32_sum_of_squares(
                    u.gradient + at, count, static_cast<float>(options.scale), options.clip_value);
            });
        }
    });
    double sum = 0;
    for (int64_t i = 0; i < tasks; ++i) sum += sums[i];
    const double scale = static_cast<double>(options.clip_norm) / (std::sqrt(sum) + 1e-6);
    return scale > 1 ? 1 : scale;
}

// What is the same for all parameters.
UpdateStep common_step(const mn_optimizer_desc& o, const mnb_update_options& options) {
    UpdateStep step = {};
    step.kind = o.kind;
    step.scale = static_cast<float>(options.scale);
    step.clip_value = options.clip_value;
    step.epsilon = o.epsilon;
    step.momentum = o.momentum;
    const double exponent = static_cast<double>(options.step);
    switch (o.kind) {
        case MN_OPTIMIZER_SGD:
            step.undamped = static_cast<float>(1.0 - static_cast<double>(o.dampening));
            step.first = options.step == 1;
            step.nesterov = o.nesterov != 0;
            break;
        case MN_OPTIMIZER_ADAM:
        case MN_OPTIMIZER_ADAMW:
            step.share1 = static_cast<float>(1.0 - static_cast<double>(o.beta1));
            step.decay2 = o.beta2;
            step.share2 = static_cast<float>(1.0 - static_cast<double>(o.beta2));
            step.root_scale = static_cast<float>(
                1.0 / std::sqrt(1.0 - std::pow(static_cast<double>(o.beta2), exponent)));
            break;
        case MN_OPTIMIZER_RMSPROP:
            step.decay2 = o.alpha;
            step.share2 = static_cast<float>(1.0 - static_cast<double>(o.alpha));
            break;
        default:
            fail(MN_UNSUPPORTED, "the CPU has no optimizer of kind ", o.kind);
    }
    return step;
}

}  // namespace

void update(Device& device, const mn_optimizer_desc& optimizer, const mnb_update* params,
            int param_count, const mnb_update_options& options) {
    UpdateStep common = common_step(optimizer, options);
    int64_t chunks = 0;
    for (int p = 0; p < param_count; ++p) chunks += chunk_count(params[p]);
    common.clip_scale = 1;
    if (options.clip_norm > 0)
        common.clip_scale = static_cast<float>(clip_scale(device, params, chunks, options));
    const Moments has(optimizer);
    const double correction1 =
        1.0 - std::pow(static_cast<double>(optimizer.beta1), static_cast<double>(options.step));
    const auto update_chunk = [&](const mnb_update& u, int64_t at, int64_t count) {
        const double rate = static_cast<double>(optimizer.learning_rate) *
                            static_cast<double>(u.learning_rate_factor);
        UpdateStep step = common;
        step.weight_decay = u.weight_decay;
        step.learning_rate = static_cast<float>(rate);
        step.step_size = static_cast<float>(rate / correction1);
        const auto part = [&](bool used, float* moment) {
            return used && moment ? moment + at : nullptr;
        };
        device.table->f32_update(step,
                                 {u.value + at, u.gradient + at, part(has.first, u.moment1),
                                  part(has.second, u.moment2), part(has.third, u.moment3), count});
    };
    device.pool.parallel_for(static_cast<int>(chunks),
                             [&](int chunk, int) { on_chunk(params, chunk, update_chunk); });
}

}  // namespace mn::cpu
