// Profiles through the C ABI: every operation once and in order, counts that follow from the
// shapes, and a step that is a step whether it is timed or not.

#include <gtest/gtest.h>

#include <map>

#include "network.h"

namespace mn::test {
namespace {

using Profile = std::vector<mn_profile_entry>;
using Run = mn_status (*)(uint64_t, const mn_batch*, mn_profile_entry*, int32_t, int32_t*);

Profile profile(Run run, uint64_t object, const Batch& batch) {
    int32_t count = 0;
    check(run(object, nullptr, nullptr, 0, &count));
    Profile entries(static_cast<size_t>(count));
    for (mn_profile_entry& entry : entries) entry.struct_size = sizeof entry;
    const mn_batch b = batch.get();
    check(run(object, &b, entries.data(), count, &count));
    EXPECT_EQ(static_cast<size_t>(count), entries.size());
    return entries;
}

mn_conv2d_desc conv_3x3(int out_channels) {
    mn_conv2d_desc d{};
    d.struct_size = sizeof d;
    d.out_channels = out_channels;
    d.kernel_h = d.kernel_w = 3;
    d.stride_h = d.stride_w = d.dilation_h = d.dilation_w = d.groups = 1;
    d.pad_top = d.pad_left = d.pad_bottom = d.pad_right = 1;
    d.bias = 1;
    return d;
}

mn_pool2d_desc pool_2x2() {
    mn_pool2d_desc d{};
    d.struct_size = sizeof d;
    d.kernel_h = d.kernel_w = d.stride_h = d.stride_w = 2;
    return d;
}

// 3x8x8 -> conv 16 -> ReLU -> pool -> conv 32 -> ReLU -> 10 logits.
struct TwoConvolutions {
    Network network;
    int32_t input = network.input(3, 8, 8);
    int32_t conv1 = network.conv(input, conv_3x3(16), "conv1");
    int32_t pool = network.max_pool(network.relu(conv1), pool_2x2());
    int32_t conv2 = network.conv(pool, conv_3x3(32), "conv2");
    int32_t logits = network.linear(network.flatten(network.relu(conv2)), 10, 1, "fc");

