// Convolution as a matrix product (kernels/conv_gemm.cpp): any kernel, stride, padding, dilation.

#include "backend/cpu/fast/conv2d.h"

namespace mn::cpu::fast {
namespace {

// A tile reads many pixels at once, one below the other. A multiple of 4 KiB apart they fall into
// one set of the first-level cache and drive each other out; a copy has a cache line more between
// them.
bool collides(int64_t pixel) {
    return pixel % 1024 == 0;
}

class GemmForward : public ConvForwardKernel {
public:
    const char* name() const override { return "gemm"; }

    GemmForward(const ImageNode& node, int direction) : ConvForwardKernel(node, direction) {
        const ConvShape& s = op_.shape;
        // Only a single tap need not lie in one piece.
        const bool apart =
            s.kh * s.kw == 1 && s.groups == 1 && needs_no_border(s) && collides(s.sw * s.ic);
        op_.in_place = needs_no_border(s) && !apart;
        op_.src_pixel = apart ? s.ic + 16 : s.ic;
        const auto source = [&](int64_t rows) {
            const int64_t y = rows_before_pool(s, rows);
            return apart ? ((y - 1) * s.sh + 1) * s.iw * op_.src_pixel : source_floats(s, y);
        };
        const auto before_pool = [&](int64_t rows) {
            return s.has_pool ? rows_before_pool(s, rows) * s.ow * kBlock : 0;
        };
        rows_ = s.has_pool ? s.pool.oh : s.oh;
        // A source that is read where it stands should stay in the cache too: every block of output
        // channels reads it again.
        const auto in_place = [&](int64_t rows) {
            return op_.in_place ? rows_before_pool(s, rows) * s.sh * s.iw * s.ic : 0;
        };
        most_rows_ = rows_that_fit(
            rows_, [&](int64_t rows) { return source(rows) + in_place(rows) + before_pool(rows); });
        op_.strip_floats = source(most_rows_);
        workspace_.need_scratch(op_.strip_floats + before_pool(most_rows_));

        const bool merged = s.groups == 1 && s.dw == 1;
        op_.inner = merged ? s.kw * s.ic : s.ic / s.groups;
        for (int64_t kh = 0; kh < s.kh; kh++) {
            for (int64_t kw = 0; kw < (merged ? 1 : s.kw); kw++) {
                taps_.push_back((kh * s.dh * strip_width(s) + kw * s.dw) * s.ic);
            }
        }
        if (!needs_no_border(s)) packed_floats_ = kNotFiniteFloats;
        op_.taps = taps_.data();
        op_.tap_count = static_cast<int64_t>(taps_.size());
    }

    void run(Device& device, const mnb_run& run) override {
        ConvForward op = bind(run);
        const ConvShape& s = op.shape;
        // Few images are shared out by rows, then by channels.
        const int64_t wanted = std::min(rows_, ceil_div(kTasks, run.count));
        op.rows_per_task = std::min(most_rows_, ceil_div(rows_, wanted));
        op.row_tasks = ceil_div(rows_, op.rows_per_task);
        const int64_t blocks = s.groups == 1 ? ceil_div(s.oc, kBlock) : 1;
        const int64_t shares = std::min(blocks, ceil_div(kTasks, run.count * op.row_tasks));
        op.columns_per_task = s.groups == 1 ? ceil_div(blocks, shares) * kBlock : s.oc;
        op.column_tasks = ceil_div(s.oc, op.columns_per_task);
        const int64_t tasks = run.count * op.row_tasks * op.column_tasks;
        op.not_finite = packed_floats_ && *static_cast<const float*>(run.packed) != 0;
        op.stream = !s.has_pool && is_streamed(run.dst, run.count * s.oh * s.ow * s.oc, s.oc);
        device.pool.parallel_for(static_cast<int>(tasks), [&](int task, int worker) {
            device.table->f32_conv2d_gemm_forward(op, task, workspace_.scratch(run, worker));
        });
    }

protected:
    void pack(Device& device, const float* weights, float* packed) override {
        if (packed_floats_) look_at_weights(device, op_.shape, weights, packed);
    }

private:
    std::vector<int64_t> taps_;
    int64_t rows_, most_rows_;
};

class GemmDiffSrc : public ConvGradient {
public:
    const char* name() const override { return "gemm"; }

    GemmDiffSrc(const ImageNode& node, Workspace& workspace) : ConvGradient(node, workspace) {
        const ConvShape& s = shape_;
        pixel_ = round_up(s.oc, 16) + (collides(s.oc) ? 16 : 0);
        in_place_ = s.kh * s.kw * s.sh * s.sw == 1 && s.oh == s.ih && s.ow == s.iw && !s.relu &&
                    !s.has_pool && pixel_ == s.oc;
        const int64_t left = s.pl - (s.kw - 1) * s.dw;
        first_column_ = left >= 0 ? left / s.sw : -ceil_div(-left, s.sw);
        strip_width_ = (s.iw - 1 + s.pl) / s.sw - first_column_ + 1;
        const auto floats = [&](int64_t rows) {
            return ((rows - 1 + (s.kh - 1) * s.dh) / s.sh + 2) * strip_width_ * pixel_;
        };
        most_rows_ = rows_that_fit(s.ih, floats);
        if (!in_place_) workspace.need_scratch(floats(most_rows_));
        panels_ = s.groups * ceil_div(s.ic / s.groups, 16);
        for (int64_t y = 0; y < std::min(s.sh, s.ih); y++) {
            for (int64_t x = 0; x < std::min(s.sw, s.iw); x++) add_phase(y, x);
        }
        tap_ids_.push_back(0);  // so that a phase without taps has an address
        looks_ = s.kh * s.kw * s.sh * s.sw > 1;
        if (looks_) packed_floats_ += kNotFiniteFloats;
    }

