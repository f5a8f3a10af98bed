// Nodes become operations on values. Input and normalisation become one load, so that the first
// operation reads pixels; a dropout that drops nothing is its source.
//
// A change of shape costs nothing where its reader takes the elements one by one: that reads the
// source as it is, in whatever layout. Others read an MNB_OP_VIEW.

#include <algorithm>

#include "graph/ops.h"
#include "passes/program.h"

namespace mn {
namespace {

std::vector<bool> needed_nodes(const Graph& graph, const LowerOptions& options) {
    std::vector<bool> needed(graph.size(), options.whole_graph);
    for (int32_t output : options.outputs) needed[output] = true;
    for (const mn_loss_desc& loss : options.losses) needed[loss.node] = true;
    for (int32_t id = graph.size() - 1; id >= 0; id--)
        if (needed[id])
            for (int32_t source : graph.node(id).sources) needed[source] = true;
    return needed;
}

// The shape that a parameter is stored in. Weights that have an input for each element, O x I,
// become O x C x H x W, so that they can be stored in the order of the source's elements.
mn_shape stored_shape(const ParameterSpec& spec, const mnb_tensor& source, bool by_element) {
    mn_shape shape = spec.shape;
    if (!by_element || spec.bias || source.rank == 1) return shape;
    shape.rank = 1 + source.rank;
    std::copy_n(source.dims, source.rank, shape.dims + 1);
    return shape;
}

// What of the backend's ops computes a loss.
int32_t loss_op(int32_t kind) {
    switch (kind) {
        case MN_LOSS_OUTPUT_GRADIENT:
            return MNB_OP_OUTPUT_GRADIENT;
        case MN_LOSS_CROSS_ENTROPY:
        case MN_LOSS_NLL:
            return MNB_OP_LABEL_LOSS;
        default:
            return MNB_OP_TARGET_LOSS;
    }
}

class GraphLowering {
public:
    GraphLowering(const Graph& graph, const LowerOptions& options)
        : graph_(graph), options_(options) {
        program_.training = options.training;
        program_.max_batch = options.max_batch;
        program_.precision = options.precision;
        program_.input_gradients.assign(graph.inputs().size(), -1);
        results_.resize(graph.size());
        load_of_.assign(graph.size(), -1);
        input_of_.assign(graph.size(), -1);
        for (size_t i = 0; i < graph.inputs().size(); i++)
            input_of_[graph.inputs()[i]] = static_cast<int32_t>(i);
    }

    Program run() {
        const std::vector<bool> needed = needed_nodes(graph_, options_);
        for (int32_t id = 0; id < graph_.size(); id++)
            if (needed[id]) lower(graph_.node(id));
        for (int32_t output : options_.outputs) program_.outputs.push_back(results_[output].value);
        for (const mn_loss_desc& loss : options_.losses) add_loss(loss);
        if (!options_.whole_graph) remove_unread_loads();
        return std::move(program_);
    }

private:
    // Where a node's result is: in a value of its shape, or of another, whose elements it is in
    // order.
    struct Result {
        int32_t value = -1;
        bool has_other_shape = false;
    };

    void lower(const Node& node) {
        const Traits& traits = traits_of(node.op);
        if (traits.lowering == Lowering::kView)
            results_[node.id] = {results_[node.sources[0]].value, true};
        else if (traits.is_identity && traits.is_identity(node.desc, options_.training))
            results_[node.id] = results_[node.sources[0]];
        else if (traits.lowering == Lowering::kNormalizedLoad)
            add_normalized_load(node);
        else
            add_operation(node);
    }

    // The load is the input's. Its value, unnormalised, may be wanted as well.
    void add_normalized_load(const Node& node) {
        Operation load = program_.operations[load_of_[node.sources[0]]];
        load.mean = node.mean;
        load.std = node.std;
        load.desc.normalize.channels = static_cast<int32_t>(node.mean.size());
        load.name = node.name;
        load.dst = program_.add_value(dense_tensor(node.shape, MNB_NCHW));
        results_[node.id].value = load.dst;
        program_.operations.push_back(std::move(load));
    }

