// An open context with a module, for the tests of the stand-ins.

#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "stand_in_api.h"

namespace mn::emulation {

using Floats = std::vector<float>;

class StandInTest : public testing::Test {
protected:
    void SetUp() override {
        ASSERT_EQ(cuInit(0), kSuccess);
        ASSERT_EQ(cuDevicePrimaryCtxRetain(&context_, 0), kSuccess);
        ASSERT_EQ(cuCtxSetCurrent(context_), kSuccess);
        const unsigned fatbin_magic = 0xba55ed50;
        ASSERT_EQ(cuModuleLoadData(&module_, &fatbin_magic), kSuccess);
        ASSERT_EQ(cuStreamCreate(&stream_, kStreamNonBlocking), kSuccess);
    }

    void TearDown() override {
        EXPECT_EQ(cuDevicePrimaryCtxRelease_v2(0), kSuccess);
        EXPECT_EQ(cuCtxSetCurrent(nullptr), kSuccess);
        EXPECT_EQ(mn_emulation_live_objects(), 0);
    }

    DevicePointer upload(const Floats& values) {
        DevicePointer memory = 0;
        EXPECT_EQ(cuMemAlloc_v2(&memory, values.size() * 4), kSuccess);
        EXPECT_EQ(cuMemcpyHtoD_v2(memory, values.data(), values.size() * 4), kSuccess);
        return memory;
    }

    Floats download(DevicePointer memory, size_t count) {
        Floats values(count);
        EXPECT_EQ(cuStreamSynchronize(stream_), kSuccess);
        EXPECT_EQ(cuMemcpyDtoH_v2(values.data(), memory, count * 4), kSuccess);
        return values;
    }

    template <class Params>
    int launch(const char* kernel, Params params, unsigned blocks, unsigned threads,
               unsigned shared_bytes = 0) {
        const void* function = nullptr;
        EXPECT_EQ(cuModuleGetFunction(&function, module_, kernel), kSuccess) << kernel;
        void* arguments[] = {&params};
        return cuLaunchKernel(function, blocks, 1, 1, threads, 1, 1, shared_bytes, stream_,
                              arguments, nullptr);
    }

    void* context_ = nullptr;
    void* module_ = nullptr;
    void* stream_ = nullptr;
};

template <class T>
T* at(DevicePointer pointer) {
    return reinterpret_cast<T*>(pointer);
}

}  // namespace mn::emulation
