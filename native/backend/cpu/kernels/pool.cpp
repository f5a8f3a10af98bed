// Pooling of NHWC images, a vector of channels at a time. Backward kernels clear the image's
// gradient and add each window's share in the order of the windows, so overlaps are summed in a
// fixed order.

#include "backend/cpu/kernels/image.h"

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

void f32_max_pool_backward(const PoolRun& op, int64_t n) {
    const PoolShape& s = op.shape;
    const int64_t in = s.ih * s.iw * s.channels, out = s.oh * s.ow * s.channels;
    float* diff_src = op.diff_src + n * in;
    memset(diff_src, 0, sizeof(float) * in);
    const float* g = op.diff_dst + n * out;
    const uint8_t* arg = op.saved + n * op.saved_image;
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
    memset(diff_src, 0, sizeof(float) * s.ih * s.iw * s.channels);
    const float* g = op.diff_dst + n * s.oh * s.ow * s.channels;
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
