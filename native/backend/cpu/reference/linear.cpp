// Linear layer, with bias and activation. Rows of the source and of the weights are copied to
// dense rows in double precision, both in the order of features (c, h, w), whatever their layouts.

#include <algorithm>

#include "backend/cpu/reference/common.h"

namespace mn::cpu::reference {
namespace {

// Images or output features of one task.
constexpr int64_t block = 8;

double dot(const double* a, const double* b, int64_t count) {
    double sum[4] = {};
    int64_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (int64_t j = 0; j < 4; ++j) sum[j] += a[i + j] * b[i + j];
    for (; i < count; ++i) sum[0] += a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

class Linear : public Kernel {
public:
    Linear(const Device& device, const ImageNode& node, int direction)
        : node_(node),
          inputs_(feature_count(node.src[0])),
          outputs_(node.desc.linear.out_features),
          direction_(direction),
          scratch_(scratch(device, node)) {}

    static Scratch scratch(const Device& device, const ImageNode& node) {
        return Scratch(device, (block + 1) * feature_count(node.src[0]));
    }

    void run(Device& device, const mnb_run& run) override {
        if (direction_ != MNB_BACKWARD) {
            const int64_t blocks = divide_up(outputs_, block);
            const int64_t tasks = divide_up(run.count, block) * blocks;
            device.pool.parallel_for(static_cast<int>(tasks), [&](int task, int worker) {
                forward(run, task / blocks * block, task % blocks * block,
                        scratch_.of(run, worker));
            });
            return;
        }
        if (run.diff_src[0] != nullptr)
            device.pool.parallel_for(
                static_cast<int>(divide_up(run.count, block)), [&](int task, int worker) {
                    backward_source(run, task * block, scratch_.of(run, worker));
                });
        if (run.diff_param[0] != nullptr || run.diff_param[1] != nullptr)
            device.pool.parallel_for(
                static_cast<int>(divide_up(outputs_, block)), [&](int task, int worker) {
                    backward_weights(run, task * block, scratch_.of(run, worker));
                });
        for (int p = 0; p < node_.param_count; ++p)
            if (run.diff_param[p] != nullptr && !run.accumulate[p])
                clear_padding(node_.param[p], run.diff_param[p]);
    }

private:
    void read_source(const float* src, int64_t n, double* row) const {
        for (int64_t f = 0; f < inputs_; ++f)
            row[f] = static_cast<double>(src[feature_offset(node_.src[0], n, f)]);
    }

    int64_t weight_offset(int64_t o, int64_t f) const {
        const WeightView& p = node_.param[0];
        const int64_t area = p.h * p.w;
        return param_offset(p, o, f / area, f % area / p.w, f % p.w);
    }

    void read_weights(const float* weights, int64_t o, double* row) const {
        for (int64_t f = 0; f < inputs_; ++f)
            row[f] = static_cast<double>(weights[weight_offset(o, f)]);
    }

    double gradient(const mnb_run& run, int64_t n, int64_t o) const {
        const int64_t at = feature_offset(node_.dst, n, o);
        if (node_.activation != 0 && !passes(node_.activation, run.dst[at])) return 0.0;
        return static_cast<double>(run.diff_dst[at]);
    }

    void forward(const mnb_run& run, int64_t first_image, int64_t first_output,
                 double* rows) const {
        const int64_t last_image = std::min<int64_t>(first_image + block, run.count);
        const int64_t last_output = std::min(first_output + block, outputs_);
        double* weights = rows + block * inputs_;
        for (int64_t n = first_image; n < last_image; ++n)
            read_source(run.src[0], n, rows + (n - first_image) * inputs_);
        for (int64_t o = first_output; o < last_output; ++o) {
            read_weights(run.param[0], o, weights);
            const double bias = node_.desc.linear.bias ? static_cast<double>(run.param[1][o]) : 0.0;
            for (int64_t n = first_image; n < last_image; ++n) {
                const double sum = dot(rows + (n - first_image) * inputs_, weights, inputs_);
                run.dst[feature_offset(node_.dst, n, o)] =
                    activate(node_.activation, static_cast<float>(sum + bias));
            }
        }
    }

    void backward_source(const mnb_run& run, int64_t first, double* rows) const {
        const int64_t last = std::min<int64_t>(first + block, run.count);
        double* weights = rows + block * inputs_;
        std::fill_n(rows, (last - first) * inputs_, 0.0);
        for (int64_t o = 0; o < outputs_; ++o) {
            read_weights(run.param[0], o, weights);
            for (int64_t n = first; n < last; ++n) {
                const double factor = gradient(run, n, o);
                double* row = rows + (n - first) * inputs_;
                for (int64_t f = 0; f < inputs_; ++f) row[f] += factor * weights[f];
            }
        }
        for (int64_t n = first; n < last; ++n)
            for (int64_t f = 0; f < inputs_; ++f)
                run.diff_src[0][feature_offset(node_.src[0], n, f)] =
                    static_cast<float>(rows[(n - first) * inputs_ + f]);
    }

    void backward_weights(const mnb_run& run, int64_t first, double* rows) const {
        const int64_t last = std::min(first + block, outputs_);
        double* source = rows + block * inputs_;
        double biases[block] = {};
        std::fill_n(rows, (last - first) * inputs_, 0.0);
        for (int64_t n = 0; n < run.count; ++n) {
            read_source(run.src[0], n, source);
            for (int64_t o = first; o < last; ++o) {
                const double factor = gradient(run, n, o);
                double* row = rows + (o - first) * inputs_;
                for (int64_t f = 0; f < inputs_; ++f) row[f] += factor * source[f];
                biases[o - first] += factor;
            }
        }
        for (int64_t o = first; o < last; ++o) {
            for (int64_t f = 0; f < inputs_ && run.diff_param[0] != nullptr; ++f)
                write_gradient(run.diff_param[0][weight_offset(o, f)],
                               rows[(o - first) * inputs_ + f], run.accumulate[0]);
            if (run.diff_param[1] != nullptr)
                write_gradient(run.diff_param[1][o], biases[o - first], run.accumulate[1]);
        }
    }

    ImageNode node_;
    int64_t inputs_, outputs_;
    int direction_;
    Scratch scratch_;
};

}  // namespace

bool linear_query(const Device& device, const ImageNode& node, int, mnb_support& support) {
    if (node.activation != 0 && node.activation != MN_ACTIVATION_RELU) return false;
    if (node.has_pool) return false;
    take_layouts(node, support);
    support.dst_layout = node.dst.layout;
    support.workspace_bytes = Linear::scratch(device, node).bytes();
    support.backward_needs = MNB_NEEDS_SRC | (node.activation ? MNB_NEEDS_DST : 0);
    return true;
}

std::unique_ptr<Kernel> linear_create(const Device& device, const ImageNode& node, int direction) {
    return std::make_unique<Linear>(device, node, direction);
}

}  // namespace mn::cpu::reference
