// The plain kernels: one for every op and direction, in any layout. They are the oracle of the
// fast ones, so they are written to be seen to be right: float32 in and out, sums in double, in an
// order that depends on the problem only.

#pragma once

#include <memory>

#include "backend/cpu/cpu.h"

namespace mn::cpu::reference {

// Those of the table of ops.
#define MN_NO_KERNEL
#define MN_REFERENCE(op)                                                           \
    bool op##_query(const Device&, const ImageNode&, int direction, mnb_support&); \
    std::unique_ptr<Kernel> op##_create(const Device&, const ImageNode&, int direction);
#define MN_FAST(op)
#define MN_OP(id, name, desc, infer, sources, cpu, cuda, traits) cpu
#define MN_INTERNAL_OP(id, value, name, desc, cpu, cuda, traits) cpu
#include "graph/ops.def"
#undef MN_NO_KERNEL
#undef MN_REFERENCE
#undef MN_FAST

}  // namespace mn::cpu::reference
