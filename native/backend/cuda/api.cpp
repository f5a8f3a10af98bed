#include "backend/cuda/api.h"

namespace mn::cuda {

void refuse(int32_t reason, const std::string& text) {
    Error error(MN_DEVICE_UNAVAILABLE, "[device cuda] " + text);
    error.info().reason = reason;
    throw error;
}

#define MN_LOOK_UP(name)                                            \
    name = reinterpret_cast<decltype(name)>(library.symbol(#name)); \
    if (!name) refuse(missing_reason, library.path() + " has no function " #name);

#if defined(_WIN32)
Driver::Driver() : library{"nvcuda.dll"} {
#else
Driver::Driver() : library{"libcuda.so.1"} {
#endif
    if (!library.found())
        refuse(MN_REASON_NO_DRIVER,
               "the NVIDIA driver's library cannot be opened: " + library.failure());
    // A function that is not there is newer than the driver.
    const int32_t missing_reason = MN_REASON_DRIVER_TOO_OLD;
    MN_DRIVER_FUNCTIONS(MN_LOOK_UP)
}

const char* Driver::name_of(CUresult result) const {
    const char* name = nullptr;
    if (cuGetErrorName(result, &name) != CUDA_SUCCESS || !name) name = "unknown error";
    return name;
}

void Driver::check(CUresult result, const char* what) const {
    if (result == CUDA_SUCCESS) return;
    fail(result == CUDA_ERROR_OUT_OF_MEMORY ? MN_OUT_OF_MEMORY : MN_INTERNAL, "[device cuda] ",
         what, " failed: ", name_of(result), " (", static_cast<int>(result), ")");
}

#if defined(_WIN32)
Cublas::Cublas() : library{"cublas64_13.dll", "cublas64_12.dll", "cublas64_11.dll"} {
#else
Cublas::Cublas() : library{"libcublas.so.13", "libcublas.so.12", "libcublas.so.11"} {
#endif
    if (!library.found())
        refuse(MN_REASON_LIBRARY_MISSING,
               "cuBLAS 11, 12 or 13 cannot be opened: " + library.failure());
    const int32_t missing_reason = MN_REASON_LIBRARY_MISSING;
    MN_CUBLAS_FUNCTIONS(MN_LOOK_UP)
    MN_LOOK_UP(cublasGemmEx)
    MN_LOOK_UP(cublasGemmStridedBatchedEx)
}

void Cublas::check(cublasStatus_t status, const char* what) {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    fail(status == CUBLAS_STATUS_ALLOC_FAILED ? MN_OUT_OF_MEMORY : MN_INTERNAL, "[device cuda] ",
         what, " failed with cuBLAS status ", static_cast<int>(status));
}

}  // namespace mn::cuda
