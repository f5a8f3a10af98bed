// Max, average and global average pooling, with PyTorch's rules for padding and divisors. A task is
// one channel of one image. Max unpooling is here too: it asks the same windows.

#include "backend/cpu/reference/plane.h"

namespace mn::cpu::reference {
namespace {

class PoolKernel : public PlaneKernel {
public:
    PoolKernel(const Device& device, const ImageNode& node, int direction)
        : PlaneKernel(device, node, direction), pool_(node_.desc.pool2d) {}

protected:
    const mn_pool2d_desc& pool_;
};

class MaxPool : public PoolKernel {
public:
    using PoolKernel::PoolKernel;

private:
    void forward(const mnb_run& run, int64_t n, int64_t c) const override {
        const ImageView &src = node_.src[0], &dst = node_.dst;
        const Argmax argmax(pool_, run.saved);
        for (int64_t h = 0; h < dst.h; ++h)
            for (int64_t w = 0; w < dst.w; ++w) {
                const Maximum best = max_of_window(
                    pool_, src.h, src.w, h, w,
                    [&](int64_t y, int64_t x) { return run.src[0][offset(src, n, c, y, x)]; });
                run.dst[offset(dst, n, c, h, w)] = best.value;
                if (direction_ == MNB_FORWARD_TRAINING)
                    argmax.set(dense_index(dst, n, c, h, w), best.kh, best.kw);
            }
    }

    void backward(const mnb_run& run, int64_t n, int64_t c, double* plane) const override {
        const ImageView &src = node_.src[0], &dst = node_.dst;
        const Argmax argmax(pool_, run.saved);
        for (int64_t h = 0; h < dst.h; ++h)
            for (int64_t w = 0; w < dst.w; ++w) {
                const int64_t index = dense_index(dst, n, c, h, w);
                if (argmax.none(index)) continue;
                const int64_t y = window_row(pool_, h, argmax.kh(index));
                const int64_t x = window_column(pool_, w, argmax.kw(index));
                plane[y * src.w + x] += static_cast<double>(run.diff_dst[offset(dst, n, c, h, w)]);
            }
    }
};

// The sources are the values, the pooling's source and the pooling's result. Where windows overlap
// the last one's value stays, and all of them get the gradient, as in PyTorch.
class MaxUnpool : public PlaneKernel {
public:
    using PlaneKernel::PlaneKernel;

private:
    void forward(const mnb_run& run, int64_t n, int64_t c) const override {
        const ImageView& dst = node_.dst;
        for (int64_t y = 0; y < dst.h; ++y)
            for (int64_t x = 0; x < dst.w; ++x) run.dst[offset(dst, n, c, y, x)] = 0.0f;
        for_each_maximum(run, n, c, [&](int64_t h, int64_t w, int64_t y, int64_t x) {
            run.dst[offset(dst, n, c, y, x)] = run.src[0][offset(node_.src[0], n, c, h, w)];
        });
    }

    void backward(const mnb_run& run, int64_t n, int64_t c, double* plane) const override {
        for_each_maximum(run, n, c, [&](int64_t h, int64_t w, int64_t y, int64_t x) {
            plane[h * node_.src[0].w + w] =
                static_cast<double>(run.diff_dst[offset(node_.dst, n, c, y, x)]);
        });
    }

    // Calls body with each pooled place and that of its maximum.
    template <class Body>
    void for_each_maximum(const mnb_run& run, int64_t n, int64_t c, Body&& body) const {
        const ImageView &values = node_.src[0], &image = node_.src[1];
        const mn_pool2d_desc& pool = node_.desc.pool2d;
        for (int64_t h = 0; h < values.h; ++h)
            for (int64_t w = 0; w < values.w; ++w) {
                const Maximum best = max_of_window(
                    pool, image.h, image.w, h, w,
                    [&](int64_t y, int64_t x) { return run.src[1][offset(image, n, c, y, x)]; });
                if (best.kh < 0) continue;
                body(h, w, window_row(pool, h, best.kh), window_column(pool, w, best.kw));
            }
    }
};

// The part of an average's window that lies in the image, and what the sum is divided by: the
// window may reach into the padding, which counts if the node says so, but not beyond it.
struct Window {
    int64_t top, bottom, left, right;
    double divisor;

