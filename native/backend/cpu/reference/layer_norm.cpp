// Layer normalisation. That of features is group normalisation with one group; of images there are
// two kinds, which differ in what is normalised together (a set) and in what the parameters belong
// to:
//
//     over everything     a set is an image, weight and bias have one value an element of it
//     over the channels   a set is a pixel, weight and bias have one value a channel
//
// The formulas are those of batch_norm.cpp with the weight inside the means.

#include <algorithm>

#include "backend/cpu/reference/common.h"
#include "backend/cpu/reference/group_norm.h"

namespace mn::cpu::reference {
namespace {

constexpr int64_t block = 16;  // channels of a task for the parameters' gradients

// Two sums of one set, in four parts that do not wait for each other.
struct Sums {
    double first[4] = {}, second[4] = {};

    void add(int64_t c, double a, double b) {
        first[c & 3] += a;
        second[c & 3] += b;
    }
    static double total(const double* parts) {
        return (parts[0] + parts[1]) + (parts[2] + parts[3]);
    }
};

class ImageNorm : public Kernel {
public:
    ImageNorm(const ImageNode& node, int direction)
        : node_(node),
          d_(node_.desc.layer_norm),
          src_(node.src[0]),
          dst_(node.dst),
          direction_(direction),
          pixels_(d_.channels_only != 0),
          values_(static_cast<double>(pixels_ ? src_.c : feature_count(src_))) {}

    // Mean and r of each set.
    static int64_t saved_bytes(const ImageNode& node) {
        const ImageView& t = node.src[0];
        return 2 * int64_t{sizeof(double)} * (node.desc.layer_norm.channels_only ? t.h * t.w : 1);
    }

    void run(Device& device, const mnb_run& run) override {
        // A task is a row of pixels, or an image.
        const int64_t rows = pixels_ ? src_.h : 1;
        const bool backward = direction_ == MNB_BACKWARD;
        if (!backward || run.diff_src[0] != nullptr)
            device.pool.parallel_for(static_cast<int>(run.count * rows), [&](int task, int) {
                const int64_t n = task / rows, h = task % rows;
                for (int64_t w = 0; w < (pixels_ ? src_.w : 1); ++w)
                    backward ? this->backward(run, n, h, w) : forward(run, n, h, w);
            });
        if (backward && d_.affine && (run.diff_param[0] != nullptr || run.diff_param[1] != nullptr))
            parameters(device, run);
    }

private:
    // Calls body(n, c, h, w) for the elements of the set of pixel (h, w), or of the whole image.
    template <class Body>
    void visit(int64_t h, int64_t w, Body&& body) const {
        if (pixels_) {
            for (int64_t c = 0; c < src_.c; ++c) body(c, h, w);
            return;
        }
        for (int64_t y = 0; y < src_.h; ++y)
            for (int64_t x = 0; x < src_.w; ++x)
                for (int64_t c = 0; c < src_.c; ++c) body(c, y, x);
    }

    double* saved(const mnb_run& run, int64_t n, int64_t h, int64_t w) const {
        return static_cast<double*>(run.saved) + 2 * (pixels_ ? (n * src_.h + h) * src_.w + w : n);
    }
    int64_t param_index(int64_t c, int64_t h, int64_t w) const {
        return pixels_ ? c : (c * src_.h + h) * src_.w + w;
    }
    float weight(const mnb_run& run, int64_t c, int64_t h, int64_t w) const {
        return d_.affine ? run.param[0][param_index(c, h, w)] : 1.0f;
    }

    void forward(const mnb_run& run, int64_t n, int64_t h0, int64_t w0) const {
        Sums sums;
        visit(h0, w0, [&](int64_t c, int64_t h, int64_t w) {
            const double x = static_cast<double>(run.src[0][offset(src_, n, c, h, w)]);
            sums.add(c, x, x * x);
        });
        const double mean = Sums::total(sums.first) / values_;
        const double difference = Sums::total(sums.second) / values_ - mean * mean;
        const double variance = difference < 0 ? 0 : difference;
        const double r = 1.0 / std::sqrt(variance + static_cast<double>(d_.epsilon));
        if (direction_ == MNB_FORWARD_TRAINING) {
            saved(run, n, h0, w0)[0] = mean;
            saved(run, n, h0, w0)[1] = r;
        }
        visit(h0, w0, [&](int64_t c, int64_t h, int64_t w) {
            const double x = static_cast<double>(run.src[0][offset(src_, n, c, h, w)]);
            const float bias = d_.affine ? run.param[1][param_index(c, h, w)] : 0.0f;
            run.dst[offset(dst_, n, c, h, w)] =
                static_cast<float>((x - mean) * r) * weight(run, c, h, w) + bias;
        });
    }

