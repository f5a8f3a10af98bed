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
    mn_conv_transpose2d_desc conv_transpose2d;
    mn_pad2d_desc pad2d;
    mn_adaptive_pool2d_desc adaptive_pool2d;
    mn_upsample_desc upsample;
    mn_batch_norm_desc batch_norm;
    mn_layer_norm_desc layer_norm;
    mn_group_norm_desc group_norm;
    mn_local_response_norm_desc local_response_norm;
    mn_dropout_desc dropout;
    mn_binary_desc binary;
    mn_slice_desc slice;
    mn_scale_desc scale;
    mn_channel_shuffle_desc channel_shuffle;
    mn_embedding_desc embedding;
    mn_normalize_desc normalize;  // also of a load; channels = 0: no normalisation
    mn_loss_desc loss;
} mn_op_desc;

#endif
