// What the ways to compute a convolution share.

#pragma once

#include <algorithm>
#include <vector>

#include "backend/cpu/fast/fast.h"

namespace mn::cpu::fast {

constexpr int64_t kBlock = 32;  // output channels a kernel works on at a time

// Floats that the strips of one task may take: they should stay in the second-level cache.
constexpr int64_t kStripFloats = 96 * 1024;

ConvShape conv_shape(const ImageNode& node);

// Whether no result reads beyond the image.
bool needs_no_border(const ConvShape& s);
// Width of the source strip that the kernels see: the image's, or with its border.
int64_t strip_width(const ConvShape& s);
// Floats of the source strip with its border for `rows` rows of the convolution; 0: none is needed.
int64_t source_floats(const ConvShape& s, int64_t rows);
// Rows of the convolution behind `rows` rows of the result.
int64_t rows_before_pool(const ConvShape& s, int64_t rows);

// Most rows, of `all`, whose strips fit; at least one.
template <class Floats>
int64_t rows_that_fit(int64_t all, Floats&& floats) {
    int64_t rows = all;
    while (rows > 1 && floats(rows) > kStripFloats) rows = ceil_div(rows, 2);
    return rows;
}

// Two by two windows without padding, which tile the image.
inline bool pools_by_two(const ConvShape& s) {
    const PoolShape& p = s.pool;
    return s.has_pool && p.kh == 2 && p.kw == 2 && p.sh == 2 && p.sw == 2 && p.ph + p.pw == 0;
}
inline bool is_depthwise(const ConvShape& s) {
    return s.groups > 1 && s.groups == s.ic && s.groups == s.oc;
}
inline bool is_dense_3x3(const ConvShape& s) {
    return s.kh == 3 && s.kw == 3 && s.sh * s.sw * s.dh * s.dw * s.groups == 1;
}

// Remembers, in a line of what is packed, whether some weights (in panels) are not finite.
constexpr int64_t kNotFiniteFloats = 16;
void look_at_weights(Device& device, const ConvShape& s, const float* weights, float* not_finite);

class ConvForwardKernel : public Kernel {
public:
    ConvForwardKernel(const ImageNode& node, int direction);

    virtual const char* name() const = 0;
    int64_t workspace_bytes(const Device& device) const { return workspace_.bytes(device); }
    int64_t packed_bytes() const {
        return (packed_floats_ + folded_floats_) * int64_t{sizeof(float)};
    }
    int64_t saved_bytes() const { return op_.saved_image; }
    void refresh(Device& device, const mnb_run& run) override;

protected:
    ConvForward bind(const mnb_run& run) const;
    // Fills the first packed_floats_ of run.packed.
    virtual void pack(Device&, const float* /*weights*/, float* /*packed*/) {}

    ConvForward op_;
    bool training_;
    int64_t packed_floats_ = 0;
    Workspace workspace_;

private:
    // Behind what is packed: weights and bias with the normalisation folded in, where there is one.
    float* folded_weights(const mnb_run& run) const {
        return static_cast<float*>(run.packed) + packed_floats_;
    }
    float* folded_bias(const mnb_run& run) const {
        return folded_weights(run) + node_.param[0].storage;
    }

    ImageNode node_;
    int64_t folded_floats_ = 0;
};

// One of the two gradients. Scratch is laid out in a workspace that the two share, since they run
// one after the other; each has its own packed weights.
class ConvGradient {
public:
    virtual ~ConvGradient() = default;
    virtual const char* name() const = 0;
    int64_t packed_floats() const { return packed_floats_; }
    virtual void refresh(Device&, const float* /*weights*/, float* /*packed*/) {}
    virtual void run(Device&, const mnb_run&, ConvBackward op) = 0;

protected:
    ConvGradient(const ImageNode& node, const Workspace& workspace)
        : shape_(conv_shape(node)), workspace_(workspace) {}

    ConvShape shape_;
    const Workspace& workspace_;
    int64_t packed_floats_ = 0;
};

// A gradient by the weights: chunks of images, each with a buffer of its own.
class ConvDiffWeights : public ConvGradient {
public:
    void run(Device& device, const mnb_run& run, ConvBackward op) override;

protected:
    ConvDiffWeights(const ImageNode& node, const Workspace& workspace)
        : ConvGradient(node, workspace), has_bias_(node.desc.conv2d.bias != 0) {}

    // Reserves the buffers; `floats` of weights a chunk, to each of which `sums` sums are added.
    void plan_chunks(Workspace& workspace, int64_t max_batch, int64_t column_tasks, int64_t floats,
                     int64_t sums);
    // Most images of a chunk.
    static int64_t chunk_images(int64_t max_batch, int64_t column_tasks) {
        return ceil_div(max_batch, chunk_count(max_batch, column_tasks));
    }
    static constexpr int64_t kManySums = kProductParts + 1;
    virtual void run_task(Device&, const ConvBackward&, int task, float* scratch) = 0;
    virtual void sum(Device&, const ConvBackward&, int64_t chunks, float* diff_weights,
                     bool accumulate);

    bool has_bias_;
    // No product is left out, and none is with a border; else sums that are not finite are made
    // directly.
    bool is_exact_ = false;

private:
    static int64_t chunk_count(int64_t images, int64_t column_tasks) {
        return std::min(images, ceil_div(kTasks, column_tasks));
    }

    int64_t column_tasks_ = 1, weight_floats_ = 0, weights_ = 0, bias_ = 0;
    int64_t sums_ = -1;  // -1: they are few
};

// Null where the way does not suit the node. Each file conv2d_*.cpp is one way.
std::unique_ptr<ConvForwardKernel> make_gemm_forward(const ImageNode&, int direction);
std::unique_ptr<ConvForwardKernel> make_winograd_forward(const ImageNode&, int direction);
std::unique_ptr<ConvForwardKernel> make_image_forward(const ImageNode&, int direction);
std::unique_ptr<ConvForwardKernel> make_depthwise_forward(const ImageNode&, int direction);

std::unique_ptr<ConvGradient> make_gemm_diff_src(const ImageNode&, Workspace&);
std::unique_ptr<ConvGradient> make_winograd_diff_src(const ImageNode&, Workspace&);
std::unique_ptr<ConvGradient> make_sparse_diff_src(const ImageNode&, Workspace&);
std::unique_ptr<ConvGradient> make_depthwise_diff_src(const ImageNode&, Workspace&);

std::unique_ptr<ConvGradient> make_gemm_diff_weights(const ImageNode&, Workspace&);
std::unique_ptr<ConvGradient> make_winograd_diff_weights(const ImageNode&, Workspace&);
std::unique_ptr<ConvGradient> make_sparse_diff_weights(const ImageNode&, Workspace&);
std::unique_ptr<ConvGradient> make_image_diff_weights(const ImageNode&, Workspace&);
std::unique_ptr<ConvGradient> make_depthwise_diff_weights(const ImageNode&, Workspace&);

}  // namespace mn::cpu::fast
