// 3 x 3 convolutions by Winograd's transform (kernels/conv_winograd.cpp).

#include "backend/cpu/fast/conv2d.h"

namespace mn::cpu::fast {
namespace {

// The transform costs more than it saves where few channels share it.
constexpr int64_t kFewestChannels = 16;

bool suits(const ConvShape& s) {
    return is_dense_3x3(s) && s.ic >= kFewestChannels && s.oc >= kFewestChannels;
}

// Transformed filters: one element, as the kernels lay them out.
int64_t element_floats(int64_t outputs, int64_t inputs) {
    return round_up(outputs, 16) * inputs + 16;
}

// Tiles of 4 x 4 results where they are faster: one takes 36 products, one of 2 x 2 takes 16, and a
// tile that overhangs the image wastes some. Larger filters, transformed, would not stay in the
// last-level cache, from where each image reads them.
int64_t choose_tile(int64_t channels, int64_t out_channels, int64_t h, int64_t w) {
    constexpr int64_t kMostFilterFloats = 5 << 20;
    if (36 * element_floats(out_channels, channels) > kMostFilterFloats) return 2;
    return 36 * ceil_div(h, 4) * ceil_div(w, 4) < 13 * ceil_div(h, 2) * ceil_div(w, 2) ? 4 : 2;
}

const char* name_of(int64_t tile) {
    return tile == 2 ? "winograd_f2" : "winograd_f4";
}

// Splits and scratch for an image of h x w results.
class Tiles {
public:
    Tiles() = default;
    Tiles(int64_t channels, int64_t out_channels, int64_t h, int64_t w, Workspace& workspace) {
        const int64_t tile = choose_tile(channels, out_channels, h, w);
        const int64_t elements = (tile + 2) * (tile + 2);
        shape_ = {};
        shape_.tile = tile;
        shape_.channels = channels;
        shape_.padded = round_up(channels, 16);
        shape_.out_channels = out_channels;
        shape_.tile_rows = ceil_div(h, tile);
        shape_.tile_columns = ceil_div(w, tile);
        most_rows_ = rows_that_fit(shape_.tile_rows, [&](int64_t rows) {
            return elements * rows * shape_.tile_columns * shape_.padded;
        });
        const int64_t tiles = most_rows_ * shape_.tile_columns;
        shape_.strip_floats =
            (tile * most_rows_ + 2) * (tile * shape_.tile_columns + 2) * shape_.padded;
        // An odd number of cache lines: the streams then fall into different cache sets.
        shape_.transformed_stride = (tiles * shape_.padded / 16 | 1) * 16;
        shape_.product_stride = (tiles * kBlock / 16 | 1) * 16;
        workspace.need_scratch(shape_.strip_floats +
                               elements * (shape_.transformed_stride + shape_.product_stride));
    }

    int64_t packed_floats() const {
        return (tile() + 2) * (tile() + 2) * element_floats(shape_.out_channels, shape_.channels);
    }
    int64_t tile() const { return shape_.tile; }

    // Few images are shared out by rows, then by channels.
    WinogradShape split(int64_t images) const {
        WinogradShape w = shape_;
        const int64_t wanted = std::min(w.tile_rows, ceil_div(kTasks, images));
        w.rows_per_task = std::min(most_rows_, ceil_div(w.tile_rows, wanted));
        w.row_tasks = ceil_div(w.tile_rows, w.rows_per_task);
        const int64_t blocks = ceil_div(w.out_channels, kBlock);
        const int64_t shares = std::min(blocks, ceil_div(kTasks, images * w.row_tasks));
        w.columns_per_task = ceil_div(blocks, shares) * kBlock;
        w.column_tasks = ceil_div(w.out_channels, w.columns_per_task);
        return w;
    }

private:
    WinogradShape shape_;
    int64_t most_rows_ = 1;
};

void transform(Device& device, const ConvShape& s, int64_t tile, const float* weights,
               bool transposed, float* packed) {
    const int64_t panels = ceil_div(transposed ? s.ic : s.oc, 16);
    device.pool.parallel_for(static_cast<int>(panels), [&](int panel, int) {
        device.table->f32_conv2d_winograd_pack(s, tile, weights, transposed, panel, packed);
    });
}

class WinogradForward : public ConvForwardKernel {
public:
    const char* name() const override { return name_of(tiles_.tile()); }

    WinogradForward(const ImageNode& node, int direction) : ConvForwardKernel(node, direction) {
        const ConvShape& s = op_.shape;
        // Pixels that no window reads are not computed.
        const int64_t h = s.has_pool ? 2 * s.pool.oh : s.oh, w = s.has_pool ? 2 * s.pool.ow : s.ow;
        tiles_ = Tiles(s.ic, s.oc, h, w, workspace_);
        packed_floats_ = tiles_.packed_floats();
    }

