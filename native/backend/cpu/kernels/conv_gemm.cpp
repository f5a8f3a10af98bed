// Convolution as a matrix product whose rows are pixels: the product reads the image through a list
// of tap offsets, so nothing is copied apart but a strip of the image when it needs a border of
// zeros. Kernel columns that lie beside each other in memory count as one longer tap.
//
// - forward: rows are pixels of a result row, depth is taps x channels.
// - gradient by the source: the same on the gradient of the result, with weights transposed. With a
//   stride, pixels fall into phases by their remainder; each phase sees its own taps.
// - gradient by the weights: rows are (kernel column, channel), depth is pixels.

#include "backend/cpu/kernels/gemm.h"
#include "backend/cpu/kernels/image.h"
#include "backend/cpu/kernels/sums.h"
#include "backend/cpu/kernels/transpose.h"

namespace mn::cpu::MN_ISA {

namespace {

constexpr int64_t kBlock = 32;  // output channels at a time, two panels

}  // namespace

void f32_conv2d_gemm_forward(const ConvForward& op, int64_t task, float* scratch) {
    const ConvShape& s = op.shape;
    const int64_t column_task = task % op.column_tasks;
    const int64_t strip = task / op.column_tasks % op.row_tasks;
    const int64_t n = task / op.column_tasks / op.row_tasks;
    const int64_t dst_h = s.has_pool ? s.pool.oh : s.oh;
    const int64_t dst_w = s.has_pool ? s.pool.ow : s.ow;
    const int64_t row0 = strip * op.rows_per_task;
    const int64_t row1 = min_of(row0 + op.rows_per_task, dst_h);
    // Rows of the convolution, before pooling.
    int64_t y0 = row0, y1 = row1;
    if (s.has_pool) {
        y0 = max_of(row0 * s.pool.sh - s.pool.ph, 0);
        y1 = min_of((row1 - 1) * s.pool.sh - s.pool.ph + s.pool.kh, s.oh);
    }
    const float* src = source_strip(s, op.src + n * s.ih * s.iw * s.ic, y0, y1, op.in_place,
                                    op.src_pixel, scratch);
    const int64_t src_row = s.sh * strip_width(s, op.in_place) * op.src_pixel;
    float* before_pool = scratch + op.strip_floats;

    const int64_t group_in = s.ic / s.groups, group_out = s.oc / s.groups;
    const int64_t panel_floats = s.kh * s.kw * group_in * kPanel;
    const int64_t end = min_of((column_task + 1) * op.columns_per_task, s.oc);
    for (int64_t o = column_task * op.columns_per_task; o < end;) {
        const int64_t group = o / group_out;
        const int64_t columns = min_of(kBlock, min_of(end, (group + 1) * group_out) - o);
        Product p = {};
        p.a_row = s.sw * op.src_pixel;
        p.a_k = 1;
        p.taps = op.taps;
        p.tap_count = op.tap_count;
        p.inner = op.inner;
        p.b = op.weights + o / kPanel * panel_floats;
        p.b_k = kPanel;
        p.b_tap = op.inner * kPanel;
        p.b_panel = panel_floats;
        p.bias = op.bias ? op.bias + o : nullptr;
        p.rows = s.ow;
        p.c_panel = kPanel;
        if (s.has_pool) {
            p.columns = round_up(columns, kPanel);
            p.c_row = kBlock;
        } else {
            p.columns = columns;
            p.c_row = s.oc;
            p.relu = s.relu;
            p.stream = op.stream;
        }
        for (int64_t y = y0; y < y1; y++) {
            p.a = src + (y - y0) * src_row + group * group_in;
            p.c = s.has_pool ? before_pool + (y - y0) * s.ow * kBlock
                             : op.dst + ((n * s.oh + y) * s.ow) * s.oc + o;
            multiply(p);
        }
        if (s.has_pool) {
            const int64_t pixel = row0 * dst_w;
            uint8_t* arg = op.saved ? op.saved + n * op.saved_image + pixel * s.oc + o : nullptr;
            max_pool_rows(s.pool, before_pool, y0, kBlock, row0, row1 - row0, columns, s.relu,
                          op.dst + (n * dst_h * dst_w + pixel) * s.oc + o, arg, s.oc);
        }
        o += columns;
    }
    if (op.stream) stream_end();
}

void f32_conv2d_gemm_diff_src(const ConvBackward& op, int64_t task, float* scratch) {
    const ConvShape& s = op.shape;
    const int64_t n = task / op.row_tasks;
    const int64_t y0 = task % op.row_tasks * op.rows_per_task;
    const int64_t y1 = min_of(y0 + op.rows_per_task, s.ih);
    const int64_t top = floor_div(y0 + s.pt - (s.kh - 1) * s.dh, s.sh);
    const int64_t bottom = floor_div(y1 - 1 + s.pt, s.sh) + 1;
    const int64_t pixel = op.diff_dst_pixel;
    const float* gradient = scratch;
    if (op.in_place) {
        gradient = op.diff_dst + (n * s.oh + top) * s.ow * s.oc;
    } else {
        gradient_before_pool(op, n, top, bottom, op.first_column, op.first_column + op.strip_width,
                             0, s.oc, pixel, scratch);
    }
    const int64_t group_in = s.ic / s.groups, group_out = s.oc / s.groups;
    const int64_t panels = ceil_div(group_in, kPanel);
    for (int64_t i = 0; i < op.phase_count; i++) {
        const ConvPhase& phase = op.phases[i];
        const int64_t panel_floats = phase.tap_count * group_out * kPanel;
        const int64_t first = max_of(ceil_div(max_of(y0 - phase.y, 0), s.sh), 0);
        for (int64_t g = 0; g < s.groups; g++) {
            Product p = {};
            p.a_row = pixel;
            p.a_k = 1;
            p.taps = op.taps + phase.first_tap;
            p.tap_count = phase.tap_count;
            p.inner = group_out;
            p.b = op.packed + phase.weights + g * panels * panel_floats;
            p.b_k = kPanel;
            p.b_tap = group_out * kPanel;
            p.b_panel = panel_floats;
            p.c_row = s.sw * s.ic;
            p.c_panel = kPanel;
            p.stream = op.stream;
            p.rows = ceil_div(s.iw - phase.x, s.sw);
            // One block of columns at a time over all rows: its weights stay in the cache.
            for (int64_t c = 0; c < group_in; c += kBlock) {
                p.columns = min_of(kBlock, group_in - c);
                for (int64_t j = first; phase.y + j * s.sh < y1; j++) {
                    p.a = gradient + ((j - top) * op.strip_width - op.first_column) * pixel +
                          g * group_out;
                    p.c = op.diff_src + ((n * s.ih + phase.y + j * s.sh) * s.iw + phase.x) * s.ic +
                          g * group_in + c;
                    multiply(p);
                }
                p.b += kBlock / kPanel * panel_floats;
            }
        }
    }
    if (op.stream) stream_end();
}

void f32_conv2d_gemm_diff_weights(const ConvBackward& op, int64_t task, float* scratch) {
    const ConvShape& s = op.shape;
    const int64_t group_in = s.ic / s.groups, group_out = s.oc / s.groups;
    const int64_t blocks = ceil_div(group_out, kBlock);  // of one group
    const int64_t chunk = task / op.column_tasks;
    const int64_t group = task % op.column_tasks / blocks;
    const int64_t in_group = task % op.column_tasks % blocks * kBlock;
    const int64_t o = group * group_out + in_group;
    const int64_t columns = min_of(kBlock, group_out - in_group);
    const int64_t padded = round_up(columns, kPanel);
    const int64_t panel_floats = s.kh * s.kw * group_in * kPanel;
    const bool merged = s.dw == 1 && s.groups == 1;
    const int64_t width = strip_width(s, op.in_place);
    float* copy = scratch + op.strip_floats;
    // The gradient is read where it stands, unless an activation or a pooling lies before it.
    const bool direct = !s.has_pool && !s.relu && s.oc % kPanel == 0;

    Product p = {};
    p.a_row = 1;
    p.a_k = s.sw * s.ic;
    p.taps = op.row_taps;
    p.inner = s.ow;
    p.b_k = direct ? s.oc : padded;
    p.b_tap = s.ow * p.b_k;
    p.b_panel = kPanel;
    p.c_row = kPanel;
    p.c_panel = panel_floats;
    p.rows = merged ? s.kw * s.ic : group_in;
    p.columns = padded;

    float* weights = op.chunk_weights + chunk * op.chunk_weights_stride + o / kPanel * panel_floats;
    Addends sums = {};
    sums.floats = weights;
    if (op.chunk_sums) sums.doubles = op.chunk_sums + (weights - op.chunk_weights);
    sums.rows = sums.pieces = 1;
    sums.count = padded / kPanel * panel_floats;
    double* bias = op.chunk_bias ? op.chunk_bias + chunk * op.chunk_bias_stride + o : nullptr;
    if (bias) memset(bias, 0, sizeof(double) * padded);
    const int64_t end = min_of((chunk + 1) * op.images_per_chunk, op.count);
    for (int64_t n = chunk * op.images_per_chunk; n < end; n++) {
        const float* image = op.src + n * s.ih * s.iw * s.ic;
        for (int64_t y0 = 0; y0 < s.oh; y0 += op.rows_per_strip) {
            const int64_t y1 = min_of(y0 + op.rows_per_strip, s.oh);
            const float* src = source_strip(s, image, y0, y1, op.in_place, s.ic, scratch);
            p.b = direct ? op.diff_dst + (n * s.oh + y0) * s.ow * s.oc + o : copy;
            if (!direct) gradient_before_pool(op, n, y0, y1, 0, s.ow, o, columns, padded, copy);
            p.tap_count = y1 - y0;
            p.accumulate = !sums.begin();
            for (int64_t kh = 0; kh < s.kh; kh++) {
                for (int64_t kw = 0; kw < (merged ? 1 : s.kw); kw++) {
                    p.a = src + (kh * s.dh * width + kw * s.dw) * s.ic + group * group_in;
                    p.c = weights + (kh * s.kw + kw) * group_in * kPanel;
                    multiply(p);
                }
            }
            if (bias) add_pixels(p.b, p.b_k, (y1 - y0) * s.ow, padded, bias);
        }
    }
    sums.finish();
}

void f32_conv2d_gemm_pack(const ConvShape& s, const float* weights, const int64_t* taps,
                          int64_t tap_count, int64_t panel, float* packed) {
    const int64_t group_in = s.ic / s.groups, group_out = s.oc / s.groups;
    const int64_t panels = ceil_div(group_in, kPanel);
    const int64_t group = panel / panels;
    const int64_t i = panel % panels * kPanel;
    const int64_t rows = min_of(kPanel, group_in - i);
    const int64_t all = s.kh * s.kw;
    packed += panel * tap_count * group_out * kPanel;
    for (int64_t t = 0; t < tap_count; t++) {
        for (int64_t k = 0; k < group_out; k += kPanel, packed += kPanel * kPanel) {
            const int64_t columns = min_of(kPanel, group_out - k);
            const float* from =
                weights +
                (((group * group_out + k) / kPanel * all + taps[t]) * group_in + i) * kPanel;
            transpose_panel(from, kPanel, rows, columns, packed, kPanel);
            if (columns < kPanel) packed -= (kPanel - columns) * kPanel;
        }
    }
}

}  // namespace mn::cpu::MN_ISA
