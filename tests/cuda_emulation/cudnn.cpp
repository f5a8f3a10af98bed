// Stand-in for cuDNN: the functions that the plugin calls, as documented. Arguments that the
// documentation limits are checked, and operands must be device memory. Tensors are dense
// N x C x H x W of float32; sums are made in double. A workspace is written all over.
//
// CUDA_EMULATION_CUDNN: the version, 90100 (for 9.1.0), 8907 (for 8.9.7); the values of a status
// are those of that version.
//
// Estimates put first what a caller that wants the same bits in float32 every time has to pass
// over: algorithms that are not deterministic, use tensor cores, or want a gigabyte.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "stand_in_api.h"

namespace {

enum class Status {
    kOk,
    kNotInitialized,
    kAllocFailed,
    kBadParam,
    kInvalidValue,
    kExecutionFailed,
    kNotSupported
};

struct Named {
    Status status;
    int in_8, in_9;
    const char* name;
};

// 9 has renumbered them.
constexpr Named statuses[] = {
    {Status::kOk, 0, 0, "CUDNN_STATUS_SUCCESS"},
    {Status::kNotInitialized, 1, 1001, "CUDNN_STATUS_NOT_INITIALIZED"},
    {Status::kAllocFailed, 2, 4003, "CUDNN_STATUS_ALLOC_FAILED"},
    {Status::kBadParam, 3, 2000, "CUDNN_STATUS_BAD_PARAM"},
    {Status::kInvalidValue, 5, 2001, "CUDNN_STATUS_INVALID_VALUE"},
    {Status::kExecutionFailed, 8, 5000, "CUDNN_STATUS_EXECUTION_FAILED"},
    {Status::kNotSupported, 9, 3000, "CUDNN_STATUS_NOT_SUPPORTED"},
};

size_t version() {
    return static_cast<size_t>(mn_emulation_setting("CUDA_EMULATION_CUDNN", 90100));
}

int number_of(Status status) {
    for (const Named& named : statuses)
        if (named.status == status) return version() < 90000 ? named.in_8 : named.in_9;
    return -1;
}

enum Math : int { kDefaultMath = 0, kTensorMath = 1, kConversionMath = 2, kFmaMath = 3 };

struct Handle {
    void* stream = nullptr;
};
struct Tensor {
    int n = 0, c = 0, h = 0, w = 0;  // n = 0: not set
};
struct Filter {
    int k = 0, c = 0, h = 0, w = 0;
};
struct Convolution {
    int pad_h = 0, pad_w = 0, stride_h = 0, stride_w = 0, dilation_h = 0, dilation_w = 0;
    int groups = 1, math = kDefaultMath;
};

// What the caller holds, by kind and address.
template <class T>
class Objects {
public:
    // When the library is closed, all have to be destroyed.
    ~Objects() {
        if (objects_.empty()) return;
        std::fprintf(stderr, "cuda emulation: cuDNN: %zu objects are left\n", objects_.size());
        std::abort();
    }
    Status create(void** object_out) {
        if (object_out == nullptr) return Status::kBadParam;
        std::lock_guard lock(mutex_);
        auto object = std::make_unique<T>();
        *object_out = object.get();
        objects_.emplace(object.get(), std::move(object));
        return Status::kOk;
    }
    Status destroy(void* object) {
        std::lock_guard lock(mutex_);
        return objects_.erase(object) == 1 ? Status::kOk : Status::kBadParam;
    }
    T* find(void* object) {
        std::lock_guard lock(mutex_);
        const auto found = objects_.find(object);
        return found == objects_.end() ? nullptr : found->second.get();
    }
    static Objects& all() {
        static Objects objects;
        return objects;
    }

private:
    std::mutex mutex_;
    std::map<void*, std::unique_ptr<T>> objects_;
};

template <class T>
T* find(void* object) {
    return Objects<T>::all().find(object);
}

// A function of the API.
template <class Body>
int api(const char* name, Body&& body) {
    if (const int injected = mn_emulation_injected_failure(name); injected != 0) return injected;
    return number_of(body());
}

// ---- problems ----

// y = x * w, by the dimensions of all four.
struct Problem {
    int n, c, h, w;  // x
    int k, p, q;     // y
    int r, s;        // filter
    Convolution conv;

