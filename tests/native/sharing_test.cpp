// Parameters that several nodes use.

#include <gtest/gtest.h>

#include "network.h"

namespace mn::test {
namespace {

// The ids of a node's parameters.
std::vector<int32_t> parameters_of(const Network& network, int32_t node) {
    mn_node_info info{};
    info.struct_size = sizeof info;
    check(mn_graph_node(network.handle(), node, &info, nullptr));
    std::vector<int32_t> ids;
    for (int32_t p = 0; p < info.parameters; p++) {
        mn_parameter_info parameter{};
        parameter.struct_size = sizeof parameter;
        check(mn_graph_parameter(network.handle(), node, p, &parameter));
        ids.push_back(parameter.id);
    }
    return ids;
}

template <typename Desc>
int32_t add_with(const Network& network, int32_t op, const Desc& desc, int32_t source,
                 const std::vector<int32_t>& parameters) {
    int32_t node = -1;
    check(mn_graph_add_with(network.handle(), op, &desc, &source, 1, parameters.data(),
                            static_cast<int32_t>(parameters.size()), nullptr, &node));
    return node;
}

// A convolution, a batch normalisation and a linear layer, each applied twice: with the same
// parameters or with copies. The linear layer reads an image first and then features, which are in
// another order in memory.
struct Twice {
    static constexpr int kClasses = 6, kSize = 3 * 8 * 8;
    Network network;
    int32_t end = -1;
    std::vector<std::pair<int32_t, int32_t>> pairs;  // of parameters that are one or equal

    explicit Twice(bool shared) {
        const mn_linear_desc linear = {sizeof linear, kSize, 1};
        const mn_batch_norm_desc norm = {sizeof norm, 1e-5f, 0.1f, 1};
        int32_t x = network.input(3, 8, 8);
        x = network.relu(twice(shared, MN_OP_CONV2D, conv_desc(3, 3, 1, 1), x));
        x = twice(shared, MN_OP_BATCH_NORM, norm, x);
        x = twice(shared, MN_OP_LINEAR, linear, network.flatten(x));
        end = network.linear(x, kClasses);
    }

