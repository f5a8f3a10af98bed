#include "backend/cpu/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "backend/cpu/cpu_features.h"
#include "graph/float_mode.h"

#if defined(__linux__)
#include <pthread.h>
#endif

namespace mn::cpu {
namespace {

// Long enough to bridge the gap between the regions of a step and between two steps, short enough
// not to be seen when the network rests.
constexpr int64_t spin_when_alone = 100000;
// With more threads than processors a spinning thread keeps a working one from running.
constexpr int64_t spin_when_crowded = 500;

// Which pool's task this thread is in, and as which worker.
struct Place {
    const ThreadPool* pool = nullptr;
    int worker = 0;
};
thread_local Place place;

class InTask {
public:
    InTask(const ThreadPool* pool, int worker) : before_(place) { place = {pool, worker}; }
    ~InTask() { place = before_; }

private:
    Place before_;
};

inline void pause() {
#if defined(__x86_64__)
    asm volatile("pause");
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

inline uint32_t region_of(uint64_t ticket) {
    return static_cast<uint32_t>(ticket >> 32);
}
inline uint32_t open_tasks(uint64_t ticket) {
    return static_cast<uint32_t>(ticket);
}

int64_t now() {
    using namespace std::chrono;
    return duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

void name_this_thread(int worker) {
#if defined(__linux__)
    char name[16];  // what the kernel stores
    std::snprintf(name, sizeof name, "mnist-%d", worker);
    pthread_setname_np(pthread_self(), name);
#else
    (void)worker;
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads)
    : shares_(static_cast<size_t>(std::max(threads, 1))), threads_(std::max(threads, 1)) {
    spin_nanoseconds_ = threads_ <= available_processors() ? spin_when_alone : spin_when_crowded;
    workers_.reserve(static_cast<size_t>(threads_ - 1));
    try {
        for (int worker = 1; worker < threads_; ++worker)
            workers_.emplace_back([this, worker] { work(worker); });
    } catch (...) {
        stop();
        throw;
    }
}

ThreadPool::~ThreadPool() {
    stop();
}

void ThreadPool::stop() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        stopping_.store(true);
    }
    awake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(int tasks, Function fn, void* context) {
    if (tasks <= 0) return;
    const bool nested = place.pool != nullptr;
    if (tasks == 1 || threads_ == 1 || nested || busy_.exchange(true, std::memory_order_acquire)) {
        const int worker = place.pool == this ? place.worker : 0;
        for (int task = 0; task < tasks; ++task) fn(context, task, worker);
        return;
    }

    done_.store(0, std::memory_order_relaxed);
    fn_.store(fn, std::memory_order_relaxed);
    context_.store(context, std::memory_order_relaxed);
    for (int64_t worker = 0; worker < threads_; ++worker) {
        const uint64_t first = static_cast<uint64_t>(worker * tasks / threads_);
        const uint64_t last = static_cast<uint64_t>((worker + 1) * tasks / threads_);
        shares_[static_cast<size_t>(worker)].range.store(first << 32 | last,
                                                         std::memory_order_relaxed);
    }
    const uint32_t region = region_of(ticket_.load(std::memory_order_relaxed)) + 1;
    // Sequentially consistent with sleeping_: either a worker going to sleep sees the region, or
    // the region sees the sleeper.
    ticket_.store(uint64_t{region} << 32 | static_cast<uint32_t>(tasks));
    const int sleeping = sleeping_.load();
    if (sleeping > 0) wake(tasks - 1);

    take_tasks(region, 0);
    for (int spins = 0; done_.load(std::memory_order_acquire) != tasks; ++spins) {
        if (spins < 1000)
            pause();
        else
            std::this_thread::yield();
    }

    std::exception_ptr failure;
    if (failed_.load(std::memory_order_relaxed)) {
        std::lock_guard<std::mutex> lock(mutex_);
        std::swap(failure, failure_);
        failed_.store(false, std::memory_order_relaxed);
    }
    busy_.store(false, std::memory_order_release);
    if (failure) std::rethrow_exception(failure);
}

void ThreadPool::take_tasks(uint32_t region, int worker) {
    InTask in_task(this, worker);
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    while (region_of(ticket) == region && open_tasks(ticket) > 0) {
        const Function fn = fn_.load(std::memory_order_relaxed);
        void* const context = context_.load(std::memory_order_relaxed);
        if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel,
                                           std::memory_order_acquire))
            continue;
        run_task(fn, context, choose_task(worker), worker);
        done_.fetch_add(1, std::memory_order_release);
        ticket = ticket_.load(std::memory_order_acquire);
    }
}

// The first task of the worker's share, or the last of the next share that is not empty. The search
// always succeeds: holding a ticket guarantees that an unclaimed task is left in some share.
int ThreadPool::choose_task(int worker) {
    for (int victim = worker;; victim = (victim + 1) % threads_) {
        std::atomic<uint64_t>& share = shares_[static_cast<size_t>(victim)].range;
        uint64_t range = share.load(std::memory_order_relaxed);
        for (;;) {
            const uint64_t first = range >> 32, last = range & 0xffffffffu;
            if (first == last) break;
            const bool own = victim == worker;
            const uint64_t rest = own ? (first + 1) << 32 | last : first << 32 | (last - 1);
            if (share.compare_exchange_weak(range, rest, std::memory_order_relaxed))
                return static_cast<int>(own ? first : last - 1);
        }
    }
}

void ThreadPool::run_task(Function fn, void* context, int task, int worker) noexcept {
    try {
        fn(context, task, worker);
    } catch (...) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
        failed_.store(true, std::memory_order_relaxed);
    }
}

void ThreadPool::work(int worker) {
    name_this_thread(worker);
    // A new thread has the mode of the one that started it.
    const FloatMode mode(FloatMode::kCompute);
    uint32_t seen = 0;
    for (;;) {
        seen = wait_for_region(seen);
        if (stopping_.load(std::memory_order_relaxed)) return;
        take_tasks(seen, worker);
    }
}

// Returns the number of a region other than `seen`, or anything when the pool stops.
uint32_t ThreadPool::wait_for_region(uint32_t seen) {
    const auto arrived = [&] {
        return region_of(ticket_.load()) != seen || stopping_.load(std::memory_order_relaxed);
    };
    int64_t deadline = 0;
    for (int spins = 0;; ++spins) {
        if (arrived()) return region_of(ticket_.load());
        pause();
        if (spins % 16 != 15) continue;
        const int64_t time = now();
        if (deadline == 0) deadline = time + spin_nanoseconds_;
        if (time >= deadline) break;
    }
    std::unique_lock<std::mutex> lock(mutex_);
    sleeping_.fetch_add(1);
    awake_.wait(lock, arrived);
    sleeping_.fetch_sub(1);
    return region_of(ticket_.load());
}

void ThreadPool::wake(int wanted) {
    int sleeping;
    {
        // A worker that has counted itself but does not wait yet holds the mutex.
        std::lock_guard<std::mutex> lock(mutex_);
        sleeping = sleeping_.load();
    }
    if (wanted >= sleeping) {
        awake_.notify_all();
    } else {
        for (int i = 0; i < wanted; ++i) awake_.notify_one();
    }
}

}  // namespace mn::cpu
