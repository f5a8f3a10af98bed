// Convolution with a filter a channel (kernels/conv_depthwise.cpp).

#include "backend/cpu/fast/conv2d.h"

namespace mn::cpu::fast {
namespace {

// Rows of a task, of `rows` in each of `images`.
int64_t rows_of_task(int64_t rows, int64_t images) {
    return ceil_div(rows, std::min(rows, ceil_div(kTasks, images)));
}

class DepthwiseForward : public ConvForwardKernel {
public:
    using ConvForwardKernel::ConvForwardKernel;

    void run(Device& device, const mnb_run& run) override {
        ConvForward op = bind(run);
        op.rows_per_task = rows_of_task(op.shape.oh, run.count);
        op.row_tasks = ceil_div(op.shape.oh, op.rows_per_task);
        device.pool.parallel_for(static_cast<int>(run.count * op.row_tasks), [&](int task, int) {
            device.table->f32_conv2d_depthwise_forward(op, task);
        });
    }
};

class DepthwiseDiffSrc : public ConvGradient {
public:
    DepthwiseDiffSrc(const mnb_node& node, Workspace& workspace) : ConvGradient(node, workspace) {}

    void run(Device& device, const mnb_run& run, ConvBackward op) override {
        op.packed = run.param[0];  // as they are stored
        op.rows_per_task = rows_of_task(shape_.ih, run.count);
        op.row_tasks = ceil_div(shape_.ih, op.rows_per_task);
        device.pool.parallel_for(static_cast<int>(run.count * op.row_tasks), [&](int task, int) {
            device.table->f32_conv2d_depthwise_diff_src(op, task);
        });
    }
};

class DepthwiseDiffWeights : public ConvDiffWeights {
public:
    DepthwiseDiffWeights(const mnb_node& node, Workspace& workspace)
        : ConvDiffWeights(node, workspace) {
        plan_chunks(workspace, node.max_batch, ceil_div(shape_.oc, 16),
                    round_up(shape_.oc, 16) * shape_.kh * shape_.kw);
    }

protected:
    void run_task(Device& device, const ConvBackward& op, int task, float*) override {
        device.table->f32_conv2d_depthwise_diff_weights(op, task);
    }
};

}  // namespace

bool is_depthwise(const mnb_node& node) {
    const mn_conv2d_desc& d = node.desc.conv2d;
    return d.groups > 1 && d.groups == node.src[0].c && d.groups == d.out_channels;
}

std::unique_ptr<ConvForwardKernel> make_depthwise_forward(const mnb_node& node, int direction) {
    if (!is_depthwise(node)) return nullptr;
    return std::make_unique<DepthwiseForward>(node, direction);
}

std::unique_ptr<ConvGradient> make_depthwise_diff_src(const mnb_node& node, Workspace& workspace) {
    if (!is_depthwise(node)) return nullptr;
    return std::make_unique<DepthwiseDiffSrc>(node, workspace);
}

std::unique_ptr<ConvGradient> make_depthwise_diff_weights(const mnb_node& node,
                                                          Workspace& workspace) {
    if (!is_depthwise(node)) return nullptr;
    return std::make_unique<DepthwiseDiffWeights>(node, workspace);
}

}  // namespace mn::cpu::fast
