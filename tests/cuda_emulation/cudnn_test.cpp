// The stand-in cuDNN against plain sums.

#include <functional>

#include "fixture.h"

namespace mn::emulation {
namespace {

constexpr int kBadParam = 2000, kInvalidValue = 2001, kNotSupported = 3000, kExecutionFailed = 5000;

// 2 groups, of 2 channels to 3; windows of 3 x 2, strides, paddings and dilations that differ.
constexpr int kImages = 2, kChannels = 4, kHeight = 7, kWidth = 6, kOutputs = 6, kGroups = 2;
constexpr int kRows = 3, kColumns = 2, kPadH = 1, kPadW = 2, kStrideH = 2, kStrideW = 1;
constexpr int kDilationH = 1, kDilationW = 3;
constexpr int kOutHeight = 4, kOutWidth = 7;

class CudnnTest : public StandInTest {
protected:
    void SetUp() override {
        StandInTest::SetUp();
        ASSERT_EQ(cudnnCreate(&handle_), 0);
        ASSERT_EQ(cudnnSetStream(handle_, stream_), 0);
        ASSERT_EQ(cudnnCreateTensorDescriptor(&x_), 0);
        ASSERT_EQ(cudnnCreateTensorDescriptor(&y_), 0);
        ASSERT_EQ(cudnnCreateFilterDescriptor(&w_), 0);
        ASSERT_EQ(cudnnCreateConvolutionDescriptor(&conv_), 0);
        ASSERT_EQ(cudnnSetTensor4dDescriptor(x_, 0, 0, kImages, kChannels, kHeight, kWidth), 0);
        ASSERT_EQ(cudnnSetTensor4dDescriptor(y_, 0, 0, kImages, kOutputs, kOutHeight, kOutWidth),
                  0);
        ASSERT_EQ(
            cudnnSetFilter4dDescriptor(w_, 0, 0, kOutputs, kChannels / kGroups, kRows, kColumns),
            0);
        ASSERT_EQ(cudnnSetConvolution2dDescriptor(conv_, kPadH, kPadW, kStrideH, kStrideW,
                                                  kDilationH, kDilationW, 1, 0),
                  0);
        ASSERT_EQ(cudnnSetConvolutionGroupCount(conv_, kGroups), 0);
        ASSERT_EQ(cudnnSetConvolutionMathType(conv_, 3), 0);
        x_values_ = values(kImages * kChannels * kHeight * kWidth, 1);
        w_values_ = values(kOutputs * kChannels / kGroups * kRows * kColumns, 2);
        y_values_ = values(kImages * kOutputs * kOutHeight * kOutWidth, 3);
        device_x_ = upload(x_values_);
        device_w_ = upload(w_values_);
        device_y_ = upload(y_values_);
        workspace_ = upload(Floats(256));
    }
    void TearDown() override {
        EXPECT_EQ(cudnnDestroyConvolutionDescriptor(conv_), 0);
        EXPECT_EQ(cudnnDestroyFilterDescriptor(w_), 0);
        EXPECT_EQ(cudnnDestroyTensorDescriptor(y_), 0);
        EXPECT_EQ(cudnnDestroyTensorDescriptor(x_), 0);
        EXPECT_EQ(cudnnDestroy(handle_), 0);
        StandInTest::TearDown();
    }

    static Floats values(size_t count, unsigned seed) {
        Floats result(count);
        for (float& value : result) {
            seed = seed * 1664525u + 1013904223u;
            value = static_cast<float>(static_cast<int>(seed >> 26) - 32);  // sums are exact
        }
        return result;
    }

