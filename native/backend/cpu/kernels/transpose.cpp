#include "backend/cpu/kernels/transpose.h"

namespace mn::cpu::MN_ISA {

namespace {

// GCC has __builtin_shufflevector from version 12 on only.
#if defined(__clang__)
#define MN_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MN_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, IntVec{__VA_ARGS__})
#endif

// Interleaves the lower (upper) halves of two vectors.
#if MN_VEC_BYTES == 64
#define MN_LOW(a, b) MN_SHUFFLE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define MN_HIGH(a, b) MN_SHUFFLE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif MN_VEC_BYTES == 32
#define MN_LOW(a, b) MN_SHUFFLE(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define MN_HIGH(a, b) MN_SHUFFLE(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define MN_LOW(a, b) MN_SHUFFLE(a, b, 0, 4, 1, 5)
#define MN_HIGH(a, b) MN_SHUFFLE(a, b, 2, 6, 3, 7)
#endif

// Perfect shuffles: each round interleaves row i with row i + half; after log2(lanes) rounds the
// square is transposed.
MN_INLINE void transpose_square(const float* in, int64_t in_row, int64_t rows, float* out,
                                int64_t out_row, int64_t columns) {
    Vec v[kLanes], u[kLanes];
    MN_UNROLL
    for (int i = 0; i < kLanes; i++) v[i] = i < rows ? load(in + i * in_row) : Vec{};
    MN_UNROLL
    for (int round = 1; round < kLanes; round *= 2) {
        MN_UNROLL
        for (int i = 0; i < kLanes / 2; i++) {
            u[2 * i] = MN_LOW(v[i], v[i + kLanes / 2]);
            u[2 * i + 1] = MN_HIGH(v[i], v[i + kLanes / 2]);
        }
        MN_UNROLL
        for (int i = 0; i < kLanes; i++) v[i] = u[i];
    }
    MN_UNROLL
    for (int i = 0; i < kLanes; i++) {
        if (i < columns) store(out + i * out_row, v[i]);
    }
}

}  // namespace

void transpose_panel(const float* in, int64_t in_row, int64_t rows, int64_t columns, float* out,
                     int64_t out_row) {
    for (int64_t i = 0; i < kPanel; i += kLanes) {
        for (int64_t j = 0; j < columns; j += kLanes) {
            if (rows - i >= kLanes && columns - j >= kLanes) {
                transpose_square(in + i * in_row + j, in_row, kLanes, out + j * out_row + i,
                                 out_row, kLanes);
            } else {
                transpose_square(in + i * in_row + j, in_row, rows - i, out + j * out_row + i,
                                 out_row, columns - j);
            }
        }
    }
}

}  // namespace mn::cpu::MN_ISA
