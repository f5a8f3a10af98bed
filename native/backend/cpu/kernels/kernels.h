// The kernels of one instruction set; what they do is said in table.h.

#pragma once

#include "backend/cpu/kernels/table.h"

namespace mn::cpu::MN_ISA {

void f32_conv2d_gemm_forward(const ConvForward&, int64_t task, float* scratch);
void f32_conv2d_gemm_diff_src(const ConvBackward&, int64_t task, float* scratch);
void f32_conv2d_gemm_diff_weights(const ConvBackward&, int64_t task, float* scratch);
void f32_conv2d_gemm_pack(const ConvShape&, const float* weights, const int64_t* taps,
                          int64_t tap_count, int64_t panel, float* packed);
void f32_conv2d_depthwise_forward(const ConvForward&, int64_t task, float* scratch);
void f32_conv2d_depthwise_diff_src(const ConvBackward&, int64_t task, float* scratch);
void f32_conv2d_depthwise_diff_weights(const ConvBackward&, int64_t chunk, float* scratch);
void f32_conv2d_winograd_pack(const ConvShape&, int64_t tile, const float* weights,
                              int64_t transposed, int64_t panel, float* packed);
void f32_conv2d_winograd_forward(const ConvForward&, const WinogradShape&, const float* packed,
                                 int64_t task, float* scratch);
void f32_conv2d_winograd_diff_src(const ConvBackward&, const WinogradShape&, int64_t task,
                                  float* scratch);
void f32_conv2d_winograd_diff_weights(const ConvBackward&, const WinogradSums&, int64_t task,
                                      float* scratch);
void f32_conv2d_winograd_sum_filters(const ConvBackward&, int64_t chunks, int64_t panel,
                                     float* diff_weights, int64_t accumulate);
void f32_conv2d_sparse_diff_weights(const ConvBackward&, int64_t task, float* scratch);
void f32_conv2d_sparse_sum_filters(const ConvBackward&, int64_t chunks, int64_t panel,
                                   float* diff_weights, int64_t accumulate);
void f32_conv2d_sparse_diff_src(const ConvBackward&, int64_t task, float* scratch);
void f32_conv2d_sparse_pack(const ConvShape&, const float* weights, int64_t panel, float* packed);
void f32_conv2d_image_forward(const ConvForward&, int64_t task, float* scratch);
void f32_conv2d_image_diff_weights(const ConvBackward&, int64_t chunk, float* scratch);
void f32_max_pool_forward(const PoolRun&, int64_t image);
void f32_max_pool_backward(const PoolRun&, int64_t image);
void f32_avg_pool_forward(const PoolRun&, int64_t image);
void f32_avg_pool_backward(const PoolRun&, int64_t image);
void f32_linear_forward(const LinearForward&, int64_t task);
void f32_linear_prepare(const LinearBackward&, int64_t task);
void f32_linear_diff_src(const LinearBackward&, int64_t task, float* scratch);
void f32_linear_diff_weights(const LinearBackward&, int64_t task);
void f32_linear_diff_bias(const LinearBackward&);
void f32_batch_norm_sum_sources(const BatchNormPass&);
void f32_batch_norm_scale(const BatchNormPass&);
void f32_batch_norm_sum_gradients(const BatchNormPass&);
void f32_batch_norm_diff_src(const BatchNormPass&);
void f32_conv2d_sum_filters(const ConvBackward&, int64_t chunks, int64_t task, float* diff_weights,
                            int64_t accumulate);
int64_t f32_is_finite(const float* values, int64_t count);
void f32_activation(const ActivationRun&);
void f32_sum_chunks(const float* chunks, int64_t chunk_count, int64_t stride, float* dst,
                    int64_t count, int64_t accumulate);
void f32_dropout(const DropoutRun&, int64_t task);
void load_image(const LoadRun&, int64_t image);
void f32_update(const UpdateStep&, const UpdateRange&);
double f32_scale_product(const float* x, float* g, int64_t count, float factor);
double f32_squared_error(const float* x, float* g, int64_t count, float factor);
void f32_class_scores(ClassScores&);
void f32_class_gradients(float* values, int64_t classes, float scale, float share,
                         const float* weights);
double f32_multiply_adds(int64_t iterations, float* sink);
double f32_sum_of_squares(const float* g, int64_t count, float scale, float clip_value);

}  // namespace mn::cpu::MN_ISA