    Window(const mn_pool2d_desc& p, const ImageView& src, int64_t oh, int64_t ow) {
        top = oh * p.stride_h - p.pad_h;
        left = ow * p.stride_w - p.pad_w;
        bottom = std::min<int64_t>(top + p.kernel_h, src.h + p.pad_h);
        right = std::min<int64_t>(left + p.kernel_w, src.w + p.pad_w);
        const int64_t with_padding = (bottom - top) * (right - left);
        top = std::max<int64_t>(top, 0);
        left = std::max<int64_t>(left, 0);
        bottom = std::min(bottom, src.h);
        right = std::min(right, src.w);
        divisor = static_cast<double>(p.count_include_pad ? with_padding
                                                          : (bottom - top) * (right - left));
    }
};

class AvgPool : public PoolKernel {
public:
    using PoolKernel::PoolKernel;

private:
    void forward(const mnb_run& run, int64_t n, int64_t c) const override {
        const ImageView &src = node_.src[0], &dst = node_.dst;
        for (int64_t h = 0; h < dst.h; ++h)
            for (int64_t w = 0; w < dst.w; ++w) {
                const Window window(pool_, src, h, w);
                double sum = 0;
                for (int64_t y = window.top; y < window.bottom; ++y)
                    for (int64_t x = window.left; x < window.right; ++x)
                        sum += static_cast<double>(run.src[0][offset(src, n, c, y, x)]);
                run.dst[offset(dst, n, c, h, w)] = static_cast<float>(sum / window.divisor);
            }
    }

    void backward(const mnb_run& run, int64_t n, int64_t c, double* plane) const override {
        const ImageView &src = node_.src[0], &dst = node_.dst;
        for (int64_t h = 0; h < dst.h; ++h)
            for (int64_t w = 0; w < dst.w; ++w) {
                const Window window(pool_, src, h, w);
                const double share =
                    static_cast<double>(run.diff_dst[offset(dst, n, c, h, w)]) / window.divisor;
                for (int64_t y = window.top; y < window.bottom; ++y)
                    for (int64_t x = window.left; x < window.right; ++x)
                        plane[y * src.w + x] += share;
            }
    }
};

class GlobalAvgPool : public PlaneKernel {
public:
    using PlaneKernel::PlaneKernel;

private:
    void forward(const mnb_run& run, int64_t n, int64_t c) const override {
        const ImageView& src = node_.src[0];
        double sum = 0;
        for (int64_t y = 0; y < src.h; ++y)
            for (int64_t x = 0; x < src.w; ++x)
                sum += static_cast<double>(run.src[0][offset(src, n, c, y, x)]);
        run.dst[offset(node_.dst, n, c, 0, 0)] =
            static_cast<float>(sum / static_cast<double>(src.h * src.w));
    }

    void backward(const mnb_run& run, int64_t n, int64_t c, double* plane) const override {
        const int64_t area = node_.src[0].h * node_.src[0].w;
        const float gradient = run.diff_dst[offset(node_.dst, n, c, 0, 0)];
        std::fill_n(plane, area, static_cast<double>(gradient) / static_cast<double>(area));
    }
};

}  // namespace

bool max_pool2d_query(const Device& device, const ImageNode& node, int direction,
                      mnb_support& support) {
    take_layouts(node, support);
    support.workspace_bytes = PlaneKernel::scratch(device, node, direction).bytes();
    if (direction != MNB_FORWARD_INFERENCE)
        support.saved_bytes = Argmax::bytes(node.desc.pool2d, node.dst);
    support.backward_needs = MNB_NEEDS_SAVED;
    return true;
}

std::unique_ptr<Kernel> max_pool2d_create(const Device& device, const ImageNode& node,
                                          int direction) {
    return std::make_unique<MaxPool>(device, node, direction);
}

bool max_unpool2d_query(const Device& device, const ImageNode& node, int direction,
                        mnb_support& support) {
    take_layouts(node, support);
    support.workspace_bytes = PlaneKernel::scratch(device, node, direction).bytes();
    support.backward_needs = MNB_NEEDS_SRC;
    return true;
}

std::unique_ptr<Kernel> max_unpool2d_create(const Device& device, const ImageNode& node,
                                            int direction) {
    return std::make_unique<MaxUnpool>(device, node, direction);
}

bool avg_pool2d_query(const Device& device, const ImageNode& node, int direction,
                      mnb_support& support) {
    take_layouts(node, support);
    support.workspace_bytes = PlaneKernel::scratch(device, node, direction).bytes();
    return true;
}

std::unique_ptr<Kernel> avg_pool2d_create(const Device& device, const ImageNode& node,
                                          int direction) {
    return std::make_unique<AvgPool>(device, node, direction);
}

bool global_avg_pool2d_query(const Device& device, const ImageNode& node, int direction,
                             mnb_support& support) {
    return avg_pool2d_query(device, node, direction, support);
}

std::unique_ptr<Kernel> global_avg_pool2d_create(const Device& device, const ImageNode& node,
                                                 int direction) {
    return std::make_unique<GlobalAvgPool>(device, node, direction);
}

}  // namespace mn::cpu::reference
