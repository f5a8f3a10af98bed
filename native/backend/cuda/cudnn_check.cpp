// Compiled where cuDNN's header is found: cudnn_abi.h against it.

#if __has_include(<cudnn.h>)

#include <cudnn.h>

#include <type_traits>

#include "backend/cuda/cudnn.h"

namespace {

namespace dnn = mn::cuda::dnn;

// The type of cuDNN's that one of ours stands for.
template <class T>
struct Theirs {
    using type = T;
};
template <class T>
struct Theirs<T*> {
    using type = typename Theirs<T>::type*;
};
#define MN_STANDS_FOR(name)    \
    template <>                \
    struct Theirs<dnn::name> { \
        using type = ::name;   \
    };
MN_STANDS_FOR(cudnnContext)
MN_STANDS_FOR(cudnnTensorStruct)
MN_STANDS_FOR(cudnnFilterStruct)
MN_STANDS_FOR(cudnnConvolutionStruct)
MN_STANDS_FOR(cudnnStatus_t)
MN_STANDS_FOR(cudnnDataType_t)
MN_STANDS_FOR(cudnnTensorFormat_t)
MN_STANDS_FOR(cudnnConvolutionMode_t)
MN_STANDS_FOR(cudnnMathType_t)
MN_STANDS_FOR(cudnnConvolutionFwdAlgo_t)
MN_STANDS_FOR(cudnnConvolutionBwdDataAlgo_t)
MN_STANDS_FOR(cudnnConvolutionBwdFilterAlgo_t)
MN_STANDS_FOR(cudnnConvolutionFwdAlgoPerf_t)
MN_STANDS_FOR(cudnnConvolutionBwdDataAlgoPerf_t)
MN_STANDS_FOR(cudnnConvolutionBwdFilterAlgoPerf_t)
static_assert(sizeof(dnn::cudnnStatus_t) == sizeof(::cudnnStatus_t), "size of enumerations");

template <class R, class... Arguments>
auto theirs_of(R (*)(Arguments...)) ->
    typename Theirs<R>::type(CUDNNWINAPI*)(typename Theirs<Arguments>::type...);

#define MN_SAME_FUNCTION(name) \
    static_assert(std::is_same_v<decltype(theirs_of(&dnn::name)), decltype(&::name)>, #name);
MN_CUDNN_FUNCTIONS(MN_SAME_FUNCTION)

#define MN_SAME_VALUE(name) \
    static_assert(static_cast<int>(dnn::name) == static_cast<int>(::name), #name);
MN_SAME_VALUE(CUDNN_STATUS_SUCCESS)
MN_SAME_VALUE(CUDNN_DATA_FLOAT)
MN_SAME_VALUE(CUDNN_TENSOR_NCHW)
MN_SAME_VALUE(CUDNN_CROSS_CORRELATION)
MN_SAME_VALUE(CUDNN_NON_DETERMINISTIC)
MN_SAME_VALUE(CUDNN_DETERMINISTIC)
MN_SAME_VALUE(CUDNN_DEFAULT_MATH)
MN_SAME_VALUE(CUDNN_TENSOR_OP_MATH)
MN_SAME_VALUE(CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION)
MN_SAME_VALUE(CUDNN_FMA_MATH)
MN_SAME_VALUE(CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM)
MN_SAME_VALUE(CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM)
MN_SAME_VALUE(CUDNN_CONVOLUTION_FWD_ALGO_GEMM)
MN_SAME_VALUE(CUDNN_CONVOLUTION_FWD_ALGO_DIRECT)
MN_SAME_VALUE(CUDNN_CONVOLUTION_FWD_ALGO_FFT)
MN_SAME_VALUE(CUDNN_CONVOLUTION_FWD_ALGO_FFT_TILING)
MN_SAME_VALUE(CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD)
MN_SAME_VALUE(CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED)
MN_SAME_VALUE(CUDNN_CONVOLUTION_FWD_ALGO_COUNT)
MN_SAME_VALUE(CUDNN_CONVOLUTION_BWD_DATA_ALGO_0)
MN_SAME_VALUE(CUDNN_CONVOLUTION_BWD_DATA_ALGO_1)
MN_SAME_VALUE(CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT)
MN_SAME_VALUE(CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT_TILING)
MN_SAME_VALUE(CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD)
MN_SAME_VALUE(CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD_NONFUSED)
MN_SAME_VALUE(CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT)
MN_SAME_VALUE(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0)
MN_SAME_VALUE(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1)
MN_SAME_VALUE(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT)
MN_SAME_VALUE(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3)
MN_SAME_VALUE(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD)
MN_SAME_VALUE(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD_NONFUSED)
MN_SAME_VALUE(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT_TILING)
MN_SAME_VALUE(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT)

#define MN_SAME_MEMBER(type, member)                                         \
    static_assert(offsetof(dnn::type, member) == offsetof(::type, member) && \
                      sizeof(dnn::type::member) == sizeof(::type::member),   \
                  #type "::" #member);
#define MN_SAME_STRUCT(type)                                   \
    static_assert(sizeof(dnn::type) == sizeof(::type), #type); \
    MN_SAME_MEMBER(type, algo)                                 \
    MN_SAME_MEMBER(type, status)                               \
    MN_SAME_MEMBER(type, time)                                 \
    MN_SAME_MEMBER(type, memory)                               \
    MN_SAME_MEMBER(type, determinism)                          \
    MN_SAME_MEMBER(type, mathType)                             \
    MN_SAME_MEMBER(type, reserved)
MN_SAME_STRUCT(cudnnConvolutionFwdAlgoPerf_t)
MN_SAME_STRUCT(cudnnConvolutionBwdDataAlgoPerf_t)
MN_SAME_STRUCT(cudnnConvolutionBwdFilterAlgoPerf_t)

}  // namespace

#endif
