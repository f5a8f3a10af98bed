// A pool of threads that shares out the tasks of one region at a time.
//
// A region is `tasks` calls of one function. The calling thread takes part as worker 0; the others
// take tasks from a common counter, so which worker runs which task is a matter of chance, and
// results must not depend on it. Work is split by the size of the problem, never by threads().
//
// - A pool that is busy with another thread's region is not waited for: the caller then runs all
//   its tasks itself, as worker 0.
// - A region inside a task runs serially on the worker that asks for it, under that worker's
// number.
// - A task that throws does not stop the others; the first exception is thrown again in run().
//
// Between regions workers spin for a moment, because the next region of a training step usually
// comes within microseconds, and then sleep.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace mn::cpu {

class ThreadPool {
public:
    using Function = void (*)(void* context, int task, int worker);

    // `threads` counts the caller, so threads - 1 are started. Throws std::system_error.
    explicit ThreadPool(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int threads() const { return threads_; }

    // Runs fn(context, task, worker) for every task in [0, tasks) and returns when all are done.
    // 0 <= worker < threads(); no two tasks of a region run under one worker's number at once.
    void run(int tasks, Function fn, void* context);

    // The same with a callable f(task, worker).
    template <class F>
    void parallel_for(int tasks, F&& f) {
        using Callable = std::remove_reference_t<F>;
        run(
            tasks,
            [](void* context, int task, int worker) {
                (*static_cast<Callable*>(context))(task, worker);
            },
            const_cast<void*>(static_cast<const void*>(&f)));
    }

private:
    void work(int worker);
    void take_tasks(uint32_t region, int worker);
    int choose_task(int worker);
    void run_task(Function fn, void* context, int task, int worker) noexcept;
    uint32_t wait_for_region(uint32_t seen);
    void wake(int wanted);
    void stop();

    // The open region. `ticket_` holds its number (high half) and how many tasks nobody has taken
    // yet (low half). A worker reads the fields, then takes a task by compare-and-swap on the
    // ticket: if that succeeds, a task of that very region was still open, so the region had not
    // ended and the fields read before belong to it. Which task that is, the shares say.
    alignas(64) std::atomic<uint64_t> ticket_{0};
    std::atomic<Function> fn_{nullptr};
    std::atomic<void*> context_{nullptr};
    alignas(64) std::atomic<int> done_{0};
    alignas(64) std::atomic<bool> busy_{false};
    std::atomic<bool> stopping_{false};
    std::atomic<int> sleeping_{0};
    std::atomic<bool> failed_{false};
    std::exception_ptr failure_;  // guarded by mutex_

    // A worker's tasks that nobody has taken: the first (high half) and the one behind the last.
    struct alignas(64) Share {
        std::atomic<uint64_t> range{0};
    };
    std::vector<Share> shares_;

    std::mutex mutex_;
    std::condition_variable awake_;
    int threads_;
    int64_t spin_nanoseconds_;
    std::vector<std::thread> workers_;
};

}  // namespace mn::cpu
