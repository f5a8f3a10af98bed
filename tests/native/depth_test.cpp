// Very deep networks: the time that they take grows as their depth does.

#include <gtest/gtest.h>

#include <ctime>

#include "network.h"

namespace mn::test {
namespace {

constexpr int kLayers = 30000;

// Of this thread: others may share the machine. Where the work of a pass grows with the square of
// the depth, this depth takes a minute.
double seconds() {
    return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

void expect_fast(const Network& network, int32_t end, int64_t inputs) {
    const double start = seconds();
    const DeviceHandle device = open_device(1);
    const TestModel model(device, network, {end});
    const TestTrainer trainer(model, {loss_on(end)}, adam(0.001f), 2, MN_TRAINER_INPUT_GRADIENT);
    Random random(test_seed());
    const Batch batch = random_batch(random, 2, inputs, 4);
    model.forward(batch);
    model.evaluate(batch, end);
    trainer.step(batch);
    EXPECT_LT(seconds() - start, 20);
}

TEST(DepthTest, AChainOfLayers) {
    const double start = seconds();
    Network network;
    int32_t node = network.features(4);
    for (int i = 0; i < kLayers / 2; i++) node = network.relu(network.linear(node, 4));
    EXPECT_LT(seconds() - start, 20);
    expect_fast(network, node, 4);
}

// Each layer has a short cut around it, so that gradients are added up.
TEST(DepthTest, AChainOfResiduals) {
    const mn_binary_desc add = {sizeof add, MN_BINARY_ADD};
    const mn_activation_desc tanh = {sizeof tanh, MN_ACTIVATION_TANH, 0, 0};
    Network network;
    int32_t node = network.features(4);
    for (int i = 0; i < kLayers / 2; i++) {
        int32_t inner = -1;
        check(mn_graph_activation(network.handle(), node, &tanh, nullptr, &inner));
        check(mn_graph_binary(network.handle(), node, inner, &add, nullptr, &node));
    }
    expect_fast(network, node, 4);
}

TEST(DepthTest, AChainOfConvolutionsNormsAndReshapes) {
    const mn_batch_norm_desc norm = {sizeof norm, 1e-5f, 0.1f, 1};
    const mn_shape row = {3, 0, {1, 1, 4, 0}};
    Network network;
    int32_t node = network.input(1, 2, 2);
    for (int i = 0; i < kLayers / 4; i++) {
        node = network.conv(node, conv_desc(1, 1, 1, 0));
        check(mn_graph_batch_norm(network.handle(), node, &norm, nullptr, &node));
        check(mn_graph_reshape(network.handle(), network.relu(node), &row, nullptr, &node));
    }
    expect_fast(network, network.flatten(node), 4);
}

}  // namespace
}  // namespace mn::test
