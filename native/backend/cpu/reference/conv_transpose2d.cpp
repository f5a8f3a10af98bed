// Transposed convolution: what a convolution does to the gradient of its source.
//
//     padded[oc][ih * sh + kh * dh][iw * sw + kw * dw] += src[ic][ih][iw] * weight[ic][oc][kh][kw]
//
// The result is that plane without the padding around it. The two gradients are the same sum,
// solved for the other factors. A task is one output channel of an image (forward), one source
// channel of an image (gradient of the source) or of the batch (weights).

#include <algorithm>

#include "backend/cpu/reference/common.h"

namespace mn::cpu::reference {
namespace {

class ConvTranspose2d : public Kernel {
public:
    ConvTranspose2d(const Device& device, const ImageNode& node, int direction)
        : node_(node),
          d_(node_.desc.conv_transpose2d),
          src_(node_.src[0]),
          dst_(node_.dst),
          ph_(dst_.h + 2 * d_.pad_h),
          pw_(dst_.w + 2 * d_.pad_w),
          ic_(src_.c / d_.groups),
          oc_(dst_.c / d_.groups),
          direction_(direction),
          scratch_(device, src_.h * src_.w + ph_ * pw_ + oc_ * d_.kernel_h * d_.kernel_w) {}

    int64_t workspace() const { return scratch_.bytes(); }

    void run(Device& device, const mnb_run& run) override {
        if (direction_ != MNB_BACKWARD) {
            parallel(device, run.count * dst_.c, run, [&](int64_t task, double* scratch) {
                forward(run, task / dst_.c, task % dst_.c, scratch);
            });
            return;
        }
        if (run.diff_src[0] != nullptr)
            parallel(device, run.count * src_.c, run, [&](int64_t task, double* scratch) {
                backward_source(run, task / src_.c, task % src_.c, scratch);
            });
        if (run.diff_param[0] != nullptr)
            parallel(device, src_.c, run,
                     [&](int64_t ic, double* scratch) { backward_weights(run, ic, scratch); });
        if (run.diff_param[1] != nullptr)
            parallel(device, dst_.c, run, [&](int64_t oc, double*) { backward_bias(run, oc); });
    }

private:
    template <class Body>
    void parallel(Device& device, int64_t tasks, const mnb_run& run, Body&& body) const {
        device.pool.parallel_for(static_cast<int>(tasks), [&](int task, int worker) {
            body(task, scratch_.of(run, worker));
        });
    }

    double weight(const mnb_run& run, int64_t ic, int64_t oc, int64_t kh, int64_t kw) const {
        return static_cast<double>(
            run.param[0][param_offset(node_.param[0], ic, oc % oc_, kh, kw)]);
    }

    void read_source(const float* values, int64_t n, int64_t c, double* plane) const {
        for (int64_t h = 0; h < src_.h; ++h)
            for (int64_t w = 0; w < src_.w; ++w)
                *plane++ = static_cast<double>(values[offset(src_, n, c, h, w)]);
    }

    // The gradient of the result; nothing in the padding reaches it.
    void read_gradient(const mnb_run& run, int64_t n, int64_t c, double* padded) const {
        std::fill_n(padded, ph_ * pw_, 0.0);
        for (int64_t h = 0; h < dst_.h; ++h)
            for (int64_t w = 0; w < dst_.w; ++w)
                padded[(h + d_.pad_h) * pw_ + w + d_.pad_w] =
                    static_cast<double>(run.diff_dst[offset(dst_, n, c, h, w)]);
    }

    double* row(double* padded, int64_t h, int64_t kh, int64_t kw) const {
        return padded + (h * d_.stride_h + kh * d_.dilation_h) * pw_ + kw * d_.dilation_w;
    }

    void forward(const mnb_run& run, int64_t n, int64_t oc, double* source) const {
        double* padded = source + src_.h * src_.w;
        const double bias = d_.bias ? static_cast<double>(run.param[1][oc]) : 0.0;
        std::fill_n(padded, ph_ * pw_, bias);
        const int64_t first = oc / oc_ * ic_;
        for (int64_t ic = first; ic < first + ic_; ++ic) {
            read_source(run.src[0], n, ic, source);
            for (int64_t kh = 0; kh < d_.kernel_h; ++kh)
                for (int64_t kw = 0; kw < d_.kernel_w; ++kw) {
                    const double factor = weight(run, ic, oc, kh, kw);
                    for (int64_t h = 0; h < src_.h; ++h) {
                        double* to = row(padded, h, kh, kw);
                        const double* from = source + h * src_.w;
                        for (int64_t w = 0; w < src_.w; ++w)
                            to[w * d_.stride_w] += factor * from[w];
                    }
                }
        }
        for (int64_t h = 0; h < dst_.h; ++h)
            for (int64_t w = 0; w < dst_.w; ++w)
                run.dst[offset(dst_, n, oc, h, w)] =
                    static_cast<float>(padded[(h + d_.pad_h) * pw_ + w + d_.pad_w]);
    }

