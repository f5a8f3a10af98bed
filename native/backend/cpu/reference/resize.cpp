// Padding, enlargement and pooling to a given size. A task is one channel of one image.

#include <vector>

#include "backend/cpu/reference/plane.h"

namespace mn::cpu::reference {
namespace {

// How one row (or column) of the result is made of at most two of the source.
struct Mix {
    int64_t count;
    int64_t from[2];
    double share[2];
};

Mix one(int64_t from) {
    return {1, {from, 0}, {1.0, 0.0}};
}

// Row i of the result of a padding of `size` rows.
Mix padded(int32_t mode, int64_t i, int64_t before, int64_t size) {
    int64_t from = i - before;
    const bool inside = from >= 0 && from < size;
    switch (mode) {
        case MN_PAD_REFLECT:
            if (from < 0) from = -from;
            if (from >= size) from = 2 * (size - 1) - from;
            return one(from);
        case MN_PAD_REPLICATE:
            return one(std::clamp<int64_t>(from, 0, size - 1));
        case MN_PAD_CIRCULAR:
            return one((from + size) % size);
        default:
            return inside ? one(from) : Mix{};
    }
}

Mix enlarged(const mn_upsample_desc& d, int64_t i, int64_t scale, int64_t size) {
    if (d.mode == MN_UPSAMPLE_NEAREST) return one(i / scale);
    // Where row i stands among the source's: corners on corners, or edges on edges.
    const int64_t last = size * scale - 1;
    double at = 0;
    if (!d.align_corners)
        at = std::max((static_cast<double>(i) + 0.5) / static_cast<double>(scale) - 0.5, 0.0);
    else if (last > 0)
        at = static_cast<double>(i * (size - 1)) / static_cast<double>(last);
    const int64_t first = std::min(static_cast<int64_t>(at), size - 1);
    const double share = at - static_cast<double>(first);
    return {2, {first, std::min(first + 1, size - 1)}, {1.0 - share, share}};
}

// Results that mix rows and columns of the source.
class Resize : public PlaneKernel {
public:
    Resize(const Device& device, const ImageNode& node, int direction)
        : PlaneKernel(device, node, direction) {
        const ImageView &src = node_.src[0], &dst = node_.dst;
        for (int64_t h = 0; h < dst.h; ++h)
            rows_.push_back(
                node.op == MN_OP_PAD2D
                    ? padded(node.desc.pad2d.mode, h, node.desc.pad2d.top, src.h)
                    : enlarged(node.desc.upsample, h, node.desc.upsample.scale_h, src.h));
        for (int64_t w = 0; w < dst.w; ++w)
            columns_.push_back(
                node.op == MN_OP_PAD2D
                    ? padded(node.desc.pad2d.mode, w, node.desc.pad2d.left, src.w)
                    : enlarged(node.desc.upsample, w, node.desc.upsample.scale_w, src.w));
    }

private:
    void forward(const mnb_run& run, int64_t n, int64_t c) const override {
        const ImageView &src = node_.src[0], &dst = node_.dst;
        for (int64_t h = 0; h < dst.h; ++h)
            for (int64_t w = 0; w < dst.w; ++w) {
                double sum = 0;
                for_each_part(h, w, [&](int64_t y, int64_t x, double share) {
                    sum += share * static_cast<double>(run.src[0][offset(src, n, c, y, x)]);
                });
                run.dst[offset(dst, n, c, h, w)] = static_cast<float>(sum);
            }
    }

    void backward(const mnb_run& run, int64_t n, int64_t c, double* plane) const override {
        const ImageView& dst = node_.dst;
        for (int64_t h = 0; h < dst.h; ++h)
            for (int64_t w = 0; w < dst.w; ++w) {
                const double gradient = static_cast<double>(run.diff_dst[offset(dst, n, c, h, w)]);
                for_each_part(h, w, [&](int64_t y, int64_t x, double share) {
                    plane[y * node_.src[0].w + x] += share * gradient;
                });
            }
    }

    template <class Body>
    void for_each_part(int64_t h, int64_t w, Body&& body) const {
        const Mix &row = rows_[static_cast<size_t>(h)], &column = columns_[static_cast<size_t>(w)];
        for (int64_t i = 0; i < row.count; ++i)
            for (int64_t j = 0; j < column.count; ++j)
                body(row.from[i], column.from[j], row.share[i] * column.share[j]);
    }

    std::vector<Mix> rows_, columns_;
};

// The rows or columns of the source that output i of `outputs` covers; neighbours may overlap.
struct Span {
    int64_t first, last;

