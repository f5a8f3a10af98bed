// Kernels whose tasks are single channels of single images: poolings and what resizes images.

#pragma once

#include <algorithm>

#include "backend/cpu/reference/common.h"

namespace mn::cpu::reference {

// Gradients are added up in a plane in double precision, since windows may overlap. Only the first
// source has a gradient; those of others, which merely say where values go, are zero.
class PlaneKernel : public Kernel {
public:
    PlaneKernel(const Device& device, const ImageNode& node, int direction)
        : node_(node), direction_(direction), scratch_(scratch(device, node, direction)) {}

    static Scratch scratch(const Device& device, const ImageNode& node, int direction) {
        return Scratch(device, direction == MNB_BACKWARD ? node.src[0].h * node.src[0].w : 0);
    }

    void run(Device& device, const mnb_run& run) override {
        const ImageView& t = node_.src[0];
        if (direction_ == MNB_BACKWARD) {
            for (int s = 1; s < node_.source_count; ++s)
                if (run.diff_src[s] != nullptr) clear(node_.src[s], run.count, run.diff_src[s]);
            if (run.diff_src[0] == nullptr) return;
        }
        device.pool.parallel_for(static_cast<int>(run.count * t.c), [&](int task, int worker) {
            const int64_t n = task / t.c, c = task % t.c;
            if (direction_ != MNB_BACKWARD) return forward(run, n, c);
            double* plane = scratch_.of(run, worker);
            std::fill_n(plane, t.h * t.w, 0.0);
            backward(run, n, c, plane);
            for (int64_t h = 0; h < t.h; ++h)
                for (int64_t w = 0; w < t.w; ++w)
                    run.diff_src[0][offset(t, n, c, h, w)] = static_cast<float>(plane[h * t.w + w]);
        });
    }

protected:
    virtual void forward(const mnb_run& run, int64_t n, int64_t c) const = 0;
    // Adds the gradients of a plane's elements.
    virtual void backward(const mnb_run& run, int64_t n, int64_t c, double* plane) const = 0;

    ImageNode node_;
    int direction_;

private:
    static void clear(const ImageView& t, int64_t count, float* values) {
        for (int64_t n = 0; n < count; ++n)
            for (int64_t c = 0; c < t.c; ++c)
                for (int64_t h = 0; h < t.h; ++h)
                    for (int64_t w = 0; w < t.w; ++w) values[offset(t, n, c, h, w)] = 0.0f;
    }

    Scratch scratch_;
};

}  // namespace mn::cpu::reference