    void refresh(Device& device, const float* weights, float* packed) override {
        device.pool.parallel_for(static_cast<int>(panels_), [&](int panel, int) {
            for (const ConvPhase& phase : phases_) {
                device.table->f32_conv2d_gemm_pack(shape_, weights, &tap_ids_[phase.first_tap],
                                                   phase.tap_count, panel, packed + phase.weights);
            }
        });
        if (looks_)
            look_at_weights(device, shape_, weights, packed + packed_floats_ - kNotFiniteFloats);
    }

    void run(Device& device, const mnb_run& run, ConvBackward op) override {
        op.phases = phases_.data();
        op.phase_count = static_cast<int64_t>(phases_.size());
        op.taps = taps_.data();
        op.weights = run.param[0];
        op.not_finite = looks_ && op.packed[packed_floats_ - kNotFiniteFloats] != 0;
        op.in_place = in_place_;
        op.diff_dst_pixel = pixel_;
        op.first_column = first_column_;
        op.strip_width = strip_width_;
        op.rows_per_task = std::min(most_rows_, ceil_div(shape_.ih, ceil_div(kTasks, run.count)));
        op.row_tasks = ceil_div(shape_.ih, op.rows_per_task);
        op.stream = is_streamed(op.diff_src, run.count * shape_.ih * shape_.iw * shape_.ic,
                                shape_.ic / shape_.groups);
        device.pool.parallel_for(
            static_cast<int>(run.count * op.row_tasks), [&](int task, int worker) {
                device.table->f32_conv2d_gemm_diff_src(op, task, workspace_.scratch(run, worker));
            });
    }

private:
    void add_phase(int64_t y, int64_t x) {
        const ConvShape& s = shape_;
        ConvPhase phase = {};
        phase.y = y, phase.x = x;
        phase.first_tap = static_cast<int64_t>(taps_.size());
        phase.weights = packed_floats_;
        for (int64_t kh = 0; kh < s.kh; kh++) {
            for (int64_t kw = 0; kw < s.kw; kw++) {
                const int64_t from_y = y + s.pt - kh * s.dh, from_x = x + s.pl - kw * s.dw;
                if (from_y % s.sh || from_x % s.sw) continue;
                taps_.push_back((from_y / s.sh * strip_width_ + from_x / s.sw) * pixel_);
                tap_ids_.push_back(kh * s.kw + kw);
            }
        }
        phase.tap_count = static_cast<int64_t>(taps_.size()) - phase.first_tap;
        packed_floats_ += panels_ * phase.tap_count * (s.oc / s.groups) * 16;
        phases_.push_back(phase);
    }

    std::vector<int64_t> taps_, tap_ids_;  // which element of the kernel a tap is
    std::vector<ConvPhase> phases_;
    int64_t pixel_;  // floats from a pixel of the gradient to the next
    bool in_place_;  // the gradient is read where it stands
    bool looks_;     // for weights that are not finite, since there is a border
    int64_t first_column_, strip_width_, most_rows_, panels_;
};

class GemmDiffWeights : public ConvDiffWeights {
public:
    const char* name() const override { return "gemm"; }

    GemmDiffWeights(const ImageNode& node, Workspace& workspace)
        : ConvDiffWeights(node, workspace) {
        const ConvShape& s = shape_;
        const auto gradient = [&](int64_t rows) { return rows * s.ow * kBlock; };
        rows_per_strip_ = rows_that_fit(
            s.oh, [&](int64_t rows) { return source_floats(s, rows) + gradient(rows); });
        strip_floats_ = source_floats(s, rows_per_strip_);
        is_exact_ = needs_no_border(s);
        workspace.need_scratch(strip_floats_ + gradient(rows_per_strip_));
        const int64_t blocks = s.groups * ceil_div(s.oc / s.groups, kBlock);
        plan_chunks(workspace, node.max_batch, blocks,
                    round_up(s.oc, 16) * s.kh * s.kw * (s.ic / s.groups),
                    chunk_images(node.max_batch, blocks) * ceil_div(s.oh, rows_per_strip_));
        for (int64_t y = 0; y < rows_per_strip_; y++)
            row_taps_.push_back(y * s.sh * strip_width(s) * s.ic);
    }

protected:
    void run_task(Device& device, const ConvBackward& shared, int task, float* scratch) override {
        ConvBackward op = shared;
        op.in_place = needs_no_border(shape_);
        op.rows_per_strip = rows_per_strip_;
        op.strip_floats = strip_floats_;
        op.row_taps = row_taps_.data();
        if (!has_bias_) op.chunk_bias = nullptr;
        device.table->f32_conv2d_gemm_diff_weights(op, task, scratch);
    }

private:
    std::vector<int64_t> row_taps_;
    int64_t rows_per_strip_, strip_floats_;
};

}  // namespace

std::unique_ptr<ConvForwardKernel> make_gemm_forward(const ImageNode& node, int direction) {
    return std::make_unique<GemmForward>(node, direction);
}

std::unique_ptr<ConvGradient> make_gemm_diff_src(const ImageNode& node, Workspace& workspace) {
    return std::make_unique<GemmDiffSrc>(node, workspace);
}

std::unique_ptr<ConvGradient> make_gemm_diff_weights(const ImageNode& node, Workspace& workspace) {
    return std::make_unique<GemmDiffWeights>(node, workspace);
}

}  // namespace mn::cpu::fast
