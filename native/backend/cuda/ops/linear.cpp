// Linear layer by cuBLAS, with bias and ReLU. cuBLAS is column-major: a row-major matrix is its
// transpose there.

#include "backend/cuda/ops/ops.h"

namespace mn::cuda {
namespace {

class Linear : public NodeKernel {
public:
    Linear(Device& device, const ImageNode& node, int32_t direction)
        : NodeKernel(device, node, direction),
          inputs_(features(node.src[0])),
          outputs_(node.desc.linear.out_features) {}

    void run(Device& device, const mnb_run& run) override {
        if (backward_)
            backward(device, run);
        else
            forward(device, run);
    }

private:
    void forward(Device& device, const mnb_run& run) const {
        Device::Gemm gemm = product();
        gemm.transpose_a = true;
        gemm.m = outputs_, gemm.n = run.count, gemm.k = inputs_;
        gemm.a = run.param[0], gemm.lda = inputs_;
        gemm.b = run.src[0], gemm.ldb = inputs_;
        gemm.c = run.dst, gemm.ldc = outputs_;
        device.gemm(gemm);
        const float* bias = node_.desc.linear.bias ? run.param[1] : nullptr;
        if (!bias && node_.activation == 0) return;
        const BiasParams p = {
            run.dst, bias, run.dst, run.count * outputs_, outputs_, 1, node_.activation != 0};
        device.launch("mn_bias", p, p.count);
    }

    void backward(Device& device, const mnb_run& run) const {
        const float* gradient = run.diff_dst;
        if (node_.activation != 0) {
            float* masked = static_cast<float*>(run.workspace);
            const ReluMaskParams p = {run.dst, run.diff_dst, masked, run.count * outputs_};
            device.launch("mn_relu_mask", p, p.count);
            gradient = masked;
        }
        if (run.diff_src[0]) {
            Device::Gemm gemm = product();
            gemm.m = inputs_, gemm.n = run.count, gemm.k = outputs_;
            gemm.a = run.param[0], gemm.lda = inputs_;
            gemm.b = gradient, gemm.ldb = outputs_;
            gemm.c = run.diff_src[0], gemm.ldc = inputs_;
            device.gemm(gemm);
        }
        if (run.diff_param[0]) {
            Device::Gemm gemm = product();
            gemm.transpose_b = true;
            gemm.m = inputs_, gemm.n = outputs_, gemm.k = run.count;
            gemm.a = run.src[0], gemm.lda = inputs_;
            gemm.b = gradient, gemm.ldb = outputs_;
            gemm.c = run.diff_param[0], gemm.ldc = inputs_;
            gemm.beta = run.accumulate[0] ? 1.0f : 0.0f;
            device.gemm(gemm);
        }
        if (run.diff_param[1]) {
            const ChannelSumParams p = {gradient, nullptr, run.diff_param[1], run.count,
                                        outputs_, 1,       run.accumulate[1]};
            device.launch_blocks("mn_channel_sum", p, outputs_);
        }
    }

    const int64_t inputs_, outputs_;
};

bool linear_query(const ImageNode& node, int32_t direction, mnb_support& support) {
    if (node.activation != 0 && node.activation != MN_ACTIVATION_RELU) return false;
    if (node.has_pool) return false;
    if (direction == MNB_BACKWARD && node.activation != 0)
        support.workspace_bytes =
            node.max_batch * features(node.dst) * static_cast<int64_t>(sizeof(float));
    support.backward_needs = MNB_NEEDS_SRC | (node.activation != 0 ? MNB_NEEDS_DST : 0);
    return true;
}

}  // namespace

const Op ops::linear = {linear_query, create<Linear>};

}  // namespace mn::cuda
