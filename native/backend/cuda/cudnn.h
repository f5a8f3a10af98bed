// cuDNN, where it is there: convolutions through it. Everything is asked for when a plan is
// compiled, so that a run neither allocates nor waits.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "backend/cuda/cudnn_abi.h"
#include "backend/cuda/library.h"

namespace mn::cuda {

// Names as the library exports them.
// The formatter does not settle on this list.
// clang-format off
#define MN_CUDNN_FUNCTIONS(X)                         \
    X(cudnnGetVersion)                                \
    X(cudnnGetErrorString)                            \
    X(cudnnCreate)                                    \
    X(cudnnDestroy)                                   \
    X(cudnnSetStream)                                 \
    X(cudnnCreateTensorDescriptor)                    \
    X(cudnnDestroyTensorDescriptor)                   \
    X(cudnnSetTensor4dDescriptor)                     \
    X(cudnnCreateFilterDescriptor)                    \
    X(cudnnDestroyFilterDescriptor)                   \
    X(cudnnSetFilter4dDescriptor)                     \
    X(cudnnCreateConvolutionDescriptor)               \
    X(cudnnDestroyConvolutionDescriptor)              \
    X(cudnnSetConvolution2dDescriptor)                \
    X(cudnnSetConvolutionGroupCount)                  \
    X(cudnnSetConvolutionMathType)                    \
    X(cudnnGetConvolutionForwardAlgorithm_v7)         \
    X(cudnnGetConvolutionBackwardDataAlgorithm_v7)    \
    X(cudnnGetConvolutionBackwardFilterAlgorithm_v7)  \
    X(cudnnFindConvolutionForwardAlgorithm)           \
    X(cudnnFindConvolutionBackwardDataAlgorithm)      \
    X(cudnnFindConvolutionBackwardFilterAlgorithm)    \
    X(cudnnGetConvolutionForwardWorkspaceSize)        \
    X(cudnnGetConvolutionBackwardDataWorkspaceSize)   \
    X(cudnnGetConvolutionBackwardFilterWorkspaceSize) \
    X(cudnnConvolutionForward)                        \
    X(cudnnConvolutionBackwardData)                   \
    X(cudnnConvolutionBackwardFilter)
// clang-format on

// What a convolution computes, in the terms of ops/convolution.cpp: pixels from an image, an image
// from pixels, or the gradient of the weights from both.
enum class ConvFunction { kGather, kScatter, kWeights };
constexpr int kConvFunctions = 3;

struct ConvShape {
    int images, groups;
    int image_channels, image_h, image_w;
    int pixel_channels, pixel_h, pixel_w;
    int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    int tf32;  // 1: factors may be rounded to TF32

    auto key() const {
        return std::tie(images, groups, image_channels, image_h, image_w, pixel_channels, pixel_h,
                        pixel_w, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h,
                        dilation_w, tf32);
    }
    bool operator<(const ConvShape& other) const { return key() < other.key(); }
};

// How cuDNN computes a function.
struct ConvAlgorithm {
    int id = -1;  // in cuDNN's enumeration for the function; -1: not at all
    dnn::cudnnMathType_t math = dnn::CUDNN_FMA_MATH;
    size_t workspace = 0;  // bytes

    bool found() const { return id >= 0; }
};

// The library, with a handle of one stream.
class Cudnn {
public:
    // Null with the reason if cuDNN is not there, is too old, does not start or is switched off by
    // MNISTNATIVE_CUDNN.
    static std::unique_ptr<Cudnn> open(CUstream stream, std::string& reason);
    ~Cudnn();
    Cudnn(const Cudnn&) = delete;
    Cudnn& operator=(const Cudnn&) = delete;

    // "path (cuDNN 9.1.0)"
    std::string describe() const;

    // For the shape's images, which is the largest batch; found once a shape.
    ConvAlgorithm algorithm(ConvFunction function, const ConvShape& shape);

    static std::string name_of(ConvFunction function, const ConvAlgorithm& algorithm);

private:
    friend class CudnnConvolution;

    Cudnn();
    std::string load();  // a reason, or nothing
    void check(dnn::cudnnStatus_t status, const char* what) const;

    Library library_;
    size_t version_ = 0;
    bool measures_ = false;
    dnn::cudnnHandle_t handle_ = nullptr;
    std::map<std::pair<ConvFunction, ConvShape>, ConvAlgorithm> algorithms_;

#define MN_DECLARE(name) decltype(&dnn::name) name = nullptr;
    MN_CUDNN_FUNCTIONS(MN_DECLARE)
#undef MN_DECLARE
};

// The descriptors of one convolution. An algorithm is one that `Cudnn::algorithm` found.
class CudnnConvolution {
public:
    CudnnConvolution(Cudnn& cudnn, const ConvShape& shape);
    ~CudnnConvolution();
    CudnnConvolution(const CudnnConvolution&) = delete;
    CudnnConvolution& operator=(const CudnnConvolution&) = delete;

    // For `count` images, at most the shape's. `workspace` has the algorithm's bytes.
    void gather(const ConvAlgorithm& algorithm, int count, const float* weights, const float* image,
                float* pixels, void* workspace);
    void scatter(const ConvAlgorithm& algorithm, int count, const float* weights,
                 const float* pixels, float* image, void* workspace);
    void weights(const ConvAlgorithm& algorithm, int count, const float* image, const float* pixels,
                 float* gradient, bool accumulate, void* workspace);

    // The fastest, by cuDNN's estimate or by measurement, of the algorithms that are deterministic,
    // of the shape's precision and need at most `workspace` bytes.
    ConvAlgorithm choose(ConvFunction function, size_t workspace, bool measure);

private:
    template <class Algorithm, class Ask>
    ConvAlgorithm best(ConvFunction function, size_t workspace, Ask&& ask);
    // False if the algorithm cannot be used for the batch that is set. Sets its math type.
    bool workspace_bytes(ConvFunction function, const ConvAlgorithm& algorithm, size_t& bytes);
    void set_math(dnn::cudnnMathType_t math);
    void set_images(int count);
    // The algorithm to use for `count` images: another one only where this one cannot be used.
    ConvAlgorithm prepare(ConvFunction function, const ConvAlgorithm& algorithm, int count);
    void release();

    Cudnn& cudnn_;
    const ConvShape shape_;
    int images_ = 0;                                     // of the descriptors
    std::map<int, ConvAlgorithm> used_[kConvFunctions];  // by the number of images
    dnn::cudnnTensorDescriptor_t image_ = nullptr, pixels_ = nullptr;
    dnn::cudnnFilterDescriptor_t filter_ = nullptr;
    dnn::cudnnConvolutionDescriptor_t convolution_ = nullptr;
};

}  // namespace mn::cuda
