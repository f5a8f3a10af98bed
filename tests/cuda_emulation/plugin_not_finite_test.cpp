// Infinities and numbers near the largest, where a formula could make NaN of them; and what counts
// batches. On the CUDA plugin.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "plugin.h"

namespace mn::test {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity();

TEST(PluginNotFinite, BinaryCrossEntropyOfInfiniteLogits) {
    Network network;
    const int32_t end = network.features(6);
    const DeviceHandle device = open_cuda();
    const TestModel model(device, network, {end});
    const mn_loss_desc loss = loss_on(end, 1, MN_REDUCTION_SUM, MN_LOSS_BCE_WITH_LOGITS);
    const TestTrainer trainer(model, {loss}, sgd(0), 1, MN_TRAINER_INPUT_GRADIENT);
    const auto step = [&](const Floats& logits, const Floats& targets) {
        Batch batch;
        batch.count = 1;
        batch.images = logits;
        mn_batch given = batch.get();
        given.targets = targets.data();
        given.target_count = targets.size();
        mn_metrics metrics = {};
        metrics.struct_size = sizeof metrics;
        check(mn_trainer_step(trainer.handle(), &given, &metrics));
        return metrics.loss;
    };
    // None of these is a loss.
    EXPECT_NEAR(step({inf, -inf, 1e20f, -1e20f, inf, -inf}, {1, 0, 1, 0, 1, 0}), 0, 1e-6);
    EXPECT_EQ(trainer.input_gradient(6), Floats(6, 0));
    EXPECT_EQ(step({inf, -inf, 1e20f, -1e20f, inf, -inf}, {0, 1, 0, 1, 1, 0}), double{inf});
    EXPECT_EQ(trainer.input_gradient(6), (Floats{1, -1, 1, -1, 0, 0}));
}

TEST(PluginNotFinite, ActivationsFarOut) {
    const float far = 1e20f, huge = 3e38f;
    for (int32_t kind : {MN_ACTIVATION_GELU_TANH, MN_ACTIVATION_GELU, MN_ACTIVATION_SILU,
                         MN_ACTIVATION_HARDSWISH, MN_ACTIVATION_SOFTPLUS}) {
        SCOPED_TRACE(kind);
        mn_activation_desc desc = {};
        desc.struct_size = sizeof desc;
        desc.kind = kind;
        desc.alpha = 1;
        desc.threshold = 1000;  // of softplus: its exponential alone would overflow
        Network network;
        int32_t end = -1;
        check(mn_graph_activation(network.handle(), network.features(5), &desc, nullptr, &end));
        const DeviceHandle device = open_cuda();
        const TestModel model(device, network, {end});
        const TestTrainer trainer(model,
                                  {loss_on(end, 1, MN_REDUCTION_SUM, MN_LOSS_OUTPUT_GRADIENT)},
                                  sgd(0), 1, MN_TRAINER_INPUT_GRADIENT);
        Batch batch;
        batch.count = 1;
        batch.images = {-far, far, -huge, huge, 500};
        EXPECT_EQ(model.forward(batch), (Floats{0, far, 0, huge, 500}));
        batch.output_gradients = Floats(5, 1);
        trainer.step(batch);
        EXPECT_EQ(trainer.input_gradient(5), (Floats{0, 1, 0, 1, 1}));
    }
}

TEST(PluginNotFinite, ADropoutOfAllGivesZeros) {
    for (int32_t unit : {MN_DROPOUT_ELEMENT, MN_DROPOUT_CHANNEL, MN_DROPOUT_IMAGE}) {
        Network network;
        const mn_dropout_desc dropout = {sizeof dropout, 1, unit};
        int32_t end = -1;
        check(mn_graph_dropout(network.handle(), network.input(3, 4, 4), &dropout, nullptr, &end));
        const DeviceHandle device = open_cuda();
        const TestModel model(device, network, {end});
        const TestTrainer trainer(model,
                                  {loss_on(end, 1, MN_REDUCTION_SUM, MN_LOSS_OUTPUT_GRADIENT)},
                                  sgd(0), 2, MN_TRAINER_INPUT_GRADIENT);
        Batch batch;
        batch.count = 2;
        batch.images = batch.output_gradients = Floats(96, 1);
        EXPECT_EQ(trainer.step(batch).loss, 0);
        EXPECT_EQ(trainer.input_gradient(96), Floats(96, 0));
    }
}

TEST(PluginNotFinite, BatchesAreCountedBeyondWhatAFloatHolds) {
    Network network;
    const mn_batch_norm_desc norm = {sizeof norm, 1e-5f, 0.1f, 0};
    int32_t end = -1;
    check(mn_graph_batch_norm(network.handle(), network.input(2, 3, 3), &norm, "norm", &end));
    const DeviceHandle device = open_cuda();
    const TestModel model(device, network, {end});
    const int counter = model.parameter_count() - 1;
    ASSERT_STREQ(model.parameter(counter).name, "norm.num_batches_tracked");
    const TestTrainer trainer(model, {loss_on(end, 1, MN_REDUCTION_SUM, MN_LOSS_OUTPUT_GRADIENT)},
                              sgd(0), 1);
    Batch batch;
    batch.count = 1;
    batch.images = batch.output_gradients = Floats(18, 1);
    model.write(counter, {0x1p24f});
    for (int i = 0; i < 3; i++) trainer.step(batch);
    Floats parts(2);
    check(mn_model_read(model.handle(), counter, MN_PART_VALUE, parts.data(), parts.size()));
    EXPECT_EQ(static_cast<int64_t>(parts[0]) + static_cast<int64_t>(parts[1]), (1 << 24) + 3);
}

}  // namespace
}  // namespace mn::test
