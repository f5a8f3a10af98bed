// Depthwise convolution (kernels/conv_depthwise.cpp): any kernel, stride, padding, dilation.

#include "backend/cpu/fast/conv2d.h"

namespace mn::cpu::fast {
namespace {

class DepthwiseForward : public ConvForwardKernel {
public:
    const char* name() const override { return "depthwise"; }

    DepthwiseForward(const ImageNode& node, int direction) : ConvForwardKernel(node, direction) {
        const ConvShape& s = op_.shape;
        rows_ = most_rows_ = s.oh;
        if (!s.has_pool) return;
        const auto before_pool = [&](int64_t rows) {
            return rows_before_pool(s, rows) * s.ow * round_up(s.oc, 16);
        };
        rows_ = s.pool.oh;
        most_rows_ = rows_that_fit(rows_, before_pool);
        workspace_.need_scratch(before_pool(most_rows_));
    }

    void run(Device& device, const mnb_run& run) override {
        ConvForward op = bind(run);
        const ConvShape& s = op.shape;
        op.rows_per_task = std::min(most_rows_, ceil_div(rows_, ceil_div(kTasks, run.count)));
        op.row_tasks = ceil_div(rows_, op.rows_per_task);
        op.stream = !s.has_pool && is_streamed(run.dst, run.count * s.oh * s.ow * s.oc, s.oc);
        device.pool.parallel_for(static_cast<int>(run.count * op.row_tasks), [&](int task,
                                                                                 int worker) {
            device.table->f32_conv2d_depthwise_forward(op, task, workspace_.scratch(run, worker));
        });
    }

private:
    int64_t rows_, most_rows_;
};

// Floats of `rows` rows of the gradient before activation and pooling; 0: it is read where it is.
int64_t gradient_floats(const ConvShape& s, int64_t rows) {
    return s.relu || s.has_pool ? rows * s.ow * round_up(s.oc, 16) : 0;
}

class DepthwiseDiffSrc : public ConvGradient {
public:
    const char* name() const override { return "depthwise"; }

    DepthwiseDiffSrc(const ImageNode& node, Workspace& workspace) : ConvGradient(node, workspace) {
        const ConvShape& s = shape_;
        const auto gradient = [&](int64_t rows) {
            return gradient_floats(s, std::min((rows - 1 + (s.kh - 1) * s.dh) / s.sh + 2, s.oh));
        };
        most_rows_ = rows_that_fit(s.ih, gradient);
        workspace.need_scratch(gradient(most_rows_));
    }

    void run(Device& device, const mnb_run& run, ConvBackward op) override {
        const ConvShape& s = shape_;
        op.weights = run.param[0];
        op.rows_per_task = std::min(most_rows_, ceil_div(s.ih, ceil_div(kTasks, run.count)));
        op.row_tasks = ceil_div(s.ih, op.rows_per_task);
        op.stream = is_streamed(op.diff_src, run.count * s.ih * s.iw * s.ic, s.ic);
        device.pool.parallel_for(static_cast<int>(run.count * op.row_tasks), [&](int task,
                                                                                 int worker) {
            device.table->f32_conv2d_depthwise_diff_src(op, task, workspace_.scratch(run, worker));
        });
    }

private:
    int64_t most_rows_;
};

class DepthwiseDiffWeights : public ConvDiffWeights {
public:
    const char* name() const override { return "depthwise"; }

    DepthwiseDiffWeights(const ImageNode& node, Workspace& workspace)
        : ConvDiffWeights(node, workspace) {
        const ConvShape& s = shape_;
        is_exact_ = true;
        rows_per_strip_ =
            rows_that_fit(s.oh, [&](int64_t rows) { return gradient_floats(s, rows); });
        workspace.need_scratch(gradient_floats(s, rows_per_strip_));
        plan_chunks(workspace, node.max_batch, 1, round_up(s.oc, 16) * s.kh * s.kw, kManySums);
    }

protected:
    void run_task(Device& device, const ConvBackward& shared, int task, float* scratch) override {
        ConvBackward op = shared;
        op.rows_per_strip = rows_per_strip_;
        if (!has_bias_) op.chunk_bias = nullptr;
        device.table->f32_conv2d_depthwise_diff_weights(op, task, scratch);
    }

private:
    int64_t rows_per_strip_;
};

}  // namespace

std::unique_ptr<ConvForwardKernel> make_depthwise_forward(const ImageNode& node, int direction) {
    if (!is_depthwise(conv_shape(node))) return nullptr;
    return std::make_unique<DepthwiseForward>(node, direction);
}

std::unique_ptr<ConvGradient> make_depthwise_diff_src(const ImageNode& node, Workspace& workspace) {
    if (!is_depthwise(conv_shape(node))) return nullptr;
    return std::make_unique<DepthwiseDiffSrc>(node, workspace);
}

std::unique_ptr<ConvGradient> make_depthwise_diff_weights(const ImageNode& node,
                                                          Workspace& workspace) {
    if (!is_depthwise(conv_shape(node))) return nullptr;
    return std::make_unique<DepthwiseDiffWeights>(node, workspace);
}

}  // namespace mn::cpu::fast
