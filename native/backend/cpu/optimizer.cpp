// What a parameter's step depends on (rates and bias corrections) is computed in double; the rest
// is float32, in the device's instruction set.

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

// The chunks of all parameters, dealt out to tasks: a task has a range of them, found in one pass
// over the parameters. Few enough for the stack: nothing is allocated in a step.
class Chunks {
public:
    Chunks(const mnb_update* params, int count) {
        for (int p = 0; p < count; ++p) total_ += chunk_count(params[p]);
        tasks_ = std::min(total_, most_tasks);
        int64_t before = 0;  // chunks of the parameters so far
        const mnb_update* u = params;
        for (int64_t task = 0; task < tasks_; ++task) {
            for (; before + chunk_count(*u) <= first(task); ++u) before += chunk_count(*u);
            starts_[task] = {u, first(task) - before};
        }
    }

    static constexpr int64_t most_tasks = 256;
    int tasks() const { return static_cast<int>(tasks_); }

    // Calls body(parameter, first element, elements) for the chunks of a task.
    template <class Body>
    void for_each(int task, Body&& body) const {
        const mnb_update* u = starts_[task].parameter;
        int64_t chunk = starts_[task].chunk;
        for (int64_t left = first(task + 1) - first(task); left > 0; --left, ++chunk) {
            for (; chunk >= chunk_count(*u); ++u) chunk = 0;
            const int64_t at = chunk * chunk_size;
            body(*u, at, std::min(chunk_size, u->count - at));
        }
    }

private:
    int64_t first(int64_t task) const { return total_ * task / tasks_; }

    struct Start {
        const mnb_update* parameter;
        int64_t chunk;  // of the parameter
    };
    int64_t total_ = 0, tasks_ = 0;
    Start starts_[most_tasks];
};

// As torch.nn.utils.clip_grad_norm_. Squares are summed in double, in an order that depends on the
// number of chunks only.
double clip_scale(Device& device, const Chunks& chunks, const mnb_update_options& options) {
    double sums[Chunks::most_tasks] = {};
    device.pool.parallel_for(chunks.tasks(), [&](int task, int) {
        chunks.for_each(task, [&](const mnb_update& u, int64_t at, int64_t count) {
            sums[task] += device.table->f32_sum_of_squares(
                u.gradient + at, count, static_cast<float>(options.scale), options.clip_value);
        });
    });
    double sum = 0;
    for (int i = 0; i < chunks.tasks(); ++i) sum += sums[i];
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
    switch (o.kind) {
        case MN_OPTIMIZER_SGD:
            step.undamped = static_cast<float>(1.0 - static_cast<double>(o.dampening));
            step.nesterov = o.nesterov != 0;
            break;
        case MN_OPTIMIZER_ADAM:
        case MN_OPTIMIZER_ADAMW:
            step.share1 = static_cast<float>(1.0 - static_cast<double>(o.beta1));
            step.decay2 = o.beta2;
            step.share2 = static_cast<float>(1.0 - static_cast<double>(o.beta2));
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
    const Chunks chunks(params, param_count);
    common.clip_scale = 1;
    if (options.clip_norm > 0)
        common.clip_scale = static_cast<float>(clip_scale(device, chunks, options));
    const Moments has(optimizer);
    const auto update_chunk = [&](const mnb_update& u, int64_t at, int64_t count) {
        const double rate = static_cast<double>(optimizer.learning_rate) *
                            static_cast<double>(u.learning_rate_factor);
        UpdateStep step = common;
        step.first = u.step == 1;
        step.weight_decay = u.weight_decay;
        step.learning_rate = static_cast<float>(rate);
        step.step_size = static_cast<float>(rate / u.correction1);
        step.root_scale = static_cast<float>(1.0 / std::sqrt(u.correction2));
        const auto part = [&](bool used, float* moment) {
            return used && moment ? moment + at : nullptr;
        };
        device.table->f32_update(step,
                                 {u.value + at, u.gradient + at, part(has.first, u.moment1),
                                  part(has.second, u.moment2), part(has.third, u.moment3), count});
    };
    device.pool.parallel_for(chunks.tasks(),
                             [&](int task, int) { chunks.for_each(task, update_chunk); });
}

}  // namespace mn::cpu
