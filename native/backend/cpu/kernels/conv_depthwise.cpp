// Depthwise convolution: a vector of channels is a vector of filters, [c / 16][tap][16], so results
// are sums of products of vectors and nothing is broadcast. Memory bounds it, not arithmetic, so
// nothing is copied: a row of results falls into its inside, where every tap reads the image, and a
// few pixels at either end, which have fewer taps.

#include "backend/cpu/kernels/image.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/sums.h"

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

struct Span {
    int64_t begin, end;
};

// One dimension of a filter: its taps first, first + step, … (`count` of them) read at
// position * stride + offset, + offset_step more from tap to tap, in an image of `size`.
struct Axis {
    int64_t first, step, count, stride, offset, offset_step, size;

    // The taps, by their place in the list, that read inside the image.
    Span taps_inside(int64_t position) const {
        Span span = {0, count};
        while (span.begin < count && !is_inside(position, span.begin)) span.begin++;
        while (span.end > span.begin && !is_inside(position, span.end - 1)) span.end--;
        return span;
    }
    // The positions, of `positions`, at which all taps do; perhaps none.
    Span whole(int64_t positions) const {
        Span span = {0, positions};
        while (span.begin < positions && !is_whole(span.begin)) span.begin++;
        while (span.end > span.begin && !is_whole(span.end - 1)) span.end--;
        return span;
    }
    int64_t at(int64_t position, int64_t tap) const {
        return position * stride + offset + tap * offset_step;
    }
    // The first of the `stride` places that the position after this one reads and this one does
    // not.
    int64_t next(int64_t position) const {
        const int64_t last = offset_step > 0 ? count - 1 : 0;
        return at(position + 1, last) - stride + 1;
    }

private:
    bool is_inside(int64_t position, int64_t tap) const {
        return at(position, tap) >= 0 && at(position, tap) < size;
    }
    bool is_whole(int64_t position) const {
        return count == 0 || (is_inside(position, 0) && is_inside(position, count - 1));
    }
};

Axis forward_axis(int64_t kernel, int64_t stride, int64_t pad, int64_t dilation, int64_t size) {
    return {0, 1, kernel, stride, -pad, dilation, size};
}

// Of the gradient by the source, at the pixels phase, phase + stride, …: the taps that reach them,
// and where in the result of `size` they lead.
Axis gradient_axis(int64_t kernel, int64_t stride, int64_t pad, int64_t dilation, int64_t size,
                   int64_t phase) {
    Axis axis = {0, 1, 0, 1, 0, 0, size};
    for (int64_t k = 0; k < kernel; k++) {
        if ((phase + pad - k * dilation) % stride) continue;
        if (axis.count == 0) {
            axis.first = k;
            axis.offset = (phase + pad - k * dilation) / stride;
        } else if (axis.count == 1) {
            axis.step = k - axis.first;
            axis.offset_step = -axis.step * dilation / stride;
        }
        axis.count++;
    }
    return axis;
}

// What is filtered: an image, or the rows of it from `row` on, pixels `pixel` floats apart.
struct Image {
    const float* data;
    int64_t row, width, pixel;
};

// Half a cache line, which is what narrower vectors write, is slow to write past the caches.
bool streams(int64_t wanted) {
    return wanted && kLanes == kPanel;
}

constexpr int64_t kMostTaps = 9;  // whose vectors fit the registers

// Some taps, at most kMostTaps, of the pixels [x, x + pixels) of a row of results.
struct Part {
    int64_t x, pixels;
    int64_t count;
    int64_t offset[kMostTaps];  // where they read for pixel x, in floats from the image's start
    int64_t id[kMostTaps];      // which weights they take
    bool first, last;           // whether these are the pixels' first taps, their last
    bool even;                  // rows of three taps, each as far apart as the first two
};

// The axes of a filter of `width` columns.
struct Taps {
    Axis rows, columns;
    int64_t width;

