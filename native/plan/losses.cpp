#include "plan/losses.h"

#include <algorithm>
#include <cmath>

#include "graph/ops.h"

namespace mn {
namespace {

bool takes_labels(const mn_loss_desc& loss) {
    return loss.kind == MN_LOSS_CROSS_ENTROPY || loss.kind == MN_LOSS_NLL;
}

const char* name_of(const mn_loss_desc& loss) {
    return loss.kind == MN_LOSS_CROSS_ENTROPY ? "cross_entropy" : "nll";
}

void check_label_loss(const Graph& graph, const mn_loss_desc& loss) {
    const char* name = name_of(loss);
    const Node& node = graph.node(loss.node);
    if (node.shape.rank != 1)
        fail(MN_SHAPE_MISMATCH, "[", name, "] takes one score a class {classes}, got ",
             text_of(node.shape), " from \"", node.name,
             "\"; a loss of class labels at every pixel is not supported: classify the whole image "
             "(global average pooling, flatten, linear), or take a loss of values of any shape, "
             "such as binary cross-entropy with a channel a class");
    const Node* source = &node;
    while (traits_of(source->op).lowering == Lowering::kView)
        source = &graph.node(source->sources[0]);
    if (traits_of(source->op).probabilities)
        fail(MN_INVALID_ARGUMENT, "[", name, "] \"", source->name, "\" is a softmax, but ",
             loss.kind == MN_LOSS_NLL
                 ? "NLL takes log-probabilities: put a log-softmax in its place for training"
                 : "cross-entropy takes logits and applies log-softmax itself: leave the softmax "
                   "out for training");
    if (loss.kind == MN_LOSS_CROSS_ENTROPY &&
        !(loss.label_smoothing >= 0 && loss.label_smoothing < 1))
        fail(MN_INVALID_ARGUMENT, "[", name, "] label_smoothing must be in [0, 1), got ",
             loss.label_smoothing);
    if (loss.class_weight_count == 0 && !loss.class_weights) return;
    if (loss.class_weight_count != node.shape.dims[0] || !loss.class_weights)
        fail(MN_INVALID_ARGUMENT, "[", name, "] class_weights must hold a number for each of the ",
             node.shape.dims[0], " classes, got ", loss.class_weight_count);
    for (int32_t c = 0; c < loss.class_weight_count; c++)
        if (!std::isfinite(loss.class_weights[c]) || loss.class_weights[c] < 0)
            fail(MN_INVALID_ARGUMENT, "[", name, "] class_weights[", c,
                 "] must be finite and not negative, got ", loss.class_weights[c]);
}

}  // namespace

LossList::LossList(const mn_loss_desc* losses, int32_t count) : losses_(losses, losses + count) {
    for (mn_loss_desc& loss : losses_) {
        if (!takes_labels(loss)) loss.class_weights = nullptr;
        if (!loss.class_weights) loss.class_weight_count = 0;
        class_weights_.emplace_back(loss.class_weights,
                                    loss.class_weights + loss.class_weight_count);
        if (loss.class_weights) loss.class_weights = class_weights_.back().data();
    }
}

bool same_loss(const mn_loss_desc& a, const mn_loss_desc& b) {
    return a.kind == b.kind && a.node == b.node && a.reduction == b.reduction &&
           a.ignores == b.ignores && a.ignore_index == b.ignore_index &&
           a.label_smoothing == b.label_smoothing && a.delta == b.delta &&
           std::equal(a.class_weights, a.class_weights + a.class_weight_count, b.class_weights,
                      b.class_weights + b.class_weight_count);
}

void check_loss(const Graph& graph, const mn_loss_desc& loss) {
    graph.node(loss.node);
    if (loss.kind < MN_LOSS_CROSS_ENTROPY || loss.kind > MN_LOSS_BCE_WITH_LOGITS)
        fail(MN_INVALID_ARGUMENT, "[loss] there is no kind ", loss.kind);
    if (loss.reduction != MN_REDUCTION_MEAN && loss.reduction != MN_REDUCTION_SUM)
        fail(MN_INVALID_ARGUMENT, "[loss] there is no reduction ", loss.reduction);
    if (!std::isfinite(loss.weight))
        fail(MN_INVALID_ARGUMENT, "[loss] weight must be finite, got ", loss.weight);
    if (takes_labels(loss)) check_label_loss(graph, loss);
    if (loss.kind == MN_LOSS_HUBER && !(std::isfinite(loss.delta) && loss.delta > 0))
        fail(MN_INVALID_ARGUMENT, "[huber] delta must be finite and above 0, got ", loss.delta);
}

void add_needs(const Graph& graph, const mn_loss_desc& loss, BatchNeeds& needs) {
    const mn_shape& shape = graph.node(loss.node).shape;
    if (loss.kind == MN_LOSS_OUTPUT_GRADIENT) {
        if (needs.output_gradients.rank)
            fail(MN_INVALID_ARGUMENT,
                 "[trainer] only one loss can take its gradient from the batch");
        needs.output_gradients = shape;
    } else if (takes_labels(loss)) {
        needs.labels.push_back({shape.dims[0], loss.ignores != 0, loss.ignore_index});
    } else {
        if (needs.targets.rank && element_count(needs.targets) != element_count(shape))
            fail(MN_INVALID_ARGUMENT,
                 "[trainer] losses that compare with the batch's targets must be of nodes of as "
                 "many values, got ",
                 text_of(needs.targets), " and ", text_of(shape));
        needs.targets = shape;
    }
}

double loss_denominator(const Graph& graph, const mn_loss_desc& loss, const CheckedBatch& batch) {
    if (loss.reduction == MN_REDUCTION_SUM) return 1;
    const double count = batch.count;
    if (loss.kind == MN_LOSS_OUTPUT_GRADIENT) return count;
    if (!takes_labels(loss))
        return count * static_cast<double>(element_count(graph.node(loss.node).shape));
    if (!loss.ignores && !loss.class_weights) return count;
    double sum = 0;
    for (int32_t i = 0; i < batch.count; i++) {
        const int32_t label = batch.host_label(i);
        if (loss.ignores && label == loss.ignore_index) continue;
        sum += loss.class_weights ? static_cast<double>(loss.class_weights[label]) : 1.0;
    }
    return sum;
}

int64_t counted_labels(const mn_loss_desc& loss, const CheckedBatch& batch) {
    if (!takes_labels(loss)) return 0;
    if (!loss.ignores) return batch.count;
    int64_t counted = 0;
    for (int32_t i = 0; i < batch.count; i++) counted += batch.host_label(i) != loss.ignore_index;
    return counted;
}

void LossScales::compute(const Graph& graph, const LossList& losses, const CheckedBatch& batch) {
    scales.resize(losses.size());
    denominator = 0;
    for (size_t i = 0; i < losses.size(); i++) {
        const double own = loss_denominator(graph, losses[i], batch);
        if (denominator == 0) denominator = own;
        scales[i] = own == 0 ? 0 : denominator / own;
    }
}

void LossSum::clear() {
    std::fill(sums_.begin(), sums_.end(), mnb_loss_result{});
    count_ = 0;
}

void LossSum::take(Execution& execution) {
    count_ += execution.take_losses(taken_.data());
    for (size_t i = 0; i < sums_.size(); i++) {
        sums_[i].numerator += taken_[i].numerator;
        sums_[i].denominator += taken_[i].denominator;
        sums_[i].correct += taken_[i].correct;
    }
}

double LossSum::denominator(size_t i) const {
    return (*losses_)[i].reduction == MN_REDUCTION_SUM ? 1.0 : sums_[i].denominator;
}

mn_metrics LossSum::metrics() const {
    mn_metrics metrics{};
    metrics.struct_size = sizeof metrics;
    metrics.count = count_;
    metrics.correct = sums_[0].correct;
    metrics.loss_denominator = denominator(0);
    for (size_t i = 0; i < sums_.size(); i++) {
        const double weighted = sums_[i].numerator * static_cast<double>((*losses_)[i].weight);
        metrics.loss += weighted / denominator(i);
        // Where nothing counts, a loss is NaN, but adds nothing to a sum over batches.
        if (i == 0)
            metrics.loss_numerator = weighted;
        else if (denominator(i) != 0)
            metrics.loss_numerator += weighted / denominator(i) * metrics.loss_denominator;
    }
    return metrics;
}

}  // namespace mn
