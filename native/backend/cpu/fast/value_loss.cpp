// Losses of values that come with the batch: the caller's own gradient, and the squared error. The
// values are brought into the result's layout, where the gradient belongs, and become it there.

#include <vector>

#include "backend/cpu/fast/fast.h"

namespace mn::cpu::fast {
namespace {

class ValueLoss : public Kernel {
public:
    ValueLoss(const Device& device, const ImageNode& node)
        : compares_(node.op == MNB_OP_TARGET_LOSS),
          gradient_(compares_ ? device.table->f32_squared_error : device.table->f32_scale_product),
          loss_(node.desc.loss),
          channels_(node.src[0].c),
          pixels_(node.src[0].h * node.src[0].w),
          moves_(node.src[0].layout == MNB_NHWC && channels_ > 1 && pixels_ > 1),
          factors_(static_cast<size_t>(channels_), 1.0f),
          shifts_(static_cast<size_t>(channels_), -0.0f) {}

    void run(Device& device, const mnb_run& run) override {
        const int64_t size = channels_ * pixels_;
        LoadRun load = {};
        load.images = compares_ ? run.input->targets : run.input->output_gradients;
        load.is_copy = !moves_;
        load.channels = channels_;
        load.pixels = pixels_;
        load.scale = factors_.data();
        load.shift = shifts_.data();
        load.dst = run.diff_src[0];
        const float factor = static_cast<float>(run.loss_scale * static_cast<double>(loss_.weight));
        double* sums = static_cast<double*>(run.workspace);
        device.pool.parallel_for(run.count, [&](int n, int) {
            device.table->load_image(load, n);
            sums[n] = gradient_(run.src[0] + n * size, run.diff_src[0] + n * size, size, factor);
        });
        mnb_loss_result result = {};
        for (int32_t n = 0; n < run.count; ++n) result.numerator += sums[n];
        if (loss_.reduction == MN_REDUCTION_MEAN)
            result.denominator = static_cast<double>(run.count * (compares_ ? size : 1));
        else
            result.denominator = 1;
        *run.loss = result;
    }

private:
    bool compares_;
    double (*gradient_)(const float* x, float* g, int64_t count, float factor);
    mn_loss_desc loss_;
    int64_t channels_, pixels_;
    bool moves_;
    std::vector<float> factors_, shifts_;
};

}  // namespace

bool output_gradient_query(const Device&, const ImageNode& node, int direction,
                           mnb_support& support) {
    const ImageView& src = node.src[0];
    if (direction != MNB_FORWARD_TRAINING || !node.wants_diff_src[0]) return false;
    if (src.sn != src.c * src.h * src.w) return false;
    support.src_layout = support.dst_layout = src.layout;
    support.workspace_bytes = node.max_batch * static_cast<int64_t>(sizeof(double));
    return true;
}

std::unique_ptr<Kernel> output_gradient_create(const Device& device, const ImageNode& node, int) {
    return std::make_unique<ValueLoss>(device, node);
}

bool target_loss_query(const Device& device, const ImageNode& node, int direction,
                       mnb_support& support) {
    return node.desc.loss.kind == MN_LOSS_MSE &&
           output_gradient_query(device, node, direction, support);
}

std::unique_ptr<Kernel> target_loss_create(const Device& device, const ImageNode& node, int) {
    return std::make_unique<ValueLoss>(device, node);
}

}  // namespace mn::cpu::fast
