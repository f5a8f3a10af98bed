// The implementations that call the kernels of the device's instruction set. They want images as
// NHWC and weights in panels, split work by the problem's size, and lay out scratch memory.

#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "backend/cpu/cpu.h"
#include "backend/cpu/kernels/table.h"

namespace mn::cpu::fast {

// Those of the table of ops.
#define MN_NO_KERNEL
#define MN_FAST(op)                                                                \
    bool op##_query(const Device&, const ImageNode&, int direction, mnb_support&); \
    std::unique_ptr<Kernel> op##_create(const Device&, const ImageNode&, int direction);
#define MN_REFERENCE(op)
#define MN_OP(id, name, desc, infer, sources, cpu, cuda, traits) cpu
#define MN_INTERNAL_OP(id, value, name, desc, cpu, cuda, traits) cpu
#include "graph/ops.def"
#undef MN_NO_KERNEL
#undef MN_REFERENCE
#undef MN_FAST

// Enough tasks to keep sixteen cores busy.
constexpr int64_t kTasks = 32;

inline int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
inline int64_t round_up(int64_t a, int64_t b) {
    return ceil_div(a, b) * b;
}

// Whether a result is better written past the caches: it is so large that little of it would be
// there when it is read, and it is made of whole cache lines.
inline bool is_streamed(const float* result, int64_t floats, int64_t channels) {
    constexpr int64_t kFloats = 1 << 20;
    return floats >= kFloats && channels % 16 == 0 && reinterpret_cast<uintptr_t>(result) % 64 == 0;
}

// NHWC in and out, parameters in panels.
inline void take_fast_layouts(const ImageNode& node, mnb_support& support) {
    support.src_layout = MNB_NHWC;
    support.dst_layout = MNB_NHWC;
    for (int i = 0; i < node.param_count; i++) support.param_layout[i] = MNB_PARAM_PANEL16;
}

inline void set_kernel_name(mnb_support& support, const std::string& name) {
    std::snprintf(support.kernel, sizeof support.kernel, "%s", name.c_str());
}

inline bool only_relu(const ImageNode& node) {
    return node.activation == 0 || node.activation == MN_ACTIVATION_RELU;
}

// Parts of one run's workspace: what all workers share, then one scratch a worker.
class Workspace {
public:
    // Returns the offset, in floats, of a part that all workers share.
    int64_t share(int64_t floats) {
        const int64_t at = shared_;
        shared_ += round_up(floats, 16);
        return at;
    }
    void need_scratch(int64_t floats) {
        // An odd number of cache lines more keeps workers off each other's cache sets.
        if (round_up(floats, 16) + 16 > scratch_) scratch_ = round_up(floats, 16) + 16;
    }
    int64_t bytes(const Device& device) const {
        return (shared_ + scratch_ * device.pool.threads()) * int64_t{sizeof(float)};
    }
    float* shared(const mnb_run& run, int64_t at) const {
        return static_cast<float*>(run.workspace) + at;
    }
    float* scratch(const mnb_run& run, int worker) const {
        return static_cast<float*>(run.workspace) + shared_ + scratch_ * worker;
    }

private:
    int64_t shared_ = 0, scratch_ = 0;
};

inline bool is_dilated(const mn_pool2d_desc& pool) {
    return pool.dilation_h > 1 || pool.dilation_w > 1;
}

PoolShape pool_shape(const mn_pool2d_desc& pool, int64_t ih, int64_t iw, int64_t oh, int64_t ow,
                     int64_t channels);

// The sum of `chunks` arrays, into or onto dst, split into tasks.
void sum_chunks(Device& device, const float* chunks, int64_t chunk_count, int64_t stride,
                float* dst, int64_t count, bool accumulate);

}  // namespace mn::cpu::fast
