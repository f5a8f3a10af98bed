// Convolution, with bias, normalisation (inference), activation and max pooling fused where the
// node says so.
//
// Sources and gradients of sources are handled one image and group at a time in a dense copy in
// double precision with the padding around it:
//
//     conv[oh][ow] = sum over ic, kh, kw of weight * padded[ic][oh * sh + kh * dh][ow * sw + kw *
//     dw]
//
// What lies in the padding is no part of the sum: an infinite weight has no product with it. The
// two gradients are the same sum, solved for the other factors.

#include <algorithm>

#include "backend/cpu/folded_norm.h"
#include "backend/cpu/reference/common.h"

namespace mn::cpu::reference {
namespace {

// Output channels (forward, weights) or source channels (gradient of the source) of one task.
constexpr int64_t channel_block = 4;

struct Geometry {
    int64_t groups, ic, oc;  // channels of one group
    int64_t kh, kw;
    int64_t ph, pw;  // padded source
    int64_t oh, ow;  // result before pooling

    explicit Geometry(const ImageNode& node) {
        const mn_conv2d_desc& d = node.desc.conv2d;
        groups = d.groups;
        ic = node.src[0].c / groups;
        oc = d.out_channels / groups;
        kh = d.kernel_h;
        kw = d.kernel_w;
        ph = node.src[0].h + d.pad_top + d.pad_bottom;
        pw = node.src[0].w + d.pad_left + d.pad_right;
        oh = (ph - d.dilation_h * (kh - 1) - 1) / d.stride_h + 1;
        ow = (pw - d.dilation_w * (kw - 1) - 1) / d.stride_w + 1;
    }

    // Doubles that one worker needs; a plane of floats is counted as one of doubles.
    int64_t scratch(int direction) const {
        const int64_t image = ic * ph * pw, plane = oh * ow;
        if (direction != MNB_BACKWARD) return image + 2 * plane;
        const int64_t source = std::min(ic, channel_block) * ph * pw + plane;
        const int64_t weights = image + plane + std::min(oc, channel_block) * (ic * kh * kw + 1);
        return std::max(source, weights);
    }
};

// The results, from begin to below end, whose tap lies inside the source.
struct Inside {
    int64_t begin, end;

