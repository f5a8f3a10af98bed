// Cross-entropy of dense rows of class scores: exponentials in float, sums of them in double.

#include "backend/cpu/label_loss.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/fast/fast.h"

namespace mn::cpu::fast {
namespace {

class CrossEntropy : public LabelLoss {
public:
    CrossEntropy(const ImageNode& node, int direction)
        : LabelLoss(node, direction),
          class_weights_(loss().class_weights, loss().class_weights + loss().class_weight_count) {}

protected:
    Row ignored(const mnb_run& run, int64_t n) const override {
        if (float* diff = diff_of(run)) std::fill_n(diff + n * classes(), classes(), 0.0f);
        return {0, 0};
    }

    Row row(Device& device, const mnb_run& run, int64_t n, int64_t target) const override {
        float* diff = diff_of(run);
        if (diff) diff += n * classes();
        ClassScores scores = {};
        scores.scores = run.src[0] + n * classes();
        scores.classes = classes();
        scores.target = target;
        scores.exponentials = diff;
        device.table->f32_class_scores(scores);

        const auto x = [&](int64_t f) { return static_cast<double>(scores.scores[f]); };
        const double log_sum = std::log(scores.sum) + static_cast<double>(scores.largest);
        const double hard = this->hard(target), soft = this->soft();
        double loss = hard * (log_sum - x(target));
        // Without smoothing, an infinite score of another class must not meet a factor of 0.
        if (soft != 0)
            for (int64_t f = 0; f < classes(); ++f) loss += soft * weight_of(f) * (log_sum - x(f));
        if (diff) {
            // The label's own probability may be so near to 1 that floats do not tell them apart.
            const double own = static_cast<double>(diff[target]);
            const double gradient = hard * -((scores.sum - own) / scores.sum) +
                                    soft * (weight_sum() * own / scores.sum - weight_of(target));
            const double all = hard + soft * weight_sum();
            device.table->f32_class_gradients(
                diff, classes(), static_cast<float>(factor(run) * all / scores.sum),
                static_cast<float>(factor(run) * soft),
                class_weights_.empty() ? nullptr : class_weights_.data());
            diff[target] = static_cast<float>(factor(run) * gradient);
        }
        return {loss, scores.leads};
    }

private:
    std::vector<float> class_weights_;
};

}  // namespace

bool label_loss_query(const Device&, const ImageNode& node, int direction, mnb_support& support) {
    if (direction == MNB_BACKWARD) return false;  // training's forward writes the gradient
    const ImageView& src = node.src[0];
    if (node.desc.loss.kind != MN_LOSS_CROSS_ENTROPY || src.sn != src.c * src.h * src.w)
        return false;
    // Classes in the order of their numbers.
    if (src.layout != MNB_NCHW && src.c > 1 && src.h * src.w > 1) return false;
    support.src_layout = support.dst_layout = src.layout;
    support.workspace_bytes = LabelLoss::workspace_bytes(node);
    return true;
}

std::unique_ptr<Kernel> label_loss_create(const Device&, const ImageNode& node, int direction) {
    return std::make_unique<CrossEntropy>(node, direction);
}

}  // namespace mn::cpu::fast
