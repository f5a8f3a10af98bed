#include "backend/cuda/ops/ops.h"

namespace mn::cuda {

const Op* find_op(int32_t op) {
    switch (op) {
#define MN_NO_KERNEL nullptr
#define MN_NO_CUDA(why) nullptr
#define MN_CUDA(entry) &ops::entry
#define MN_OP(id, name, desc, infer, sources, cpu, cuda, traits) \
    case MN_OP_##id:                                             \
        return cuda;
#define MN_INTERNAL_OP(id, value, name, desc, cpu, cuda, traits) \
    case MNB_OP_##id:                                            \
        return cuda;
#include "graph/ops.def"
        default:
            return nullptr;
    }
}

}  // namespace mn::cuda
