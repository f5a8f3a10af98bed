// Whole networks through the C ABI: the same numbers whatever is fused and whichever kernels run,
// gradients that are those of the loss, no stale copies of parameters.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "network.h"

namespace mn::test {
namespace {

// All the numbers that one network gives for one batch.
struct Numbers {
    std::vector<Floats> outputs, gradients;
    Floats input_gradient;
    mn_metrics metrics{};
    double evaluated = 0;
};

std::vector<mn_loss_desc> losses_of(const RandomNetwork& net) {
    std::vector<mn_loss_desc> losses;
    for (int32_t head : net.heads) losses.push_back(loss_on(head, losses.empty() ? 1.0f : 0.3f));
    return losses;
}

Numbers numbers_of(mn_device device, const RandomNetwork& net, uint32_t flags, const Batch& batch,
                   int max_batch) {
    std::vector<int32_t> outputs = net.heads;
    if (flags == 0) outputs.push_back(net.tap);
    const TestModel model(device, net.network, outputs, {flags, 5, 0});
    const TestTrainer trainer(model, losses_of(net), sgd(0.1f), max_batch,
                              MN_TRAINER_INPUT_GRADIENT);
    Numbers numbers;
    for (size_t i = 0; i < net.heads.size(); i++)
        numbers.outputs.push_back(model.forward(batch, static_cast<int>(i)));
    numbers.evaluated = model.evaluate(batch, net.heads[0]).loss;
    numbers.metrics = trainer.accumulate(batch);
    numbers.gradients = model.read_all(MN_PART_GRADIENT);
    numbers.input_gradient = trainer.input_gradient(batch.count * net.image_size);
    return numbers;
}

void expect_close(const Numbers& a, const Numbers& b, double tolerance) {
    // Logits may cancel; gradients go through more layers.
    for (size_t i = 0; i < a.outputs.size(); i++)
        EXPECT_LE(relative_error(a.outputs[i], b.outputs[i]), 5 * tolerance) << "output " << i;
    ASSERT_EQ(a.gradients.size(), b.gradients.size());
    for (size_t i = 0; i < a.gradients.size(); i++)
        EXPECT_LE(relative_error(a.gradients[i], b.gradients[i]), 20 * tolerance)
            << "gradient " << i;
    EXPECT_LE(relative_error(a.input_gradient, b.input_gradient), 20 * tolerance);
    EXPECT_NEAR(a.metrics.loss, b.metrics.loss, 1e-4 * std::fabs(b.metrics.loss));
    EXPECT_NEAR(a.evaluated, b.evaluated, 1e-4 * std::fabs(b.evaluated));
}

TEST(ModelTest, FusionAndKernelsDoNotChangeTheNumbers) {
    Random random(test_seed());
    const DeviceHandle fast = open_device(2);
    const DeviceHandle reference = open_device(2, MN_DEVICE_REFERENCE_KERNELS);
    for (int round = 0; round < 60; round++) {
        const RandomNetwork net = random_network(random);
        const int max_batch = static_cast<int>(random.integer(1, 9));
        const int count = static_cast<int>(random.integer(1, max_batch));
        const Batch batch = random_batch(random, count, net.image_size, net.classes);
        SCOPED_TRACE(testing::Message() << "round " << round << ": " << net.text << ", " << count
                                        << " of " << max_batch);
        const Numbers plain = numbers_of(reference, net, MN_MODEL_NO_FUSION, batch, max_batch);
        EXPECT_NEAR(plain.metrics.loss_denominator, count, 0);
        {
            SCOPED_TRACE("fast, fused");
            expect_close(numbers_of(fast, net, 0, batch, max_batch), plain, 1e-5);
        }
        {
            SCOPED_TRACE("fast, not fused");
            expect_close(numbers_of(fast, net, MN_MODEL_NO_FUSION, batch, max_batch), plain, 1e-5);
        }
        {
            SCOPED_TRACE("reference, fused");
            expect_close(numbers_of(reference, net, 0, batch, max_batch), plain, 1e-5);
        }
        if (testing::Test::HasFailure()) return;
    }
}

// (loss(p + e) - loss(p - e)) / 2e along the gradient is the square of its length. ReLU and max
// pooling put kinks into the loss: a smaller step may be needed, and now and then none is small
// enough for float32.
TEST(ModelTest, GradientsAreThoseOfTheLoss) {
    Random random(test_seed() + 1);
    const DeviceHandle device = open_device(2);
    int far = 0;
    for (int round = 0; round < 40; round++) {
        const RandomNetwork net = random_network(random);
        const Batch batch = random_batch(random, 4, net.image_size, net.classes);
        const TestModel model(device, net.network, {net.heads[0]});
        const TestTrainer trainer(model, {loss_on(net.heads[0])}, sgd(0), 4);
        trainer.accumulate(batch);
        const std::vector<Floats> start = model.read_all();
        const std::vector<Floats> gradient = model.read_all(MN_PART_GRADIENT);
        double square = 0;
        for (const Floats& part : gradient)
            for (float g : part) square += static_cast<double>(g) * static_cast<double>(g);
        ASSERT_GT(square, 0) << net.text;
        const auto loss_at = [&](double factor) {
            std::vector<Floats> moved = start;
            for (size_t i = 0; i < moved.size(); i++)
                for (size_t k = 0; k < moved[i].size(); k++)
                    moved[i][k] += static_cast<float>(factor * gradient[i][k]);
            model.write_all(moved);
            return model.evaluate(batch, net.heads[0]).loss;
        };
        double error = 1;
        for (const double distance : {2e-3, 5e-4, 1e-4}) {
            const double step = distance / std::sqrt(square);
            const double slope = (loss_at(step) - loss_at(-step)) / (2 * step);
            error = std::min(error, std::fabs(slope - square) / square);
        }
        if (error <= 0.02) continue;
        far++;
        std::printf("%s: relative error %g\n", net.text.c_str(), error);
    }
    EXPECT_LE(far, 2);
}

TEST(ModelTest, InputGradientIsThatOfTheLoss) {
    Random random(test_seed() + 2);
    const DeviceHandle device = open_device(2);
    for (const int32_t reduction : {MN_REDUCTION_MEAN, MN_REDUCTION_SUM}) {
        Network network;
        const int32_t in = network.input(2, 6, 5);
        const int32_t conv = network.conv(in, conv_desc(6, 3, 1, 1));
        const int32_t pool = network.avg_pool(conv, pool_desc(2, 2));
        const int32_t end = network.linear(network.flatten(pool), 4);
        const TestModel model(device, network, {end});
        Batch batch = random_batch(random, 3, 60, 4);
        const TestTrainer trainer(model, {loss_on(end, 1, reduction)}, sgd(0.1f), 8,
                                  MN_TRAINER_INPUT_GRADIENT);
        const double share = reduction == MN_REDUCTION_MEAN ? 1 : 3;
        // What was accumulated before does not count.
        trainer.accumulate(random_batch(random, 8, 60, 4));
        trainer.accumulate(batch);
        const Floats gradient = trainer.input_gradient(180);
        for (size_t i : {0, 7, 61, 100, 179}) {
            const float start = batch.images[i];
            batch.images[i] = start + 0.01f;
            const double above = model.evaluate(batch, end).loss * share;
            batch.images[i] = start - 0.01f;
            const double below = model.evaluate(batch, end).loss * share;
            batch.images[i] = start;
            EXPECT_NEAR(gradient[i], (above - below) / 0.02, 1e-4) << i;
        }
    }
}

// The gradient is that by the values after normalisation.
TEST(ModelTest, InputGradientIsTakenAfterNormalisation) {
    Random random(test_seed() + 3);
    const DeviceHandle device = open_device(1);
    Network plain, normalized;
    const int32_t a = plain.linear(plain.flatten(plain.input(1, 3, 3)), 3);
    int32_t b = normalized.normalize(normalized.input(1, 3, 3), {0.25f}, {0.5f});
    b = normalized.linear(normalized.flatten(b), 3);
    const TestModel first(device, plain, {a}), second(device, normalized, {b});
    second.write_all(first.read_all());
    Batch batch = random_batch(random, 2, 9, 3), raw = batch;
    for (float& x : raw.images) x = x * 0.5f + 0.25f;
    const TestTrainer one(first, {loss_on(a)}, sgd(0), 2, MN_TRAINER_INPUT_GRADIENT);
    const TestTrainer two(second, {loss_on(b)}, sgd(0), 2, MN_TRAINER_INPUT_GRADIENT);
    one.step(batch);
    two.step(raw);
    EXPECT_LE(relative_error(one.input_gradient(18), two.input_gradient(18)), 1e-5);
}

// Every image in the batch: nothing of a longer batch before it is left over.
TEST(ModelTest, PartialBatchesDoNotSeeOldImages) {
    Random random(test_seed() + 4);
    const DeviceHandle device = open_device(2);
    for (int round = 0; round < 10; round++) {
        const RandomNetwork net = random_network(random);
        const Batch large = random_batch(random, 8, net.image_size, net.classes);
        const Batch small = random_batch(random, 3, net.image_size, net.classes);
        const TestModel fresh(device, net.network, net.heads), used(device, net.network, net.heads);
        const TestTrainer a(fresh, losses_of(net), sgd(0.1f), 8);
        const TestTrainer b(used, losses_of(net), sgd(0.1f), 8);
        b.accumulate(large);
        b.clear();
        used.forward(large);
        EXPECT_EQ(used.forward(small), fresh.forward(small)) << net.text;
        EXPECT_EQ(b.accumulate(small).loss, a.accumulate(small).loss) << net.text;
        EXPECT_EQ(used.read_all(MN_PART_GRADIENT), fresh.read_all(MN_PART_GRADIENT)) << net.text;
    }
}

TEST(ModelTest, InputsOfEveryKindAgree) {
    Random random(test_seed() + 5);
    const DeviceHandle device = open_device(2);
    Network network;
    int32_t node = network.normalize(network.input(3, 7, 9), {0.1f, 0.2f, 0.3f}, {0.5f, 1, 2});
    node = network.conv(node, conv_desc(5, 3, 1, 1));
    node = network.linear(network.flatten(network.relu(node)), 6);
    const TestModel model(device, network, {node});
    const TestModel pieces(device, network, {node}, {0, 1, 2});  // of two images
    constexpr int kCount = 9, kSize = 3 * 7 * 9;
    Batch bytes, floats;
    bytes.count = floats.count = kCount;
    for (int i = 0; i < kCount * kSize; i++) {
        bytes.bytes.push_back(static_cast<uint8_t>(random.integer(0, 255)));
        floats.images.push_back(static_cast<float>(bytes.bytes.back()) / 255.0f);
    }
    for (int i = 0; i < kCount; i++)
        bytes.labels.push_back(static_cast<int32_t>(random.integer(0, 5)));
    floats.labels = bytes.labels;
    const Floats expected = model.forward(floats);
    EXPECT_LE(relative_error(model.forward(bytes), expected), 1e-6);

    for (const Batch* source : {&bytes, &floats})
        for (const uint32_t flags : {0u, static_cast<uint32_t>(MN_DATASET_BORROW)}) {
            mn_dataset_desc desc{};
            const mn_batch whole = source->get();
            desc.struct_size = sizeof desc;
            desc.dtype = whole.dtype;
            desc.count = kCount;
            desc.shape = network.shape(0);
            desc.images = whole.images;
            desc.images_bytes = whole.images_bytes;
            desc.labels = whole.labels;
            desc.flags = flags;
            mn_dataset handle = 0;
            check(mn_dataset_create(device, &desc, &handle));
            const DatasetHandle dataset(handle);
            Batch picked;
            picked.dataset = dataset;
            picked.indices = {8, 0, 3, 3, 5};
            picked.count = 5;
            const Floats given = model.forward(*source), got = model.forward(picked);
            EXPECT_EQ(pieces.forward(*source), given);
            EXPECT_EQ(pieces.forward(picked), got);
            for (size_t n = 0; n < picked.indices.size(); n++)
                for (int f = 0; f < 6; f++)
                    EXPECT_EQ(got[n * 6 + f], given[picked.indices[n] * 6 + f]);
            double loss = 0;
            int64_t correct = 0;
            for (int32_t index : picked.indices) {
                const mn_metrics one = model.evaluate(source->slice(index, 1), node);
                loss += one.loss / 5;
                correct += one.correct;
            }
            const mn_metrics metrics = model.evaluate(picked, node);
            EXPECT_NEAR(metrics.loss, loss, 1e-6);
            EXPECT_EQ(metrics.correct, correct);
            for (const Batch* batch : {static_cast<const Batch*>(&picked), source}) {
                const mn_metrics whole = model.evaluate(*batch, node);
                const mn_metrics parts = pieces.evaluate(*batch, node);
                EXPECT_EQ(parts.count, batch->count);
                EXPECT_NEAR(parts.loss, whole.loss, 1e-6);
                EXPECT_EQ(parts.correct, whole.correct);
            }
        }
}

// train -> evaluate -> train -> write -> forward: always the numbers of a fresh model.
TEST(ModelTest, NoCopyOfParametersIsStale) {
    Random random(test_seed() + 6);
    const DeviceHandle device = open_device(2);
    for (int round = 0; round < 12; round++) {
        const RandomNetwork net = random_network(random);
        const TestModel model(device, net.network, net.heads);
        const TestTrainer trainer(model, losses_of(net), adam(0.05f), 6);
        const auto compare = [&](const char* when) {
            const Batch probe = random_batch(random, 5, net.image_size, net.classes);
            const TestModel fresh(device, net.network, net.heads, {0, 99, 0});
            fresh.write_all(model.read_all());
            EXPECT_EQ(model.forward(probe), fresh.forward(probe)) << when << ": " << net.text;
            EXPECT_EQ(model.evaluate(probe, net.heads[0]).loss,
                      fresh.evaluate(probe, net.heads[0]).loss)
                << when << ": " << net.text;
            const TestTrainer other(fresh, losses_of(net), adam(0.05f), 6);
            EXPECT_EQ(trainer.accumulate(probe).loss, other.accumulate(probe).loss)
                << when << ": " << net.text;
            trainer.clear();
        };
        compare("at first");
        trainer.step(random_batch(random, 6, net.image_size, net.classes));
        compare("after a step");
        trainer.accumulate(random_batch(random, 2, net.image_size, net.classes));
        trainer.apply();
        compare("after an update");
        for (int i = 0; i < model.parameter_count(); i++)
            model.write(i, random.floats(model.parameter(i).count));
        compare("after a write");
    }
}

TEST(ModelTest, OutputsMayBeAnyNodeInAnyOrder) {
    Random random(test_seed() + 7);
    const DeviceHandle device = open_device(2);
    Network network;
    const int32_t in = network.input(3, 6, 8);
    const int32_t conv = network.conv(in, conv_desc(5, 3, 1, 1));
    const int32_t relu = network.relu(conv);
    const int32_t pool = network.max_pool(relu, pool_desc(2, 2));
    const int32_t flat = network.flatten(pool);
    const int32_t soft = network.softmax(flat);
    const Batch batch = random_batch(random, 70, 144, 2);
    const TestModel all(device, network, {soft, in, relu, pool, flat, conv, relu});
    EXPECT_EQ(all.forward(batch, 1), batch.images);
    const Floats features = all.forward(batch, 4);
    EXPECT_EQ(all.forward(batch, 3), features);
    EXPECT_EQ(all.forward(batch, 2), all.forward(batch, 6));
    const Floats before = all.forward(batch, 5), after = all.forward(batch, 2);
    for (size_t i = 0; i < before.size(); i++) ASSERT_EQ(after[i], std::max(before[i], 0.0f));
    // N x C x H x W whatever the layout inside: pool it by hand.
    for (int n = 0; n < 70; n += 23)
        for (int c = 0; c < 5; c++)
            for (int h = 0; h < 3; h++)
                for (int w = 0; w < 4; w++) {
                    float best = -1;
                    for (int y = 2 * h; y < 2 * h + 2; y++)
                        for (int x = 2 * w; x < 2 * w + 2; x++)
                            best = std::max(best, after[((n * 5 + c) * 6 + y) * 8 + x]);
                    ASSERT_EQ(features[((n * 5 + c) * 3 + h) * 4 + w], best);
                }
    const Floats shares = all.forward(batch, 0);
    for (int n = 0; n < 70; n++) {
        double sum = 0, top = 0;
        for (int f = 0; f < 60; f++) {
            sum += std::exp(static_cast<double>(features[n * 60 + f]));
            top += static_cast<double>(shares[n * 60 + f]);
        }
        ASSERT_NEAR(top, 1, 1e-5);
        ASSERT_NEAR(shares[n * 60 + 7], std::exp(static_cast<double>(features[n * 60 + 7])) / sum,
                    1e-6);
    }
    const TestModel one(device, network, {soft});  // nothing tapped: fused
    EXPECT_LE(relative_error(one.forward(batch), shares), 1e-5);
}

// A network without parameters, and a loss that takes the pixels themselves.
TEST(ModelTest, NothingToTrainIsNoError) {
    const DeviceHandle device = open_device(1);
    Network network;
    const int32_t in = network.features(3);
    const TestModel model(device, network, {in});
    EXPECT_EQ(model.parameter_count(), 0);
    const TestTrainer trainer(model, {loss_on(in)}, adam(0.1f), 2, MN_TRAINER_INPUT_GRADIENT);
    Batch batch;
    batch.count = 2;
    batch.images = {0, 0, 0, 0, 0, 100};
    batch.labels = {1, 2};
    const mn_metrics metrics = trainer.step(batch);
    EXPECT_NEAR(metrics.loss, std::log(3.0) / 2, 1e-6);
    EXPECT_EQ(metrics.correct, 1);
    const Floats gradient = trainer.input_gradient(6);
    EXPECT_NEAR(gradient[0], 1.0 / 6, 1e-6);
    EXPECT_NEAR(gradient[1], -2.0 / 6, 1e-6);
    EXPECT_NEAR(gradient[5], 0, 1e-6);
}

}  // namespace
}  // namespace mn::test
