// Normalisations, softmax and dropout.

#include "backend/cuda/kernels/norm_params.h"
#include "backend/cuda/ops/ops.h"
#include "graph/philox.h"

namespace mn::cuda {
namespace {

// Channels of which each has a weight and a bias, and pixels of each.
struct Extent {
    int64_t channels, area;
};

Extent extent(const ImageView& t) {
    return {t.c, t.h * t.w};
}

bool is_batch_norm(const ImageNode& node) {
    return node.op == MN_OP_BATCH_NORM || node.op == MNB_OP_FROZEN_BATCH_NORM;
}

// Batch, group and layer normalisation differ in their sets and parameters only.
class Norm : public NodeKernel {
public:
    Norm(Device& device, const ImageNode& node, int32_t direction)
        : NodeKernel(device, node, direction), params_(of_node(node_)), affine_(is_affine(node_)) {}

    // The arguments that follow from the node; the batch is not yet counted.
    static NormParams of_node(const ImageNode& node) {
        NormParams p{};
        Extent e = extent(node.src[0]);
        int64_t groups = 1;
        p.sets = kRunSets;
        if (is_batch_norm(node)) {
            p.sets = kChannelSets;
            p.epsilon = static_cast<double>(node.desc.batch_norm.epsilon);
            p.momentum = static_cast<double>(node.desc.batch_norm.momentum);
        } else if (node.op == MN_OP_GROUP_NORM) {
            groups = node.desc.group_norm.groups;
            p.epsilon = static_cast<double>(node.desc.group_norm.epsilon);
        } else {
            p.epsilon = static_cast<double>(node.desc.layer_norm.epsilon);
            if (node.desc.layer_norm.channels_only && e.area > 1)
                p.sets = kPixelSets;
            else
                e = {e.channels * e.area, 1};
        }
        p.channels = e.channels;
        p.area = e.area;
        const int64_t image = e.channels * e.area;
        p.step = 1;
        switch (p.sets) {
            case kChannelSets:
                p.inner_sets = e.channels;
                p.inner_step = e.area;
                p.row = e.area;
                p.row_step = image;
                break;
            case kPixelSets:
                p.inner_sets = e.area;
                p.outer_step = image;
                p.inner_step = 1;
                p.set_size = p.row = e.channels;
                p.step = e.area;
                break;
            default:
                p.inner_sets = 1;
                p.set_size = p.row = p.outer_step = image / groups;
        }
        p.relu = node.activation == MN_ACTIVATION_RELU;
        p.uses_running = node.op == MNB_OP_FROZEN_BATCH_NORM;
        return p;
    }

    // Mean and r of each set, for one image; a channel's are for the whole batch.
    static int64_t saved_bytes(const ImageNode& node) {
        const NormParams p = of_node(node);
        const int64_t set = 2 * int64_t{sizeof(double)};
        if (p.sets == kChannelSets) return divide_up(p.channels * set, node.max_batch);
        return p.channels * p.area / p.set_size * set;
    }

    void run(Device& device, const mnb_run& run) override {
        NormParams p = params_;
        p.images = run.count;
        if (p.sets == kChannelSets) {
            p.set_count = p.channels;
            p.set_size = run.count * p.area;
        } else {
            p.set_count = run.count * (p.channels * p.area / p.set_size);
        }
        p.src = run.src[0];
        p.accumulate_weight = run.accumulate[0];
        p.accumulate_bias = run.accumulate[1];
        if (affine_) {
            p.weight = run.param[0];
            p.bias = run.param[1];
        }
        if (direction_ != MNB_FORWARD_INFERENCE) p.statistics = static_cast<double*>(run.saved);
        if (!backward_) {
            forward(device, run, p);
            return;
        }
        p.diff_dst = run.diff_dst;
        if (run.diff_src[0]) {
            p.dst = run.diff_src[0];
            device.launch_blocks("mn_norm_backward", p, p.set_count);
        }
        if (!affine_ || (!run.diff_param[0] && !run.diff_param[1])) return;
        p.weight_gradient = run.diff_param[0];
        p.bias_gradient = run.diff_param[1];
        device.launch_blocks("mn_norm_parameters", p, p.channels);
    }

private:
    static bool is_affine(const ImageNode& node) {
        switch (node.op) {
            case MN_OP_BATCH_NORM:
            case MNB_OP_FROZEN_BATCH_NORM:
                return node.desc.batch_norm.affine != 0;
            case MN_OP_GROUP_NORM:
                return node.desc.group_norm.affine != 0;
            default:
                return node.desc.layer_norm.affine != 0;
        }
    }

    void forward(Device& device, const mnb_run& run, NormParams& p) const {
        p.dst = run.dst;
        if (is_batch_norm(node_)) {
            const int first = affine_ ? 2 : 0;
            p.running_mean = run.param[first];
            p.running_variance = run.param[first + 1];
            p.uses_running |= direction_ == MNB_FORWARD_INFERENCE;
            p.moves_running = !p.uses_running;
        }
        device.launch_blocks("mn_norm_forward", p, p.set_count);
    }

    NormParams params_;
    bool affine_;
};

class LocalResponseNorm : public NodeKernel {
public:
    using NodeKernel::NodeKernel;

