// The matrix product under convolutions and linear layers.

#pragma once

#include "backend/cpu/kernels/vec.h"

namespace mn::cpu::MN_ISA {

// C[r][j] (+)= sum over taps t and k < inner of A[r][t][k] * B[t][k][j], where
//   A[r][t][k] = a[r * a_row + taps[t] + k * a_k]      (a_row or a_k is 1)
//   B[t][k][j] = b[j / 16 * b_panel + t * b_tap + k * b_k + j % 16]
//   C[r][j]    = c[r * c_row + j / 16 * c_panel + j % 16]
// Taps are offsets of A, so that a convolution is a product without its image being copied apart.
// Every element is summed in the order of t and k and in parts that follow from the depth, wherever
// it stands in a tile: its bits do not depend on how rows and columns are split. For terms of one
// sign the sum is right to 1e-5 at any depth.
//
// B must be readable, and `bias` too, for whole panels; C is written for `columns` only.
struct Product {
    const float* a;
    int64_t a_row, a_k;
    const int64_t* taps;
    int64_t tap_count, inner;
    const float* b;
    int64_t b_k, b_tap, b_panel;
    float* c;
    int64_t c_row, c_panel;
    const float* bias;  // what the sums start from; null: zero
    bool accumulate;    // the sums are added to C
    bool relu;
    bool stream;  // write C past the caches: its rows and panels are aligned to 64 bytes
    int64_t rows, columns;
};

void multiply(const Product& product);

}  // namespace mn::cpu::MN_ISA