    // Calls body(x, y, w) with the indices of each product.
    static void for_each_product(const std::function<void(size_t, size_t, size_t)>& body) {
        for (int n = 0; n < kImages; ++n)
            for (int k = 0; k < kOutputs; ++k)
                for (int c = 0; c < kChannels / kGroups; ++c)
                    for (int p = 0; p < kOutHeight; ++p)
                        for (int q = 0; q < kOutWidth; ++q)
                            for (int r = 0; r < kRows; ++r)
                                for (int s = 0; s < kColumns; ++s) {
                                    const int h = p * kStrideH - kPadH + r * kDilationH;
                                    const int v = q * kStrideW - kPadW + s * kDilationW;
                                    if (h < 0 || h >= kHeight || v < 0 || v >= kWidth) continue;
                                    const int group = k / (kOutputs / kGroups);
                                    const int channel = group * (kChannels / kGroups) + c;
                                    body(index(n, channel, h, v, kChannels, kHeight, kWidth),
                                         index(n, k, p, q, kOutputs, kOutHeight, kOutWidth),
                                         index(k, c, r, s, kChannels / kGroups, kRows, kColumns));
                                }
    }
    static size_t index(int a, int b, int c, int d, int sb, int sc, int sd) {
        return static_cast<size_t>(((a * sb + b) * sc + c) * sd + d);
    }

    int forward(int algorithm, float alpha, float beta, size_t workspace = 1024) {
        return cudnnConvolutionForward(
            handle_, &alpha, x_, at<float>(device_x_), w_, at<float>(device_w_), conv_, algorithm,
            at<float>(workspace_), workspace, &beta, y_, at<float>(device_y_));
    }

