#include "double_forward.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mn::test {
namespace {

struct Image {
    const double* data;
    int64_t c, h, w;

    double at(int64_t channel, int64_t y, int64_t x) const {
        return data[(channel * h + y) * w + x];
    }
    bool inside(int64_t y, int64_t x) const { return y >= 0 && y < h && x >= 0 && x < w; }
};

double relu(int activation, double x) {
    return activation && x < 0 ? 0 : x;
}

double convolved(const OpCase& c, const Image& src, const DoubleOperands& o, int64_t oc, int64_t oh,
                 int64_t ow) {
    const mn_conv2d_desc& d = c.node.desc.conv2d;
    const int64_t ics = src.c / d.groups, group = oc / (d.out_channels / d.groups);
    double sum = d.bias ? o.param[1][static_cast<size_t>(oc)] : 0;
    for (int64_t ic = 0; ic < ics; ++ic)
        for (int64_t kh = 0; kh < d.kernel_h; ++kh)
            for (int64_t kw = 0; kw < d.kernel_w; ++kw) {
                const int64_t y = oh * d.stride_h - d.pad_top + kh * d.dilation_h;
                const int64_t x = ow * d.stride_w - d.pad_left + kw * d.dilation_w;
                if (!src.inside(y, x)) continue;
                const int64_t at = ((oc * ics + ic) * d.kernel_h + kh) * d.kernel_w + kw;
                sum += o.param[0][static_cast<size_t>(at)] * src.at(group * ics + ic, y, x);
            }
    return relu(c.node.activation, sum);
}

double max_pooled(const mn_pool2d_desc& p, const Image& src, int64_t c, int64_t oh, int64_t ow) {
    double best = -std::numeric_limits<double>::infinity();
    for (int64_t kh = 0; kh < p.kernel_h; ++kh)
        for (int64_t kw = 0; kw < p.kernel_w; ++kw) {
            const int64_t y = oh * p.stride_h - p.pad_h + kh * std::max(p.dilation_h, 1);
            const int64_t x = ow * p.stride_w - p.pad_w + kw * std::max(p.dilation_w, 1);
            if (src.inside(y, x)) best = std::max(best, src.at(c, y, x));
        }
    return best;
}

// Elements in the padding are zeros that may count; elements beyond it are no part of the window.
double avg_pooled(const mn_pool2d_desc& p, const Image& src, int64_t c, int64_t oh, int64_t ow) {
    double sum = 0, divisor = 0;
    for (int64_t kh = 0; kh < p.kernel_h; ++kh)
        for (int64_t kw = 0; kw < p.kernel_w; ++kw) {
            const int64_t y = oh * p.stride_h - p.pad_h + kh, x = ow * p.stride_w - p.pad_w + kw;
            if (src.inside(y, x)) {
                sum += src.at(c, y, x);
                divisor += 1;
            } else if (y < src.h + p.pad_h && x < src.w + p.pad_w && p.count_include_pad) {
                divisor += 1;
            }
        }
    return sum / divisor;
}

double log_sum_exp(const double* x, int64_t count) {
    const double largest = *std::max_element(x, x + count);
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += std::exp(x[i] - largest);
    return std::log(sum) + largest;
}

// The convolution's whole result before pooling.
Doubles convolve(const OpCase& c, const Image& src, const DoubleOperands& o, int64_t oh,
                 int64_t ow) {
    Doubles result;
    for (int64_t oc = 0; oc < c.node.desc.conv2d.out_channels; ++oc)
        for (int64_t y = 0; y < oh; ++y)
            for (int64_t x = 0; x < ow; ++x) result.push_back(convolved(c, src, o, oc, y, x));
    return result;
}

void forward_image(const OpCase& c, const DoubleOperands& o, int64_t n, Doubles& result) {
    const ImageNode& node = c.node;
    const ImageView &s = node.src[0], &t = node.dst;
    const int64_t size = tensor_size(s);
    const Image src = {o.src[0].data() + n * size, s.c, s.h, s.w};
    const auto for_each = [&](auto&& value) {
        for (int64_t channel = 0; channel < t.c; ++channel)
            for (int64_t y = 0; y < t.h; ++y)
                for (int64_t x = 0; x < t.w; ++x) result.push_back(value(channel, y, x));
    };
    switch (node.op) {
        case MN_OP_CONV2D: {
            const mn_conv2d_desc& d = node.desc.conv2d;
            const int64_t oh =
                (s.h + d.pad_top + d.pad_bottom - d.dilation_h * (d.kernel_h - 1) - 1) /
                    d.stride_h +
                1;
            const int64_t ow =
                (s.w + d.pad_left + d.pad_right - d.dilation_w * (d.kernel_w - 1) - 1) /
                    d.stride_w +
                1;
            const Doubles whole = convolve(c, src, o, oh, ow);
            if (!node.has_pool) {
                result.insert(result.end(), whole.begin(), whole.end());
                break;
            }
            const Image image = {whole.data(), d.out_channels, oh, ow};
            for_each([&](int64_t channel, int64_t y, int64_t x) {
                return max_pooled(node.pool, image, channel, y, x);
            });
            break;
        }
        case MN_OP_MAX_POOL2D:
            for_each([&](int64_t channel, int64_t y, int64_t x) {
                return max_pooled(node.desc.pool2d, src, channel, y, x);
            });
            break;
        case MN_OP_AVG_POOL2D:
            for_each([&](int64_t channel, int64_t y, int64_t x) {
                return avg_pooled(node.desc.pool2d, src, channel, y, x);
            });
            break;
        case MN_OP_GLOBAL_AVG_POOL2D:
            for_each([&](int64_t channel, int64_t, int64_t) {
                double sum = 0;
                for (int64_t i = 0; i < s.h * s.w; ++i) sum += src.at(channel, 0, i);
                return sum / static_cast<double>(s.h * s.w);
            });
            break;
        case MN_OP_LINEAR:
            for_each([&](int64_t feature, int64_t, int64_t) {
                double sum = node.desc.linear.bias ? o.param[1][static_cast<size_t>(feature)] : 0;
                for (int64_t i = 0; i < size; ++i)
                    sum += o.param[0][static_cast<size_t>(feature * size + i)] * src.data[i];
                return relu(node.activation, sum);
            });
            break;
        case MN_OP_ACTIVATION:
        case MNB_OP_REORDER:
            for (int64_t i = 0; i < size; ++i)
                result.push_back(relu(node.op == MN_OP_ACTIVATION, src.data[i]));
            break;
        case MNB_OP_SUM:
            for (int64_t i = 0; i < size; ++i)
                result.push_back(src.data[i] + o.src[1][static_cast<size_t>(n * size + i)]);
            break;
        case MN_OP_SOFTMAX:
            for (int64_t i = 0; i < size; ++i)
                result.push_back(std::exp(src.data[i] - log_sum_exp(src.data, size)));
            break;
        case MNB_OP_LABEL_LOSS:
            if (result.empty()) result.push_back(0);
            result[0] += static_cast<double>(node.desc.loss.weight) *
                         (log_sum_exp(src.data, size) - src.data[c.labels[static_cast<size_t>(n)]]);
            break;
    }
}

std::vector<Doubles> widen(const std::vector<Floats>& values) {
    std::vector<Doubles> result;
    for (const Floats& v : values) result.emplace_back(v.begin(), v.end());
    return result;
}

}  // namespace

DoubleOperands::DoubleOperands(const OpCase& op_case)
    : src(widen(op_case.src)), param(widen(op_case.param)) {}

Doubles double_forward(const OpCase& op_case, const DoubleOperands& operands, bool training) {
    if (op_case.oracle) return op_case.oracle(op_case, operands);
    Doubles result;
    if (norm_double_forward(op_case, operands, training, result)) return result;
    if (structure_double_forward(op_case, operands, result)) return result;
    for (int64_t n = 0; n < op_case.count; ++n) forward_image(op_case, operands, n, result);
    return result;
}

}  // namespace mn::test
