// Nodes become operations on values. Input and normalisation become one load, so that the first
// operation reads pixels; a flattening becomes a view of its source, and so do a dropout that drops
// nothing and a reshaping that moves nothing.

#include <algorithm>
#include <cstddef>

#include "graph/ops.h"
#include "passes/program.h"

namespace mn {
namespace {

mnb_tensor tensor_of(const mn_shape& shape) {
    // A sequence {C, L} is an image of one row.
    if (shape.rank == 2) return dense_tensor(shape.dims[0], 1, shape.dims[1], false, MNB_NCHW);
    return shape.rank == 3
               ? dense_tensor(shape.dims[0], shape.dims[1], shape.dims[2], false, MNB_NCHW)
               : dense_tensor(element_count(shape), 1, 1, true, MNB_NCHW);
}

std::vector<bool> needed_nodes(const Graph& graph, const LowerOptions& options) {
    std::vector<bool> needed(graph.size(), options.whole_graph);
    for (int32_t output : options.outputs) needed[output] = true;
    for (const mn_loss_desc& loss : options.losses) needed[loss.node] = true;
    for (int32_t id = graph.size() - 1; id >= 0; id--)
        if (needed[id])
            for (int32_t source : graph.node(id).sources) needed[source] = true;
    return needed;
}

// Logical dimensions of a parameter; its layout is chosen later. The weights of a linear layer see
// the image that was flattened.
mnb_param param_of(const ParameterSpec& spec, const mnb_tensor& source, bool image_seen) {
    mnb_param param{};
    param.layout = MNB_PARAM_PLAIN;
    param.role = !spec.trainable ? MNB_STATISTIC : spec.bias ? MNB_BIAS : MNB_WEIGHT;
    param.o = spec.shape.dims[0];
    param.i = param.h = param.w = 1;
    if (image_seen && !spec.bias) {
        param.i = source.c, param.h = source.h, param.w = source.w;
        return param;
    }
    // The last dimension of a one-dimensional convolution's weights is the width.
    if (spec.shape.rank > 1) param.i = spec.shape.dims[1];
    if (spec.shape.rank == 3) param.w = spec.shape.dims[2];
    if (spec.shape.rank == 4) param.h = spec.shape.dims[2], param.w = spec.shape.dims[3];
    return param;
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

// A reshaping between values of one channel or one pixel, whose elements keep their places, becomes
// a view. Not where its source has other readers: the sum of their gradients would be of two
// shapes.
void view_reshapes(Program& program) {
    for (size_t i = 0; i < program.operations.size();) {
        const Operation& operation = program.operations[i];
        const auto is_row = [&](int32_t value) {
            return layout_is_trivial(program.values[value].tensor);
        };
        if (!traits_of(operation.op).order_kept || !is_row(operation.sources[0]) ||
            !is_row(operation.dst) ||
            only_reader(program, operation.sources[0]) != static_cast<int32_t>(i)) {
            i++;
            continue;
        }
        const int32_t from = program.values[operation.dst].storage;
        const int32_t to = program.values[operation.sources[0]].storage;
        for (Value& value : program.values)
            if (value.storage == from) value.storage = to;
        program.operations.erase(program.operations.begin() + static_cast<std::ptrdiff_t>(i));
    }
}

}  // namespace

Program lower(const Graph& graph, const LowerOptions& options) {
    Program program;
    program.training = options.training;
    program.max_batch = options.max_batch;
    program.precision = options.precision;
    program.input_gradients.assign(graph.inputs().size(), -1);
    const std::vector<bool> needed = needed_nodes(graph, options);

    std::vector<int32_t> value_of(graph.size(), -1);
    int32_t next_param = 0;
    for (int32_t id = 0; id < graph.size(); id++) {
        const Node& node = graph.node(id);
        const int32_t first_param = next_param;
        next_param += static_cast<int32_t>(node.parameters.size());
        if (!needed[id]) continue;

        const Traits& traits = traits_of(node.op);
        if (traits.lowering == Lowering::kView) {
            const int32_t source = value_of[node.sources[0]];
            mnb_tensor view = program.values[source].tensor;
            view.flat = 1;
            value_of[id] = program.add_view(view, source);
            continue;
        }

        if (traits.is_identity && traits.is_identity(node.desc, options.training)) {
            const int32_t source = value_of[node.sources[0]];
            value_of[id] = program.add_view(mnb_tensor(program.values[source].tensor), source);
            continue;
        }

        if (traits.lowering == Lowering::kNormalizedLoad) {
            // The load is the input's. Its value, unnormalised, may be wanted as well.
            Operation load = *std::find_if(
                program.operations.begin(), program.operations.end(), [&](const Operation& other) {
                    return other.op == MNB_OP_LOAD && other.node == node.sources[0];
                });
            load.mean = node.mean;
            load.std = node.std;
            load.desc.normalize.channels = static_cast<int32_t>(node.mean.size());
            load.name = node.name;
            load.dst = program.add_value(tensor_of(node.shape));
            value_of[id] = load.dst;
            program.operations.push_back(std::move(load));
            continue;
        }

        const bool is_load = traits.lowering == Lowering::kLoad;
        Operation operation;
        operation.op = is_load ? static_cast<int32_t>(MNB_OP_LOAD) : node.op;
        operation.desc = node.desc;
        operation.name = node.name;
        operation.node = id;
        if (is_load)
            operation.input =
                static_cast<int32_t>(std::find(graph.inputs().begin(), graph.inputs().end(), id) -
                                     graph.inputs().begin());
        for (int32_t source : node.sources) operation.sources.push_back(value_of[source]);
        for (const ParameterSpec& spec : node.parameters)
            operation.params.push_back(
                param_of(spec, program.values[operation.sources[0]].tensor, traits.image_seen));
        for (size_t p = 0; p < node.parameters.size(); p++) {
            const size_t index = static_cast<size_t>(first_param) + p;
            const bool frozen = index < options.frozen.size() && options.frozen[index];
            operation.param_ids.push_back(static_cast<int32_t>(index));
            operation.wants_diff_params.push_back(node.parameters[p].trainable && !frozen);
            if (traits.frozen_op >= 0 && !node.parameters[p].trainable && frozen)
                operation.op = traits.frozen_op;
        }
        operation.dst = program.add_value(tensor_of(node.shape));
        if (traits.view_kept) {
            mnb_tensor& dst = program.values[operation.dst].tensor;
            if (dst.flat) dst = program.values[operation.sources[0]].tensor;
        }
        value_of[id] = operation.dst;
        program.operations.push_back(std::move(operation));
    }

    for (int32_t output : options.outputs) program.outputs.push_back(value_of[output]);
    for (const mn_loss_desc& loss : options.losses) {
        Operation operation;
        operation.op = loss_op(loss.kind);
        operation.desc.loss = loss;
        if (loss.class_weights)
            operation.class_weights.assign(loss.class_weights,
                                           loss.class_weights + loss.class_weight_count);
        operation.name = text("loss of ", graph.node(loss.node).name);
        operation.sources.push_back(value_of[loss.node]);
        operation.loss = program.loss_count++;
        program.operations.push_back(std::move(operation));
    }

    // The load of an input that is only read normalised is not needed.
    const auto is_read = [&](int32_t value) {
        // Through a view, too.
        const auto same = [&](int32_t other) {
            return program.values[other].storage == program.values[value].storage;
        };
        for (const Operation& operation : program.operations)
            if (std::any_of(operation.sources.begin(), operation.sources.end(), same)) return true;
        return std::any_of(program.outputs.begin(), program.outputs.end(), same);
    };
    if (!options.whole_graph)
        program.operations.erase(
            std::remove_if(program.operations.begin(), program.operations.end(),
                           [&](const Operation& operation) {
                               return operation.op == MNB_OP_LOAD && !is_read(operation.dst);
                           }),
            program.operations.end());
    view_reshapes(program);
    return program;
}

}  // namespace mn
