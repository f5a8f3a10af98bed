// Convolution: which of the ways suits a node, forward and for each of the two gradients.

#include "backend/cpu/fast/conv2d.h"

#include <atomic>

#include "backend/cpu/folded_norm.h"

namespace mn::cpu::fast {

ConvShape conv_shape(const ImageNode& node) {
    const mn_conv2d_desc& d = node.desc.conv2d;
    const ImageView &src = node.src[0], &dst = node.dst;
    ConvShape s = {};
    s.ih = src.h, s.iw = src.w, s.ic = src.c;
    s.oc = d.out_channels;
    s.kh = d.kernel_h, s.kw = d.kernel_w;
    s.sh = d.stride_h, s.sw = d.stride_w;
    s.pt = d.pad_top, s.pl = d.pad_left;
    s.dh = d.dilation_h, s.dw = d.dilation_w;
    s.groups = d.groups;
    s.oh = (s.ih + d.pad_top + d.pad_bottom - s.dh * (s.kh - 1) - 1) / s.sh + 1;
    s.ow = (s.iw + d.pad_left + d.pad_right - s.dw * (s.kw - 1) - 1) / s.sw + 1;
    s.relu = node.activation == MN_ACTIVATION_RELU;
    s.has_pool = node.has_pool;
    if (s.has_pool) s.pool = pool_shape(node.pool, s.oh, s.ow, dst.h, dst.w, s.oc);
    // A 1 x 1 convolution does not care for rows: one long row has fewer ragged tiles.
    if (!s.has_pool && s.kh * s.kw * s.sh * s.sw == 1 && s.oh == s.ih && s.ow == s.iw &&
        s.pt + s.pl == 0 && s.iw < 56) {
        s.iw = s.ow = s.ih * s.iw;
        s.ih = s.oh = 1;
    }
    return s;
}

bool needs_no_border(const ConvShape& s) {
    return s.pt == 0 && s.pl == 0 && (s.oh - 1) * s.sh + (s.kh - 1) * s.dh < s.ih &&
           (s.ow - 1) * s.sw + (s.kw - 1) * s.dw < s.iw;
}

int64_t strip_width(const ConvShape& s) {
    return needs_no_border(s) ? s.iw : (s.ow - 1) * s.sw + (s.kw - 1) * s.dw + 1;
}

int64_t source_floats(const ConvShape& s, int64_t rows) {
    if (needs_no_border(s)) return 0;
    return round_up(((rows - 1) * s.sh + (s.kh - 1) * s.dh + 1) * strip_width(s) * s.ic, 16);
}

int64_t rows_before_pool(const ConvShape& s, int64_t rows) {
    return s.has_pool ? std::min((rows - 1) * s.pool.sh + s.pool.kh, s.oh) : rows;
}

void look_at_weights(Device& device, const ConvShape& s, const float* weights, float* not_finite) {
    const int64_t floats = s.kh * s.kw * (s.ic / s.groups) * MNB_PANEL;
    std::atomic<bool> finite{true};
    device.pool.parallel_for(static_cast<int>(ceil_div(s.oc, MNB_PANEL)), [&](int panel, int) {
        if (!device.table->f32_is_finite(weights + panel * floats, floats))
            finite.store(false, std::memory_order_relaxed);
    });
    *not_finite = finite ? 0.0f : 1.0f;
}

ConvForwardKernel::ConvForwardKernel(const ImageNode& node, int direction)
    : training_(direction == MNB_FORWARD_TRAINING), node_(node) {
    op_ = {};
    op_.shape = conv_shape(node);
    const PoolShape& pool = op_.shape.pool;
    op_.saved_image = op_.shape.has_pool ? pool.oh * pool.ow * op_.shape.oc : 0;
    // A query may come before the weights' storage is known: it follows from their shape.
    WeightView& weights = node_.param[0];
    const int64_t columns = round_up(weights.o, MNB_PANEL);
    weights.storage = columns * weights.i * weights.h * weights.w;
    if (node.has_norm) folded_floats_ = weights.storage + columns;
}

void ConvForwardKernel::refresh(Device& device, const mnb_run& run) {
    const float* weights = run.param[0];
    if (node_.has_norm) {
        float *folded = folded_weights(run), *bias = folded_bias(run);
        const int64_t channels = node_.param[0].o, panels = ceil_div(channels, MNB_PANEL);
        const int64_t rows = node_.param[0].storage / (panels * MNB_PANEL);
        device.pool.parallel_for(static_cast<int>(panels), [&](int panel, int) {
            float factors[MNB_PANEL] = {};
            for (int64_t i = 0; i < MNB_PANEL; i++) {
                const int64_t channel = panel * MNB_PANEL + i;
                bias[channel] = 0;
                if (channel >= channels) continue;
                const FoldedNorm norm(node_, run, channel);
                factors[i] = static_cast<float>(norm.factor);
                bias[channel] = static_cast<float>(norm.shift);
            }
            const int64_t first = panel * rows * MNB_PANEL;
            for (int64_t at = 0; at < rows * MNB_PANEL; at++)
                folded[first + at] = weights[first + at] * factors[at % MNB_PANEL];
        });
        weights = folded;
    }
    pack(device, weights, static_cast<float*>(run.packed));
}

ConvForward ConvForwardKernel::bind(const mnb_run& run) const {
    ConvForward op = op_;
    op.src = run.src[0];
    op.weights = node_.has_norm ? folded_weights(run) : run.param[0];
    op.bias = node_.desc.conv2d.bias ? run.param[1] : nullptr;
    if (node_.has_norm) op.bias = folded_bias(run);
    op.dst = run.dst;
    op.saved = training_ && op.shape.has_pool ? static_cast<uint8_t*>(run.saved) : nullptr;
    return op;
}

namespace {

// Doubles take the room of two floats.
double* doubles(float* floats) {
    return reinterpret_cast<double*>(floats);
}

}  // namespace

void ConvDiffWeights::plan_chunks(Workspace& workspace, int64_t max_batch, int64_t column_tasks,
                                  int64_t floats, int64_t sums) {
    column_tasks_ = column_tasks;
    weight_floats_ = floats;
    const int64_t chunks = chunk_count(max_batch, column_tasks);
    weights_ = workspace.share(chunks * floats);
    bias_ = workspace.share(2 * chunks * round_up(shape_.oc, 16));
    if (sums > kProductParts) sums_ = workspace.share(2 * chunks * floats);
}

void ConvDiffWeights::run(Device& device, const mnb_run& run, ConvBackward op) {
    float* diff_bias = has_bias_ ? run.diff_param[1] : nullptr;
    if (!run.diff_param[0] && !diff_bias) return;
    op.chunk_weights = workspace_.shared(run, weights_);
    op.chunk_bias = doubles(workspace_.shared(run, bias_));
    if (sums_ >= 0) op.chunk_sums = doubles(workspace_.shared(run, sums_));
    op.chunk_weights_stride = weight_floats_;
    op.chunk_bias_stride = round_up(shape_.oc, 16);
    op.column_tasks = column_tasks_;
    op.images_per_chunk = ceil_div(run.count, chunk_count(run.count, column_tasks_));
    const int64_t chunks = ceil_div(run.count, op.images_per_chunk);
    device.pool.parallel_for(static_cast<int>(chunks * column_tasks_), [&](int task, int worker) {
        run_task(device, op, task, workspace_.scratch(run, worker));
    });
    if (run.diff_param[0]) sum(device, op, chunks, run.diff_param[0], run.accumulate[0] != 0);
    for (int64_t o = 0; diff_bias && o < op.chunk_bias_stride; o++) {
        double sum = 0;
        for (int64_t i = 0; i < chunks; i++) sum += op.chunk_bias[i * op.chunk_bias_stride + o];
        diff_bias[o] = (run.accumulate[1] ? diff_bias[o] : 0.0f) + static_cast<float>(sum);
    }
}

void ConvDiffWeights::sum(Device& device, const ConvBackward& op, int64_t chunks,
                          float* diff_weights, bool accumulate) {
    if (is_exact_) {
        sum_chunks(device, op.chunk_weights, chunks, op.chunk_weights_stride, diff_weights,
                   op.chunk_weights_stride, accumulate);
        return;
    }
    const int64_t tasks = ceil_div(shape_.oc, MNB_PANEL) * shape_.kh * shape_.kw;
    device.pool.parallel_for(static_cast<int>(tasks), [&](int task, int) {
        device.table->f32_conv2d_sum_filters(op, chunks, task, diff_weights, accumulate);
    });
}

namespace {

// The ways, best first; the product suits every node.
std::unique_ptr<ConvForwardKernel> make_forward(const ImageNode& node, int direction) {
    auto kernel = make_image_forward(node, direction);
    if (!kernel) kernel = make_depthwise_forward(node, direction);
    if (!kernel) kernel = make_winograd_forward(node, direction);
    if (!kernel) kernel = make_gemm_forward(node, direction);
    return kernel;
}

std::unique_ptr<ConvGradient> make_diff_src(const ImageNode& node, Workspace& workspace) {
    auto gradient = make_depthwise_diff_src(node, workspace);
    if (!gradient) gradient = make_sparse_diff_src(node, workspace);
    if (!gradient) gradient = make_winograd_diff_src(node, workspace);
    if (!gradient) gradient = make_gemm_diff_src(node, workspace);
    return gradient;
}

std::unique_ptr<ConvGradient> make_diff_weights(const ImageNode& node, Workspace& workspace) {
    auto gradient = make_image_diff_weights(node, workspace);
    if (!gradient) gradient = make_depthwise_diff_weights(node, workspace);
    if (!gradient) gradient = make_sparse_diff_weights(node, workspace);
    if (!gradient) gradient = make_winograd_diff_weights(node, workspace);
    if (!gradient) gradient = make_gemm_diff_weights(node, workspace);
    return gradient;
}

class ConvBackwardKernel : public Kernel {
public:
    explicit ConvBackwardKernel(const ImageNode& node) : shape_(conv_shape(node)) {
        diff_weights_ = make_diff_weights(node, workspace_);
        if (node.wants_diff_src[0]) diff_src_ = make_diff_src(node, workspace_);
    }

