// Transposition of blocks of 16 x 16 in registers.

#pragma once

#include "backend/cpu/kernels/vec.h"

namespace mn::cpu::MN_ISA {

// out[j * out_row + i] = in[i * in_row + j] for i < rows and j < columns, both at most 16; for
// i >= rows zeros are written. Reads whole panels of the rows.
void transpose_panel(const float* in, int64_t in_row, int64_t rows, int64_t columns, float* out,
                     int64_t out_row);

}  // namespace mn::cpu::MN_ISA
