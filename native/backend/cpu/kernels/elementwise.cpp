// Kernels that touch every element once.

#include "backend/cpu/kernels/table.h"
#include "backend/cpu/kernels/vec.h"

namespace mn::cpu::MN_ISA {

void f32_relu_forward(const float* src, float* dst, int64_t count) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) store(dst + i, relu(load(src + i)));
    for (; i < count; i++) dst[i] = relu_scalar(src[i]);
}

void f32_relu_backward(const float* dst, const float* diff_dst, float* diff_src, int64_t count) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        store(diff_src + i, load(dst + i) <= Vec{} ? Vec{} : load(diff_dst + i));
    }
    for (; i < count; i++) diff_src[i] = dst[i] <= 0.0f ? 0.0f : diff_dst[i];
}

void f32_sum_chunks(const float* chunks, int64_t chunk_count, int64_t stride, float* dst,
                    int64_t count, int64_t accumulate) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        Vec sum = load(chunks + i);
        for (int64_t j = 1; j < chunk_count; j++) sum += load(chunks + j * stride + i);
        store(dst + i, accumulate ? load(dst + i) + sum : sum);
    }
    for (; i < count; i++) {
        float sum = chunks[i];
        for (int64_t j = 1; j < chunk_count; j++) sum += chunks[j * stride + i];
        dst[i] = accumulate ? dst[i] + sum : sum;
    }
}

void load_image(const LoadRun& op, int64_t n) {
    const int64_t size = op.channels * op.pixels;
    const int64_t from = (op.indices ? op.indices[n] : n) * size;
    float* dst = op.dst + n * size;
    for (int64_t c = 0; c < op.channels; c++) {
        const float scale = op.scale[c], shift = op.shift[c];
        const int64_t at = from + c * op.pixels;
        // Images come as channels of pixels and leave as pixels of channels.
        if (op.is_byte) {
            const uint8_t* p = static_cast<const uint8_t*>(op.images) + at;
            int64_t i = 0;
            if (op.channels == 1) {
                for (; i + kLanes <= op.pixels; i += kLanes) {
                    const Vec x = __builtin_convertvector(load_bytes(p + i), Vec);
                    store(dst + i, x * splat(scale) + splat(shift));
                }
            }
            for (; i < op.pixels; i++) {
                dst[i * op.channels + c] = static_cast<float>(p[i]) * scale + shift;
            }
        } else {
            const float* p = static_cast<const float*>(op.images) + at;
            int64_t i = 0;
            if (op.channels == 1) {
                for (; i + kLanes <= op.pixels; i += kLanes) {
                    store(dst + i, load(p + i) * splat(scale) + splat(shift));
                }
            }
            for (; i < op.pixels; i++) dst[i * op.channels + c] = p[i] * scale + shift;
        }
    }
}

}  // namespace mn::cpu::MN_ISA
