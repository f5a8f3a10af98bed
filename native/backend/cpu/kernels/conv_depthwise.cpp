// Convolutions whose every channel has a filter of its own, on NHWC images: no products of
// matrices, but a vector of channels at a time, with the panels of the weights as they are stored,
// [c / 16][kh][kw][16]. Channels that do not fill a vector go one by one.

#include "backend/cpu/kernels/image.h"

namespace mn::cpu::MN_ISA {
namespace {

constexpr int64_t kColumns = 4;  // results that share a load of the weights

MN_INLINE void read(const float* p, Vec& value) {
    value = load(p);
}
MN_INLINE void read(const float* p, float& value) {
    value = *p;
}
MN_INLINE void write(float* p, Vec value) {
    store(p, value);
}
MN_INLINE void write(float* p, float value) {
    *p = value;
}
MN_INLINE Vec positive(Vec x) {
    return x < Vec{} ? Vec{} : x;
}
MN_INLINE float positive(float x) {
    return x < 0.0f ? 0.0f : x;
}
MN_INLINE Vec masked(Vec y, Vec gradient) {
    return y <= Vec{} ? Vec{} : gradient;
}
MN_INLINE float masked(float y, float gradient) {
    return y <= 0.0f ? 0.0f : gradient;
}

// The weights of channel c at the first element of the kernel; the next is a panel further.
MN_INLINE int64_t weights_at(const ConvShape& s, int64_t c) {
    return c / kPanel * s.kh * s.kw * kPanel + c % kPanel;
}

// Calls body<T>(c) for vectors of channels, then for single ones.
#define MN_FOR_CHANNELS(first, last, function, ...)                         \
    do {                                                                    \
        int64_t c = first;                                                  \
        for (; c + kLanes <= last; c += kLanes) function<Vec>(__VA_ARGS__); \
        for (; c < last; c++) function<float>(__VA_ARGS__);                 \
    } while (0)

// Results x to x + count - 1 of a row, whose windows lie inside the image's columns.
template <class T, int64_t count>
MN_INLINE void forward_inside(const ConvShape& s, const float* image, const float* weights, T bias,
                              int64_t top, int64_t x, float* dst) {
    T sum[count];
    for (int64_t i = 0; i < count; i++) sum[i] = bias;
    for (int64_t kh = 0; kh < s.kh; kh++) {
        const int64_t y = top + kh * s.dh;
        if (y < 0 || y >= s.ih) continue;
        for (int64_t kw = 0; kw < s.kw; kw++) {
            const float* from = image + (y * s.iw + x * s.sw - s.pl + kw * s.dw) * s.ic;
            T factor, value;
            read(weights + (kh * s.kw + kw) * kPanel, factor);
            for (int64_t i = 0; i < count; i++) {
                read(from + i * s.sw * s.ic, value);
                sum[i] += value * factor;
            }
        }
    }
    for (int64_t i = 0; i < count; i++)
        write(dst + (x + i) * s.oc, s.relu ? positive(sum[i]) : sum[i]);
}

template <class T>
MN_INLINE void forward_border(const ConvShape& s, const float* image, const float* weights, T bias,
                              int64_t top, int64_t x, float* dst) {
    T sum = bias;
    for (int64_t kh = 0; kh < s.kh; kh++) {
        const int64_t y = top + kh * s.dh;
        if (y < 0 || y >= s.ih) continue;
        for (int64_t kw = 0; kw < s.kw; kw++) {
            const int64_t column = x * s.sw - s.pl + kw * s.dw;
            if (column < 0 || column >= s.iw) continue;
            T factor, value;
            read(weights + (kh * s.kw + kw) * kPanel, factor);
            read(image + (y * s.iw + column) * s.ic, value);
            sum += value * factor;
        }
    }
    write(dst + x * s.oc, s.relu ? positive(sum) : sum);
}

// Row oh of channel (or vector of channels) c.
template <class T>
void forward_row(const ConvForward& op, const float* image, int64_t oh, int64_t c, float* dst) {
    const ConvShape& s = op.shape;
    const float* weights = op.weights + weights_at(s, c);
    T bias = {};
    if (op.bias) read(op.bias + c, bias);
    const int64_t top = oh * s.sh - s.pt;
    // Results whose windows lie inside: left of them, then right of them, are the border's.
    const int64_t first = min_of(ceil_div(s.pl, s.sw), s.ow);
    const int64_t end =
        max_of(min_of(floor_div(s.iw - 1 - (s.kw - 1) * s.dw + s.pl, s.sw) + 1, s.ow), first);
    int64_t x = 0;
    for (; x < first; x++) forward_border<T>(s, image + c, weights, bias, top, x, dst + c);
    for (; x + kColumns <= end; x += kColumns)
        forward_inside<T, kColumns>(s, image + c, weights, bias, top, x, dst + c);
    for (; x < end; x++) forward_inside<T, 1>(s, image + c, weights, bias, top, x, dst + c);
    for (; x < s.ow; x++) forward_border<T>(s, image + c, weights, bias, top, x, dst + c);
}

// Row y of the source's gradient. `gradient` and `result` are the image's.
template <class T>
void diff_src_row(const ConvBackward& op, const float* gradient, const float* result, int64_t y,
                  int64_t c, float* diff_src) {
    const ConvShape& s = op.shape;
    const float* weights = op.packed + weights_at(s, c);
    for (int64_t x = 0; x < s.iw; x++) {
        T sum = {};
        for (int64_t kh = 0; kh < s.kh; kh++) {
            const int64_t down = y + s.pt - kh * s.dh;
            if (down < 0 || down % s.sh || down / s.sh >= s.oh) continue;
            for (int64_t kw = 0; kw < s.kw; kw++) {
                const int64_t across = x + s.pl - kw * s.dw;
                if (across < 0 || across % s.sw || across / s.sw >= s.ow) continue;
                const int64_t at = (down / s.sh * s.ow + across / s.sw) * s.oc + c;
                T factor, g;
                read(weights + (kh * s.kw + kw) * kPanel, factor);
                read(gradient + at, g);
                if (s.relu) {
                    T value;
                    read(result + at, value);
                    g = masked(value, g);
                }
                sum += g * factor;
            }
        }
        write(diff_src + x * s.ic + c, sum);
    }
}

// The same with stride 1 and nothing fused, of `count` columns; only single ones may lack windows.
template <class T, int64_t count>
MN_INLINE void diff_src_columns(const ConvBackward& op, const float* gradient, int64_t y, int64_t x,
                                int64_t c, float* diff_src) {
    const ConvShape& s = op.shape;
    const float* weights = op.packed + weights_at(s, c);
    T sum[count] = {};
    for (int64_t kh = 0; kh < s.kh; kh++) {
        const int64_t down = y + s.pt - kh * s.dh;
        if (down < 0 || down >= s.oh) continue;
        for (int64_t kw = 0; kw < s.kw; kw++) {
            const int64_t across = x + s.pl - kw * s.dw;
            if (count == 1 && (across < 0 || across >= s.ow)) continue;
            T factor, g;
            read(weights + (kh * s.kw + kw) * kPanel, factor);
            for (int64_t i = 0; i < count; i++) {
                read(gradient + (down * s.ow + across + i) * s.oc + c, g);
                sum[i] += g * factor;
            }
        }
    }
    for (int64_t i = 0; i < count; i++) write(diff_src + (x + i) * s.ic + c, sum[i]);
}

template <class T>
void diff_src_dense_row(const ConvBackward& op, const float* gradient, int64_t y, int64_t c,
                        float* diff_src) {
    const ConvShape& s = op.shape;
    const int64_t first = max_of((s.kw - 1) * s.dw - s.pl, 0);
    const int64_t end = min_of(s.ow - s.pl, s.iw);
    for (int64_t x = 0; x < s.iw;) {
        if (x >= first && x + kColumns <= end) {
            diff_src_columns<T, kColumns>(op, gradient, y, x, c, diff_src);
            x += kColumns;
        } else {
            diff_src_columns<T, 1>(op, gradient, y, x, c, diff_src);
            x++;
        }
    }
}

// Adds to `sums`, one for each element of the kernel, a panel apart, and to `bias` an image's
// share.
template <class T>
void diff_weights_image(const ConvBackward& op, int64_t n, int64_t c, float* sums, float* bias) {
    const ConvShape& s = op.shape;
    const float* src = op.src + n * s.ih * s.iw * s.ic + c;
    const float* gradient = op.diff_dst + n * s.oh * s.ow * s.oc + c;
    const float* result = op.dst + (s.relu ? n * s.oh * s.ow * s.oc + c : 0);
    const auto gradient_at = [&](int64_t at) {
        T g;
        read(gradient + at * s.oc, g);
        if (s.relu) {
            T value;
            read(result + at * s.oc, value);
            g = masked(value, g);
        }
        return g;
    };
    for (int64_t oh = 0; oh < s.oh; oh++) {
        for (int64_t kh = 0; kh < s.kh; kh++) {
            const int64_t y = oh * s.sh - s.pt + kh * s.dh;
            if (y < 0 || y >= s.ih) continue;
            for (int64_t kw = 0; kw < s.kw; kw++) {
                const int64_t left = kw * s.dw - s.pl;
                const int64_t first = max_of(ceil_div(-left, s.sw), 0);
                const int64_t end = min_of(floor_div(s.iw - 1 - left, s.sw) + 1, s.ow);
                T part[kColumns] = {}, value;
                int64_t x = first;
                for (; x + kColumns <= end; x += kColumns) {
                    for (int64_t i = 0; i < kColumns; i++) {
                        read(src + (y * s.iw + (x + i) * s.sw + left) * s.ic, value);
                        part[i] += value * gradient_at(oh * s.ow + x + i);
                    }
                }
                for (; x < end; x++) {
                    read(src + (y * s.iw + x * s.sw + left) * s.ic, value);
                    part[0] += value * gradient_at(oh * s.ow + x);
                }
                float* sum = sums + (kh * s.kw + kw) * kPanel;
                read(sum, value);
                write(sum, value + ((part[0] + part[1]) + (part[2] + part[3])));
            }
        }
        T row = {}, value;
        for (int64_t x = 0; x < s.ow; x++) row += gradient_at(oh * s.ow + x);
        read(bias, value);
        write(bias, value + row);
    }
}

}  // namespace

void f32_conv2d_depthwise_forward(const ConvForward& op, int64_t task) {
    const ConvShape& s = op.shape;
    const int64_t n = task / op.row_tasks, first = task % op.row_tasks * op.rows_per_task;
    const float* image = op.src + n * s.ih * s.iw * s.ic;
    for (int64_t oh = first; oh < min_of(first + op.rows_per_task, s.oh); oh++) {
        float* dst = op.dst + (n * s.oh + oh) * s.ow * s.oc;
        MN_FOR_CHANNELS(0, s.oc, forward_row, op, image, oh, c, dst);
    }
}

void f32_conv2d_depthwise_diff_src(const ConvBackward& op, int64_t task) {
    const ConvShape& s = op.shape;
    const int64_t n = task / op.row_tasks, first = task % op.row_tasks * op.rows_per_task;
    const int64_t result_size = s.oh * s.ow * s.oc;
    const float* gradient = op.diff_dst + n * result_size;
    const float* result = s.relu ? op.dst + n * result_size : nullptr;
    for (int64_t y = first; y < min_of(first + op.rows_per_task, s.ih); y++) {
        float* diff_src = op.diff_src + (n * s.ih + y) * s.iw * s.ic;
        if (s.sh == 1 && s.sw == 1 && !s.relu)
            MN_FOR_CHANNELS(0, s.ic, diff_src_dense_row, op, gradient, y, c, diff_src);
        else
            MN_FOR_CHANNELS(0, s.ic, diff_src_row, op, gradient, result, y, c, diff_src);
    }
}

void f32_conv2d_depthwise_diff_weights(const ConvBackward& op, int64_t task) {
    const ConvShape& s = op.shape;
    const int64_t chunk = task / op.column_tasks, panel = task % op.column_tasks;
    const int64_t filters = s.kh * s.kw * kPanel;
    float* sums = op.chunk_weights + chunk * op.chunk_weights_stride + panel * filters;
    float* bias = op.chunk_bias + chunk * op.chunk_bias_stride + panel * kPanel;
    memset(sums, 0, sizeof(float) * filters);
    memset(bias, 0, sizeof(float) * kPanel);
    const int64_t first = panel * kPanel, last = min_of(first + kPanel, s.oc);
    const int64_t end = min_of((chunk + 1) * op.images_per_chunk, op.count);
    for (int64_t n = chunk * op.images_per_chunk; n < end; n++)
        MN_FOR_CHANNELS(first, last, diff_weights_image, op, n, c, sums + (c - first),
                        bias + (c - first));
}

}  // namespace mn::cpu::MN_ISA
