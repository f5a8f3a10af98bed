// Gathers a batch: bytes become value / 255, then each channel is normalised.

#include "backend/cuda/kernels/kernel.h"

using namespace mn::cuda;

MN_KERNEL(mn_load, LoadParams, MN_NO_BARRIERS) {
    const int64_t size = p.channels * p.area;
    for (int64_t i = MN_FIRST; i < p.images_count * size; i += MN_STRIDE) {
        const int64_t n = i / size, f = i % size;
        const int64_t from = (p.indices ? p.indices[n] : n) * size + f;
        float x = p.is_byte
                      ? static_cast<float>(static_cast<const uint8_t*>(p.images)[from]) / 255.0f
                      : static_cast<const float*>(p.images)[from];
        if (p.mean) x = (x - p.mean[f / p.area]) / p.std[f / p.area];
        p.dst[i] = x;
    }
}