    Inside(int64_t tap, int64_t pad, int64_t stride, int64_t size, int64_t results)
        : begin(tap < pad ? divide_up(pad - tap, stride) : 0),
          end(size + pad - tap < 1 ? 0 : std::min(results, (size + pad - tap - 1) / stride + 1)) {}
};

// Four partial sums, so that the additions do not wait for each other.
double dot(const double* a, const double* b, int64_t stride_b, int64_t count) {
    double sum[4] = {};
    int64_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (int64_t j = 0; j < 4; ++j) sum[j] += a[i + j] * b[(i + j) * stride_b];
    for (; i < count; ++i) sum[0] += a[i] * b[i * stride_b];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

class Conv2d : public Kernel {
public:
    Conv2d(const Device& device, const ImageNode& node, int direction)
        : node_(node),
          d_(node_.desc.conv2d),
          g_(node_),
          direction_(direction),
          scratch_(device, g_.scratch(direction)) {}

    static int64_t workspace(const Device& device, const ImageNode& node, int direction) {
        return Scratch(device, Geometry(node).scratch(direction)).bytes();
    }

    void run(Device& device, const mnb_run& run) override {
        if (direction_ != MNB_BACKWARD) {
            parallel(device, run.count, g_.oc,
                     [&](int64_t n, int64_t group, int64_t first, int64_t last, int worker) {
                         forward(run, n, group, first, last, scratch_.of(run, worker));
                     });
            return;
        }
        if (run.diff_src[0] != nullptr)
            parallel(device, run.count, g_.ic,
                     [&](int64_t n, int64_t group, int64_t first, int64_t last, int worker) {
                         backward_source(run, n, group, first, last, scratch_.of(run, worker));
                     });
        if (run.diff_param[0] != nullptr || run.diff_param[1] != nullptr)
            parallel(device, 1, g_.oc,
                     [&](int64_t, int64_t group, int64_t first, int64_t last, int worker) {
                         backward_weights(run, group, first, last, scratch_.of(run, worker));
                     });
        for (int p = 0; p < node_.param_count; ++p)
            if (run.diff_param[p] != nullptr && !run.accumulate[p])
                clear_padding(node_.param[p], run.diff_param[p]);
    }

private:
    // Calls body(image, group, first, last, worker) for all blocks of a group's channels.
    template <class Body>
    void parallel(Device& device, int64_t images, int64_t channels, Body&& body) {
        const int64_t blocks = divide_up(channels, channel_block);
        const int64_t tasks = images * g_.groups * blocks;
        device.pool.parallel_for(static_cast<int>(tasks), [&](int task, int worker) {
            const int64_t first = task % blocks * channel_block;
            body(task / blocks / g_.groups, task / blocks % g_.groups, first,
                 std::min(first + channel_block, channels), worker);
        });
    }

    double& at(double* padded, int64_t c, int64_t h, int64_t w) const {
        return padded[(c * g_.ph + h) * g_.pw + w];
    }

    void read_padded(const float* src, int64_t n, int64_t group, double* padded) const {
        const ImageView& t = node_.src[0];
        std::fill_n(padded, g_.ic * g_.ph * g_.pw, 0.0);
        for (int64_t c = 0; c < g_.ic; ++c)
            for (int64_t h = 0; h < t.h; ++h)
                for (int64_t w = 0; w < t.w; ++w)
                    at(padded, c, h + d_.pad_top, w + d_.pad_left) =
                        static_cast<double>(src[offset(t, n, group * g_.ic + c, h, w)]);
    }

    Inside inside_rows(int64_t kh) const {
        return Inside(kh * d_.dilation_h, d_.pad_top, d_.stride_h, node_.src[0].h, g_.oh);
    }
    Inside inside_columns(int64_t kw) const {
        return Inside(kw * d_.dilation_w, d_.pad_left, d_.stride_w, node_.src[0].w, g_.ow);
    }

    double weight(const mnb_run& run, int64_t o, int64_t i, int64_t kh, int64_t kw) const {
        return static_cast<double>(run.param[0][param_offset(node_.param[0], o, i, kh, kw)]);
    }

    void forward(const mnb_run& run, int64_t n, int64_t group, int64_t first, int64_t last,
                 double* padded) const {
        double* sum = padded + g_.ic * g_.ph * g_.pw;
        float* plane = reinterpret_cast<float*>(sum + g_.oh * g_.ow);
        read_padded(run.src[0], n, group, padded);
        for (int64_t oc = group * g_.oc + first; oc < group * g_.oc + last; ++oc) {
            double factor = 1, shift = d_.bias ? static_cast<double>(run.param[1][oc]) : 0.0;
            if (node_.has_norm) {
                const FoldedNorm norm(node_, run, oc);
                factor = norm.factor;
                shift = norm.shift;
            }
            std::fill_n(sum, g_.oh * g_.ow, 0.0);
            for (int64_t ic = 0; ic < g_.ic; ++ic)
                for (int64_t kh = 0; kh < g_.kh; ++kh)
                    for (int64_t kw = 0; kw < g_.kw; ++kw)
                        add_shifted(padded, ic, kh, kw, weight(run, oc, ic, kh, kw), sum);
            for (int64_t i = 0; i < g_.oh * g_.ow; ++i)
                plane[i] = activate(node_.activation, static_cast<float>(sum[i] * factor + shift));
            write(run, n, oc, plane);
        }
    }

    void add_shifted(const double* padded, int64_t ic, int64_t kh, int64_t kw, double weight,
                     double* sum) const {
        const Inside rows = inside_rows(kh), columns = inside_columns(kw);
        for (int64_t oh = rows.begin; oh < rows.end; ++oh) {
            const int64_t h = oh * d_.stride_h + kh * d_.dilation_h;
            const double* from = padded + (ic * g_.ph + h) * g_.pw + kw * d_.dilation_w;
            double* to = sum + oh * g_.ow;
            for (int64_t ow = columns.begin; ow < columns.end; ++ow)
                to[ow] += weight * from[ow * d_.stride_w];
        }
    }

    void write(const mnb_run& run, int64_t n, int64_t oc, const float* plane) const {
        const ImageView& t = node_.dst;
        const Argmax argmax(node_.pool, run.saved);
        for (int64_t h = 0; h < t.h; ++h)
            for (int64_t w = 0; w < t.w; ++w) {
                float& dst = run.dst[offset(t, n, oc, h, w)];
                if (!node_.has_pool) {
                    dst = plane[h * g_.ow + w];
                    continue;
                }
                const Maximum best =
                    max_of_window(node_.pool, g_.oh, g_.ow, h, w,
                                  [&](int64_t y, int64_t x) { return plane[y * g_.ow + x]; });
                dst = best.value;
                if (direction_ == MNB_FORWARD_TRAINING)
                    argmax.set(dense_index(t, n, oc, h, w), best.kh, best.kw);
            }
    }

    // The gradient of the convolution's own result: through pooling and activation.
    void read_gradient(const mnb_run& run, int64_t n, int64_t oc, double* plane) const {
        const ImageView& t = node_.dst;
        const Argmax argmax(node_.pool, run.saved);
        std::fill_n(plane, g_.oh * g_.ow, 0.0);
        for (int64_t h = 0; h < t.h; ++h)
            for (int64_t w = 0; w < t.w; ++w) {
                const int64_t at = offset(t, n, oc, h, w);
                if (node_.activation != 0 && !passes(node_.activation, run.dst[at])) continue;
                int64_t y = h, x = w;
                if (node_.has_pool) {
                    const int64_t index = dense_index(t, n, oc, h, w);
                    if (argmax.none(index)) continue;
                    y = window_row(node_.pool, h, argmax.kh(index));
                    x = window_column(node_.pool, w, argmax.kw(index));
                }
                plane[y * g_.ow + x] += static_cast<double>(run.diff_dst[at]);
            }
    }

    void backward_source(const mnb_run& run, int64_t n, int64_t group, int64_t first, int64_t last,
                         double* padded) const {
        const ImageView& t = node_.src[0];
        const int64_t size = (last - first) * g_.ph * g_.pw;
        double* gradient = padded + size;
        std::fill_n(padded, size, 0.0);
        for (int64_t oc = group * g_.oc; oc < (group + 1) * g_.oc; ++oc) {
            read_gradient(run, n, oc, gradient);
            for (int64_t ic = first; ic < last; ++ic)
                for (int64_t kh = 0; kh < g_.kh; ++kh)
                    for (int64_t kw = 0; kw < g_.kw; ++kw) {
                        const double factor = weight(run, oc, ic, kh, kw);
                        for (int64_t oh = 0; oh < g_.oh; ++oh) {
                            double* to =
                                &at(padded, ic - first, oh * d_.stride_h + kh * d_.dilation_h,
                                    kw * d_.dilation_w);
                            const double* from = gradient + oh * g_.ow;
                            for (int64_t ow = 0; ow < g_.ow; ++ow)
                                to[ow * d_.stride_w] += factor * from[ow];
                        }
                    }
        }
        for (int64_t ic = first; ic < last; ++ic)
            for (int64_t h = 0; h < t.h; ++h)
                for (int64_t w = 0; w < t.w; ++w)
                    run.diff_src[0][offset(t, n, group * g_.ic + ic, h, w)] =
                        static_cast<float>(at(padded, ic - first, h + d_.pad_top, w + d_.pad_left));
    }

    void backward_weights(const mnb_run& run, int64_t group, int64_t first, int64_t last,
                          double* padded) const {
        const int64_t filter = g_.ic * g_.kh * g_.kw;
        double* gradient = padded + g_.ic * g_.ph * g_.pw;
        double* weights = gradient + g_.oh * g_.ow;
        double* biases = weights + (last - first) * filter;
        std::fill_n(weights, (last - first) * (filter + 1), 0.0);
        for (int64_t n = 0; n < run.count; ++n) {
            read_padded(run.src[0], n, group, padded);
            for (int64_t o = 0; o < last - first; ++o) {
                read_gradient(run, n, group * g_.oc + first + o, gradient);
                for (int64_t i = 0; i < g_.oh * g_.ow; ++i) biases[o] += gradient[i];
                for (int64_t ic = 0; ic < g_.ic; ++ic)
                    for (int64_t kh = 0; kh < g_.kh; ++kh)
                        for (int64_t kw = 0; kw < g_.kw; ++kw)
                            weights[o * filter + (ic * g_.kh + kh) * g_.kw + kw] +=
                                dot_shifted(gradient, padded, ic, kh, kw);
            }
        }
        for (int64_t o = 0; o < last - first; ++o) {
            const int64_t oc = group * g_.oc + first + o;
            for (int64_t ic = 0; ic < g_.ic && run.diff_param[0] != nullptr; ++ic)
                for (int64_t kh = 0; kh < g_.kh; ++kh)
                    for (int64_t kw = 0; kw < g_.kw; ++kw)
                        write_gradient(
                            run.diff_param[0][param_offset(node_.param[0], oc, ic, kh, kw)],
                            weights[o * filter + (ic * g_.kh + kh) * g_.kw + kw],
                            run.accumulate[0]);
            if (run.diff_param[1] != nullptr)
                write_gradient(run.diff_param[1][oc], biases[o], run.accumulate[1]);
        }
    }

    double dot_shifted(const double* gradient, const double* padded, int64_t ic, int64_t kh,
                       int64_t kw) const {
        const Inside rows = inside_rows(kh), columns = inside_columns(kw);
        double sum = 0;
        for (int64_t oh = rows.begin; oh < rows.end; ++oh) {
            const int64_t h = oh * d_.stride_h + kh * d_.dilation_h;
            const double* from = padded + (ic * g_.ph + h) * g_.pw + kw * d_.dilation_w;
            sum += dot(gradient + oh * g_.ow + columns.begin, from + columns.begin * d_.stride_w,
                       d_.stride_w, columns.end - columns.begin);
        }
        return sum;
    }

    ImageNode node_;
    const mn_conv2d_desc& d_;
    Geometry g_;
    int direction_;
    Scratch scratch_;
};

}  // namespace

bool conv2d_query(const Device& device, const ImageNode& node, int direction,
                  mnb_support& support) {
    if (node.activation != 0 && node.activation != MN_ACTIVATION_RELU) return false;
    if (node.has_norm && direction != MNB_FORWARD_INFERENCE) return false;
    if (node.has_pool && !Argmax::fits_byte(node.pool)) return false;
    take_layouts(node, support);
    support.workspace_bytes = Conv2d::workspace(device, node, direction);
    if (direction != MNB_FORWARD_INFERENCE && node.has_pool)
        support.saved_bytes = Argmax::bytes(node.pool, node.dst);
    support.backward_needs = MNB_NEEDS_SRC | (node.activation ? MNB_NEEDS_DST : 0) |
                             (node.has_pool ? MNB_NEEDS_SAVED : 0);
    return true;
}

std::unique_ptr<Kernel> conv2d_create(const Device& device, const ImageNode& node, int direction) {
    return std::make_unique<Conv2d>(device, node, direction);
}

}  // namespace mn::cpu::reference
