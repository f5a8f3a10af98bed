// Multiply-adds from registers, to find the most that the processor can do.

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/vec.h"

namespace mn::cpu::MN_ISA {

double f32_multiply_adds(int64_t iterations, float* sink) {
    // Enough chains to hide the latency on two ports, few enough for sixteen registers.
    constexpr int kChains = 12;
    const Vec factor = splat(0.5f), summand = splat(0.25f);
    Vec sums[kChains];
    MN_UNROLL
    for (int i = 0; i < kChains; i++) sums[i] = splat(static_cast<float>(i));
    for (int64_t n = 0; n < iterations; n++) {
        MN_UNROLL
        for (int i = 0; i < kChains; i++) sums[i] = sums[i] * factor + summand;
    }
    Vec sum = {};
    MN_UNROLL
    for (int i = 0; i < kChains; i++) sum += sums[i];
    *sink = sum[0];
    return 2.0 * static_cast<double>(kLanes * kChains * iterations);
}

}  // namespace mn::cpu::MN_ISA
