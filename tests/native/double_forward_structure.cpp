// The ops of op_cases_structure.cpp in double precision: each result is gathered by the op's
// definition in mnistnative.h.

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "double_forward.h"

namespace mn::test {
namespace {

// One image's operands.
struct Sources {
    const OpCase& op_case;
    const DoubleOperands& operands;
    int64_t n;

    const ImageView& tensor(int s = 0) const { return op_case.node.src[s]; }
    double at(int64_t index, int s = 0) const {
        return operands
            .src[static_cast<size_t>(s)][static_cast<size_t>(n * tensor_size(tensor(s)) + index)];
    }
    double at(int64_t c, int64_t y, int64_t x, int s = 0) const {
        return at((c * tensor(s).h + y) * tensor(s).w + x, s);
    }
    double param(int64_t index, int p = 0) const {
        return operands.param[static_cast<size_t>(p)][static_cast<size_t>(index)];
    }
};

double conv_transposed(const Sources& o, int64_t oc, int64_t oy, int64_t ox) {
    const mn_conv_transpose2d_desc& d = o.op_case.node.desc.conv_transpose2d;
    const ImageView& src = o.tensor();
    const int64_t ics = src.c / d.groups, ocs = d.out_channels / d.groups, group = oc / ocs;
    double sum = d.bias ? o.param(oc, 1) : 0;
    for (int64_t ic = group * ics; ic < (group + 1) * ics; ++ic)
        for (int64_t y = 0; y < src.h; ++y)
            for (int64_t x = 0; x < src.w; ++x) {
                // Which element of the kernel takes this pixel there.
                const int64_t down = oy + d.pad_h - y * d.stride_h;
                const int64_t across = ox + d.pad_w - x * d.stride_w;
                if (down < 0 || across < 0 || down % d.dilation_h || across % d.dilation_w)
                    continue;
                const int64_t kh = down / d.dilation_h, kw = across / d.dilation_w;
                if (kh >= d.kernel_h || kw >= d.kernel_w) continue;
                sum += o.at(ic, y, x) *
                       o.param(((ic * ocs + oc % ocs) * d.kernel_h + kh) * d.kernel_w + kw);
            }
    return sum;
}

// Where a padding takes a row from; -1: nowhere.
int64_t padded_from(int mode, int64_t i, int64_t size) {
    if (i >= 0 && i < size) return i;
    switch (mode) {
        case MN_PAD_REFLECT:
            return i < 0 ? -i : 2 * size - 2 - i;
        case MN_PAD_REPLICATE:
            return i < 0 ? 0 : size - 1;
        case MN_PAD_CIRCULAR:
            return i < 0 ? i + size : i - size;
        default:
            return -1;
    }
}

double padded(const Sources& o, int64_t c, int64_t oy, int64_t ox) {
    const mn_pad2d_desc& d = o.op_case.node.desc.pad2d;
    const int64_t y = padded_from(d.mode, oy - d.top, o.tensor().h);
    const int64_t x = padded_from(d.mode, ox - d.left, o.tensor().w);
    return y < 0 || x < 0 ? 0 : o.at(c, y, x);
}

double adaptively_pooled(const Sources& o, int64_t c, int64_t oy, int64_t ox) {
    const ImageView &src = o.tensor(), &dst = o.op_case.node.dst;
    const auto first = [](int64_t i, int64_t size, int64_t outputs) {
        return static_cast<int64_t>(std::floor(static_cast<double>(i) * static_cast<double>(size) /
                                               static_cast<double>(outputs)));
    };
    const auto last = [](int64_t i, int64_t size, int64_t outputs) {
        return static_cast<int64_t>(std::ceil(
            static_cast<double>(i + 1) * static_cast<double>(size) / static_cast<double>(outputs)));
    };
    double sum = 0, count = 0, largest = -std::numeric_limits<double>::infinity();
    for (int64_t y = first(oy, src.h, dst.h); y < last(oy, src.h, dst.h); ++y)
        for (int64_t x = first(ox, src.w, dst.w); x < last(ox, src.w, dst.w); ++x) {
            sum += o.at(c, y, x);
            count += 1;
            largest = std::max(largest, o.at(c, y, x));
        }
    return o.op_case.node.op == MN_OP_ADAPTIVE_AVG_POOL2D ? sum / count : largest;
}

// The value of the last window whose maximum stands there.
double unpooled(const Sources& o, int64_t c, int64_t oy, int64_t ox) {
    const mn_pool2d_desc& d = o.op_case.node.desc.pool2d;
    const ImageView &values = o.tensor(0), &image = o.tensor(1);
    const auto is_maximum = [&](int64_t top, int64_t left) {
        if (oy < top || oy >= top + d.kernel_h || ox < left || ox >= left + d.kernel_w)
            return false;
        for (int64_t y = std::max<int64_t>(top, 0); y < std::min(top + d.kernel_h, image.h); ++y)
            for (int64_t x = std::max<int64_t>(left, 0); x < std::min(left + d.kernel_w, image.w);
                 ++x)
                if (o.at(c, y, x, 1) > o.at(c, oy, ox, 1)) return false;
        return true;
    };
    for (int64_t h = values.h - 1; h >= 0; --h)
        for (int64_t w = values.w - 1; w >= 0; --w)
            if (is_maximum(h * d.stride_h - d.pad_h, w * d.stride_w - d.pad_w))
                return o.at(c, h, w, 0);
    return 0;
}

// PyTorch's source coordinate of row i.
double coordinate(const mn_upsample_desc& d, int64_t i, int64_t size, int64_t scale) {
    if (d.align_corners)
        return size * scale == 1 ? 0
                                 : static_cast<double>(i) * static_cast<double>(size - 1) /
                                       static_cast<double>(size * scale - 1);
    return std::max(0.0, (static_cast<double>(i) + 0.5) * (1.0 / static_cast<double>(scale)) - 0.5);
}

double upsampled(const Sources& o, int64_t c, int64_t oy, int64_t ox) {
    const mn_upsample_desc& d = o.op_case.node.desc.upsample;
    const ImageView& src = o.tensor();
    if (d.mode == MN_UPSAMPLE_NEAREST) return o.at(c, oy / d.scale_h, ox / d.scale_w);
    const double y = coordinate(d, oy, src.h, d.scale_h), x = coordinate(d, ox, src.w, d.scale_w);
    double sum = 0;
    // Each pixel's weight falls linearly with its distance; beyond the edge, the edge goes on.
    for (int64_t i = 0; i <= src.h; ++i)
        for (int64_t j = 0; j <= src.w; ++j)
            sum += std::max(0.0, 1 - std::abs(y - static_cast<double>(i))) *
                   std::max(0.0, 1 - std::abs(x - static_cast<double>(j))) *
                   o.at(c, std::min(i, src.h - 1), std::min(j, src.w - 1));
    return sum;
}

double combined(const Sources& o, int64_t index, int64_t c) {
    const double a = o.at(index, 0);
    const double b = o.at(tensor_size(o.tensor(1)) == tensor_size(o.tensor(0)) ? index : c, 1);
    switch (o.op_case.node.desc.binary.kind) {
        case MN_BINARY_ADD:
            return a + b;
        case MN_BINARY_SUBTRACT:
            return a - b;
        default:
            return a * b;
    }
}

double concatenated(const Sources& o, int64_t index) {
    int s = 0;
    for (; index >= tensor_size(o.tensor(s)); ++s) index -= tensor_size(o.tensor(s));
    return o.at(index, s);
}

double shuffled(const Sources& o, int64_t c, int64_t y, int64_t x) {
    const int64_t groups = o.op_case.node.desc.channel_shuffle.groups;
    const int64_t each = o.tensor().c / groups;
    // [groups][each] transposed is [each][groups].
    for (int64_t group = 0; group < groups; ++group)
        for (int64_t i = 0; i < each; ++i)
            if (i * groups + group == c) return o.at(group * each + i, y, x);
    return 0;
}

}  // namespace

bool structure_double_forward(const OpCase& op_case, const DoubleOperands& operands,
                              Doubles& result) {
    const ImageNode& node = op_case.node;
    // The element at channel c, row y and column x, which is the index-th of an image's result.
    std::function<double(const Sources&, int64_t c, int64_t y, int64_t x, int64_t index)> element;
    const auto by_place = [&](auto function) {
        element = [function](const Sources& o, int64_t c, int64_t y, int64_t x, int64_t) {
            return function(o, c, y, x);
        };
    };
    switch (node.op) {
        case MN_OP_CONV_TRANSPOSE2D:
            by_place(conv_transposed);
            break;
        case MN_OP_PAD2D:
            by_place(padded);
            break;
        case MN_OP_MAX_UNPOOL2D:
            by_place(unpooled);
            break;
        case MN_OP_ADAPTIVE_AVG_POOL2D:
        case MN_OP_ADAPTIVE_MAX_POOL2D:
            by_place(adaptively_pooled);
            break;
        case MN_OP_UPSAMPLE:
            by_place(upsampled);
            break;
        case MN_OP_CHANNEL_SHUFFLE:
            by_place(shuffled);
            break;
        case MN_OP_BINARY:
            element = [](const Sources& o, int64_t c, int64_t, int64_t, int64_t index) {
                return combined(o, index, c);
            };
            break;
        case MN_OP_CONCAT:
            element = [](const Sources& o, int64_t, int64_t, int64_t, int64_t index) {
                return concatenated(o, index);
            };
            break;
        case MN_OP_SLICE:
            by_place([](const Sources& o, int64_t c, int64_t y, int64_t x) {
                return o.at(o.op_case.node.desc.slice.first + c, y, x);
            });
            break;
        case MN_OP_SCALE:
            by_place([](const Sources& o, int64_t c, int64_t y, int64_t x) {
                return o.at(c, y, x) * o.param(c);
            });
            break;
        case MN_OP_EMBEDDING:
            by_place([](const Sources& o, int64_t d, int64_t, int64_t l) {
                const int64_t word = std::lround(o.at(l));
                return o.param(word * o.op_case.node.desc.embedding.features + d);
            });
            break;
        default:
            return false;
    }
    const ImageView& dst = node.dst;
    for (int64_t n = 0; n < op_case.count; ++n) {
        const Sources sources = {op_case, operands, n};
        int64_t index = 0;
        for (int64_t c = 0; c < dst.c; ++c)
            for (int64_t y = 0; y < dst.h; ++y)
                for (int64_t x = 0; x < dst.w; ++x)
                    result.push_back(element(sources, c, y, x, index++));
    }
    return true;
}

}  // namespace mn::test
