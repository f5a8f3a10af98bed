// The memory plan: random lifetimes, and real programs whose steps are followed byte range by byte
// range.

#include "passes/memory_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "fake_backend.h"
#include "op_cases.h"

namespace mn::test {
namespace {

bool alive_together(const Lifetime& a, const Lifetime& b) {
    return a.first <= b.last && b.first <= a.last;
}

// The most bytes that are alive at one step: no arena can be smaller.
int64_t lower_bound(const std::vector<Lifetime>& lifetimes, int steps) {
    int64_t most = 0;
    for (int s = 0; s < steps; s++) {
        int64_t sum = 0;
        for (const Lifetime& life : lifetimes)
            if (life.first <= s && s <= life.last) sum += life.bytes;
        most = std::max(most, sum);
    }
    return most;
}

TEST(MemoryPlanTest, RandomLifetimesDoNotOverlap) {
    Random random(test_seed());
    double bound = 0, used = 0;
    for (int round = 0; round < 300; round++) {
        const int steps = static_cast<int>(random.integer(1, 40));
        std::vector<Lifetime> lifetimes(static_cast<size_t>(random.integer(0, 60)));
        for (Lifetime& life : lifetimes) {
            life.bytes = random.integer(0, 9) == 0 ? 0 : random.integer(1, 5000);
            life.first = static_cast<int32_t>(random.integer(0, steps - 1));
            life.last = static_cast<int32_t>(random.integer(life.first - 1, steps - 1));
        }
        std::vector<int64_t> offsets;
        const int64_t arena = place(lifetimes, offsets);
        ASSERT_EQ(offsets.size(), lifetimes.size());
        for (size_t i = 0; i < lifetimes.size(); i++) {
            const Lifetime& a = lifetimes[i];
            if (a.bytes == 0 || a.last < a.first) {
                ASSERT_EQ(offsets[i], -1);
                continue;
            }
            ASSERT_GE(offsets[i], 0);
            ASSERT_EQ(offsets[i] % MNB_ALIGNMENT, 0);
            ASSERT_LE(offsets[i] + a.bytes, arena);
            for (size_t j = 0; j < i; j++) {
                const Lifetime& b = lifetimes[j];
                if (offsets[j] < 0 || !alive_together(a, b)) continue;
                ASSERT_TRUE(offsets[i] + a.bytes <= offsets[j] ||
                            offsets[j] + b.bytes <= offsets[i])
                    << "round " << round << ": " << i << " and " << j;
            }
        }
        const int64_t least = lower_bound(lifetimes, steps);
        ASSERT_GE(arena, least);
        bound += static_cast<double>(least);
        used += static_cast<double>(arena);
    }
    EXPECT_LT(used, 1.25 * bound) << "the arenas waste too much";
}

TEST(MemoryPlanTest, AChainNeedsTwoBuffers) {
    std::vector<Lifetime> chain;
    for (int i = 0; i < 20; i++) chain.push_back({1024, i, i + 1});
    std::vector<int64_t> offsets;
    EXPECT_EQ(place(chain, offsets), 2048);
    EXPECT_EQ(place({}, offsets), 0);
}

// So many that they are placed in the order of time.
TEST(MemoryPlanTest, ManyLifetimesDoNotOverlapEither) {
    Random random(test_seed() + 7);
    constexpr int kSteps = 20000;
    for (const int longest : {3, 300, kSteps}) {
        std::vector<Lifetime> lifetimes(20000);
        for (Lifetime& life : lifetimes) {
            life.bytes = random.integer(0, 9) == 0 ? 0 : random.integer(1, 5000);
            life.first = static_cast<int32_t>(random.integer(0, kSteps - 1));
            life.last = static_cast<int32_t>(
                std::min<int64_t>(kSteps - 1, life.first + random.integer(-1, longest)));
        }
        std::vector<int64_t> offsets;
        const int64_t arena = place(lifetimes, offsets);
        // Sweeps over time with what is alive, by offset.
        std::vector<std::vector<size_t>> begins(kSteps), ends(kSteps + 1);
        std::vector<int64_t> alive_bytes(kSteps + 1);
        for (size_t i = 0; i < lifetimes.size(); i++) {
            const Lifetime& life = lifetimes[i];
            if (life.bytes == 0 || life.last < life.first) {
                ASSERT_EQ(offsets[i], -1);
                continue;
            }
            ASSERT_GE(offsets[i], 0);
            ASSERT_EQ(offsets[i] % MNB_ALIGNMENT, 0);
            ASSERT_LE(offsets[i] + life.bytes, arena);
            begins[static_cast<size_t>(life.first)].push_back(i);
            ends[static_cast<size_t>(life.last) + 1].push_back(i);
        }
        std::map<int64_t, int64_t> alive;  // offset, end
        int64_t sum = 0, most = 0;
        for (size_t s = 0; s < kSteps; s++) {
            for (size_t i : ends[s]) {
                alive.erase(offsets[i]);
                sum -= lifetimes[i].bytes;
            }
            for (size_t i : begins[s]) {
                const int64_t end = offsets[i] + lifetimes[i].bytes;
                const auto next = alive.lower_bound(offsets[i]);
                ASSERT_TRUE(next == alive.end() || end <= next->first);
                ASSERT_TRUE(next == alive.begin() || std::prev(next)->second <= offsets[i]);
                alive[offsets[i]] = end;
                sum += lifetimes[i].bytes;
            }
            most = std::max(most, sum);
        }
        EXPECT_LT(arena, 1.5 * static_cast<double>(most)) << "longest " << longest;
    }
    std::vector<Lifetime> chain;
    for (int i = 0; i < 50000; i++) chain.push_back({1024, i, i + 1});
    std::vector<int64_t> offsets;
    EXPECT_EQ(place(chain, offsets), 2048);
}

// Follows a program's steps: each write takes its bytes over, each read must still own all of its.
class Follower {
public:
    Follower(const Program& program, const MemoryPlan& plan)
        : program_(program), plan_(plan), owner_(plan.arena_bytes / MNB_ALIGNMENT, -1) {}

