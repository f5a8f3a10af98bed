// Handles while other threads use them.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "network.h"

namespace mn::test {
namespace {

// Calls that run when a model is destroyed end as they would have; those that begin later are
// refused, however many overlap.
TEST(HandleTest, CallsThatBeginAfterDestroyAreRefused) {
    const DeviceHandle device = open_device(2);
    Network network;
    const int32_t node = network.linear(network.features(64), 64);
    for (int round = 0; round < 20; round++) {
        mn_model model = 0;
        mn_model_desc desc{};
        desc.struct_size = sizeof desc;
        desc.outputs = &node;
        desc.output_count = 1;
        check(mn_model_create(device, network.handle(), &desc, &model));
        const Floats image(64, 1.0f);
        mn_batch batch{};
        batch.struct_size = sizeof batch;
        batch.count = 1;
        batch.images = image.data();
        batch.images_bytes = image.size() * sizeof(float);

        std::atomic<bool> destroyed{false};
        std::atomic<int> running{0}, late{0}, strange{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < 3; t++)
            threads.emplace_back([&] {
                Floats logits(64);
                const mn_output output = {sizeof output, 0, logits.data(), logits.size()};
                for (running++;;) {
                    const bool after = destroyed;
                    const mn_status status = mn_model_forward(model, &batch, &output, 1);
                    if (status == MN_INVALID_HANDLE) return;
                    strange += status != MN_OK;
                    if (after && ++late > 1000) return;
                }
            });
        while (running < 3) std::this_thread::yield();
        check(mn_model_destroy(model));
        destroyed = true;
        for (std::thread& thread : threads) thread.join();
        EXPECT_EQ(late, 0);
        EXPECT_EQ(strange, 0);
    }
}

}  // namespace
}  // namespace mn::test
