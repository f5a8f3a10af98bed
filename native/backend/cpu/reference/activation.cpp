// The elementwise activations, by the formulas of backend/activations.h.

#include <algorithm>

#include "backend/activations.h"
#include "backend/cpu/reference/common.h"

namespace mn::cpu::reference {
namespace {

// Elements of one task.
constexpr int64_t chunk = 16 * 1024;

// Calls body(formula) with the formula of the kind.
template <class Body>
auto with_formula(int32_t kind, Body&& body) {
    switch (kind) {
#define MN_ACTIVATION(id, value, formula) \
    case MN_ACTIVATION_##id:              \
        return body(activations::formula());
#include "graph/ops.def"
        default:
            return body(activations::Relu());
    }
}

bool same_place(const ImageView& a, const ImageView& b) {
    return a.sn == b.sn && a.sc == b.sc && a.sh == b.sh && a.sw == b.sw;
}

template <class Function>
class Activation : public Kernel {
public:
    Activation(const ImageNode& node, int direction)
        : src_(node.src[0]),
          dst_(node.dst),
          parameters_{node.desc.activation.alpha, node.desc.activation.threshold},
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
        const activations::Activation a = parameters_;
        if (!backward_) {
            const float* src = run.src[0];
            float* dst = run.dst;
            for (int64_t i = first; i < last; ++i)
                dst[dst_at(i)] = Function::forward(a, src[src_at(i)]);
            return;
        }
        const float* diff_dst = run.diff_dst;
        float* diff_src = run.diff_src[0];
        if constexpr (Function::kUsesDst) {
            const float* dst = run.dst;
            for (int64_t i = first; i < last; ++i)
                diff_src[src_at(i)] = Function::backward(a, dst[dst_at(i)], diff_dst[dst_at(i)]);
        } else {
            const float* src = run.src[0];
            for (int64_t i = first; i < last; ++i)
                diff_src[src_at(i)] = Function::backward(a, src[src_at(i)], diff_dst[dst_at(i)]);
        }
    }

    ImageView src_, dst_;
    activations::Activation parameters_;
    bool backward_;
    bool dense_;  // source and result are one piece of memory each, in the same order
};

}  // namespace

bool activation_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    take_layouts(node, support);
    support.backward_needs = with_formula(node.desc.activation.kind, [](auto formula) -> int32_t {
        return decltype(formula)::kUsesDst ? MNB_NEEDS_DST : MNB_NEEDS_SRC;
    });
    return true;
}

std::unique_ptr<Kernel> activation_create(const Device&, const ImageNode& node, int direction) {
    return with_formula(node.desc.activation.kind, [&](auto formula) -> std::unique_ptr<Kernel> {
        return std::make_unique<Activation<decltype(formula)>>(node, direction);
    });
}

}  // namespace mn::cpu::reference
