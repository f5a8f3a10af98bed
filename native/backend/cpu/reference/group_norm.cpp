// Group normalisation: as batch normalisation (batch_norm.cpp), but over the channels of a group in
// one image. The sums of a group are those of its channels, so that memory is read in order in both
// layouts; the parameters' gradients are made of the same sums.

#include "backend/cpu/reference/group_norm.h"

#include "backend/cpu/reference/channels.h"

namespace mn::cpu::reference {
namespace {

class GroupNorm : public Kernel {
public:
    GroupNorm(const Device& device, const ImageNode& node, int64_t groups, double epsilon,
              bool affine, int direction)
        : channels_(node.src[0], node.dst),
          groups_(groups),
          size_(channels_.count() / groups),
          max_batch_(node.max_batch),
          epsilon_(epsilon),
          affine_(affine),
          direction_(direction),
          scratch_(device, 4 * channels_.count()) {}

    // The channels' sums of every image, which the parameters' gradients need after all are done.
    int64_t sums_doubles() const {
        return direction_ == MNB_BACKWARD ? divide_up(max_batch_ * 2 * channels_.count(), 8) * 8
                                          : 0;
    }
    int64_t workspace_bytes() const {
        return sums_doubles() * int64_t{sizeof(double)} + scratch_.bytes();
    }
    // Mean and r of each group.
    int64_t saved_bytes() const { return 2 * groups_ * int64_t{sizeof(double)}; }

    void run(Device& device, const mnb_run& run) override {
        // Few images are shared out by groups.
        const int64_t parts = std::min(groups_, divide_up(int64_t{32}, run.count));
        const int64_t groups_per_part = divide_up(groups_, parts);
        device.pool.parallel_for(static_cast<int>(run.count * parts), [&](int task, int worker) {
            const int64_t n = task / parts, first = task % parts * groups_per_part;
            const int64_t last = std::min(first + groups_per_part, groups_);
            double* scratch = scratch_.of(run, worker) + sums_doubles();
            if (first >= last) return;
            if (direction_ == MNB_BACKWARD)
                backward(run, n, first, last, scratch);
            else
                forward(run, n, first, last, scratch);
        });
        if (direction_ == MNB_BACKWARD && affine_ &&
            (run.diff_param[0] != nullptr || run.diff_param[1] != nullptr))
            parameters(device, run);
    }

private:
    double* saved(const mnb_run& run, int64_t n, int64_t group) const {
        return static_cast<double*>(run.saved) + 2 * (n * groups_ + group);
    }
    double* sums(const mnb_run& run, int64_t n, int which) const {
        return static_cast<double*>(run.workspace) + (2 * n + which) * channels_.count();
    }
    double weight(const mnb_run& run, int64_t c) const {
        return affine_ ? static_cast<double>(run.param[0][c]) : 1.0;
    }
    double values() const { return static_cast<double>(size_ * channels_.area()); }

    void forward(const mnb_run& run, int64_t n, int64_t first, int64_t last,
                 double* scratch) const {
        const int64_t row = n * channels_.height(), last_row = row + channels_.height();
        double *sum = scratch, *squares = scratch + channels_.count();
        const float* src = run.src[0];
        channels_.sum(row, last_row, first * size_, last * size_, sum, squares,
                      [src](int64_t at, int64_t, int64_t, double& a, double& b) {
                          a = static_cast<double>(src[at]);
                          b = a * a;
                      });
        float* means = reinterpret_cast<float*>(squares + channels_.count());
        float *factors = means + channels_.count(), *shifts = factors + channels_.count();
        for (int64_t group = first; group < last; ++group) {
            const int64_t begin = group * size_, end = begin + size_;
            double total = 0, total_squares = 0;
            for (int64_t c = begin; c < end; ++c) {
                total += sum[c];
                total_squares += squares[c];
            }
            const double mean = total / values();
            const double difference = total_squares / values() - mean * mean;
            const double r = 1.0 / std::sqrt((difference < 0 ? 0 : difference) + epsilon_);
            if (direction_ == MNB_FORWARD_TRAINING) {
                saved(run, n, group)[0] = mean;
                saved(run, n, group)[1] = r;
            }
            for (int64_t c = begin; c < end; ++c) {
                const double factor = r * weight(run, c);
                const double bias = affine_ ? static_cast<double>(run.param[1][c]) : 0.0;
                means[c] = static_cast<float>(mean);
                factors[c] = static_cast<float>(factor);
                shifts[c] =
                    static_cast<float>(bias + (static_cast<double>(means[c]) - mean) * factor);
            }
        }
        apply(channels_, row, last_row, first * size_, last * size_,
              ChannelScale{means, factors, shifts, false}, src, run.dst);
    }

