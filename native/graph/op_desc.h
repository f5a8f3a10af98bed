// The parameters of one op, as plain C data: what shape inference, every backend and the exporters
// share. Descriptors are those of the C ABI; ops that only passes make have theirs here too.

#ifndef MN_GRAPH_OP_DESC_H
#define MN_GRAPH_OP_DESC_H

#include "mnistnative.h"

// Which member counts follows from the op.
typedef union mn_op_desc {
    mn_conv2d_desc conv2d;
    mn_pool2d_desc pool2d;
    mn_linear_desc linear;
    mn_activation_desc activation;
    mn_normalize_desc normalize;  // also of a load; channels = 0: no normalisation
    mn_loss_desc loss;
} mn_op_desc;

#endif
