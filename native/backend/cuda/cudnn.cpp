#include "backend/cuda/cudnn.h"

#include <cstdlib>
#include <cstring>
#include <iterator>

#include "graph/error.h"

namespace mn::cuda {

using namespace dnn;

namespace {

// Algorithms that want more are not used: the workspace is part of every plan's memory.
constexpr size_t kWorkspaceLimit = size_t{256} << 20;
constexpr float kOne = 1, kZero = 0;

// 8 counts 8.9.7 as 8907, 9 counts 9.1.0 as 90100.
std::string version_text(size_t version) {
    const size_t major = version < 90000 ? 1000 : 10000;
    return text(version / major, ".", version % major / 100, ".", version % 100);
}

constexpr const char* kForwardNames[] = {
    "implicit_gemm", "implicit_precomp_gemm", "gemm", "direct", "fft", "fft_tiling",
    "winograd",      "winograd_nonfused"};
constexpr const char* kDataNames[] = {"algo_0",     "algo_1",   "fft",
                                      "fft_tiling", "winograd", "winograd_nonfused"};
constexpr const char* kWeightNames[] = {
    "algo_0", "algo_1", "fft", "algo_3", "winograd", "winograd_nonfused", "fft_tiling"};
static_assert(std::size(kForwardNames) == CUDNN_CONVOLUTION_FWD_ALGO_COUNT);
static_assert(std::size(kDataNames) == CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT);
static_assert(std::size(kWeightNames) == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT);

template <size_t Size>
std::string name_in(const char* const (&names)[Size], int id) {
    return id < static_cast<int>(Size) ? names[id] : text("algorithm ", id);
}

}  // namespace

// ---- the library ----

#if defined(_WIN32)
Cudnn::Cudnn() : library_{"cudnn64_9.dll", "cudnn64_8.dll", "cudnn64_7.dll"} {}
#else
Cudnn::Cudnn() : library_{"libcudnn.so.9", "libcudnn.so.8", "libcudnn.so.7"} {}
#endif

std::unique_ptr<Cudnn> Cudnn::open(CUstream stream, std::string& reason) {
    const char* wish = std::getenv("MNISTNATIVE_CUDNN");
    const std::string mode = wish ? wish : "";
    if (!mode.empty() && mode != "off" && mode != "measure")
        fail(MN_INVALID_ARGUMENT, "[device cuda] MNISTNATIVE_CUDNN is \"", mode,
             "\"; it can be off or measure");
    if (mode == "off") {
        reason = "switched off by MNISTNATIVE_CUDNN";
        return nullptr;
    }
    std::unique_ptr<Cudnn> cudnn(new Cudnn);
    cudnn->measures_ = mode == "measure";
    reason = cudnn->load();
    if (!reason.empty()) return nullptr;
    const cudnnStatus_t created = cudnn->cudnnCreate(&cudnn->handle_);
    if (created != CUDNN_STATUS_SUCCESS) {
        cudnn->handle_ = nullptr;
        reason = text(cudnn->describe(), " does not start: ", cudnn->cudnnGetErrorString(created));
        return nullptr;
    }
    cudnn->check(cudnn->cudnnSetStream(cudnn->handle_, stream), "cudnnSetStream");
    return cudnn;
}

Cudnn::~Cudnn() {
    if (handle_) cudnnDestroy(handle_);
}

std::string Cudnn::load() {
    if (!library_.found()) return "8 or 9 cannot be opened: " + library_.failure();
#define MN_LOOK_UP(name)                                             \
    name = reinterpret_cast<decltype(name)>(library_.symbol(#name)); \
    if (!name) return library_.path() + " has no function " #name;
    MN_LOOK_UP(cudnnGetVersion)
    version_ = cudnnGetVersion();
    if (version_ < 8000) return describe() + " is older than 8";
    MN_CUDNN_FUNCTIONS(MN_LOOK_UP)
#undef MN_LOOK_UP
    return {};
}

std::string Cudnn::describe() const {
    return text(library_.path(), " (cuDNN ", version_text(version_), ")");
}

void Cudnn::check(cudnnStatus_t status, const char* what) const {
    if (status == CUDNN_STATUS_SUCCESS) return;
    const char* name = cudnnGetErrorString(status);
    // The numbers of the values are not the same in 8 and 9.
    fail(std::strstr(name, "ALLOC") ? MN_OUT_OF_MEMORY : MN_INTERNAL, "[device cuda] ", what,
         " failed: ", name, " (", static_cast<int>(status), ")");
}

ConvAlgorithm Cudnn::algorithm(ConvFunction function, const ConvShape& shape) {
    const auto key = std::make_pair(function, shape);
    const auto known = algorithms_.find(key);
    if (known != algorithms_.end()) return known->second;
    CudnnConvolution convolution(*this, shape);
    ConvAlgorithm result;
    if (measures_) result = convolution.choose(function, kWorkspaceLimit, true);
    if (!result.found()) result = convolution.choose(function, kWorkspaceLimit, false);
    algorithms_.emplace(key, result);
    return result;
}

std::string Cudnn::name_of(ConvFunction function, const ConvAlgorithm& algorithm) {
    switch (function) {
        case ConvFunction::kGather:
            return "cudnn " + name_in(kForwardNames, algorithm.id);
        case ConvFunction::kScatter:
            return "cudnn " + name_in(kDataNames, algorithm.id);
        default:
            return "cudnn " + name_in(kWeightNames, algorithm.id);
    }
}

// ---- a convolution ----

CudnnConvolution::CudnnConvolution(Cudnn& cudnn, const ConvShape& shape)
    : cudnn_(cudnn), shape_(shape) {
    const ConvShape& s = shape_;
    try {
        cudnn_.check(cudnn_.cudnnCreateTensorDescriptor(&image_), "cudnnCreateTensorDescriptor");
        cudnn_.check(cudnn_.cudnnCreateTensorDescriptor(&pixels_), "cudnnCreateTensorDescriptor");
        cudnn_.check(cudnn_.cudnnCreateFilterDescriptor(&filter_), "cudnnCreateFilterDescriptor");
        cudnn_.check(cudnn_.cudnnCreateConvolutionDescriptor(&convolution_),
                     "cudnnCreateConvolutionDescriptor");
        cudnn_.check(cudnn_.cudnnSetFilter4dDescriptor(
                         filter_, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, s.pixel_channels,
                         s.image_channels / s.groups, s.kernel_h, s.kernel_w),
                     "cudnnSetFilter4dDescriptor");
        cudnn_.check(cudnn_.cudnnSetConvolution2dDescriptor(
                         convolution_, s.pad_h, s.pad_w, s.stride_h, s.stride_w, s.dilation_h,
                         s.dilation_w, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
                     "cudnnSetConvolution2dDescriptor");
        cudnn_.check(cudnn_.cudnnSetConvolutionGroupCount(convolution_, s.groups),
                     "cudnnSetConvolutionGroupCount");
        set_images(s.images);
    } catch (...) {
        release();
        throw;
    }
}

CudnnConvolution::~CudnnConvolution() {
    release();
}

void CudnnConvolution::release() {
    if (convolution_) cudnn_.cudnnDestroyConvolutionDescriptor(convolution_);
    if (filter_) cudnn_.cudnnDestroyFilterDescriptor(filter_);
    if (pixels_) cudnn_.cudnnDestroyTensorDescriptor(pixels_);
    if (image_) cudnn_.cudnnDestroyTensorDescriptor(image_);
}

void CudnnConvolution::set_images(int count) {
    if (count == images_) return;
    const ConvShape& s = shape_;
    cudnn_.check(cudnn_.cudnnSetTensor4dDescriptor(image_, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT,
                                                   count, s.image_channels, s.image_h, s.image_w),
                 "cudnnSetTensor4dDescriptor");
    cudnn_.check(cudnn_.cudnnSetTensor4dDescriptor(pixels_, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT,
                                                   count, s.pixel_channels, s.pixel_h, s.pixel_w),
                 "cudnnSetTensor4dDescriptor");
    images_ = count;
}

void CudnnConvolution::set_math(cudnnMathType_t math) {
    cudnn_.check(cudnn_.cudnnSetConvolutionMathType(convolution_, math),
                 "cudnnSetConvolutionMathType");
}

bool CudnnConvolution::workspace_bytes(ConvFunction function, const ConvAlgorithm& algorithm,
                                       size_t& bytes) {
    set_math(algorithm.math);
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    switch (function) {
        case ConvFunction::kGather:
            status = cudnn_.cudnnGetConvolutionForwardWorkspaceSize(
                cudnn_.handle_, image_, filter_, convolution_, pixels_,
                static_cast<cudnnConvolutionFwdAlgo_t>(algorithm.id), &bytes);
            break;
        case ConvFunction::kScatter:
            status = cudnn_.cudnnGetConvolutionBackwardDataWorkspaceSize(
                cudnn_.handle_, filter_, pixels_, convolution_, image_,
                static_cast<cudnnConvolutionBwdDataAlgo_t>(algorithm.id), &bytes);
            break;
        case ConvFunction::kWeights:
            status = cudnn_.cudnnGetConvolutionBackwardFilterWorkspaceSize(
                cudnn_.handle_, image_, pixels_, convolution_, filter_,
                static_cast<cudnnConvolutionBwdFilterAlgo_t>(algorithm.id), &bytes);
            break;
    }
    return status == CUDNN_STATUS_SUCCESS;
}

template <class Algorithm, class Ask>
ConvAlgorithm CudnnConvolution::best(ConvFunction function, size_t workspace, Ask&& ask) {
    set_math(shape_.tf32 ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH);
    AlgoPerf<Algorithm> results[2 * CUDNN_CONVOLUTION_FWD_ALGO_COUNT] = {};
    int count = 0;
    // Where cuDNN knows nothing of such a convolution, the kernels of the backend do.
    if (ask(static_cast<int>(std::size(results)), &count, results) != CUDNN_STATUS_SUCCESS)
        return {};
    for (int i = 0; i < count; i++) {
        const AlgoPerf<Algorithm>& result = results[i];
        if (result.status != CUDNN_STATUS_SUCCESS || result.determinism != CUDNN_DETERMINISTIC)
            continue;
        ConvAlgorithm algorithm;
        algorithm.id = static_cast<int>(result.algo);
        // Where TF32 may be used, cuDNN says by what it would be; where it may not, an algorithm
        // that needs no tensor cores is made to do without.
        if (shape_.tf32)
            algorithm.math = result.mathType;
        else if (result.mathType != CUDNN_FMA_MATH && result.mathType != CUDNN_DEFAULT_MATH)
            continue;
        if (algorithm.math == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION) continue;  // to float16
        if (workspace_bytes(function, algorithm, algorithm.workspace) &&
            algorithm.workspace <= workspace)
            return algorithm;
    }
    return {};
}

ConvAlgorithm CudnnConvolution::choose(ConvFunction function, size_t workspace, bool measure) {
    switch (function) {
        case ConvFunction::kGather:
            return best<cudnnConvolutionFwdAlgo_t>(
                function, workspace, [&](int requested, int* count, auto* results) {
                    return (measure ? cudnn_.cudnnFindConvolutionForwardAlgorithm
                                    : cudnn_.cudnnGetConvolutionForwardAlgorithm_v7)(
                        cudnn_.handle_, image_, filter_, convolution_, pixels_, requested, count,
                        results);
                });
        case ConvFunction::kScatter:
            return best<cudnnConvolutionBwdDataAlgo_t>(
                function, workspace, [&](int requested, int* count, auto* results) {
                    return (measure ? cudnn_.cudnnFindConvolutionBackwardDataAlgorithm
                                    : cudnn_.cudnnGetConvolutionBackwardDataAlgorithm_v7)(
                        cudnn_.handle_, filter_, pixels_, convolution_, image_, requested, count,
                        results);
                });
        default:
            return best<cudnnConvolutionBwdFilterAlgo_t>(
                function, workspace, [&](int requested, int* count, auto* results) {
                    return (measure ? cudnn_.cudnnFindConvolutionBackwardFilterAlgorithm
                                    : cudnn_.cudnnGetConvolutionBackwardFilterAlgorithm_v7)(
                        cudnn_.handle_, image_, pixels_, convolution_, filter_, requested, count,
                        results);
                });
    }
}

ConvAlgorithm CudnnConvolution::prepare(ConvFunction function, const ConvAlgorithm& algorithm,
                                        int count) {
    set_images(count);
    ConvAlgorithm& use = used_[static_cast<int>(function)][count];
    if (!use.found()) {
        // A smaller batch need not need less.
        size_t bytes = 0;
        if (count == shape_.images ||
            (workspace_bytes(function, algorithm, bytes) && bytes <= algorithm.workspace))
            use = algorithm;
        else
            use = choose(function, algorithm.workspace, false);
        if (!use.found())
            fail(MN_INTERNAL, "[device cuda] cuDNN has no algorithm for ", count, " images in the ",
                 algorithm.workspace, " bytes that it needs for ", shape_.images);
    }
    set_math(use.math);
    return use;
}

void CudnnConvolution::gather(const ConvAlgorithm& algorithm, int count, const float* weights,
                              const float* image, float* pixels, void* workspace) {
    const ConvAlgorithm use = prepare(ConvFunction::kGather, algorithm, count);
    cudnn_.check(
        cudnn_.cudnnConvolutionForward(cudnn_.handle_, &kOne, image_, image, filter_, weights,
                                       convolution_, static_cast<cudnnConvolutionFwdAlgo_t>(use.id),
                                       workspace, use.workspace, &kZero, pixels_, pixels),
        "cudnnConvolutionForward");
}

void CudnnConvolution::scatter(const ConvAlgorithm& algorithm, int count, const float* weights,
                               const float* pixels, float* image, void* workspace) {
    const ConvAlgorithm use = prepare(ConvFunction::kScatter, algorithm, count);
    cudnn_.check(cudnn_.cudnnConvolutionBackwardData(
                     cudnn_.handle_, &kOne, filter_, weights, pixels_, pixels, convolution_,
                     static_cast<cudnnConvolutionBwdDataAlgo_t>(use.id), workspace, use.workspace,
                     &kZero, image_, image),
                 "cudnnConvolutionBackwardData");
}

void CudnnConvolution::weights(const ConvAlgorithm& algorithm, int count, const float* image,
                               const float* pixels, float* gradient, bool accumulate,
                               void* workspace) {
    const ConvAlgorithm use = prepare(ConvFunction::kWeights, algorithm, count);
    cudnn_.check(cudnn_.cudnnConvolutionBackwardFilter(
                     cudnn_.handle_, &kOne, image_, image, pixels_, pixels, convolution_,
                     static_cast<cudnnConvolutionBwdFilterAlgo_t>(use.id), workspace, use.workspace,
                     accumulate ? &kOne : &kZero, filter_, gradient),
                 "cudnnConvolutionBackwardFilter");
}

}  // namespace mn::cuda
