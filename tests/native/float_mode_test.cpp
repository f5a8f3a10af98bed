// Denormals and the caller's floating-point mode: results do not depend on it, and it comes back.

#include "graph/float_mode.h"

#include <gtest/gtest.h>

#include <cfenv>
#include <cmath>
#include <cstring>

#include "network.h"

namespace mn::test {
namespace {

#if defined(__x86_64__) || defined(__aarch64__)

// What the mode of this thread makes of numbers, as a caller would see it.
struct Seen {
    bool denormals, rounds_up;

    static Seen now() {
        volatile float small = 1e-39f, one = 1, tiny = 1e-10f;
        return {small * one != 0.0f, one + tiny != 1.0f};
    }
    bool operator==(const Seen& other) const {
        return denormals == other.denormals && rounds_up == other.rounds_up;
    }
};

constexpr Seen standard = {true, false}, flushing = {false, false}, upward = {true, true};

enum class Mode { kStandard, kFlushing, kUpward };

Batch images(int count, const Floats& values) {
    Batch batch;
    batch.count = count;
    batch.images = values;
    return batch;
}

// Calls body in a mode of the caller's own.
template <class Body>
void in_mode(Mode mode, Body&& body) {
    const FloatMode own(mode == Mode::kFlushing ? FloatMode::kCompute : FloatMode::kStandard);
    if (mode == Mode::kUpward) std::fesetround(FE_UPWARD);
    body();
}

TEST(FloatModeTest, TheCallersModeComesBack) {
    for (const auto& [mode, seen] :
         {std::pair(Mode::kStandard, standard), std::pair(Mode::kFlushing, flushing),
          std::pair(Mode::kUpward, upward)}) {
        in_mode(mode, [&, seen = seen] {
            ASSERT_EQ(Seen::now(), seen);
            const DeviceHandle device = open_device(2);
            EXPECT_EQ(Seen::now(), seen);
            Network network;
            const int32_t end = network.linear(network.features(3), 2);
            const TestModel model(device, network, {end});
            EXPECT_EQ(model.forward(images(1, {1, 2, 3})).size(), 2u);
            EXPECT_EQ(Seen::now(), seen);
            EXPECT_THROW(model.forward(images(1, {1, 2})), Failure);
            EXPECT_EQ(Seen::now(), seen);
        });
    }
}

TEST(FloatModeTest, NoThreadComputesWithDenormals) {
    Network network;
    const int32_t end = network.conv(network.input(1, 64, 64), conv_desc(32, 1));
    for (int threads : {1, 2, 3}) {
        const DeviceHandle device = open_device(threads);
        const TestModel model(device, network, {end});
        model.write(0, Floats(32, 0.5f));
        model.write(1, Floats(32, 0));
        // The operand is one already.
        EXPECT_EQ(model.forward(images(4, Floats(4 * 64 * 64, 2e-39f))),
                  Floats(4 * 32 * 64 * 64, 0));
        // The result would be one.
        EXPECT_EQ(model.forward(images(4, Floats(4 * 64 * 64, 1.5e-38f))),
                  Floats(4 * 32 * 64 * 64, 0));
    }
}

// Copies are no arithmetic.
TEST(FloatModeTest, ParametersKeepTheirDenormals) {
    Network network;
    const int32_t end = network.linear(network.features(3), 2);
    const DeviceHandle device = open_device();
    const TestModel model(device, network, {end});
    const Floats values = {1e-39f, -1e-45f, 1, 0, 1.5e-38f, -3e-39f};
    model.write(0, values);
    EXPECT_EQ(model.read(0), values);
}

// Half of what is computed here is near the smallest numbers, and all of it is rounded.
TEST(FloatModeTest, BitsDependOnNeitherModeNorThreads) {
    Network network;
    int32_t node = network.relu(network.conv(network.input(3, 16, 16), conv_desc(20, 3, 1, 1)));
    node = network.max_pool(node, pool_desc(2, 2));
    node = network.relu(network.conv(node, conv_desc(24, 3, 1, 1)));
    const int32_t end = network.linear(network.flatten(node), 5);
    Random random(test_seed());
    Batch batch = random_batch(random, 24, 3 * 16 * 16, 5);
    for (float& x : batch.images) x *= 1e-19f;
    Floats weights = random.floats(20 * 3 * 9);
    for (float& w : weights) w *= 1e-18f;
    std::vector<Floats> expected;
    for (int threads : {1, 2, 3})
        for (Mode opener : {Mode::kStandard, Mode::kFlushing, Mode::kUpward})
            for (Mode caller : {Mode::kStandard, Mode::kFlushing, Mode::kUpward}) {
                DeviceHandle device;
                in_mode(opener, [&] { device = open_device(threads); });
                in_mode(caller, [&] {
                    const TestModel model(device, network, {end});
                    model.write(0, weights);
                    const TestTrainer trainer(model, {loss_on(end)}, adam(1e-3f), 24);
                    for (int i = 0; i < 2; i++) trainer.step(batch);
                    std::vector<Floats> got = model.read_all();
                    got.push_back(model.forward(batch));
                    for (int part : {MN_PART_GRADIENT, MN_PART_MOMENT1, MN_PART_MOMENT2})
                        for (Floats& values : model.read_all(part)) got.push_back(values);
                    if (expected.empty()) expected = got;
                    ASSERT_EQ(got.size(), expected.size());
                    for (size_t i = 0; i < got.size(); i++)
                        EXPECT_EQ(std::memcmp(got[i].data(), expected[i].data(),
                                              got[i].size() * sizeof(float)),
                                  0)
                            << threads << " threads, opener " << static_cast<int>(opener)
                            << ", caller " << static_cast<int>(caller) << ", part " << i;
                });
            }
}

TEST(FloatModeTest, MomentsDoNotDecayIntoDenormals) {
    Network network;
    const int32_t end = network.linear(network.features(40), 40);
    const auto momentum = sgd(0.1f, 0.9f);
    mn_optimizer_desc rmsprop = momentum;
    rmsprop.kind = MN_OPTIMIZER_RMSPROP;
    rmsprop.alpha = 0.9f;
    rmsprop.epsilon = 1e-8f;
    for (const mn_optimizer_desc& optimizer : {adam(1e-3f), momentum, rmsprop}) {
        const DeviceHandle device = open_device();
        const TestModel model(device, network, {end});
        const TestTrainer trainer(
            model, {loss_on(end, 1, MN_REDUCTION_SUM, MN_LOSS_OUTPUT_GRADIENT)}, optimizer, 1);
        Batch batch = images(1, Floats(40, 1));
        batch.output_gradients = Floats(40, 1);
        trainer.step(batch);
        batch.output_gradients = Floats(40, 0);
        for (int i = 0; i < 1500; i++) trainer.step(batch);
        for (int part : {MN_PART_MOMENT1, MN_PART_MOMENT2}) {
            if (part == MN_PART_MOMENT2 && optimizer.kind == MN_OPTIMIZER_SGD) continue;
            for (const Floats& moments : model.read_all(part))
                for (float m : moments)
                    ASSERT_NE(std::fpclassify(m), FP_SUBNORMAL)
                        << "optimizer " << optimizer.kind << ", part " << part << ": " << m;
        }
    }
}

bool callback_saw_denormals;

TEST(FloatModeTest, ACallbackComputesWithDenormals) {
    callback_saw_denormals = false;
    mn_set_log_callback(
        [](int32_t, const char*, void*) { callback_saw_denormals = Seen::now() == standard; },
        nullptr);
    const DeviceHandle device = open_device();
    mn_set_log_callback(nullptr, nullptr);
    EXPECT_TRUE(callback_saw_denormals);
}

#endif

}  // namespace
}  // namespace mn::test
