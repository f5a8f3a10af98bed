// The emulated language: indices, shared memory, barriers, warps, atomics, and what is refused.

#include <cmath>
#include <numeric>

#include "cuda_host.h"
#include "fixture.h"

namespace mn::emulation {
namespace {

constexpr bool without_barriers = false, with_barriers = true;

struct Buffers {
    const float* src;
    float* dst;
    int count;
};

MN_KERNEL(test_double, Buffers, without_barriers) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < p.count) p.dst[i] = 2 * p.src[i];
}

// The order in which blocks come is what a kernel must not depend on.
MN_KERNEL(test_block_order, Buffers, without_barriers) {
    if (threadIdx.x == 0) p.dst[blockIdx.x] = atomicAdd(&p.dst[p.count], 1.0f);
}

MN_KERNEL(test_block_sum, Buffers, with_barriers) {
    MN_SHARED(float, sums, 64);
    const unsigned t = threadIdx.x;
    sums[t] = p.src[blockIdx.x * 64 + t];
    __syncthreads();
    for (unsigned half = 32; half > 0; half /= 2) {
        if (t < half) sums[t] += sums[t + half];
        __syncthreads();
    }
    if (t == 0) p.dst[blockIdx.x] = sums[0];
}

// As test_block_sum, without the barrier that it needs.
MN_KERNEL(test_racing_reverse, Buffers, with_barriers) {
    MN_SHARED(float, values, 64);
    values[threadIdx.x] = p.src[threadIdx.x];
    p.dst[threadIdx.x] = values[63 - threadIdx.x];
}

MN_KERNEL(test_shared_at_start, Buffers, with_barriers) {
    MN_SHARED(float, values, 4);
    p.dst[blockIdx.x] = values[0];
    values[0] = 1;
}

MN_KERNEL(test_warp, Buffers, with_barriers) {
    float sum = p.src[threadIdx.x];
    for (int delta = 16; delta > 0; delta /= 2) sum += __shfl_down_sync(0xffffffffu, sum, delta);
    sum = __shfl_sync(0xffffffffu, sum, 0);
    float other = p.src[threadIdx.x];
    for (int bits = 16; bits > 0; bits /= 2) other += __shfl_xor_sync(0xffffffffu, other, bits);
    const float before = __shfl_up_sync(0xffffffffu, p.src[threadIdx.x], 1);
    const unsigned odd = __ballot_sync(0xffffffffu, threadIdx.x & 1);
    p.dst[threadIdx.x] = sum == other && odd == 0xaaaaaaaau ? sum + before : -1;
}

MN_KERNEL(test_half_warp, Buffers, with_barriers) {
    if (threadIdx.x < 16)
        p.dst[threadIdx.x] = __shfl_xor_sync(0xffffu, p.src[threadIdx.x], 1);
    else
        p.dst[threadIdx.x] = 0;
}

MN_KERNEL(test_early_return, Buffers, with_barriers) {
    if (threadIdx.x >= 40) return;
    MN_SHARED(float, values, 64);
    values[threadIdx.x] = p.src[threadIdx.x];
    __syncthreads();
    p.dst[threadIdx.x] = values[39 - threadIdx.x];
}

MN_KERNEL(test_undeclared_barrier, Buffers, without_barriers) {
    __syncthreads();
}

MN_KERNEL(test_divergent_barrier, Buffers, with_barriers) {
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
}

MN_KERNEL(test_shuffle_without_caller, Buffers, with_barriers) {
    p.dst[0] = __shfl_sync(0x1u, p.src[0], 0);
}

MN_KERNEL(test_shuffle_from_stranger, Buffers, with_barriers) {
    if (threadIdx.x < 16) p.dst[0] = __shfl_sync(0xffffu, p.src[0], 20);
}

MN_KERNEL(test_waits_for_returned, Buffers, with_barriers) {
    if (threadIdx.x == 3) return;
    p.dst[0] = __shfl_sync(0xffffffffu, p.src[0], 0);
}

MN_KERNEL(test_too_much_shared, Buffers, with_barriers) {
    MN_SHARED(float, values, 12289);
    values[0] = 0;
}

MN_KERNEL(test_writes_behind, Buffers, without_barriers) {
    if (threadIdx.x == 0) p.dst[p.count] = 1;
}

class KernelsTest : public StandInTest {
protected:
    Buffers buffers(const Floats& src, size_t dst_count) {
        dst_ = upload(Floats(dst_count, 0.0f));
        return {at<const float>(upload(src)), at<float>(dst_), static_cast<int>(src.size())};
    }

    void expect_fault(const char* kernel, unsigned threads, const std::string& text) {
        ASSERT_EQ(launch(kernel, buffers(Floats(256, 1.0f), 256), 1, threads), kSuccess);
        testing::internal::CaptureStderr();
        EXPECT_EQ(cuStreamSynchronize(stream_), kLaunchFailed);
        testing::internal::GetCapturedStderr();
        const std::string fault = mn_emulation_last_fault();
        EXPECT_NE(fault.find(kernel), std::string::npos) << fault;
        EXPECT_NE(fault.find(text), std::string::npos) << fault;
        // As on a device, the context is of no use any more.
        DevicePointer memory = 0;
        EXPECT_EQ(cuMemAlloc_v2(&memory, 4), kLaunchFailed);
    }

