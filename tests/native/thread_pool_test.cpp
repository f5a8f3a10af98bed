#include "backend/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <stdexcept>
#include <thread>
#include <vector>

#if defined(_WIN32)
#define NOMINMAX
#include <windows.h>
#endif

namespace mn::cpu {
namespace {

// Processor time that this process has taken.
double processor_seconds() {
#if defined(_WIN32)
    // There clock() is the time since the start.
    FILETIME created, exited, kernel, user;
    if (!GetProcessTimes(GetCurrentProcess(), &created, &exited, &kernel, &user)) return -1;
    const auto seconds = [](const FILETIME& time) {
        return (time.dwHighDateTime * 4294967296.0 + time.dwLowDateTime) * 1e-7;
    };
    return seconds(kernel) + seconds(user);
#else
    return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
#endif
}

class ThreadPoolTest : public testing::TestWithParam<int> {};

TEST_P(ThreadPoolTest, EveryTaskRunsOnce) {
    ThreadPool pool(GetParam());
    EXPECT_EQ(pool.threads(), GetParam());
    for (int tasks : {0, 1, 2, 3, 31, 1000, 20000}) {
        std::vector<std::atomic<int>> runs(static_cast<size_t>(tasks));
        pool.parallel_for(tasks, [&](int task, int worker) {
            EXPECT_GE(worker, 0);
            EXPECT_LT(worker, GetParam());
            runs[static_cast<size_t>(task)].fetch_add(1);
        });
        for (const auto& count : runs) ASSERT_EQ(count.load(), 1);
    }
}

// Nobody goes on before all have begun, so nobody takes a task of another's share.
TEST_P(ThreadPoolTest, EachWorkerBeginsWithItsShare) {
    const int threads = GetParam(), each = 5;
    ThreadPool pool(threads);
    for (int round = 0; round < 20; ++round) {
        std::atomic<int> begun{0};
        std::vector<int> first(static_cast<size_t>(threads), -1);
        pool.parallel_for(threads * each, [&](int task, int worker) {
            if (first[static_cast<size_t>(worker)] >= 0) return;
            first[static_cast<size_t>(worker)] = task;
            begun.fetch_add(1);
            while (begun.load() < threads) std::this_thread::yield();
        });
        for (int worker = 0; worker < threads; ++worker)
            ASSERT_EQ(first[static_cast<size_t>(worker)], worker * each);
    }
}

TEST_P(ThreadPoolTest, WritesOfARegionAreSeenAfterIt) {
    ThreadPool pool(GetParam());
    std::vector<int> values(64);  // not atomic on purpose
    for (int round = 1; round <= 5000; ++round) {
        pool.parallel_for(64, [&](int task, int) { values[static_cast<size_t>(task)] += 1; });
        if (round % 500 == 0) {
            for (int value : values) ASSERT_EQ(value, round);
        }
    }
}

TEST_P(ThreadPoolTest, AWorkerRunsOneTaskAtATime) {
    ThreadPool pool(GetParam());
    std::vector<int> scratch(static_cast<size_t>(GetParam()));  // not atomic on purpose
    for (int round = 0; round < 200; ++round)
        pool.parallel_for(50, [&](int, int worker) { ++scratch[static_cast<size_t>(worker)]; });
    int sum = 0;
    for (int count : scratch) sum += count;
    EXPECT_EQ(sum, 200 * 50);
}

TEST_P(ThreadPoolTest, NestedRegionsRunOnTheirWorker) {
    ThreadPool pool(GetParam());
    std::atomic<int> runs{0};
    pool.parallel_for(40, [&](int, int outer) {
        pool.parallel_for(30, [&](int, int inner) {
            EXPECT_EQ(inner, outer);
            runs.fetch_add(1);
        });
    });
    EXPECT_EQ(runs.load(), 40 * 30);
}

TEST_P(ThreadPoolTest, CallersDoNotWaitForEachOther) {
    ThreadPool pool(GetParam());
    std::vector<std::thread> callers;
    std::atomic<int> wrong{0};
    for (int caller = 0; caller < 4; ++caller)
        callers.emplace_back([&] {
            for (int round = 0; round < 300; ++round) {
                std::atomic<int> sum{0};
                pool.parallel_for(64, [&](int task, int) { sum.fetch_add(task); });
                if (sum.load() != 64 * 63 / 2) wrong.fetch_add(1);
            }
        });
    for (std::thread& caller : callers) caller.join();
    EXPECT_EQ(wrong.load(), 0);
}

TEST_P(ThreadPoolTest, AnExceptionComesBackToTheCaller) {
    ThreadPool pool(GetParam());
    for (int round = 0; round < 20; ++round) {
        EXPECT_THROW(pool.parallel_for(100,
                                       [&](int task, int) {
                                           if (task == 37) throw std::runtime_error("37");
                                       }),
                     std::runtime_error);
        std::atomic<int> runs{0};
        pool.parallel_for(100, [&](int, int) { runs.fetch_add(1); });
        EXPECT_EQ(runs.load(), 100);
    }
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, testing::Values(1, 2, 3, 4, 7, 16));

TEST(ThreadPool, WakesUpAfterARest) {
    ThreadPool pool(4);
    for (int round = 0; round < 20; ++round) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        std::atomic<int> runs{0};
        pool.parallel_for(8, [&](int, int) { runs.fetch_add(1); });
        ASSERT_EQ(runs.load(), 8);
    }
}

TEST(ThreadPool, StartsAndStopsInAnyState) {
    for (int round = 0; round < 50; ++round) {
        ThreadPool pool(1 + round % 5);
        if (round % 2 == 0) pool.parallel_for(round, [](int, int) {});
        if (round % 7 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
}

TEST(ThreadPool, DoesNotBurnTimeAtRest) {
    ThreadPool pool(8);
    pool.parallel_for(100, [](int, int) {});
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const double before = processor_seconds();
    ASSERT_GT(before, 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    EXPECT_LT(processor_seconds() - before, 0.05);
}

TEST(ThreadPool, TwoPoolsWorkSideBySide) {
    ThreadPool first(3), second(3);
    std::atomic<int> runs{0};
    first.parallel_for(20, [&](int, int) {
        second.parallel_for(20, [&](int, int worker) {
            EXPECT_EQ(worker, 0);  // in a task of another pool: serial
            runs.fetch_add(1);
        });
    });
    EXPECT_EQ(runs.load(), 400);
}

}  // namespace
}  // namespace mn::cpu
