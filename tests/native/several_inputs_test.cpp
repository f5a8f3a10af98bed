// Networks of several inputs: gradients by each, and agreement with one input that is cut in parts.

#include <gtest/gtest.h>

#include "network.h"

namespace mn::test {
namespace {

constexpr int kClasses = 3;
constexpr int64_t kImage = 2 * 6 * 5, kFeatures = 7;

mn_batch_input input_of(int32_t node, const Floats& values) {
    mn_batch_input input{};
    input.struct_size = sizeof input;
    input.node = node;
    input.dtype = MN_FLOAT32;
    input.images = values.data();
    input.images_bytes = values.size() * sizeof(float);
    return input;
}

int32_t concat(const Network& network, std::vector<int32_t> sources) {
    int32_t node = -1;
    check(mn_graph_concat(network.handle(), sources.data(), static_cast<int32_t>(sources.size()),
                          nullptr, &node));
    return node;
}

// Images and features go their own ways and meet before the last layer; the features once more
// behind it, so that an input has two readers.
struct TwoInputs {
    Network network;
    int32_t features = -1, logits = -1;

    TwoInputs() {
        int32_t image = network.normalize(network.input(2, 6, 5), {0.5f, 0.25f}, {2, 0.5f});
        image = network.conv(image, conv_desc(4, 3, 1, 1), "conv");
        features = network.features(kFeatures);
        const int32_t meet = concat(network, {network.flatten(image), features});
        const int32_t end = network.linear(meet, kClasses, 1, "meet");
        logits = network.linear(concat(network, {end, features}), kClasses, 1, "end");
    }
};

mn_batch with(const Batch& batch, const mn_batch_input& input) {
    mn_batch both = batch.get();
    both.inputs = &input;
    both.input_count = 1;
    return both;
}

double loss_of(const TestModel& model, const mn_batch& batch, int32_t node) {
    const mn_loss_desc loss = loss_on(node);
    mn_metrics metrics{};
    metrics.struct_size = sizeof metrics;
    check(mn_model_evaluate(model.handle(), &batch, &loss, &metrics));
    return metrics.loss;
}

void step(const TestTrainer& trainer, const mn_batch& batch) {
    mn_metrics metrics{};
    metrics.struct_size = sizeof metrics;
    check(mn_trainer_step(trainer.handle(), &batch, &metrics));
}

TEST(SeveralInputsTest, GradientsByEachAgreeWithFiniteDifferences) {
    Random random(test_seed());
    const DeviceHandle device = open_device(2);
    const TwoInputs net;
    const TestModel model(device, net.network, {net.logits});
    Batch images = random_batch(random, 4, kImage, kClasses);
    Floats features = random.floats(4 * kFeatures);
    const mn_batch_input input = input_of(net.features, features);
    const mn_batch batch = with(images, input);
    const TestTrainer trainer(model, {loss_on(net.logits)}, sgd(0), 4, MN_TRAINER_INPUT_GRADIENT);
    step(trainer, batch);
    // `by(i)`: derivative of the normalised value by value i.
    const auto expect_gradient = [&](Floats& values, const Floats& gradient, auto by) {
        for (size_t i = 0; i < values.size(); i += 3) {
            const float start = values[i];
            values[i] = start + 0.02f;
            const double above = loss_of(model, batch, net.logits);
            values[i] = start - 0.02f;
            const double below = loss_of(model, batch, net.logits);
            values[i] = start;
            EXPECT_NEAR(gradient[i] * by(i), (above - below) / 0.04, 1e-4) << i;
        }
    };
    expect_gradient(images.images, trainer.input_gradient(4 * kImage),
                    [](size_t i) { return i % kImage < kImage / 2 ? 0.5 : 2.0; });
    expect_gradient(features, trainer.input_gradient(4 * kFeatures, net.features),
                    [](size_t) { return 1.0; });
}

// Two inputs of features, against one whose halves are cut out: the same bits, in inference by
// pieces and after steps of training.
TEST(SeveralInputsTest, TwoInputsEqualTwoSlicesOfOne) {
    Random random(test_seed() + 1);
    const DeviceHandle device = open_device(2);
    Network one, two;
    const int32_t whole = one.features(12);
    const auto cut = [&](int32_t first, int32_t count) {
        const mn_slice_desc desc = {sizeof desc, first, count};
        int32_t node = -1;
        check(mn_graph_slice(one.handle(), whole, &desc, nullptr, &node));
        return node;
    };
    const auto rest = [](Network& network, int32_t left, int32_t right) {
        const int32_t a = network.relu(network.linear(left, 9, 1, "left"));
        const int32_t b = network.linear(right, 9, 1, "right");
        const mn_binary_desc multiply = {sizeof multiply, MN_BINARY_MULTIPLY};
        int32_t node = -1;
        check(mn_graph_binary(network.handle(), a, b, &multiply, nullptr, &node));
        return network.linear(node, kClasses, 1, "end");
    };
    const int32_t end_one = rest(one, cut(0, 5), cut(5, 7));
    const int32_t left = two.features(5), right = two.features(7);
    const int32_t end_two = rest(two, left, right);
    ModelOptions options;
    options.inference_batch = 3;
    const TestModel model_one(device, one, {end_one}, options);
    const TestModel model_two(device, two, {end_two}, options);
    model_two.write_all(model_one.read_all());

    const Batch batch = random_batch(random, 8, 12, kClasses);
    Batch lefts = batch;
    lefts.images.clear();
    Floats rights;
    for (int n = 0; n < 8; n++) {
        const auto row = batch.images.begin() + n * 12;
        lefts.images.insert(lefts.images.end(), row, row + 5);
        rights.insert(rights.end(), row + 5, row + 12);
    }
    const mn_batch_input input = input_of(right, rights);
    const mn_batch both = with(lefts, input);
    const auto forward_two = [&] {
        Floats values(8 * kClasses);
        const mn_output output = {sizeof output, 0, values.data(), values.size()};
        check(mn_model_forward(model_two.handle(), &both, &output, 1));
        return values;
    };
    EXPECT_EQ(model_one.forward(batch), forward_two());
    {
        const TestTrainer trainer_one(model_one, {loss_on(end_one)}, adam(0.01f), 8);
        const TestTrainer trainer_two(model_two, {loss_on(end_two)}, adam(0.01f), 8);
        for (int i = 0; i < 5; i++) {
            trainer_one.step(batch);
            step(trainer_two, both);
        }
    }
    EXPECT_EQ(model_one.read_all(), model_two.read_all());
    EXPECT_EQ(model_one.forward(batch), forward_two());
}

}  // namespace
}  // namespace mn::test