    void add_operation(const Node& node) {
        const Traits& traits = traits_of(node.op);
        const bool is_load = traits.lowering == Lowering::kLoad;
        const bool is_elementwise = traits.is_elementwise && traits.is_elementwise(node.desc);
        Operation operation;
        operation.op = is_load ? static_cast<int32_t>(MNB_OP_LOAD) : node.op;
        operation.desc = node.desc;
        operation.name = node.name;
        operation.node = node.id;
        if (is_load) {
            operation.input = input_of_[node.id];
            load_of_[node.id] = static_cast<int32_t>(program_.operations.size());
        }
        bool has_other_shape = false;
        for (int32_t source : node.sources) {
            if (!is_elementwise && !traits.by_element) give_shape(source);
            has_other_shape |= results_[source].has_other_shape;
            operation.sources.push_back(results_[source].value);
        }
        add_params(node, operation);
        mnb_tensor dst = dense_tensor(node.shape, MNB_NCHW);
        if (has_other_shape && is_elementwise) {
            dst = program_.values[operation.sources[0]].tensor;
            results_[node.id].has_other_shape = true;
        }
        operation.dst = results_[node.id].value = program_.add_value(dst);
        program_.operations.push_back(std::move(operation));
    }

    void add_params(const Node& node, Operation& operation) const {
        for (size_t p = 0; p < node.parameters.size(); p++) {
            const ParameterSpec& spec = node.parameters[p];
            const auto index = static_cast<size_t>(node.parameter_ids[p]);
            const bool frozen = index < options_.frozen.size() && options_.frozen[index];
            operation.params.push_back(
                options_.parameters.empty()
                    ? stored_param(stored_shape(spec, program_.values[operation.sources[0]].tensor,
                                                traits_of(node.op).by_element),
                                   !spec.trainable ? MNB_STATISTIC
                                   : spec.bias     ? MNB_BIAS
                                                   : MNB_WEIGHT,
                                   MNB_PARAM_ANY)
                    : options_.parameters[index]);
            operation.param_ids.push_back(static_cast<int32_t>(index));
            operation.wants_diff_params.push_back(spec.trainable && !frozen);
            const int32_t frozen_op = traits_of(node.op).frozen_op;
            if (frozen_op >= 0 && !spec.trainable && frozen) operation.op = frozen_op;
        }
    }

    // Makes a value of the node's own shape where its result has another.
    void give_shape(int32_t node) {
        if (!results_[node].has_other_shape) return;
        Operation view;
        view.op = MNB_OP_VIEW;
        view.name = graph_.node(node).name;
        view.node = node;
        view.sources.push_back(results_[node].value);
        view.dst = program_.add_value(dense_tensor(graph_.node(node).shape, MNB_NCHW));
        results_[node] = {view.dst, false};
        program_.operations.push_back(std::move(view));
    }

    void add_loss(const mn_loss_desc& loss) {
        give_shape(loss.node);
        Operation operation;
        operation.op = loss_op(loss.kind);
        operation.desc.loss = loss;
        if (loss.class_weights)
            operation.class_weights.assign(loss.class_weights,
                                           loss.class_weights + loss.class_weight_count);
        operation.name = text("loss of ", graph_.node(loss.node).name);
        operation.sources.push_back(results_[loss.node].value);
        operation.loss = program_.loss_count++;
        program_.operations.push_back(std::move(operation));
    }

    // The load of an input that is only read normalised is not needed.
    void remove_unread_loads() {
        const Readers readers(program_);
        std::vector<bool> gone;
        for (const Operation& operation : program_.operations)
            gone.push_back(operation.op == MNB_OP_LOAD && !readers.any(operation.dst));
        remove_operations(program_, gone);
    }

    const Graph& graph_;
    const LowerOptions& options_;
    Program program_;
    std::vector<Result> results_;    // of the nodes
    std::vector<int32_t> load_of_;   // of an input's node: its operation
    std::vector<int32_t> input_of_;  // of an input's node: which of the inputs it is
};

}  // namespace

Program lower(const Graph& graph, const LowerOptions& options) {
    return GraphLowering(graph, options).run();
}

}  // namespace mn
