// Losses that compare a result of any shape with values given by the batch: squared and absolute
// error, Huber, binary cross-entropy of logits. The mean divides by the number of values. A task is
// one image.

#include "backend/cpu/reference/common.h"

namespace mn::cpu::reference {
namespace {

struct Term {
    double loss, gradient;  // by x
};

Term squared(double x, double t, double) {
    const double d = x - t;
    return {d * d, 2 * d};
}

Term absolute(double x, double t, double) {
    const double d = x - t;
    return {std::abs(d), d > 0 ? 1 : d < 0 ? -1 : d};  // 0 at 0, and a NaN stays a NaN
}

Term huber(double x, double t, double delta) {
    const double d = x - t;
    if (d > delta) return {delta * (d - delta / 2), delta};
    if (d < -delta) return {delta * (-d - delta / 2), -delta};
    return {d * d / 2, d};
}

Term binary_cross_entropy(double x, double t, double) {
    // exp of a number that is not positive cannot overflow.
    const double e = std::exp(-std::abs(x));
    const double sigmoid = x < 0 ? e / (1 + e) : 1 / (1 + e);
    // How much of x counts; where it is none, an infinite x must not make a NaN of it.
    const double part = x > 0 ? 1 - t : -t;
    return {(part == 0 ? 0 : x * part) + std::log1p(e), sigmoid - t};
}

using TermFunction = Term (*)(double x, double t, double delta);

TermFunction term_of(int32_t kind) {
    switch (kind) {
        case MN_LOSS_MSE:
            return squared;
        case MN_LOSS_L1:
            return absolute;
        case MN_LOSS_HUBER:
            return huber;
        case MN_LOSS_BCE_WITH_LOGITS:
            return binary_cross_entropy;
        default:
            return nullptr;
    }
}

class TargetLoss : public Kernel {
public:
    TargetLoss(const Device&, const ImageNode& node, int direction)
        : src_(node.src[0]),
          loss_(node.desc.loss),
          term_(term_of(node.desc.loss.kind)),
          training_(direction == MNB_FORWARD_TRAINING) {}

    void run(Device& device, const mnb_run& run) override {
        double* sums = static_cast<double*>(run.workspace);
        device.pool.parallel_for(run.count, [&](int n, int) { sums[n] = image(run, n); });
        mnb_loss_result result = {};
        for (int32_t n = 0; n < run.count; ++n) result.numerator += sums[n];
        result.denominator = loss_.reduction == MN_REDUCTION_MEAN
                                 ? static_cast<double>(run.count * feature_count(src_))
                                 : 1;
        *run.loss = result;
    }

private:
    double image(const mnb_run& run, int64_t n) const {
        const float* target = run.input->targets + n * feature_count(src_);
        float* diff = training_ ? run.diff_src[0] : nullptr;
        const double factor = run.loss_scale * static_cast<double>(loss_.weight);
        const double delta = static_cast<double>(loss_.delta);
        double sum = 0;
        for (int64_t c = 0; c < src_.c; ++c)
            for (int64_t h = 0; h < src_.h; ++h)
                for (int64_t w = 0; w < src_.w; ++w) {
                    const int64_t at = offset(src_, n, c, h, w);
                    const Term term = term_(static_cast<double>(run.src[0][at]),
                                            static_cast<double>(*target++), delta);
                    sum += term.loss;
                    if (diff != nullptr) diff[at] = static_cast<float>(factor * term.gradient);
                }
        return sum;
    }

    ImageView src_;
    mn_loss_desc loss_;
    TermFunction term_;
    bool training_;
};

}  // namespace

bool target_loss_query(const Device&, const ImageNode& node, int direction, mnb_support& support) {
    if (direction == MNB_BACKWARD) return false;  // training's forward writes the gradient
    if (term_of(node.desc.loss.kind) == nullptr) return false;
    take_layouts(node, support);
    support.workspace_bytes = node.max_batch * static_cast<int64_t>(sizeof(double));
    return true;
}

std::unique_ptr<Kernel> target_loss_create(const Device& device, const ImageNode& node,
                                           int direction) {
    return std::make_unique<TargetLoss>(device, node, direction);
}

}  // namespace mn::cpu::reference
