// Depthwise convolution: a vector of channels is a vector of filters, [c / 16][tap][16], so results
// are sums of products of vectors and nothing is broadcast. Memory bounds it, not arithmetic.

#include "backend/cpu/kernels/image.h"
#include "backend/cpu/kernels/kernels.h"

namespace mn::cpu::MN_ISA {

namespace {

MN_INLINE Vec load_part(const float* p, int64_t lanes) {
    if (lanes >= kLanes) return load(p);
    Vec v = {};
    for (int64_t i = 0; i < lanes; i++) v[i] = p[i];
    return v;
}

MN_INLINE void store_part(float* p, Vec v, int64_t lanes) {
    if (lanes >= kLanes) {
        store(p, v);
    } else {
        for (int64_t i = 0; i < lanes; i++) p[i] = v[i];
    }
}

constexpr int64_t kMostTaps = 9;  // whose vectors fit the registers

struct Row {
    const float* in;
    int64_t in_step;  // floats from a pixel to the next
    const int64_t* taps;
    const float* weights;
    const int64_t* ids;  // which weights a tap takes
    float* out;
    int64_t out_step, pixels;
    bool relu;
};

// For a vector of channels over a row of pixels: out = start + sum over T taps, where start is the
// bias or, if there is none, what `out` holds.
template <int T, bool Part>
void filter_row(const Row& row, const float* bias, int64_t lanes) {
    Vec w[T];
    int64_t taps[T];
    MN_UNROLL
    for (int t = 0; t < T; t++) {
        w[t] = load(row.weights + row.ids[t] * kPanel);
        taps[t] = row.taps[t];
    }
    const Vec start = bias ? load(bias) : Vec{};
    const float* in = row.in;
    float* out = row.out;
    for (int64_t x = 0; x < row.pixels; x++, in += row.in_step, out += row.out_step) {
        Vec sum = bias ? start : load_part(out, Part ? lanes : kLanes);
        MN_UNROLL
        for (int t = 0; t < T; t++) sum += w[t] * load_part(in + taps[t], Part ? lanes : kLanes);
        store_part(out, row.relu ? relu(sum) : sum, Part ? lanes : kLanes);
    }
}

using FilterRow = void (*)(const Row&, const float*, int64_t);
#define MN_ROWS(P)                                                                                \
    {                                                                                             \
        filter_row<1, P>, filter_row<2, P>, filter_row<3, P>, filter_row<4, P>, filter_row<5, P>, \
            filter_row<6, P>, filter_row<7, P>, filter_row<8, P>, filter_row<9, P>                \
    }
constexpr FilterRow kFilterRow[2][kMostTaps] = {MN_ROWS(false), MN_ROWS(true)};

constexpr float kZeros[kPanel] = {};

// All channels of a row of pixels; without taps the result is the bias.
void filter(Row row, int64_t tap_count, int64_t kernel, const float* bias, int64_t channels) {
    const bool relu_after = row.relu;
    const Row whole = row;
    for (int64_t c = 0; c < channels; c += kLanes) {
        const bool part = channels - c < kLanes;
        row = whole;
        row.in += c;
        row.out += c;
        row.weights += c / kPanel * kernel * kPanel + c % kPanel;
        const float* start = bias ? bias + c : kZeros;
        if (tap_count == 0) {
            for (int64_t x = 0; x < row.pixels; x++)
                store_part(row.out + x * row.out_step, load(start), channels - c);
        }
        for (int64_t t = 0; t < tap_count; t += kMostTaps) {
            const int64_t taps = min_of(kMostTaps, tap_count - t);
            row.relu = relu_after && t + taps == tap_count;
            kFilterRow[part][taps - 1](row, start, channels - c);
            row.taps += taps;
            row.ids += taps;
            start = nullptr;
        }
    }
}

// Sums of T taps for a vector of channels over a row of pixels.
template <int T, bool Part>
void sum_row(const float* in, int64_t step, const int64_t* taps, const float* gradient,
             int64_t gradient_step, int64_t pixels, int64_t lanes, float* sums) {
    Vec sum[T];
    MN_UNROLL
    for (int t = 0; t < T; t++) sum[t] = load(sums + t * kPanel);
    for (int64_t x = 0; x < pixels; x++, in += step, gradient += gradient_step) {
        const Vec g = load(gradient);
        MN_UNROLL
        for (int t = 0; t < T; t++) sum[t] += g * load_part(in + taps[t], Part ? lanes : kLanes);
    }
    MN_UNROLL
    for (int t = 0; t < T; t++) store(sums + t * kPanel, sum[t]);
}

using SumRow = void (*)(const float*, int64_t, const int64_t*, const float*, int64_t, int64_t,
                        int64_t, float*);
#define MN_SUMS(P)                                                                                \
    {                                                                                             \
        sum_row<1, P>, sum_row<2, P>, sum_row<3, P>, sum_row<4, P>, sum_row<5, P>, sum_row<6, P>, \
            sum_row<7, P>, sum_row<8, P>, sum_row<9, P>                                           \
    }
constexpr SumRow kSumRow[2][kMostTaps] = {MN_SUMS(false), MN_SUMS(true)};

}  // namespace

void f32_conv2d_depthwise_forward(const ConvForward& op, int64_t task, float* scratch) {
    const ConvShape& s = op.shape;
    const int64_t n = task / op.row_tasks;
    const int64_t row0 = task % op.row_tasks * op.rows_per_task;
    const int64_t row1 = min_of(row0 + op.rows_per_task, s.has_pool ? s.pool.oh : s.oh);
    int64_t y0 = row0, y1 = row1;
    if (s.has_pool) {
        y0 = max_of(row0 * s.pool.sh - s.pool.ph, 0);
        y1 = min_of((row1 - 1) * s.pool.sh - s.pool.ph + s.pool.kh, s.oh);
    }
    const float* src =
        source_strip(s, op.src + n * s.ih * s.iw * s.ic, y0, y1, op.in_place, s.ic, scratch);
    const int64_t src_row = s.sh * strip_width(s, op.in_place) * s.ic;
    const int64_t padded = round_up(s.oc, kPanel);
    float* before_pool = scratch + op.strip_floats;
    for (int64_t y = y0; y < y1; y++) {
        Row row = {};
        row.in = src + (y - y0) * src_row;
        row.in_step = s.sw * s.ic;
        row.taps = op.taps;
        row.ids = op.tap_ids;
        row.weights = op.weights;
        row.pixels = s.ow;
        row.out = s.has_pool ? before_pool + (y - y0) * s.ow * padded
                             : op.dst + (n * s.oh + y) * s.ow * s.oc;
        row.out_step = s.has_pool ? padded : s.oc;
        row.relu = s.relu && !s.has_pool;
        filter(row, op.tap_count, s.kh * s.kw, op.bias, s.oc);
    }
    if (!s.has_pool) return;
    const int64_t at = row0 * s.pool.ow * s.oc;
    max_pool_rows(s.pool, before_pool, y0, padded, row0, row1 - row0, s.oc, s.relu,
                  op.dst + n * s.pool.oh * s.pool.ow * s.oc + at,
                  op.saved ? op.saved + n * op.saved_image + at : nullptr, s.oc);
}

void f32_conv2d_depthwise_diff_src(const ConvBackward& op, int64_t task, float* scratch) {
    const ConvShape& s = op.shape;
    const int64_t n = task / op.row_tasks;
    const int64_t y0 = task % op.row_tasks * op.rows_per_task;
    const int64_t y1 = min_of(y0 + op.rows_per_task, s.ih);
    const int64_t top = floor_div(y0 + s.pt - (s.kh - 1) * s.dh, s.sh);
    const int64_t bottom = floor_div(y1 - 1 + s.pt, s.sh) + 1;
    const int64_t padded = round_up(s.oc, kPanel);
    gradient_before_pool(op, n, top, bottom, op.first_column, op.first_column + op.strip_width, 0,
                         s.oc, padded, scratch);
    for (int64_t i = 0; i < op.phase_count; i++) {
        const ConvPhase& phase = op.phases[i];
        const int64_t first = ceil_div(max_of(y0 - phase.y, 0), s.sh);
        for (int64_t j = first; phase.y + j * s.sh < y1; j++) {
            Row row = {};
            row.in = scratch + ((j - top) * op.strip_width - op.first_column) * padded;
            row.in_step = padded;
            row.taps = op.taps + phase.first_tap;
            row.ids = op.tap_ids + phase.first_tap;
            row.weights = op.weights;
            row.out = op.diff_src + ((n * s.ih + phase.y + j * s.sh) * s.iw + phase.x) * s.ic;
            row.out_step = s.sw * s.ic;
            row.pixels = ceil_div(s.iw - phase.x, s.sw);
            filter(row, phase.tap_count, s.kh * s.kw, nullptr, s.ic);
        }
    }
}

void f32_conv2d_depthwise_diff_weights(const ConvBackward& op, int64_t chunk, float* scratch) {
    const ConvShape& s = op.shape;
    const int64_t kernel = s.kh * s.kw, padded = round_up(s.oc, kPanel);
    const int64_t width = strip_width(s, op.in_place);
    float* gradient = scratch + op.strip_floats;
    float* weights = op.chunk_weights + chunk * op.chunk_weights_stride;
    float* bias = op.chunk_bias + chunk * op.chunk_bias_stride;
    memset(weights, 0, sizeof(float) * kernel * padded);
    memset(bias, 0, sizeof(float) * padded);
    const int64_t end = min_of((chunk + 1) * op.images_per_chunk, op.count);
    for (int64_t n = chunk * op.images_per_chunk; n < end; n++) {
        const float* image = op.src + n * s.ih * s.iw * s.ic;
        for (int64_t y0 = 0; y0 < s.oh; y0 += op.rows_per_strip) {
            const int64_t y1 = min_of(y0 + op.rows_per_strip, s.oh);
            const float* src = source_strip(s, image, y0, y1, op.in_place, s.ic, scratch);
            gradient_before_pool(op, n, y0, y1, 0, s.ow, 0, s.oc, padded, gradient);
            for (int64_t y = 0; y < y1 - y0; y++) {
                const float* g = gradient + y * s.ow * padded;
                for (int64_t c = 0; c < s.oc; c += kLanes) {
                    float* sums = weights + c / kPanel * kernel * kPanel + c % kPanel;
                    for (int64_t t = 0; t < kernel; t += kMostTaps) {
                        const int64_t part = min_of(kMostTaps, kernel - t);
                        int64_t taps[kMostTaps];
                        for (int64_t i = 0; i < part; i++) {
                            taps[i] =
                                ((t + i) / s.kw * s.dh * width + (t + i) % s.kw * s.dw) * s.ic;
                        }
                        kSumRow[s.oc - c < kLanes][part - 1](src + y * s.sh * width * s.ic + c,
                                                             s.sw * s.ic, taps, g + c, padded, s.ow,
                                                             s.oc - c, sums + t * kPanel);
                    }
                    Vec sum = load(bias + c);
                    for (int64_t x = 0; x < s.ow; x++) sum += load(g + x * padded + c);
                    store(bias + c, sum);
                }
            }
        }
    }
}

}  // namespace mn::cpu::MN_ISA
