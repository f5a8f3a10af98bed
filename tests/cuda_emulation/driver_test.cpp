// The stand-in libcuda refuses what the real one refuses, and does work as late as that may.

#include <thread>

#include "cuda_host.h"
#include "fixture.h"

namespace mn::emulation {
namespace {

struct AddParams {
    float* values;
    int count;
};

MN_KERNEL(test_add_one, AddParams, false) {
    for (int i = static_cast<int>(threadIdx.x); i < p.count; i += static_cast<int>(blockDim.x))
        p.values[i] += 1;
}

class DriverTest : public StandInTest {
protected:
    int add_one(DevicePointer memory, int count) {
        return launch("test_add_one", AddParams{at<float>(memory), count}, 1, 32);
    }

    template <class T>
    T* pinned(size_t count) {
        void* memory = nullptr;
        EXPECT_EQ(cuMemHostAlloc(&memory, count * sizeof(T), 0), kSuccess);
        return static_cast<T*>(memory);
    }

    // Begins a capture of the stream, calls body, and says what ending it returns.
    template <class Body>
    int capture(Body&& body) {
        EXPECT_EQ(cuStreamBeginCapture_v2(stream_, kCaptureGlobal), kSuccess);
        body();
        return cuStreamEndCapture(stream_, &graph_);
    }