    void backward(const mnb_run& run, int64_t n, int64_t first, int64_t last,
                  double* scratch) const {
        const int64_t row = n * channels_.height(), last_row = row + channels_.height();
        double *sum_g = sums(run, n, 0), *sum_gx = sums(run, n, 1);
        const float *src = run.src[0], *diff_dst = run.diff_dst;
        channels_.sum(row, last_row, first * size_, last * size_, sum_g, sum_gx,
                      [=](int64_t at, int64_t dst_at, int64_t, double& a, double& b) {
                          a = static_cast<double>(diff_dst[dst_at]);
                          b = a * static_cast<double>(src[at]);
                      });
        float* means = reinterpret_cast<float*>(scratch);
        float *factors = means + channels_.count(), *slopes = factors + channels_.count();
        float* shifts = slopes + channels_.count();
        for (int64_t group = first; group < last; ++group) {
            const int64_t begin = group * size_, end = begin + size_;
            const double mean = saved(run, n, group)[0], r = saved(run, n, group)[1];
            double total_g = 0, total_gx = 0;
            for (int64_t c = begin; c < end; ++c) {
                sum_gx[c] -= mean * sum_g[c];  // of g (x - m)
                total_g += weight(run, c) * sum_g[c];
                total_gx += weight(run, c) * sum_gx[c];
            }
            const double slope = -r * r * r * total_gx / values();
            for (int64_t c = begin; c < end; ++c) {
                means[c] = static_cast<float>(mean);
                factors[c] = static_cast<float>(weight(run, c) * r);
                slopes[c] = static_cast<float>(slope);
                shifts[c] = static_cast<float>(slope * (static_cast<double>(means[c]) - mean) -
                                               r * total_g / values());
            }
        }
        if (run.diff_src[0] == nullptr) return;
        apply<false>(
            channels_, row, last_row, first * size_, last * size_,
            ChannelGradient{
                {means, factors, nullptr, false}, slopes, shifts, src, diff_dst, run.diff_src[0]});
    }

    void parameters(Device& device, const mnb_run& run) const {
        const int64_t block = 64;
        const int64_t tasks = divide_up(channels_.count(), block);
        device.pool.parallel_for(static_cast<int>(tasks), [&](int task, int) {
            const int64_t last = std::min((task + 1) * block, channels_.count());
            for (int64_t c = task * block; c < last; ++c) {
                double weights = 0, biases = 0;
                for (int64_t n = 0; n < run.count; ++n) {
                    weights += sums(run, n, 1)[c] * saved(run, n, c / size_)[1];
                    biases += sums(run, n, 0)[c];
                }
                if (run.diff_param[0] != nullptr)
                    write_gradient(run.diff_param[0][c], weights, run.accumulate[0]);
                if (run.diff_param[1] != nullptr)
                    write_gradient(run.diff_param[1][c], biases, run.accumulate[1]);
            }
        });
    }

    Channels channels_;
    int64_t groups_, size_;  // size_: channels of a group
    int64_t max_batch_;
    double epsilon_;
    bool affine_;
    int direction_;
    Scratch scratch_;  // behind the sums
};

}  // namespace

void group_norm_support(const Device& device, const ImageNode& node, int64_t groups, int direction,
                        mnb_support& support) {
    const GroupNorm kernel(device, node, groups, 0, false, direction);
    take_layouts(node, support);
    for (int32_t& layout : support.param_layout) layout = MNB_PARAM_PLAIN;
    support.workspace_bytes = kernel.workspace_bytes();
    if (direction != MNB_FORWARD_INFERENCE) support.saved_bytes = kernel.saved_bytes();
    support.backward_needs = MNB_NEEDS_SRC | MNB_NEEDS_SAVED;
}

std::unique_ptr<Kernel> make_group_norm(const Device& device, const ImageNode& node, int64_t groups,
                                        double epsilon, bool affine, int direction) {
    return std::make_unique<GroupNorm>(device, node, groups, epsilon, affine, direction);
}

bool group_norm_query(const Device& device, const ImageNode& node, int direction,
                      mnb_support& support) {
    if (node.activation != 0 || node.has_pool) return false;
    group_norm_support(device, node, node.desc.group_norm.groups, direction, support);
    return true;
}

std::unique_ptr<Kernel> group_norm_create(const Device& device, const ImageNode& node,
                                          int direction) {
    const mn_group_norm_desc& d = node.desc.group_norm;
    return make_group_norm(device, node, d.groups, static_cast<double>(d.epsilon), d.affine != 0,
                           direction);
}

}  // namespace mn::cpu::reference