    int group_c() const { return c / conv.groups; }
    int group_k() const { return k / conv.groups; }
    int64_t x_size() const { return int64_t{n} * c * h * w; }
    int64_t y_size() const { return int64_t{n} * k * p * q; }
    int64_t w_size() const { return int64_t{k} * group_c() * r * s; }
};

int output_size(int in, int pad, int kernel, int dilation, int stride) {
    return 1 + (in + 2 * pad - ((kernel - 1) * dilation + 1)) / stride;
}

// The rules that the documentation gives for all three functions.
Status problem_of(void* x_descriptor, void* filter_descriptor, void* convolution_descriptor,
                  void* y_descriptor, Problem& problem) {
    const Tensor *x = find<Tensor>(x_descriptor), *y = find<Tensor>(y_descriptor);
    const Filter* filter = find<Filter>(filter_descriptor);
    const Convolution* conv = find<Convolution>(convolution_descriptor);
    if (!x || !y || !filter || !conv) return Status::kBadParam;
    if (x->n == 0 || y->n == 0 || filter->k == 0 || conv->stride_h == 0) return Status::kBadParam;
    if (x->c != filter->c * conv->groups) return Status::kBadParam;
    if (filter->k % conv->groups != 0 || y->c != filter->k) return Status::kBadParam;
    if (x->n != y->n) return Status::kBadParam;
    const int reach_h = (filter->h - 1) * conv->dilation_h + 1;
    const int reach_w = (filter->w - 1) * conv->dilation_w + 1;
    if (reach_h > x->h + 2 * conv->pad_h || reach_w > x->w + 2 * conv->pad_w)
        return Status::kBadParam;
    if (y->h != output_size(x->h, conv->pad_h, filter->h, conv->dilation_h, conv->stride_h) ||
        y->w != output_size(x->w, conv->pad_w, filter->w, conv->dilation_w, conv->stride_w))
        return Status::kNotSupported;
    problem = {x->n, x->c, x->h, x->w, y->c, y->h, y->w, filter->h, filter->w, *conv};
    return Status::kOk;
}

// Row or column of the image that an element of the filter meets; may be outside.
int row(const Problem& p, int out, int element) {
    return out * p.conv.stride_h - p.conv.pad_h + element * p.conv.dilation_h;
}
int column(const Problem& p, int out, int element) {
    return out * p.conv.stride_w - p.conv.pad_w + element * p.conv.dilation_w;
}

// Calls body(index in x, in y, in w) for all products of one image, output and input channel.
template <class Body>
void for_each_product(const Problem& p, int n, int k, int c, Body&& body) {
    const int64_t x = (int64_t{n} * p.c + k / p.group_k() * p.group_c() + c) * p.h * p.w;
    const int64_t y = (int64_t{n} * p.k + k) * p.p * p.q;
    const int64_t w = (int64_t{k} * p.group_c() + c) * p.r * p.s;
    for (int r = 0; r < p.r; ++r)
        for (int s = 0; s < p.s; ++s)
            for (int i = 0; i < p.p; ++i) {
                const int h = row(p, i, r);
                if (h < 0 || h >= p.h) continue;
                for (int j = 0; j < p.q; ++j) {
                    const int v = column(p, j, s);
                    if (v < 0 || v >= p.w) continue;
                    body(x + int64_t{h} * p.w + v, y + int64_t{i} * p.q + j, w + r * p.s + s);
                }
            }
}

enum Function { kForward = 0, kData = 1, kFilter = 2 };

// The result of a function and its two operands.
struct Operands {
    const float *first, *second;  // forward: x, w; data: dy, w; filter: x, dy
    float* result;
    float alpha, beta;
};

// To the nearest number with 10 bits of mantissa, of ties the even one.
float to_tf32(float value) {
    if (!std::isfinite(value)) return value;
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    bits = (bits + 0xfff + (bits >> 13 & 1)) & ~0x1fffu;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

template <Function function>
void compute(const Problem& p, const Operands& o) {
    const auto factor = [&](float value) {
        return static_cast<double>(p.conv.math == kFmaMath ? value : to_tf32(value));
    };
    const auto index_of = [](int64_t x, int64_t y, int64_t w, int operand) {
        // x, y and w in the order first, second, result
        switch (function) {
            case kForward:
                return operand == 0 ? x : operand == 1 ? w : y;
            case kData:
                return operand == 0 ? y : operand == 1 ? w : x;
            default:
                return operand == 0 ? x : operand == 1 ? y : w;
        }
    };
    std::vector<double> sums(static_cast<size_t>(index_of(p.x_size(), p.y_size(), p.w_size(), 2)));
    for (int n = 0; n < p.n; ++n)
        for (int k = 0; k < p.k; ++k)
            for (int c = 0; c < p.group_c(); ++c)
                for_each_product(p, n, k, c, [&](int64_t x, int64_t y, int64_t w) {
                    sums[static_cast<size_t>(index_of(x, y, w, 2))] +=
                        factor(o.first[index_of(x, y, w, 0)]) *
                        factor(o.second[index_of(x, y, w, 1)]);
                });
    for (size_t i = 0; i < sums.size(); ++i) {
        const float value = o.alpha * static_cast<float>(sums[i]);
        // With beta = 0 the result need not hold numbers.
        o.result[i] = o.beta == 0.0f ? value : value + o.beta * o.result[i];
    }
}

// ---- algorithms ----

struct Algorithm {
    int id;
    bool deterministic;
    int math;
    size_t (*workspace)(const Problem& problem);
    bool (*supports)(const Problem& problem);
};

bool always(const Problem&) {
    return true;
}
bool for_winograd(const Problem& p) {
    return p.r == 3 && p.s == 3 && p.conv.stride_h == 1 && p.conv.stride_w == 1 &&
           p.conv.dilation_h == 1 && p.conv.dilation_w == 1 && p.conv.groups == 1;
}
size_t none(const Problem&) {
    return 0;
}
size_t gigabyte(const Problem&) {
    return size_t{1} << 30;
}
size_t table(const Problem& p) {
    return static_cast<size_t>(p.r * p.s * p.p * p.q) * sizeof(int);
}
// An odd number of images takes more.
size_t table_by_pairs(const Problem& p) {
    return table(p) * static_cast<size_t>(1 + p.n % 2);
}
size_t transformed(const Problem& p) {
    return static_cast<size_t>(p.k) * static_cast<size_t>(p.group_c()) * 16 * sizeof(float);
}

const std::vector<Algorithm>& algorithms(Function function) {
    static const std::array<std::vector<Algorithm>, 3> all = {{
        {{4, true, kFmaMath, gigabyte, always},
         {1, true, kTensorMath, table_by_pairs, always},
         {6, true, kFmaMath, transformed, for_winograd},
         {1, true, kFmaMath, table_by_pairs, always},
         {0, true, kFmaMath, none, always}},
        {{0, false, kFmaMath, none, always},
         {1, true, kTensorMath, table, always},
         {4, true, kDefaultMath, transformed, for_winograd},
         {1, true, kFmaMath, table, always}},
        {{3, false, kFmaMath, table, always},
         {0, false, kFmaMath, none, always},
         {2, true, kFmaMath, gigabyte, always},
         {1, true, kFmaMath, table, always}},
    }};
    return all[function];
}

const Algorithm* find_algorithm(Function function, int id, const Problem& problem) {
    for (const Algorithm& algorithm : algorithms(function))
        if (algorithm.id == id && algorithm.supports(problem)) return &algorithm;
    return nullptr;
}

using Perf = mn::emulation::AlgorithmPerf;

Status list(Function function, void* handle, void* x, void* filter, void* convolution, void* y,
            int requested, int* returned, Perf* results, bool measured) {
    const Handle* known = find<Handle>(handle);
    Problem problem{};
    if (!known || !returned || !results || requested < 1) return Status::kBadParam;
    if (const Status status = problem_of(x, filter, convolution, y, problem); status != Status::kOk)
        return status;
    if (measured) {
        // Measuring takes memory and waits.
        unsigned long long memory = 0;
        if (cuMemAlloc_v2(&memory, 256) != 0) return Status::kAllocFailed;
        if (cuStreamSynchronize(known->stream) != 0 || cuMemFree_v2(memory) != 0)
            return Status::kExecutionFailed;
    }
    std::vector<Perf> found, refused;
    for (const Algorithm& algorithm : algorithms(function)) {
        if (algorithm.math == kTensorMath && problem.conv.math == kFmaMath && measured) continue;
        Perf perf{};
        perf.algorithm = algorithm.id;
        perf.determinism = algorithm.deterministic;
        perf.math = algorithm.math;
        if (algorithm.supports(problem)) {
            perf.time = measured ? 1 : -1;
            perf.memory = algorithm.workspace(problem);
            found.push_back(perf);
        } else {
            perf.status = number_of(Status::kNotSupported);
            perf.time = -1;
            refused.push_back(perf);
        }
    }
    // Estimates are wrong: the last is the fastest.
    if (measured) std::reverse(found.begin(), found.end());
    found.insert(found.end(), refused.begin(), refused.end());
    *returned = std::min(requested, static_cast<int>(found.size()));
    std::copy_n(found.begin(), *returned, results);
    return Status::kOk;
}

Status workspace_size(Function function, void* handle, void* x, void* filter, void* convolution,
                      void* y, int algorithm, size_t* bytes) {
    Problem problem{};
    if (!find<Handle>(handle) || !bytes) return Status::kBadParam;
    if (const Status status = problem_of(x, filter, convolution, y, problem); status != Status::kOk)
        return status;
    const Algorithm* known = find_algorithm(function, algorithm, problem);
    if (!known) return Status::kNotSupported;
    *bytes = known->workspace(problem);
    return Status::kOk;
}

bool is_device_memory(const void* data, int64_t elements, const char* name) {
    if (mn_emulation_is_device_memory(data, static_cast<size_t>(elements) * sizeof(float)) != 0)
        return true;
    std::fprintf(stderr, "cuda emulation: cuDNN: %s is not %lld elements of device memory\n", name,
                 static_cast<long long>(elements));
    return false;
}

Status run(Function function, void* handle, void* x_descriptor, void* filter_descriptor,
           void* convolution, void* y_descriptor, const void* x, const void* w, const void* y,
           int algorithm, void* workspace, size_t workspace_bytes, const void* alpha,
           const void* beta) {
    const Handle* known = find<Handle>(handle);
    Problem problem{};
    if (!known || !x || !w || !y || !alpha || !beta) return Status::kBadParam;
    if (const Status status =
            problem_of(x_descriptor, filter_descriptor, convolution, y_descriptor, problem);
        status != Status::kOk)
        return status;
    const Algorithm* how = find_algorithm(function, algorithm, problem);
    if (!how) return Status::kNotSupported;
    const size_t needed = how->workspace(problem);
    if (workspace_bytes < needed || (needed > 0 && !workspace)) return Status::kBadParam;
    if (!is_device_memory(x, problem.x_size(), "x") ||
        !is_device_memory(w, problem.w_size(), "w") ||
        !is_device_memory(y, problem.y_size(), "y") ||
        (needed > 0 &&
         !is_device_memory(workspace, static_cast<int64_t>(needed / sizeof(float)), "workspace")))
        return Status::kExecutionFailed;
    const float* data[] = {static_cast<const float*>(x), static_cast<const float*>(w),
                           static_cast<const float*>(y)};
    Operands operands{};
    operands.first = function == kData ? data[2] : data[0];
    operands.second = function == kFilter ? data[2] : data[1];
    const int result = function == kForward ? 2 : function == kData ? 0 : 1;
    operands.result = const_cast<float*>(data[result]);
    operands.alpha = *static_cast<const float*>(alpha);
    operands.beta = *static_cast<const float*>(beta);
    const int status = mn_emulation_enqueue(known->stream, [=] {
        if (needed > 0) std::memset(workspace, 0xff, needed);
        if (function == kForward) compute<kForward>(problem, operands);
        if (function == kData) compute<kData>(problem, operands);
        if (function == kFilter) compute<kFilter>(problem, operands);
    });
    return status == 0 ? Status::kOk : Status::kExecutionFailed;
}

bool fits(int n, int c, int h, int w) {
    return int64_t{n} * c * h * w <= int64_t{2} << 30;
}

}  // namespace

// ---- the library ----

MN_EXPORT size_t cudnnGetVersion() {
    return version();
}

MN_EXPORT const char* cudnnGetErrorString(int status) {
    for (const Named& named : statuses)
        if (number_of(named.status) == status) return named.name;
    return "CUDNN_UNKNOWN_STATUS";
}

MN_EXPORT int cudnnCreate(void** handle_out) {
    return api("cudnnCreate", [&] {
        // Fails as the work of a context that is not there would.
        if (mn_emulation_enqueue(nullptr, [] {}) != 0) return Status::kNotInitialized;
        return Objects<Handle>::all().create(handle_out);
    });
}

MN_EXPORT int cudnnDestroy(void* handle) {
    return api("cudnnDestroy", [&] {
        if (!find<Handle>(handle)) return Status::kBadParam;
        if (cuCtxSynchronize() != 0) return Status::kExecutionFailed;
        return Objects<Handle>::all().destroy(handle);
    });
}

MN_EXPORT int cudnnSetStream(void* handle, void* stream) {
    return api("cudnnSetStream", [&] {
        Handle* known = find<Handle>(handle);
        if (!known) return Status::kBadParam;
        known->stream = stream;
        return Status::kOk;
    });
}

// ---- descriptors ----

MN_EXPORT int cudnnCreateTensorDescriptor(void** tensor_out) {
    return api("cudnnCreateTensorDescriptor",
               [&] { return Objects<Tensor>::all().create(tensor_out); });
}

MN_EXPORT int cudnnDestroyTensorDescriptor(void* tensor) {
    return api("cudnnDestroyTensorDescriptor",
               [&] { return Objects<Tensor>::all().destroy(tensor); });
}

// Only NCHW of float32 is emulated.
MN_EXPORT int cudnnSetTensor4dDescriptor(void* tensor, int format, int type, int n, int c, int h,
                                         int w) {
    return api("cudnnSetTensor4dDescriptor", [&] {
        Tensor* known = find<Tensor>(tensor);
        if (!known || n < 1 || c < 1 || h < 1 || w < 1) return Status::kBadParam;
        if (format != 0 || type != 0 || !fits(n, c, h, w)) return Status::kNotSupported;
        *known = {n, c, h, w};
        return Status::kOk;
    });
}

MN_EXPORT int cudnnCreateFilterDescriptor(void** filter_out) {
    return api("cudnnCreateFilterDescriptor",
               [&] { return Objects<Filter>::all().create(filter_out); });
}

MN_EXPORT int cudnnDestroyFilterDescriptor(void* filter) {
    return api("cudnnDestroyFilterDescriptor",
               [&] { return Objects<Filter>::all().destroy(filter); });
}

MN_EXPORT int cudnnSetFilter4dDescriptor(void* filter, int type, int format, int k, int c, int h,
                                         int w) {
    return api("cudnnSetFilter4dDescriptor", [&] {
        Filter* known = find<Filter>(filter);
        if (!known || k < 1 || c < 1 || h < 1 || w < 1) return Status::kBadParam;
        if (format != 0 || type != 0 || !fits(k, c, h, w)) return Status::kNotSupported;
        *known = {k, c, h, w};
        return Status::kOk;
    });
}

MN_EXPORT int cudnnCreateConvolutionDescriptor(void** convolution_out) {
    return api("cudnnCreateConvolutionDescriptor",
               [&] { return Objects<Convolution>::all().create(convolution_out); });
}

MN_EXPORT int cudnnDestroyConvolutionDescriptor(void* convolution) {
    return api("cudnnDestroyConvolutionDescriptor",
               [&] { return Objects<Convolution>::all().destroy(convolution); });
}

// Only cross-correlation (1) is emulated.
MN_EXPORT int cudnnSetConvolution2dDescriptor(void* convolution, int pad_h, int pad_w, int stride_h,
                                              int stride_w, int dilation_h, int dilation_w,
                                              int mode, int compute_type) {
    return api("cudnnSetConvolution2dDescriptor", [&] {
        Convolution* known = find<Convolution>(convolution);
        if (!known || pad_h < 0 || pad_w < 0 || stride_h < 1 || stride_w < 1 || dilation_h < 1 ||
            dilation_w < 1)
            return Status::kBadParam;
        if (mode != 1 || compute_type != 0) return Status::kNotSupported;
        *known = {pad_h,      pad_w,      stride_h,      stride_w,
                  dilation_h, dilation_w, known->groups, known->math};
        return Status::kOk;
    });
}

MN_EXPORT int cudnnSetConvolutionGroupCount(void* convolution, int groups) {
    return api("cudnnSetConvolutionGroupCount", [&] {
        Convolution* known = find<Convolution>(convolution);
        if (!known || groups < 1) return Status::kBadParam;
        known->groups = groups;
        return Status::kOk;
    });
}

MN_EXPORT int cudnnSetConvolutionMathType(void* convolution, int math) {
    return api("cudnnSetConvolutionMathType", [&] {
        Convolution* known = find<Convolution>(convolution);
        if (!known) return Status::kBadParam;
        if (math < kDefaultMath || math > kFmaMath) return Status::kInvalidValue;
        known->math = math;
        return Status::kOk;
    });
}

// ---- convolution: each function's order of arguments ----

MN_EXPORT int cudnnGetConvolutionForwardAlgorithm_v7(void* handle, void* x, void* w, void* conv,
                                                     void* y, int requested, int* returned,
                                                     Perf* results) {
    return api("cudnnGetConvolutionForwardAlgorithm_v7", [&] {
        return list(kForward, handle, x, w, conv, y, requested, returned, results, false);
    });
}

MN_EXPORT int cudnnGetConvolutionBackwardDataAlgorithm_v7(void* handle, void* w, void* dy,
                                                          void* conv, void* dx, int requested,
                                                          int* returned, Perf* results) {
    return api("cudnnGetConvolutionBackwardDataAlgorithm_v7", [&] {
        return list(kData, handle, dx, w, conv, dy, requested, returned, results, false);
    });
}

MN_EXPORT int cudnnGetConvolutionBackwardFilterAlgorithm_v7(void* handle, void* x, void* dy,
                                                            void* conv, void* dw, int requested,
                                                            int* returned, Perf* results) {
    return api("cudnnGetConvolutionBackwardFilterAlgorithm_v7", [&] {
        return list(kFilter, handle, x, dw, conv, dy, requested, returned, results, false);
    });
}

MN_EXPORT int cudnnFindConvolutionForwardAlgorithm(void* handle, void* x, void* w, void* conv,
                                                   void* y, int requested, int* returned,
                                                   Perf* results) {
    return api("cudnnFindConvolutionForwardAlgorithm", [&] {
        return list(kForward, handle, x, w, conv, y, requested, returned, results, true);
    });
}

MN_EXPORT int cudnnFindConvolutionBackwardDataAlgorithm(void* handle, void* w, void* dy, void* conv,
                                                        void* dx, int requested, int* returned,
                                                        Perf* results) {
    return api("cudnnFindConvolutionBackwardDataAlgorithm", [&] {
        return list(kData, handle, dx, w, conv, dy, requested, returned, results, true);
    });
}

MN_EXPORT int cudnnFindConvolutionBackwardFilterAlgorithm(void* handle, void* x, void* dy,
                                                          void* conv, void* dw, int requested,
                                                          int* returned, Perf* results) {
    return api("cudnnFindConvolutionBackwardFilterAlgorithm", [&] {
        return list(kFilter, handle, x, dw, conv, dy, requested, returned, results, true);
    });
}

MN_EXPORT int cudnnGetConvolutionForwardWorkspaceSize(void* handle, void* x, void* w, void* conv,
                                                      void* y, int algorithm, size_t* bytes) {
    return api("cudnnGetConvolutionForwardWorkspaceSize",
               [&] { return workspace_size(kForward, handle, x, w, conv, y, algorithm, bytes); });
}

MN_EXPORT int cudnnGetConvolutionBackwardDataWorkspaceSize(void* handle, void* w, void* dy,
                                                           void* conv, void* dx, int algorithm,
                                                           size_t* bytes) {
    return api("cudnnGetConvolutionBackwardDataWorkspaceSize",
               [&] { return workspace_size(kData, handle, dx, w, conv, dy, algorithm, bytes); });
}

MN_EXPORT int cudnnGetConvolutionBackwardFilterWorkspaceSize(void* handle, void* x, void* dy,
                                                             void* conv, void* dw, int algorithm,
                                                             size_t* bytes) {
    return api("cudnnGetConvolutionBackwardFilterWorkspaceSize",
               [&] { return workspace_size(kFilter, handle, x, dw, conv, dy, algorithm, bytes); });
}

MN_EXPORT int cudnnConvolutionForward(void* handle, const void* alpha, void* x_descriptor,
                                      const void* x, void* w_descriptor, const void* w, void* conv,
                                      int algorithm, void* workspace, size_t workspace_bytes,
                                      const void* beta, void* y_descriptor, void* y) {
    return api("cudnnConvolutionForward", [&] {
        return run(kForward, handle, x_descriptor, w_descriptor, conv, y_descriptor, x, w, y,
                   algorithm, workspace, workspace_bytes, alpha, beta);
    });
}

MN_EXPORT int cudnnConvolutionBackwardData(void* handle, const void* alpha, void* w_descriptor,
                                           const void* w, void* dy_descriptor, const void* dy,
                                           void* conv, int algorithm, void* workspace,
                                           size_t workspace_bytes, const void* beta,
                                           void* dx_descriptor, void* dx) {
    return api("cudnnConvolutionBackwardData", [&] {
        return run(kData, handle, dx_descriptor, w_descriptor, conv, dy_descriptor, dx, w, dy,
                   algorithm, workspace, workspace_bytes, alpha, beta);
    });
}

MN_EXPORT int cudnnConvolutionBackwardFilter(void* handle, const void* alpha, void* x_descriptor,
                                             const void* x, void* dy_descriptor, const void* dy,
                                             void* conv, int algorithm, void* workspace,
                                             size_t workspace_bytes, const void* beta,
                                             void* dw_descriptor, void* dw) {
    return api("cudnnConvolutionBackwardFilter", [&] {
        return run(kFilter, handle, x_descriptor, dw_descriptor, conv, dy_descriptor, x, dw, dy,
                   algorithm, workspace, workspace_bytes, alpha, beta);
    });
}
