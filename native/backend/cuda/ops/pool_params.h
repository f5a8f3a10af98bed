// The part of a pooling's arguments that follows from its node.

#pragma once

#include <algorithm>

#include "backend/cuda/kernels/params.h"
#include "backend/image.h"

namespace mn::cuda {

// A byte tells which element of the window won.
inline bool is_small(const mn_pool2d_desc& pool) {
    return int64_t{pool.kernel_h} * pool.kernel_w <= 255;
}

template <class Params>
void set_window(Params& p, const mn_pool2d_desc& pool) {
    p.kernel_h = pool.kernel_h;
    p.kernel_w = pool.kernel_w;
    p.stride_h = pool.stride_h;
    p.stride_w = pool.stride_w;
    p.pad_h = pool.pad_h;
    p.pad_w = pool.pad_w;
    // Zero stands for a dilation of one.
    p.dilation_h = std::max(pool.dilation_h, 1);
    p.dilation_w = std::max(pool.dilation_w, 1);
}

inline PoolParams max_pool_params(const mn_pool2d_desc& pool, int64_t src_h, int64_t src_w,
                                  const ImageView& dst) {
    PoolParams p{};
    p.channels = dst.c;
    p.src_h = static_cast<int32_t>(src_h);
    p.src_w = static_cast<int32_t>(src_w);
    p.dst_h = static_cast<int32_t>(dst.h);
    p.dst_w = static_cast<int32_t>(dst.w);
    set_window(p, pool);
    p.count_include_pad = pool.count_include_pad;
    p.small = is_small(pool);
    return p;
}

}  // namespace mn::cuda
