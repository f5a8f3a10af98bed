// Linear layers. The weights are read where they are stored, [o / 16][k][16], by all three
// products:
// - forward: rows are images, depth is k, columns are outputs.
// - gradient by the source, transposed: rows are k, depth is outputs, columns are images; the tile
//   is turned on its way to memory, which is cheaper than a second copy of the weights.
// - gradient by the weights: rows are k, depth is images, columns are outputs: it is made in the
//   order in which it is stored, and in one sum over the whole batch.

#include "backend/cpu/kernels/gemm.h"
#include "backend/cpu/kernels/sums.h"
#include "backend/cpu/kernels/table.h"
#include "backend/cpu/kernels/transpose.h"

namespace mn::cpu::MN_ISA {

namespace {

constexpr int64_t kNoTaps[1] = {0};

}  // namespace

void f32_linear_forward(const LinearForward& op, int64_t task) {
    const int64_t row = task % op.row_tasks * op.rows_per_task;
    const int64_t column = task / op.row_tasks * op.columns_per_task;
    Product p = {};
    p.a = op.src + row * op.depth;
    p.a_row = op.depth;
    p.a_k = 1;
    p.taps = kNoTaps;
    p.tap_count = 1;
    p.inner = op.depth;
    p.b = op.weights + column * op.depth;
    p.b_k = kPanel;
    p.b_panel = op.depth * kPanel;
    p.c = op.dst + row * op.columns + column;
    p.c_row = op.columns;
    p.c_panel = kPanel;
    p.bias = op.bias ? op.bias + column : nullptr;
    p.relu = op.relu;
    p.rows = min_of(op.rows_per_task, op.rows - row);
    p.columns = min_of(op.columns_per_task, op.columns - column);
    multiply(p);
}

void f32_linear_prepare(const LinearBackward& op, int64_t task) {
    const int64_t padded = round_up(op.columns, kPanel);
    const int64_t first = task * kPanel, end = min_of(first + kPanel, op.rows);
    for (int64_t n = first; n < end; n++) {
        const float* g = op.diff_dst + n * op.columns;
        const float* y = op.dst + n * op.columns;
        float* out = op.by_row + n * padded;
        for (int64_t o = 0; o < op.columns; o++) out[o] = op.relu && y[o] <= 0.0f ? 0.0f : g[o];
        for (int64_t o = op.columns; o < padded; o++) out[o] = 0.0f;
    }
    if (!op.diff_src) return;
    for (int64_t o = 0; o < op.columns; o += kPanel) {
        transpose_panel(op.by_row + first * padded + o, padded, end - first,
                        min_of(kPanel, op.columns - o),
                        op.by_column + (first * op.columns) + o * kPanel, kPanel);
    }
}

void f32_linear_diff_src(const LinearBackward& op, int64_t task, float* scratch) {
    const int64_t k0 = task * op.depth_per_task;
    const int64_t k1 = min_of(k0 + op.depth_per_task, op.depth);
    constexpr int64_t kRows = 112, kColumns = 32;  // of the transposed tile, within the first cache
    for (int64_t n = 0; n < op.rows; n += kColumns) {
        const int64_t images = min_of(kColumns, op.rows - n);
        for (int64_t k = k0; k < k1; k += kRows) {
            const int64_t rows = min_of(kRows, k1 - k);
            // Depth: whole panels of outputs, then the rest of the last one.
            Product p = {};
            p.a = op.weights + k * kPanel;
            p.a_row = kPanel;
            p.a_k = 1;
            p.taps = op.taps;
            p.tap_count = op.columns / kPanel;
            p.inner = kPanel;
            p.b = op.by_column + n * op.columns;
            p.b_k = kPanel;
            p.b_tap = kPanel * kPanel;
            p.b_panel = kPanel * op.columns;
            p.c = scratch;
            p.c_row = kColumns;
            p.c_panel = kPanel;
            p.rows = rows;
            p.columns = round_up(images, kPanel);
            if (p.tap_count) multiply(p);
            if (op.columns % kPanel) {
                p.accumulate = p.tap_count > 0;
                p.a += op.taps[p.tap_count];
                p.b += p.tap_count * p.b_tap;
                p.tap_count = 1;
                p.inner = op.columns % kPanel;
                multiply(p);
            }
            for (int64_t j = 0; j < images; j += kPanel) {
                for (int64_t i = 0; i < rows; i += kPanel) {
                    const int64_t height = min_of(kPanel, rows - i);
                    float* out = op.diff_src + (n + j) * op.depth + k + i;
                    if (height == kPanel) {
                        transpose_panel(scratch + i * kColumns + j, kColumns, kPanel,
                                        min_of(kPanel, images - j), out, op.depth);
                        continue;
                    }
                    for (int64_t column = j; column < min_of(j + kPanel, images); column++) {
                        for (int64_t r = 0; r < height; r++) {
                            out[(column - j) * op.depth + r] = scratch[(i + r) * kColumns + column];
                        }
                    }
                }
            }
        }
    }
}

void f32_linear_diff_weights(const LinearBackward& op, int64_t task) {
    const int64_t k = task * op.depth_per_task;
    const int64_t padded = round_up(op.columns, kPanel);
    Product p = {};
    p.a = op.src + k;
    p.a_row = 1;
    p.a_k = op.depth;
    p.taps = kNoTaps;
    p.tap_count = 1;
    p.inner = op.rows;
    p.b = op.by_row;
    p.b_k = padded;
    p.b_panel = kPanel;
    p.c = op.diff_weights + k * kPanel;
    p.c_row = kPanel;
    p.c_panel = op.depth * kPanel;
    p.accumulate = op.accumulate;
    p.rows = min_of(op.depth_per_task, op.depth - k);
    p.columns = padded;
    multiply(p);
}

void f32_linear_diff_bias(const LinearBackward& op) {
    const int64_t padded = round_up(op.columns, kPanel);
    for (int64_t o = 0; o < padded; o += kPanel) {
        double sums[kPanel] = {};
        add_pixels(op.by_row + o, padded, op.rows, kPanel, sums);
        for (int64_t i = 0; i < kPanel; i++) {
            float& diff = op.diff_bias[o + i];
            diff = (op.accumulate_bias ? diff : 0.0f) + static_cast<float>(sums[i]);
        }
    }
}

}  // namespace mn::cpu::MN_ISA
