// Kernels that touch every element once.

#include "backend/cpu/kernels/sums.h"
#include "backend/cpu/kernels/table.h"
#include "backend/cpu/kernels/transpose.h"
#include "backend/cpu/kernels/vec.h"

namespace mn::cpu::MN_ISA {

void f32_sum_chunks(const float* chunks, int64_t chunk_count, int64_t stride, float* dst,
                    int64_t count, int64_t accumulate) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        const Vec sum = sum_of(chunks + i, chunk_count, stride);
        store(dst + i, accumulate ? load(dst + i) + sum : sum);
    }
    for (; i < count; i++) {
        double sums = 0;
        for (int64_t j = 0; j < chunk_count; j++)
            sums += static_cast<double>(chunks[j * stride + i]);
        const float sum = static_cast<float>(sums);
        dst[i] = accumulate ? dst[i] + sum : sum;
    }
}

namespace {

typedef double WideVec __attribute__((vector_size(2 * MN_VEC_BYTES)));

MN_INLINE double sum_of(WideVec sums) {
    double sum = 0;
    for (int lane = 0; lane < kLanes; lane++) sum += sums[lane];
    return sum;
}

}  // namespace

double f32_scale_product(const float* x, float* g, int64_t count, float factor) {
    WideVec sums = {};
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        const Vec gradient = load(g + i);
        sums += __builtin_convertvector(load(x + i), WideVec) *
                __builtin_convertvector(gradient, WideVec);
        store(g + i, gradient * splat(factor));
    }
    double sum = sum_of(sums);
    for (; i < count; i++) {
        sum += static_cast<double>(x[i]) * static_cast<double>(g[i]);
        g[i] *= factor;
    }
    return sum;
}

double f32_squared_error(const float* x, float* g, int64_t count, float factor) {
    WideVec sums = {};
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        const Vec difference = load(x + i) - load(g + i);
        const WideVec wide = __builtin_convertvector(difference, WideVec);
        sums += wide * wide;
        store(g + i, difference * splat(2 * factor));
    }
    double sum = sum_of(sums);
    for (; i < count; i++) {
        const float difference = x[i] - g[i];
        sum += static_cast<double>(difference) * static_cast<double>(difference);
        g[i] = difference * (2 * factor);
    }
    return sum;
}

namespace {

MN_INLINE Vec load_vector(const float* p) {
    return load(p);
}
MN_INLINE Vec load_vector(const uint8_t* p) {
    return __builtin_convertvector(load_bytes(p), Vec);
}

// `count` elements of one channel.
template <class T>
MN_INLINE void load_channel(const T* src, int64_t count, float scale, float shift, float* dst) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
        store(dst + i, load_vector(src + i) * splat(scale) + splat(shift));
    for (; i < count; i++) dst[i] = static_cast<float>(src[i]) * scale + shift;
}

template <class T>
void load_features(const LoadRun& op, const T* src, float* dst) {
    int64_t c = 0;
    for (; c + kLanes <= op.channels; c += kLanes)
        store(dst + c, load_vector(src + c) * load(op.scale + c) + load(op.shift + c));
    for (; c < op.channels; c++) dst[c] = static_cast<float>(src[c]) * op.scale[c] + op.shift[c];
}

// Channels of pixels become pixels of channels, a block of 16 x 16 at a time.
template <class T>
void interleave(const LoadRun& op, const T* src, float* dst) {
    float block[kPanel * kPanel];
    for (int64_t i = 0; i < op.pixels; i += kPanel) {
        const int64_t pixels = min_of(kPanel, op.pixels - i);
        for (int64_t c0 = 0; c0 < op.channels; c0 += kPanel) {
            const int64_t channels = min_of(kPanel, op.channels - c0);
            for (int64_t c = 0; c < channels; c++)
                load_channel(src + (c0 + c) * op.pixels + i, pixels, op.scale[c0 + c],
                             op.shift[c0 + c], block + c * kPanel);
            float* out = dst + i * op.channels + c0;
            if (channels == kPanel) {
                transpose_panel(block, kPanel, kPanel, pixels, out, op.channels);
                continue;
            }
            for (int64_t x = 0; x < pixels; x++, out += op.channels)
                for (int64_t c = 0; c < channels; c++) out[c] = block[c * kPanel + x];
        }
    }
}

template <class T>
void load_elements(const LoadRun& op, const T* src, float* dst) {
    if (op.pixels == 1)
        load_features(op, src, dst);
    else if (op.channels == 1)
        load_channel(src, op.pixels, op.scale[0], op.shift[0], dst);
    else
        interleave(op, src, dst);
}

}  // namespace

void load_image(const LoadRun& op, int64_t n) {
    const int64_t size = op.channels * op.pixels;
    const int64_t from = (op.indices ? op.indices[n] : n) * size;
    float* dst = op.dst + n * size;
    if (op.is_byte) {
        load_elements(op, static_cast<const uint8_t*>(op.images) + from, dst);
    } else if (op.is_copy) {
        memcpy(dst, static_cast<const float*>(op.images) + from, sizeof(float) * size);
    } else {
        load_elements(op, static_cast<const float*>(op.images) + from, dst);
    }
}

}  // namespace mn::cpu::MN_ISA
