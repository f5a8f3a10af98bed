// Linear layers: splits of the kernels in kernels/linear.cpp.

#include <algorithm>
#include <vector>

#include "backend/cpu/fast/fast.h"

namespace mn::cpu::fast {
namespace {

int64_t features(const ImageView& t) {
    return t.c * t.h * t.w;
}

class LinearForwardKernel : public Kernel {
public:
    explicit LinearForwardKernel(const ImageNode& node) {
        op_ = {};
        op_.depth = features(node.src[0]);
        op_.columns = node.desc.linear.out_features;
        op_.relu = node.activation == MN_ACTIVATION_RELU;
    }

    void run(Device& device, const mnb_run& run) override {
        LinearForward op = op_;
        op.src = run.src[0];
        op.weights = run.param[0];
        op.bias = run.param[1];
        op.dst = run.dst;
        op.rows = run.count;
        // A block of columns for all rows first; tasks that share weights follow each other.
        const int64_t pairs = ceil_div(op.columns, 32);
        op.row_tasks = std::min(ceil_div(op.rows, 8), ceil_div(kTasks, pairs));
        op.rows_per_task = ceil_div(op.rows, op.row_tasks);
        op.row_tasks = ceil_div(op.rows, op.rows_per_task);
        op.columns_per_task = 32;
        // One image is bound by how fast the weights come: several panels at once.
        if (op.rows <= 2) op.columns_per_task = 64;
        const int64_t tasks = op.row_tasks * ceil_div(op.columns, op.columns_per_task);
        device.pool.parallel_for(static_cast<int>(tasks), [&](int task, int) {
            device.table->f32_linear_forward(op, task);
        });
    }

private:
    LinearForward op_;
};

class LinearBackwardKernel : public Kernel {
public:
    explicit LinearBackwardKernel(const ImageNode& node)
        : has_bias_(node.desc.linear.bias != 0), wants_diff_src_(node.wants_diff_src[0] != 0) {
        op_ = {};
        op_.depth = features(node.src[0]);
        op_.columns = node.desc.linear.out_features;
        op_.relu = node.activation == MN_ACTIVATION_RELU;
        op_.depth_per_task = std::max<int64_t>(round_up(ceil_div(op_.depth, 2 * kTasks), 16), 16);
        for (int64_t i = 0; i <= op_.columns / 16; i++) taps_.push_back(i * op_.depth * 16);
        op_.taps = taps_.data();
        const int64_t rows = round_up(node.max_batch, 32);
        by_row_ = workspace_.share(rows * round_up(op_.columns, 16));
        by_column_ = workspace_.share(rows * op_.columns);
        workspace_.need_scratch(112 * 32);
    }

    const Workspace& workspace() const { return workspace_; }

    void run(Device& device, const mnb_run& run) override {
        const KernelTable& table = *device.table;
        LinearBackward op = op_;
        op.src = run.src[0];
        op.weights = run.param[0];
        op.dst = run.dst;
        op.diff_dst = run.diff_dst;
        op.diff_src = wants_diff_src_ ? run.diff_src[0] : nullptr;
        op.diff_weights = run.diff_param[0];
        op.diff_bias = has_bias_ ? run.diff_param[1] : nullptr;
        op.by_row = workspace_.shared(run, by_row_);
        op.by_column = workspace_.shared(run, by_column_);
        op.rows = run.count;
        op.accumulate = run.accumulate[0];
        op.accumulate_bias = run.accumulate[1];
        device.pool.parallel_for(static_cast<int>(ceil_div(op.rows, 16)),
                                 [&](int task, int) { table.f32_linear_prepare(op, task); });
        const int blocks = static_cast<int>(ceil_div(op.depth, op.depth_per_task));
        const int first = op.diff_src ? blocks : 0;
        const int second = op.diff_weights ? blocks : 0;
        device.pool.parallel_for(
            first + second + (op.diff_bias ? 1 : 0), [&](int task, int worker) {
                if (task < first) {
                    table.f32_linear_diff_src(op, task, workspace_.scratch(run, worker));
                } else if (task < first + second) {
                    table.f32_linear_diff_weights(op, task - first);
                } else {
                    table.f32_linear_diff_bias(op);
                }
            });
    }

private:
    LinearBackward op_;
    bool has_bias_, wants_diff_src_;
    std::vector<int64_t> taps_;
    int64_t by_row_, by_column_;
    Workspace workspace_;
};

}  // namespace

bool linear_query(const Device& device, const ImageNode& node, int direction,
                  mnb_support& support) {
    if (!only_relu(node) || node.has_pool) return false;
    take_fast_layouts(node, support);
    // Source and weights must be in one order: that of I, or that of pixels and their channels,
    // where the weights are split as the source.
    const mnb_param& weights = node.parameter[0];
    if (weights.layout != MNB_PARAM_ANY && weights.rank == 2) support.src_layout = MNB_NCHW;
    set_kernel_name(support, "gemm");
    support.backward_needs = MNB_NEEDS_SRC | (node.activation ? MNB_NEEDS_DST : 0);
    if (direction == MNB_BACKWARD)
        support.workspace_bytes = LinearBackwardKernel(node).workspace().bytes(device);
    return true;
}

std::unique_ptr<Kernel> linear_create(const Device&, const ImageNode& node, int direction) {
    if (direction == MNB_BACKWARD) return std::make_unique<LinearBackwardKernel>(node);
    return std::make_unique<LinearForwardKernel>(node);
}

}  // namespace mn::cpu::fast