    template <typename Desc>
    int32_t twice(bool shared, int32_t op, const Desc& desc, int32_t x) {
        const int32_t first = add_with(network, op, desc, x, {});
        const std::vector<int32_t> ids = parameters_of(network, first);
        const int32_t middle = network.relu(first);
        const int32_t second =
            add_with(network, op, desc, middle, shared ? ids : std::vector<int32_t>());
        const std::vector<int32_t> others = parameters_of(network, second);
        for (size_t p = 0; p < ids.size(); p++) pairs.emplace_back(ids[p], others[p]);
        return second;
    }
};

class SharingTest : public testing::TestWithParam<uint32_t> {
protected:
    const DeviceHandle device_ = open_device(2, GetParam());
    Random random_{test_seed()};
};

TEST_P(SharingTest, TheGradientIsTheSumOverAllUses) {
    const Twice one(true), two(false);
    const TestModel shared(device_, one.network, {one.end}),
        copied(device_, two.network, {two.end});
    ASSERT_LT(shared.parameter_count(), copied.parameter_count());
    for (size_t i = 0; i < one.pairs.size(); i++) {
        EXPECT_EQ(one.pairs[i].first, one.pairs[i].second);
        const Floats values = shared.read(one.pairs[i].first);
        copied.write(two.pairs[i].first, values);
        copied.write(two.pairs[i].second, values);
    }
    for (int p = 0; p < 2; p++)  // of the last layer
        copied.write(copied.parameter_count() - 2 + p,
                     shared.read(shared.parameter_count() - 2 + p));
    const TestTrainer shared_trainer(shared, {loss_on(one.end)}, sgd(0.1f), 5);
    const TestTrainer copied_trainer(copied, {loss_on(two.end)}, sgd(0.1f), 5);
    // The second time onto what is there.
    for (int count : {5, 4}) {
        const Batch batch = random_batch(random_, count, 3 * 8 * 8, Twice::kClasses);
        EXPECT_NEAR(shared_trainer.accumulate(batch).loss, copied_trainer.accumulate(batch).loss,
                    1e-5);
        for (size_t i = 0; i < one.pairs.size(); i++) {
            const auto [first, second] = two.pairs[i];
            if (!shared.parameter(one.pairs[i].first).trainable) continue;
            Floats sum = copied.read(first, MN_PART_GRADIENT);
            const Floats other = copied.read(second, MN_PART_GRADIENT);
            for (size_t k = 0; k < sum.size(); k++) sum[k] += other[k];
            EXPECT_LT(relative_error(shared.read(one.pairs[i].first, MN_PART_GRADIENT), sum), 2e-4)
                << shared.parameter(one.pairs[i].first).name;
        }
    }
}

TEST_P(SharingTest, StatisticsMoveWithEveryUse) {
    const Twice net(true);
    const TestModel model(device_, net.network, {net.end});
    const TestTrainer trainer(model, {loss_on(net.end)}, sgd(0.1f), 4);
    trainer.step(random_batch(random_, 4, 3 * 8 * 8, Twice::kClasses));
    for (int p = 0; p < model.parameter_count(); p++) {
        if (std::string(model.parameter(p).name).find("num_batches") != std::string::npos) {
            EXPECT_EQ(model.read(p), Floats{2});
        }
    }
}

TEST_P(SharingTest, AParameterOfItsOwnIsDrawnAsItSays) {
    Network network;
    const int32_t x = network.features(40);
    mn_parameter_desc desc{};
    desc.struct_size = sizeof desc;
    desc.init = MN_INIT_UNIFORM;
    desc.init_value = 0.25;
    desc.trainable = 1;
    desc.shape = {2, 0, {30, 40}};
    int32_t weight = -1, bias = -1, unused = -1;
    check(mn_graph_new_parameter(network.handle(), &desc, "tied", &weight));
    desc.shape = {1, 0, {30}};
    desc.init = MN_INIT_CONSTANT;
    check(mn_graph_new_parameter(network.handle(), &desc, "offset", &bias));
    desc.shape = {5, 0, {2, 3, 4, 5, 6}};
    check(mn_graph_new_parameter(network.handle(), &desc, "unused", &unused));
    const mn_linear_desc linear = {sizeof linear, 30, 1};
    const int32_t end = add_with(network, MN_OP_LINEAR, linear, x, {weight, bias});
    const TestModel model(device_, network, {end});
    EXPECT_EQ(model.parameter_count(), 3);
    EXPECT_STREQ(model.parameter(weight).name, "tied");
    EXPECT_EQ(model.parameter(weight).node, end);
    EXPECT_EQ(model.parameter(unused).node, -1);
    EXPECT_EQ(model.read(bias), Floats(30, 0.25f));
    EXPECT_EQ(model.read(unused), Floats(720, 0.25f));
    float low = 1, high = -1;
    for (float value : model.read(weight)) low = std::min(low, value), high = std::max(high, value);
    EXPECT_GE(low, -0.25f);
    EXPECT_LT(low, -0.2f);
    EXPECT_LE(high, 0.25f);
    EXPECT_GT(high, 0.2f);
}

INSTANTIATE_TEST_SUITE_P(Devices, SharingTest,
                         testing::Values(0u, uint32_t{MN_DEVICE_REFERENCE_KERNELS}));

TEST(SharingErrorTest, WhatDoesNotFitIsRefusedAndChangesNothing) {
    Network network;
    const int32_t x = network.features(4);
    const int32_t first = network.linear(x, 3, 1, "first");
    const std::vector<int32_t> ids = parameters_of(network, first);
    const int32_t norm =
        add_with(network, MN_OP_BATCH_NORM,
                 mn_batch_norm_desc{sizeof(mn_batch_norm_desc), 1e-5f, 0.1f, 0}, first, {});
    const std::vector<int32_t> statistics = parameters_of(network, norm);
    const auto fails = [&](mn_status status, const char* part, int32_t outputs,
                           const std::vector<int32_t>& parameters) {
        const mn_linear_desc linear = {sizeof linear, outputs, 1};
        try {
            add_with(network, MN_OP_LINEAR, linear, x, parameters);
            FAIL() << "nothing was refused";
        } catch (const Failure& failure) {
            EXPECT_EQ(failure.status, status);
            EXPECT_NE(std::string(failure.what()).find(part), std::string::npos) << failure.what();
        }
    };
    fails(MN_SHAPE_MISMATCH, "weight is 5x4, \"first.weight\" is 3x4", 5, ids);
    fails(MN_INVALID_ARGUMENT, "has 2 parameters, got 1", 3, {ids[0]});
    fails(MN_NOT_FOUND, "there is no parameter 99", 3, {ids[0], 99});
    fails(MN_INVALID_ARGUMENT, "is a running statistic", 3, {ids[0], statistics[0]});
    mn_parameter_desc desc{};
    desc.struct_size = sizeof desc;
    desc.shape = {1, 0, {3}};
    int32_t parameter = -1;
    EXPECT_EQ(mn_graph_new_parameter(network.handle(), &desc, "first.bias", &parameter),
              MN_INVALID_ARGUMENT);
    desc.shape.dims[0] = 0;
    EXPECT_EQ(mn_graph_new_parameter(network.handle(), &desc, "none", &parameter),
              MN_SHAPE_MISMATCH);
    desc.shape.dims[0] = 1;
    desc.init = 7;
    EXPECT_EQ(mn_graph_new_parameter(network.handle(), &desc, "none", &parameter),
              MN_INVALID_ARGUMENT);
    // A partly shared node has the rest for its own.
    const mn_linear_desc linear = {sizeof linear, 3, 1};
    const int32_t last = add_with(network, MN_OP_LINEAR, linear, x, {ids[0], -1});
    EXPECT_EQ(parameters_of(network, last), (std::vector<int32_t>{ids[0], statistics[2] + 1}));
}

TEST(SharingErrorTest, MomentsAreThoseOfTheOptimizer) {
    const auto parts = [](const mn_optimizer_desc& optimizer) {
        uint32_t result = 0;
        check(mn_optimizer_moments(&optimizer, &result));
        return result;
    };
    const uint32_t first = 1u << MN_PART_MOMENT1, second = 1u << MN_PART_MOMENT2;
    mn_optimizer_desc optimizer = adam(0.1f);
    EXPECT_EQ(parts(sgd(0.1f)), 0u);
    EXPECT_EQ(parts(sgd(0.1f, 0.9f)), first);
    EXPECT_EQ(parts(optimizer), first | second);
    optimizer.amsgrad = 1;
    EXPECT_EQ(parts(optimizer), first | second | 1u << MN_PART_MOMENT3);
}

}  // namespace
}  // namespace mn::test
