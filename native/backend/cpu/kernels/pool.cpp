// Pooling of NHWC images, a vector of channels at a time. Backward kernels clear the image's
// gradient and add each window's share in the order of the windows, so overlaps are summed in a
// fixed order.

#include "backend/cpu/kernels/image.h"
#include "backend/cpu/kernels/sums.h"

namespace mn::cpu::MN_ISA {

void f32_max_pool_forward(const PoolRun& op, int64_t n) {
    const PoolShape& s = op.shape;
    const int64_t in = s.ih * s.iw * s.channels, out = s.oh * s.ow * s.channels;
    // The last vector of the last pixel may reach past the image: there, channels go one by one.
    const int64_t whole = s.channels / kLanes * kLanes;
    uint8_t* arg = op.saved ? op.saved + n * op.saved_image : nullptr;
    if (whole) {
        max_pool_rows(s, op.src + n * in, 0, s.channels, 0, s.oh, whole, false, op.dst + n * out,
                      arg, s.channels);
    }
    for (int64_t c = whole; c < s.channels; c++) {
        for (int64_t y = 0; y < s.oh; y++) {
            for (int64_t x = 0; x < s.ow; x++) {
                const int64_t top = y * s.sh - s.ph, left = x * s.sw - s.pw;
                float best = -__builtin_inff();
                int64_t best_at = -1;
                for (int64_t iy = max_of(top, 0); iy < min_of(top + s.kh, s.ih); iy++) {
                    for (int64_t ix = max_of(left, 0); ix < min_of(left + s.kw, s.iw); ix++) {
                        const float v = op.src[n * in + (iy * s.iw + ix) * s.channels + c];
                        if (v > best || v != v || best_at < 0) {
                            best = v;
                            best_at = (iy - top) * s.kw + ix - left;
                        }
                    }
                }
                const int64_t at = (y * s.ow + x) * s.channels + c;
                op.dst[n * out + at] = best;
                if (arg) arg[at] = static_cast<uint8_t>(best_at);
            }
        }
    }
}

namespace {

// Windows that may share an element: each of them adds to its gradient.
MN_INLINE int64_t overlap(const PoolShape& s) {
    return min_of(ceil_div(s.kh, s.sh), s.oh) * min_of(ceil_div(s.kw, s.sw), s.ow);
}

// Where too many windows overlap for one float to add up their shares, each element of the source
// asks its windows. share(y, x, iy, ix, at) is what window (y, x) has for element (iy, ix), a
// vector of the channels whose gradients begin at `at`; share_one, that of one channel.
template <class Share, class ShareOne>
void gather(const PoolShape& s, float* diff_src, Share&& share, ShareOne&& share_one) {
    for (int64_t iy = 0; iy < s.ih; iy++) {
        const int64_t y0 = max_of(floor_div(iy + s.ph - s.kh, s.sh) + 1, 0);
        const int64_t y1 = min_of((iy + s.ph) / s.sh + 1, s.oh);
        for (int64_t ix = 0; ix < s.iw; ix++, diff_src += s.channels) {
            const int64_t x0 = max_of(floor_div(ix + s.pw - s.kw, s.sw) + 1, 0);
            const int64_t x1 = min_of((ix + s.pw) / s.sw + 1, s.ow);
            const auto each = [&](int64_t c, auto&& body) {
                for (int64_t y = y0; y < y1; y++) {
                    for (int64_t x = x0; x < x1; x++) body(y, x, (y * s.ow + x) * s.channels + c);
                }
            };
            int64_t c = 0;
            for (; c + kLanes <= s.channels; c += kLanes) {
                LongSum sum;
                each(c,
                     [&](int64_t y, int64_t x, int64_t at) { sum.add(share(y, x, iy, ix, at)); });
                store(diff_src + c, sum.over(1));
            }
            for (; c < s.channels; c++) {
                double sum = 0;
                each(c, [&](int64_t y, int64_t x, int64_t at) {
                    sum += static_cast<double>(share_one(y, x, iy, ix, at));
                });
                diff_src[c] = static_cast<float>(sum);
            }
        }
    }
}

}  // namespace

void f32_max_pool_backward(const PoolRun& op, int64_t n) {
    const PoolShape& s = op.shape;
    const int64_t in = s.ih * s.iw * s.channels, out = s.oh * s.ow * s.channels;
    float* diff_src = op.diff_src + n * in;
    const float* g = op.diff_dst + n * out;
    const uint8_t* arg = op.saved + n * op.saved_image;
    if (overlap(s) > kSumTerms) {
        const auto element = [&](int64_t y, int64_t x, int64_t iy, int64_t ix) {
            return static_cast<int32_t>((iy - y * s.sh + s.ph) * s.kw + ix - x * s.sw + s.pw);
        };
        gather(
            s, diff_src,
            [&](int64_t y, int64_t x, int64_t iy, int64_t ix, int64_t at) {
                const IntVec takes = load_bytes(arg + at) == splat_int(element(y, x, iy, ix));
                return takes ? load(g + at) : Vec{};
            },
            [&](int64_t y, int64_t x, int64_t iy, int64_t ix, int64_t at) {
                return arg[at] == element(y, x, iy, ix) ? g[at] : 0.0f;
            });
        return;
    }
    memset(diff_src, 0, sizeof(float) * in);
    for (int64_t y = 0; y < s.oh; y++) {
        for (int64_t x = 0; x < s.ow; x++, g += s.channels, arg += s.channels) {
            const int64_t top = y * s.sh - s.ph, left = x * s.sw - s.pw;
            for (int64_t iy = max_of(top, 0); iy < min_of(top + s.kh, s.ih); iy++) {
                for (int64_t ix = max_of(left, 0); ix < min_of(left + s.kw, s.iw); ix++) {
                    float* to = diff_src + (iy * s.iw + ix) * s.channels;
                    const int32_t q = static_cast<int32_t>((iy - top) * s.kw + ix - left);
                    int64_t c = 0;
                    for (; c + kLanes <= s.channels; c += kLanes) {
                        const IntVec takes = load_bytes(arg + c) == splat_int(q);
                        store(to + c, load(to + c) + (takes ? load(g + c) : Vec{}));
                    }
                    for (; c < s.channels; c++) {
                        if (arg[c] == q) to[c] += g[c];
                    }
                }
            }
        }
    }
}

namespace {

// What the sum of a window is divided by, as PyTorch counts it.
MN_INLINE float divisor(const PoolShape& s, int64_t top, int64_t left) {
    const int64_t bottom = min_of(top + s.kh, s.ih + s.ph),
                  right = min_of(left + s.kw, s.iw + s.pw);
    if (s.count_include_pad) return static_cast<float>((bottom - top) * (right - left));
    return static_cast<float>((min_of(bottom, s.ih) - max_of(top, 0)) *
                              (min_of(right, s.iw) - max_of(left, 0)));
}

}  // namespace

namespace {

// Of a window that is too large for one float to add it up.
void average(const PoolShape& s, const float* src, int64_t y0, int64_t y1, int64_t x0, int64_t x1,
             double by, float* dst) {
    int64_t c = 0;
    for (; c + kLanes <= s.channels; c += kLanes) {
        LongSum sum;
        for (int64_t y = y0; y < y1; y++) {
            for (int64_t x = x0; x < x1; x++) sum.add(load(src + (y * s.iw + x) * s.channels + c));
        }
        store(dst + c, sum.over(by));
    }
    for (; c < s.channels; c++) {
        double sum = 0;
        for (int64_t y = y0; y < y1; y++) {
            for (int64_t x = x0; x < x1; x++)
                sum += static_cast<double>(src[(y * s.iw + x) * s.channels + c]);
        }
        dst[c] = static_cast<float>(sum / by);
    }
}

}  // namespace

void f32_avg_pool_forward(const PoolRun& op, int64_t n) {
    const PoolShape& s = op.shape;
    const float* src = op.src + n * s.ih * s.iw * s.channels;
    float* dst = op.dst + n * s.oh * s.ow * s.channels;
    for (int64_t y = 0; y < s.oh; y++) {
        for (int64_t x = 0; x < s.ow; x++, dst += s.channels) {
            const int64_t top = y * s.sh - s.ph, left = x * s.sw - s.pw;
            const float by = divisor(s, top, left);
            const int64_t y1 = min_of(top + s.kh, s.ih), x1 = min_of(left + s.kw, s.iw);
            int64_t c = 0;
            if (s.kh * s.kw > kSumTerms) {
                average(s, src, max_of(top, 0), y1, max_of(left, 0), x1, static_cast<double>(by),
                        dst);
                continue;
            }
            for (; c + kLanes <= s.channels; c += kLanes) {
                Vec sum = {};
                for (int64_t iy = max_of(top, 0); iy < y1; iy++) {
                    for (int64_t ix = max_of(left, 0); ix < x1; ix++) {
                        sum += load(src + (iy * s.iw + ix) * s.channels + c);
                    }
                }
                store(dst + c, sum / splat(by));
            }
            for (; c < s.channels; c++) {
                float sum = 0.0f;
                for (int64_t iy = max_of(top, 0); iy < y1; iy++) {
                    for (int64_t ix = max_of(left, 0); ix < x1; ix++) {
                        sum += src[(iy * s.iw + ix) * s.channels + c];
                    }
                }
                dst[c] = sum / by;
            }
        }
    }
}

void f32_avg_pool_backward(const PoolRun& op, int64_t n) {
    const PoolShape& s = op.shape;
    float* diff_src = op.diff_src + n * s.ih * s.iw * s.channels;
    const float* g = op.diff_dst + n * s.oh * s.ow * s.channels;
    if (overlap(s) > kSumTerms) {
        const auto by = [&](int64_t y, int64_t x) {
            return divisor(s, y * s.sh - s.ph, x * s.sw - s.pw);
        };
        gather(
            s, diff_src,
            [&](int64_t y, int64_t x, int64_t, int64_t, int64_t at) {
                return load(g + at) / splat(by(y, x));
            },
            [&](int64_t y, int64_t x, int64_t, int64_t, int64_t at) { return g[at] / by(y, x); });
        return;
    }
    memset(diff_src, 0, sizeof(float) * s.ih * s.iw * s.channels);
    for (int64_t y = 0; y < s.oh; y++) {
        for (int64_t x = 0; x < s.ow; x++, g += s.channels) {
            const int64_t top = y * s.sh - s.ph, left = x * s.sw - s.pw;
            const float by = divisor(s, top, left);
            for (int64_t iy = max_of(top, 0); iy < min_of(top + s.kh, s.ih); iy++) {
                for (int64_t ix = max_of(left, 0); ix < min_of(left + s.kw, s.iw); ix++) {
                    float* to = diff_src + (iy * s.iw + ix) * s.channels;
                    int64_t c = 0;
                    for (; c + kLanes <= s.channels; c += kLanes) {
                        store(to + c, load(to + c) + load(g + c) / splat(by));
                    }
                    for (; c < s.channels; c++) to[c] += g[c] / by;
                }
            }
        }
    }
}

}  // namespace mn::cpu::MN_ISA
