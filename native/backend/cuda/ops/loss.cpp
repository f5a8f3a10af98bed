// Losses. Each image reports a row, in the workspace; one block adds them up into the result.

#include <vector>

#include "backend/cuda/ops/ops.h"

namespace mn::cuda {
namespace {

class Loss : public NodeKernel {
public:
    Loss(Device& device, const ImageNode& node, int32_t direction)
        : NodeKernel(device, node, direction), loss_(node_.desc.loss), factor_(device) {
        const size_t count = static_cast<size_t>(loss_.class_weight_count);
        weight_sum_ = static_cast<double>(features(node_.src[0]));
        if (node_.op != MNB_OP_LABEL_LOSS || count == 0) return;
        weight_sum_ = 0;
        for (size_t c = 0; c < count; c++)
            weight_sum_ += static_cast<double>(loss_.class_weights[c]);
        class_weights_ = Buffer(device, count * sizeof(float));
        device.copy_in(class_weights_.at<void>(), loss_.class_weights, count * sizeof(float));
    }

    void prepare(Device& device, const mnb_run& run) override {
        factor_.set(device, run.loss_scale * static_cast<double>(loss_.weight));
    }

    void run(Device& device, const mnb_run& run) override {
        const int64_t size = features(node_.src[0]);
        float* diff = direction_ == MNB_FORWARD_TRAINING ? run.diff_src[0] : nullptr;
        LossRow* rows = static_cast<LossRow*>(run.workspace);
        if (node_.op == MNB_OP_LABEL_LOSS) {
            const bool nll = loss_.kind == MN_LOSS_NLL;
            const double smoothing = nll ? 0 : static_cast<double>(loss_.label_smoothing);
            const LabelLossParams p = {run.src[0],
                                       diff,
                                       run.input->labels,
                                       run.input->indices,
                                       class_weights_.at<float>(),
                                       rows,
                                       run.count,
                                       size,
                                       factor_.address(),
                                       smoothing,
                                       weight_sum_,
                                       nll,
                                       loss_.ignores,
                                       loss_.ignore_index};
            device.launch_blocks("mn_label_loss", p, run.count);
        } else {
            const bool given = node_.op == MNB_OP_OUTPUT_GRADIENT;
            const TargetLossParams p = {run.src[0],
                                        diff,
                                        given ? run.input->output_gradients : run.input->targets,
                                        rows,
                                        run.count,
                                        size,
                                        factor_.address(),
                                        static_cast<double>(loss_.delta),
                                        loss_.kind};
            device.launch_blocks("mn_target_loss", p, run.count);
        }
        double denominator = 1;
        if (loss_.reduction == MN_REDUCTION_MEAN)
            denominator = node_.op == MNB_OP_TARGET_LOSS ? static_cast<double>(run.count * size)
                                                         : -1;  // the rows' weights
        device.launch_blocks("mn_loss_total",
                             LossTotalParams{rows, run.loss, run.count, denominator}, 1);
    }

private:
    mn_loss_desc loss_;
    DeviceValue<double> factor_;  // of the gradient
    Buffer class_weights_;
    double weight_sum_ = 0;
};

bool loss_query(const ImageNode& node, int32_t direction, mnb_support& support) {
    if (direction == MNB_BACKWARD) return false;  // training's forward writes the gradient
    support.workspace_bytes = node.max_batch * static_cast<int64_t>(sizeof(LossRow));
    return true;
}

}  // namespace

const Op ops::loss = {loss_query, create<Loss>};

}  // namespace mn::cuda
