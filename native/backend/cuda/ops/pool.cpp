// Max, average and global average pooling.

#include "backend/cuda/ops/ops.h"
#include "backend/cuda/ops/pool_params.h"

namespace mn::cuda {
namespace {

class Pool : public NodeKernel {
public:
    Pool(Device& device, const ImageNode& node, int32_t direction)
        : NodeKernel(device, node, direction) {
        mn_pool2d_desc pool = node_.desc.pool2d;
        if (node_.op == MN_OP_GLOBAL_AVG_POOL2D) {
            pool = {};
            pool.kernel_h = pool.stride_h = static_cast<int32_t>(node_.src[0].h);
            pool.kernel_w = pool.stride_w = static_cast<int32_t>(node_.src[0].w);
        }
        params_ = max_pool_params(pool, node_.src[0].h, node_.src[0].w, node_.dst);
    }

    void run(Device& device, const mnb_run& run) override {
        const bool max = node_.op == MN_OP_MAX_POOL2D;
        PoolParams p = params_;
        p.planes = run.count * node_.dst.c;
        if (max && direction_ != MNB_FORWARD_INFERENCE) p.argmax = run.saved;
        if (!backward_) {
            p.src = run.src[0];
            p.dst = run.dst;
            device.launch(max ? "mn_max_pool_forward" : "mn_avg_pool_forward", p,
                          run.count * features(node_.dst));
        } else if (run.diff_src[0]) {
            p.diff_dst = run.diff_dst;
            p.dst = run.diff_src[0];
            device.launch(max ? "mn_max_pool_backward" : "mn_avg_pool_backward", p,
                          run.count * features(node_.src[0]));
        }
    }

private:
    PoolParams params_;
};

bool max_query(const ImageNode& node, int32_t direction, mnb_support& support) {
    if (direction != MNB_FORWARD_INFERENCE)
        support.saved_bytes = features(node.dst) * (is_small(node.desc.pool2d) ? 1 : 4);
    support.backward_needs = MNB_NEEDS_SAVED;
    return true;
}

bool average_query(const ImageNode&, int32_t, mnb_support&) {
    return true;
}

}  // namespace

const Op ops::max_pool = {max_query, create<Pool>};
const Op ops::average_pool = {average_query, create<Pool>};

}  // namespace mn::cuda
