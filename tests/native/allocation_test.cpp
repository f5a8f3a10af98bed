// Steps allocate nothing: this program's operator new counts its calls.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "network.h"

namespace {
std::atomic<int64_t> allocations{0};

void* count_allocation(std::size_t bytes) noexcept {
    allocations++;
    return std::malloc(bytes ? bytes : 1);
}

void* or_throw(void* memory) {
    if (!memory) throw std::bad_alloc();
    return memory;
}
}  // namespace

// All forms but the aligned ones: a sanitizer has its own, which do not call each other.
void* operator new(std::size_t bytes) {
    return or_throw(count_allocation(bytes));
}
void* operator new[](std::size_t bytes) {
    return or_throw(count_allocation(bytes));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    return count_allocation(bytes);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
    return count_allocation(bytes);
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete[](void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, const std::nothrow_t&) noexcept {
    std::free(memory);
}

namespace mn::test {
namespace {

TEST(AllocationTest, TheCounterCounts) {
    const int64_t before = allocations;
    const auto number = std::make_unique<int>(1);
    const auto numbers = std::make_unique<int[]>(8);
    EXPECT_EQ(allocations - before, 2) << *number << numbers[0];
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
        const int64_t before = allocations;
        for (int i = 0; i < 3; i++) work();
        EXPECT_EQ(allocations - before, 0) << net.text;
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
    const int64_t before = allocations;
    work();
    EXPECT_EQ(allocations - before, 0);
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

}  // namespace
}  // namespace mn::test