    void backward_source(const mnb_run& run, int64_t n, int64_t ic, double* sum) const {
        double* padded = sum + src_.h * src_.w;
        std::fill_n(sum, src_.h * src_.w, 0.0);
        const int64_t first = ic / ic_ * oc_;
        for (int64_t oc = first; oc < first + oc_; ++oc) {
            read_gradient(run, n, oc, padded);
            for (int64_t kh = 0; kh < d_.kernel_h; ++kh)
                for (int64_t kw = 0; kw < d_.kernel_w; ++kw) {
                    const double factor = weight(run, ic, oc, kh, kw);
                    for (int64_t h = 0; h < src_.h; ++h) {
                        const double* from = row(padded, h, kh, kw);
                        double* to = sum + h * src_.w;
                        for (int64_t w = 0; w < src_.w; ++w)
                            to[w] += factor * from[w * d_.stride_w];
                    }
                }
        }
        for (int64_t h = 0; h < src_.h; ++h)
            for (int64_t w = 0; w < src_.w; ++w)
                run.diff_src[0][offset(src_, n, ic, h, w)] =
                    static_cast<float>(sum[h * src_.w + w]);
    }

    void backward_weights(const mnb_run& run, int64_t ic, double* source) const {
        const int64_t area = int64_t{d_.kernel_h} * d_.kernel_w;
        double* padded = source + src_.h * src_.w;
        double* weights = padded + ph_ * pw_;
        std::fill_n(weights, oc_ * area, 0.0);
        const int64_t first = ic / ic_ * oc_;
        for (int64_t n = 0; n < run.count; ++n) {
            read_source(run.src[0], n, ic, source);
            for (int64_t o = 0; o < oc_; ++o) {
                read_gradient(run, n, first + o, padded);
                for (int64_t k = 0; k < area; ++k) {
                    double sum = 0;
                    for (int64_t h = 0; h < src_.h; ++h) {
                        const double* from = row(padded, h, k / d_.kernel_w, k % d_.kernel_w);
                        for (int64_t w = 0; w < src_.w; ++w)
                            sum += source[h * src_.w + w] * from[w * d_.stride_w];
                    }
                    weights[o * area + k] += sum;
                }
            }
        }
        for (int64_t o = 0; o < oc_; ++o)
            for (int64_t k = 0; k < area; ++k)
                write_gradient(run.diff_param[0][param_offset(node_.param[0], ic, o,
                                                              k / d_.kernel_w, k % d_.kernel_w)],
                               weights[o * area + k], run.accumulate[0]);
    }

    void backward_bias(const mnb_run& run, int64_t oc) const {
        double sum = 0;
        for (int64_t n = 0; n < run.count; ++n)
            for (int64_t h = 0; h < dst_.h; ++h)
                for (int64_t w = 0; w < dst_.w; ++w)
                    sum += static_cast<double>(run.diff_dst[offset(dst_, n, oc, h, w)]);
        write_gradient(run.diff_param[1][oc], sum, run.accumulate[1]);
    }

    ImageNode node_;
    const mn_conv_transpose2d_desc& d_;
    const ImageView &src_, &dst_;
    int64_t ph_, pw_;  // padded result
    int64_t ic_, oc_;  // channels of one group
    int direction_;
    Scratch scratch_;
};

}  // namespace

bool conv_transpose2d_query(const Device& device, const ImageNode& node, int direction,
                            mnb_support& support) {
    take_layouts(node, support);
    for (int i = 0; i < node.param_count; ++i) support.param_layout[i] = MNB_PARAM_PLAIN;
    support.workspace_bytes = ConvTranspose2d(device, node, direction).workspace();
    support.backward_needs = MNB_NEEDS_SRC;
    return true;
}

std::unique_ptr<Kernel> conv_transpose2d_create(const Device& device, const ImageNode& node,
                                                int direction) {
    return std::make_unique<ConvTranspose2d>(device, node, direction);
}

}  // namespace mn::cpu::reference
