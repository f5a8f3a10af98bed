#include "passes/memory_plan.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <numeric>
#include <set>
#include <tuple>
#include <utility>

namespace mn {
namespace {

int64_t aligned(int64_t bytes) {
    return (bytes + MNB_ALIGNMENT - 1) & ~int64_t{MNB_ALIGNMENT - 1};
}

// More buffers than these are not compared with one another, which takes the square of their
// number.
constexpr size_t kManyBuffers = 8192;

bool is_used(const Lifetime& item) {
    return item.bytes != 0 && item.last >= item.first;
}

// In the order of time, as an allocator would: each buffer takes the smallest hole that it fits in.
// Takes up to a few times the memory of the other way, where sizes differ, but hardly any time.
class TimeOrder {
public:
    void place(const std::vector<Lifetime>& lifetimes, std::vector<int64_t>& offsets) {
        std::vector<int32_t> begins, ends;
        for (size_t i = 0; i < lifetimes.size(); i++)
            if (is_used(lifetimes[i])) begins.push_back(static_cast<int32_t>(i));
        ends = begins;
        std::sort(begins.begin(), begins.end(), [&](int32_t a, int32_t b) {
            const Lifetime &x = lifetimes[a], &y = lifetimes[b];
            return std::tie(x.first, y.bytes, a) < std::tie(y.first, x.bytes, b);
        });
        std::sort(ends.begin(), ends.end(), [&](int32_t a, int32_t b) {
            return std::tie(lifetimes[a].last, a) < std::tie(lifetimes[b].last, b);
        });
        size_t ended = 0;
        for (int32_t i : begins) {
            while (lifetimes[ends[ended]].last < lifetimes[i].first) {
                give_back(offsets[ends[ended]], aligned(lifetimes[ends[ended]].bytes));
                ended++;
            }
            offsets[i] = take(aligned(lifetimes[i].bytes));
        }
    }

    int64_t total() const { return total_; }

private:
    int64_t take(int64_t bytes) {
        const auto fit = by_size_.lower_bound({bytes, 0});
        if (fit != by_size_.end()) {
            const auto [size, offset] = *fit;
            remove(holes_.find(offset));
            if (size > bytes) add(offset + bytes, size - bytes);
            return offset;
        }
        // A hole at the end grows.
        int64_t offset = total_;
        if (!holes_.empty()) {
            const auto last = std::prev(holes_.end());
            if (last->first + last->second == total_) {
                offset = last->first;
                remove(last);
            }
        }
        total_ = offset + bytes;
        return offset;
    }

    void give_back(int64_t offset, int64_t bytes) {
        auto next = holes_.lower_bound(offset);
        if (next != holes_.end() && offset + bytes == next->first) {
            bytes += next->second;
            next = remove(next);
        }
        if (next != holes_.begin()) {
            const auto before = std::prev(next);
            if (before->first + before->second == offset) {
                offset = before->first;
                bytes += before->second;
                remove(before);
            }
        }
        add(offset, bytes);
    }

    using Holes = std::map<int64_t, int64_t>;  // offset, bytes
    void add(int64_t offset, int64_t bytes) {
        holes_.emplace(offset, bytes);
        by_size_.emplace(bytes, offset);
    }
    Holes::iterator remove(Holes::iterator hole) {
        by_size_.erase({hole->second, hole->first});
        return holes_.erase(hole);
    }

    Holes holes_;
    std::set<std::pair<int64_t, int64_t>> by_size_;  // bytes, offset
    int64_t total_ = 0;
};

// The largest buffer first, each at the lowest offset where it meets none that is alive at the same
// time.
int64_t place_by_size(const std::vector<Lifetime>& lifetimes, std::vector<int64_t>& offsets) {
    std::vector<int32_t> order(lifetimes.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
        return std::tie(lifetimes[b].bytes, a) < std::tie(lifetimes[a].bytes, b);
    });
    std::vector<int32_t> placed;  // by offset
    int64_t total = 0;
    for (int32_t i : order) {
        const Lifetime& item = lifetimes[i];
        if (!is_used(item)) continue;
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

}  // namespace

int64_t place(const std::vector<Lifetime>& lifetimes, std::vector<int64_t>& offsets) {
    offsets.assign(lifetimes.size(), -1);
    const auto used = std::count_if(lifetimes.begin(), lifetimes.end(), is_used);
    if (static_cast<size_t>(used) <= kManyBuffers) return place_by_size(lifetimes, offsets);
    TimeOrder order;
    order.place(lifetimes, offsets);
    return order.total();
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
            for (int32_t source : step.sources) use_value(source, s);
        if (!backward || needs & MNB_NEEDS_DST) use_value(operation.dst, s);
        use_value(step.diff_dst, s);
        for (int32_t diff : step.diff_sources) use_value(diff, s);
        const bool others = operation.saved_of >= 0;
        if (step.direction == MNB_FORWARD_TRAINING || (backward && needs & MNB_NEEDS_SAVED) ||
            others)
            use(storages + (others ? operation.saved_of : step.operation),
                step.support.saved_bytes * program.max_batch, s);
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
