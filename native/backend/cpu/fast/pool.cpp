// Poolings: one task an image.

#include "backend/cpu/fast/fast.h"

namespace mn::cpu::fast {

PoolShape pool_shape(const mn_pool2d_desc& pool, int64_t ih, int64_t iw, int64_t oh, int64_t ow,
                     int64_t channels) {
    PoolShape s = {};
    s.ih = ih, s.iw = iw, s.oh = oh, s.ow = ow, s.channels = channels;
    s.kh = pool.kernel_h, s.kw = pool.kernel_w;
    s.sh = pool.stride_h, s.sw = pool.stride_w;
    s.ph = pool.pad_h, s.pw = pool.pad_w;
    s.count_include_pad = pool.count_include_pad;
    return s;
}

namespace {

using PoolFunction = void (*)(const PoolRun&, int64_t image);

PoolShape shape_of(const ImageNode& node) {
    const ImageView &src = node.src[0], &dst = node.dst;
    if (node.op != MN_OP_GLOBAL_AVG_POOL2D)
        return pool_shape(node.desc.pool2d, src.h, src.w, dst.h, dst.w, src.c);
    PoolShape s = {};
    s.ih = s.kh = src.h, s.iw = s.kw = src.w, s.channels = src.c;
    s.oh = s.ow = s.sh = s.sw = 1;
    return s;
}

class Pool : public Kernel {
public:
    Pool(const Device& device, const ImageNode& node, int direction) {
        op_ = {};
        op_.shape = shape_of(node);
        op_.saved_image = op_.shape.oh * op_.shape.ow * op_.shape.channels;
        training_ = direction != MNB_FORWARD_INFERENCE;
        const bool backward = direction == MNB_BACKWARD;
        const KernelTable& table = *device.table;
        if (node.op == MN_OP_MAX_POOL2D)
            function_ = backward ? table.f32_max_pool_backward : table.f32_max_pool_forward;
        else
            function_ = backward ? table.f32_avg_pool_backward : table.f32_avg_pool_forward;
    }

    void run(Device& device, const mnb_run& run) override {
        PoolRun op = op_;
        op.src = run.src[0];
        op.dst = run.dst;
        op.saved = training_ ? static_cast<uint8_t*>(run.saved) : nullptr;
        op.diff_dst = run.diff_dst;
        op.diff_src = run.diff_src[0];
        device.pool.parallel_for(run.count, [&](int image, int) { function_(op, image); });
    }

private:
    PoolRun op_;
    PoolFunction function_;
    bool training_;
};

}  // namespace

bool max_pool2d_query(const Device&, const ImageNode& node, int direction, mnb_support& support) {
    const mn_pool2d_desc& pool = node.desc.pool2d;
    if (int64_t{pool.kernel_h} * pool.kernel_w > 255 || is_dilated(pool)) return false;
    take_fast_layouts(node, support);
    support.backward_needs = MNB_NEEDS_SAVED;
    if (direction == MNB_FORWARD_TRAINING)
        support.saved_bytes = node.dst.c * node.dst.h * node.dst.w;
    return true;
}

std::unique_ptr<Kernel> max_pool2d_create(const Device& device, const ImageNode& node,
                                          int direction) {
    return std::make_unique<Pool>(device, node, direction);
}

bool avg_pool2d_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    take_fast_layouts(node, support);
    return true;
}

std::unique_ptr<Kernel> avg_pool2d_create(const Device& device, const ImageNode& node,
                                          int direction) {
    return std::make_unique<Pool>(device, node, direction);
}

bool global_avg_pool2d_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    take_fast_layouts(node, support);
    return true;
}

std::unique_ptr<Kernel> global_avg_pool2d_create(const Device& device, const ImageNode& node,
                                                 int direction) {
    return std::make_unique<Pool>(device, node, direction);
}

}  // namespace mn::cpu::fast
