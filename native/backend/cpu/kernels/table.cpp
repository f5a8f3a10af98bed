// The table of this instruction set.

#include "backend/cpu/kernels/kernels.h"

#define MN_TEXT_OF(x) #x
#define MN_TEXT(x) MN_TEXT_OF(x)

namespace mn::cpu::MN_ISA {

const KernelTable table = {
    MN_TEXT(MN_ISA),
    f32_conv2d_gemm_forward,
    f32_conv2d_gemm_diff_src,
    f32_conv2d_gemm_diff_weights,
    f32_conv2d_gemm_pack,
    f32_conv2d_depthwise_forward,
    f32_conv2d_depthwise_diff_src,
    f32_conv2d_depthwise_diff_weights,
    f32_conv2d_winograd_pack,
    f32_conv2d_winograd_forward,
    f32_conv2d_winograd_diff_src,
    f32_conv2d_winograd_diff_weights,
    f32_conv2d_winograd_sum_filters,
    f32_conv2d_sparse_diff_weights,
    f32_conv2d_sparse_sum_filters,
    f32_conv2d_sparse_diff_src,
    f32_conv2d_sparse_pack,
    f32_conv2d_image_forward,
    f32_conv2d_image_diff_weights,
    f32_max_pool_forward,
    f32_max_pool_backward,
    f32_avg_pool_forward,
    f32_avg_pool_backward,
    f32_linear_forward,
    f32_linear_prepare,
    f32_linear_diff_src,
    f32_linear_diff_weights,
    f32_linear_diff_bias,
    f32_batch_norm_sum_sources,
    f32_batch_norm_scale,
    f32_batch_norm_sum_gradients,
    f32_batch_norm_diff_src,
    f32_conv2d_sum_filters,
    f32_is_finite,
    f32_activation,
    f32_sum_chunks,
    f32_dropout,
    load_image,
    f32_update,
    f32_sum_of_squares,
    f32_scale_product,
    f32_squared_error,
    f32_class_scores,
    f32_class_gradients,
    f32_multiply_adds,
};

}  // namespace mn::cpu::MN_ISA
