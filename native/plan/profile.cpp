#include "plan/profile.h"

#include <algorithm>

#include "graph/ops.h"

namespace mn {
namespace {

std::string op_name(int32_t op) {
    switch (op) {
        case MNB_OP_LOAD:
            return "load";
        case MNB_OP_REORDER:
            return "reorder";
        case MNB_OP_SUM:
            return "sum";
        case MNB_OP_LABEL_LOSS:
        case MNB_OP_TARGET_LOSS:
        case MNB_OP_OUTPUT_GRADIENT:
            return "loss";
        case MNB_OP_FROZEN_BATCH_NORM:
            return "frozen_batch_norm";
        case MNB_OP_BATCH_NORM_AGAIN:
            return "batch_norm_again";
        default:
            return op_info(op).name;
    }
}

bool has_bias(const Operation& operation) {
    switch (operation.op) {
        case MN_OP_CONV2D:
            return operation.desc.conv2d.bias;
        case MN_OP_CONV_TRANSPOSE2D:
            return operation.desc.conv_transpose2d.bias;
        case MN_OP_LINEAR:
            return operation.desc.linear.bias;
        default:
            return false;
    }
}

// In the order in which they are computed.
std::string describe(const Operation& operation) {
    std::string result = op_name(operation.op);
    if (operation.op == MNB_OP_LOAD && !operation.mean.empty()) result += "+normalize";
    if (has_bias(operation)) result += "+bias";
    if (operation.has_norm) result += "+batch_norm";
    if (operation.activation == MN_ACTIVATION_RELU) result += "+relu";
    if (operation.has_pool) result += "+max_pool2d";
    return result;
}

bool any_diff_source(const Step& step) {
    return std::any_of(step.diff_sources.begin(), step.diff_sources.end(),
                       [](int32_t diff) { return diff >= 0; });
}

int64_t multiply_adds(const Operation& operation, const Step& step, const Graph& graph) {
    // Only ops of the graph have weights.
    if (operation.params.empty()) return 0;
    const int64_t forward = graph.node(operation.node).multiply_adds;
    if (step.direction != MNB_BACKWARD) return forward;
    return forward * (int{any_diff_source(step)} + int{operation.wants_diff_params[0]});
}

int64_t param_bytes(const mnb_param& param) {
    return param.storage * static_cast<int64_t>(sizeof(float));
}

int64_t step_bytes(const Program& program, const Operation& operation, const Step& step,
                   int32_t dtype, int64_t count) {
    const auto values = [&](int32_t value) {
        return value < 0 ? 0 : image_bytes(program.values[value].tensor) * count;
    };
    const bool backward = step.direction == MNB_BACKWARD;
    const int32_t needs = step.support.backward_needs;
    int64_t bytes = 0;
    if (!backward || needs & MNB_NEEDS_SRC)
        for (int32_t source : operation.sources) bytes += values(source);
    if (!backward || needs & MNB_NEEDS_DST) bytes += values(operation.dst);
    if (step.direction == MNB_FORWARD_TRAINING || (backward && needs & MNB_NEEDS_SAVED))
        bytes += step.support.saved_bytes * count;
    bytes += values(step.diff_dst);
    for (int32_t diff : step.diff_sources) bytes += values(diff);
    if (operation.op == MNB_OP_LOAD)
        bytes += values(operation.dst) / (dtype == MN_UINT8 ? int64_t{sizeof(float)} : 1);
    if (operation.op == MN_OP_EMBEDDING) return bytes + values(operation.dst);  // rows, not all
    if (!backward || any_diff_source(step))
        for (const mnb_param& param : operation.params) bytes += param_bytes(param);
    if (backward)
        for (size_t p = 0; p < operation.params.size(); p++)
            if (operation.wants_diff_params[p]) bytes += param_bytes(operation.params[p]);
    return bytes;
}

}  // namespace

std::vector<ProfileEntry> step_entries(const Plan& plan) {
    const Program& program = plan.program();
    std::vector<ProfileEntry> entries;
    for (const Step& step : program.steps) {
        const Operation& operation = program.operations[step.operation];
        ProfileEntry entry;
        entry.node = operation.node;
        entry.direction = step.direction == MNB_BACKWARD ? MN_PROFILE_BACKWARD : MN_PROFILE_FORWARD;
        entry.name = operation.name;
        entry.op = describe(operation);
        entry.kernel = step.support.kernel;
        entries.push_back(std::move(entry));
    }
    return entries;
}

void add_times(std::vector<ProfileEntry>& entries, const Plan& plan, const Graph& graph,
               const StepTimes& times, int64_t count) {
    const Program& program = plan.program();
    for (size_t i = 0; i < program.steps.size(); i++) {
        const Step& step = program.steps[i];
        const Operation& operation = program.operations[step.operation];
        entries[i].seconds = times.steps[i].seconds;
        entries[i].flops = 2 * multiply_adds(operation, step, graph) * count;
        entries[i].bytes = step_bytes(program, operation, step, times.steps[i].dtype, count);
    }
}

ProfileEntry refresh_entry(const Plan& plan) {
    ProfileEntry entry;
    entry.direction = MN_PROFILE_UPDATE;
    entry.bytes = plan.packed_bytes();
    for (const Step& step : plan.program().steps)
        if (step.support.packed_bytes)
            entry.bytes += param_bytes(plan.program().operations[step.operation].params[0]);
    entry.name = "derived weights";
    entry.op = "pack";
    return entry;
}

ProfileEntry update_entry(const ParameterStore& store) {
    ProfileEntry entry;
    entry.direction = MN_PROFILE_UPDATE;
    // Gradients are read; values, of the same size, and moments are read and written.
    entry.bytes = 3 * store.gradient_bytes() + 2 * store.optimizer_bytes();
    entry.name = "optimizer";
    entry.op = "update";
    return entry;
}

}  // namespace mn
