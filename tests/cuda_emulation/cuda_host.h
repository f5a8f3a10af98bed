// CUDA's device language for a host compiler, so that the sources of the kernels (.cu) run in tests
// on machines without a GPU. This is emulation: it shows that a kernel computes the right numbers
// and keeps the rules of the language, not how fast it is.
//
// Blocks of a launch run one after another in a shuffled order, and the threads of a block in an
// order that changes from block to block: a kernel that needs an order gives wrong numbers. A
// kernel that uses no barrier runs its threads in a loop; one with barriers gives each thread a
// stack of its own (a fiber) and switches where a thread waits. Shared memory is not cleared
// between blocks but filled with NaNs.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

// What the kernels' host build and the tests use of the stand-in libcuda.
#define MN_EMULATION_API __attribute__((visibility("default")))

namespace mn::emulation {

struct Index3 {
    unsigned x, y, z;
};

struct Position {
    Index3 thread, block;
    Index3 block_size, grid_size;
};

// Of the thread that runs. One launch runs at a time.
MN_EMULATION_API extern Position position;

constexpr int warp_size = 32;

// What the threads of a warp do together.
enum class Collective { kShuffle, kBallot };

// A barrier of the block; `line` is where it stands in the source. Threads that have returned are
// not waited for.
MN_EMULATION_API void block_barrier(int line);

// Waits for the lanes of `mask`. A shuffle returns the `value` of lane `source`; a ballot one bit
// for each lane whose value is not 0.
MN_EMULATION_API uint64_t warp_collective(Collective kind, unsigned mask, uint64_t value,
                                          int source, int line);

// The lane of the thread that runs.
MN_EMULATION_API int lane();

// Shared memory of the running block: the same for all threads that give the same key.
MN_EMULATION_API void* shared_memory(const void* key, size_t bytes, size_t alignment);
// What the launch asked for beyond the static arrays.
MN_EMULATION_API void* dynamic_shared_memory();

using Entry = void (*)(const void* params);

// Makes a kernel known by its name.
struct MN_EMULATION_API Registration {
    Registration(const char* name, size_t param_bytes, bool barriers, Entry entry);
};

template <class T>
T shuffle(unsigned mask, T value, int source, int line) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    bits = warp_collective(Collective::kShuffle, mask, bits, source, line);
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

template <class Array>
Array& shared_array(const void* key) {
    return *static_cast<Array*>(shared_memory(key, sizeof(Array), alignof(Array)));
}

template <class To, class From>
To bit_cast(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

}  // namespace mn::emulation

// ---- the language ----

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __constant__ static const

#define threadIdx (mn::emulation::position.thread)
#define blockIdx (mn::emulation::position.block)
#define blockDim (mn::emulation::position.block_size)
#define gridDim (mn::emulation::position.grid_size)
#define warpSize (mn::emulation::warp_size)

// One function a kernel, with a copy of its arguments for each thread.
#define MN_KERNEL(name, Params, barriers)                                       \
    static void name(const Params p);                                           \
    static const mn::emulation::Registration name##_registration(               \
        #name, sizeof(Params), barriers,                                        \
        [](const void* params) { name(*static_cast<const Params*>(params)); }); \
    static void name([[maybe_unused]] const Params p)

// Static shared memory: `type name[count]`, one of it a block.
#define MN_SHARED(type, name, count)  \
    static const char name##_key = 0; \
    auto& name = mn::emulation::shared_array<type[count]>(&name##_key)

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct uchar4 {
    unsigned char x, y, z, w;
} __attribute__((aligned(4)));

inline float2 make_float2(float x, float y) {
    return {x, y};
}
inline float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}
inline int2 make_int2(int x, int y) {
    return {x, y};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return {x, y, z, w};
}

// ---- waiting for each other ----

inline void __syncthreads(int line = __builtin_LINE()) {
    mn::emulation::block_barrier(line);
}

inline void __syncwarp(unsigned mask = 0xffffffffu, int line = __builtin_LINE()) {
    mn::emulation::warp_collective(mn::emulation::Collective::kBallot, mask, 0, 0, line);
}

inline void __threadfence() {}
inline void __threadfence_block() {}

