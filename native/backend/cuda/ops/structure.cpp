// How values are put together and taken apart: binary operations, concatenation, slices, scales and
// shuffles of channels. The elements of an image are counted in the order C, H, W.

#include "backend/cuda/ops/ops.h"

namespace mn::cuda {
namespace {

// The second source may be one pixel, which is repeated over the image.
class Binary : public NodeKernel {
public:
    using NodeKernel::NodeKernel;

    void run(Device& device, const mnb_run& run) override {
        const int64_t size = features(node_.src[0]);
        BinaryParams p{};
        p.a = run.src[0];
        p.b = run.src[1];
        p.count = run.count * size;
        p.b_area = size / features(node_.src[1]);
        p.kind = node_.desc.binary.kind;
        if (!backward_) {
            p.dst = run.dst;
            device.launch("mn_binary_forward", p, p.count);
            return;
        }
        p.diff_dst = run.diff_dst;
        if (run.diff_src[0]) {
            p.dst = run.diff_src[0];
            device.launch("mn_binary_backward", p, p.count);
        }
        if (!run.diff_src[1]) return;
        p.dst = run.diff_src[1];
        p.second = 1;
        if (p.b_area == 1)
            device.launch("mn_binary_backward", p, p.count);
        else
            device.launch_blocks("mn_binary_backward_repeated", p, p.count / p.b_area);
    }
};

class Concat : public NodeKernel {
public:
    using NodeKernel::NodeKernel;

    void run(Device& device, const mnb_run& run) override {
        const int64_t all = features(node_.dst);
        int64_t before = 0;
        for (int i = 0; i < node_.source_count; i++) {
            const int64_t size = features(node_.src[i]);
            CopyPartParams p{run.src[i], run.dst, run.count, size, size, 0, all, before};
            if (backward_)
                p = {run.diff_dst, run.diff_src[i], run.count, size, all, before, size, 0};
            if (p.dst) device.launch("mn_copy_part", p, run.count * size);
            before += size;
        }
    }
};

class Slice : public NodeKernel {
public:
    using NodeKernel::NodeKernel;

    void run(Device& device, const mnb_run& run) override {
        const ImageView& src = node_.src[0];
        const int64_t all = features(src), size = features(node_.dst);
        // Features of a flattened image are counted one by one, an image's channels whole.
        const int64_t first = node_.desc.slice.first * src.h * src.w;
        CopyPartParams p{run.src[0], run.dst, run.count, size, all, first, size, 0};
        if (backward_) {
            if (!run.diff_src[0]) return;
            device.clear(run.diff_src[0], static_cast<size_t>(run.count * all) * sizeof(float));
            p = {run.diff_dst, run.diff_src[0], run.count, size, size, 0, all, first};
        }
        device.launch("mn_copy_part", p, run.count * size);
    }
};

class Shuffle : public NodeKernel {
public:
    using NodeKernel::NodeKernel;

    void run(Device& device, const mnb_run& run) override {
        const ImageView& src = node_.src[0];
        const int64_t groups = node_.desc.channel_shuffle.groups;
        ShuffleParams p{run.src[0], run.dst,       run.count * features(src),
                        src.c,      src.h * src.w, groups};
        if (backward_) {
            if (!run.diff_src[0]) return;
            // A shuffle by the other factor of the number of channels takes it back.
            p.src = run.diff_dst;
            p.dst = run.diff_src[0];
            p.groups = src.c / groups;
        }
        device.launch("mn_shuffle", p, p.count);
    }
};

class Scale : public NodeKernel {
public:
    using NodeKernel::NodeKernel;

    void run(Device& device, const mnb_run& run) override {
        const ImageView& src = node_.src[0];
        ScaleParams p{run.src[0], run.param[0], run.dst, run.count * features(src),
                      src.c,      src.h * src.w};
        if (!backward_) {
            device.launch("mn_scale", p, p.count);
            return;
        }
        if (run.diff_src[0]) {
            p.src = run.diff_dst;
            p.dst = run.diff_src[0];
            device.launch("mn_scale", p, p.count);
        }
        if (run.diff_param[0]) {
            const ChannelSumParams sum = {run.diff_dst, run.src[0],    run.diff_param[0], run.count,
                                          src.c,        src.h * src.w, run.accumulate[0]};
            device.launch_blocks("mn_channel_sum", sum, src.c);
        }
    }
};

bool binary_query(const ImageNode& node, int32_t, mnb_support& support) {
    if (node.desc.binary.kind == MN_BINARY_MULTIPLY) support.backward_needs = MNB_NEEDS_SRC;
    return true;
}

bool copy_query(const ImageNode&, int32_t, mnb_support&) {
    return true;
}

bool scale_query(const ImageNode&, int32_t, mnb_support& support) {
    support.backward_needs = MNB_NEEDS_SRC;
    return true;
}

}  // namespace

const Op ops::binary = {binary_query, create<Binary>};
const Op ops::concat = {copy_query, create<Concat>};
const Op ops::slice = {copy_query, create<Slice>};
const Op ops::shuffle = {copy_query, create<Shuffle>};
const Op ops::scale = {scale_query, create<Scale>};

}  // namespace mn::cuda
