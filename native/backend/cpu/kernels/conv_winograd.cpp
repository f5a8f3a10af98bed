// Winograd's minimal filtering (Lavin and Gray, arXiv:1509.09308) with tiles of m x m results, m =
// 2 or 4, called F(m x m, 3 x 3). A tile takes (m + 2)^2 multiplications a pair of channels: 16
// instead of 36 for m = 2, which in fp32 is as accurate as the direct sum, and 36 instead of 144
// for m = 4, whose error is a few times larger: inference uses it.
//
//     result = A^T [ sum over i of (G g G^T) (.) (B^T d B) ] A
//
// for the patch d, m + 2 pixels square, of channel i and its filter g. The sum over channels is
// (m + 2)^2 matrix products (tiles x channels x outputs), one for each element of the transform. A
// task transforms the patches of a strip of tile rows once; then, for 32 output channels at a time,
// it runs the products and turns their results back, with bias, activation and a 2 x 2 pooling
// (whose windows tile the tile) on the way to memory. The gradient by the weights is, with m = 2,
//
//     G^T [ sum over tiles of (B^T d B) (.) (A e A^T) ] G
//
// for the tile's gradient e: again 16 products, whose depth are the tiles of many images. The grid
// of tiles starts at the image's corner whatever the strips are, so results do not depend on the
// split.

#include "backend/cpu/kernels/gemm.h"
#include "backend/cpu/kernels/image.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/sums.h"
#include "backend/cpu/kernels/transpose.h"

