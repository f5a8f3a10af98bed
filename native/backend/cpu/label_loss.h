// What the kernels of losses of class labels share: cross-entropy with class weights w, label
// smoothing s and an ignored label, and negative log-likelihood. Of a row with the label y among C
// classes:
//
//   cross-entropy  (1 - s) w_y (-log p_y) + s / C sum_c w_c (-log p_c),  p = softmax(x)
//   NLL            -w_y x_y
//
// The mean divides by the sum of w_y over the rows that count. A task is one image.

#pragma once

#include <string>
#include <vector>

#include "backend/cpu/cpu.h"
#include "graph/error.h"

namespace mn::cpu {

class LabelLoss : public Kernel {
public:
    struct Row {
        double loss;
        int64_t correct;
    };

    LabelLoss(const ImageNode& node, int direction)
        : loss_(node.desc.loss),
          name_(node.name != nullptr ? node.name : ""),
          training_(direction == MNB_FORWARD_TRAINING),
          classes_(node.src[0].c * node.src[0].h * node.src[0].w),
          weights_(static_cast<size_t>(classes_), 1.0) {
        for (int32_t c = 0; c < loss_.class_weight_count; ++c)
            weights_[static_cast<size_t>(c)] = static_cast<double>(loss_.class_weights[c]);
        if (loss_.kind == MN_LOSS_CROSS_ENTROPY)
            smoothing_ = static_cast<double>(loss_.label_smoothing);
        for (double w : weights_) weight_sum_ += w;
    }

    static int64_t workspace_bytes(const ImageNode& node) {
        return node.max_batch * static_cast<int64_t>(sizeof(Row));
    }

    void run(Device& device, const mnb_run& run) override {
        for (int32_t n = 0; n < run.count; ++n) check(run, n);
        Row* rows = static_cast<Row*>(run.workspace);
        device.pool.parallel_for(run.count, [&](int n, int) {
            rows[n] = counts(label(run, n)) ? row(device, run, n, label(run, n)) : ignored(run, n);
        });
        mnb_loss_result result = {};
        for (int32_t n = 0; n < run.count; ++n) {
            result.numerator += rows[n].loss;
            result.correct += rows[n].correct;
            if (counts(label(run, n))) result.denominator += weight_of(label(run, n));
        }
        if (loss_.reduction == MN_REDUCTION_SUM) result.denominator = 1;
        *run.loss = result;
    }

protected:
    // The loss of image n, and its gradient times factor(run).
    virtual Row row(Device&, const mnb_run&, int64_t n, int64_t target) const = 0;
    // The same where the label does not count.
    virtual Row ignored(const mnb_run&, int64_t n) const = 0;

    // Null where no gradient is wanted.
    float* diff_of(const mnb_run& run) const { return training_ ? run.diff_src[0] : nullptr; }
    double factor(const mnb_run& run) const {
        return run.loss_scale * static_cast<double>(loss_.weight);
    }
    double weight_of(int64_t c) const { return weights_[static_cast<size_t>(c)]; }
    double weight_sum() const { return weight_sum_; }
    // What the label and all classes alike weigh in cross-entropy.
    double hard(int64_t target) const { return (1.0 - smoothing_) * weight_of(target); }
    double soft() const { return smoothing_ / static_cast<double>(classes_); }
    int64_t classes() const { return classes_; }
    const mn_loss_desc& loss() const { return loss_; }

private:
    static int32_t label(const mnb_run& run, int64_t n) {
        return run.input->labels[run.input->indices ? run.input->indices[n] : n];
    }

    bool counts(int32_t label) const { return !loss_.ignores || label != loss_.ignore_index; }

    void check(const mnb_run& run, int64_t n) const {
        const int32_t target = label(run, n);
        if (counts(target) && (target < 0 || target >= classes_))
            fail(MN_INVALID_ARGUMENT, "[", name_, "] label ", target, " of image ", n,
                 " of the batch is not one of ", classes_, " classes");
    }

    mn_loss_desc loss_;
    std::string name_;
    bool training_;
    int64_t classes_;
    std::vector<double> weights_;
    double smoothing_ = 0, weight_sum_ = 0;
};

}  // namespace mn::cpu