// ---- within a warp; a lane without a source keeps its own value ----

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, int line = __builtin_LINE()) {
    const int lane = mn::emulation::lane(), first = lane & ~(width - 1);
    return mn::emulation::shuffle(mask, value, first + (source & (width - 1)), line);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   int line = __builtin_LINE()) {
    const int lane = mn::emulation::lane(), source = lane + static_cast<int>(delta);
    const bool inside = source <= (lane | (width - 1));
    return mn::emulation::shuffle(mask, value, inside ? source : lane, line);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 int line = __builtin_LINE()) {
    const int lane = mn::emulation::lane(), source = lane - static_cast<int>(delta);
    const bool inside = source >= (lane & ~(width - 1));
    return mn::emulation::shuffle(mask, value, inside ? source : lane, line);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, int line = __builtin_LINE()) {
    const int lane = mn::emulation::lane(), source = lane ^ bits;
    const bool inside = source <= (lane | (width - 1));
    return mn::emulation::shuffle(mask, value, inside ? source : lane, line);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return static_cast<unsigned>(mn::emulation::warp_collective(mn::emulation::Collective::kBallot,
                                                                mask, predicate != 0, 0, line));
}
inline int __any_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return __ballot_sync(mask, predicate, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return __ballot_sync(mask, predicate, line) == mask;
}

// ---- atomics: threads switch at barriers only ----

template <class T>
T mn_emulated_exchange(T* address, T value) {
    const T old = *address;
    *address = value;
    return old;
}

#define MN_ATOMIC(type)                                                                \
    inline type atomicAdd(type* address, type value) {                                 \
        return mn_emulated_exchange(address, static_cast<type>(*address + value));     \
    }                                                                                  \
    inline type atomicMax(type* address, type value) {                                 \
        return mn_emulated_exchange(address, *address < value ? value : *address);     \
    }                                                                                  \
    inline type atomicMin(type* address, type value) {                                 \
        return mn_emulated_exchange(address, value < *address ? value : *address);     \
    }                                                                                  \
    inline type atomicExch(type* address, type value) {                                \
        return mn_emulated_exchange(address, value);                                   \
    }                                                                                  \
    inline type atomicCAS(type* address, type expected, type value) {                  \
        return mn_emulated_exchange(address, *address == expected ? value : *address); \
    }
MN_ATOMIC(int)
MN_ATOMIC(unsigned)
MN_ATOMIC(unsigned long long)
#undef MN_ATOMIC

inline float atomicAdd(float* address, float value) {
    return mn_emulated_exchange(address, *address + value);
}
inline double atomicAdd(double* address, double value) {
    return mn_emulated_exchange(address, *address + value);
}
inline float atomicExch(float* address, float value) {
    return mn_emulated_exchange(address, value);
}
inline unsigned atomicOr(unsigned* address, unsigned value) {
    return mn_emulated_exchange(address, *address | value);
}
inline unsigned atomicAnd(unsigned* address, unsigned value) {
    return mn_emulated_exchange(address, *address & value);
}
// Wraps to 0 behind `limit`.
inline unsigned atomicInc(unsigned* address, unsigned limit) {
    return mn_emulated_exchange(address, *address >= limit ? 0 : *address + 1);
}

// ---- functions ----

using std::isfinite;
using std::isinf;
using std::isnan;

template <class T>
constexpr T min(T a, T b) {
    return b < a ? b : a;
}
template <class T>
constexpr T max(T a, T b) {
    return a < b ? b : a;
}

template <class T>
T __ldg(const T* address) {
    return *address;
}

inline int __float_as_int(float x) {
    return mn::emulation::bit_cast<int>(x);
}
inline unsigned __float_as_uint(float x) {
    return mn::emulation::bit_cast<unsigned>(x);
}
inline float __int_as_float(int x) {
    return mn::emulation::bit_cast<float>(x);
}
inline float __uint_as_float(unsigned x) {
    return mn::emulation::bit_cast<float>(x);
}
inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>((uint64_t{a} * b) >> 32);
}
inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
inline int __ffs(int x) {
    return __builtin_ffs(x);
}
inline int __clz(int x) {
    return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
inline float rsqrtf(float x) {
    return 1.0f / std::sqrt(x);
}
inline double rsqrt(double x) {
    return 1.0 / std::sqrt(x);
}

// Rounded to nearest and never contracted to a fused multiply-add: the host build contracts
// nothing.
inline float __fmul_rn(float a, float b) {
    return a * b;
}
inline float __fadd_rn(float a, float b) {
    return a + b;
}
inline float __fsub_rn(float a, float b) {
    return a - b;
}
inline float __fdiv_rn(float a, float b) {
    return a / b;
}
inline float __fsqrt_rn(float x) {
    return std::sqrt(x);
}
inline float __fmaf_rn(float a, float b, float c) {
    return std::fma(a, b, c);
}