    // Calls body(part) for row y of results, `pixels` long, from left to right; pixels without a
    // tap have one part of none.
    template <class Body>
    void each_part(const Image& image, int64_t y, int64_t pixels, Body&& body) const {
        const Span inside = columns.whole(pixels), lines = rows.taps_inside(y);
        Part part;
        for (part.x = 0; part.x < pixels; part.x += part.pixels) {
            const bool is_inside = part.x == inside.begin && inside.end > part.x;
            part.pixels = is_inside ? inside.end - part.x : 1;
            const Span wide = columns.taps_inside(part.x);
            int64_t line = lines.begin, column = wide.begin;
            const int64_t all = (lines.end - lines.begin) * (wide.end - wide.begin);
            int64_t done = 0;
            do {
                part.first = done == 0;
                part.count = min_of(all - done, kMostTaps);
                for (int64_t i = 0; i < part.count; i++) {
                    const int64_t iy = rows.at(y, line) - image.row;
                    const int64_t ix = columns.at(part.x, column);
                    part.offset[i] = (iy * image.width + ix) * image.pixel;
                    part.id[i] = (rows.first + line * rows.step) * width + columns.first +
                                 column * columns.step;
                    if (++column == wide.end) column = wide.begin, line++;
                }
                done += part.count;
                part.even = wide.end - wide.begin == 3;
                part.last = done == all;
                body(part);
            } while (done < all);
        }
    }
};

struct Row {
    const float* in;
    int64_t in_step;     // floats from a pixel to the next
    const float* ahead;  // what the next row will read: a pixel fetches `fetched` floats of it
    int64_t fetched;
    const Part* part;
    const float* weights;
    float* out;
    int64_t out_step;
    bool relu, stream;
};

// Results that wait until they are written: a store to the row of results and a load from the image
// that are a multiple of 4 KiB apart look alike to the processor and wait for each other.
constexpr int64_t kWaiting = 32;

// For a vector of channels over a row of pixels: out = bias + sum over T taps or, if there is none,
// out += that sum. Even: the taps come in threes, side by side, as in
// Part::even, which takes fewer addresses.
template <int T, bool Few, bool Even>
void filter_row(const Row& row, const float* bias, int64_t lanes) {
    Vec w[T];
    constexpr int kAddresses = Even ? (T + 2) / 3 : T;
    const float* in[kAddresses];
    MN_UNROLL
    for (int t = 0; t < T; t++) w[t] = load(row.weights + row.part->id[t] * kPanel);
    MN_UNROLL
    for (int i = 0; i < kAddresses; i++) in[i] = row.in + row.part->offset[Even ? 3 * i : i];
    const Vec start = bias ? load(bias) : Vec{};
    const float* ahead = row.ahead;
    float* out = row.out;
    const int64_t in_step = row.in_step, out_step = row.out_step, fetched = row.fetched;
    const int64_t beside = Even ? row.part->offset[1] - row.part->offset[0] : 0;
    const bool with_relu = row.relu;
    const int64_t pixels = row.part->pixels;
    for (int64_t x = 0; x < pixels; x += kWaiting) {
        const int64_t some = min_of(pixels - x, kWaiting);
        Vec waiting[kWaiting];
        for (int64_t i = 0; i < some; i++) {
            for (int64_t f = 0; f < fetched; f += kPanel, ahead += kPanel)
                __builtin_prefetch(ahead);
            Vec sum = start;
            MN_UNROLL
            for (int t = 0; t < T; t++) {
                const float* p = Even ? in[t / 3] + t % 3 * beside : in[t];
                sum += w[t] * load_part(p, Few ? lanes : kLanes);
            }
            if (!bias) sum += load_part(out + i * out_step, Few ? lanes : kLanes);
            waiting[i] = with_relu ? relu(sum) : sum;
            MN_UNROLL
            for (int a = 0; a < kAddresses; a++) in[a] += in_step;
        }
        for (int64_t i = 0; i < some; i++, out += out_step) {
            if (row.stream) {
                stream(out, waiting[i]);
            } else {
                store_part(out, waiting[i], Few ? lanes : kLanes);
            }
        }
    }
}

