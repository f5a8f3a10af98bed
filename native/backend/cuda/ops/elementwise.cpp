// Loading a batch, activations, sums of gradients and changes of layout (there is one layout).

#include <vector>

#include "backend/activations.h"
#include "backend/cuda/ops/ops.h"

namespace mn::cuda {
namespace {

class Load : public NodeKernel {
public:
    Load(Device& device, const ImageNode& node, int32_t direction)
        : NodeKernel(device, node, direction) {
        const mn_normalize_desc& d = node.desc.normalize;
        if (d.channels == 0) return;
        channels_ = static_cast<size_t>(node.dst.c);
        std::vector<float> values(2 * channels_);
        for (size_t c = 0; c < channels_; c++) {
            values[c] = d.mean[d.channels == 1 ? 0 : c];
            values[channels_ + c] = d.std[d.channels == 1 ? 0 : c];
        }
        const size_t bytes = values.size() * sizeof(float);
        normalization_ = Buffer(device, bytes);
        device.copy_in(normalization_.at<void>(), values.data(), bytes);
    }

    void run(Device& device, const mnb_run& run) override {
        const LoadParams p = {run.input->images,
                              run.input->indices,
                              normalization_.at<float>(),
                              normalization_.at<float>(channels_ * sizeof(float)),
                              run.dst,
                              run.count,
                              node_.dst.c,
                              node_.dst.h * node_.dst.w,
                              run.input->dtype == MN_UINT8};
        device.launch("mn_load", p, run.count * features(node_.dst));
    }

private:
    size_t channels_ = 0;
    Buffer normalization_;  // mean, then standard deviation, of each channel
};

class Activation : public NodeKernel {
public:
    using NodeKernel::NodeKernel;

    static bool uses_result(int32_t kind) {
        switch (kind) {
#define MN_ACTIVATION(id, value, formula) \
    case MN_ACTIVATION_##id:              \
        return activations::formula::kUsesDst;
#include "graph/ops.def"
            default:
                return false;
        }
    }

    void run(Device& device, const mnb_run& run) override {
        const mn_activation_desc& d = node_.desc.activation;
        ActivationParams p{};
        p.count = run.count * features(node_.dst);
        p.kind = d.kind;
        p.alpha = d.alpha;
        p.threshold = d.threshold;
        if (!backward_) {
            p.src = run.src[0];
            p.dst = run.dst;
            device.launch("mn_activation_forward", p, p.count);
        } else if (run.diff_src[0]) {
            p.src = uses_result(d.kind) ? run.dst : run.src[0];
            p.diff_dst = run.diff_dst;
            p.dst = run.diff_src[0];
            device.launch("mn_activation_backward", p, p.count);
        }
    }
};

class Sum : public NodeKernel {
public:
    using NodeKernel::NodeKernel;

    void run(Device& device, const mnb_run& run) override {
        const int64_t count = run.count * features(node_.dst);
        if (!backward_) {
            device.launch("mn_sum", SumParams{run.src[0], run.src[1], run.dst, count}, count);
            return;
        }
        for (int i = 0; i < 2; i++)
            if (run.diff_src[i])
                device.copy(run.diff_src[i], run.diff_dst,
                            static_cast<size_t>(count) * sizeof(float));
    }
};

// A copy of one value: a reorder, a change of shape.
class Copy : public NodeKernel {
public:
    using NodeKernel::NodeKernel;

    void run(Device& device, const mnb_run& run) override {
        const size_t bytes = static_cast<size_t>(run.count * features(node_.dst)) * sizeof(float);
        if (!backward_)
            device.copy(run.dst, run.src[0], bytes);
        else if (run.diff_src[0])
            device.copy(run.diff_src[0], run.diff_dst, bytes);
    }
};

bool load_query(const ImageNode&, int32_t direction, mnb_support&) {
    return direction != MNB_BACKWARD;  // the gradient of its result is all there is
}

bool activation_query(const ImageNode& node, int32_t, mnb_support& support) {
    support.backward_needs =
        Activation::uses_result(node.desc.activation.kind) ? MNB_NEEDS_DST : MNB_NEEDS_SRC;
    return true;
}

bool sum_query(const ImageNode& node, int32_t, mnb_support&) {
    return node.source_count == 2;
}

bool copy_query(const ImageNode&, int32_t, mnb_support&) {
    return true;
}

}  // namespace

const Op ops::load = {load_query, create<Load>};
const Op ops::activation = {activation_query, create<Activation>};
const Op ops::sum = {sum_query, create<Sum>};
const Op ops::copy = {copy_query, create<Copy>};

}  // namespace mn::cuda
