// The steps of a plan. For training: every operation forward, then, from the losses back, every
// operation that a loss depends on and that has parameters or a source that depends on some. A
// value with several readers gets a gradient from each of them; these are summed in a fixed order.
//
// The backward pass of a convolution reads its source. Where a normalisation has made that, it is
// not kept, but recomputed from the normalisation's source, which is kept anyway: half the
// memory of a residual network for one cheap pass more over it.

#include <algorithm>
#include <set>

#include "graph/ops.h"
#include "passes/program.h"

namespace mn {
namespace {

// Whether the operation is differentiable in this source. Embedding indices and unpooling positions
// are not: the result is piecewise constant in them.
bool is_differentiable(const Operation& operation, size_t source) {
    return traits_of(operation.op).differentiable_sources >> source & 1;
}

class Scheduler {
public:
    Scheduler(Program& program, const BackendQuery& backend)
        : program_(program), backend_(backend) {}

    void inference() {
        for (size_t i = 0; i < program_.operations.size(); i++)
            push({static_cast<int32_t>(i), MNB_FORWARD_INFERENCE});
    }

    void training(bool input_gradient) {
        const size_t count = program_.operations.size();
        gradients_.resize(program_.storage_count);
        recomputed_.assign(program_.storage_count, -1);
        requires_.assign(program_.storage_count, false);
        makers_.assign(program_.storage_count, -1);
        for (size_t i = 0; i < count; i++) {
            const Operation& operation = program_.operations[i];
            if (operation.dst < 0) continue;
            makers_[storage(operation.dst)] = static_cast<int32_t>(i);
            bool required =
                std::any_of(operation.wants_diff_params.begin(), operation.wants_diff_params.end(),
                            [](bool b) { return b; });
            if (operation.op == MNB_OP_LOAD) required = input_gradient;
            for (size_t s = 0; s < operation.sources.size(); s++)
                required |=
                    requires_[storage(operation.sources[s])] && is_differentiable(operation, s);
            requires_[storage(operation.dst)] = required;
        }
        for (size_t i = 0; i < count; i++) {
            Step step{static_cast<int32_t>(i), MNB_FORWARD_TRAINING};
            if (program_.operations[i].loss >= 0) step.diff_sources = make_diff_sources(i);
            push(std::move(step));
        }
        for (size_t i = count; i-- > 0;) backward(i);
        add_shared_gradients();
    }

private:
    int32_t storage(int32_t value) const { return program_.values[value].storage; }

    void backward(size_t i) {
        const int32_t dst = program_.operations[i].dst;
        if (dst < 0 || !requires_[storage(dst)]) return;
        const int32_t diff_dst = total_gradient(storage(dst));  // may add operations
        if (diff_dst < 0) return;                               // no loss depends on it
        if (program_.operations[i].op == MNB_OP_LOAD) {
            int32_t& gradient = program_.input_gradients[program_.operations[i].input];
            if (gradient >= 0)
                fail(MN_UNSUPPORTED, "[", program_.operations[i].name,
                     "] the gradient by an input that is read in two ways (as it is and "
                     "normalised, or normalised twice) is not supported");
            gradient = diff_dst;
            return;
        }
        Step step{static_cast<int32_t>(i), MNB_BACKWARD};
        step.diff_dst = diff_dst;
        step.diff_sources = make_diff_sources(i, diff_dst);
        if (has_work(program_.operations[i], step)) push(std::move(step));
    }

    // The gradient of a parameter that several operations use is the sum of theirs, in the order of
    // the steps.
    void add_shared_gradients() {
        std::set<int32_t> written;
        for (Step& step : program_.steps) {
            if (step.direction != MNB_BACKWARD) continue;
            const Operation& operation = program_.operations[step.operation];
            step.accumulate.resize(operation.params.size());
            for (size_t p = 0; p < operation.params.size(); p++)
                if (operation.wants_diff_params[p])
                    step.accumulate[p] = !written.insert(operation.param_ids[p]).second;
        }
    }

    static bool has_work(const Operation& operation, const Step& step) {
        const auto wanted = [](int32_t diff) { return diff >= 0; };
        return std::any_of(step.diff_sources.begin(), step.diff_sources.end(), wanted) ||
               std::any_of(operation.wants_diff_params.begin(), operation.wants_diff_params.end(),
                           [](bool wants) { return wants; });
    }

    // Whether the gradient by a source is the result's, in the same place: a reader of the one is a
    // reader of the other, and gradients are never changed once they are written.
    bool aliases_gradient(const Operation& operation, size_t s) const {
        const auto aliases = traits_of(operation.op).aliases_gradient;
        if (!aliases || !aliases(operation.desc, s)) return false;
        const mnb_tensor& source = program_.values[operation.sources[s]].tensor;
        const mnb_tensor& dst = program_.values[operation.dst].tensor;
        return source.rank == dst.rank &&
               std::equal(source.dims, source.dims + source.rank, dst.dims) &&
               std::equal(source.strides, source.strides + source.rank, dst.strides);
    }

