// Vectors of one instruction set, on the vector extensions of GCC and Clang. MN_VEC_BYTES is the
// width. Only for files below kernels/.

#pragma once

#include <stdint.h>
#include <string.h>

#if defined(__clang__)
#define MN_UNROLL _Pragma("clang loop unroll(full)")
#else
#define MN_UNROLL _Pragma("GCC unroll 64")
#endif
#define MN_INLINE inline __attribute__((always_inline))

namespace mn::cpu::MN_ISA {

constexpr int kLanes = MN_VEC_BYTES / 4;      // floats a vector
constexpr int kPanel = 16;                    // outputs a panel of the weights (MNB_PANEL)
constexpr int kPanelVecs = kPanel / kLanes;   // vectors a panel

typedef float Vec __attribute__((vector_size(MN_VEC_BYTES)));
typedef float LooseVec __attribute__((vector_size(MN_VEC_BYTES), aligned(4), may_alias));
typedef int32_t IntVec __attribute__((vector_size(MN_VEC_BYTES)));
typedef uint8_t LooseByteVec __attribute__((vector_size(kLanes), aligned(1), may_alias));
typedef uint8_t ByteVec __attribute__((vector_size(kLanes)));

MN_INLINE Vec load(const float* p) { return *reinterpret_cast<const LooseVec*>(p); }
MN_INLINE void store(float* p, Vec v) { *reinterpret_cast<LooseVec*>(p) = v; }
// x - 0 is x, also for -0, so that compilers leave a broadcast (0 + x is not).
MN_INLINE Vec splat(float x) { return x - Vec{}; }
MN_INLINE IntVec splat_int(int32_t x) { return x - IntVec{}; }

// One byte a lane.
MN_INLINE IntVec load_bytes(const uint8_t* p) {
    const ByteVec bytes = *reinterpret_cast<const LooseByteVec*>(p);
    return __builtin_convertvector(bytes, IntVec);
}
MN_INLINE void store_bytes(uint8_t* p, IntVec v) {
    *reinterpret_cast<LooseByteVec*>(p) = __builtin_convertvector(v, ByteVec);
}

// max(0, x), but a NaN stays a NaN.
MN_INLINE Vec relu(Vec v) { return v < Vec{} ? Vec{} : v; }
MN_INLINE float relu_scalar(float x) { return x < 0.0f ? 0.0f : x; }

MN_INLINE int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
MN_INLINE int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }
MN_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
MN_INLINE int64_t round_up(int64_t a, int64_t b) { return (a + b - 1) / b * b; }
// Rounds towards minus infinity; b > 0.
MN_INLINE int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

}  // namespace mn::cpu::MN_ISA
