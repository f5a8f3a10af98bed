#include "graph/ops.h"

#include "graph/infer.h"

namespace mn {
namespace {

constexpr OpInfo kOps[] = {
    {MN_OP_INPUT, "input", nullptr},
    {MN_OP_NORMALIZE, "normalize", infer::normalize},
    {MN_OP_CONV2D, "conv2d", infer::conv2d},
    {MN_OP_MAX_POOL2D, "max_pool2d", infer::pool2d},
    {MN_OP_AVG_POOL2D, "avg_pool2d", infer::pool2d},
    {MN_OP_GLOBAL_AVG_POOL2D, "global_avg_pool2d", infer::global_avg_pool2d},
    {MN_OP_LINEAR, "linear", infer::linear},
    {MN_OP_ACTIVATION, "activation", infer::activation},
    {MN_OP_FLATTEN, "flatten", infer::flatten},
    {MN_OP_SOFTMAX, "softmax", infer::softmax},
    {MN_OP_CONV_TRANSPOSE2D, "conv_transpose2d", infer::conv_transpose2d},
    {MN_OP_PAD2D, "pad2d", infer::pad2d},
    {MN_OP_MAX_UNPOOL2D, "max_unpool2d", infer::max_unpool2d},
    {MN_OP_ADAPTIVE_AVG_POOL2D, "adaptive_avg_pool2d", infer::adaptive_pool2d},
    {MN_OP_ADAPTIVE_MAX_POOL2D, "adaptive_max_pool2d", infer::adaptive_pool2d},
    {MN_OP_UPSAMPLE, "upsample", infer::upsample},
    {MN_OP_BATCH_NORM, "batch_norm", infer::batch_norm},
    {MN_OP_LAYER_NORM, "layer_norm", infer::layer_norm},
    {MN_OP_GROUP_NORM, "group_norm", infer::group_norm},
    {MN_OP_LOCAL_RESPONSE_NORM, "local_response_norm", infer::local_response_norm},
    {MN_OP_LOG_SOFTMAX, "log_softmax", infer::softmax},
    {MN_OP_DROPOUT, "dropout", infer::dropout},
    {MN_OP_BINARY, "binary", infer::binary},
    {MN_OP_CONCAT, "concat", infer::concat},
    {MN_OP_SLICE, "slice", infer::slice},
    {MN_OP_SCALE, "scale", infer::scale},
    {MN_OP_CHANNEL_SHUFFLE, "channel_shuffle", infer::channel_shuffle},
    {MN_OP_RESHAPE, "reshape", infer::reshape},
    {MN_OP_EMBEDDING, "embedding", infer::embedding},
};

}  // namespace

const OpInfo& op_info(int32_t op) {
    for (const OpInfo& info : kOps)
        if (info.op == op) return info;
    fail(MN_INTERNAL, "there is no op ", op);
}

}  // namespace mn