using FilterRow = void (*)(const Row&, const float*, int64_t);
#define MN_ROWS(P)                                                                     \
    {                                                                                  \
        filter_row<1, P, false>, filter_row<2, P, false>, filter_row<3, P, false>,     \
            filter_row<4, P, false>, filter_row<5, P, false>, filter_row<6, P, false>, \
            filter_row<7, P, false>, filter_row<8, P, false>, filter_row<9, P, false>  \
    }
constexpr FilterRow kFilterRow[2][kMostTaps] = {MN_ROWS(false), MN_ROWS(true)};
constexpr FilterRow kFilterEvenRow[3] = {filter_row<3, false, true>, filter_row<6, false, true>,
                                         filter_row<9, false, true>};

constexpr float kZeros[kPanel] = {};

// A row of results, all channels; where there is no tap it is the bias.
struct Filter {
    Taps taps;
    int64_t kernel;  // taps of the whole filter
    const float* weights;
    const float* bias;  // null: zero
    int64_t channels;
    bool relu, stream;

    void run(const Image& image, int64_t y, float* out, int64_t out_step, int64_t pixels) const {
        taps.each_part(image, y, pixels, [&](const Part& part) {
            Row row = {};
            row.in_step = taps.columns.stride * image.pixel;
            // Vectors of channels lie far apart in a row; the next one comes from memory in order.
            row.ahead = image.data + (taps.rows.next(y) - image.row) * image.width * image.pixel;
            if (part.pixels > 1) row.fetched = taps.rows.stride * taps.columns.stride * kLanes;
            row.part = &part;
            row.out_step = out_step;
            row.relu = relu && part.last;
            row.stream = stream && part.first && part.last;
            for (int64_t c = 0; c < channels; c += kLanes) {
                const int64_t lanes = channels - c;
                row.in = image.data + c;
                row.out = out + part.x * out_step + c;
                row.weights = weights + c / kPanel * kernel * kPanel + c % kPanel;
                const float* start = bias ? bias + c : kZeros;
                if (part.count > 0) {
                    const FilterRow function = part.even && lanes >= kLanes
                                                   ? kFilterEvenRow[part.count / 3 - 1]
                                                   : kFilterRow[lanes < kLanes][part.count - 1];
                    function(row, part.first ? start : nullptr, lanes);
                    row.ahead += part.pixels * row.fetched;
                } else {
                    const Vec v = relu ? mn::cpu::MN_ISA::relu(load(start)) : load(start);
                    for (int64_t x = 0; x < part.pixels; x++)
                        store_part(row.out + x * out_step, v, lanes);
                }
            }
        });
    }
};

// What sums over a row read: the image at the taps, and the gradient; both fetch ahead as a Row.
struct SumRow {
    const float *in, *gradient;
    int64_t in_step, gradient_step;
    const float *in_ahead, *gradient_ahead;
    int64_t in_fetched, gradient_fetched;
    const Part* part;
    int64_t pixels;  // of the part, at most kProductTerms
};

// Sums of T taps for a vector of channels over a row of pixels.
template <int T, bool Few>
void sum_row(const SumRow& row, int64_t lanes, float* sums) {
    const Part& part = *row.part;
    Vec sum[T];
    const float* taps[T];
    MN_UNROLL
    for (int t = 0; t < T; t++) {
        sum[t] = Vec{};
        taps[t] = row.in + part.offset[t];
    }
    const int64_t pixels = row.pixels, step = row.in_step, gradient_step = row.gradient_step;
    const int64_t in_fetched = row.in_fetched, gradient_fetched = row.gradient_fetched;
    const float *gradient = row.gradient, *in_ahead = row.in_ahead;
    const float* gradient_ahead = row.gradient_ahead;
    for (int64_t x = 0, at = 0; x < pixels; x++, at += step, gradient += gradient_step) {
        for (int64_t f = 0; f < in_fetched; f += kPanel, in_ahead += kPanel)
            __builtin_prefetch(in_ahead);
        for (int64_t f = 0; f < gradient_fetched; f += kPanel, gradient_ahead += kPanel)
            __builtin_prefetch(gradient_ahead);
        const Vec g = load_part(gradient, Few ? lanes : kLanes);
        MN_UNROLL
        for (int t = 0; t < T; t++) sum[t] += g * load_part(taps[t] + at, Few ? lanes : kLanes);
    }
    MN_UNROLL
    for (int t = 0; t < T; t++) {
        float* at = sums + part.id[t] * kPanel;
        store(at, load(at) + sum[t]);
    }
}