    void run() {
        for (size_t s = 0; s < program_.steps.size(); s++) follow(static_cast<int>(s));
        for (int32_t output : program_.outputs) expect_owned(value(output), "output");
        for (int32_t gradient : program_.input_gradients)
            if (gradient >= 0) expect_owned(value(gradient), "input gradient");
    }

private:
    struct Buffer {
        int32_t id;
        int64_t offset, bytes;
    };

    Buffer value(int32_t v) const {
        const Value& value = program_.values[v];
        return {value.storage, plan_.storage[value.storage],
                image_bytes(value.tensor) * program_.max_batch};
    }
    Buffer saved(const Step& step) const {
        return {program_.storage_count + step.operation, plan_.saved[step.operation],
                step.support.saved_bytes * program_.max_batch};
    }

    void follow(int s) {
        const Step& step = program_.steps[s];
        const Operation& operation = program_.operations[step.operation];
        const bool backward = step.direction == MNB_BACKWARD;
        const int32_t needs = step.support.backward_needs;
        std::vector<Buffer> reads, writes;
        if (!backward || needs & MNB_NEEDS_SRC)
            for (int32_t source : step.sources) reads.push_back(value(source));
        if (backward) {
            reads.push_back(value(step.diff_dst));
            if (needs & MNB_NEEDS_DST) reads.push_back(value(operation.dst));
            if (needs & MNB_NEEDS_SAVED) reads.push_back(saved(step));
        } else {
            if (operation.dst >= 0) writes.push_back(value(operation.dst));
            if (step.direction == MNB_FORWARD_TRAINING) writes.push_back(saved(step));
            for (const Step& other : program_.steps)
                if (other.operation == operation.saved_of && other.direction != MNB_BACKWARD)
                    reads.push_back(saved(other));
        }
        for (int32_t diff : step.diff_sources)
            if (diff >= 0) writes.push_back(value(diff));
        writes.push_back({program_.storage_count + 100000 + s, plan_.workspace[s],
                          step.support.workspace_bytes});
        const std::string where = operation.name + ", step " + std::to_string(s);
        for (const Buffer& buffer : reads) expect_owned(buffer, where);
        for (const Buffer& buffer : writes) take(buffer, where);
        for (const Buffer& buffer : reads) expect_owned(buffer, where + " after its writes");
        for (const Buffer& buffer : writes) expect_owned(buffer, where + " after its writes");
    }

