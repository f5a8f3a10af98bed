#include "backend/cpu/kernels/image.h"

namespace mn::cpu::MN_ISA {

namespace {

Vec copy_and_look(const float* from, int64_t count, float* to, Vec seen) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        const Vec v = load(from + i);
        seen += v * 0.0f;
        store(to + i, v);
    }
    if (i < count && count >= kLanes) {
        const Vec v = load(from + count - kLanes);
        seen += v * 0.0f;
        store(to + count - kLanes, v);
        return seen;
    }
    for (; i < count; i++) {
        seen[0] += from[i] * 0.0f;
        to[i] = from[i];
    }
    return seen;
}

}  // namespace

Vec look_at(const float* values, int64_t count, Vec seen) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) seen += load(values + i) * 0.0f;
    for (; i < count; i++) seen[0] += values[i] * 0.0f;
    return seen;
}

void copy_with_border(const ImageView& view, int64_t padded, int64_t y0, int64_t y1, int64_t x0,
                      int64_t x1, float* out, Vec* seen) {
    const int64_t left = min_of(max_of(-x0, 0), x1 - x0);
    const int64_t right = max_of(min_of(x1, view.w), x0 + left);  // end of the columns that exist
    const int64_t inside = right - (x0 + left), channels = view.channels;
    for (int64_t y = y0; y < y1; y++, out += (x1 - x0) * padded) {
        if (y < 0 || y >= view.h) {
            memset(out, 0, sizeof(float) * (x1 - x0) * padded);
            continue;
        }
        const float* from = view.image + (y * view.w + x0 + left) * view.pixel;
        float* to = out + left * padded;
        memset(out, 0, sizeof(float) * left * padded);
        if (padded == view.pixel && channels == view.pixel && seen) {
            *seen = copy_and_look(from, inside * channels, to, *seen);
        } else if (padded == view.pixel && channels == view.pixel) {
            memcpy(to, from, sizeof(float) * inside * channels);
        } else {
            for (int64_t x = 0; x < inside; x++, from += view.pixel) {
                float* pixel = to + x * padded;
                int64_t c = 0;
                for (; c + kLanes <= channels; c += kLanes) store(pixel + c, load(from + c));
                for (; c < channels; c++) pixel[c] = from[c];
                for (; c < padded; c++) pixel[c] = 0.0f;
            }
        }
        memset(to + inside * padded, 0, sizeof(float) * (x1 - right) * padded);
    }
}

const float* source_strip(const ConvShape& s, const float* image, int64_t y0, int64_t y1,
                          bool in_place, int64_t pixel, float* scratch) {
    const int64_t top = y0 * s.sh - s.pt;
    if (in_place) return image + (top * s.iw - s.pl) * s.ic;
    const int64_t bottom = (y1 - 1) * s.sh - s.pt + (s.kh - 1) * s.dh + 1;
    const int64_t right = (s.ow - 1) * s.sw - s.pl + (s.kw - 1) * s.dw + 1;
    copy_with_border({image, s.ih, s.iw, s.ic, s.ic}, pixel, top, bottom, -s.pl, right, scratch);
    return scratch;
}

int64_t strip_width(const ConvShape& s, bool in_place) {
    return in_place ? s.iw : (s.ow - 1) * s.sw + (s.kw - 1) * s.dw + 1;
}

namespace {

struct Window {
    int64_t y0, y1, x0, x1;  // the part of it inside the image
    int64_t first;           // number of its first element
};

MN_INLINE Window window_of(const PoolShape& p, int64_t y, int64_t x) {
    const int64_t top = y * p.sh - p.ph, left = x * p.sw - p.pw;
    Window window;
    window.y0 = max_of(top, 0);
    window.y1 = min_of(top + p.kh, p.ih);
    window.x0 = max_of(left, 0);
    window.x1 = min_of(left + p.kw, p.iw);
    window.first = (window.y0 - top) * p.kw + window.x0 - left;
    return window;
}

}  // namespace

