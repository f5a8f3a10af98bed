// The same bits whatever the number of threads, the batch an image comes in, and what else runs.

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "network.h"

namespace mn::test {
namespace {

// The seed network; by default small enough for sanitizers.
struct Seed {
    Network network;
    int32_t end;

    explicit Seed(int side = 14, int first = 16, int second = 24) {
        int32_t node = network.normalize(network.input(1, side, side), {0.1307f}, {0.3081f});
        node = network.conv(node, conv_desc(first, 3, 1, 1));
        node = network.max_pool(network.relu(node), pool_desc(2, 2));
        node = network.conv(node, conv_desc(second, 3, 1, 1));
        node = network.max_pool(network.relu(node), pool_desc(2, 2));
        node = network.linear(network.flatten(node), 40);
        end = network.linear(network.relu(node), 10);
    }
};

TEST(DeterminismTest, ThreadsDoNotChangeTheBits) {
    Random random(test_seed());
    std::vector<RandomNetwork> networks;
    for (int i = 0; i < 6; i++) networks.push_back(random_network(random));
    RandomNetwork seed;
    Seed built(28, 32, 64);
    seed.network = std::move(built.network);
    seed.heads = {built.end};
    seed.image_size = 28 * 28;
    seed.classes = 10;
    seed.text = "the seed network";
    networks.push_back(std::move(seed));
    for (const RandomNetwork& net : networks) {
        std::vector<Batch> batches;
        for (int count : {33, 64})
            batches.push_back(random_batch(random, count, net.image_size, net.classes));
        std::vector<mn_loss_desc> losses;
        for (int32_t head : net.heads) losses.push_back(loss_on(head));
        std::vector<Floats> expected;
        Floats expected_logits;
        for (int threads : {1, 2, 3, 7, 16}) {
            const DeviceHandle device = open_device(threads);
            const TestModel model(device, net.network, net.heads);
            const TestTrainer trainer(model, losses, adam(0.01f), 64);
            for (const Batch& batch : batches) trainer.step(batch);
            std::vector<Floats> got = model.read_all();
            const Floats logits = model.forward(batches[1]);
            if (threads == 1) {
                expected = std::move(got);
                expected_logits = logits;
                continue;
            }
            EXPECT_EQ(got, expected) << threads << " threads: " << net.text;
            EXPECT_EQ(logits, expected_logits) << threads << " threads: " << net.text;
        }
    }
}

TEST(DeterminismTest, AnImagesLogitsDoNotDependOnItsBatch) {
    Random random(test_seed() + 1);
    const DeviceHandle device = open_device(2);
    for (int round = 0; round < 8; round++) {
        const RandomNetwork net = random_network(random);
        const Batch all = random_batch(random, 64, net.image_size, net.classes);
        const TestModel model(device, net.network, {net.heads[0]});
        const TestModel pieces(device, net.network, {net.heads[0]}, {0, 1, 5});
        const Floats expected = model.forward(all);
        EXPECT_EQ(pieces.forward(all), expected) << net.text;
        const size_t width = static_cast<size_t>(net.classes);
        for (int first : {0, 1, 13, 57}) {
            for (int count : {1, 7}) {
                const Floats got = model.forward(all.slice(first, count));
                const Floats want(expected.begin() + static_cast<int64_t>(first * width),
                                  expected.begin() + static_cast<int64_t>((first + count) * width));
                EXPECT_EQ(got, want) << first << '+' << count << ": " << net.text;
            }
        }
    }
}

TEST(DeterminismTest, ConcurrentForwardsEqualSerialOnes) {
    Random random(test_seed() + 2);
    const Seed net;
    const DeviceHandle device = open_device(3);
    const TestModel model(device, net.network, {net.end});
    std::vector<Batch> batches;
    std::vector<Floats> expected;
    for (int i = 0; i < 8; i++) {
        batches.push_back(random_batch(random, 5 + 10 * i, 14 * 14, 10));
        expected.push_back(model.forward(batches.back()));
    }
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (size_t i = 0; i < 8; i++)
        threads.emplace_back([&, i] {
            for (int round = 0; round < 10; round++) {
                if (model.forward(batches[i]) != expected[i]) wrong++;
                // The first evaluation makes a plan of its own meanwhile.
                if (model.evaluate(batches[i], net.end).count != batches[i].count) wrong++;
            }
        });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
}

// A prediction during training sees the weights between two steps, never half of an update.
TEST(DeterminismTest, ForwardsDuringTrainingSeeWholeSteps) {
    Random random(test_seed() + 3);
    const Seed net;
    const DeviceHandle device = open_device(2);
    const Batch probe = random_batch(random, 3, 14 * 14, 10);
    const Batch batch = random_batch(random, 8, 14 * 14, 10);
    constexpr int kSteps = 30;
    const auto train = [&](const TestModel& model, auto&& after_step) {
        const TestTrainer trainer(model, {loss_on(net.end)}, adam(0.01f), 8);
        after_step();
        for (int step = 0; step < kSteps; step++) {
            trainer.step(batch);
            after_step();
        }
    };
    std::set<Floats> states;
    const TestModel alone(device, net.network, {net.end});
    train(alone, [&] { states.insert(alone.forward(probe)); });
    ASSERT_EQ(states.size(), kSteps + 1u);

    const TestModel model(device, net.network, {net.end});
    std::atomic<bool> done{false};
    std::vector<std::vector<Floats>> seen(3);
    std::vector<std::thread> threads;
    for (std::vector<Floats>& mine : seen)
        threads.emplace_back([&] {
            do mine.push_back(model.forward(probe));
            while (!done);
        });
    train(model, [] {});
    done = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(model.read_all(), alone.read_all());
    for (const std::vector<Floats>& mine : seen)
        for (const Floats& logits : mine) ASSERT_EQ(states.count(logits), 1u);
}

// Objects that are destroyed while a call uses them end when the call does.
TEST(DeterminismTest, DestroyedObjectsEndWithTheirLastCall) {
    Random random(test_seed() + 4);
    const Seed net;
    const Batch batch = random_batch(random, 64, 14 * 14, 10);
    int64_t before = 0, after = -1;
    check(mn_memory_in_use(&before));
    for (int round = 0; round < 5; round++) {
        DeviceHandle device = open_device(2);
        auto model =
            std::make_unique<TestModel>(device, net.network, std::vector<int32_t>{net.end});
        const mn_model handle = model->handle();
        std::atomic<int> ready{0};
        std::vector<std::thread> threads;
        std::atomic<int> unexpected{0};
        for (int i = 0; i < 3; i++)
            threads.emplace_back([&] {
                Floats logits(640);
                const mn_output output = {sizeof output, 0, logits.data(), logits.size()};
                const mn_batch b = batch.get();
                mn_status status = mn_model_forward(handle, &b, &output, 1);
                ready++;
                while (status == MN_OK) status = mn_model_forward(handle, &b, &output, 1);
                if (status != MN_INVALID_HANDLE) unexpected++;
            });
        while (ready < 3) std::this_thread::yield();
        device = DeviceHandle();
        model.reset();
        for (std::thread& thread : threads) thread.join();
        EXPECT_EQ(unexpected, 0);
    }
    check(mn_memory_in_use(&after));
    EXPECT_EQ(after, before);
}

// The lender of a borrowed data set may free it as soon as it is destroyed.
TEST(DeterminismTest, ADestroyedDatasetIsNoLongerRead) {
    Random random(test_seed() + 5);
    const Seed net;
    const DeviceHandle device = open_device(2);
    const TestModel model(device, net.network, {net.end});
    for (int round = 0; round < 10; round++) {
        auto images = std::make_unique<Floats>(random.floats(50 * 14 * 14));
        mn_dataset_desc desc{};
        desc.struct_size = sizeof desc;
        desc.dtype = MN_FLOAT32;
        desc.count = 50;
        desc.shape = net.network.shape(0);
        desc.images = images->data();
        desc.images_bytes = images->size() * sizeof(float);
        desc.flags = MN_DATASET_BORROW;
        mn_dataset dataset = 0;
        check(mn_dataset_create(device, &desc, &dataset));
        std::atomic<bool> started{false};
        std::thread reader([&] {
            Batch batch;
            batch.dataset = dataset;
            batch.count = 50;
            for (int i = 0; i < 50; i++) batch.indices.push_back(49 - i);
            try {
                for (;;) {
                    model.forward(batch);
                    started = true;
                }
            } catch (const Failure& failure) {
                EXPECT_EQ(failure.status, MN_INVALID_HANDLE);
            }
        });
        while (!started) std::this_thread::yield();
        check(mn_dataset_destroy(dataset));
        images.reset();  // a sanitizer sees a read that comes later
        reader.join();
    }
}

}  // namespace
}  // namespace mn::test
