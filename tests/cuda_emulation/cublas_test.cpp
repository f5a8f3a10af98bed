// The stand-in cuBLAS against a plain product.

#include "fixture.h"

namespace mn::emulation {
namespace {

class CublasTest : public StandInTest {
protected:
    void SetUp() override {
        StandInTest::SetUp();
        ASSERT_EQ(cublasCreate_v2(&handle_), 0);
        ASSERT_EQ(cublasSetStream_v2(handle_, stream_), 0);
    }
    void TearDown() override {
        EXPECT_EQ(cublasDestroy_v2(handle_), 0);
        StandInTest::TearDown();
    }

    static Floats values(size_t count, unsigned seed) {
        Floats result(count);
        for (float& value : result) {
            seed = seed * 1664525u + 1013904223u;
            value = static_cast<float>(static_cast<int>(seed >> 24) - 128);  // products are exact
        }
        return result;
    }

    // c = alpha (a, b) + beta c of vectors.
    int dot(int k, float alpha, DevicePointer a, DevicePointer b, float beta, DevicePointer c,
            int compute = kFloat32) {
        return cublasGemmEx(handle_, 0, 0, 1, 1, k, &alpha, at<float>(a), 0, 1, at<float>(b), 0, k,
                            &beta, at<float>(c), 0, 1, compute, -1);
    }

