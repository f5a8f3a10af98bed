// The caller's own loss, whose gradient comes with the batch.

#include <vector>

#include "backend/cpu/fast/fast.h"

namespace mn::cpu::fast {
namespace {

class OutputGradient : public Kernel {
public:
    explicit OutputGradient(const mnb_node& node)
        : loss_(node.desc.loss),
          channels_(node.src[0].c),
          pixels_(node.src[0].h * node.src[0].w),
          moves_(node.src[0].layout == MNB_NHWC && channels_ > 1 && pixels_ > 1),
          factors_(static_cast<size_t>(channels_), 1.0f),
          shifts_(static_cast<size_t>(channels_), -0.0f) {}

    void run(Device& device, const mnb_run& run) override {
        const int64_t size = channels_ * pixels_;
        LoadRun load = {};
        load.images = run.input->output_gradients;
        load.is_copy = !moves_;
        load.channels = channels_;
        load.pixels = pixels_;
        load.scale = factors_.data();
        load.shift = shifts_.data();
        load.dst = run.diff_src[0];
        const float factor = static_cast<float>(run.loss_scale * static_cast<double>(loss_.weight));
        double* products = static_cast<double*>(run.workspace);
        device.pool.parallel_for(run.count, [&](int n, int) {
            device.table->load_image(load, n);
            products[n] = device.table->f32_scale_product(run.src[0] + n * size,
                                                          run.diff_src[0] + n * size, size, factor);
        });
        mnb_loss_result result = {};
        for (int32_t n = 0; n < run.count; ++n) result.numerator += products[n];
        result.denominator = loss_.reduction == MN_REDUCTION_MEAN ? run.count : 1;
        *run.loss = result;
    }

private:
    mn_loss_desc loss_;
    int64_t channels_, pixels_;
    bool moves_;
    std::vector<float> factors_, shifts_;
};

}  // namespace

bool output_gradient_query(const Device&, const mnb_node& node, int direction,
                           mnb_support& support) {
    const mnb_tensor& src = node.src[0];
    if (direction != MNB_FORWARD_TRAINING || !node.wants_diff_src[0]) return false;
    if (src.sn != src.c * src.h * src.w) return false;
    support.src_layout = support.dst_layout = src.layout;
    support.workspace_bytes = node.max_batch * static_cast<int64_t>(sizeof(double));
    return true;
}

std::unique_ptr<Kernel> output_gradient_create(const Device&, const mnb_node& node, int) {
    return std::make_unique<OutputGradient>(node);
}

}  // namespace mn::cpu::fast