    template <class Visit>
    void each_line(const Buffer& buffer, Visit visit) {
        for (int64_t at = 0; at < buffer.bytes; at += MNB_ALIGNMENT)
            visit(owner_[static_cast<size_t>((buffer.offset + at) / MNB_ALIGNMENT)]);
    }
    void take(const Buffer& buffer, const std::string& where) {
        if (buffer.bytes == 0) return;
        ASSERT_GE(buffer.offset, 0) << where;
        ASSERT_EQ(buffer.offset % MNB_ALIGNMENT, 0) << where;
        ASSERT_LE(buffer.offset + buffer.bytes, plan_.arena_bytes) << where;
        each_line(buffer, [&](int32_t& owner) { owner = buffer.id; });
    }
    void expect_owned(const Buffer& buffer, const std::string& where) {
        if (buffer.bytes == 0) return;
        ASSERT_GE(buffer.offset, 0) << where;
        bool owned = true;
        each_line(buffer, [&](int32_t owner) { owned = owned && owner == buffer.id; });
        EXPECT_TRUE(owned) << where << ": buffer " << buffer.id << " was overwritten";
    }

    const Program& program_;
    const MemoryPlan& plan_;
    std::vector<int32_t> owner_;  // of each aligned piece of the arena
};

int32_t add(Graph& graph, int32_t op, int32_t source) {
    mn_op_desc desc{};
    if (op == MN_OP_CONV2D) desc.conv2d = conv_desc(5, 3, 1, 1);
    if (op == MN_OP_MAX_POOL2D) desc.pool2d = pool_desc(2, 1);
    if (op == MN_OP_LINEAR) desc.linear = {sizeof desc.linear, 6, 1};
    if (op == MN_OP_ACTIVATION)
        desc.activation = {sizeof desc.activation, MN_ACTIVATION_RELU, 0, 0};
    return graph.add(op, {source}, desc, nullptr);
}

TEST(MemoryPlanTest, ProgramsKeepWhatTheyStillRead) {
    Random random(test_seed() + 1);
    for (int round = 0; round < 200; round++) {
        Graph graph;
        graph.add_input({3, 0, {2, 12, 12, 0}}, nullptr);
        std::vector<int32_t> images = {0}, heads;
        for (int i = static_cast<int>(random.integer(1, 8)); i > 0; i--) {
            const int32_t source = images[static_cast<size_t>(
                random.integer(0, static_cast<int64_t>(images.size()) - 1))];
            images.push_back(
                add(graph, random.pick<int32_t>({MN_OP_CONV2D, MN_OP_ACTIVATION, MN_OP_MAX_POOL2D}),
                    source));
        }
        for (int i = static_cast<int>(random.integer(1, 3)); i > 0; i--) {
            const int32_t source = images[static_cast<size_t>(
                random.integer(0, static_cast<int64_t>(images.size()) - 1))];
            heads.push_back(add(graph, MN_OP_LINEAR, add(graph, MN_OP_FLATTEN, source)));
        }
        FakeBackend backend;
        if (random.integer(0, 1)) backend.layouts[MN_OP_CONV2D] = {MNB_NHWC, MNB_NHWC};
        if (random.integer(0, 1)) backend.layouts[MN_OP_MAX_POOL2D] = {MNB_NHWC, MNB_NHWC};
        backend.needs = static_cast<int32_t>(random.integer(0, 7));
        backend.saved_bytes = random.pick<int64_t>({0, 1, 100, 3000});
        backend.workspace_bytes = random.pick<int64_t>({0, 1, 5000});
        for (const bool training : {false, true}) {
            LowerOptions options;
            options.training = training;
            options.max_batch = static_cast<int32_t>(random.integer(1, 5));
            if (training)
                for (int32_t head : heads)
                    options.losses.push_back({sizeof(mn_loss_desc), MN_LOSS_CROSS_ENTROPY, head,
                                              MN_REDUCTION_MEAN, 1, 0, 0, 0, 0, 0, nullptr});
            else
                options.outputs = {heads[0], images.back(), 0};
            Program program = lower(graph, options);
            if (random.integer(0, 1)) fuse(program, backend);
            assign_layouts(program, backend);
            if (training)
                schedule_training(program, backend, random.integer(0, 1) == 1);
            else
                schedule_inference(program, backend);
            const MemoryPlan plan = plan_memory(program);
            SCOPED_TRACE(testing::Message() << "round " << round << ", training " << training);
            Follower(program, plan).run();
            if (testing::Test::HasFailure()) return;
        }
    }
}

}  // namespace
}  // namespace mn::test
