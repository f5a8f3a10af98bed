// Losses of class labels: cross-entropy with class weights w, label smoothing s and an ignored
// label, and negative log-likelihood. Of a row with the label y among C classes:
//
//   cross-entropy  (1 - s) w_y (-log p_y) + s / C sum_c w_c (-log p_c),  p = softmax(x)
//   NLL            -w_y x_y
//
// The mean divides by the sum of w_y over the rows that count. A task is one image.

#include <string>
#include <vector>

#include "backend/cpu/reference/common.h"
#include "backend/cpu/reference/exponentials.h"
#include "graph/error.h"

namespace mn::cpu::reference {
namespace {

struct Row {
    double loss;
    int64_t correct;
};

class LabelLoss : public Kernel {
public:
    LabelLoss(const Device&, const mnb_node& node, int direction)
        : src_(node.src[0]),
          loss_(node.desc.loss),
          name_(node.name != nullptr ? node.name : ""),
          training_(direction == MNB_FORWARD_TRAINING),
          classes_(feature_count(node.src[0])),
          weights_(static_cast<size_t>(classes_), 1.0) {
        for (int32_t c = 0; c < loss_.class_weight_count; ++c)
            weights_[static_cast<size_t>(c)] = static_cast<double>(loss_.class_weights[c]);
        if (loss_.kind == MN_LOSS_CROSS_ENTROPY)
            smoothing_ = static_cast<double>(loss_.label_smoothing);
        for (double w : weights_) weight_sum_ += w;
    }

    void run(Device& device, const mnb_run& run) override {
        for (int32_t n = 0; n < run.count; ++n) check(run, n);
        Row* rows = static_cast<Row*>(run.workspace);
        device.pool.parallel_for(run.count, [&](int n, int) { rows[n] = row(run, n); });
        mnb_loss_result result = {};
        for (int32_t n = 0; n < run.count; ++n) {
            result.numerator += rows[n].loss;
            result.correct += rows[n].correct;
            if (counts(label(run, n))) result.denominator += weight_of(label(run, n));
        }
        if (loss_.reduction == MN_REDUCTION_SUM) result.denominator = 1;
        *run.loss = result;
    }

private:
    static int32_t label(const mnb_run& run, int64_t n) {
        return run.input->labels[run.input->indices ? run.input->indices[n] : n];
    }

    bool counts(int32_t label) const { return !loss_.ignores || label != loss_.ignore_index; }

    double weight_of(int64_t c) const { return weights_[static_cast<size_t>(c)]; }

    void check(const mnb_run& run, int64_t n) const {
        const int32_t target = label(run, n);
        if (counts(target) && (target < 0 || target >= classes_))
            fail(MN_INVALID_ARGUMENT, "[", name_, "] label ", target, " of image ", n,
                 " of the batch is not one of ", classes_, " classes");
    }

    Row row(const mnb_run& run, int64_t n) const {
        const int64_t target = label(run, n);
        float* diff = training_ ? run.diff_src[0] : nullptr;
        if (!counts(label(run, n))) {
            for (int64_t f = 0; diff != nullptr && f < classes_; ++f)
                diff[feature_offset(src_, n, f)] = 0.0f;
            return {0, 0};
        }
        const auto x = [&](int64_t f) {
            return static_cast<double>(run.src[0][feature_offset(src_, n, f)]);
        };
        const double factor = run.loss_scale * static_cast<double>(loss_.weight);
        const double loss = loss_.kind == MN_LOSS_NLL ? likelihood(diff, n, target, factor, x)
                                                      : entropy(diff, n, target, factor, x);
        return {loss, is_largest(target, x)};
    }

    template <class Read>
    double likelihood(float* diff, int64_t n, int64_t target, double factor, Read&& x) const {
        for (int64_t f = 0; diff != nullptr && f < classes_; ++f)
            diff[feature_offset(src_, n, f)] =
                f == target ? static_cast<float>(-factor * weight_of(f)) : 0.0f;
        return -weight_of(target) * x(target);
    }

    template <class Read>
    double entropy(float* diff, int64_t n, int64_t target, double factor, Read&& x) const {
        const Exponentials e(classes_, x);
        const double log_sum = std::log(e.sum) + e.largest;
        const double hard = (1.0 - smoothing_) * weight_of(target);
        const double soft = smoothing_ / static_cast<double>(classes_);
        double loss = hard * (log_sum - x(target));
        // Without smoothing, an infinite score of another class must not meet a factor of 0.
        if (soft != 0)
            for (int64_t f = 0; f < classes_; ++f) loss += soft * weight_of(f) * (log_sum - x(f));
        for (int64_t f = 0; diff != nullptr && f < classes_; ++f) {
            const double share = std::exp(x(f) - e.largest) / e.sum;
            const double gradient = hard * (share - (f == target ? 1.0 : 0.0)) +
                                    soft * (weight_sum_ * share - weight_of(f));
            diff[feature_offset(src_, n, f)] = static_cast<float>(factor * gradient);
        }
        return loss;
    }

    // A row with a NaN has no largest value; of equals the first is taken.
    template <class Read>
    int64_t is_largest(int64_t target, Read&& x) const {
        int64_t first_largest = 0;
        for (int64_t f = 0; f < classes_; ++f) {
            if (std::isnan(x(f))) return 0;
            if (x(f) > x(first_largest)) first_largest = f;
        }
        return first_largest == target ? 1 : 0;
    }

    mnb_tensor src_;
    mn_loss_desc loss_;
    std::string name_;
    bool training_;
    int64_t classes_;
    std::vector<double> weights_;
    double smoothing_ = 0, weight_sum_ = 0;
};

}  // namespace

bool label_loss_query(const Device&, const mnb_node& node, int direction, mnb_support& support) {
    if (direction == MNB_BACKWARD) return false;  // training's forward writes the gradient
    take_layouts(node, support);
    support.workspace_bytes = node.max_batch * static_cast<int64_t>(sizeof(Row));
    return true;
}

std::unique_ptr<Kernel> label_loss_create(const Device& device, const mnb_node& node,
                                          int direction) {
    return std::make_unique<LabelLoss>(device, node, direction);
}

}  // namespace mn::cpu::reference
