#include "plan/profile.h"

#include <algorithm>

#include "graph/ops.h"

namespace mn {
namespace {

// A folded normalisation's bias is not the operation's own, so the node is asked.
bool has_bias(const Operation& operation, const Graph& graph) {
    if (!traits_of(operation.op).bias_added) return false;
    const std::vector<ParameterSpec>& parameters = graph.node(operation.node).parameters;
    return std::any_of(parameters.begin(), parameters.end(),
                       [](const ParameterSpec& spec) { return spec.bias; });
}

// In the order in which they are computed.
std::string describe(const Operation& operation, const Graph& graph) {
    std::string result = op_info(operation.op).name;
    if (operation.op == MNB_OP_LOAD && !operation.mean.empty()) result += "+normalize";
    if (has_bias(operation, graph)) result += "+bias";
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
    if (traits_of(operation.op).rows_gathered) return bytes + values(operation.dst);
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
        entry.op = describe(operation, graph);
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
