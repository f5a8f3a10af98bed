// Losses of class labels; the formulas are in backend/cpu/label_loss.h.

#include "backend/cpu/label_loss.h"

#include "backend/cpu/reference/common.h"
#include "backend/cpu/reference/exponentials.h"

namespace mn::cpu::reference {
namespace {

class PlainLabelLoss : public LabelLoss {
public:
    PlainLabelLoss(const ImageNode& node, int direction)
        : LabelLoss(node, direction), src_(node.src[0]) {}

protected:
    Row ignored(const mnb_run& run, int64_t n) const override {
        float* diff = diff_of(run);
        for (int64_t f = 0; diff != nullptr && f < classes(); ++f)
            diff[feature_offset(src_, n, f)] = 0.0f;
        return {0, 0};
    }

    Row row(Device&, const mnb_run& run, int64_t n, int64_t target) const override {
        const auto x = [&](int64_t f) {
            return static_cast<double>(run.src[0][feature_offset(src_, n, f)]);
        };
        const double loss = this->loss().kind == MN_LOSS_NLL ? likelihood(run, n, target, x)
                                                             : entropy(run, n, target, x);
        return {loss, is_largest(target, x)};
    }

private:
    template <class Read>
    double likelihood(const mnb_run& run, int64_t n, int64_t target, Read&& x) const {
        float* diff = diff_of(run);
        for (int64_t f = 0; diff != nullptr && f < classes(); ++f)
            diff[feature_offset(src_, n, f)] =
                f == target ? static_cast<float>(-factor(run) * weight_of(f)) : 0.0f;
        return -weight_of(target) * x(target);
    }

    template <class Read>
    double entropy(const mnb_run& run, int64_t n, int64_t target, Read&& x) const {
        const Exponentials e(classes(), x);
        const double log_sum = std::log(e.sum) + e.largest;
        const double hard = this->hard(target), soft = this->soft();
        double loss = hard * (log_sum - x(target));
        // Without smoothing, an infinite score of another class must not meet a factor of 0.
        if (soft != 0)
            for (int64_t f = 0; f < classes(); ++f) loss += soft * weight_of(f) * (log_sum - x(f));
        float* diff = diff_of(run);
        for (int64_t f = 0; diff != nullptr && f < classes(); ++f) {
            const double share = std::exp(x(f) - e.largest) / e.sum;
            const double gradient = hard * (share - (f == target ? 1.0 : 0.0)) +
                                    soft * (weight_sum() * share - weight_of(f));
            diff[feature_offset(src_, n, f)] = static_cast<float>(factor(run) * gradient);
        }
        return loss;
    }

    // A row with a NaN has no largest value; of equals the first is taken.
    template <class Read>
    int64_t is_largest(int64_t target, Read&& x) const {
        int64_t first_largest = 0;
        for (int64_t f = 0; f < classes(); ++f) {
            if (std::isnan(x(f))) return 0;
            if (x(f) > x(first_largest)) first_largest = f;
        }
        return first_largest == target ? 1 : 0;
    }

    ImageView src_;
};

}  // namespace

bool label_loss_query(const Device&, const ImageNode& node, int direction, mnb_support& support) {
    if (direction == MNB_BACKWARD) return false;  // training's forward writes the gradient
    take_layouts(node, support);
    support.workspace_bytes = LabelLoss::workspace_bytes(node);
    return true;
}

std::unique_ptr<Kernel> label_loss_create(const Device&, const ImageNode& node, int direction) {
    return std::make_unique<PlainLabelLoss>(node, direction);
}

}  // namespace mn::cpu::reference