void max_pool_rows(const PoolShape& pool, const float* in, int64_t in_row, int64_t in_pixel,
                   int64_t row, int64_t out_rows, int64_t channels, bool relu_after, float* out,
                   uint8_t* arg, int64_t out_pixel) {
    for (int64_t y = row; y < row + out_rows; y++) {
        for (int64_t x = 0; x < pool.ow; x++) {
            const Window window = window_of(pool, y, x);
            for (int64_t c = 0; c < channels; c += kLanes) {
                Vec best = splat(-__builtin_inff());
                IntVec best_at = splat_int(static_cast<int32_t>(window.first));
                int64_t line = window.first;
                for (int64_t iy = window.y0; iy < window.y1; iy++, line += pool.kw) {
                    const float* p = in + ((iy - in_row) * pool.iw + window.x0) * in_pixel + c;
                    for (int64_t i = 0; i < window.x1 - window.x0; i++, p += in_pixel) {
                        const Vec v = load(p);
                        const IntVec wins = (v > best) | (v != v);
                        best = wins ? v : best;
                        best_at = wins ? splat_int(static_cast<int32_t>(line + i)) : best_at;
                    }
                }
                if (relu_after) best = relu(best);
                if (c + kLanes <= channels) {
                    store(out + c, best);
                    if (arg) store_bytes(arg + c, best_at);
                } else {
                    for (int64_t i = 0; c + i < channels; i++) {
                        out[c + i] = best[i];
                        if (arg) arg[c + i] = static_cast<uint8_t>(best_at[i]);
                    }
                }
            }
            out += out_pixel;
            if (arg) arg += out_pixel;
        }
    }
}

namespace {

// Copies gradients, zero where the activation was not active.
MN_INLINE void masked_copy(const float* gradient, const float* value, int64_t count, float* out) {
    int64_t c = 0;
    for (; c + kLanes <= count; c += kLanes) {
        const Vec g = load(gradient + c);
        store(out + c, value ? (load(value + c) <= Vec{} ? Vec{} : g) : g);
    }
    for (; c < count; c++) out[c] = value && value[c] <= 0.0f ? 0.0f : gradient[c];
}

MN_INLINE void clear(float* out, int64_t count) {
    memset(out, 0, sizeof(float) * count);
}

}  // namespace

void gradient_before_pool(const ConvBackward& op, int64_t n, int64_t y0, int64_t y1, int64_t x0,
                          int64_t x1, int64_t c0, int64_t channels, int64_t padded, float* out) {
    const ConvShape& s = op.shape;
    const int64_t width = x1 - x0;
    const int64_t left = max_of(x0, 0), right = min_of(x1, s.ow);
    const int64_t top = max_of(y0, 0), bottom = min_of(y1, s.oh);
    if (!s.has_pool) {
        const int64_t inside = max_of(right - left, 0);
        for (int64_t y = y0; y < y1; y++, out += width * padded) {
            if (y < 0 || y >= s.oh || inside == 0) {
                clear(out, width * padded);
                continue;
            }
            const int64_t at = ((n * s.oh + y) * s.ow + left) * s.oc + c0;
            const float* gradient = op.diff_dst + at;
            const float* value = s.relu ? op.dst + at : nullptr;
            float* to = out + (left - x0) * padded;
            clear(out, (left - x0) * padded);
            clear(to + inside * padded, (x1 - right) * padded);
            if (padded == s.oc) {  // hence all channels: pixels follow each other
                masked_copy(gradient, value, inside * padded, to);
                continue;
            }
            for (int64_t x = 0; x < inside; x++, to += padded) {
                masked_copy(gradient + x * s.oc, value ? value + x * s.oc : nullptr, channels, to);
                clear(to + channels, padded - channels);
            }
        }
        return;
    }
    clear(out, (y1 - y0) * width * padded);
    const PoolShape& pool = s.pool;
    const int64_t first = max_of(floor_div(top + pool.ph - pool.kh, pool.sh) + 1, 0);
    for (int64_t py = first; py < pool.oh && py * pool.sh - pool.ph < bottom; py++) {
        for (int64_t px = 0; px < pool.ow; px++) {
            const Window window = window_of(pool, py, px);
            const int64_t pixel = py * pool.ow + px;
            const int64_t at = (n * pool.oh * pool.ow + pixel) * s.oc + c0;
            const float* gradient = op.diff_dst + at;
            const float* value = op.dst + at;
            const uint8_t* arg = op.saved + n * op.saved_image + pixel * s.oc + c0;
            int64_t line = window.first;
            for (int64_t y = window.y0; y < window.y1; y++, line += pool.kw) {
                if (y < top || y >= bottom) continue;
                for (int64_t x = max_of(window.x0, left); x < min_of(window.x1, right); x++) {
                    const int32_t q = static_cast<int32_t>(line + x - window.x0);
                    float* to = out + ((y - y0) * width + x - x0) * padded;
                    int64_t c = 0;
                    for (; c + kLanes <= channels; c += kLanes) {
                        IntVec takes = load_bytes(arg + c) == splat_int(q);
                        if (s.relu) takes &= ~(load(value + c) <= Vec{});
                        const Vec g = takes ? load(gradient + c) : Vec{};
                        store(to + c, load(to + c) + g);
                    }
                    for (; c < channels; c++) {
                        if (arg[c] == q && !(s.relu && value[c] <= 0.0f)) to[c] += gradient[c];
                    }
                }
            }
        }
    }
}

}  // namespace mn::cpu::MN_ISA
