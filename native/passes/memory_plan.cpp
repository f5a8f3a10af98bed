#include "passes/memory_plan.h"

#include <algorithm>
#include <numeric>

namespace mn {
namespace {

int64_t aligned(int64_t bytes) {
    return (bytes + MNB_ALIGNMENT - 1) & ~int64_t{MNB_ALIGNMENT - 1};
}

}  // namespace

// Greedy by size: the largest buffer first, each at the lowest offset where it meets none that is
// alive at the same time.
int64_t place(const std::vector<Lifetime>& lifetimes, std::vector<int64_t>& offsets) {
    std::vector<int32_t> order(lifetimes.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return lifetimes[a].bytes > lifetimes[b].bytes; });
    offsets.assign(lifetimes.size(), -1);
    std::vector<int32_t> placed;  // by offset
    int64_t total = 0;
    for (int32_t i : order) {
        const Lifetime& item = lifetimes[i];
        if (item.bytes == 0 || item.last < item.first) continue;
        int64_t offset = 0;
        for (int32_t j : placed) {
            const Lifetime& other = lifetimes[j];
            if (other.last < item.first || item.last < other.first) continue;
            if (offset + item.bytes <= offsets[j]) break;
            offset = std::max(offset, aligned(offsets[j] + other.bytes));
        }
        offsets[i] = offset;
        total = std::max(total, aligned(offset + item.bytes));
        placed.insert(
            std::upper_bound(placed.begin(), placed.end(), i,
                             [&](int32_t a, int32_t b) { return offsets[a] < offsets[b]; }),
            i);
    }
    return total;
}

MemoryPlan plan_memory(const Program& program) {
    const int32_t storages = program.storage_count;
    const int32_t operations = static_cast<int32_t>(program.operations.size());
    const int32_t steps = static_cast<int32_t>(program.steps.size());

    // Storages, then saved states, then workspaces.
    std::vector<Lifetime> lifetimes(storages + operations + steps);
    const auto use = [&](int32_t item, int64_t bytes, int32_t step) {
        Lifetime& life = lifetimes[item];
        if (life.last < life.first) life.first = step;
        life.bytes = std::max(life.bytes, bytes);
        life.last = step;
    };
    const auto use_value = [&](int32_t value, int32_t step) {
        if (value < 0) return;
        use(program.values[value].storage,
            image_bytes(program.values[value].tensor) * program.max_batch, step);
    };

    MemoryPlan plan;
    for (int32_t s = 0; s < steps; s++) {
        const Step& step = program.steps[s];
        const Operation& operation = program.operations[step.operation];
        const bool backward = step.direction == MNB_BACKWARD;
        const int32_t needs = step.support.backward_needs;
        if (!backward || needs & MNB_NEEDS_SRC)
            for (int32_t source : operation.sources) use_value(source, s);
        if (!backward || needs & MNB_NEEDS_DST) use_value(operation.dst, s);
        use_value(step.diff_dst, s);
        for (int32_t diff : step.diff_sources) use_value(diff, s);
        if (step.direction == MNB_FORWARD_TRAINING || (backward && needs & MNB_NEEDS_SAVED))
            use(storages + step.operation, step.support.saved_bytes * program.max_batch, s);
        use(storages + operations + s, step.support.workspace_bytes, s);
        plan.workspace_bytes = std::max(plan.workspace_bytes, step.support.workspace_bytes);
    }
    // What is read after the run lives to its end.
    for (int32_t output : program.outputs) use_value(output, steps);
    for (int32_t gradient : program.input_gradients) use_value(gradient, steps);

    std::vector<int64_t> offsets;
    plan.arena_bytes = place(lifetimes, offsets);
    plan.storage.assign(offsets.begin(), offsets.begin() + storages);
    plan.saved.assign(offsets.begin() + storages, offsets.begin() + storages + operations);
    plan.workspace.assign(offsets.begin() + storages + operations, offsets.end());
    return plan;
}

}  // namespace mn
