#include "backend/cpu/kernels/conv_direct.h"

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/sums.h"

namespace mn::cpu::MN_ISA {

namespace {

// Lanes in which some of `count` vectors is not finite.
IntVec lost_lanes(const Vec* r, int64_t count) {
    Vec sum = {};
    for (int64_t k = 0; k < count; k++) sum += r[k] - r[k];
    return sum != Vec{};
}

// One input channel of panels of weights for kLanes inputs.
Vec gather(const float* weights, int64_t lanes) {
    float w[kLanes] = {};
    for (int64_t l = 0; l < lanes; l++) w[l] = weights[l * kPanel];
    return load(w);
}

}  // namespace

void redo_results(const ConvForward& op, int64_t n, int64_t y0, int64_t x0, int64_t size, int64_t o,
                  Vec* r) {
    const ConvShape& s = op.shape;
    const int64_t group_in = s.ic / s.groups, group_out = s.oc / s.groups;
    const float* image = op.src + n * s.ih * s.iw * s.ic + o / group_out * group_in;
    const float* weights = op.weights + o / kPanel * s.kh * s.kw * group_in * kPanel + o % kPanel;
    const IntVec lost = lost_lanes(r, size * size);
    for (int64_t k = 0; k < size * size; k++) {
        const int64_t y = y0 + k / size, x = x0 + k % size;
        if (y >= s.oh || x >= s.ow) continue;
        Vec sum = {};
        for (int64_t tap = 0; tap < s.kh * s.kw; tap++) {
            const int64_t iy = y * s.sh - s.pt + tap / s.kw * s.dh;
            const int64_t ix = x * s.sw - s.pl + tap % s.kw * s.dw;
            if (iy < 0 || iy >= s.ih || ix < 0 || ix >= s.iw) continue;
            const float* pixel = image + (iy * s.iw + ix) * s.ic;
            const float* w = weights + tap * group_in * kPanel;
            for (int64_t c = 0; c < group_in; c++) sum += splat(pixel[c]) * load(w + c * kPanel);
        }
        r[k] = lost ? sum : r[k];
    }
}

void redo_diff_src(const ConvBackward& op, const GradientStrip& strip, int64_t y0, int64_t x0,
                   int64_t size, int64_t i, Vec* r) {
    constexpr int64_t kMost = 16;
    const ConvShape& s = op.shape;
    const int64_t taps = s.kh * s.kw;
    const int64_t group_in = s.ic / s.groups, group_out = s.oc / s.groups;
    const int64_t group = i / group_in, first = group * group_out;
    const int64_t lanes = min_of(kLanes, group_in - i % group_in);
    const IntVec lost = lost_lanes(r, size * size);
    Vec sum[kMost] = {};
    for (int64_t tap = 0; tap < taps; tap++) {
        // Where the pixels' gradients are.
        const float* from[kMost];
        for (int64_t k = 0; k < size * size; k++) {
            from[k] = nullptr;
            const int64_t y = y0 + k / size + s.pt - tap / s.kw * s.dh;
            const int64_t x = x0 + k % size + s.pl - tap % s.kw * s.dw;
            if (y < 0 || x < 0 || y % s.sh || x % s.sw) continue;
            if (y / s.sh >= s.oh || x / s.sw >= s.ow) continue;
            from[k] = strip.data +
                      ((y / s.sh - strip.top) * strip.width + x / s.sw - strip.left) * strip.pixel +
                      first;
        }
        for (int64_t o = first; o < first + group_out; o++) {
            const int64_t row = (o / kPanel * taps + tap) * group_in + i % group_in;
            const Vec w = gather(op.weights + row * kPanel + o % kPanel, lanes);
            for (int64_t k = 0; k < size * size; k++)
                if (from[k]) sum[k] += splat(from[k][o - first]) * w;
        }
    }
    for (int64_t k = 0; k < size * size; k++) r[k] = lost ? sum[k] : r[k];
}

Vec redo_filter(const ConvBackward& op, int64_t o, int64_t tap, int64_t i, Vec v) {
    constexpr int64_t kPixels = 16;
    const ConvShape& s = op.shape;
    const int64_t lanes = min_of(kLanes, s.oc - o);
    if (lanes <= 0) return Vec{};  // padding
    const int64_t down = tap / s.kw * s.dh - s.pt, right = tap % s.kw * s.dw - s.pl;
    const float* source = op.src + o / (s.oc / s.groups) * (s.ic / s.groups) + i;
    LongSum sum;
    for (int64_t row = 0; row < op.count * s.oh; row++) {
        const int64_t n = row / s.oh, y = row % s.oh, iy = y * s.sh + down;
        if (iy < 0 || iy >= s.ih) continue;
        for (int64_t x0 = 0; x0 < s.ow; x0 += kPixels) {
            const int64_t x1 = min_of(x0 + kPixels, s.ow);
            float gradient[kPixels * kLanes];
            gradient_before_pool(op, n, y, y + 1, x0, x1, o, lanes, kLanes, gradient);
            for (int64_t x = x0; x < x1; x++) {
                const int64_t ix = x * s.sw + right;
                if (ix < 0 || ix >= s.iw) continue;
                sum.add(load(gradient + (x - x0) * kLanes) *
                        splat(source[((n * s.ih + iy) * s.iw + ix) * s.ic]));
            }
        }
    }
    const Vec again = sum.over(1);
    return v - v != Vec{} ? again : v;
}

int64_t f32_is_finite(const float* values, int64_t count) {
    return all_finite(look_at(values, count, Vec{}));
}

void f32_conv2d_sum_filters(const ConvBackward& op, int64_t chunks, int64_t task,
                            float* diff_weights, int64_t accumulate) {
    const ConvShape& s = op.shape;
    const int64_t taps = s.kh * s.kw, inputs = s.ic / s.groups;
    const int64_t o = task / taps * kPanel, tap = task % taps;
    const int64_t first = task * inputs * kPanel;
    for (int64_t at = 0; at < inputs * kPanel; at += kLanes) {
        const float* from = op.chunk_weights + first + at;
        Vec sum = sum_of(from, chunks, op.chunk_weights_stride);
        if (!all_finite(sum)) sum = redo_filter(op, o + at % kPanel, tap, at / kPanel, sum);
        float* to = diff_weights + first + at;
        store(to, accumulate ? load(to) + sum : sum);
    }
}

}  // namespace mn::cpu::MN_ISA