namespace mn::cpu::MN_ISA {

namespace {

constexpr int64_t kBlock = 32;
constexpr int64_t kNoTaps[1] = {0};

// Floats from one element of transformed filters to the next. The extra panel keeps the elements
// out of each other's cache sets when channels are powers of two.
MN_INLINE int64_t element_floats(int64_t outputs, int64_t inputs) {
    return round_up(outputs, kPanel) * inputs + kPanel;
}

// B^T, G and A^T in one dimension. The transforms are interpolation at 0, 1, -1 and infinity.
MN_INLINE void transform_data(const Vec (&d)[4], Vec (&t)[4]) {
    t[0] = d[0] - d[2];
    t[1] = d[1] + d[2];
    t[2] = d[2] - d[1];
    t[3] = d[1] - d[3];
}
MN_INLINE void transform_filter(const Vec (&g)[3], Vec (&t)[4]) {
    const Vec half = splat(0.5f);
    t[0] = g[0];
    t[1] = half * (g[0] + g[2] + g[1]);
    t[2] = half * (g[0] + g[2] - g[1]);
    t[3] = g[2];
}
MN_INLINE void transform_result(const Vec (&m)[4], Vec (&r)[2]) {
    r[0] = m[0] + m[1] + m[2];
    r[1] = m[1] - m[2] - m[3];
}

// At 0, a, -a, b, -b and infinity: these points lose less to rounding than 1 and 2, and their
// squares are exact.
constexpr float kA = 0.625f, kB = 1.5f, kA2 = kA * kA, kB2 = kB * kB;

MN_INLINE void transform_data(const Vec (&d)[6], Vec (&t)[6]) {
    const Vec even_a = d[4] - splat(kB2) * d[2], odd_a = splat(kA) * (d[3] - splat(kB2) * d[1]);
    const Vec even_b = d[4] - splat(kA2) * d[2], odd_b = splat(kB) * (d[3] - splat(kA2) * d[1]);
    t[0] = d[4] - splat(kA2 + kB2) * d[2] + splat(kA2 * kB2) * d[0];
    t[1] = even_a + odd_a;
    t[2] = even_a - odd_a;
    t[3] = even_b + odd_b;
    t[4] = even_b - odd_b;
    t[5] = d[5] - splat(kA2 + kB2) * d[3] + splat(kA2 * kB2) * d[1];
}
MN_INLINE void transform_filter(const Vec (&g)[3], Vec (&t)[6]) {
    const Vec scale_a = splat(0.5f / (kA2 * (kA2 - kB2))),
              scale_b = splat(0.5f / (kB2 * (kB2 - kA2)));
    const Vec even_a = g[0] + splat(kA2) * g[2], even_b = g[0] + splat(kB2) * g[2];
    t[0] = splat(1 / (kA2 * kB2)) * g[0];
    t[1] = scale_a * (even_a + splat(kA) * g[1]);
    t[2] = scale_a * (even_a - splat(kA) * g[1]);
    t[3] = scale_b * (even_b + splat(kB) * g[1]);
    t[4] = scale_b * (even_b - splat(kB) * g[1]);
    t[5] = g[2];
}
MN_INLINE void transform_result(const Vec (&m)[6], Vec (&r)[4]) {
    const Vec sum_a = m[1] + m[2], sum_b = m[3] + m[4];
    const Vec less_a = m[1] - m[2], less_b = m[3] - m[4];
    r[0] = m[0] + sum_a + sum_b;
    r[1] = splat(kA) * less_a + splat(kB) * less_b;
    r[2] = splat(kA2) * sum_a + splat(kB2) * sum_b;
    r[3] = splat(kA2 * kA) * less_a + splat(kB2 * kB) * less_b + m[5];
}

// B^T d B; one pixel's channels.
template <int M>
MN_INLINE void transform_patch(const float* in, int64_t row, int64_t pixel, float* out,
                               int64_t stride) {
    constexpr int P = M + 2;
    Vec t[P][P];
    MN_UNROLL
    for (int x = 0; x < P; x++) {
        Vec d[P], column[P];
        MN_UNROLL
        for (int y = 0; y < P; y++) d[y] = load(in + y * row + x * pixel);
        transform_data(d, column);
        MN_UNROLL
        for (int y = 0; y < P; y++) t[y][x] = column[y];
    }
    MN_UNROLL
    for (int y = 0; y < P; y++) {
        Vec v[P];
        transform_data(t[y], v);
        MN_UNROLL
        for (int x = 0; x < P; x++) store(out + (P * y + x) * stride, v[x]);
    }
}

// For all patches of a strip of rows x columns tiles.
template <int M>
void transform_strip(const float* strip, int64_t rows, int64_t columns, int64_t channels,
                     int64_t stride, float* out) {
    const int64_t row = (M * columns + 2) * channels;
    for (int64_t y = 0; y < rows; y++) {
        for (int64_t x = 0; x < columns; x++, out += channels) {
            const float* in = strip + M * y * row + M * x * channels;
            for (int64_t c = 0; c < channels; c += kLanes) {
                transform_patch<M>(in + c, row, channels, out + c, stride);
            }
        }
    }
}

// The products for output channels [o, o + columns), of whole panels.
void multiply_strip(const WinogradShape& w, const float* transformed, int64_t tiles,
                    const float* packed, int64_t o, int64_t columns, float* products) {
    const int64_t element = element_floats(w.out_channels, w.channels);
    Product p = {};
    p.a_row = w.padded;
    p.a_k = 1;
    p.taps = kNoTaps;
    p.tap_count = 1;
    p.inner = w.channels;
    p.b_k = kPanel;
    p.b_panel = w.channels * kPanel;
    p.c_row = kBlock;
    p.c_panel = kPanel;
    p.rows = tiles;
    p.columns = columns;
    for (int64_t i = 0; i < (w.tile + 2) * (w.tile + 2); i++) {
        p.a = transformed + i * w.transformed_stride;
        p.b = packed + i * element + o * w.channels;
        p.c = products + i * w.product_stride;
        multiply(p);
    }
}

// A^T m A: the results of a tile.
template <int M>
MN_INLINE void results_of_tile(const float* products, int64_t stride, Vec (&r)[M][M]) {
    constexpr int P = M + 2;
    Vec t[M][P];
    MN_UNROLL
    for (int x = 0; x < P; x++) {
        Vec m[P], column[M];
        MN_UNROLL
        for (int y = 0; y < P; y++) m[y] = load(products + (P * y + x) * stride);
        transform_result(m, column);
        MN_UNROLL
        for (int y = 0; y < M; y++) t[y][x] = column[y];
    }
    MN_UNROLL
    for (int y = 0; y < M; y++) transform_result(t[y], r[y]);
}

MN_INLINE void store_part(float* out, Vec v, int64_t lanes) {
    if (lanes >= kLanes) {
        store(out, v);
    } else {
        for (int64_t i = 0; i < lanes; i++) out[i] = v[i];
    }
}

// Results of tile (y, x) to an image of h x w pixels of `channels` channels.
template <int M>
MN_INLINE void store_tile(const Vec (&r)[M][M], int64_t y, int64_t x, int64_t h, int64_t w,
                          int64_t channels, int64_t lanes, float* out) {
    out += (M * y * w + M * x) * channels;
    MN_UNROLL
    for (int i = 0; i < M; i++) {
        MN_UNROLL
        for (int j = 0; j < M; j++) {
            if (M * y + i < h && M * x + j < w)
                store_part(out + (i * w + j) * channels, r[i][j], lanes);
        }
    }
}

template <int M>
void store_strip(const ConvForward& op, const WinogradShape& w, int64_t n, int64_t row0,
                 int64_t row1, int64_t o, int64_t columns, const float* products) {
    const ConvShape& s = op.shape;
    float* image = op.dst + n * s.oh * s.ow * s.oc + o;
    for (int64_t c = 0; c < columns; c += kLanes) {
        const Vec bias = op.bias ? load(op.bias + o + c) : Vec{};
        const float* from = products + c;
        for (int64_t y = row0; y < row1; y++) {
            for (int64_t x = 0; x < w.tile_columns; x++, from += kBlock) {
                Vec r[M][M];
                results_of_tile(from, w.product_stride, r);
                MN_UNROLL
                for (int i = 0; i < M * M; i++) {
                    r[i / M][i % M] += bias;
                    if (s.relu) r[i / M][i % M] = relu(r[i / M][i % M]);
                }
                store_tile(r, y, x, s.oh, s.ow, s.oc, columns - c, image + c);
            }
        }
    }
}

// The window of results r[i][j] to r[i + 1][j + 1]; at the far edges it may be narrower.
struct Window {
    bool wide, high;
};

template <bool Saves, int M>
MN_INLINE void pool_window(const Vec (&r)[M][M], int i, int j, Window window, Vec& best,
                           IntVec& best_at) {
    best = r[i][j];
    best_at = splat_int(0);
    MN_UNROLL
    for (int q = 1; q < 4; q++) {
        if (((q & 1) && !window.wide) || ((q & 2) && !window.high)) continue;
        const Vec v = r[i + q / 2][j + q % 2];
        const IntVec wins = (v > best) | (v != v);
        best = wins ? v : best;
        if (Saves) best_at = wins ? splat_int(q) : best_at;
    }
}

template <bool Saves, int M>
void pool_strip(const ConvForward& op, const WinogradShape& w, int64_t n, int64_t row0,
                int64_t row1, int64_t o, int64_t columns, const float* products) {
    const ConvShape& s = op.shape;
    float* image = op.dst + n * s.pool.oh * s.pool.ow * s.oc + o;
    uint8_t* args = Saves ? op.saved + n * op.saved_image + o : nullptr;
    for (int64_t c = 0; c < columns; c += kLanes) {
        const Vec bias = op.bias ? load(op.bias + o + c) : Vec{};
        const float* from = products + c;
        for (int64_t y = row0; y < row1; y++) {
            for (int64_t x = 0; x < w.tile_columns; x++, from += kBlock) {
                Vec r[M][M];
                results_of_tile(from, w.product_stride, r);
                MN_UNROLL
                for (int i = 0; i < M; i += 2) {
                    MN_UNROLL
                    for (int j = 0; j < M; j += 2) {
                        const int64_t py = (M * y + i) / 2, px = (M * x + j) / 2;
                        if (py >= s.pool.oh || px >= s.pool.ow) continue;
                        Vec best;
                        IntVec best_at;
                        pool_window<Saves>(r, i, j, {2 * px + 1 < s.ow, 2 * py + 1 < s.oh}, best,
                                           best_at);
                        best += bias;
                        if (s.relu) best = relu(best);
                        const int64_t at = (py * s.pool.ow + px) * s.oc + c;
                        store_part(image + at, best, columns - c);
                        if (!Saves) continue;
                        if (columns - c >= kLanes) {
                            store_bytes(args + at, best_at);
                        } else {
                            for (int64_t k = 0; k < columns - c; k++)
                                args[at + k] = static_cast<uint8_t>(best_at[k]);
                        }
                    }
                }
            }
        }
    }
}

template <int M>
void pack(const ConvShape& s, const float* weights, bool transposed, int64_t panel, float* packed) {
    constexpr int P = M + 2;
    const int64_t inputs = transposed ? s.oc : s.ic, outputs = transposed ? s.ic : s.oc;
    const int64_t element = element_floats(outputs, inputs);
    float turned[9][kPanel * kPanel];
    for (int64_t i0 = 0; i0 < inputs; i0 += kPanel) {
        const int64_t count = min_of(kPanel, inputs - i0);
        const float* g[9];
        for (int64_t t = 0; t < 9; t++) {
            if (transposed) {
                transpose_panel(
                    weights + ((i0 / kPanel * 9 + 8 - t) * s.ic + panel * kPanel) * kPanel, kPanel,
                    min_of(kPanel, outputs - panel * kPanel), count, turned[t], kPanel);
                g[t] = turned[t];
            } else {
                g[t] = weights + ((panel * 9 + t) * s.ic + i0) * kPanel;
            }
        }
        for (int64_t at = 0; at < count * kPanel; at += kLanes) {
            Vec t[P][3];
            MN_UNROLL
            for (int x = 0; x < 3; x++) {
                Vec column[P];
                transform_filter({load(g[x] + at), load(g[3 + x] + at), load(g[6 + x] + at)},
                                 column);
                MN_UNROLL
                for (int y = 0; y < P; y++) t[y][x] = column[y];
            }
            float* out = packed + (panel * inputs + i0) * kPanel + at;
            MN_UNROLL
            for (int y = 0; y < P; y++) {
                Vec v[P];
                transform_filter(t[y], v);
                MN_UNROLL
                for (int x = 0; x < P; x++) store(out + (P * y + x) * element, v[x]);
            }
        }
    }
}

template <int M>
void forward(const ConvForward& op, const WinogradShape& w, const float* packed, int64_t task,
             float* scratch) {
    const ConvShape& s = op.shape;
    const int64_t column_task = task % w.column_tasks;
    const int64_t n = task / w.column_tasks / w.row_tasks;
    const int64_t row0 = task / w.column_tasks % w.row_tasks * w.rows_per_task;
    const int64_t row1 = min_of(row0 + w.rows_per_task, w.tile_rows);
    const int64_t tiles = (row1 - row0) * w.tile_columns;
    float* transformed = scratch + w.strip_floats;
    float* products = transformed + (M + 2) * (M + 2) * w.transformed_stride;
    copy_with_border({op.src + n * s.ih * s.iw * s.ic, s.ih, s.iw, s.ic, s.ic}, w.padded,
                     M * row0 - s.pt, M * row1 + 2 - s.pt, -s.pl, M * w.tile_columns + 2 - s.pl,
                     scratch);
    transform_strip<M>(scratch, row1 - row0, w.tile_columns, w.padded, w.transformed_stride,
                       transformed);
    const auto finish = !s.has_pool ? store_strip<M>
                        : op.saved  ? pool_strip<true, M>
                                    : pool_strip<false, M>;
    const int64_t end = min_of((column_task + 1) * w.columns_per_task, s.oc);
    for (int64_t o = column_task * w.columns_per_task; o < end; o += kBlock) {
        const int64_t columns = min_of(kBlock, end - o);
        multiply_strip(w, transformed, tiles, packed, o, round_up(columns, kPanel), products);
        finish(op, w, n, row0, row1, o, columns, products);
    }
}

template <int M>
void diff_src(const ConvBackward& op, const WinogradShape& w, int64_t task, float* scratch) {
    const ConvShape& s = op.shape;
    const int64_t column_task = task % w.column_tasks;
    const int64_t n = task / w.column_tasks / w.row_tasks;
    const int64_t row0 = task / w.column_tasks % w.row_tasks * w.rows_per_task;
    const int64_t row1 = min_of(row0 + w.rows_per_task, w.tile_rows);
    float* transformed = scratch + w.strip_floats;
    float* products = transformed + (M + 2) * (M + 2) * w.transformed_stride;
    // The border of the gradient is what the kernel overhangs less the border of the image.
    const int64_t top = M * row0 - (2 - s.pt), left = -(2 - s.pl);
    gradient_before_pool(op, n, top, top + M * (row1 - row0) + 2, left,
                         left + M * w.tile_columns + 2, 0, s.oc, w.padded, scratch);
    transform_strip<M>(scratch, row1 - row0, w.tile_columns, w.padded, w.transformed_stride,
                       transformed);
    float* image = op.diff_src + n * s.ih * s.iw * s.ic;
    const int64_t end = min_of((column_task + 1) * w.columns_per_task, s.ic);
    for (int64_t i = column_task * w.columns_per_task; i < end; i += kBlock) {
        const int64_t columns = min_of(kBlock, end - i);
        multiply_strip(w, transformed, (row1 - row0) * w.tile_columns, op.packed, i,
                       round_up(columns, kPanel), products);
        for (int64_t c = 0; c < columns; c += kLanes) {
            const float* from = products + c;
            for (int64_t y = row0; y < row1; y++) {
                for (int64_t x = 0; x < w.tile_columns; x++, from += kBlock) {
                    Vec r[M][M];
                    results_of_tile(from, w.product_stride, r);
                    store_tile(r, y, x, s.ih, s.iw, s.ic, columns - c, image + i + c);
                }
            }
        }
    }
}

}  // namespace

void f32_conv2d_winograd_pack(const ConvShape& s, int64_t tile, const float* weights,
                              int64_t transposed, int64_t panel, float* packed) {
    (tile == 2 ? pack<2> : pack<4>)(s, weights, transposed, panel, packed);
}

void f32_conv2d_winograd_forward(const ConvForward& op, const WinogradShape& w, const float* packed,
                                 int64_t task, float* scratch) {
    (w.tile == 2 ? forward<2> : forward<4>)(op, w, packed, task, scratch);
}

void f32_conv2d_winograd_diff_src(const ConvBackward& op, const WinogradShape& w, int64_t task,
                                  float* scratch) {
    (w.tile == 2 ? diff_src<2> : diff_src<4>)(op, w, task, scratch);
}

namespace {

// A e A^T for a row of tiles; `in` holds two rows of pixels.
void transform_gradient(const float* in, int64_t columns, int64_t channels, int64_t stride,
                        float* out) {
    const int64_t row = 2 * columns * channels;
    for (int64_t x = 0; x < columns; x++, in += 2 * channels, out += channels) {
        for (int64_t c = 0; c < channels; c += kLanes) {
            Vec t[4][2];
            MN_UNROLL
            for (int i = 0; i < 2; i++) {
                const Vec e0 = load(in + i * channels + c);
                const Vec e1 = load(in + row + i * channels + c);
                t[0][i] = e0;
                t[1][i] = e0 + e1;
                t[2][i] = e0 - e1;
                t[3][i] = -e1;
            }
            MN_UNROLL
            for (int y = 0; y < 4; y++) {
                float* to = out + 4 * y * stride + c;
                store(to, t[y][0]);
                store(to + stride, t[y][0] + t[y][1]);
                store(to + 2 * stride, t[y][0] - t[y][1]);
                store(to + 3 * stride, -t[y][1]);
            }
        }
    }
}

}  // namespace

void f32_conv2d_winograd_diff_weights(const ConvBackward& op, const WinogradSums& w, int64_t task,
                                      float* scratch) {
    const ConvShape& s = op.shape;
    const int64_t chunk = task / (w.in_blocks * w.out_blocks);
    const int64_t in_block = task / w.out_blocks % w.in_blocks;
    const int64_t i0 = in_block * w.block, o0 = task % w.out_blocks * w.block;
    const int64_t inputs = min_of(w.block, s.ic - i0), outputs = min_of(w.block, s.oc - o0);
    const int64_t in_floats = round_up(inputs, kPanel), out_floats = round_up(outputs, kPanel);
    const int64_t element = element_floats(s.oc, s.ic);
    float* strip = scratch;
    float* gradient = strip + 4 * (2 * w.tile_columns + 2) * w.block;
    float* sources = gradient + 4 * w.tile_columns * w.block;
    float* gradients = sources + 16 * w.stride;

    Product p = {};
    p.a_row = 1;
    p.a_k = in_floats;
    p.taps = kNoTaps;
    p.tap_count = 1;
    p.b_k = out_floats;
    p.b_panel = kPanel;
    p.c_row = kPanel;
    p.c_panel = s.ic * kPanel;
    p.rows = inputs;
    p.columns = out_floats;

    const bool wants_bias = op.chunk_bias && in_block == 0;
    double* bias = wants_bias ? op.chunk_bias + chunk * op.chunk_bias_stride + o0 : nullptr;
    if (wants_bias) memset(bias, 0, sizeof(double) * out_floats);
    Addends sums = {};
    const int64_t at = chunk * op.chunk_weights_stride + o0 * s.ic + i0 * kPanel;
    sums.floats = op.chunk_weights + at;
    if (op.chunk_sums) sums.doubles = op.chunk_sums + at;
    sums.rows = 16, sums.row = element;
    sums.pieces = out_floats / kPanel, sums.piece = s.ic * kPanel;
    sums.count = inputs * kPanel;
    const int64_t first = chunk * op.images_per_chunk;
    const int64_t rows = (min_of(first + op.images_per_chunk, op.count) - first) * w.tile_rows;
    for (int64_t row = 0; row < rows; row++) {
        const int64_t n = first + row / w.tile_rows, y = row % w.tile_rows;
        const ImageView view = {op.src + n * s.ih * s.iw * s.ic + i0, s.ih, s.iw, s.ic, inputs};
        copy_with_border(view, in_floats, 2 * y - s.pt, 2 * y + 4 - s.pt, -s.pl,
                         2 * w.tile_columns + 2 - s.pl, strip);
        gradient_before_pool(op, n, 2 * y, 2 * y + 2, 0, 2 * w.tile_columns, o0, outputs,
                             out_floats, gradient);
        transform_strip<2>(strip, 1, w.tile_columns, in_floats, w.stride,
                           sources + p.inner * in_floats);
        transform_gradient(gradient, w.tile_columns, out_floats, w.stride,
                           gradients + p.inner * out_floats);
        p.inner += w.tile_columns;
        if (wants_bias) add_pixels(gradient, out_floats, 4 * w.tile_columns, out_floats, bias);
        if (row + 1 < rows && p.inner + w.tile_columns <= w.tiles) continue;
        p.accumulate = !sums.begin();
        for (int i = 0; i < 16; i++) {
            p.a = sources + i * w.stride;
            p.b = gradients + i * w.stride;
            p.c = sums.floats + i * element;
            multiply(p);
        }
        p.inner = 0;
    }
    sums.finish();
}

void f32_conv2d_winograd_sum_filters(const ConvBackward& op, int64_t chunks, int64_t panel,
                                     float* diff_weights, int64_t accumulate) {
    const ConvShape& s = op.shape;
    const int64_t element = element_floats(s.oc, s.ic);
    const Vec half = splat(0.5f);
    for (int64_t i = 0; i < s.ic; i++) {
        for (int64_t c = 0; c < kPanel; c += kLanes) {
            const float* from = op.chunk_weights + (panel * s.ic + i) * kPanel + c;
            Vec t[3][4];
            MN_UNROLL
            for (int x = 0; x < 4; x++) {
                Vec m[4];
                MN_UNROLL
                for (int y = 0; y < 4; y++)
                    m[y] = sum_of(from + (4 * y + x) * element, chunks, op.chunk_weights_stride);
                t[0][x] = m[0] + half * (m[1] + m[2]);
                t[1][x] = half * (m[1] - m[2]);
                t[2][x] = half * (m[1] + m[2]) + m[3];
            }
            MN_UNROLL
            for (int y = 0; y < 3; y++) {
                const Vec g[3] = {t[y][0] + half * (t[y][1] + t[y][2]), half * (t[y][1] - t[y][2]),
                                  half * (t[y][1] + t[y][2]) + t[y][3]};
                MN_UNROLL
                for (int x = 0; x < 3; x++) {
                    float* to = diff_weights + ((panel * 9 + 3 * y + x) * s.ic + i) * kPanel + c;
                    store(to, accumulate ? load(to) + g[x] : g[x]);
                }
            }
        }
    }
}

}  // namespace mn::cpu::MN_ISA
