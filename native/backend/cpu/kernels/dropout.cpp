// Dropout of single elements. Which are dropped follows from Philox4x32-10 (graph/philox.h): four
// numbers a counter, and counters in the order of images, channels and pixels, whatever the layout.
// A lane of 64 bits is a counter, because its products have 64.

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/transpose.h"
#include "backend/cpu/kernels/vec.h"

namespace mn::cpu::MN_ISA {

namespace {

typedef uint64_t Counters __attribute__((vector_size(MN_VEC_BYTES)));
constexpr int kCounters = MN_VEC_BYTES / 8;
constexpr int64_t kNumbers = 4 * kCounters;  // of one vector of counters

// Products of the lower halves of 64-bit lanes; what the upper halves hold does not matter.
MN_INLINE Counters multiply_lower(Counters a, Counters b) {
#if defined(__x86_64__) && MN_VEC_BYTES == 64
    return reinterpret_cast<Counters>(
        _mm512_maskz_mul_epu32(0xff, reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__x86_64__) && MN_VEC_BYTES == 32
    return reinterpret_cast<Counters>(
        _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__x86_64__)
    return reinterpret_cast<Counters>(
        _mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
    return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

// The numbers [4 first, 4 first + kNumbers) as factors: 0 or the scale.
MN_INLINE void draw(const DropoutRun& op, uint64_t first, float* factors) {
    Counters low;
    for (int i = 0; i < kCounters; i++) low[i] = first + i;
    Counters c0 = low, c1 = low >> 32;
    Counters c2 = Counters{} + op.counter[0], c3 = Counters{} + op.counter[1];
    const Counters m0 = Counters{} + 0xD2511F53u, m1 = Counters{} + 0xCD9E8D57u;
    uint32_t k0 = op.key[0], k1 = op.key[1];
    MN_UNROLL
    for (int round = 0; round < 10; round++) {
        const Counters p0 = multiply_lower(c0, m0), p1 = multiply_lower(c2, m1);
        c0 = (p1 >> 32) ^ c1 ^ k0;
        c2 = (p0 >> 32) ^ c3 ^ k1;
        c1 = p1, c3 = p0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    // Each lane's four numbers lie together in the end.
    const Counters front = (c0 & 0xffffffffu) | c1 << 32, back = (c2 & 0xffffffffu) | c3 << 32;
    uint64_t pairs[2 * kCounters];
    for (int i = 0; i < kCounters; i++) pairs[2 * i] = front[i], pairs[2 * i + 1] = back[i];
    MN_UNROLL
    for (int i = 0; i < 4 * kCounters; i += kLanes) {
        IntVec numbers;
        memcpy(&numbers, pairs + i / 2, sizeof numbers);
        numbers = (numbers >> 8) & 0xffffff;
        const Vec uniform = __builtin_convertvector(numbers, Vec) * splat(0x1p-24f);
        store(factors + i, uniform < splat(op.probability) ? Vec{} : splat(op.scale));
    }
}

// Numbers of one call, and what it writes: it begins and ends at whole vectors of counters.
constexpr int64_t kMost = kDropoutElements;
constexpr int64_t kBuffer = kMost + 2 * kNumbers + kPanel;

// The factors of the units [first, first + count); returns where in the buffer they begin.
const float* draw_all(const DropoutRun& op, int64_t first, int64_t count, float* buffer) {
    const int64_t skipped = first % 4;
    for (int64_t i = 0; i < skipped + count; i += kNumbers)
        draw(op, static_cast<uint64_t>((first + i) / 4), buffer + i);
    return buffer + skipped;
}

void multiply_row(const float* src, const float* factors, float* dst, int64_t count) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) store(dst + i, load(src + i) * load(factors + i));
    for (; i < count; i++) dst[i] = src[i] * factors[i];
}

}  // namespace

void f32_dropout(const DropoutRun& op, int64_t task) {
    float buffer[kBuffer];
    if (op.channels == 1) {
        const int64_t first = task * kMost, count = min_of(kMost, op.pixels - first);
        multiply_row(op.src + first, draw_all(op, first, count, buffer), op.dst + first, count);
        return;
    }
    // A panel of channels of one image, some pixels at a time: drawn channel by channel, and
    // transposed.
    constexpr int64_t kPixels = kMost / kPanel;
    const int64_t panels = ceil_div(op.channels, kPanel), n = task / panels;
    const int64_t c0 = task % panels * kPanel, channels = min_of(kPanel, op.channels - c0);
    const int64_t unit = (n * op.channels + c0) * op.pixels;
    float by_channel[kPanel * kPixels + kPanel], block[kPanel * kPanel];
    for (int64_t first = 0; first < op.pixels; first += kPixels) {
        const int64_t pixels = min_of(kPixels, op.pixels - first);
        const float* factors = by_channel;
        int64_t row = kPixels;
        if (pixels == op.pixels) {
            factors = draw_all(op, unit, channels * pixels, buffer);
            row = pixels;
        } else {
            for (int64_t c = 0; c < channels; c++) {
                const float* drawn = draw_all(op, unit + c * op.pixels + first, pixels, buffer);
                memcpy(by_channel + c * kPixels, drawn, sizeof(float) * pixels);
            }
        }
        for (int64_t i = 0; i < pixels; i += kPanel) {
            const int64_t columns = min_of(kPanel, pixels - i);
            transpose_panel(factors + i, row, channels, columns, block, kPanel);
            const int64_t at = (n * op.pixels + first + i) * op.channels + c0;
            for (int64_t j = 0; j < columns; j++)
                multiply_row(op.src + at + j * op.channels, block + j * kPanel,
                             op.dst + at + j * op.channels, channels);
        }
    }
}

}  // namespace mn::cpu::MN_ISA
