// Parameters as a whole: models without first values, and writes of many parameters at once.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "network.h"

namespace mn::test {
namespace {

std::vector<mn_parameter_write> writes_of(const std::vector<Floats>& values) {
    std::vector<mn_parameter_write> writes;
    for (size_t i = 0; i < values.size(); i++)
        writes.push_back({sizeof(mn_parameter_write), static_cast<int32_t>(i), MN_PART_VALUE, 0,
                          values[i].data(), values[i].size()});
    return writes;
}

mn_status write_all(const TestModel& model, const std::vector<mn_parameter_write>& writes) {
    return mn_model_write_all(model.handle(), writes.data(), static_cast<int32_t>(writes.size()));
}

TEST(ParameterTest, WithoutInitialisationAllIsZeroUntilItIsWritten) {
    Random random(test_seed());
    const DeviceHandle device = open_device(2);
    for (int round = 0; round < 10; round++) {
        const RandomNetwork net = random_network(random);
        const TestModel drawn(device, net.network, net.heads, {0, 7, 0});
        const TestModel empty(device, net.network, net.heads, {MN_MODEL_NO_INIT, 7, 0});
        for (const Floats& values : empty.read_all()) EXPECT_EQ(values, Floats(values.size()));
        check(write_all(empty, writes_of(drawn.read_all())));
        const Batch batch = random_batch(random, 3, net.image_size, net.classes);
        EXPECT_EQ(empty.forward(batch), drawn.forward(batch)) << net.text;
    }
}

// More than a piece of 1 MiB, in panels, with a part of a panel at the end.
TEST(ParameterTest, LargeParametersAreCopiedInPieces) {
    Random random(test_seed() + 1);
    const DeviceHandle fast = open_device(2);
    const DeviceHandle reference = open_device(1, MN_DEVICE_REFERENCE_KERNELS);
    Network network;
    const int32_t conv = network.conv(network.input(96, 4, 4), conv_desc(330, 3, 1, 1));
    const int32_t end = network.linear(network.flatten(conv), 90);
    const TestModel a(fast, network, {end}), b(reference, network, {end});
    EXPECT_EQ(a.read_all(), b.read_all());
    for (int i = 0; i < a.parameter_count(); i++) {
        const Floats values = random.floats(a.parameter(i).count);
        a.write(i, values);
        b.write(i, values);
        EXPECT_EQ(a.read(i), values);
        EXPECT_EQ(b.read(i), values);
    }
    const Batch batch = random_batch(random, 2, 96 * 16, 2);
    EXPECT_LE(relative_error(a.forward(batch), b.forward(batch)), 1e-5);
}

TEST(ParameterTest, ManyAreWrittenOrNone) {
    Random random(test_seed() + 2);
    const DeviceHandle device = open_device(2);
    const RandomNetwork net = random_network(random);
    const TestModel model(device, net.network, net.heads);
    const std::vector<Floats> before = model.read_all();
    std::vector<Floats> values = before;
    for (Floats& v : values) v = random.floats(static_cast<int64_t>(v.size()));
    const std::vector<mn_parameter_write> good = writes_of(values);

    const auto refused = [&](mn_status status, auto&& spoil) {
        std::vector<mn_parameter_write> writes = good;
        spoil(writes.back());
        EXPECT_EQ(write_all(model, writes), status) << mn_last_error();
        EXPECT_EQ(model.read_all(), before);
    };
    refused(MN_SHAPE_MISMATCH, [](mn_parameter_write& w) { w.value_count++; });
    refused(MN_NOT_FOUND, [](mn_parameter_write& w) { w.index = 1000; });
    refused(MN_NOT_FOUND, [](mn_parameter_write& w) { w.index = -1; });
    refused(MN_NOT_FOUND, [](mn_parameter_write& w) { w.part = MN_PART_MOMENT1; });
    refused(MN_INVALID_ARGUMENT, [](mn_parameter_write& w) { w.part = MN_PART_GRADIENT; });
    refused(MN_INVALID_ARGUMENT, [](mn_parameter_write& w) { w.part = 9; });
    refused(MN_INVALID_ARGUMENT, [](mn_parameter_write& w) { w.values = nullptr; });
    refused(MN_INVALID_ARGUMENT, [](mn_parameter_write& w) { w.struct_size = 8; });
    EXPECT_EQ(mn_model_write_all(model.handle(), nullptr, 1), MN_INVALID_ARGUMENT);
    EXPECT_EQ(mn_model_write_all(model.handle(), good.data(), -1), MN_INVALID_ARGUMENT);
    EXPECT_EQ(mn_model_write_all(0, good.data(), 1), MN_INVALID_HANDLE);
    check(mn_model_write_all(model.handle(), nullptr, 0));
    EXPECT_EQ(model.read_all(), before);

    check(write_all(model, good));
    EXPECT_EQ(model.read_all(), values);
}

TEST(ParameterTest, MomentsAreWrittenWithTheValues) {
    Random random(test_seed() + 3);
    const DeviceHandle device = open_device(2);
    const RandomNetwork net = random_network(random);
    const TestModel model(device, net.network, net.heads);
    const TestTrainer trainer(model, {loss_on(net.heads[0])}, adam(0.1f), 4);
    std::vector<Floats> values[3];
    std::vector<mn_parameter_write> writes;
    for (const int part : {MN_PART_VALUE, MN_PART_MOMENT1, MN_PART_MOMENT2}) {
        std::vector<Floats>& v = values[part == MN_PART_VALUE ? 0 : part - 1];
        for (int i = 0; i < model.parameter_count(); i++)
            v.push_back(random.floats(model.parameter(i).count));
        for (mn_parameter_write& write : writes_of(v)) {
            write.part = part;
            writes.push_back(write);
        }
    }
    check(write_all(model, writes));
    EXPECT_EQ(model.read_all(), values[0]);
    EXPECT_EQ(model.read_all(MN_PART_MOMENT1), values[1]);
    EXPECT_EQ(model.read_all(MN_PART_MOMENT2), values[2]);
}

// Predictions of other threads are those of the one file or of the other, never of a mixture.
TEST(ParameterTest, ReadersSeeAllWritesOrNone) {
    const DeviceHandle device = open_device(2);
    Network network;
    int32_t node = network.features(32);
    for (int i = 0; i < 4; i++) node = network.linear(node, 32);
    const TestModel model(device, network, {node});
    std::vector<Floats> ones, twos;
    for (int i = 0; i < model.parameter_count(); i++) {
        ones.emplace_back(static_cast<size_t>(model.parameter(i).count), 1.0f);
        twos.emplace_back(static_cast<size_t>(model.parameter(i).count), 2.0f);
    }
    Batch batch;
    batch.count = 1;
    batch.images.assign(32, 1.0f);
    check(write_all(model, writes_of(twos)));
    const Floats of_twos = model.forward(batch);
    check(write_all(model, writes_of(ones)));
    const Floats of_ones = model.forward(batch);
    ASSERT_NE(of_ones, of_twos);

    std::atomic<bool> done{false};
    std::atomic<int> mixed{0}, seen{0};
    std::vector<std::thread> readers;
    for (int t = 0; t < 2; t++)
        readers.emplace_back([&] {
            while (!done) {
                const Floats got = model.forward(batch);
                if (got != of_ones && got != of_twos) mixed++;
                seen++;
            }
        });
    for (int i = 0; i < 200 || seen < 100; i++)
        check(write_all(model, writes_of(i % 2 ? ones : twos)));
    done = true;
    for (std::thread& reader : readers) reader.join();
    EXPECT_EQ(mixed, 0) << "of " << seen;
}

}  // namespace
}  // namespace mn::test