    static constexpr int kFloat32 = 68, kFastBFloat16 = 75, kFastTensorFloat32 = 77;
    void* handle_ = nullptr;
};

TEST_F(CublasTest, MultipliesWithEveryTransposeLeadingDimensionAndBeta) {
    const int m = 5, n = 4, k = 3, lda = 7, ldb = 6, ldc = 8, batch = 2;
    const int stride_a = 40, stride_b = 30, stride_c = 33;
    const Floats a = values(stride_a * batch, 1), b = values(stride_b * batch, 2);
    const Floats c = values(stride_c * batch, 3);
    const DevicePointer device_a = upload(a), device_b = upload(b);
    for (int op_a : {0, 1, 2})
        for (int op_b : {0, 1})
            for (float beta : {0.0f, 1.0f, -0.5f}) {
                const DevicePointer device_c = upload(c);
                const float alpha = 2;
                ASSERT_EQ(cublasGemmStridedBatchedEx(
                              handle_, op_a, op_b, m, n, k, &alpha, at<float>(device_a), 0, lda,
                              stride_a, at<float>(device_b), 0, ldb, stride_b, &beta,
                              at<float>(device_c), 0, ldc, stride_c, batch, kFloat32, -1),
                          0);
                Floats expected = c;
                for (int image = 0; image < batch; ++image)
                    for (int i = 0; i < m; ++i)
                        for (int j = 0; j < n; ++j) {
                            float sum = 0;
                            for (int l = 0; l < k; ++l)
                                sum += a[static_cast<size_t>(image * stride_a +
                                                             (op_a ? i * lda + l : l * lda + i))] *
                                       b[static_cast<size_t>(image * stride_b +
                                                             (op_b ? l * ldb + j : j * ldb + l))];
                            float& to =
                                expected[static_cast<size_t>(image * stride_c + j * ldc + i)];
                            to = alpha * sum + beta * to;
                        }
                EXPECT_EQ(download(device_c, c.size()), expected) << op_a << op_b << beta;
            }
}

TEST_F(CublasTest, WithoutBetaTheResultIsNotRead) {
    const DevicePointer a = upload({2}), b = upload({3});
    DevicePointer c = 0;
    ASSERT_EQ(cuMemAlloc_v2(&c, 4), kSuccess);  // holds a NaN
    const float one = 1, zero = 0;
    ASSERT_EQ(dot(1, one, a, b, zero, c), 0);
    EXPECT_EQ(download(c, 1), Floats{6});
}

TEST_F(CublasTest, FactorsAreRoundedAsTheComputeTypeSays) {
    // Ties go to the even neighbour; the sum keeps all its bits.
    const DevicePointer a = upload({1 + 0x1p-11f, 1 + 0x1p-8f, 3, 0x1p-20f});
    const DevicePointer b = upload({1, 1, 1 + 0x1.8p-10f, 1}), c = upload({0});
    const auto sum = [&](int compute) {
        EXPECT_EQ(dot(4, 1, a, b, 0, c, compute), 0);
        return static_cast<double>(download(c, 1)[0]);
    };
    EXPECT_EQ(sum(kFloat32), 1 + 0x1p-11 + 1 + 0x1p-8 + 3 * (1 + 0x1.8p-10) + 0x1p-20);
    EXPECT_EQ(sum(kFastTensorFloat32), 1 + 1 + 0x1p-8 + 3 * (1 + 0x1p-9) + 0x1p-20);
    EXPECT_EQ(sum(kFastBFloat16), 1 + 1 + 3 + 0x1p-20);
}

TEST_F(CublasTest, IsCapturedWithItsStream) {
    const DevicePointer a = upload({2}), c = upload({1});
    const float one = 1;
    ASSERT_EQ(cuStreamBeginCapture_v2(stream_, kCaptureGlobal), kSuccess);
    ASSERT_EQ(dot(1, one, a, a, one, c), 0);
    void *graph = nullptr, *executable = nullptr;
    ASSERT_EQ(cuStreamEndCapture(stream_, &graph), kSuccess);
    ASSERT_EQ(cuGraphInstantiateWithFlags(&executable, graph, 0), kSuccess);
    ASSERT_EQ(cuGraphLaunch(executable, stream_), kSuccess);
    ASSERT_EQ(cuGraphLaunch(executable, stream_), kSuccess);
    EXPECT_EQ(download(c, 1), Floats{9});
}

TEST_F(CublasTest, WrongArgumentsAreRefused) {
    const DevicePointer memory = upload(Floats(64));
    float* const data = at<float>(memory);
    const float one = 1;
    const auto gemm = [&](void* handle, int op_a, int op_b, int m, int n, int k, int lda, int ldb,
                          int ldc, float* c) {
        return cublasGemmEx(handle, op_a, op_b, m, n, k, &one, data, 0, lda, data, 0, ldb, &one, c,
                            0, ldc, kFloat32, -1);
    };
    EXPECT_EQ(gemm(handle_, 0, 0, 2, 3, 4, 2, 4, 2, data), 0);
    EXPECT_EQ(gemm(nullptr, 0, 0, 2, 3, 4, 2, 4, 2, data), 1);
    EXPECT_EQ(gemm(handle_, 3, 0, 2, 3, 4, 2, 4, 2, data), 7);
    EXPECT_EQ(gemm(handle_, 0, 0, -2, 3, 4, 2, 4, 2, data), 7);
    EXPECT_EQ(gemm(handle_, 0, 0, 2, 3, 4, 1, 4, 2, data), 7) << "lda < m";
    EXPECT_EQ(gemm(handle_, 1, 0, 2, 3, 4, 3, 4, 2, data), 7) << "lda < k, transposed";
    EXPECT_EQ(gemm(handle_, 0, 0, 2, 3, 4, 2, 3, 2, data), 7) << "ldb < k";
    EXPECT_EQ(gemm(handle_, 0, 0, 2, 3, 4, 2, 4, 1, data), 7) << "ldc < m";
    EXPECT_EQ(cublasSetWorkspace_v2(handle_, data, 256), 0);
    EXPECT_EQ(cublasSetWorkspace_v2(handle_, data + 1, 64), 7) << "not aligned";
    EXPECT_EQ(cublasSetWorkspace_v2(handle_, data, 512), 7) << "beyond the allocation";
    EXPECT_EQ(dot(1, one, memory, memory, one, memory, 70), 15) << "a compute type of float64";
    testing::internal::CaptureStderr();
    float host[8] = {};
    EXPECT_EQ(gemm(handle_, 0, 0, 2, 3, 4, 2, 4, 2, host), 13);
    EXPECT_EQ(gemm(handle_, 0, 0, 8, 8, 1, 8, 1, 9, data), 13) << "beyond the allocation";
    testing::internal::GetCapturedStderr();
}

}  // namespace
}  // namespace mn::emulation
