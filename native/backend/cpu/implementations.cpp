// Which kernels there are for an op, best first; the last is the plain reference.

#include "backend/cpu/cpu.h"
#include "backend/cpu/fast/fast.h"
#include "backend/cpu/reference/reference.h"

namespace mn::cpu {
namespace {

#define MN_REFERENCE(op) \
    { "reference", reference::op##_query, reference::op##_create }
#define MN_FAST(op) \
    { "fast", fast::op##_query, fast::op##_create }
#define MN_END \
    { nullptr, nullptr, nullptr }

constexpr Implementation load[] = {MN_FAST(load), MN_REFERENCE(load), MN_END};
constexpr Implementation conv2d[] = {MN_FAST(conv2d), MN_REFERENCE(conv2d), MN_END};
constexpr Implementation max_pool2d[] = {MN_FAST(max_pool2d), MN_REFERENCE(max_pool2d), MN_END};
constexpr Implementation avg_pool2d[] = {MN_FAST(avg_pool2d), MN_REFERENCE(avg_pool2d), MN_END};
constexpr Implementation global_avg_pool2d[] = {MN_FAST(global_avg_pool2d),
                                                MN_REFERENCE(global_avg_pool2d), MN_END};
constexpr Implementation linear[] = {MN_FAST(linear), MN_REFERENCE(linear), MN_END};
constexpr Implementation activation[] = {MN_FAST(activation), MN_REFERENCE(activation), MN_END};
constexpr Implementation softmax[] = {MN_REFERENCE(softmax), MN_END};
constexpr Implementation label_loss[] = {MN_FAST(label_loss), MN_REFERENCE(label_loss), MN_END};
constexpr Implementation target_loss[] = {MN_FAST(target_loss), MN_REFERENCE(target_loss), MN_END};
constexpr Implementation output_gradient[] = {MN_FAST(output_gradient),
                                              MN_REFERENCE(output_gradient), MN_END};
constexpr Implementation conv_transpose2d[] = {MN_REFERENCE(conv_transpose2d), MN_END};
constexpr Implementation pad2d[] = {MN_REFERENCE(pad2d), MN_END};
constexpr Implementation max_unpool2d[] = {MN_REFERENCE(max_unpool2d), MN_END};
constexpr Implementation adaptive_avg_pool2d[] = {MN_REFERENCE(adaptive_avg_pool2d), MN_END};
constexpr Implementation adaptive_max_pool2d[] = {MN_REFERENCE(adaptive_max_pool2d), MN_END};
constexpr Implementation upsample[] = {MN_REFERENCE(upsample), MN_END};
constexpr Implementation binary[] = {MN_FAST(binary), MN_REFERENCE(binary), MN_END};
constexpr Implementation concat[] = {MN_FAST(concat), MN_REFERENCE(concat), MN_END};
constexpr Implementation channel_shuffle[] = {MN_FAST(channel_shuffle), MN_REFERENCE(copy), MN_END};
constexpr Implementation slice[] = {MN_FAST(slice), MN_REFERENCE(copy), MN_END};
constexpr Implementation scale[] = {MN_FAST(scale), MN_REFERENCE(scale), MN_END};
constexpr Implementation embedding[] = {MN_REFERENCE(embedding), MN_END};
constexpr Implementation reorder[] = {MN_FAST(reorder), MN_REFERENCE(reorder), MN_END};
constexpr Implementation sum[] = {MN_FAST(sum), MN_REFERENCE(sum), MN_END};
constexpr Implementation batch_norm[] = {MN_FAST(batch_norm), MN_REFERENCE(batch_norm), MN_END};
constexpr Implementation layer_norm[] = {MN_REFERENCE(layer_norm), MN_END};
constexpr Implementation group_norm[] = {MN_REFERENCE(group_norm), MN_END};
constexpr Implementation local_response_norm[] = {MN_REFERENCE(local_response_norm), MN_END};
constexpr Implementation dropout[] = {MN_FAST(dropout), MN_REFERENCE(dropout), MN_END};
constexpr Implementation none[] = {MN_END};

}  // namespace

const Implementation* implementations(int op) {
    switch (op) {
        case MNB_OP_LOAD:
            return load;
        case MN_OP_CONV2D:
            return conv2d;
        case MN_OP_MAX_POOL2D:
            return max_pool2d;
        case MN_OP_AVG_POOL2D:
            return avg_pool2d;
        case MN_OP_GLOBAL_AVG_POOL2D:
            return global_avg_pool2d;
        case MN_OP_LINEAR:
            return linear;
        case MN_OP_ACTIVATION:
            return activation;
        case MN_OP_SOFTMAX:
        case MN_OP_LOG_SOFTMAX:
            return softmax;
        case MNB_OP_LABEL_LOSS:
            return label_loss;
        case MNB_OP_TARGET_LOSS:
            return target_loss;
        case MNB_OP_OUTPUT_GRADIENT:
            return output_gradient;
        case MN_OP_CONV_TRANSPOSE2D:
            return conv_transpose2d;
        case MN_OP_PAD2D:
            return pad2d;
        case MN_OP_MAX_UNPOOL2D:
            return max_unpool2d;
        case MN_OP_ADAPTIVE_AVG_POOL2D:
            return adaptive_avg_pool2d;
        case MN_OP_ADAPTIVE_MAX_POOL2D:
            return adaptive_max_pool2d;
        case MN_OP_UPSAMPLE:
            return upsample;
        case MN_OP_BINARY:
            return binary;
        case MN_OP_CONCAT:
            return concat;
        case MN_OP_SLICE:
            return slice;
        case MN_OP_CHANNEL_SHUFFLE:
            return channel_shuffle;
        case MN_OP_SCALE:
            return scale;
        case MN_OP_EMBEDDING:
            return embedding;
        case MNB_OP_REORDER:
            return reorder;
        case MNB_OP_SUM:
            return sum;
        case MN_OP_BATCH_NORM:
        case MNB_OP_FROZEN_BATCH_NORM:
        case MNB_OP_BATCH_NORM_AGAIN:
            return batch_norm;
        case MN_OP_LAYER_NORM:
            return layer_norm;
        case MN_OP_GROUP_NORM:
            return group_norm;
        case MN_OP_LOCAL_RESPONSE_NORM:
            return local_response_norm;
        case MN_OP_DROPOUT:
            return dropout;
        default:
            return none;
    }
}

}  // namespace mn::cpu
