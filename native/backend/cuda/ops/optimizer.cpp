// One optimizer step over all parameters: a table of them is copied to the device, and one launch
// updates every chunk of every parameter.

#include <cmath>
#include <vector>

#include "backend/cuda/ops/ops.h"
#include "graph/moments.h"

namespace mn::cuda {
namespace {

float rest(float share) {
    return static_cast<float>(1.0 - static_cast<double>(share));
}

UpdateParams common_params(const mn_optimizer_desc& o, const mnb_update_options& options) {
    UpdateParams p{};
    p.kind = o.kind;
    p.clip_norm = static_cast<double>(options.clip_norm);
    p.scale = static_cast<float>(options.scale);
    p.clip_value = options.clip_value;
    p.epsilon = o.epsilon;
    p.momentum = o.momentum;
    switch (o.kind) {
        case MN_OPTIMIZER_SGD:
            p.undamped = rest(o.dampening);
            p.nesterov = o.nesterov != 0;
            break;
        case MN_OPTIMIZER_ADAM:
        case MN_OPTIMIZER_ADAMW:
            p.share1 = rest(o.beta1);
            p.decay2 = o.beta2;
            p.share2 = rest(o.beta2);
            break;
        case MN_OPTIMIZER_RMSPROP:
            p.decay2 = o.alpha;
            p.share2 = rest(o.alpha);
            break;
        default:
            fail(MN_UNSUPPORTED, "the CUDA backend has no optimizer of kind ", o.kind);
    }
    return p;
}

}  // namespace

void update(Device& device, const mn_optimizer_desc& optimizer, const mnb_update* params,
            int32_t count, const mnb_update_options& options) {
    UpdateParams p = common_params(optimizer, options);
    if (count == 0) return;
    const Moments has(optimizer);
    // The table: items, then the first chunk of each and the number of all.
    const size_t items_bytes = static_cast<size_t>(count) * sizeof(UpdateItem);
    const size_t table_bytes = items_bytes + static_cast<size_t>(count + 1) * sizeof(int64_t);
    std::vector<int64_t> table(table_bytes / sizeof(int64_t));
    UpdateItem* items = reinterpret_cast<UpdateItem*>(table.data());
    int64_t* first_chunk = table.data() + items_bytes / sizeof(int64_t);
    int64_t chunks = 0;
    for (int32_t i = 0; i < count; i++) {
        const mnb_update& u = params[i];
        const double rate = static_cast<double>(optimizer.learning_rate) *
                            static_cast<double>(u.learning_rate_factor);
        items[i] = {u.value,
                    u.gradient,
                    has.first ? u.moment1 : nullptr,
                    has.second ? u.moment2 : nullptr,
                    has.third ? u.moment3 : nullptr,
                    u.count,
                    static_cast<float>(rate),
                    static_cast<float>(rate / u.correction1),
                    u.weight_decay,
                    static_cast<float>(1.0 / std::sqrt(u.correction2)),
                    u.step == 1,
                    0};
        first_chunk[i] = chunks;
        chunks += divide_up(u.count, kUpdateChunk);
    }
    first_chunk[count] = chunks;
    const Buffer& memory =
        device.update_memory(table_bytes + static_cast<size_t>(chunks + 1) * sizeof(double));
    device.copy_in(memory.at<void>(), table.data(), table_bytes);
    p.items = memory.at<UpdateItem>();
    p.first_chunk = memory.at<int64_t>(items_bytes);
    p.item_count = count;
    if (options.clip_norm > 0) {
        double* total = memory.at<double>(table_bytes);
        const SquareSumParams squares = {p.items, p.first_chunk, total + 1,
                                         count,   p.scale,       p.clip_value};
        device.launch_blocks("mn_square_sum", squares, chunks);
        device.launch_blocks("mn_total", TotalParams{total + 1, total, chunks}, 1);
        p.square_sum = total;
    }
    device.launch_blocks("mn_update", p, chunks);
}

}  // namespace mn::cuda
