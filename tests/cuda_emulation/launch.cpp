#include "launch.h"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>

#include "fiber.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace mn::emulation {

Position position;

namespace {

std::map<std::string, HostKernel>& kernels() {
    static std::map<std::string, HostKernel> table;
    return table;
}

// xorshift64*, by S. Vigna; the same order on every platform.
class Shuffler {
public:
    explicit Shuffler(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u | 1) {}
    uint64_t below(uint64_t limit) {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return (state_ * 0x2545F4914F6CDD1Du >> 32) % limit;
    }

private:
    uint64_t state_;
};

// Shared memory of one block. An array stands alone, so that the address sanitizer sees its ends;
// its addresses stay the same from block to block.
class SharedMemory {
public:
    void start_launch(size_t dynamic_bytes) {
        arrays_.clear();
        static_bytes_ = 0;
        dynamic_bytes_ = dynamic_bytes;
        dynamic_ = allocate(dynamic_bytes);
    }

    // On a device, what the block before has left or anything else is there.
    void start_block() {
        for (Array& array : arrays_) std::memset(array.memory.get(), 0xff, array.bytes);
        if (dynamic_bytes_ > 0) std::memset(dynamic_.get(), 0xff, dynamic_bytes_);
    }

    void* array(const void* key, size_t bytes, size_t alignment) {
        for (const Array& array : arrays_)
            if (array.key == key) return array.memory.get();
        static_bytes_ = (static_bytes_ + alignment - 1) / alignment * alignment + bytes;
        if (static_bytes_ + dynamic_bytes_ > max_shared_bytes) return nullptr;
        arrays_.push_back({key, bytes, allocate(bytes)});
        std::memset(arrays_.back().memory.get(), 0xff, bytes);
        return arrays_.back().memory.get();
    }

    void* dynamic() const { return dynamic_.get(); }

private:
    struct Free {
        void operator()(void* memory) const { ::operator delete (memory, std::align_val_t{16}); }
    };
    using Memory = std::unique_ptr<void, Free>;
    struct Array {
        const void* key;
        size_t bytes;
        Memory memory;
    };

    static Memory allocate(size_t bytes) {
        return Memory(::operator new (std::max<size_t>(bytes, 1), std::align_val_t{16}));
    }

    std::vector<Array> arrays_;
    size_t static_bytes_ = 0, dynamic_bytes_ = 0;
    Memory dynamic_;
};

enum class State { kReady, kAtBarrier, kInWarp, kDone };

struct Thread {
    Index3 index;
    State state;
    int line;  // where it waits
    // Of a warp's collective:
    Collective kind;
    unsigned mask;
    int source;
    uint64_t value;
};

// The one launch that runs.
struct Launch {
    const HostKernel* kernel = nullptr;
    const void* params = nullptr;
    SharedMemory shared;
    std::vector<Thread> threads;
    std::vector<std::unique_ptr<Fiber>> fibers;
    unsigned current = 0;  // thread
    std::string fault;