    void *handle_ = nullptr, *x_ = nullptr, *y_ = nullptr, *w_ = nullptr, *conv_ = nullptr;
    Floats x_values_, y_values_, w_values_;
    DevicePointer device_x_ = 0, device_y_ = 0, device_w_ = 0, workspace_ = 0;
};

TEST_F(CudnnTest, ComputesAllThreeFunctionsWithAlphaAndBeta) {
    const float alpha = 2;
    for (float beta : {0.0f, 1.0f, -0.5f}) {
        Floats y = y_values_, x = x_values_, w = w_values_;
        for (Floats* result : {&y, &x, &w})
            for (float& value : *result) value *= beta;
        for_each_product([&](size_t i, size_t j, size_t k) {
            y[j] += alpha * x_values_[i] * w_values_[k];
            x[i] += alpha * y_values_[j] * w_values_[k];
            w[k] += alpha * x_values_[i] * y_values_[j];
        });
        const DevicePointer to_y = upload(y_values_), to_x = upload(x_values_);
        const DevicePointer to_w = upload(w_values_);
        ASSERT_EQ(cudnnConvolutionForward(handle_, &alpha, x_, at<float>(device_x_), w_,
                                          at<float>(device_w_), conv_, 0, nullptr, 0, &beta, y_,
                                          at<float>(to_y)),
                  0);
        ASSERT_EQ(cudnnConvolutionBackwardData(handle_, &alpha, w_, at<float>(device_w_), y_,
                                               at<float>(device_y_), conv_, 0, nullptr, 0, &beta,
                                               x_, at<float>(to_x)),
                  0);
        ASSERT_EQ(cudnnConvolutionBackwardFilter(handle_, &alpha, x_, at<float>(device_x_), y_,
                                                 at<float>(device_y_), conv_, 0, nullptr, 0, &beta,
                                                 w_, at<float>(to_w)),
                  0);
        EXPECT_EQ(download(to_y, y.size()), y) << beta;
        EXPECT_EQ(download(to_x, x.size()), x) << beta;
        EXPECT_EQ(download(to_w, w.size()), w) << beta;
    }
}

TEST_F(CudnnTest, WithoutBetaTheResultIsNotReadAndTheWorkspaceIsWritten) {
    const Floats zeros(256);
    ASSERT_EQ(cuMemAlloc_v2(&device_y_, y_values_.size() * 4), kSuccess);  // holds NaNs
    workspace_ = upload(zeros);
    size_t bytes = 0;
    ASSERT_EQ(cudnnGetConvolutionForwardWorkspaceSize(handle_, x_, w_, conv_, y_, 1, &bytes), 0);
    ASSERT_GT(bytes, 0u);
    ASSERT_EQ(forward(1, 1, 0, bytes), 0);
    Floats expected(y_values_.size());
    for_each_product(
        [&](size_t i, size_t j, size_t k) { expected[j] += x_values_[i] * w_values_[k]; });
    EXPECT_EQ(download(device_y_, expected.size()), expected);
    EXPECT_NE(download(workspace_, bytes / 4), Floats(bytes / 4));
}

TEST_F(CudnnTest, RoundsFactorsToTf32UnlessToldNotTo) {
    const float value = 1.0f + 1.0f / 2048 + 1.0f / 8192;
    device_x_ = upload(Floats(x_values_.size(), value));
    device_w_ = upload(Floats(w_values_.size(), 1));
    for (int math : {0, 1, 3}) {
        ASSERT_EQ(cudnnSetConvolutionMathType(conv_, math), 0);
        ASSERT_EQ(forward(0, 1, 0), 0);
        const float factor = math == 3 ? value : 1.0f + 1.0f / 1024;
        Floats expected(y_values_.size());
        for_each_product([&](size_t, size_t j, size_t) { expected[j] += factor; });
        EXPECT_EQ(download(device_y_, expected.size()), expected) << math;
    }
}

TEST_F(CudnnTest, IsCapturedWithItsStream) {
    const Floats before = y_values_;
    ASSERT_EQ(cuStreamBeginCapture_v2(stream_, kCaptureGlobal), kSuccess);
    ASSERT_EQ(forward(0, 1, 1), 0);
    // Measuring allocates, which a capture does not allow.
    AlgorithmPerf perf[8];
    int count = 0;
    EXPECT_NE(cudnnFindConvolutionForwardAlgorithm(handle_, x_, w_, conv_, y_, 8, &count, perf), 0);
    void* graph = nullptr;
    EXPECT_EQ(cuStreamEndCapture(stream_, &graph), kCaptureInvalidated);
    EXPECT_EQ(download(device_y_, before.size()), before);
    ASSERT_EQ(cuStreamBeginCapture_v2(stream_, kCaptureGlobal), kSuccess);
    ASSERT_EQ(forward(0, 1, 0), 0);
    ASSERT_EQ(cuStreamEndCapture(stream_, &graph), kSuccess);
    void* executable = nullptr;
    ASSERT_EQ(cuGraphInstantiateWithFlags(&executable, graph, 0), kSuccess);
    ASSERT_EQ(cuGraphLaunch(executable, stream_), kSuccess);
    EXPECT_NE(download(device_y_, before.size()), before);
}

TEST_F(CudnnTest, ListsAlgorithmsWithWhatTheyNeed) {
    AlgorithmPerf perf[8];
    int count = 0;
    ASSERT_EQ(cudnnGetConvolutionForwardAlgorithm_v7(handle_, x_, w_, conv_, y_, 8, &count, perf),
              0);
    ASSERT_EQ(count, 5);
    for (int i = 0; i < count; ++i) {
        size_t bytes = 0;
        const int status = cudnnGetConvolutionForwardWorkspaceSize(handle_, x_, w_, conv_, y_,
                                                                   perf[i].algorithm, &bytes);
        EXPECT_EQ(status, perf[i].status);
        if (status == 0) {
            EXPECT_EQ(bytes, perf[i].memory);
        }
    }
    EXPECT_EQ(perf[4].algorithm, 6) << "no Winograd for windows of 3 x 2";
    EXPECT_EQ(perf[4].status, kNotSupported);
    ASSERT_EQ(cudnnGetConvolutionForwardAlgorithm_v7(handle_, x_, w_, conv_, y_, 2, &count, perf),
              0);
    EXPECT_EQ(count, 2);
}

TEST_F(CudnnTest, WrongArgumentsAreRefused) {
    const float one = 1;
    EXPECT_EQ(forward(0, 1, 0), 0);
    EXPECT_EQ(forward(99, 1, 0), kNotSupported) << "no such algorithm";
    EXPECT_EQ(forward(6, 1, 0), kNotSupported) << "no Winograd for windows of 3 x 2";
    EXPECT_EQ(forward(1, 1, 0, 16), kBadParam) << "the workspace is too small";
    EXPECT_EQ(
        cudnnConvolutionForward(nullptr, &one, x_, at<float>(device_x_), w_, at<float>(device_w_),
                                conv_, 0, nullptr, 0, &one, y_, at<float>(device_y_)),
        kBadParam);
    EXPECT_EQ(cudnnConvolutionForward(handle_, nullptr, x_, at<float>(device_x_), w_,
                                      at<float>(device_w_), conv_, 0, nullptr, 0, &one, y_,
                                      at<float>(device_y_)),
              kBadParam);
    EXPECT_EQ(
        cudnnConvolutionForward(handle_, &one, w_, at<float>(device_x_), w_, at<float>(device_w_),
                                conv_, 0, nullptr, 0, &one, y_, at<float>(device_y_)),
        kBadParam)
        << "a filter is no tensor";
    testing::internal::CaptureStderr();
    Floats host(y_values_.size());
    EXPECT_EQ(
        cudnnConvolutionForward(handle_, &one, x_, at<float>(device_x_), w_, at<float>(device_w_),
                                conv_, 0, nullptr, 0, &one, y_, host.data()),
        kExecutionFailed);
    testing::internal::GetCapturedStderr();

    EXPECT_EQ(cudnnSetTensor4dDescriptor(x_, 0, 0, 1, 0, 2, 2), kBadParam);
    EXPECT_EQ(cudnnSetTensor4dDescriptor(x_, 0, 0, 1 << 15, 1 << 8, 1 << 5, 1 << 5), kNotSupported);
    EXPECT_EQ(cudnnSetFilter4dDescriptor(w_, 0, 0, 1, 1, -1, 1), kBadParam);
    EXPECT_EQ(cudnnSetConvolution2dDescriptor(conv_, -1, 0, 1, 1, 1, 1, 1, 0), kBadParam);
    EXPECT_EQ(cudnnSetConvolution2dDescriptor(conv_, 0, 0, 0, 1, 1, 1, 1, 0), kBadParam);
    EXPECT_EQ(cudnnSetConvolution2dDescriptor(conv_, 0, 0, 1, 1, 1, 0, 1, 0), kBadParam);
    EXPECT_EQ(cudnnSetConvolutionGroupCount(conv_, 0), kBadParam);
    EXPECT_EQ(cudnnSetConvolutionMathType(conv_, 4), kInvalidValue);
    void* unset = nullptr;
    ASSERT_EQ(cudnnCreateTensorDescriptor(&unset), 0);
    size_t bytes = 0;
    EXPECT_EQ(cudnnGetConvolutionForwardWorkspaceSize(handle_, unset, w_, conv_, y_, 0, &bytes),
              kBadParam);
    EXPECT_EQ(cudnnDestroyTensorDescriptor(unset), 0);
    EXPECT_EQ(cudnnDestroyTensorDescriptor(unset), kBadParam) << "twice";
}

TEST_F(CudnnTest, DescriptorsThatDoNotFitEachOtherAreRefused) {
    EXPECT_EQ(cudnnSetTensor4dDescriptor(x_, 0, 0, kImages, kChannels + 1, kHeight, kWidth), 0);
    EXPECT_EQ(forward(0, 1, 0), kBadParam) << "channels";
    EXPECT_EQ(cudnnSetTensor4dDescriptor(x_, 0, 0, kImages + 1, kChannels, kHeight, kWidth), 0);
    EXPECT_EQ(forward(0, 1, 0), kBadParam) << "images";
    EXPECT_EQ(cudnnSetTensor4dDescriptor(x_, 0, 0, kImages, kChannels, kHeight, kWidth + 1), 0);
    EXPECT_EQ(forward(0, 1, 0), kNotSupported) << "size of the result";
    EXPECT_EQ(cudnnSetTensor4dDescriptor(x_, 0, 0, kImages, kChannels, kHeight, kWidth), 0);
    EXPECT_EQ(forward(0, 1, 0), 0);
    EXPECT_EQ(cudnnSetConvolutionGroupCount(conv_, 1), 0);
    EXPECT_EQ(forward(0, 1, 0), kBadParam) << "groups";
}

TEST_F(CudnnTest, StatusesAreNumberedByTheVersion) {
    EXPECT_EQ(cudnnGetVersion(), 90100u);
    EXPECT_STREQ(cudnnGetErrorString(kBadParam), "CUDNN_STATUS_BAD_PARAM");
    const Environment eight("CUDA_EMULATION_CUDNN", "8907");
    EXPECT_EQ(cudnnGetVersion(), 8907u);
    EXPECT_EQ(cudnnSetStream(nullptr, stream_), 3);
    EXPECT_STREQ(cudnnGetErrorString(3), "CUDNN_STATUS_BAD_PARAM");
}

}  // namespace
}  // namespace mn::emulation
