// What a .cu file is written with. Every kernel takes one plain struct, so that the host can launch
// it by name:
//
//     MN_KERNEL(mn_sum, SumParams, MN_NO_BARRIERS) {
//         for (int64_t i = MN_FIRST; i < p.count; i += MN_STRIDE) p.dst[i] = p.a[i] + p.b[i];
//     }
//
// Under nvcc that is a __global__ function with C linkage. With MN_CUDA_HOST defined, the tests'
// cuda_host.h supplies the device's vocabulary, and MN_KERNEL registers the function by its name,
// the size of its struct and whether it uses barriers or shuffles.

#pragma once

#include <stdint.h>

#include "backend/cuda/kernels/params.h"

#define MN_NO_BARRIERS 0
#define MN_BARRIERS 1

#if defined(MN_CUDA_HOST)
// Defines MN_KERNEL, MN_SHARED(type, name, count), __device__, __forceinline__, threadIdx,
// blockIdx, blockDim, gridDim, __syncthreads and what else the kernels use.
#include "cuda_host.h"
#else
#define MN_KERNEL(name, Params, barriers) extern "C" __global__ void name(const Params p)
#define MN_SHARED(type, name, count) __shared__ type name[count]
#endif

// A loop over all elements, whatever the grid.
#define MN_FIRST (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x)
#define MN_STRIDE (static_cast<int64_t>(gridDim.x) * blockDim.x)

namespace mn::cuda {

// A sum that one thread takes: a float holds a few terms, since one that holds n of one sign may
// lose n / 2 units in its last place; a double holds the rest, seldom enough not to be felt.
class LongSum {
public:
    __device__ __forceinline__ void add(float term) {
        part_ += term;
        if (++terms_ == 32) settle();
    }
    __device__ __forceinline__ double total() {
        settle();
        return whole_;
    }

private:
    __device__ __forceinline__ void settle() {
        whole_ += static_cast<double>(part_);
        part_ = 0;
        terms_ = 0;
    }

    double whole_ = 0;
    float part_ = 0;
    int terms_ = 0;
};

// The sum of `value` over a block of kBlockThreads, in a fixed order, for every thread. All
// threads of the block must come here. `shared` has kBlockThreads places.
__device__ __forceinline__ double block_sum(double value, double* shared) {
    const int t = static_cast<int>(threadIdx.x);
    __syncthreads();
    shared[t] = value;
    __syncthreads();
    for (int half = kBlockThreads / 2; half > 0; half /= 2) {
        if (t < half) shared[t] += shared[t + half];
        __syncthreads();
    }
    return shared[0];
}

}  // namespace mn::cuda
