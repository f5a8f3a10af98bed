// Batch normalisation, perhaps with a ReLU fused behind it.
//
// With m and v the mean and the biased variance of a channel over batch and pixels, r = 1 /
// sqrt(v + epsilon) and n the number of values:
//
//     y  = (x - m) r weight + bias
//     dx = weight r (g - mean of g - (x - m) r^2 * mean of g (x - m))
//
// Both means come from the channel's sums of g and g (x - m as a float). Inference puts the running
// statistics in the place of m and v, and so does training where they are frozen: constants, dx =
// weight r g. During the backward pass y can be had again, with the same bits, from the saved m and
// r.
//
// The four passes over memory are virtual, so that an instruction set can have its own.

#pragma once

#include "backend/cpu/reference/channels.h"

namespace mn::cpu::reference {

class BatchNorm : public Kernel {
public:
    BatchNorm(const ImageNode& node, int direction);

    static bool is_frozen(const ImageNode& node) { return node.op == MNB_OP_FROZEN_BATCH_NORM; }

    // Mean and r of each channel, for the whole batch.
    static int64_t saved_bytes(const ImageNode& node);
    // Two sums a channel and chunk, then the coefficients.
    static int64_t workspace_bytes(const ImageNode& node);

    void run(Device& device, const mnb_run& run) override;

protected:
    // The sums of a part: of x and x^2, or of the gradient g that the ReLU lets pass and g (x -
    // mean).
    struct Sums {
        double *first, *second;
    };
    virtual void sum_sources(const SplitPart& part, const float* src, const Sums& sums) const;
    virtual void scale(const SplitPart& part, const ChannelScale& op, const float* src,
                       float* dst) const;
    virtual void sum_gradients(const SplitPart& part, const ChannelScale& forward, const float* src,
                               const float* diff_dst, const Sums& sums) const;
    virtual void write_diff_src(const SplitPart& part, const ChannelGradient& op) const;

private:
    // What normalises a channel.
    struct Statistics {
        double mean, r;
    };
    // Unless this pass computes them.
    Statistics statistics(const mnb_run& run, int64_t c) const;
    double epsilon() const { return static_cast<double>(d_.epsilon); }
    double weight(const mnb_run& run, int64_t c) const {
        return d_.affine ? static_cast<double>(run.param[0][c]) : 1.0;
    }
    double values(const mnb_run& run) const {
        return static_cast<double>(run.count * channels_.area());
    }
    double* sums(const mnb_run& run, int64_t chunk, int which) const {
        return static_cast<double*>(run.workspace) + (2 * chunk + which) * channels_.count();
    }
    Sums sums(const mnb_run& run, int64_t chunk) const {
        return {sums(run, chunk, 0), sums(run, chunk, 1)};
    }
    float* coefficient(const mnb_run& run, const Split& split, int which) const {
        return reinterpret_cast<float*>(sums(run, split.chunks, 0)) + which * channels_.count();
    }
    double total(const mnb_run& run, const Split& split, int which, int64_t c) const;

    void train(const mnb_run& run, const Split& split, int64_t c) const;
    ChannelScale forward_scale(const mnb_run& run, const Split& split) const;
    // Sets what forward_scale gives.
    void set_scale(const mnb_run& run, const Split& split, int64_t c, const Statistics& by) const;
    void backward(Device& device, const mnb_run& run, const Split& split) const;
    void finish_gradients(const mnb_run& run, const Split& split, int64_t c) const;

    ImageNode node_;
    const mn_batch_norm_desc& d_;
    Channels channels_;
    int direction_;
    bool frozen_;
    bool saved_;      // reads what the forward pass of training has saved
    int statistics_;  // which parameter the running mean is
};

}  // namespace mn::cpu::reference