using SumRowFunction = void (*)(const SumRow&, int64_t, float*);
#define MN_SUMS(P)                                                                                \
    {                                                                                             \
        sum_row<1, P>, sum_row<2, P>, sum_row<3, P>, sum_row<4, P>, sum_row<5, P>, sum_row<6, P>, \
            sum_row<7, P>, sum_row<8, P>, sum_row<9, P>                                           \
    }
constexpr SumRowFunction kSumRow[2][kMostTaps] = {MN_SUMS(false), MN_SUMS(true)};

Taps forward_taps(const ConvShape& s) {
    return {forward_axis(s.kh, s.sh, s.pt, s.dh, s.ih), forward_axis(s.kw, s.sw, s.pl, s.dw, s.iw),
            s.kw};
}

// The gradient of the result before pooling and activation, rows [y0, y1) of image n.
Image gradient_of(const ConvBackward& op, int64_t n, int64_t y0, int64_t y1, float* scratch) {
    const ConvShape& s = op.shape;
    if (!s.relu && !s.has_pool) return {op.diff_dst + n * s.oh * s.ow * s.oc, 0, s.ow, s.oc};
    const int64_t padded = round_up(s.oc, kPanel);
    gradient_before_pool(op, n, y0, y1, 0, s.ow, 0, s.oc, padded, scratch);
    return {scratch, y0, s.ow, padded};
}

}  // namespace

void f32_conv2d_depthwise_forward(const ConvForward& op, int64_t task, float* scratch) {
    const ConvShape& s = op.shape;
    const int64_t n = task / op.row_tasks;
    const int64_t row0 = task % op.row_tasks * op.rows_per_task;
    const int64_t row1 = min_of(row0 + op.rows_per_task, s.has_pool ? s.pool.oh : s.oh);
    const Image image = {op.src + n * s.ih * s.iw * s.ic, 0, s.iw, s.ic};
    Filter filter = {forward_taps(s), s.kh * s.kw, op.weights, op.bias, s.oc, false, false};
    if (!s.has_pool) {
        filter.relu = s.relu;
        filter.stream = streams(op.stream);
        for (int64_t y = row0; y < row1; y++)
            filter.run(image, y, op.dst + (n * s.oh + y) * s.ow * s.oc, s.oc, s.ow);
        if (op.stream) stream_end();
        return;
    }
    const int64_t y0 = max_of(row0 * s.pool.sh - s.pool.ph, 0);
    const int64_t y1 = min_of((row1 - 1) * s.pool.sh - s.pool.ph + s.pool.kh, s.oh);
    const int64_t padded = round_up(s.oc, kPanel);
    for (int64_t y = y0; y < y1; y++)
        filter.run(image, y, scratch + (y - y0) * s.ow * padded, padded, s.ow);
    const int64_t at = row0 * s.pool.ow * s.oc;
    max_pool_rows(s.pool, scratch, y0, padded, row0, row1 - row0, s.oc, s.relu,
                  op.dst + n * s.pool.oh * s.pool.ow * s.oc + at,
                  op.saved ? op.saved + n * op.saved_image + at : nullptr, s.oc);
}

void f32_conv2d_depthwise_diff_src(const ConvBackward& op, int64_t task, float* scratch) {
    const ConvShape& s = op.shape;
    const int64_t n = task / op.row_tasks;
    const int64_t y0 = task % op.row_tasks * op.rows_per_task;
    const int64_t y1 = min_of(y0 + op.rows_per_task, s.ih);
    const int64_t top = max_of(floor_div(y0 + s.pt - (s.kh - 1) * s.dh, s.sh), 0);
    const int64_t bottom = max_of(min_of(floor_div(y1 - 1 + s.pt, s.sh) + 1, s.oh), top);
    const Image gradient = gradient_of(op, n, top, bottom, scratch);
    for (int64_t y = y0; y < y1; y++) {
        for (int64_t x = 0; x < min_of(s.sw, s.iw); x++) {
            const Taps taps = {gradient_axis(s.kh, s.sh, s.pt, s.dh, s.oh, y % s.sh),
                               gradient_axis(s.kw, s.sw, s.pl, s.dw, s.ow, x), s.kw};
            const Filter filter = {taps, s.kh * s.kw, op.weights,        nullptr,
                                   s.ic, false,       streams(op.stream)};
            filter.run(gradient, y / s.sh, op.diff_src + ((n * s.ih + y) * s.iw + x) * s.ic,
                       s.sw * s.ic, ceil_div(s.iw - x, s.sw));
        }
    }
    if (op.stream) stream_end();
}

