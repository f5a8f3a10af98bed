// Softmax, and the cross entropy of class labels with its gradient. A task is one image.

#include <algorithm>
#include <string>

#include "backend/cpu/reference/common.h"
#include "graph/error.h"

namespace mn::cpu::reference {
namespace {

// Largest value of a row and sum of exp(x - largest). A NaN anywhere makes the sum a NaN.
struct Exponentials {
    double largest, sum;

    template <class Read>
    Exponentials(int64_t count, Read&& read) : largest(read(0)), sum(0) {
        for (int64_t f = 1; f < count; ++f) largest = std::max(largest, read(f));
        for (int64_t f = 0; f < count; ++f) sum += std::exp(read(f) - largest);
    }
};

class Softmax : public Kernel {
public:
    Softmax(const Device&, const mnb_node& node, int direction)
        : node_(node), direction_(direction) {}

    void run(Device& device, const mnb_run& run) override {
        if (direction_ == MNB_BACKWARD && run.diff_src[0] == nullptr) return;
        device.pool.parallel_for(run.count, [&](int n, int) {
            direction_ == MNB_BACKWARD ? backward(run, n) : forward(run, n);
        });
    }

private:
    void forward(const mnb_run& run, int64_t n) const {
        const int64_t features = feature_count(node_.src[0]);
        const auto x = [&](int64_t f) {
            return static_cast<double>(run.src[0][feature_offset(node_.src[0], n, f)]);
        };
        const Exponentials e(features, x);
        for (int64_t f = 0; f < features; ++f)
            run.dst[feature_offset(node_.dst, n, f)] =
                static_cast<float>(std::exp(x(f) - e.largest) / e.sum);
    }

    void backward(const mnb_run& run, int64_t n) const {
        const int64_t features = feature_count(node_.src[0]);
        double sum = 0;
        for (int64_t f = 0; f < features; ++f) {
            const int64_t at = feature_offset(node_.dst, n, f);
            sum += static_cast<double>(run.dst[at]) * static_cast<double>(run.diff_dst[at]);
        }
        for (int64_t f = 0; f < features; ++f) {
            const int64_t at = feature_offset(node_.dst, n, f);
            run.diff_src[0][feature_offset(node_.src[0], n, f)] = static_cast<float>(
                static_cast<double>(run.dst[at]) * (static_cast<double>(run.diff_dst[at]) - sum));
        }
    }

    mnb_node node_;
    int direction_;
};

class CrossEntropy : public Kernel {
public:
    struct Row {
        double loss;
        int64_t correct;
    };

    CrossEntropy(const Device&, const mnb_node& node, int direction)
        : node_(node), name_(node.name != nullptr ? node.name : ""), direction_(direction) {}

    void run(Device& device, const mnb_run& run) override {
        const int64_t features = feature_count(node_.src[0]);
        for (int32_t n = 0; n < run.count; ++n)
            if (label(run, n) < 0 || label(run, n) >= features)
                fail(MN_INVALID_ARGUMENT, "[", name_, "] label ", label(run, n), " of image ", n,
                     " of the batch is not one of ", features, " classes");
        Row* rows = static_cast<Row*>(run.workspace);
        device.pool.parallel_for(run.count, [&](int n, int) { rows[n] = row(run, n); });
        mnb_loss_result result = {};
        for (int32_t n = 0; n < run.count; ++n) {
            result.numerator += rows[n].loss;
            result.correct += rows[n].correct;
        }
        result.denominator = node_.desc.loss.reduction == MN_REDUCTION_MEAN ? run.count : 1;
        *run.loss = result;
    }

private:
    static int32_t label(const mnb_run& run, int64_t n) {
        return run.input->labels[run.input->indices ? run.input->indices[n] : n];
    }

    Row row(const mnb_run& run, int64_t n) const {
        const mnb_tensor& t = node_.src[0];
        const int64_t features = feature_count(t), target = label(run, n);
        const auto x = [&](int64_t f) {
            return static_cast<double>(run.src[0][feature_offset(t, n, f)]);
        };
        const Exponentials e(features, x);
        if (direction_ == MNB_FORWARD_TRAINING && run.diff_src[0] != nullptr) {
            const double weight = static_cast<double>(node_.desc.loss.weight);
            for (int64_t f = 0; f < features; ++f) {
                const double share = std::exp(x(f) - e.largest) / e.sum;
                run.diff_src[0][feature_offset(t, n, f)] =
                    static_cast<float>(weight * (share - (f == target ? 1.0 : 0.0)));
            }
        }
        int64_t first_largest = 0;
        bool comparable = true;  // a row with a NaN has no largest value
        for (int64_t f = 0; f < features; ++f) {
            if (x(f) > x(first_largest)) first_largest = f;
            comparable = comparable && !std::isnan(x(f));
        }
        return {std::log(e.sum) + e.largest - x(target),
                comparable && first_largest == target ? 1 : 0};
    }

    mnb_node node_;
    std::string name_;
    int direction_;
};

}  // namespace

bool softmax_query(const Device&, const mnb_node& node, int, mnb_support& support) {
    take_layouts(node, support);
    support.backward_needs = MNB_NEEDS_DST;
    return true;
}

std::unique_ptr<Kernel> softmax_create(const Device& device, const mnb_node& node, int direction) {
    return std::make_unique<Softmax>(device, node, direction);
}

bool cross_entropy_query(const Device&, const mnb_node& node, int direction, mnb_support& support) {
    if (direction == MNB_BACKWARD) return false;  // training's forward writes the gradient
    take_layouts(node, support);
    support.workspace_bytes = node.max_batch * static_cast<int64_t>(sizeof(CrossEntropy::Row));
    return true;
}

std::unique_ptr<Kernel> cross_entropy_create(const Device& device, const mnb_node& node,
                                             int direction) {
    return std::make_unique<CrossEntropy>(device, node, direction);
}

}  // namespace mn::cpu::reference
