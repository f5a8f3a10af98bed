// Activations of images and features as they lie in memory.

#include <algorithm>

#include "backend/cpu/fast/fast.h"
#include "backend/cpu/reference/reference.h"

namespace mn::cpu::fast {
namespace {

constexpr int64_t kChunk = 16 * 1024;  // elements of one task

class Activation : public Kernel {
public:
    Activation(const ImageNode& node, int direction, bool uses_dst)
        : desc_(node.desc.activation),
          image_(node.dst.c * node.dst.h * node.dst.w),
          backward_(direction == MNB_BACKWARD),
          uses_dst_(uses_dst) {}

    void run(Device& device, const mnb_run& run) override {
        const float* value = backward_ && uses_dst_ ? run.dst : run.src[0];
        float* result = backward_ ? run.diff_src[0] : run.dst;
        if (result == nullptr) return;
        const int64_t count = image_ * run.count;
        device.pool.parallel_for(static_cast<int>(ceil_div(count, kChunk)), [&](int task, int) {
            const int64_t at = task * kChunk;
            device.table->f32_activation({desc_.kind, desc_.alpha, desc_.threshold, value + at,
                                          backward_ ? run.diff_dst + at : nullptr, result + at,
                                          std::min(kChunk, count - at)});
        });
    }

private:
    mn_activation_desc desc_;
    int64_t image_;
    bool backward_, uses_dst_;
};

}  // namespace

// Any layout will do, the same on both sides; what a gradient needs is the reference's choice.
bool activation_query(const Device& device, const ImageNode& node, int direction,
                      mnb_support& support) {
    return reference::activation_query(device, node, direction, support);
}

std::unique_ptr<Kernel> activation_create(const Device& device, const ImageNode& node,
                                          int direction) {
    mnb_support support = {};
    activation_query(device, node, direction, support);
    return std::make_unique<Activation>(node, direction, support.backward_needs == MNB_NEEDS_DST);
}

}  // namespace mn::cpu::fast
