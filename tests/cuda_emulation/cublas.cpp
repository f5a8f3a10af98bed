// Stand-in for cuBLAS: the functions that the plugin calls, as documented. Matrices are
// column-major; every argument that the documentation limits is checked, and operands must be
// device memory.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <set>
#include <vector>

#include "driver.h"

namespace {

enum Status : int {
    kOk = 0,
    kHandleMissing = 1,
    kBadValue = 7,
    kExecutionFailed = 13,
    kUnsupported = 15
};

enum Operation : int { kNone = 0, kTransposed = 1, kConjugated = 2 };

enum Compute : int { kFloat32 = 68, kFastBFloat16 = 75, kFastTensorFloat32 = 77 };

constexpr int kTypeFloat32 = 0, kDefaultAlgorithm = -1;

struct Handle {
    void* stream = nullptr;
};

std::mutex handles_mutex;

std::set<Handle*>& handles() {
    static std::set<Handle*> all;
    return all;
}

Handle* checked(void* handle) {
    std::lock_guard lock(handles_mutex);
    Handle* const known = static_cast<Handle*>(handle);
    return handles().count(known) != 0 ? known : nullptr;
}

struct Matrix {
    const float* data;
    int64_t ld, stride;
    bool transposed;
};

struct Product {
    int64_t m, n, k, batch;
    float alpha, beta;
    Matrix a, b;
    float* c;
    int64_t ldc, stride_c;
    int compute;
};

// To the nearest number, of ties the even one, with so many bits of mantissa.
float rounded(float value, int mantissa_bits) {
    if (!std::isfinite(value)) return value;
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const int dropped = 23 - mantissa_bits;
    bits += (1u << (dropped - 1)) - 1 + (bits >> dropped & 1u);
    bits &= ~((1u << dropped) - 1);
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// What enters the product.
float factor(float value, int compute) {
    if (compute == kFastTensorFloat32) return rounded(value, 10);
    return compute == kFastBFloat16 ? rounded(value, 7) : value;
}

// op(matrix), rows x columns, without gaps.
std::vector<float> dense(const Matrix& matrix, int64_t image, int64_t rows, int64_t columns,
                         int compute) {
    std::vector<float> result(static_cast<size_t>(rows * columns));
    const float* const data = matrix.data + image * matrix.stride;
    for (int64_t column = 0; column < columns; ++column)
        for (int64_t row = 0; row < rows; ++row)
            result[static_cast<size_t>(column * rows + row)] = factor(
                matrix.transposed ? data[row * matrix.ld + column] : data[column * matrix.ld + row],
                compute);
    return result;
}

void multiply(const Product& p) {
    std::vector<double> sums(static_cast<size_t>(p.m));
    for (int64_t image = 0; image < p.batch; ++image) {
        const std::vector<float> a = dense(p.a, image, p.m, p.k, p.compute);
        const std::vector<float> b = dense(p.b, image, p.k, p.n, p.compute);
        for (int64_t column = 0; column < p.n; ++column) {
            std::fill(sums.begin(), sums.end(), 0.0);
            for (int64_t l = 0; l < p.k; ++l) {
                const double scale = static_cast<double>(b[static_cast<size_t>(column * p.k + l)]);
                const float* const from = a.data() + l * p.m;
                for (int64_t row = 0; row < p.m; ++row)
                    sums[static_cast<size_t>(row)] += scale * static_cast<double>(from[row]);
            }
            float* const to = p.c + image * p.stride_c + column * p.ldc;
            for (int64_t row = 0; row < p.m; ++row) {
                const float product = p.alpha * static_cast<float>(sums[static_cast<size_t>(row)]);
                // With beta = 0, c need not hold numbers.
                to[row] = p.beta == 0.0f ? product : product + p.beta * to[row];
            }
        }
    }
}

// From the first to behind the last element that the batch touches.
bool is_device_memory(const float* data, int64_t ld, int64_t stride, int64_t rows, int64_t columns,
                      int64_t batch, const char* name) {
    if (rows == 0 || columns == 0 || batch == 0) return true;
    const int64_t elements = (batch - 1) * stride + (columns - 1) * ld + rows;
    if (mn_emulation_is_device_memory(data, static_cast<size_t>(elements) * sizeof(float)) != 0)
        return true;
    std::fprintf(stderr, "cuda emulation: cuBLAS: %s is not %lld elements of device memory\n", name,
                 static_cast<long long>(elements));
    return false;
}

int gemm(const char* function, void* handle_pointer, int op_a, int op_b, int m, int n, int k,
         const void* alpha, const void* a_pointer, int type_a, int64_t lda, int64_t stride_a,
         const void* b_pointer, int type_b, int64_t ldb, int64_t stride_b, const void* beta,
         void* c_pointer, int type_c, int64_t ldc, int64_t stride_c, int batch, int compute,
         int algorithm) {
    if (const int injected = mn_emulation_injected_failure(function); injected != 0)
        return injected;
    const Handle* const handle = checked(handle_pointer);
    if (handle == nullptr) return kHandleMissing;
    const auto known = [](int op) { return op >= kNone && op <= kConjugated; };
    if (!known(op_a) || !known(op_b) || m < 0 || n < 0 || k < 0 || batch < 0) return kBadValue;
    if (alpha == nullptr || beta == nullptr) return kBadValue;
    // Of the many combinations of types only those of float32 are emulated.
    if (type_a != kTypeFloat32 || type_b != kTypeFloat32 || type_c != kTypeFloat32)
        return kUnsupported;
    if (compute != kFloat32 && compute != kFastBFloat16 && compute != kFastTensorFloat32)
        return kUnsupported;
    if (algorithm != kDefaultAlgorithm) return kUnsupported;
    const bool ta = op_a != kNone, tb = op_b != kNone;
    const int rows_a = ta ? k : m, columns_a = ta ? m : k;
    const int rows_b = tb ? n : k, columns_b = tb ? k : n;
    if (lda < std::max(1, rows_a) || ldb < std::max(1, rows_b) || ldc < std::max(1, m))
        return kBadValue;
    if (m == 0 || n == 0 || batch == 0) return kOk;
    const auto* a = static_cast<const float*>(a_pointer);
    const auto* b = static_cast<const float*>(b_pointer);
    auto* c = static_cast<float*>(c_pointer);
    if (!is_device_memory(a, lda, stride_a, rows_a, columns_a, batch, "A") ||
        !is_device_memory(b, ldb, stride_b, rows_b, columns_b, batch, "B") ||
        !is_device_memory(c, ldc, stride_c, m, n, batch, "C"))
        return kExecutionFailed;
    // Products of one batch would be written over each other.
    if (batch > 1 && stride_c < (n - 1) * ldc + m) return kBadValue;
    const Product product = {m,
                             n,
                             k,
                             batch,
                             *static_cast<const float*>(alpha),
                             *static_cast<const float*>(beta),
                             {a, lda, stride_a, ta},
                             {b, ldb, stride_b, tb},
                             c,
                             ldc,
                             stride_c,
                             compute};
    const int status = mn_emulation_enqueue(handle->stream, [product] { multiply(product); });
    return status == 0 ? kOk : kExecutionFailed;
}

}  // namespace

MN_EXPORT int cublasCreate_v2(void** handle_out) {
    if (const int injected = mn_emulation_injected_failure("cublasCreate_v2"); injected != 0)
        return injected;
    if (handle_out == nullptr) return kBadValue;
    // Fails as the work of a context that is not there would.
    if (mn_emulation_enqueue(nullptr, [] {}) != 0) return kHandleMissing;
    std::lock_guard lock(handles_mutex);
    *handle_out = *handles().insert(new Handle).first;
    return kOk;
}

MN_EXPORT int cublasDestroy_v2(void* handle) {
    if (checked(handle) == nullptr) return kHandleMissing;
    std::lock_guard lock(handles_mutex);
    handles().erase(static_cast<Handle*>(handle));
    delete static_cast<Handle*>(handle);
    return kOk;
}

MN_EXPORT int cublasSetStream_v2(void* handle, void* stream) {
    Handle* const known = checked(handle);
    if (known == nullptr) return kHandleMissing;
    known->stream = stream;
    return kOk;
}

// Nothing is kept in it; the documentation asks for 256 bytes of alignment.
MN_EXPORT int cublasSetWorkspace_v2(void* handle, void* workspace, size_t bytes) {
    if (checked(handle) == nullptr) return kHandleMissing;
    if (workspace == nullptr || reinterpret_cast<uintptr_t>(workspace) % 256 != 0) return kBadValue;
    return mn_emulation_is_device_memory(workspace, bytes) != 0 ? kOk : kBadValue;
}

MN_EXPORT int cublasGetVersion_v2(void* handle, int* version) {
    if (checked(handle) == nullptr) return kHandleMissing;
    if (version == nullptr) return kBadValue;
    *version = 120400;
    return kOk;
}

MN_EXPORT int cublasGemmEx(void* handle, int op_a, int op_b, int m, int n, int k, const void* alpha,
                           const void* a, int type_a, int lda, const void* b, int type_b, int ldb,
                           const void* beta, void* c, int type_c, int ldc, int compute,
                           int algorithm) {
    return gemm("cublasGemmEx", handle, op_a, op_b, m, n, k, alpha, a, type_a, lda, 0, b, type_b,
                ldb, 0, beta, c, type_c, ldc, 0, 1, compute, algorithm);
}

MN_EXPORT int cublasGemmStridedBatchedEx(void* handle, int op_a, int op_b, int m, int n, int k,
                                         const void* alpha, const void* a, int type_a, int lda,
                                         long long stride_a, const void* b, int type_b, int ldb,
                                         long long stride_b, const void* beta, void* c, int type_c,
                                         int ldc, long long stride_c, int batch, int compute,
                                         int algorithm) {
    return gemm("cublasGemmStridedBatchedEx", handle, op_a, op_b, m, n, k, alpha, a, type_a, lda,
                stride_a, b, type_b, ldb, stride_b, beta, c, type_c, ldc, stride_c, batch, compute,
                algorithm);
}
