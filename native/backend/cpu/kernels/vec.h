// Vectors of one instruction set, on the vector extensions of GCC and Clang. MN_VEC_BYTES is the
// width. Only for files below kernels/.

#pragma once

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__clang__)
#define MN_UNROLL _Pragma("clang loop unroll(full)")
#define MN_NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define MN_UNROLL _Pragma("GCC unroll 64")
#define MN_NO_UNROLL _Pragma("GCC unroll 1")
#endif
#define MN_INLINE inline __attribute__((always_inline))

namespace mn::cpu::MN_ISA {

constexpr int kLanes = MN_VEC_BYTES / 4;     // floats a vector
constexpr int kPanel = 16;                   // outputs a panel of the weights (MNB_PANEL)
constexpr int kPanelVecs = kPanel / kLanes;  // vectors a panel

typedef float Vec __attribute__((vector_size(MN_VEC_BYTES)));
typedef float LooseVec __attribute__((vector_size(MN_VEC_BYTES), aligned(4), may_alias));
typedef int32_t IntVec __attribute__((vector_size(MN_VEC_BYTES)));
typedef uint8_t LooseByteVec __attribute__((vector_size(kLanes), aligned(1), may_alias));
typedef uint8_t ByteVec __attribute__((vector_size(kLanes)));

MN_INLINE Vec load(const float* p) {
    return *reinterpret_cast<const LooseVec*>(p);
}
MN_INLINE void store(float* p, Vec v) {
    *reinterpret_cast<LooseVec*>(p) = v;
}
// Past the caches: what does not stay there anyway need not be read before it is written. `p` must
// be aligned to a vector. Other threads may read it after stream_end() only.
MN_INLINE void stream(float* p, Vec v) {
#if defined(__x86_64__) && MN_VEC_BYTES == 64
    _mm512_stream_ps(p, reinterpret_cast<__m512>(v));
#elif defined(__x86_64__) && MN_VEC_BYTES == 32
    _mm256_stream_ps(p, reinterpret_cast<__m256>(v));
#elif defined(__x86_64__)
    _mm_stream_ps(p, reinterpret_cast<__m128>(v));
#else
    store(p, v);
#endif
}
MN_INLINE void stream_end() {
#if defined(__x86_64__)
    _mm_sfence();
#endif
}
// Subtracting zero preserves every float including -0, so this compiles to a plain broadcast;
// adding zero would turn -0 into +0.
MN_INLINE Vec splat(float x) {
    return x - Vec{};
}
MN_INLINE IntVec splat_int(int32_t x) {
    return x - IntVec{};
}

// One byte a lane; values are 0 to 255. Intrinsics, because GCC widens and narrows byte by byte;
// the masked ones, because it warns of its own implementation of the others.
MN_INLINE IntVec load_bytes(const uint8_t* p) {
#if defined(__x86_64__) && MN_VEC_BYTES == 64
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return reinterpret_cast<IntVec>(_mm512_maskz_cvtepu8_epi32(0xffff, bytes));
#elif defined(__x86_64__) && MN_VEC_BYTES == 32
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return reinterpret_cast<IntVec>(_mm256_cvtepu8_epi32(bytes));
#elif defined(__x86_64__)
    int32_t four;
    memcpy(&four, p, sizeof four);
    const __m128i zero = _mm_setzero_si128();
    const __m128i words = _mm_unpacklo_epi8(_mm_cvtsi32_si128(four), zero);
    return reinterpret_cast<IntVec>(_mm_unpacklo_epi16(words, zero));
#else
    const ByteVec bytes = *reinterpret_cast<const LooseByteVec*>(p);
    return __builtin_convertvector(bytes, IntVec);
#endif
}
MN_INLINE void store_bytes(uint8_t* p, IntVec v) {
#if defined(__x86_64__) && MN_VEC_BYTES == 64
    const __m128i bytes = _mm512_maskz_cvtepi32_epi8(0xffff, reinterpret_cast<__m512i>(v));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
#elif defined(__x86_64__) && MN_VEC_BYTES == 32
    const __m256i whole = reinterpret_cast<__m256i>(v);
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
#elif defined(__x86_64__)
    const __m128i words =
        _mm_packs_epi32(reinterpret_cast<__m128i>(v), reinterpret_cast<__m128i>(v));
    const int32_t bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
    memcpy(p, &bytes, sizeof bytes);
#else
    *reinterpret_cast<LooseByteVec*>(p) = __builtin_convertvector(v, ByteVec);
#endif
}

// max(0, x), but a NaN stays a NaN.
MN_INLINE Vec relu(Vec v) {
    return v < Vec{} ? Vec{} : v;
}

// No lane is infinite or a NaN.
MN_INLINE bool all_finite(Vec v) {
    const Vec d = v - v;  // 0, or a NaN
#if defined(__x86_64__) && MN_VEC_BYTES == 64
    const __m512 lanes = reinterpret_cast<__m512>(d);
    return _mm512_cmp_ps_mask(lanes, lanes, _CMP_UNORD_Q) == 0;
#elif defined(__x86_64__) && MN_VEC_BYTES == 32
    const __m256 lanes = reinterpret_cast<__m256>(d);
    return _mm256_movemask_ps(_mm256_cmp_ps(lanes, lanes, _CMP_UNORD_Q)) == 0;
#elif defined(__x86_64__)
    const __m128 lanes = reinterpret_cast<__m128>(d);
    return _mm_movemask_ps(_mm_cmpunord_ps(lanes, lanes)) == 0;
#else
    const float sum = (d[0] + d[1]) + (d[2] + d[3]);
    return sum == 0.0f;
#endif
}

MN_INLINE int64_t min_of(int64_t a, int64_t b) {
    return a < b ? a : b;
}
MN_INLINE int64_t max_of(int64_t a, int64_t b) {
    return a > b ? a : b;
}
MN_INLINE int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
MN_INLINE int64_t round_up(int64_t a, int64_t b) {
    return (a + b - 1) / b * b;
}
// Rounds towards minus infinity; b > 0.
MN_INLINE int64_t floor_div(int64_t a, int64_t b) {
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

}  // namespace mn::cpu::MN_ISA