    void backward(const mnb_run& run, int64_t n, int64_t h0, int64_t w0) const {
        const double mean = saved(run, n, h0, w0)[0], r = saved(run, n, h0, w0)[1];
        const auto centred = [&](int64_t c, int64_t h, int64_t w) {
            return (static_cast<double>(run.src[0][offset(src_, n, c, h, w)]) - mean) * r;
        };
        const auto gradient = [&](int64_t c, int64_t h, int64_t w) {
            return static_cast<double>(run.diff_dst[offset(dst_, n, c, h, w)]) *
                   static_cast<double>(weight(run, c, h, w));
        };
        Sums sums;
        visit(h0, w0, [&](int64_t c, int64_t h, int64_t w) {
            const double g = gradient(c, h, w);
            sums.add(c, g, g * centred(c, h, w));
        });
        const double mean_g = Sums::total(sums.first) / values_;
        const double mean_gx = Sums::total(sums.second) / values_;
        visit(h0, w0, [&](int64_t c, int64_t h, int64_t w) {
            run.diff_src[0][offset(src_, n, c, h, w)] =
                static_cast<float>(r * (gradient(c, h, w) - mean_g - centred(c, h, w) * mean_gx));
        });
    }

    // A task is a block of channels, and where each pixel has parameters of its own, one row.
    void parameters(Device& device, const mnb_run& run) const {
        const int64_t blocks = divide_up(src_.c, block);
        const int64_t tasks = blocks * (pixels_ ? 1 : src_.h);
        device.pool.parallel_for(static_cast<int>(tasks), [&](int task, int) {
            const int64_t first = task % blocks * block, last = std::min(first + block, src_.c);
            if (pixels_) {
                double weights[block] = {}, biases[block] = {};
                for (int64_t n = 0; n < run.count; ++n)
                    for (int64_t h = 0; h < src_.h; ++h)
                        for (int64_t w = 0; w < src_.w; ++w)
                            add(run, n, h, w, first, last, weights, biases);
                write(run, 0, 0, first, last, weights, biases);
                return;
            }
            const int64_t h = task / blocks;
            for (int64_t w = 0; w < src_.w; ++w) {
                double weights[block] = {}, biases[block] = {};
                for (int64_t n = 0; n < run.count; ++n)
                    add(run, n, h, w, first, last, weights, biases);
                write(run, h, w, first, last, weights, biases);
            }
        });
    }

    void add(const mnb_run& run, int64_t n, int64_t h, int64_t w, int64_t first, int64_t last,
             double* weights, double* biases) const {
        const double *set = saved(run, n, h, w), mean = set[0], r = set[1];
        for (int64_t c = first; c < last; ++c) {
            const double g = static_cast<double>(run.diff_dst[offset(dst_, n, c, h, w)]);
            const double x = static_cast<double>(run.src[0][offset(src_, n, c, h, w)]);
            weights[c - first] += g * (x - mean) * r;
            biases[c - first] += g;
        }
    }

    void write(const mnb_run& run, int64_t h, int64_t w, int64_t first, int64_t last,
               const double* weights, const double* biases) const {
        for (int64_t c = first; c < last; ++c) {
            const int64_t at = param_index(c, h, w);
            if (run.diff_param[0] != nullptr)
                write_gradient(run.diff_param[0][at], weights[c - first], run.accumulate[0]);
            if (run.diff_param[1] != nullptr)
                write_gradient(run.diff_param[1][at], biases[c - first], run.accumulate[1]);
        }
    }

    ImageNode node_;
    const mn_layer_norm_desc& d_;
    ImageView src_, dst_;
    int direction_;
    bool pixels_;    // sets are pixels
    double values_;  // of a set
};

bool is_one_group(const ImageNode& node) {
    const ImageView& t = node.src[0];
    return t.h * t.w == 1;
}

}  // namespace

bool layer_norm_query(const Device& device, const ImageNode& node, int direction,
                      mnb_support& support) {
    if (node.activation != 0 || node.has_pool) return false;
    if (is_one_group(node)) {
        group_norm_support(device, node, 1, direction, support);
        return true;
    }
    take_layouts(node, support);
    for (int32_t& layout : support.param_layout) layout = MNB_PARAM_PLAIN;
    if (direction != MNB_FORWARD_INFERENCE) support.saved_bytes = ImageNorm::saved_bytes(node);
    support.backward_needs = MNB_NEEDS_SRC | MNB_NEEDS_SAVED;
    return true;
}

std::unique_ptr<Kernel> layer_norm_create(const Device& device, const ImageNode& node,
                                          int direction) {
    const mn_layer_norm_desc& d = node.desc.layer_norm;
    if (is_one_group(node))
        return make_group_norm(device, node, 1, static_cast<double>(d.epsilon), d.affine != 0,
                               direction);
    return std::make_unique<ImageNorm>(node, direction);
}

}  // namespace mn::cpu::reference