    static constexpr int64_t kConv1 = 16 * 64 * 3 * 9, kConv2 = 32 * 16 * 16 * 9,
                             kLinear = 512 * 10;
    static constexpr int64_t kFloat = 4;
};

struct Expected {
    const char* name;
    const char* op;
    int32_t node, direction;
    int64_t flops;
};

void expect_entries(const Profile& entries, const std::vector<Expected>& expected) {
    ASSERT_EQ(entries.size(), expected.size());
    for (size_t i = 0; i < entries.size(); i++) {
        SCOPED_TRACE(testing::Message() << "entry " << i);
        EXPECT_STREQ(entries[i].name, expected[i].name);
        EXPECT_STREQ(entries[i].op, expected[i].op);
        EXPECT_EQ(entries[i].node, expected[i].node);
        EXPECT_EQ(entries[i].direction, expected[i].direction);
        EXPECT_EQ(entries[i].flops, expected[i].flops);
        EXPECT_GT(entries[i].bytes, 0);
        EXPECT_GT(entries[i].seconds, 0);
    }
}

TEST(ProfileTest, TellsOfInferenceWhatFollowsFromTheShapes) {
    using Net = TwoConvolutions;
    const Net net;
    Random random(test_seed());
    const DeviceHandle device = open_device(2);
    const TestModel model(device, net.network, {net.logits}, {0, 1, 3});
    const int count = 7;  // three plans' worth
    const Batch batch = random_batch(random, count, 3 * 64, 10);
    const Profile entries = profile(mn_model_profile, model.handle(), batch);
    expect_entries(
        entries,
        {{"input_0", "load", net.input, MN_PROFILE_FORWARD, 0},
         {"conv1", "conv2d+bias+relu+max_pool2d", net.conv1, MN_PROFILE_FORWARD,
          2 * count * Net::kConv1},
         {"conv2", "conv2d+bias+relu", net.conv2, MN_PROFILE_FORWARD, 2 * count * Net::kConv2},
         {"fc", "linear+bias", net.logits, MN_PROFILE_FORWARD, 2 * count * Net::kLinear}});
    EXPECT_EQ(entries[0].bytes, Net::kFloat * count * 2 * 3 * 64);
    EXPECT_EQ(entries[1].bytes, Net::kFloat * (count * (3 * 64 + 16 * 16) + 16 * 3 * 9 + 16));
    // Outputs of a linear layer are stored in panels of 16.
    EXPECT_EQ(entries[3].bytes, Net::kFloat * (count * (512 + 10) + 16 * 512 + 16));
    for (const mn_profile_entry& entry : entries) EXPECT_STRNE(entry.kernel, "");
    EXPECT_STREQ(entries[3].kernel, "gemm");
}

TEST(ProfileTest, ReadsBytesOfImagesAsBytes) {
    const TwoConvolutions net;
    Random random(test_seed());
    const DeviceHandle device = open_device(1);
    const TestModel model(device, net.network, {net.logits});
    Batch batch = random_batch(random, 2, 3 * 64, 10);
    batch.bytes.assign(2 * 3 * 64, 17);
    EXPECT_EQ(profile(mn_model_profile, model.handle(), batch)[0].bytes, 2 * 3 * 64 * (1 + 4));
}

TEST(ProfileTest, TellsOfATrainingStepEveryOperationForthAndBack) {
    using Net = TwoConvolutions;
    const Net net;
    Random random(test_seed());
    const DeviceHandle device = open_device(2);
    const TestModel model(device, net.network, {net.logits});
    const TestTrainer trainer(model, {loss_on(net.logits)}, adam(1e-3f), 8);
    const int count = 5;
    const Batch batch = random_batch(random, count, 3 * 64, 10);
    const Profile entries = profile(mn_trainer_profile, trainer.handle(), batch);
    const int64_t one = 2 * count;
    // The gradient by the image is not asked for.
    expect_entries(
        entries,
        {{"input_0", "load", net.input, MN_PROFILE_FORWARD, 0},
         {"conv1", "conv2d+bias+relu+max_pool2d", net.conv1, MN_PROFILE_FORWARD, one * Net::kConv1},
         {"conv2", "conv2d+bias+relu", net.conv2, MN_PROFILE_FORWARD, one * Net::kConv2},
         {"fc", "linear+bias", net.logits, MN_PROFILE_FORWARD, one * Net::kLinear},
         {"loss of fc", "loss", -1, MN_PROFILE_FORWARD, 0},
         {"fc", "linear+bias", net.logits, MN_PROFILE_BACKWARD, 2 * one * Net::kLinear},
         {"conv2", "conv2d+bias+relu", net.conv2, MN_PROFILE_BACKWARD, 2 * one * Net::kConv2},
         {"conv1", "conv2d+bias+relu+max_pool2d", net.conv1, MN_PROFILE_BACKWARD,
          one * Net::kConv1},
         {"derived weights", "pack", -1, MN_PROFILE_UPDATE, 0},
         {"optimizer", "update", -1, MN_PROFILE_UPDATE, 0}});
}

TEST(ProfileTest, ReferenceKernelsAreNamedSo) {
    const TwoConvolutions net;
    Random random(test_seed());
    const DeviceHandle device = open_device(1, MN_DEVICE_REFERENCE_KERNELS);
    const TestModel model(device, net.network, {net.logits}, {MN_MODEL_NO_FUSION, 1, 0});
    const Batch batch = random_batch(random, 1, 3 * 64, 10);
    const Profile entries = profile(mn_model_profile, model.handle(), batch);
    std::map<int32_t, int> times;
    for (const mn_profile_entry& entry : entries) {
        EXPECT_STREQ(entry.kernel, "reference");
        times[entry.node]++;
    }
    // Nothing is fused: each node once, but the flattening, which is a view.
    EXPECT_EQ(times.size(), 7u);
    for (const auto& [node, count] : times) EXPECT_EQ(count, 1) << "node " << node;
}

TEST(ProfileTest, ATimedStepIsAStep) {
    Random random(test_seed());
    const DeviceHandle device = open_device(2);
    for (int round = 0; round < 5; round++) {
        const RandomNetwork net = random_network(random);
        SCOPED_TRACE(net.text);
        const TestModel timed(device, net.network, net.heads),
            plain(device, net.network, net.heads);
        const std::vector<mn_loss_desc> losses = {loss_on(net.heads[0])};
        const TestTrainer timed_trainer(timed, losses, adam(1e-2f), 4);
        const TestTrainer plain_trainer(plain, losses, adam(1e-2f), 4);
        for (int step = 0; step < 3; step++) {
            const Batch batch = random_batch(random, 4, net.image_size, net.classes);
            profile(mn_trainer_profile, timed_trainer.handle(), batch);
            plain_trainer.step(batch);
            ASSERT_EQ(timed.read_all(), plain.read_all());
            profile(mn_model_profile, timed.handle(), batch);
            ASSERT_EQ(timed.forward(batch), plain.forward(batch));
        }
    }
}

TEST(ProfileTest, MultiplyAddsOfNodesFollowFromTheirShapes) {
    Network network;
    const int32_t input = network.input(8, 10, 12);
    mn_conv2d_desc desc = conv_3x3(16);
    desc.kernel_w = 5;
    desc.stride_h = 2;
    desc.groups = 4;
    const int32_t conv = network.conv(input, desc);
    mn_conv_transpose2d_desc up{};
    up.struct_size = sizeof up;
    up.out_channels = 6;
    up.kernel_h = up.kernel_w = up.stride_h = up.stride_w = 2;
    up.dilation_h = up.dilation_w = up.groups = 1;
    int32_t transposed = 0;
    check(mn_graph_conv_transpose2d(network.handle(), conv, &up, nullptr, &transposed));
    const int32_t flat = network.flatten(transposed);
    const int32_t linear = network.linear(flat, 9);
    const auto multiply_adds = [&](int32_t node) {
        mn_node_info info{};
        info.struct_size = sizeof info;
        check(mn_graph_node(network.handle(), node, &info, nullptr));
        return info.multiply_adds;
    };
    // 16 x 5 x 10 results of two channels and 3 x 5 taps each.
    EXPECT_EQ(multiply_adds(conv), 16 * 5 * 10 * 2 * 15);
    // Each of 16 x 5 x 10 values goes to 2 x 2 places of 6 channels.
    EXPECT_EQ(multiply_adds(transposed), 16 * 5 * 10 * 4 * 6);
    EXPECT_EQ(multiply_adds(linear), 6 * 10 * 20 * 9);
    EXPECT_EQ(multiply_adds(flat), 0);
}

TEST(ProfileTest, ThePeakIsMeasured) {
    const DeviceHandle device = open_device(2);
    mn_device_peak peak{};
    peak.struct_size = sizeof peak;
    check(mn_device_measure(device, &peak));
    // No machine that runs this is slower or faster.
    EXPECT_GT(peak.flops_per_second, 1e7);
    EXPECT_LT(peak.flops_per_second, 1e15);
    EXPECT_GT(peak.bytes_per_second, 1e7);
    EXPECT_LT(peak.bytes_per_second, 1e14);
}

mn_memory_plan trainer_plan(const TestTrainer& trainer) {
    mn_memory_plan plan{};
    plan.struct_size = sizeof plan;
    check(mn_trainer_memory_plan(trainer.handle(), &plan));
    return plan;
}

TEST(ProfileTest, MemoryOfATrainingPlanIsLinearInTheBatch) {
    const TwoConvolutions net;
    const DeviceHandle device = open_device(2);
    std::map<int, int64_t> bytes;
    for (int batch : {64, 128, 256, 512}) {
        const TestModel model(device, net.network, {net.logits});
        const TestTrainer trainer(model, {loss_on(net.logits)}, sgd(0.1f), batch);
        const mn_memory_plan plan = trainer_plan(trainer);
        bytes[batch] = plan.arena_bytes;
        EXPECT_LE(plan.workspace_bytes, plan.arena_bytes);
        EXPECT_GT(plan.compile_nanoseconds, 0);
    }
    // Scratch of the kernels, which does not grow with the batch, is in all of them.
    const double image = static_cast<double>(bytes[128] - bytes[64]) / 64;
    EXPECT_GT(image, 0);
    for (int batch : {256, 512})
        EXPECT_NEAR(static_cast<double>(bytes[batch]),
                    static_cast<double>(bytes[64]) + image * (batch - 64),
                    0.02 * static_cast<double>(bytes[batch]));
}

}  // namespace
}  // namespace mn::test
