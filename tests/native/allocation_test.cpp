// Steps allocate nothing, and what is held does not grow.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "allocation_hooks.h"
#include "network.h"

namespace mn::test {
namespace {

TEST(AllocationTest, TheCounterCounts) {
    const int64_t before = allocation_count();
    const auto number = std::make_unique<int>(1);
    const auto numbers = std::make_unique<int[]>(8);
    EXPECT_EQ(allocation_count() - before, 2) << *number << numbers[0];
}

TEST(AllocationTest, StepsAndForwardsAllocateNothing) {
    Random random(test_seed());
    const DeviceHandle device = open_device(3);
    for (int round = 0; round < 20; round++) {
        const RandomNetwork net = random_network(random);
        std::vector<mn_loss_desc> losses;
        for (int32_t head : net.heads) losses.push_back(loss_on(head));
        const TestModel model(device, net.network, {net.heads[0]});
        const TestTrainer trainer(model, losses, adam(0.01f), 8, MN_TRAINER_INPUT_GRADIENT);
        const Batch full = random_batch(random, 8, net.image_size, net.classes);
        const Batch part = full.slice(2, 5);
        mn_dataset_desc desc{};
        const mn_batch whole = full.get();
        desc.struct_size = sizeof desc;
        desc.dtype = MN_FLOAT32;
        desc.count = 8;
        desc.shape = net.network.shape(0);
        desc.images = whole.images;
        desc.images_bytes = whole.images_bytes;
        desc.labels = whole.labels;
        mn_dataset handle = 0;
        check(mn_dataset_create(device, &desc, &handle));
        const DatasetHandle dataset(handle);
        Batch indexed;
        indexed.dataset = dataset;
        indexed.count = 3;
        indexed.indices = {7, 1, 1};

        Floats logits(static_cast<size_t>(5 * net.classes));
        const mn_output output = {sizeof output, 0, logits.data(), logits.size()};
        const mn_batch b = part.get();
        const auto work = [&] {
            trainer.step(full);
            trainer.accumulate(part);
            trainer.step(indexed);
            trainer.accumulate(part);
            trainer.apply();
            check(mn_model_forward(model.handle(), &b, &output, 1));
        };
        work();
        const int64_t before = allocation_count();
        for (int i = 0; i < 3; i++) work();
        EXPECT_EQ(allocation_count() - before, 0) << net.text;
    }
}

TEST(AllocationTest, ImagesAsResultsAllocateNothing) {
    const DeviceHandle device = open_device(2);
    Network network;
    const int32_t node = network.conv(network.input(3, 8, 8), conv_desc(5, 3, 1, 1));
    const TestModel model(device, network, {node});
    Random random(1);
    const Batch batch = random_batch(random, 4, 3 * 8 * 8, 2);
    Floats images(4 * 5 * 8 * 8);
    const mn_output output = {sizeof output, 0, images.data(), images.size()};
    const mn_batch b = batch.get();
    const auto work = [&] { check(mn_model_forward(model.handle(), &b, &output, 1)); };
    work();
    const int64_t before = allocation_count();
    work();
    EXPECT_EQ(allocation_count() - before, 0);
}

TEST(AllocationTest, MemoryInUseIsConstantWhileTraining) {
    Random random(test_seed() + 1);
    const DeviceHandle device = open_device(2);
    const RandomNetwork net = random_network(random);
    const TestModel model(device, net.network, {net.heads[0]});
    const TestTrainer trainer(model, {loss_on(net.heads[0])}, adam(0.01f), 8);
    const Batch batch = random_batch(random, 8, net.image_size, net.classes);
    const auto work = [&](float weight) {
        trainer.step(batch);
        model.forward(batch);
        // Whatever the weight of a loss, evaluation needs one plan for it.
        mn_metrics metrics{};
        metrics.struct_size = sizeof metrics;
        const mn_batch b = batch.get();
        const mn_loss_desc loss = loss_on(net.heads[0], weight);
        check(mn_model_evaluate(model.handle(), &b, &loss, &metrics));
        int64_t bytes = 0;
        check(mn_memory_in_use(&bytes));
        return bytes;
    };
    const int64_t before = work(1);
    EXPECT_GT(before, 0);
    for (int i = 0; i < 20; i++) EXPECT_EQ(work(static_cast<float>(i)), before);
}

TEST(AllocationTest, EvaluationsWithEverNewLossesDoNotAddUp) {
    Random random(test_seed() + 2);
    const DeviceHandle device = open_device(2);
    const RandomNetwork net = random_network(random);
    const TestModel model(device, net.network, {net.heads[0]});
    const Batch batch = random_batch(random, 8, net.image_size, net.classes);
    const mn_batch b = batch.get();
    const auto evaluate = [&](int i) {
        mn_loss_desc loss = loss_on(net.heads[0]);
        loss.label_smoothing = static_cast<float>(i) / 1000;
        mn_metrics metrics{};
        metrics.struct_size = sizeof metrics;
        check(mn_model_evaluate(model.handle(), &b, &loss, &metrics));
        return metrics.loss;
    };
    std::vector<double> losses;
    for (int i = 0; i < 8; i++) losses.push_back(evaluate(i));
    int64_t before = 0, after = 0;
    check(mn_memory_in_use(&before));
    // A plan that another thread evaluates with stays valid while it is dropped.
    std::atomic<bool> done{false};
    std::thread other([&] {
        while (!done) EXPECT_EQ(evaluate(3), losses[3]);
    });
    for (int i = 0; i < 200; i++) {
        if (i < 8)
            EXPECT_EQ(evaluate(i), losses[static_cast<size_t>(i)]);
        else
            evaluate(i);
    }
    done = true;
    other.join();
    for (int i = 0; i < 8; i++) evaluate(i);
    check(mn_memory_in_use(&after));
    EXPECT_EQ(after, before);
}

}  // namespace
}  // namespace mn::test
