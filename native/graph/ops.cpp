#include "graph/ops.h"

#include "graph/infer.h"

namespace mn {
namespace {

#define MN_SOURCES(least, most) least, most
#define MN_OP(id, name, desc, infer_name, sources, cpu, cuda, traits) \
    constexpr OpInfo k##id = {MN_OP_##id, #name, traits, sources, infer::infer_name};
#define MN_INTERNAL_OP(id, value, name, desc, cpu, cuda, traits) \
    constexpr OpInfo k##id = {MNB_OP_##id, #name, traits, 0, 0, nullptr};
#include "graph/ops.def"
#undef MN_SOURCES

// A value of the header's mn_op without a row does not compile.
[[maybe_unused]] void expect_a_row(mn_op op) {
    switch (op) {
#define MN_OP(id, name, desc, infer, sources, cpu, cuda, traits) case MN_OP_##id:
#include "graph/ops.def"
        break;
    }
}

}  // namespace

const OpInfo& op_info(int32_t op) {
    switch (op) {
#define MN_OP(id, name, desc, infer, sources, cpu, cuda, traits) \
    case MN_OP_##id:                                             \
        return k##id;
#define MN_INTERNAL_OP(id, value, name, desc, cpu, cuda, traits) \
    case MNB_OP_##id:                                            \
        return k##id;
#include "graph/ops.def"
        default:
            fail(MN_INTERNAL, "there is no op ", op);
    }
}

}  // namespace mn
