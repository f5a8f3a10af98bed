// The parameters of one op, as plain C data: what shape inference, every backend and the exporters
// share. Descriptors are those of the C ABI; ops that only passes make have theirs here too.

#ifndef MN_GRAPH_OP_DESC_H
#define MN_GRAPH_OP_DESC_H

#include "mnistnative.h"

// Of an op without a descriptor.
typedef struct mn_none_desc {
    uint32_t struct_size;
} mn_none_desc;

// Which member counts follows from the op: a column of ops.def.
typedef union mn_op_desc {
#define MN_DESC(name) mn_##name##_desc name;
#include "graph/ops.def"
} mn_op_desc;

// Ops that passes make, besides the public mn_op values; ops.def says what each is.
enum mnb_op {
#define MN_INTERNAL_OP(id, value, name, desc, cpu, cuda, traits) MNB_OP_##id = value,
#include "graph/ops.def"
};

#endif