    void run(Device& device, const mnb_run& run) override {
        const mn_local_response_norm_desc& d = node_.desc.local_response_norm;
        LocalResponseParams p{};
        p.src = run.src[0];
        p.count = run.count * features(node_.dst);
        p.channels = node_.src[0].c;
        p.area = node_.src[0].h * node_.src[0].w;
        p.before = d.size / 2;
        p.after = (d.size - 1) / 2;
        p.k = d.k;
        p.beta = d.beta;
        p.factor = d.alpha / static_cast<float>(d.size);
        if (!backward_) {
            p.dst = run.dst;
            device.launch("mn_local_response_forward", p, p.count);
        } else if (run.diff_src[0]) {
            p.diff_dst = run.diff_dst;
            p.dst = run.diff_src[0];
            device.launch("mn_local_response_backward", p, p.count);
        }
    }
};

// A rectifier with a slope for all values or for each channel.
class Prelu : public NodeKernel {
public:
    using NodeKernel::NodeKernel;

    void run(Device& device, const mnb_run& run) override {
        NormParams p{};
        p.src = run.src[0];
        p.diff_dst = run.diff_dst;
        p.weight = run.param[0];
        p.images = run.count;
        p.channels = node_.param[0].o;
        p.area = features(node_.src[0]) / p.channels;
        p.accumulate_weight = run.accumulate[0];
        const int64_t count = run.count * features(node_.src[0]);
        if (!backward_) {
            p.dst = run.dst;
            device.launch("mn_prelu_forward", p, count);
            return;
        }
        if (run.diff_src[0]) {
            p.dst = run.diff_src[0];
            device.launch("mn_prelu_backward", p, count);
        }
        if (run.diff_param[0]) {
            p.weight_gradient = run.diff_param[0];
            device.launch_blocks("mn_prelu_weight", p, p.channels);
        }
    }
};

bool prelu_query(const ImageNode&, int32_t, mnb_support& support) {
    support.backward_needs = MNB_NEEDS_SRC;
    return true;
}

class Softmax : public NodeKernel {
public:
    using NodeKernel::NodeKernel;

    void run(Device& device, const mnb_run& run) override {
        SoftmaxParams p{};
        p.features = features(node_.dst);
        p.logarithm = node_.op == MN_OP_LOG_SOFTMAX;
        if (!backward_) {
            p.src = run.src[0];
            p.dst = run.dst;
            device.launch_blocks("mn_softmax_forward", p, run.count);
        } else if (run.diff_src[0]) {
            p.result = run.dst;
            p.diff_dst = run.diff_dst;
            p.dst = run.diff_src[0];
            device.launch_blocks("mn_softmax_backward", p, run.count);
        }
    }
};

// The backward pass draws the forward pass's numbers again.
class Dropout : public NodeKernel {
public:
    Dropout(Device& device, const ImageNode& node, int32_t direction)
        : NodeKernel(device, node, direction), stream_(device) {}

    void prepare(Device& device, const mnb_run& run) override {
        if (direction_ != MNB_FORWARD_INFERENCE)
            stream_.set(device, dropout_stream(run.seed, run.step));
    }

    void run(Device& device, const mnb_run& run) override {
        const mn_dropout_desc& d = node_.desc.dropout;
        const ImageView& t = node_.src[0];
        DropoutParams p{};
        p.count = run.count * features(t);
        p.src = backward_ ? run.diff_dst : run.src[0];
        p.dst = backward_ ? run.diff_src[0] : run.dst;
        if (!p.dst) return;
        if (direction_ == MNB_FORWARD_INFERENCE) {
            device.copy(p.dst, p.src, static_cast<size_t>(p.count) * sizeof(float));
            return;
        }
        const bool whole_channels = d.unit == MN_DROPOUT_CHANNEL;
        p.unit_size = d.unit == MN_DROPOUT_IMAGE ? features(t) : whole_channels ? t.h * t.w : 1;
        p.key = stream_.address()->key;
        p.layer = node_.layer;
        p.purpose = static_cast<uint32_t>(RandomPurpose::kDropout);
        p.probability = d.probability;
        p.scale = 1.0f / (1.0f - d.probability);
        device.launch("mn_dropout", p, p.count);
    }

private:
    DeviceValue<Philox> stream_;
};

bool norm_query(const ImageNode& node, int32_t direction, mnb_support& support) {
    const bool fuses_relu = is_batch_norm(node) && node.activation == MN_ACTIVATION_RELU;
    if ((node.activation != 0 && !fuses_relu) || node.has_pool) return false;
    if (direction != MNB_FORWARD_INFERENCE) support.saved_bytes = Norm::saved_bytes(node);
    support.backward_needs = MNB_NEEDS_SRC | MNB_NEEDS_SAVED;
    return true;
}

bool local_response_query(const ImageNode&, int32_t, mnb_support& support) {
    support.backward_needs = MNB_NEEDS_SRC;
    return true;
}

bool softmax_query(const ImageNode&, int32_t, mnb_support& support) {
    support.backward_needs = MNB_NEEDS_DST;
    return true;
}

bool dropout_query(const ImageNode&, int32_t, mnb_support&) {
    return true;
}

}  // namespace

const Op ops::norm = {norm_query, create<Norm>};
const Op ops::local_response_norm = {local_response_query, create<LocalResponseNorm>};
const Op ops::prelu = {prelu_query, create<Prelu>};
const Op ops::softmax = {softmax_query, create<Softmax>};
const Op ops::dropout = {dropout_query, create<Dropout>};

}  // namespace mn::cuda
