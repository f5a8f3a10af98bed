// The random numbers and the parameters that are drawn from them.

#include <gtest/gtest.h>

#include <cmath>

#include "graph/philox.h"
#include "network.h"

namespace mn::test {
namespace {

// kat_vectors of Random123 for philox4x32-10.
TEST(PhiloxTest, KnownAnswers) {
    struct Answer {
        Philox::Counter counter;
        uint32_t key[2], out[4];
    };
    const Answer answers[] = {
        {{{0, 0, 0, 0}}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (const Answer& answer : answers) {
        const Philox random(uint64_t{answer.key[1]} << 32 | answer.key[0]);
        uint32_t out[4];
        random.block(answer.counter, out);
        for (int i = 0; i < 4; i++) EXPECT_EQ(out[i], answer.out[i]);
    }
}

TEST(PhiloxTest, StreamsDiffer) {
    const Philox random(42), other(43);
    int equal = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        const uint32_t a = random.draw(i, 1, RandomPurpose::kWeight);
        equal += a == random.draw(i, 2, RandomPurpose::kWeight);
        equal += a == random.draw(i, 1, RandomPurpose::kBias);
        equal += a == random.draw(i + 1, 1, RandomPurpose::kWeight);
        equal += a == other.draw(i, 1, RandomPurpose::kWeight);
        // The index is one number of 64 bits.
        equal += a == random.draw(i + (uint64_t{1} << 34), 1, RandomPurpose::kWeight);
        const float u = random.uniform(i, 1, RandomPurpose::kWeight);
        EXPECT_GE(u, 0);
        EXPECT_LT(u, 1);
    }
    EXPECT_LE(equal, 1);
}

void expect_uniform(const Floats& values, double bound) {
    double sum = 0, squares = 0, largest = 0;
    for (float v : values) {
        sum += double{v};
        squares += double{v} * double{v};
        largest = std::max(largest, std::fabs(double{v}));
    }
    const double count = static_cast<double>(values.size());
    const double deviation = bound / std::sqrt(3.0);
    EXPECT_LE(largest, bound * (1 + 1e-6));
    EXPECT_GE(largest, bound * (1 - 20 / count));
    EXPECT_NEAR(sum / count, 0, 5 * deviation / std::sqrt(count));
    // The variance of x^2 of a uniform x is 4/45 bound^4.
    EXPECT_NEAR(squares / count, deviation * deviation,
                5 * std::sqrt(4.0 / 45 / count) * bound * bound);
}

TEST(InitTest, ParametersAreDrawnAsPyTorchDrawsThem) {
    const DeviceHandle device = open_device(2);
    Network network;
    mn_conv2d_desc grouped = conv_desc(640, 3, 1, 1);
    grouped.groups = 2;
    const int32_t conv = network.conv(network.input(32, 8, 8), grouped);
    const int32_t end = network.linear(network.flatten(network.global_pool(conv)), 500);
    for (const uint64_t seed : {uint64_t{0}, uint64_t{1}, UINT64_MAX}) {
        const TestModel model(device, network, {end}, {0, seed, 0});
        const double conv_bound = 1 / std::sqrt(16.0 * 9), linear_bound = 1 / std::sqrt(640.0);
        expect_uniform(model.read(0), conv_bound);
        expect_uniform(model.read(1), conv_bound);
        expect_uniform(model.read(2), linear_bound);
        expect_uniform(model.read(3), linear_bound);
    }
}

TEST(InitTest, DependsOnTheSeedOnly) {
    Random random(test_seed());
    const DeviceHandle fast = open_device(3);
    const DeviceHandle reference = open_device(1, MN_DEVICE_REFERENCE_KERNELS);
    for (int round = 0; round < 10; round++) {
        const RandomNetwork net = random_network(random);
        const uint64_t seed = random.bits();
        const TestModel a(fast, net.network, net.heads, {0, seed, 0});
        const TestModel b(fast, net.network, {net.tap}, {MN_MODEL_NO_FUSION, seed, 3});
        const TestModel c(reference, net.network, net.heads, {0, seed, 0});
        const TestModel other(fast, net.network, net.heads, {0, seed + 1, 0});
        EXPECT_EQ(a.read_all(), b.read_all()) << net.text;
        EXPECT_EQ(a.read_all(), c.read_all()) << net.text;
        for (int i = 0; i < a.parameter_count(); i++) EXPECT_NE(a.read(i), other.read(i));
    }
}

// Layers of equal shape get different values.
TEST(InitTest, LayersDiffer) {
    const DeviceHandle device = open_device(1);
    Network network;
    const int32_t in = network.features(20);
    const int32_t a = network.linear(in, 20), b = network.linear(a, 20);
    const TestModel model(device, network, {b});
    EXPECT_NE(model.read(0), model.read(2));
    EXPECT_NE(model.read(1), model.read(3));
    Floats start = model.read(0);
    start.resize(20);
    EXPECT_NE(start, model.read(1));
}

TEST(InitTest, ValuesSurviveAWriteAndARead) {
    Random random(test_seed() + 1);
    const DeviceHandle device = open_device(2);
    for (int round = 0; round < 20; round++) {
        const RandomNetwork net = random_network(random);
        const TestModel model(device, net.network, net.heads);
        for (int i = 0; i < model.parameter_count(); i++) {
            const Floats values = random.floats(model.parameter(i).count);
            model.write(i, values);
            EXPECT_EQ(model.read(i), values) << net.text;
        }
    }
}

}  // namespace
}  // namespace mn::test
