// The losses of a plan: their checks, what they divide by, and the sums that they report.

#pragma once

#include <vector>

#include "graph/graph.h"
#include "plan/dataset.h"
#include "plan/plan.h"

namespace mn {

// Losses with a copy of what they point to.
class LossList {
public:
    LossList() = default;
    LossList(const mn_loss_desc* losses, int32_t count);
    LossList(LossList&&) = default;
    LossList& operator=(LossList&&) = default;

    const std::vector<mn_loss_desc>& all() const { return losses_; }
    const mn_loss_desc& operator[](size_t i) const { return losses_[i]; }
    size_t size() const { return losses_.size(); }

private:
    std::vector<mn_loss_desc> losses_;
    std::vector<std::vector<float>> class_weights_;
};

// Whether one inference plan serves both: all but the factor in the total is the same.
bool same_loss(const mn_loss_desc& a, const mn_loss_desc& b);

// Throws if a loss's numbers make no sense for a graph.
void check_loss(const Graph& graph, const mn_loss_desc& loss);

// Adds what a checked loss asks of a batch. Throws if the losses before it ask for something else.
void add_needs(const Graph& graph, const mn_loss_desc& loss, BatchNeeds& needs);

// What the mean of a batch's losses divides by; 1 for a sum. It follows from the labels alone.
double loss_denominator(const Graph& graph, const mn_loss_desc& loss, const CheckedBatch& batch);

// Images of a batch whose label a loss does not ignore; 0 where it takes no labels.
int64_t counted_labels(const mn_loss_desc& loss, const CheckedBatch& batch);

// The gradients of a batch's losses are added before they are divided by one number, `denominator`,
// so each is multiplied by scales[i] = denominator / (its own denominator) first. `denominator` is
// that of the first loss; or of the next, where the first is 0, because no image counts for it.
// What counts nowhere has the gradient 0, as in PyTorch, though the loss itself is a NaN.
struct LossScales {
    double denominator = 0;
    std::vector<double> scales;

    void compute(const Graph& graph, const LossList& losses, const CheckedBatch& batch);
};

// Adds up what the losses of runs report.
class LossSum {
public:
    explicit LossSum(const LossList& losses)
        : losses_(&losses), sums_(losses.size()), taken_(losses.size()) {}

    void clear();
    // Waits for the losses that an execution has posted first, and adds them.
    void take(Execution& execution);
    mn_metrics metrics() const;

private:
    double denominator(size_t i) const;

    const LossList* losses_;
    std::vector<mnb_loss_result> sums_;
    std::vector<mnb_loss_result> taken_;  // one run's
    int32_t count_ = 0;
};

}  // namespace mn
