// Addressing and small pieces that the reference kernels share.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "backend/cpu/reference/reference.h"

namespace mn::cpu::reference {

inline int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

inline int64_t offset(const ImageView& t, int64_t n, int64_t c, int64_t h, int64_t w) {
    return n * t.sn + c * t.sc + h * t.sh + w * t.sw;
}

inline int64_t feature_count(const ImageView& t) {
    return t.c * t.h * t.w;
}

inline int64_t feature_offset(const ImageView& t, int64_t n, int64_t feature) {
    const int64_t area = t.h * t.w;
    return offset(t, n, feature / area, feature % area / t.w, feature % t.w);
}

// Place of an element in a dense tensor of that shape and layout, whatever the strides: where
// saved state of an output element stands.
inline int64_t dense_index(const ImageView& t, int64_t n, int64_t c, int64_t h, int64_t w) {
    return t.layout == MNB_NHWC ? ((n * t.h + h) * t.w + w) * t.c + c
                                : ((n * t.c + c) * t.h + h) * t.w + w;
}

inline int64_t param_offset(const WeightView& p, int64_t o, int64_t i, int64_t h, int64_t w) {
    if (p.layout == MNB_PARAM_PANEL16)
        return (((o / MNB_PANEL * p.h + h) * p.w + w) * p.i + i) * MNB_PANEL + o % MNB_PANEL;
    return ((o * p.i + i) * p.h + h) * p.w + w;
}

// Sets or adds one element of a gradient.
inline void write_gradient(float& gradient, double value, int32_t accumulate) {
    gradient = (accumulate ? gradient : 0.0f) + static_cast<float>(value);
}

// The padding of whole panels has no gradient.
inline void clear_padding(const WeightView& p, float* gradient) {
    if (p.layout != MNB_PARAM_PANEL16) return;
    for (int64_t o = p.o; o % MNB_PANEL != 0; ++o)
        for (int64_t i = 0; i < p.i; ++i)
            for (int64_t h = 0; h < p.h; ++h)
                for (int64_t w = 0; w < p.w; ++w) gradient[param_offset(p, o, i, h, w)] = 0.0f;
}

inline float activate(int32_t activation, float x) {
    return activation == MN_ACTIVATION_RELU && x < 0.0f ? 0.0f : x;
}

// Whether the gradient passes an activation whose result is y.
inline bool passes(int32_t activation, float y) {
    return !(activation == MN_ACTIVATION_RELU && y <= 0.0f);
}

// Any layout will do.
inline void take_layouts(const ImageNode& node, mnb_support& support) {
    support.src_layout = node.source_count > 0 ? node.src[0].layout : node.dst.layout;
    support.dst_layout = support.src_layout;
    for (int i = 0; i < node.param_count; ++i)
        support.param_layout[i] =
            node.param[i].layout == MNB_PARAM_ANY ? MNB_PARAM_PLAIN : node.param[i].layout;
}

// Scratch memory of a run, one equal part for each worker.
class Scratch {
public:
    Scratch() = default;
    Scratch(const Device& device, int64_t doubles)
        : part_(divide_up(doubles, 8) * 8), bytes_(part_ * 8 * device.pool.threads()) {}

    int64_t bytes() const { return bytes_; }
    double* of(const mnb_run& run, int worker) const {
        return static_cast<double*>(run.workspace) + worker * part_;
    }

private:
    int64_t part_ = 0;
    int64_t bytes_ = 0;
};

// Which element of its window each output of a max pooling took.
class Argmax {
public:
    Argmax(const mn_pool2d_desc& pool, void* saved)
        : saved_(saved), small_(fits_byte(pool)), kernel_w_(pool.kernel_w) {}

    static bool fits_byte(const mn_pool2d_desc& pool) {
        return int64_t{pool.kernel_h} * pool.kernel_w <= 255;
    }
    static int64_t bytes(const mn_pool2d_desc& pool, const ImageView& dst) {
        return dst.c * dst.h * dst.w * (fits_byte(pool) ? 1 : 4);
    }

    void set(int64_t index, int64_t kh, int64_t kw) const {
        const int64_t element = kh < 0 ? -1 : kh * kernel_w_ + kw;
        if (small_)
            static_cast<uint8_t*>(saved_)[index] = static_cast<uint8_t>(element);
        else
            static_cast<int32_t*>(saved_)[index] = static_cast<int32_t>(element);
    }
    // A window with dilation may have no element in the image.
    bool none(int64_t index) const { return get(index) == (small_ ? 255 : -1); }
    int64_t kh(int64_t index) const { return get(index) / kernel_w_; }
    int64_t kw(int64_t index) const { return get(index) % kernel_w_; }

private:
    int64_t get(int64_t index) const {
        return small_ ? static_cast<const uint8_t*>(saved_)[index]
                      : static_cast<const int32_t*>(saved_)[index];
    }

    void* saved_;
    bool small_;
    int64_t kernel_w_;
};

// Where element kh or kw of a pooling window stands. Zero stands for a dilation of one.
inline int64_t window_row(const mn_pool2d_desc& p, int64_t oh, int64_t kh) {
    return oh * p.stride_h - p.pad_h + kh * (p.dilation_h > 1 ? p.dilation_h : 1);
}

inline int64_t window_column(const mn_pool2d_desc& p, int64_t ow, int64_t kw) {
    return ow * p.stride_w - p.pad_w + kw * (p.dilation_w > 1 ? p.dilation_w : 1);
}

struct Maximum {
    float value;
    int64_t kh, kw;
};

// The largest element of the window of output (oh, ow) in an image of height x width; read(h, w)
// gives an element. A NaN counts as larger than all before it, as in PyTorch.
template <class Read>
Maximum max_of_window(const mn_pool2d_desc& p, int64_t height, int64_t width, int64_t oh,
                      int64_t ow, Read&& read) {
    Maximum best = {-std::numeric_limits<float>::infinity(), -1, -1};
    for (int64_t kh = 0; kh < p.kernel_h; ++kh) {
        const int64_t h = window_row(p, oh, kh);
        if (h < 0 || h >= height) continue;
        for (int64_t kw = 0; kw < p.kernel_w; ++kw) {
            const int64_t w = window_column(p, ow, kw);
            if (w < 0 || w >= width) continue;
            const float value = read(h, w);
            if (best.kh < 0 || value > best.value || std::isnan(value)) best = {value, kh, kw};
        }
    }
    return best;
}

}  // namespace mn::cpu::reference
