#include "backend/cuda/ops/ops.h"

namespace mn::cuda {
namespace {

constexpr const Op* kFamilies[] = {
    kConvolutionOps,  //
    kElementwiseOps,  //
    kLinearOps,       //
    kLossOps,         //
    kNormOps,         //
    kPoolOps,         //
    kResampleOps,     //
    kStructureOps,    //
};

}  // namespace

const Op* find_op(int32_t op) {
    for (const Op* family : kFamilies)
        for (const Op* i = family; i->query; i++)
            if (i->op == op) return i;
    return nullptr;
}

}  // namespace mn::cuda