    void run(Device& device, const mnb_run& run) override {
        const ConvForward op = bind(run);
        const WinogradShape w = tiles_.split(run.count);
        const float* packed = static_cast<const float*>(run.packed);
        const int64_t tasks = run.count * w.row_tasks * w.column_tasks;
        device.pool.parallel_for(static_cast<int>(tasks), [&](int task, int worker) {
            device.table->f32_conv2d_winograd_forward(op, w, packed, task,
                                                      workspace_.scratch(run, worker));
        });
    }

protected:
    void pack(Device& device, const float* weights, float* packed) override {
        transform(device, op_.shape, tiles_.tile(), weights, false, packed);
    }

private:
    Tiles tiles_;
};

class WinogradDiffSrc : public ConvGradient {
public:
    const char* name() const override { return name_of(tiles_.tile()); }

    WinogradDiffSrc(const ImageNode& node, Workspace& workspace)
        : ConvGradient(node, workspace),
          tiles_(shape_.oc, shape_.ic, shape_.ih, shape_.iw, workspace) {
        packed_floats_ = tiles_.packed_floats();
    }

    void refresh(Device& device, const float* weights, float* packed) override {
        transform(device, shape_, tiles_.tile(), weights, true, packed);
    }

    void run(Device& device, const mnb_run& run, ConvBackward op) override {
        const WinogradShape w = tiles_.split(run.count);
        op.weights = run.param[0];
        const int64_t tasks = run.count * w.row_tasks * w.column_tasks;
        device.pool.parallel_for(static_cast<int>(tasks), [&](int task, int worker) {
            device.table->f32_conv2d_winograd_diff_src(op, w, task,
                                                       workspace_.scratch(run, worker));
        });
    }

private:
    Tiles tiles_;
};

class WinogradDiffWeights : public ConvDiffWeights {
public:
    const char* name() const override { return "winograd_f2"; }

    WinogradDiffWeights(const ImageNode& node, Workspace& workspace)
        : ConvDiffWeights(node, workspace) {
        const ConvShape& s = shape_;
        sums_ = {};
        sums_.tile_rows = ceil_div(s.oh, 2);
        sums_.tile_columns = ceil_div(s.ow, 2);
        // 64 tiles x 64 channels in and out: sources, gradients and sums take 256 KiB each.
        sums_.block = 64;
        sums_.in_blocks = ceil_div(s.ic, sums_.block);
        sums_.out_blocks = ceil_div(s.oc, sums_.block);
        sums_.tiles = std::max<int64_t>(sums_.tile_columns, 64);
        sums_.stride = sums_.tiles * sums_.block + 16;
        workspace.need_scratch((12 * sums_.tile_columns + 8) * sums_.block + 32 * sums_.stride);
        const int64_t blocks = sums_.in_blocks * sums_.out_blocks;
        const int64_t rows = chunk_images(node.max_batch, blocks) * sums_.tile_rows;
        plan_chunks(workspace, node.max_batch, blocks, 16 * element_floats(s.oc, s.ic),
                    ceil_div(rows, sums_.tiles / sums_.tile_columns));
    }

protected:
    void run_task(Device& device, const ConvBackward& op, int task, float* scratch) override {
        device.table->f32_conv2d_winograd_diff_weights(op, sums_, task, scratch);
    }

    void sum(Device& device, const ConvBackward& op, int64_t chunks, float* diff_weights,
             bool accumulate) override {
        const int64_t panels = ceil_div(shape_.oc, 16);
        device.pool.parallel_for(static_cast<int>(panels), [&](int panel, int) {
            device.table->f32_conv2d_winograd_sum_filters(op, chunks, panel, diff_weights,
                                                          accumulate);
        });
    }

private:
    WinogradSums sums_;
};

}  // namespace

std::unique_ptr<ConvForwardKernel> make_winograd_forward(const ImageNode& node, int direction) {
    const ConvShape s = conv_shape(node);
    if (!suits(s) || (s.has_pool && !pools_by_two(s))) return nullptr;
    return std::make_unique<WinogradForward>(node, direction);
}

std::unique_ptr<ConvGradient> make_winograd_diff_src(const ImageNode& node, Workspace& workspace) {
    if (!suits(conv_shape(node))) return nullptr;
    return std::make_unique<WinogradDiffSrc>(node, workspace);
}

std::unique_ptr<ConvGradient> make_winograd_diff_weights(const ImageNode& node,
                                                         Workspace& workspace) {
    if (!suits(conv_shape(node))) return nullptr;
    return std::make_unique<WinogradDiffWeights>(node, workspace);
}

}  // namespace mn::cpu::fast
