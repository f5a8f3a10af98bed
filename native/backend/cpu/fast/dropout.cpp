// Dropout of single elements and of whole images in training; the plain one drops channels.

#include <algorithm>

#include "backend/cpu/fast/fast.h"
#include "graph/philox.h"

namespace mn::cpu::fast {
namespace {

class Dropout : public Kernel {
public:
    Dropout(const ImageNode& node, bool backward)
        : probability_(node.desc.dropout.probability),
          layer_(node.layer),
          channels_(node.src[0].c),
          pixels_(node.src[0].h * node.src[0].w),
          // Else units lie in memory as they are counted.
          interleaved_(node.src[0].layout == MNB_NHWC && channels_ > 1 && pixels_ > 1),
          whole_images_(node.desc.dropout.unit == MN_DROPOUT_IMAGE),
          backward_(backward) {}

    void run(Device& device, const mnb_run& run) override {
        const Philox philox = dropout_stream(run.seed, run.step);
        DropoutRun op = {};
        op.key[0] = philox.key[0], op.key[1] = philox.key[1];
        op.counter[0] = layer_, op.counter[1] = static_cast<uint32_t>(RandomPurpose::kDropout);
        op.probability = probability_;
        op.scale = 1.0f / (1.0f - probability_);
        op.src = backward_ ? run.diff_dst : run.src[0];
        op.dst = backward_ ? run.diff_src[0] : run.dst;
        if (op.dst == nullptr) return;
        if (whole_images_) {
            drop_images(device, run.count, philox, op);
            return;
        }
        const int64_t elements = run.count * channels_ * pixels_;
        op.channels = interleaved_ ? channels_ : 1;
        op.pixels = interleaved_ ? pixels_ : elements;
        const int64_t tasks = interleaved_ ? run.count * ceil_div(channels_, MNB_PANEL)
                                           : ceil_div(elements, kDropoutElements);
        device.pool.parallel_for(static_cast<int>(tasks),
                                 [&](int task, int) { device.table->f32_dropout(op, task); });
    }

private:
    void drop_images(Device& device, int64_t count, const Philox& philox,
                     const DropoutRun& op) const {
        const int64_t elements = channels_ * pixels_;
        const int64_t parts = ceil_div(elements, kDropoutElements);
        device.pool.parallel_for(static_cast<int>(count * parts), [&](int task, int) {
            const int64_t n = task / parts, first = task % parts * kDropoutElements;
            const int64_t last = std::min(first + kDropoutElements, elements);
            const float uniform =
                philox.uniform(static_cast<uint64_t>(n), layer_, RandomPurpose::kDropout);
            const float factor = uniform < op.probability ? 0.0f : op.scale;
            for (int64_t i = n * elements + first; i < n * elements + last; i++)
                op.dst[i] = op.src[i] * factor;
        });
    }

    float probability_;
    uint32_t layer_;
    int64_t channels_, pixels_;
    bool interleaved_, whole_images_, backward_;
};

}  // namespace

bool dropout_query(const Device&, const ImageNode& node, int direction, mnb_support& support) {
    const mn_dropout_desc& d = node.desc.dropout;
    if (direction == MNB_FORWARD_INFERENCE) return false;
    // Channels of one pixel are elements.
    if (d.unit == MN_DROPOUT_CHANNEL && node.src[0].h * node.src[0].w > 1) return false;
    support.src_layout = support.dst_layout = node.src[0].layout;
    return true;
}

std::unique_ptr<Kernel> dropout_create(const Device&, const ImageNode& node, int direction) {
    return std::make_unique<Dropout>(node, direction == MNB_BACKWARD);
}

}  // namespace mn::cpu::fast