void f32_conv2d_depthwise_diff_weights(const ConvBackward& op, int64_t chunk, float* scratch) {
    const ConvShape& s = op.shape;
    const int64_t kernel = s.kh * s.kw, padded = round_up(s.oc, kPanel);
    const Taps taps = forward_taps(s);
    float* weights = op.chunk_weights + chunk * op.chunk_weights_stride;
    Addends sums = {};
    sums.floats = weights;
    sums.doubles = op.chunk_sums + chunk * op.chunk_weights_stride;
    sums.rows = sums.pieces = 1;
    sums.count = kernel * padded;
    memset(weights, 0, sizeof(float) * kernel * padded);
    double* bias = op.chunk_bias ? op.chunk_bias + chunk * op.chunk_bias_stride : nullptr;
    if (bias) memset(bias, 0, sizeof(double) * padded);
    const int64_t bias_rows = max_of(kSumTerms / s.ow, 1);
    const int64_t end = min_of((chunk + 1) * op.images_per_chunk, op.count);
    for (int64_t n = chunk * op.images_per_chunk; n < end; n++) {
        const Image image = {op.src + n * s.ih * s.iw * s.ic, 0, s.iw, s.ic};
        for (int64_t y0 = 0; y0 < s.oh; y0 += op.rows_per_strip) {
            const int64_t y1 = min_of(y0 + op.rows_per_strip, s.oh);
            const Image gradient = gradient_of(op, n, y0, y1, scratch);
            for (int64_t y = y0; y < y1; y++) {
                const float* g = gradient.data + (y - gradient.row) * s.ow * gradient.pixel;
                taps.each_part(image, y, s.ow, [&](const Part& part) {
                    SumRow row = {};
                    row.in_step = s.sw * s.ic;
                    row.gradient_step = gradient.pixel;
                    row.in_ahead = image.data + taps.rows.next(y) * s.iw * s.ic;
                    row.gradient_ahead = g + s.ow * gradient.pixel;
                    if (part.pixels > 1) {
                        row.in_fetched = s.sh * s.sw * kLanes;
                        row.gradient_fetched = kLanes;
                    }
                    row.part = &part;
                    for (int64_t x = 0; x < part.pixels && part.count > 0; x += row.pixels) {
                        row.pixels = min_of(part.pixels - x, kProductTerms);
                        if (sums.begin()) memset(weights, 0, sizeof(float) * sums.count);
                        for (int64_t c = 0; c < s.oc; c += kLanes) {
                            row.in = image.data + x * row.in_step + c;
                            row.gradient = g + (part.x + x) * gradient.pixel + c;
                            float* at = weights + c / kPanel * kernel * kPanel + c % kPanel;
                            kSumRow[s.oc - c < kLanes][part.count - 1](row, s.oc - c, at);
                            row.in_ahead += row.pixels * row.in_fetched;
                            row.gradient_ahead += row.pixels * row.gradient_fetched;
                        }
                    }
                });
                // A few rows at a time.
                const int64_t rows = y + 1 == y1 ? (y - y0) % bias_rows + 1 : bias_rows;
                if (bias && (y + 1 == y1 || (y + 1 - y0) % bias_rows == 0))
                    add_pixels(g - (rows - 1) * s.ow * gradient.pixel, gradient.pixel, rows * s.ow,
                               s.oc, bias);
            }
        }
    }
    sums.finish();
}

}  // namespace mn::cpu::MN_ISA