    Span(int64_t i, int64_t size, int64_t outputs)
        : first(i * size / outputs), last(divide_up((i + 1) * size, outputs)) {}
    int64_t count() const { return last - first; }
};

class AdaptiveAvgPool : public PlaneKernel {
public:
    using PlaneKernel::PlaneKernel;

private:
    void forward(const mnb_run& run, int64_t n, int64_t c) const override {
        const ImageView &src = node_.src[0], &dst = node_.dst;
        for (int64_t h = 0; h < dst.h; ++h)
            for (int64_t w = 0; w < dst.w; ++w) {
                const Span rows(h, src.h, dst.h), columns(w, src.w, dst.w);
                double sum = 0;
                for (int64_t y = rows.first; y < rows.last; ++y)
                    for (int64_t x = columns.first; x < columns.last; ++x)
                        sum += static_cast<double>(run.src[0][offset(src, n, c, y, x)]);
                run.dst[offset(dst, n, c, h, w)] =
                    static_cast<float>(sum / static_cast<double>(rows.count() * columns.count()));
            }
    }

    void backward(const mnb_run& run, int64_t n, int64_t c, double* plane) const override {
        const ImageView &src = node_.src[0], &dst = node_.dst;
        for (int64_t h = 0; h < dst.h; ++h)
            for (int64_t w = 0; w < dst.w; ++w) {
                const Span rows(h, src.h, dst.h), columns(w, src.w, dst.w);
                const double share = static_cast<double>(run.diff_dst[offset(dst, n, c, h, w)]) /
                                     static_cast<double>(rows.count() * columns.count());
                for (int64_t y = rows.first; y < rows.last; ++y)
                    for (int64_t x = columns.first; x < columns.last; ++x)
                        plane[y * src.w + x] += share;
            }
    }
};

// Saves for each result which element of the source's plane it took: the first of equals, or a NaN.
class AdaptiveMaxPool : public PlaneKernel {
public:
    using PlaneKernel::PlaneKernel;

private:
    void forward(const mnb_run& run, int64_t n, int64_t c) const override {
        const ImageView &src = node_.src[0], &dst = node_.dst;
        for (int64_t h = 0; h < dst.h; ++h)
            for (int64_t w = 0; w < dst.w; ++w) {
                const Span rows(h, src.h, dst.h), columns(w, src.w, dst.w);
                int64_t best_at = -1;
                float best = 0;
                for (int64_t y = rows.first; y < rows.last; ++y)
                    for (int64_t x = columns.first; x < columns.last; ++x) {
                        const float value = run.src[0][offset(src, n, c, y, x)];
                        if (best_at >= 0 && !(value > best) && !std::isnan(value)) continue;
                        best = value;
                        best_at = y * src.w + x;
                    }
                run.dst[offset(dst, n, c, h, w)] = best;
                if (direction_ == MNB_FORWARD_TRAINING)
                    static_cast<int32_t*>(run.saved)[dense_index(dst, n, c, h, w)] =
                        static_cast<int32_t>(best_at);
            }
    }

    void backward(const mnb_run& run, int64_t n, int64_t c, double* plane) const override {
        const ImageView& dst = node_.dst;
        for (int64_t h = 0; h < dst.h; ++h)
            for (int64_t w = 0; w < dst.w; ++w)
                plane[static_cast<const int32_t*>(run.saved)[dense_index(dst, n, c, h, w)]] +=
                    static_cast<double>(run.diff_dst[offset(dst, n, c, h, w)]);
    }
};

bool plane_query(const Device& device, const ImageNode& node, int direction, mnb_support& support) {
    take_layouts(node, support);
    support.workspace_bytes = PlaneKernel::scratch(device, node, direction).bytes();
    return true;
}

}  // namespace

bool pad2d_query(const Device& device, const ImageNode& node, int direction, mnb_support& support) {
    return plane_query(device, node, direction, support);
}

std::unique_ptr<Kernel> pad2d_create(const Device& device, const ImageNode& node, int direction) {
    return std::make_unique<Resize>(device, node, direction);
}

bool upsample_query(const Device& device, const ImageNode& node, int direction,
                    mnb_support& support) {
    return plane_query(device, node, direction, support);
}

std::unique_ptr<Kernel> upsample_create(const Device& device, const ImageNode& node,
                                        int direction) {
    return std::make_unique<Resize>(device, node, direction);
}

bool adaptive_avg_pool2d_query(const Device& device, const ImageNode& node, int direction,
                               mnb_support& support) {
    return plane_query(device, node, direction, support);
}

std::unique_ptr<Kernel> adaptive_avg_pool2d_create(const Device& device, const ImageNode& node,
                                                   int direction) {
    return std::make_unique<AdaptiveAvgPool>(device, node, direction);
}

bool adaptive_max_pool2d_query(const Device& device, const ImageNode& node, int direction,
                               mnb_support& support) {
    if (!plane_query(device, node, direction, support)) return false;
    if (direction != MNB_FORWARD_INFERENCE)
        support.saved_bytes = feature_count(node.dst) * static_cast<int64_t>(sizeof(int32_t));
    support.backward_needs = MNB_NEEDS_SAVED;
    return true;
}

std::unique_ptr<Kernel> adaptive_max_pool2d_create(const Device& device, const ImageNode& node,
                                                   int direction) {
    return std::make_unique<AdaptiveMaxPool>(device, node, direction);
}

}  // namespace mn::cpu::reference
