// Convolutions with a max pooling behind them: the gradients that use the pool's sparsity
// (kernels/conv_sparse.cpp), and the first layer of grey images (kernels/conv_image.cpp).

#include "backend/cpu/fast/conv2d.h"

namespace mn::cpu::fast {
namespace {

class SparseDiffSrc : public ConvGradient {
public:
    const char* name() const override { return "sparse"; }

    SparseDiffSrc(const ImageNode& node, Workspace& workspace) : ConvGradient(node, workspace) {
        const int64_t width = 2 * shape_.pool.ow + 2;
        const auto image = [&](int64_t rows) { return (rows + 8) * width * 16; };
        const auto masks = [&](int64_t rows) {
            return (rows / 2 + 4) * shape_.pool.ow * ceil_div(shape_.oc, 64) * 8;
        };
        most_rows_ =
            rows_that_fit(shape_.ih, [&](int64_t rows) { return image(rows) + masks(rows); });
        strip_floats_ = image(most_rows_);
        workspace.need_scratch(strip_floats_ + masks(most_rows_));
        packed_floats_ = round_up(shape_.ic, 16) * shape_.oc * 9 + kNotFiniteFloats;
    }

    void refresh(Device& device, const float* weights, float* packed) override {
        device.pool.parallel_for(static_cast<int>(ceil_div(shape_.ic, 16)), [&](int panel, int) {
            device.table->f32_conv2d_sparse_pack(shape_, weights, panel, packed);
        });
        look_at_weights(device, shape_, weights, packed + packed_floats_ - kNotFiniteFloats);
    }

    void run(Device& device, const mnb_run& run, ConvBackward op) override {
        op.strip_floats = strip_floats_;
        op.not_finite = op.packed[packed_floats_ - kNotFiniteFloats] != 0;
        op.rows_per_task = std::min(most_rows_, ceil_div(shape_.ih, ceil_div(kTasks, run.count)));
        op.row_tasks = ceil_div(shape_.ih, op.rows_per_task);
        device.pool.parallel_for(
            static_cast<int>(run.count * op.row_tasks), [&](int task, int worker) {
                device.table->f32_conv2d_sparse_diff_src(op, task, workspace_.scratch(run, worker));
            });
    }

private:
    int64_t most_rows_, strip_floats_;
};

class SparseDiffWeights : public ConvDiffWeights {
public:
    const char* name() const override { return "sparse"; }

    SparseDiffWeights(const ImageNode& node, Workspace& workspace)
        : ConvDiffWeights(node, workspace) {
        const ConvShape& s = shape_;
        const int64_t width = (s.ow - 1) * s.sw + (s.kw - 1) * s.dw + 1;
        const auto source = [&](int64_t rows) {
            const int64_t y = (rows_before_pool(s, rows) - 1) * s.sh + (s.kh - 1) * s.dh + 1;
            return round_up(y * width * s.ic + 16, 16);  // the last vector may reach beyond
        };
        const auto entries = [&](int64_t rows) { return rows * s.pool.ow * (kBlock + 2) + 2; };
        rows_per_strip_ =
            rows_that_fit(s.pool.oh, [&](int64_t rows) { return source(rows) + entries(rows); });
        strip_floats_ = source(rows_per_strip_);
        workspace.need_scratch(strip_floats_ + entries(rows_per_strip_));
        const int64_t pieces = s.dw == 1 ? s.kh : s.kh * s.kw;
        const int64_t blocks = ceil_div(s.oc, kBlock);
        const int64_t sums = ceil_div(s.pool.oh, rows_per_strip_) *
                             ceil_div(rows_per_strip_ * s.pool.ow, kProductTerms);
        plan_chunks(workspace, node.max_batch, blocks,
                    s.oc * pieces * round_up(s.dw == 1 ? s.kw * s.ic : s.ic, 16),
                    chunk_images(node.max_batch, blocks) * sums);
    }

protected:
    void run_task(Device& device, const ConvBackward& shared, int task, float* scratch) override {
        ConvBackward op = shared;
        op.columns_per_task = kBlock;
        op.rows_per_strip = rows_per_strip_;
        op.strip_floats = strip_floats_;
        device.table->f32_conv2d_sparse_diff_weights(op, task, scratch);
    }