    int64_t workspace_bytes(const Device& device) const { return workspace_.bytes(device); }
    int64_t packed_bytes() const {
        return diff_src_ ? diff_src_->packed_floats() * int64_t{sizeof(float)} : 0;
    }

    // By the source, by the weights; one name where they are the same.
    std::string name() const {
        const std::string weights = diff_weights_->name();
        if (!diff_src_ || diff_src_->name() == weights) return weights;
        return std::string(diff_src_->name()) + ", " + weights;
    }

    void refresh(Device& device, const mnb_run& run) override {
        if (diff_src_) diff_src_->refresh(device, run.param[0], static_cast<float*>(run.packed));
    }

    void run(Device& device, const mnb_run& run) override {
        ConvBackward op = {};
        op.shape = shape_;
        op.src = run.src[0];
        op.dst = run.dst;
        op.diff_dst = run.diff_dst;
        op.saved = static_cast<const uint8_t*>(run.saved);
        op.saved_image = shape_.pool.oh * shape_.pool.ow * shape_.oc;
        op.count = run.count;
        op.packed = static_cast<const float*>(run.packed);
        op.diff_src = run.diff_src[0];
        if (diff_src_ && op.diff_src) diff_src_->run(device, run, op);
        diff_weights_->run(device, run, op);
    }

private:
    ConvShape shape_;
    Workspace workspace_;
    std::unique_ptr<ConvGradient> diff_src_, diff_weights_;
};

}  // namespace

bool conv2d_query(const Device& device, const ImageNode& node, int direction,
                  mnb_support& support) {
    const mn_conv2d_desc& d = node.desc.conv2d;
    if (!only_relu(node)) return false;
    if (node.has_norm && direction != MNB_FORWARD_INFERENCE) return false;
    if (node.has_pool &&
        (int64_t{node.pool.kernel_h} * node.pool.kernel_w > 255 || is_dilated(node.pool)))
        return false;
    // Groups must be whole panels on both sides, or single channels, whose taps one float adds up.
    constexpr int64_t kMostTaps = 1024;
    const ConvShape shape = conv_shape(node);
    if (is_depthwise(shape) && shape.kh * shape.kw > kMostTaps) return false;
    if (d.groups > 1 && !is_depthwise(shape) &&
        (d.out_channels / d.groups % 16 || node.src[0].c / d.groups % 16))
        return false;
    take_fast_layouts(node, support);
    for (int p = 1 + d.bias; p < node.param_count; p++)
        support.param_layout[p] = MNB_PARAM_PLAIN;  // of a folded normalisation
    support.backward_needs = MNB_NEEDS_SRC | (node.activation ? MNB_NEEDS_DST : 0) |
                             (node.has_pool ? MNB_NEEDS_SAVED : 0);
    if (direction == MNB_BACKWARD) {
        const ConvBackwardKernel kernel(node);
        support.workspace_bytes = kernel.workspace_bytes(device);
        support.packed_bytes = kernel.packed_bytes();
        set_kernel_name(support, kernel.name());
    } else {
        const auto kernel = make_forward(node, direction);
        support.workspace_bytes = kernel->workspace_bytes(device);
        support.packed_bytes = kernel->packed_bytes();
        set_kernel_name(support, kernel->name());
        if (direction == MNB_FORWARD_TRAINING) support.saved_bytes = kernel->saved_bytes();
    }
    return true;
}

std::unique_ptr<Kernel> conv2d_create(const Device&, const ImageNode& node, int direction) {
    if (direction == MNB_BACKWARD) return std::make_unique<ConvBackwardKernel>(node);
    return make_forward(node, direction);
}

}  // namespace mn::cpu::fast
