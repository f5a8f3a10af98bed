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
constexpr Implementation global_avg_pool2d[] = {MN_FAST(global_avg_pool2d), MN_REFERENCE(global_avg_pool2d), MN_END};
constexpr Implementation linear[] = {MN_FAST(linear), MN_REFERENCE(linear), MN_END};
constexpr Implementation activation[] = {MN_FAST(activation), MN_REFERENCE(activation), MN_END};
constexpr Implementation softmax[] = {MN_REFERENCE(softmax), MN_END};
constexpr Implementation cross_entropy[] = {MN_REFERENCE(cross_entropy), MN_END};
constexpr Implementation output_gradient[] = {MN_REFERENCE(output_gradient), MN_END};
constexpr Implementation reorder[] = {MN_REFERENCE(reorder), MN_END};
constexpr Implementation sum[] = {MN_REFERENCE(sum), MN_END};
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
            return softmax;
        case MNB_OP_LABEL_LOSS:
            return cross_entropy;
        case MNB_OP_OUTPUT_GRADIENT:
            return output_gradient;
        case MNB_OP_REORDER:
            return reorder;
        case MNB_OP_SUM:
            return sum;
        default:
            return none;
    }
}

}  // namespace mn::cpu