    void run_loop(Shuffler& shuffler);
    void run_fibers(Shuffler& shuffler);

private:
    void go_on(unsigned thread);
    bool complete_collectives(size_t first, size_t last);
    bool release_barrier();
    [[noreturn]] void report_deadlock() const;
};

Launch launch;

std::string where() {
    const Index3 &b = position.block, &t = position.thread;
    const auto tuple = [](const Index3& i) {
        return "(" + std::to_string(i.x) + "," + std::to_string(i.y) + "," + std::to_string(i.z) +
               ")";
    };
    return "kernel " + launch.kernel->name + ", block " + tuple(b) + ", thread " + tuple(t);
}

// Ends the running thread and with it the launch.
void fault(const std::string& what) {
    const std::string text = where() + ": " + what;
    if (!launch.kernel->barriers) throw Fault(text);
    launch.fault = text;
    launch.fibers[launch.current]->suspend(true);
    std::abort();  // the launch is over
}

void Launch::run_loop(Shuffler& shuffler) {
    const unsigned count = static_cast<unsigned>(threads.size());
    const bool backwards = shuffler.below(2) != 0;
    for (unsigned i = 0; i < count; ++i) {
        current = backwards ? count - 1 - i : i;
        position.thread = threads[current].index;
        kernel->entry(params);
    }
}

void Launch::go_on(unsigned thread) {
    current = thread;
    position.thread = threads[thread].index;
    fibers[thread]->resume();
    if (!fault.empty()) throw Fault(fault);
}

// Lets the lanes [first, last) of a warp go on whose mask is complete; whether there were any.
bool Launch::complete_collectives(size_t first, size_t last) {
    bool any = false;
    for (size_t leader = first; leader < last; ++leader) {
        if (threads[leader].state != State::kInWarp) continue;
        const Thread request = threads[leader];
        bool complete = true;
        uint64_t values[warp_size], ballot = 0;
        for (unsigned i = 0; i < warp_size; ++i) {
            if (!(request.mask >> i & 1)) continue;
            const Thread& thread = threads[first + i];
            complete = complete && thread.state == State::kInWarp && thread.mask == request.mask &&
                       thread.line == request.line && thread.kind == request.kind;
            values[i] = thread.value;
            ballot |= uint64_t{thread.value != 0} << i;
        }
        if (!complete) continue;
        for (unsigned i = 0; i < warp_size; ++i) {
            if (!(request.mask >> i & 1)) continue;
            Thread& thread = threads[first + i];
            thread.state = State::kReady;
            if (thread.kind == Collective::kBallot) {
                thread.value = ballot;
            } else if (thread.source < 0 || thread.source >= warp_size ||
                       !(request.mask >> thread.source & 1)) {
                throw Fault("kernel " + kernel->name + ": a shuffle in line " +
                            std::to_string(thread.line) + " reads lane " +
                            std::to_string(thread.source) + ", which its mask does not name");
            } else {
                thread.value = values[thread.source];
            }
        }
        any = true;
    }
    return any;
}

// Whether every thread that has not returned stood at one barrier, which then lets them go on.
bool Launch::release_barrier() {
    const Thread* first = nullptr;
    for (const Thread& thread : threads) {
        if (thread.state == State::kDone) continue;
        if (thread.state != State::kAtBarrier) return false;
        if (first == nullptr) first = &thread;
        if (thread.line != first->line)
            throw Fault("kernel " + kernel->name +
                        ": threads of one block wait at the barriers in "
                        "lines " +
                        std::to_string(first->line) + " and " + std::to_string(thread.line));
    }
    if (first == nullptr) return false;
    for (Thread& thread : threads)
        if (thread.state == State::kAtBarrier) thread.state = State::kReady;
    return true;
}

void Launch::report_deadlock() const {
    for (const Thread& thread : threads)
        if (thread.state == State::kInWarp)
            throw Fault("kernel " + kernel->name + ": a warp waits for ever in line " +
                        std::to_string(thread.line) +
                        " for a lane that its mask names and that has returned, waits elsewhere or "
                        "does not exist");
    throw Fault("kernel " + kernel->name + ": the threads of a block wait for each other for ever");
}

void Launch::run_fibers(Shuffler& shuffler) {
    const unsigned count = static_cast<unsigned>(threads.size());
    while (fibers.size() < count) fibers.push_back(std::make_unique<Fiber>());
    for (unsigned i = 0; i < count; ++i) {
        threads[i].state = State::kReady;
        fibers[i]->start([] {
            launch.kernel->entry(launch.params);
            launch.threads[launch.current].state = State::kDone;
        });
    }
    const unsigned warps = (count + warp_size - 1) / warp_size;
    const bool backwards = shuffler.below(2) != 0;
    const unsigned first_warp = static_cast<unsigned>(shuffler.below(warps));
    for (;;) {
        bool progress = false;
        for (unsigned k = 0; k < warps; ++k) {
            const unsigned first = (first_warp + k) % warps * warp_size;
            const unsigned last = std::min(first + warp_size, count);
            do {
                for (unsigned i = first; i < last; ++i) {
                    const unsigned thread = backwards ? first + last - 1 - i : i;
                    if (threads[thread].state != State::kReady) continue;
                    go_on(thread);
                    progress = true;
                }
            } while (complete_collectives(first, last));
        }
        if (release_barrier()) continue;
        const bool done = std::all_of(threads.begin(), threads.end(), [](const Thread& thread) {
            return thread.state == State::kDone;
        });
        if (done) return;
        if (!progress) report_deadlock();
    }
}

}  // namespace