    DevicePointer dst_ = 0;
};

Floats counting(size_t count) {
    Floats values(count);
    std::iota(values.begin(), values.end(), 1.0f);
    return values;
}

TEST_F(KernelsTest, EveryThreadOfEveryBlockRuns) {
    ASSERT_EQ(launch("test_double", buffers(counting(1000), 1000), 8, 128), kSuccess);
    const Floats dst = download(dst_, 1000);
    for (size_t i = 0; i < dst.size(); ++i) EXPECT_EQ(dst[i], 2 * static_cast<float>(i + 1));
}

TEST_F(KernelsTest, BlocksRunInAnOrderThatTheSeedDecides) {
    const auto order = [&](const char* seed) {
        const Environment environment("CUDA_EMULATION_SEED", seed);
        EXPECT_EQ(launch("test_block_order", buffers(Floats(50), 51), 50, 32), kSuccess);
        return download(dst_, 50);
    };
    const Floats first = order("1"), second = order("77");
    Floats sorted = first;
    std::sort(sorted.begin(), sorted.end());
    for (size_t i = 0; i < sorted.size(); ++i) EXPECT_EQ(sorted[i], static_cast<float>(i));
    EXPECT_NE(first, sorted);
    EXPECT_NE(first, second);
}

TEST_F(KernelsTest, BarriersHoldTheThreadsOfABlock) {
    ASSERT_EQ(launch("test_block_sum", buffers(counting(256), 4), 4, 64), kSuccess);
    const Floats sums = download(dst_, 4);
    for (size_t block = 0; block < 4; ++block)
        EXPECT_EQ(sums[block], static_cast<float>(64 * (64 * block + 1) + 63 * 32));
}

TEST_F(KernelsTest, AMissingBarrierShows) {
    ASSERT_EQ(launch("test_racing_reverse", buffers(counting(64), 64), 1, 64), kSuccess);
    const Floats dst = download(dst_, 64);
    size_t wrong = 0;
    for (size_t i = 0; i < 64; ++i) wrong += dst[i] != static_cast<float>(64 - i);
    EXPECT_GT(wrong, 0u);
}

TEST_F(KernelsTest, SharedMemoryIsNotCleared) {
    ASSERT_EQ(launch("test_shared_at_start", buffers(Floats(1), 3), 3, 32), kSuccess);
    for (float value : download(dst_, 3)) EXPECT_FALSE(value == 0 || value == 2);
}

TEST_F(KernelsTest, LanesOfAWarpExchangeValues) {
    ASSERT_EQ(launch("test_warp", buffers(counting(64), 64), 1, 64), kSuccess);
    const Floats dst = download(dst_, 64);
    for (size_t i = 0; i < 64; ++i) {
        const float sum = i < 32 ? 528.0f : 1552.0f;
        const float before = i % 32 == 0 ? static_cast<float>(i + 1) : static_cast<float>(i);
        EXPECT_EQ(dst[i], sum + before) << "lane " << i;
    }
}

TEST_F(KernelsTest, PartOfAWarpExchangesValues) {
    ASSERT_EQ(launch("test_half_warp", buffers(counting(32), 32), 1, 32), kSuccess);
    const Floats dst = download(dst_, 32);
    for (size_t i = 0; i < 16; ++i) EXPECT_EQ(dst[i], static_cast<float>((i ^ 1) + 1));
}

TEST_F(KernelsTest, ABarrierDoesNotWaitForThreadsThatHaveReturned) {
    ASSERT_EQ(launch("test_early_return", buffers(counting(64), 64), 1, 64), kSuccess);
    const Floats dst = download(dst_, 40);
    for (size_t i = 0; i < 40; ++i) EXPECT_EQ(dst[i], static_cast<float>(40 - i));
}

TEST_F(KernelsTest, AnUndeclaredBarrierIsAFault) {
    expect_fault("test_undeclared_barrier", 32, "declared to have none");
}

TEST_F(KernelsTest, TwoBarriersAtOnceAreAFault) {
    expect_fault("test_divergent_barrier", 64, "wait at the barriers in lines");
}

TEST_F(KernelsTest, AMaskWithoutItsCallerIsAFault) {
    expect_fault("test_shuffle_without_caller", 32, "leaves the caller out");
}

TEST_F(KernelsTest, AShuffleFromOutsideOfTheMaskIsAFault) {
    expect_fault("test_shuffle_from_stranger", 32, "reads lane 20");
}

TEST_F(KernelsTest, AWarpThatWaitsForAReturnedLaneIsAFault) {
    expect_fault("test_waits_for_returned", 32, "waits for ever");
}

TEST_F(KernelsTest, AMaskBeyondTheBlockIsAFault) {
    expect_fault("test_warp", 48, "lanes that the block does not have");
}

TEST_F(KernelsTest, TooMuchSharedMemoryIsAFault) {
    expect_fault("test_too_much_shared", 32, "shared memory");
}

#if !defined(__SANITIZE_ADDRESS__)  // which ends the process there
TEST_F(KernelsTest, WritingBehindAnAllocationIsAFault) {
    expect_fault("test_writes_behind", 32, "written outside of an allocation");
}
#endif

}  // namespace
}  // namespace mn::emulation
