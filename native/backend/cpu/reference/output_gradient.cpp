// The caller's own loss: its gradient comes with the batch. It reports the sum of result x
// gradient, of which that gradient is the derivative. A task is one image.

#include "backend/cpu/reference/common.h"

namespace mn::cpu::reference {
namespace {

class OutputGradient : public Kernel {
public:
    OutputGradient(const Device&, const ImageNode& node, int direction)
        : src_(node.src[0]), loss_(node.desc.loss), training_(direction == MNB_FORWARD_TRAINING) {}

    void run(Device& device, const mnb_run& run) override {
        double* products = static_cast<double*>(run.workspace);
        device.pool.parallel_for(run.count, [&](int n, int) { products[n] = image(run, n); });
        mnb_loss_result result = {};
        for (int32_t n = 0; n < run.count; ++n) result.numerator += products[n];
        result.denominator = loss_.reduction == MN_REDUCTION_MEAN ? run.count : 1;
        *run.loss = result;
    }

private:
    double image(const mnb_run& run, int64_t n) const {
        const int64_t features = feature_count(src_);
        const float* gradients = run.input->output_gradients + n * features;
        float* diff = training_ ? run.diff_src[0] : nullptr;
        const double factor = run.loss_scale * static_cast<double>(loss_.weight);
        double product = 0;
        for (int64_t f = 0; f < features; ++f) {
            const int64_t at = feature_offset(src_, n, f);
            product += static_cast<double>(run.src[0][at]) * static_cast<double>(gradients[f]);
            if (diff) diff[at] = static_cast<float>(factor * static_cast<double>(gradients[f]));
        }
        return product;
    }

    ImageView src_;
    mn_loss_desc loss_;
    bool training_;
};

}  // namespace

bool output_gradient_query(const Device&, const ImageNode& node, int direction,
                           mnb_support& support) {
    if (direction == MNB_BACKWARD) return false;  // training's forward writes the gradient
    take_layouts(node, support);
    support.workspace_bytes = node.max_batch * static_cast<int64_t>(sizeof(double));
    return true;
}

std::unique_ptr<Kernel> output_gradient_create(const Device& device, const ImageNode& node,
                                               int direction) {
    return std::make_unique<OutputGradient>(device, node, direction);
}

}  // namespace mn::cpu::reference
