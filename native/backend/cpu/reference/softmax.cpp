// Softmax and its logarithm over all features of an image. A task is one image.

#include "backend/cpu/reference/common.h"
#include "backend/cpu/reference/exponentials.h"

namespace mn::cpu::reference {
namespace {

class Softmax : public Kernel {
public:
    Softmax(const ImageNode& node, int direction, bool logarithm)
        : src_(node.src[0]),
          dst_(node.dst),
          backward_(direction == MNB_BACKWARD),
          logarithm_(logarithm) {}

    void run(Device& device, const mnb_run& run) override {
        if (backward_ && run.diff_src[0] == nullptr) return;
        device.pool.parallel_for(
            run.count, [&](int n, int) { backward_ ? backward(run, n) : forward(run, n); });
    }

private:
    // A NaN anywhere makes the sum, and so every result, a NaN.
    void forward(const mnb_run& run, int64_t n) const {
        const int64_t features = feature_count(src_);
        const auto x = [&](int64_t f) {
            return static_cast<double>(run.src[0][feature_offset(src_, n, f)]);
        };
        const Exponentials e(features, x);
        const double log_sum = std::log(e.sum);
        for (int64_t f = 0; f < features; ++f) {
            const double centred = x(f) - e.largest;
            run.dst[feature_offset(dst_, n, f)] =
                static_cast<float>(logarithm_ ? centred - log_sum : std::exp(centred) / e.sum);
        }
    }

    // softmax: y (g - sum of g y); logarithm: g - exp(y) (sum of g).
    void backward(const mnb_run& run, int64_t n) const {
        const int64_t features = feature_count(src_);
        double sum = 0;
        for (int64_t f = 0; f < features; ++f) {
            const int64_t at = feature_offset(dst_, n, f);
            const double g = static_cast<double>(run.diff_dst[at]);
            sum += logarithm_ ? g : g * static_cast<double>(run.dst[at]);
        }
        for (int64_t f = 0; f < features; ++f) {
            const int64_t at = feature_offset(dst_, n, f);
            const double g = static_cast<double>(run.diff_dst[at]);
            const double y = static_cast<double>(run.dst[at]);
            run.diff_src[0][feature_offset(src_, n, f)] =
                static_cast<float>(logarithm_ ? g - std::exp(y) * sum : y * (g - sum));
        }
    }

    ImageView src_, dst_;
    bool backward_, logarithm_;
};

}  // namespace

bool softmax_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    take_layouts(node, support);
    support.backward_needs = MNB_NEEDS_DST;
    return true;
}

std::unique_ptr<Kernel> softmax_create(const Device&, const ImageNode& node, int direction) {
    return std::make_unique<Softmax>(node, direction, node.op == MN_OP_LOG_SOFTMAX);
}

}  // namespace mn::cpu::reference
