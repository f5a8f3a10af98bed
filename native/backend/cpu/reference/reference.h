// The plain kernels: one for every op and direction, in any layout. They are the oracle of the
// fast ones, so they are written to be seen to be right: float32 in and out, sums in double, in an
// order that depends on the problem only.

#pragma once

#include <memory>

#include "backend/cpu/cpu.h"

namespace mn::cpu::reference {

#define MN_DECLARE(op)                                                             \
    bool op##_query(const Device&, const ImageNode&, int direction, mnb_support&); \
    std::unique_ptr<Kernel> op##_create(const Device&, const ImageNode&, int direction);

MN_DECLARE(load)
MN_DECLARE(conv2d)
MN_DECLARE(max_pool2d)
MN_DECLARE(avg_pool2d)
MN_DECLARE(global_avg_pool2d)
MN_DECLARE(linear)
MN_DECLARE(activation)
MN_DECLARE(softmax)
MN_DECLARE(label_loss)
MN_DECLARE(target_loss)
MN_DECLARE(output_gradient)
MN_DECLARE(conv_transpose2d)
MN_DECLARE(pad2d)
MN_DECLARE(max_unpool2d)
MN_DECLARE(adaptive_avg_pool2d)
MN_DECLARE(adaptive_max_pool2d)
MN_DECLARE(upsample)
MN_DECLARE(binary)
MN_DECLARE(concat)
MN_DECLARE(copy)  // slice, channel shuffle
MN_DECLARE(scale)
MN_DECLARE(embedding)
MN_DECLARE(reorder)
MN_DECLARE(sum)
MN_DECLARE(batch_norm)
MN_DECLARE(layer_norm)
MN_DECLARE(group_norm)
MN_DECLARE(local_response_norm)
MN_DECLARE(dropout)

#undef MN_DECLARE

}  // namespace mn::cpu::reference
