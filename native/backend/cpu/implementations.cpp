// Which kernels there are for an op, best first; the last is the plain reference. The lists are a
// column of the table of ops.

#include "backend/cpu/cpu.h"
#include "backend/cpu/fast/fast.h"
#include "backend/cpu/reference/reference.h"

namespace mn::cpu {
namespace {

#define MN_NO_KERNEL
#define MN_REFERENCE(op) {"reference", reference::op##_query, reference::op##_create},
#define MN_FAST(op) {"fast", fast::op##_query, fast::op##_create},
#define MN_OP(id, name, desc, infer, sources, cpu, cuda, traits) \
    constexpr Implementation k##id[] = {cpu{nullptr, nullptr, nullptr}};
#define MN_INTERNAL_OP(id, value, name, desc, cpu, cuda, traits) \
    constexpr Implementation k##id[] = {cpu{nullptr, nullptr, nullptr}};
#include "graph/ops.def"

constexpr Implementation kNone[] = {{nullptr, nullptr, nullptr}};

}  // namespace

const Implementation* implementations(int op) {
    switch (op) {
#define MN_OP(id, name, desc, infer, sources, cpu, cuda, traits) \
    case MN_OP_##id:                                             \
        return k##id;
#define MN_INTERNAL_OP(id, value, name, desc, cpu, cuda, traits) \
    case MNB_OP_##id:                                            \
        return k##id;
#include "graph/ops.def"
        default:
            return kNone;
    }
}

}  // namespace mn::cpu
