// Batch normalisation: the plain one, which has passes over memory of the instruction set
// (kernels/batch_norm.cpp) where images are NHWC and channels whole panels.

#include "backend/cpu/reference/batch_norm.h"

#include "backend/cpu/fast/fast.h"

namespace mn::cpu::fast {
namespace {

class BatchNorm : public reference::BatchNorm {
public:
    BatchNorm(const Device& device, const ImageNode& node, int direction)
        : reference::BatchNorm(node, direction),
          table_(*device.table),
          channels_(node.src[0].c),
          width_(node.src[0].w),
          floats_(node.max_batch * node.src[0].h * width_ * channels_) {}

protected:
    void sum_sources(const reference::SplitPart& part, const float* src,
                     const Sums& sums) const override {
        BatchNormPass pass = of(part);
        pass.src = src;
        pass.first_sum = sums.first, pass.second_sum = sums.second;
        table_.f32_batch_norm_sum_sources(pass);
    }

    void scale(const reference::SplitPart& part, const reference::ChannelScale& op,
               const float* src, float* dst) const override {
        BatchNormPass pass = of(part, op);
        pass.src = src, pass.dst = dst;
        pass.stream = is_streamed(dst, floats_, channels_);
        table_.f32_batch_norm_scale(pass);
    }

    void sum_gradients(const reference::SplitPart& part, const reference::ChannelScale& forward,
                       const float* src, const float* diff_dst, const Sums& sums) const override {
        BatchNormPass pass = of(part, forward);
        pass.src = src, pass.diff_dst = diff_dst;
        pass.first_sum = sums.first, pass.second_sum = sums.second;
        table_.f32_batch_norm_sum_gradients(pass);
    }

    void write_diff_src(const reference::SplitPart& part,
                        const reference::ChannelGradient& op) const override {
        BatchNormPass pass = of(part, op.forward);
        pass.slope = op.slope, pass.diff_shift = op.shift;
        pass.src = op.src, pass.diff_dst = op.diff_dst, pass.diff_src = op.diff_src;
        pass.stream = is_streamed(op.diff_src, floats_, channels_);
        table_.f32_batch_norm_diff_src(pass);
    }

private:
    BatchNormPass of(const reference::SplitPart& part) const {
        BatchNormPass pass = {};
        pass.channels = channels_;
        pass.first_pixel = part.row * width_, pass.last_pixel = part.last_row * width_;
        pass.first_channel = part.channel, pass.last_channel = part.last_channel;
        return pass;
    }
    BatchNormPass of(const reference::SplitPart& part, const reference::ChannelScale& op) const {
        BatchNormPass pass = of(part);
        pass.relu = op.relu;
        pass.mean = op.mean, pass.factor = op.factor, pass.shift = op.shift;
        return pass;
    }

    const KernelTable& table_;
    int64_t channels_, width_, floats_;
};

bool suits(const ImageNode& node) {
    return node.src[0].rank > 1 && node.src[0].c % MNB_PANEL == 0;
}

}  // namespace

bool batch_norm_query(const Device& device, const ImageNode& node, int direction,
                      mnb_support& support) {
    if (!reference::batch_norm_query(device, node, direction, support)) return false;
    if (suits(node)) support.src_layout = support.dst_layout = MNB_NHWC;
    return true;
}

std::unique_ptr<Kernel> batch_norm_create(const Device& device, const ImageNode& node,
                                          int direction) {
    if (!suits(node)) return reference::batch_norm_create(device, node, direction);
    return std::make_unique<BatchNorm>(device, node, direction);
}

}  // namespace mn::cpu::fast
