#include "backend/cpu/peak.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "backend/cpu/kernels/table.h"
#include "backend/cpu/memory.h"

namespace mn::cpu {
namespace {

constexpr int kRepetitions = 8;

// The least of some repetitions: whatever disturbs makes it slower.
template <class Body>
double seconds_of(Body&& body) {
    double least = 0;
    for (int i = 0; i < kRepetitions; i++) {
        const auto start = std::chrono::steady_clock::now();
        body();
        const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
        least = i == 0 ? passed.count() : std::min(least, passed.count());
    }
    return least;
}

double flops_per_second(Device& device) {
    constexpr int64_t kIterations = 1 << 18;  // half a millisecond
    const int tasks = 4 * device.pool.threads();
    std::vector<double> flops(static_cast<size_t>(tasks));
    const double seconds = seconds_of([&] {
        device.pool.parallel_for(tasks, [&](int task, int) {
            float sink;
            flops[static_cast<size_t>(task)] = device.table->f32_multiply_adds(kIterations, &sink);
        });
    });
    double sum = 0;
    for (double part : flops) sum += part;
    return sum / seconds;
}

double bytes_per_second(Device& device) {
    constexpr int64_t kTasks = 64, kFloats = 256 * 1024;  // 1 MiB a task
    expect_memory(2 * kTasks * kFloats * sizeof(float));
    const std::vector<float> src(kTasks * kFloats);
    std::vector<float> dst(kTasks * kFloats);
    const double seconds = seconds_of([&] {
        device.pool.parallel_for(kTasks, [&](int task, int) {
            device.table->f32_activation({MN_ACTIVATION_RELU, 0, 0, src.data() + task * kFloats,
                                          nullptr, dst.data() + task * kFloats, kFloats});
        });
    });
    return 2.0 * kTasks * kFloats * sizeof(float) / seconds;
}

}  // namespace

mnb_peak measure_peak(Device& device) {
    return {sizeof(mnb_peak), flops_per_second(device), bytes_per_second(device)};
}

}  // namespace mn::cpu
