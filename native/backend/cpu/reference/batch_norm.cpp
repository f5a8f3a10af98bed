#include "backend/cpu/reference/batch_norm.h"

namespace mn::cpu::reference {
namespace {

template <class Body>
void each_range(Device& device, const Split& split, Body&& body) {
    device.pool.parallel_for(static_cast<int>(split.ranges), [&](int task, int) {
        const int64_t last = std::min((task + 1) * Split::range, split.channels);
        for (int64_t c = task * Split::range; c < last; ++c) body(c);
    });
}

}  // namespace

BatchNorm::BatchNorm(const ImageNode& node, int direction)
    : node_(node),
      d_(node_.desc.batch_norm),
      channels_(node.src[0], node.dst),
      direction_(direction),
      frozen_(is_frozen(node)),
      saved_(node.op == MNB_OP_BATCH_NORM_RECOMPUTE || (direction == MNB_BACKWARD && !frozen_)),
      statistics_(d_.affine ? 2 : 0) {}

int64_t BatchNorm::saved_bytes(const ImageNode& node) {
    return divide_up(2 * Channels(node.src[0], node.dst).count() * int64_t{sizeof(double)},
                     node.max_batch);
}

int64_t BatchNorm::workspace_bytes(const ImageNode& node) {
    const Channels channels(node.src[0], node.dst);
    const int64_t sums = 2 * Split::most_chunks(channels, node.max_batch);
    return channels.count() * (sums * int64_t{sizeof(double)} + 5 * int64_t{sizeof(float)});
}

void BatchNorm::run(Device& device, const mnb_run& run) {
    const Split split(channels_, run.count);
    if (direction_ == MNB_BACKWARD) {
        backward(device, run, split);
        return;
    }
    const float* src = run.src[0];
    if (direction_ == MNB_FORWARD_TRAINING && !frozen_) {
        split.run(device,
                  [&](const SplitPart& part) { sum_sources(part, src, sums(run, part.chunk)); });
        each_range(device, split, [&](int64_t c) { train(run, split, c); });
    } else {
        each_range(device, split, [&](int64_t c) { set_scale(run, split, c, statistics(run, c)); });
    }
    const ChannelScale op = forward_scale(run, split);
    split.run(device, [&](const SplitPart& part) { scale(part, op, src, run.dst); });
}

void BatchNorm::sum_sources(const SplitPart& part, const float* src, const Sums& sums) const {
    channels_.sum(part.row, part.last_row, part.channel, part.last_channel, sums.first, sums.second,
                  [src](int64_t at, int64_t, int64_t, double& a, double& b) {
                      a = static_cast<double>(src[at]);
                      b = a * a;
                  });
}

void BatchNorm::scale(const SplitPart& part, const ChannelScale& op, const float* src,
                      float* dst) const {
    apply(channels_, part.row, part.last_row, part.channel, part.last_channel, op, src, dst);
}

void BatchNorm::sum_gradients(const SplitPart& part, const ChannelScale& forward, const float* src,
                              const float* diff_dst, const Sums& sums) const {
    const auto sum = [&](auto relu) {
        channels_.sum(part.row, part.last_row, part.channel, part.last_channel, sums.first,
                      sums.second,
                      [=](int64_t at, int64_t dst_at, int64_t c, double& a, double& b) {
                          const float x = src[at];
                          a = static_cast<double>(
                              passed<decltype(relu)::value>(forward, x, c, diff_dst[dst_at]));
                          b = a * static_cast<double>(x - forward.mean[c]);
                      });
    };
    if (forward.relu)
        sum(std::true_type());
    else
        sum(std::false_type());
}

void BatchNorm::write_diff_src(const SplitPart& part, const ChannelGradient& op) const {
    if (op.forward.relu)
        apply<true>(channels_, part.row, part.last_row, part.channel, part.last_channel, op);
    else
        apply<false>(channels_, part.row, part.last_row, part.channel, part.last_channel, op);
}

double BatchNorm::total(const mnb_run& run, const Split& split, int which, int64_t c) const {
    double sum = 0;
    for (int64_t chunk = 0; chunk < split.chunks; ++chunk) sum += sums(run, chunk, which)[c];
    return sum;
}

void BatchNorm::train(const mnb_run& run, const Split& split, int64_t c) const {
    const double n = values(run);
    const double mean = total(run, split, 0, c) / n;
    // A square's mean is never the smaller one but for rounding; a NaN stays one.
    const double difference = total(run, split, 1, c) / n - mean * mean;
    const double variance = difference < 0 ? 0 : difference;
    const double momentum = static_cast<double>(d_.momentum);
    const auto move = [&](float& running, double batch) {
        running =
            static_cast<float>((1 - momentum) * static_cast<double>(running) + momentum * batch);
    };
    move(run.param[statistics_][c], mean);
    move(run.param[statistics_ + 1][c], variance * n / (n - 1));
    double* saved = static_cast<double*>(run.saved) + 2 * c;
    saved[0] = mean;
    saved[1] = 1.0 / std::sqrt(variance + epsilon());
    set_scale(run, split, c, {mean, saved[1]});
}

BatchNorm::Statistics BatchNorm::statistics(const mnb_run& run, int64_t c) const {
    if (saved_) {
        const double* saved = static_cast<const double*>(run.saved) + 2 * c;
        return {saved[0], saved[1]};
    }
    const double variance = static_cast<double>(run.param[statistics_ + 1][c]);
    return {static_cast<double>(run.param[statistics_][c]), 1.0 / std::sqrt(variance + epsilon())};
}

ChannelScale BatchNorm::forward_scale(const mnb_run& run, const Split& split) const {
    return {coefficient(run, split, 0), coefficient(run, split, 1), coefficient(run, split, 2),
            node_.activation == MN_ACTIVATION_RELU};
}

void BatchNorm::set_scale(const mnb_run& run, const Split& split, int64_t c,
                          const Statistics& by) const {
    const double factor = by.r * weight(run, c);
    const float rounded = static_cast<float>(by.mean);
    const double bias = d_.affine ? static_cast<double>(run.param[1][c]) : 0.0;
    coefficient(run, split, 0)[c] = rounded;
    coefficient(run, split, 1)[c] = static_cast<float>(factor);
    coefficient(run, split, 2)[c] =
        static_cast<float>(bias + (static_cast<double>(rounded) - by.mean) * factor);
}

void BatchNorm::backward(Device& device, const mnb_run& run, const Split& split) const {
    each_range(device, split, [&](int64_t c) { set_scale(run, split, c, statistics(run, c)); });
    const ChannelScale forward = forward_scale(run, split);
    const float *src = run.src[0], *diff_dst = run.diff_dst;
    split.run(device, [&](const SplitPart& part) {
        sum_gradients(part, forward, src, diff_dst, sums(run, part.chunk));
    });
    each_range(device, split, [&](int64_t c) { finish_gradients(run, split, c); });
    if (run.diff_src[0] == nullptr) return;
    const ChannelGradient op = {
        forward,        coefficient(run, split, 3), coefficient(run, split, 4), src, diff_dst,
        run.diff_src[0]};
    split.run(device, [&](const SplitPart& part) { write_diff_src(part, op); });
}

void BatchNorm::finish_gradients(const mnb_run& run, const Split& split, int64_t c) const {
    const auto [mean, r] = statistics(run, c);
    const double n = values(run);
    const double sum_g = total(run, split, 0, c);
    const double rounded = static_cast<double>(coefficient(run, split, 0)[c]);
    const double sum_gx = total(run, split, 1, c) + (rounded - mean) * sum_g;  // of g (x - m)
    if (d_.affine && run.diff_param[0] != nullptr)
        write_gradient(run.diff_param[0][c], sum_gx * r, run.accumulate[0]);
    if (d_.affine && run.diff_param[1] != nullptr)
        write_gradient(run.diff_param[1][c], sum_g, run.accumulate[1]);
    if (frozen_) {
        coefficient(run, split, 3)[c] = coefficient(run, split, 4)[c] = 0;
        return;
    }
    const double factor = weight(run, c) * r, slope = -factor * r * r * sum_gx / n;
    coefficient(run, split, 3)[c] = static_cast<float>(slope);
    coefficient(run, split, 4)[c] =
        static_cast<float>(slope * (rounded - mean) - factor * sum_g / n);
}

bool batch_norm_query(const Device&, const ImageNode& node, int direction, mnb_support& support) {
    if (node.activation != 0 && node.activation != MN_ACTIVATION_RELU) return false;
    if (node.has_pool) return false;
    take_layouts(node, support);
    for (int32_t& layout : support.param_layout) layout = MNB_PARAM_PLAIN;
    support.workspace_bytes = BatchNorm::workspace_bytes(node);
    support.backward_needs = MNB_NEEDS_SRC;
    if (BatchNorm::is_frozen(node)) return true;
    if (direction != MNB_FORWARD_INFERENCE) support.saved_bytes = BatchNorm::saved_bytes(node);
    support.backward_needs |= MNB_NEEDS_SAVED;
    return true;
}

std::unique_ptr<Kernel> batch_norm_create(const Device&, const ImageNode& node, int direction) {
    return std::make_unique<BatchNorm>(node, direction);
}

}  // namespace mn::cpu::reference
