// Dropout of single elements in training; what drops channels or images, which draws few numbers,
// is the plain one.

#include "backend/cpu/fast/fast.h"
#include "backend/cpu/reference/reference.h"
#include "graph/philox.h"

namespace mn::cpu::fast {
namespace {

class Dropout : public Kernel {
public:
    Dropout(const mnb_node& node, bool backward)
        : probability_(node.desc.dropout.probability),
          layer_(node.layer),
          channels_(node.src[0].c),
          pixels_(node.src[0].h * node.src[0].w),
          // Else units lie in memory as they are counted.
          interleaved_(node.src[0].layout == MNB_NHWC && channels_ > 1 && pixels_ > 1),
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
        const int64_t elements = run.count * channels_ * pixels_;
        op.channels = interleaved_ ? channels_ : 1;
        op.pixels = interleaved_ ? pixels_ : elements;
        const int64_t tasks = interleaved_ ? run.count * ceil_div(channels_, MNB_PANEL)
                                           : ceil_div(elements, kDropoutElements);
        device.pool.parallel_for(static_cast<int>(tasks),
                                 [&](int task, int) { device.table->f32_dropout(op, task); });
    }

private:
    float probability_;
    uint32_t layer_;
    int64_t channels_, pixels_;
    bool interleaved_, backward_;
};

}  // namespace

bool dropout_query(const Device&, const mnb_node& node, int direction, mnb_support& support) {
    const mn_dropout_desc& d = node.desc.dropout;
    const bool features = node.src[0].flat && d.unit == MN_DROPOUT_CHANNEL;
    if (direction == MNB_FORWARD_INFERENCE) return false;
    if (d.unit != MN_DROPOUT_ELEMENT && !features) return false;
    support.src_layout = support.dst_layout = node.src[0].layout;
    return true;
}

std::unique_ptr<Kernel> dropout_create(const Device&, const mnb_node& node, int direction) {
    return std::make_unique<Dropout>(node, direction == MNB_BACKWARD);
}

}  // namespace mn::cpu::fast