    // New values for the gradients of the sources that need one.
    std::vector<int32_t> make_diff_sources(size_t i, int32_t diff_dst = -1) {
        std::vector<int32_t> result;
        for (size_t s = 0; s < program_.operations[i].sources.size(); s++) {
            const int32_t source = program_.operations[i].sources[s];
            int32_t diff = -1;
            if (requires_[storage(source)] && aliases_gradient(program_.operations[i], s)) {
                gradients_[storage(source)].push_back(diff_dst);
            } else if (requires_[storage(source)] && is_differentiable(program_.operations[i], s)) {
                diff = program_.add_value(mnb_tensor(program_.values[source].tensor));
                gradients_[storage(source)].push_back(diff);
            }
            result.push_back(diff);
        }
        return result;
    }

    // The sum of the gradients that a value's readers have left, or -1.
    int32_t total_gradient(int32_t storage) {
        int32_t total = -1;
        for (int32_t part : gradients_[storage]) {
            if (total < 0) {
                total = part;
                continue;
            }
            Operation sum;
            sum.op = MNB_OP_SUM;
            sum.name = "sum of gradients";
            // A reader of another shape has left the elements in the same order.
            const mnb_tensor tensor = program_.values[total].tensor;
            sum.sources = {total, program_.add_view(tensor, part)};
            sum.dst = program_.add_value(tensor);
            total = sum.dst;
            program_.operations.push_back(std::move(sum));
            push({static_cast<int32_t>(program_.operations.size()) - 1, MNB_FORWARD_INFERENCE});
        }
        return total;
    }

    void push(Step step) {
        mnb_node node = program_.node(program_.operations[step.operation]);
        for (size_t s = 0; s < step.diff_sources.size(); s++)
            node.wants_diff_src[s] = step.diff_sources[s] >= 0;
        step.support = backend_.query(node, step.direction);
        if (!step.support.supported)
            fail(MN_UNSUPPORTED, "[", node.name, "] is not supported by this device",
                 step.direction == MNB_BACKWARD ? " in the backward pass" : "");
        step.sources = program_.operations[step.operation].sources;
        const bool is_recomputing = program_.operations[step.operation].saved_of >= 0;
        if (is_recomputing ||
            (step.direction == MNB_BACKWARD && step.support.backward_needs & MNB_NEEDS_SRC))
            for (int32_t& source : step.sources) source = recomputed(source);  // may push steps
        program_.steps.push_back(std::move(step));
    }

    // The value itself, or the same recomputed.
    int32_t recomputed(int32_t value) {
        const int32_t from = storage(value);
        // A normalisation without a backward pass does not keep its source.
        if (static_cast<size_t>(from) >= recomputed_.size() || !requires_[from]) return value;
        if (recomputed_[from] < 0) {
            const int32_t made = make_recomputed(from);
            if (made < 0) return value;
            recomputed_[from] = made;
        }
        return program_.add_view(mnb_tensor(program_.values[value].tensor), recomputed_[from]);
    }

    int32_t make_recomputed(int32_t from) {
        const int32_t maker = makers_[from];
        if (maker < 0) return -1;
        Operation operation = program_.operations[maker];
        operation.op = traits_of(operation.op).recompute_op;
        if (operation.op < 0) return -1;
        operation.saved_of = maker;
        operation.wants_diff_params.assign(operation.params.size(), false);
        if (!backend_.query(program_.node(operation), MNB_FORWARD_INFERENCE).supported) return -1;
        operation.dst = program_.add_value(mnb_tensor(program_.values[operation.dst].tensor));
        const int32_t made = operation.dst;
        program_.operations.push_back(std::move(operation));
        push({static_cast<int32_t>(program_.operations.size()) - 1, MNB_FORWARD_INFERENCE});
        return made;
    }

    Program& program_;
    const BackendQuery& backend_;
    std::vector<int32_t> makers_;                  // of a storage: the operation that fills it
    std::vector<int32_t> recomputed_;              // of a storage: its recomputed value, or -1
    std::vector<std::vector<int32_t>> gradients_;  // of a storage, one a reader
    std::vector<bool> requires_;                   // of a storage: does it need a gradient?
};

}  // namespace

void schedule_inference(Program& program, const BackendQuery& backend) {
    Scheduler(program, backend).inference();
}

void schedule_training(Program& program, const BackendQuery& backend, bool input_gradient) {
    Scheduler(program, backend).training(input_gradient);
}

}  // namespace mn