    void* graph_ = nullptr;
};

TEST(Driver, SettingsDecideWhatTheMachineHas) {
    ASSERT_EQ(cuInit(0), kSuccess);
    int value = 0;
    {
        const Environment devices("CUDA_EMULATION_DEVICES", "2");
        EXPECT_EQ(cuDeviceGetCount(&value), kSuccess);
        EXPECT_EQ(value, 2);
        EXPECT_EQ(cuDeviceGet(&value, 1), kSuccess);
        EXPECT_EQ(cuDeviceGet(&value, 2), kInvalidDevice);
    }
    {
        const Environment devices("CUDA_EMULATION_DEVICES", "0");
        EXPECT_EQ(cuInit(0), kNoDevice);
    }
    const Environment driver("CUDA_EMULATION_DRIVER", "11020");
    EXPECT_EQ(cuDriverGetVersion(&value), kSuccess);
    EXPECT_EQ(value, 11020);
    const Environment compute("CUDA_EMULATION_COMPUTE", "61");
    EXPECT_EQ(cuDeviceGetAttribute(&value, kComputeMajor, 0), kSuccess);
    EXPECT_EQ(value, 6);
    EXPECT_EQ(cuDeviceGetAttribute(&value, kComputeMinor, 0), kSuccess);
    EXPECT_EQ(value, 1);
    EXPECT_EQ(cuDeviceGetAttribute(&value, 12345, 0), kInvalidValue);
    const Environment fail("CUDA_EMULATION_FAIL", "cuDeviceGet=999");
    EXPECT_EQ(cuDeviceGet(&value, 0), kUnknown);
    EXPECT_EQ(cuDeviceGetCount(&value), kSuccess);
}

TEST(Driver, NothingWorksWithoutACurrentContext) {
    ASSERT_EQ(cuInit(0), kSuccess);
    ASSERT_EQ(cuCtxSetCurrent(nullptr), kSuccess);
    DevicePointer memory = 0;
    void* stream = nullptr;
    EXPECT_EQ(cuMemAlloc_v2(&memory, 4), kInvalidContext);
    EXPECT_EQ(cuStreamCreate(&stream, 0), kInvalidContext);
    EXPECT_EQ(cuCtxSynchronize(), kInvalidContext);
    EXPECT_EQ(cublasCreate_v2(&stream), 1);
}

TEST_F(DriverTest, TheContextIsCurrentForOneThread) {
    DevicePointer memory = 0;
    int result = 0;
    std::thread([&] { result = cuMemAlloc_v2(&memory, 4); }).join();
    EXPECT_EQ(result, kInvalidContext);
}

TEST_F(DriverTest, MemoryIsFreedOnceAndNotUsedAfterwards) {
    const DevicePointer memory = upload(Floats(4));
    Floats values(4);
    EXPECT_EQ(cuMemcpyDtoH_v2(values.data(), memory + 4, 16), kInvalidValue);
    EXPECT_EQ(cuMemFree_v2(memory + 4), kInvalidValue);
    EXPECT_EQ(cuMemFree_v2(memory), kSuccess);
    EXPECT_EQ(cuMemFree_v2(memory), kInvalidValue);
    EXPECT_EQ(cuMemcpyDtoH_v2(values.data(), memory, 16), kInvalidValue);
    DevicePointer none = 0;
    EXPECT_EQ(cuMemAlloc_v2(&none, 0), kInvalidValue);
}

TEST_F(DriverTest, MemoryEnds) {
    const Environment environment("CUDA_EMULATION_MEMORY", "1000");
    DevicePointer memory = 0, more = 0;
    EXPECT_EQ(cuMemAlloc_v2(&memory, 600), kSuccess);
    EXPECT_EQ(cuMemAlloc_v2(&more, 600), kOutOfMemory);
    size_t free_bytes = 0, total = 0;
    EXPECT_EQ(cuMemGetInfo_v2(&free_bytes, &total), kSuccess);
    EXPECT_EQ(free_bytes, 400u);
    EXPECT_EQ(total, 1000u);
    EXPECT_EQ(cuMemFree_v2(memory), kSuccess);
    EXPECT_EQ(cuMemAlloc_v2(&more, 600), kSuccess);
}

TEST_F(DriverTest, AStreamWorksWhenSomebodyWaits) {
    float* const host = pinned<float>(1);
    const DevicePointer memory = upload({1});
    *host = 5;
    ASSERT_EQ(cuMemcpyHtoDAsync_v2(memory, host, 4, stream_), kSuccess);
    *host = 7;  // too early
    ASSERT_EQ(add_one(memory, 1), kSuccess);
    ASSERT_EQ(cuMemcpyDtoHAsync_v2(host, memory, 4, stream_), kSuccess);
    EXPECT_EQ(*host, 7);
    ASSERT_EQ(cuStreamSynchronize(stream_), kSuccess);
    EXPECT_EQ(*host, 8);
}

TEST_F(DriverTest, MemoryThatIsNotPinnedIsStaged) {
    float host = 5;
    const DevicePointer memory = upload({1});
    ASSERT_EQ(cuMemcpyHtoDAsync_v2(memory, &host, 4, stream_), kSuccess);
    host = 7;
    EXPECT_EQ(download(memory, 1), Floats{5});
    ASSERT_EQ(add_one(memory, 1), kSuccess);
    ASSERT_EQ(cuMemcpyDtoHAsync_v2(&host, memory, 4, stream_), kSuccess);
    EXPECT_EQ(host, 6);
}

TEST_F(DriverTest, ASynchronousCopyDoesNotWaitForANonBlockingStream) {
    const DevicePointer memory = upload({1});
    ASSERT_EQ(add_one(memory, 1), kSuccess);
    float value = 0;
    ASSERT_EQ(cuMemcpyDtoH_v2(&value, memory, 4), kSuccess);
    EXPECT_EQ(value, 1);
    EXPECT_EQ(download(memory, 1), Floats{2});
}

TEST_F(DriverTest, EventsTellHowFarAStreamIs) {
    const DevicePointer memory = upload({1});
    void *event = nullptr, *other = nullptr;
    ASSERT_EQ(cuEventCreate(&event, 0), kSuccess);
    ASSERT_EQ(cuEventCreate(&other, kEventDisableTiming), kSuccess);
    EXPECT_EQ(cuEventQuery(event), kSuccess) << "not recorded yet";
    ASSERT_EQ(add_one(memory, 1), kSuccess);
    ASSERT_EQ(cuEventRecord(event, stream_), kSuccess);
    ASSERT_EQ(add_one(memory, 1), kSuccess);
    EXPECT_EQ(cuEventQuery(event), kNotReady);
    void* second = nullptr;
    ASSERT_EQ(cuStreamCreate(&second, kStreamNonBlocking), kSuccess);
    ASSERT_EQ(cuStreamWaitEvent(second, event, 0), kSuccess);
    ASSERT_EQ(cuStreamSynchronize(second), kSuccess);
    EXPECT_EQ(cuEventQuery(event), kSuccess);
    float value = 0;
    ASSERT_EQ(cuMemcpyDtoH_v2(&value, memory, 4), kSuccess);
    EXPECT_EQ(value, 2) << "only what was recorded";
    EXPECT_EQ(cuEventElapsedTime(&value, event, event), kSuccess);
    EXPECT_EQ(cuEventElapsedTime(&value, event, other), kInvalidHandle);
}

TEST_F(DriverTest, ACapturedGraphRunsAsOftenAsItIsLaunched) {
    const DevicePointer memory = upload({1});
    ASSERT_EQ(capture([&] {
                  EXPECT_EQ(add_one(memory, 1), kSuccess);
                  EXPECT_EQ(add_one(memory, 1), kSuccess);
              }),
              kSuccess);
    EXPECT_EQ(download(memory, 1), Floats{1}) << "capturing does no work";
    void* executable = nullptr;
    ASSERT_EQ(cuGraphInstantiateWithFlags(&executable, graph_, 0), kSuccess);
    ASSERT_EQ(cuGraphDestroy(graph_), kSuccess);
    for (int i = 0; i < 3; ++i) ASSERT_EQ(cuGraphLaunch(executable, stream_), kSuccess);
    EXPECT_EQ(download(memory, 1), Floats{7});
    ASSERT_EQ(cuGraphExecDestroy(executable), kSuccess);
    EXPECT_EQ(cuGraphLaunch(executable, stream_), kInvalidHandle);
}

TEST_F(DriverTest, ACaptureForbidsAllocationAndWaiting) {
    DevicePointer memory = upload(Floats(4));
    Floats values(4);
    float* const host = pinned<float>(4);
    const auto expect_invalidated = [&](auto&& call, int result) {
        EXPECT_EQ(capture([&] { EXPECT_EQ(call(), result); }), kCaptureInvalidated);
    };
    DevicePointer more = 0;
    expect_invalidated([&] { return cuMemAlloc_v2(&more, 4); }, kCaptureUnsupported);
    expect_invalidated([&] { return cuMemFree_v2(memory); }, kCaptureUnsupported);
    expect_invalidated([&] { return cuMemFreeHost(host); }, kCaptureUnsupported);
    expect_invalidated([&] { return cuStreamSynchronize(stream_); }, kCaptureUnsupported);
    expect_invalidated([&] { return cuStreamQuery(stream_); }, kCaptureUnsupported);
    expect_invalidated([&] { return cuCtxSynchronize(); }, kCaptureUnsupported);
    expect_invalidated([&] { return cuMemcpyDtoH_v2(values.data(), memory, 16); },
                       kCaptureUnsupported);
    EXPECT_EQ(capture([&] {
                  EXPECT_EQ(cuMemcpyHtoDAsync_v2(memory, values.data(), 16, stream_),
                            kCaptureUnsupported);
                  EXPECT_EQ(cuMemcpyHtoDAsync_v2(memory, host, 16, stream_), kSuccess);
              }),
              kSuccess);
    EXPECT_EQ(cuStreamEndCapture(stream_, &graph_), kCaptureUnmatched);
    EXPECT_EQ(cuStreamBeginCapture_v2(nullptr, kCaptureGlobal), kCaptureUnsupported);
}

TEST_F(DriverTest, LaunchesOutOfLimitsAreRefused) {
    const DevicePointer memory = upload({1});
    const AddParams params{at<float>(memory), 1};
    EXPECT_EQ(launch("test_add_one", params, 0, 32), kInvalidValue);
    EXPECT_EQ(launch("test_add_one", params, 1, 0), kInvalidValue);
    EXPECT_EQ(launch("test_add_one", params, 1, 1025), kInvalidValue);
    EXPECT_EQ(launch("test_add_one", params, 1, 32, 48 * 1024 + 1), kInvalidValue);
    const void* function = nullptr;
    EXPECT_EQ(cuModuleGetFunction(&function, module_, "no_such_kernel"), kNotFound);
    EXPECT_EQ(cuModuleGetFunction(&function, stream_, "test_add_one"), kInvalidHandle);
    void* module = nullptr;
    EXPECT_EQ(cuModuleLoadData(&module, "text, no code"), kInvalidImage);
    EXPECT_EQ(cuStreamSynchronize(module_), kInvalidHandle);
    EXPECT_EQ(download(memory, 1), Floats{1});
}

}  // namespace
}  // namespace mn::emulation
