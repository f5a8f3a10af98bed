// The ops of the backend, a family a file. Every value is dense N x C x H x W (so a flattened image
// is its features in order) and every parameter in PyTorch's order.

#pragma once

#include <memory>

#include "backend/cuda/device.h"

namespace mn::cuda {

class Kernel {
public:
    virtual ~Kernel() = default;
    // Called ahead of each run, also where a graph is replayed instead of it: what differs between
    // runs of one mnb_sequence is put on the device here, in a DeviceValue.
    virtual void prepare(Device&, const mnb_run&) {}
    // Launches; all that it passes by value depends on the mnb_sequence alone.
    virtual void run(Device& device, const mnb_run& run) = 0;
};

struct Op {
    // False: this node cannot be run as it is. `support` comes with NCHW and plain parameters.
    bool (*query)(const ImageNode& node, int32_t direction, mnb_support& support);
    std::unique_ptr<Kernel> (*create)(Device& device, const ImageNode& node, int32_t direction);
    // What depends on the device, after `query`; or null.
    void (*adapt)(Device& device, const ImageNode& node, int32_t direction,
                  mnb_support& support) = nullptr;
};

// Those of the table of ops.
namespace ops {
#define MN_NO_KERNEL
#define MN_NO_CUDA(why)
#define MN_CUDA(entry) extern const Op entry;
#define MN_OP(id, name, desc, infer, sources, cpu, cuda, traits) cuda
#define MN_INTERNAL_OP(id, value, name, desc, cpu, cuda, traits) cuda
#include "graph/ops.def"
#undef MN_NO_KERNEL
#undef MN_NO_CUDA
#undef MN_CUDA
}  // namespace ops

// Null if the backend has no such op.
const Op* find_op(int32_t op);

// One optimizer step over all parameters.
void update(Device& device, const mn_optimizer_desc& optimizer, const mnb_update* params,
            int32_t count, const mnb_update_options& options);

inline int64_t features(const ImageView& t) {
    return t.c * t.h * t.w;
}

// A kernel that keeps its node.
class NodeKernel : public Kernel {
public:
    NodeKernel(Device&, const ImageNode& node, int32_t direction)
        : node_(node), backward_(direction == MNB_BACKWARD), direction_(direction) {}

protected:
    // A product in the node's precision.
    Device::Gemm product() const {
        Device::Gemm gemm;
        gemm.precision = node_.precision;
        return gemm;
    }

    const ImageNode node_;
    const bool backward_;
    const int32_t direction_;
};

template <class K>
std::unique_ptr<Kernel> create(Device& device, const ImageNode& node, int32_t direction) {
    return std::make_unique<K>(device, node, direction);
}

}  // namespace mn::cuda