    void sum(Device& device, const ConvBackward& op, int64_t chunks, float* diff_weights,
             bool accumulate) override {
        const int64_t panels = ceil_div(shape_.oc, 16);
        device.pool.parallel_for(static_cast<int>(panels), [&](int panel, int) {
            device.table->f32_conv2d_sparse_sum_filters(op, chunks, panel, diff_weights,
                                                        accumulate);
        });
    }

private:
    int64_t rows_per_strip_, strip_floats_;
};

class ImageForward : public ConvForwardKernel {
public:
    const char* name() const override { return "image"; }

    ImageForward(const ImageNode& node, int direction) : ConvForwardKernel(node, direction) {
        const ConvShape& s = op_.shape;
        const auto strip = [&](int64_t rows) { return (2 * rows + 2) * (2 * s.pool.ow + 2); };
        most_rows_ = rows_that_fit(s.pool.oh, strip);
        workspace_.need_scratch(strip(most_rows_));
        packed_floats_ = kNotFiniteFloats;
    }

    void run(Device& device, const mnb_run& run) override {
        ConvForward op = bind(run);
        const int64_t rows = op.shape.pool.oh;
        op.rows_per_task = std::min(most_rows_, ceil_div(rows, ceil_div(kTasks, run.count)));
        op.row_tasks = ceil_div(rows, op.rows_per_task);
        op.not_finite = *static_cast<const float*>(run.packed) != 0;
        device.pool.parallel_for(
            static_cast<int>(run.count * op.row_tasks), [&](int task, int worker) {
                device.table->f32_conv2d_image_forward(op, task, workspace_.scratch(run, worker));
            });
    }

protected:
    void pack(Device& device, const float* weights, float* packed) override {
        look_at_weights(device, op_.shape, weights, packed);
    }

private:
    int64_t most_rows_;
};

class ImageDiffWeights : public ConvDiffWeights {
public:
    const char* name() const override { return "image"; }

    ImageDiffWeights(const ImageNode& node, Workspace& workspace)
        : ConvDiffWeights(node, workspace) {
        workspace.need_scratch((2 * shape_.pool.oh + 2) * (2 * shape_.pool.ow + 2));
        plan_chunks(workspace, node.max_batch, 1, shape_.oc * 9, kManySums);
    }

protected:
    void run_task(Device& device, const ConvBackward& op, int task, float* scratch) override {
        device.table->f32_conv2d_image_diff_weights(op, task, scratch);
    }
};

bool is_grey_image(const ConvShape& s) {
    return s.ic == 1 && is_dense_3x3(s) && pools_by_two(s) && 2 * s.pool.oh <= s.oh &&
           2 * s.pool.ow <= s.ow && s.oc % 16 == 0;
}

}  // namespace

std::unique_ptr<ConvGradient> make_sparse_diff_src(const ImageNode& node, Workspace& workspace) {
    // One float adds up what blocks of 64 channels give.
    constexpr int64_t kMostChannels = 1024;
    const ConvShape s = conv_shape(node);
    if (!is_dense_3x3(s) || !pools_by_two(s) || s.oc > kMostChannels) return nullptr;
    return std::make_unique<SparseDiffSrc>(node, workspace);
}

std::unique_ptr<ConvGradient> make_sparse_diff_weights(const ImageNode& node,
                                                       Workspace& workspace) {
    const ConvShape s = conv_shape(node);
    // Overlapping windows have more gradients, and short rows do not fill vectors.
    if (!s.has_pool || s.groups > 1 || s.pool.sh * s.pool.sw < 4) return nullptr;
    if ((s.dw == 1 ? s.kw * s.ic : s.ic) < 16) return nullptr;
    return std::make_unique<SparseDiffWeights>(node, workspace);
}

std::unique_ptr<ConvForwardKernel> make_image_forward(const ImageNode& node, int direction) {
    if (!is_grey_image(conv_shape(node))) return nullptr;
    return std::make_unique<ImageForward>(node, direction);
}

std::unique_ptr<ConvGradient> make_image_diff_weights(const ImageNode& node, Workspace& workspace) {
    if (!is_grey_image(conv_shape(node))) return nullptr;
    return std::make_unique<ImageDiffWeights>(node, workspace);
}

}  // namespace mn::cpu::fast