Registration::Registration(const char* name, size_t param_bytes, bool barriers, Entry entry) {
    kernels()[name] = {name, param_bytes, barriers, entry};
}

const HostKernel* find_kernel(const std::string& name) {
    const auto found = kernels().find(name);
    return found == kernels().end() ? nullptr : &found->second;
}

void block_barrier(int line) {
    if (!launch.kernel->barriers) fault("a barrier in a kernel that is declared to have none");
    Thread& thread = launch.threads[launch.current];
    thread.state = State::kAtBarrier;
    thread.line = line;
    launch.fibers[launch.current]->suspend();
}

int lane() {
    return static_cast<int>(launch.current % warp_size);
}

uint64_t warp_collective(Collective kind, unsigned mask, uint64_t value, int source, int line) {
    if (!launch.kernel->barriers) fault("a warp operation in a kernel without barriers");
    const unsigned first = launch.current - launch.current % warp_size;
    const size_t lanes = std::min<size_t>(warp_size, launch.threads.size() - first);
    if (!(mask >> lane() & 1)) fault("a warp operation whose mask leaves the caller out");
    if (lanes < warp_size && mask >> lanes != 0)
        fault("a warp operation whose mask names lanes that the block does not have");
    Thread& thread = launch.threads[launch.current];
    thread.state = State::kInWarp;
    thread.kind = kind;
    thread.mask = mask;
    thread.value = value;
    thread.source = source;
    thread.line = line;
    launch.fibers[launch.current]->suspend();
    return thread.value;
}

void* shared_memory(const void* key, size_t bytes, size_t alignment) {
    void* memory = launch.shared.array(key, bytes, alignment);
    if (memory == nullptr)
        fault("more than " + std::to_string(max_shared_bytes) + " bytes of shared memory");
    return memory;
}

void* dynamic_shared_memory() {
    return launch.shared.dynamic();
}

void run_kernel(const HostKernel& kernel, Index3 grid, Index3 block, size_t shared_bytes,
                const void* params, uint64_t seed) {
    Shuffler shuffler(seed);
    launch.kernel = &kernel;
    launch.params = params;
    launch.fault.clear();
    launch.shared.start_launch(shared_bytes);
    launch.threads.clear();
    for (unsigned z = 0; z < block.z; ++z)
        for (unsigned y = 0; y < block.y; ++y)
            for (unsigned x = 0; x < block.x; ++x) {
                Thread thread{};
                thread.index = {x, y, z};
                launch.threads.push_back(thread);
            }
    position.block_size = block;
    position.grid_size = grid;

    const uint64_t plane = uint64_t{grid.x} * grid.y, count = plane * grid.z;
    // A step that shares no factor with the number of blocks visits each once; a large grid needs
    // no list of its blocks.
    uint64_t step = 1 + shuffler.below(std::max<uint64_t>(count, 2) - 1);
    while (std::gcd(step, count) != 1) ++step;
    uint64_t at = shuffler.below(count);
    for (uint64_t i = 0; i < count; ++i, at = (at + step) % count) {
        position.block = {static_cast<unsigned>(at % grid.x),
                          static_cast<unsigned>(at % plane / grid.x),
                          static_cast<unsigned>(at / plane)};
        launch.shared.start_block();
        if (kernel.barriers)
            launch.run_fibers(shuffler);
        else
            launch.run_loop(shuffler);
    }
}

}  // namespace mn::emulation
