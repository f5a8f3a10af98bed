// The functions of libcuda and cuBLAS that the backend calls, looked up at run time. Types are
// those of the toolkit's headers; nothing is linked.

#pragma once

#include <cublas_v2.h>
#include <cuda.h>

#include "backend/cuda/library.h"
#include "graph/error.h"

namespace mn::cuda {

// Names as the libraries export them.
// The formatter does not settle on this list.
// clang-format off
#define MN_DRIVER_FUNCTIONS(X)      \
    X(cuInit)                       \
    X(cuDriverGetVersion)           \
    X(cuGetErrorName)               \
    X(cuDeviceGet)                  \
    X(cuDeviceGetCount)             \
    X(cuDeviceGetName)              \
    X(cuDeviceTotalMem_v2)          \
    X(cuDeviceGetAttribute)         \
    X(cuDevicePrimaryCtxRetain)     \
    X(cuDevicePrimaryCtxRelease_v2) \
    X(cuCtxSetCurrent)              \
    X(cuMemAlloc_v2)                \
    X(cuMemFree_v2)                 \
    X(cuMemGetInfo_v2)              \
    X(cuMemHostAlloc)               \
    X(cuMemFreeHost)                \
    X(cuMemcpyHtoDAsync_v2)         \
    X(cuMemcpyDtoHAsync_v2)         \
    X(cuMemcpyDtoDAsync_v2)         \
    X(cuMemsetD8Async)              \
    X(cuStreamCreate)               \
    X(cuStreamDestroy_v2)           \
    X(cuStreamSynchronize)          \
    X(cuStreamBeginCapture_v2)      \
    X(cuStreamEndCapture)           \
    X(cuGraphInstantiateWithFlags)  \
    X(cuGraphLaunch)                \
    X(cuGraphDestroy)               \
    X(cuGraphExecDestroy)           \
    X(cuEventCreate)                \
    X(cuEventRecord)                \
    X(cuEventSynchronize)           \
    X(cuEventDestroy_v2)            \
    X(cuModuleLoadData)             \
    X(cuModuleUnload)               \
    X(cuModuleGetFunction)          \
    X(cuLaunchKernel)
// clang-format on

// The formatter does not settle on this list.
// clang-format off
#define MN_CUBLAS_FUNCTIONS(X) \
    X(cublasCreate_v2)         \
    X(cublasDestroy_v2)        \
    X(cublasSetStream_v2)      \
    X(cublasSetWorkspace_v2)   \
    X(cublasGetVersion_v2)
// clang-format on

// The header overloads these two for C++; the libraries export the ones with a cublasComputeType_t.
using GemmEx = cublasStatus_t(CUBLASWINAPI*)(cublasHandle_t, cublasOperation_t, cublasOperation_t,
                                             int, int, int, const void*, const void*, cudaDataType,
                                             int, const void*, cudaDataType, int, const void*,
                                             void*, cudaDataType, int, cublasComputeType_t,
                                             cublasGemmAlgo_t);
using GemmStridedBatchedEx = cublasStatus_t(CUBLASWINAPI*)(
    cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void*, const void*,
    cudaDataType, int, long long, const void*, cudaDataType, int, long long, const void*, void*,
    cudaDataType, int, long long, int, cublasComputeType_t, cublasGemmAlgo_t);
static_assert(sizeof(static_cast<GemmEx>(&::cublasGemmEx)) > 0);
static_assert(sizeof(static_cast<GemmStridedBatchedEx>(&::cublasGemmStridedBatchedEx)) > 0);

struct Driver {
    Library library;
    // The library is closed again by the caller if it is not complete.
    Driver();

#define MN_DECLARE(name) decltype(&::name) name = nullptr;
    MN_DRIVER_FUNCTIONS(MN_DECLARE)
    // Throws MN_INTERNAL, or MN_OUT_OF_MEMORY, naming what failed.
    void check(CUresult result, const char* what) const;
    const char* name_of(CUresult result) const;
};

struct Cublas {
    Library library;
    Cublas();

    MN_CUBLAS_FUNCTIONS(MN_DECLARE)
#undef MN_DECLARE
    GemmEx cublasGemmEx = nullptr;
    GemmStridedBatchedEx cublasGemmStridedBatchedEx = nullptr;
    static void check(cublasStatus_t status, const char* what);
};

// Throws MN_DEVICE_UNAVAILABLE with that reason.
[[noreturn]] void refuse(int32_t reason, const std::string& text);

}  // namespace mn::cuda
