// Local response normalisation. With D = k + alpha / size * (sum of x^2 over the channels c - size
// / 2 to c + (size - 1) / 2):
//
//     y  = x D^-beta
//     dx = g D^-beta - 2 alpha beta / size x * (sum of g x D^(-beta - 1) over the channels whose
//          sum has x in it)
//
// A task is one row of pixels of an image.

#include <algorithm>

#include "backend/cpu/reference/common.h"

namespace mn::cpu::reference {
namespace {

class LocalResponseNorm : public Kernel {
public:
    LocalResponseNorm(const Device& device, const ImageNode& node, int direction)
        : src_(node.src[0]),
          dst_(node.dst),
          before_(node.desc.local_response_norm.size / 2),
          after_((node.desc.local_response_norm.size - 1) / 2),
          k_(static_cast<double>(node.desc.local_response_norm.k)),
          beta_(static_cast<double>(node.desc.local_response_norm.beta)),
          factor_(static_cast<double>(node.desc.local_response_norm.alpha) /
                  node.desc.local_response_norm.size),
          backward_(direction == MNB_BACKWARD),
          scratch_(scratch(device, node)) {}

    static Scratch scratch(const Device& device, const ImageNode& node) {
        return Scratch(device, 3 * node.src[0].c);
    }

    void run(Device& device, const mnb_run& run) override {
        if (backward_ && run.diff_src[0] == nullptr) return;
        device.pool.parallel_for(static_cast<int>(run.count * src_.h), [&](int task, int worker) {
            double* scratch = scratch_.of(run, worker);
            for (int64_t w = 0; w < src_.w; ++w)
                pixel(run, task / src_.h, task % src_.h, w, scratch);
        });
    }

private:
    void pixel(const mnb_run& run, int64_t n, int64_t h, int64_t w, double* x) const {
        double *power = x + src_.c, *product = power + src_.c;  // D^-beta, g x D^(-beta - 1)
        for (int64_t c = 0; c < src_.c; ++c)
            x[c] = static_cast<double>(run.src[0][offset(src_, n, c, h, w)]);
        for (int64_t c = 0; c < src_.c; ++c) {
            double sum = 0;
            const int64_t last = std::min(c + after_, src_.c - 1);
            for (int64_t i = std::max<int64_t>(c - before_, 0); i <= last; ++i) sum += x[i] * x[i];
            const double d = k_ + factor_ * sum;
            power[c] = std::pow(d, -beta_);
            const int64_t at = offset(dst_, n, c, h, w);
            if (!backward_)
                run.dst[at] = static_cast<float>(x[c] * power[c]);
            else
                product[c] = static_cast<double>(run.diff_dst[at]) * x[c] * power[c] / d;
        }
        for (int64_t c = 0; backward_ && c < src_.c; ++c) {
            double sum = 0;
            const int64_t last = std::min(c + before_, src_.c - 1);
            for (int64_t i = std::max<int64_t>(c - after_, 0); i <= last; ++i) sum += product[i];
            const double g = static_cast<double>(run.diff_dst[offset(dst_, n, c, h, w)]);
            run.diff_src[0][offset(src_, n, c, h, w)] =
                static_cast<float>(g * power[c] - 2 * beta_ * factor_ * x[c] * sum);
        }
    }

    ImageView src_, dst_;
    int64_t before_, after_;
    double k_, beta_, factor_;
    bool backward_;
    Scratch scratch_;
};

}  // namespace

bool local_response_norm_query(const Device& device, const ImageNode& node, int,
                               mnb_support& support) {
    take_layouts(node, support);
    support.workspace_bytes = LocalResponseNorm::scratch(device, node).bytes();
    support.backward_needs = MNB_NEEDS_SRC;
    return true;
}

std::unique_ptr<Kernel> local_response_norm_create(const Device& device, const ImageNode& node,
                                                   int direction) {
    return std::make_unique<LocalResponseNorm>(device, node, direction);
}

}  // namespace mn::cpu::reference
