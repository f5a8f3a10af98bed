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
                ASSERT_EQ(cublasSgemmStridedBatched(handle_, op_a, op_b, m, n, k, &alpha,
                                                    at<float>(device_a), lda, stride_a,
                                                    at<float>(device_b), ldb, stride_b, &beta,
                                                    at<float>(device_c), ldc, stride_c, batch),
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
    ASSERT_EQ(cublasSgemm_v2(handle_, 0, 0, 1, 1, 1, &one, at<float>(a), 1, at<float>(b), 1, &zero,
                             at<float>(c), 1),
              0);
    EXPECT_EQ(download(c, 1), Floats{6});
}

TEST_F(CublasTest, IsCapturedWithItsStream) {
    const DevicePointer a = upload({2}), c = upload({1});
    const float one = 1;
    ASSERT_EQ(cuStreamBeginCapture_v2(stream_, kCaptureGlobal), kSuccess);
    ASSERT_EQ(cublasSgemm_v2(handle_, 0, 0, 1, 1, 1, &one, at<float>(a), 1, at<float>(a), 1, &one,
                             at<float>(c), 1),
              0);
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
        return cublasSgemm_v2(handle, op_a, op_b, m, n, k, &one, data, lda, data, ldb, &one, c,
                              ldc);
    };
    EXPECT_EQ(gemm(handle_, 0, 0, 2, 3, 4, 2, 4, 2, data), 0);
    EXPECT_EQ(gemm(nullptr, 0, 0, 2, 3, 4, 2, 4, 2, data), 1);
    EXPECT_EQ(gemm(handle_, 3, 0, 2, 3, 4, 2, 4, 2, data), 7);
    EXPECT_EQ(gemm(handle_, 0, 0, -2, 3, 4, 2, 4, 2, data), 7);
    EXPECT_EQ(gemm(handle_, 0, 0, 2, 3, 4, 1, 4, 2, data), 7) << "lda < m";
    EXPECT_EQ(gemm(handle_, 1, 0, 2, 3, 4, 3, 4, 2, data), 7) << "lda < k, transposed";
    EXPECT_EQ(gemm(handle_, 0, 0, 2, 3, 4, 2, 3, 2, data), 7) << "ldb < k";
    EXPECT_EQ(gemm(handle_, 0, 0, 2, 3, 4, 2, 4, 1, data), 7) << "ldc < m";
    EXPECT_EQ(cublasSetMathMode(handle_, 9), 7);
    testing::internal::CaptureStderr();
    float host[8] = {};
    EXPECT_EQ(gemm(handle_, 0, 0, 2, 3, 4, 2, 4, 2, host), 13);
    EXPECT_EQ(gemm(handle_, 0, 0, 8, 8, 1, 8, 1, 9, data), 13) << "beyond the allocation";
    testing::internal::GetCapturedStderr();
}

}  // namespace
}  // namespace mn::emulation
