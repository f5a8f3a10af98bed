// What the parts of the stand-in libcuda share. Work of a stream is kept in a queue and done as
// late as the API allows, so that a host that does not wait reads old values, and one that changes
// an operand too early is seen to.
//
// Environment, read at each call:
//   CUDA_EMULATION_DEVICES   number of devices, 1 if not set
//   CUDA_EMULATION_DRIVER    version of the driver, 12040 (for 12.4)
//   CUDA_EMULATION_COMPUTE   compute capability, 80 (for 8.0)
//   CUDA_EMULATION_MEMORY    bytes of each device, 1073741824
//   CUDA_EMULATION_SEED      order of blocks and threads
//   CUDA_EMULATION_FAIL      "cuMemAlloc_v2=2": what that function returns instead of working

#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "driver_abi.h"

namespace mn::emulation {

// Thrown inside, and returned by every function of the API.
struct Failure {
    Result result;
};

inline void require(bool condition, Result result) {
    if (!condition) throw Failure{result};
}

// Work that runs later; several executions when it was captured.
using Work = std::function<void()>;

struct Event;

struct Stream {
    unsigned flags = 0;
    std::deque<Work> queue;
    // While a capture is under way:
    CaptureStatus capture = kCaptureNone;
    CaptureMode capture_mode = kCaptureGlobal;
    std::thread::id capture_thread;
    std::vector<Work> captured;
};

struct Event {
    unsigned flags = 0;
    uint64_t recorded = 0;  // how often asked for
    uint64_t reached = 0;   // how often the stream came there
    Stream* stream = nullptr;
    double time_ms = 0;
};

struct Graph {
    std::vector<Work> works;
};

struct Module {};

struct Allocation {
    char* memory;  // with a guard zone on both sides
    size_t bytes;
};

struct Context {
    int device = 0;
    int retained = 0;
    Result broken = kSuccess;  // after a fault every call fails
    std::string fault;
    std::map<DevicePointer, Allocation> allocations;
    std::map<const char*, size_t> host_allocations;  // pinned
    size_t used_bytes = 0;
    Stream legacy_stream;
    std::set<std::unique_ptr<Stream>> streams;
    std::set<std::unique_ptr<Event>> events;
    std::set<std::unique_ptr<Graph>> graphs, executable_graphs;
    std::set<std::unique_ptr<Module>> modules;
};

long setting(const char* name, long otherwise);

// All state is behind it; kernels run under it.
std::recursive_mutex& mutex();

// The current context of the calling thread; throws if there is none or it is broken.
Context& current_context();

template <class T>
T& find(std::set<std::unique_ptr<T>>& set, const void* handle) {
    for (const std::unique_ptr<T>& object : set)
        if (object.get() == handle) return *object;
    throw Failure{kInvalidHandle};
}

template <class T>
T& add(std::set<std::unique_ptr<T>>& set) {
    return **set.insert(std::make_unique<T>()).first;
}

template <class T>
void remove(std::set<std::unique_ptr<T>>& set, const void* handle) {
    for (auto object = set.begin(); object != set.end(); ++object)
        if (object->get() == handle) {
            set.erase(object);
            return;
        }
    throw Failure{kInvalidHandle};
}

// Null is the legacy default stream.
Stream& find_stream(Context& context, const void* handle);
// Now or, while the stream captures, into its graph.
void enqueue(Context& context, Stream& stream, Work work);
// Does the work of a stream; throws what it ends in.
void drain(Context& context, Stream& stream);
// The legacy stream waits for all that are not non-blocking.
void drain_blocking(Context& context);
void drain_all(Context& context);
// Throws while a capture is under way that forbids the calling thread to allocate or to wait.
void forbid_in_capture(Context& context);

// The allocation that holds [pointer, pointer + bytes); throws kInvalidValue if there is none.
Allocation& find_memory(Context& context, DevicePointer pointer, size_t bytes);
// Throws with the text of a fault if a guard zone was written to.
void check_guards(const Context& context);
void free_all(Context& context);

// What CUDA_EMULATION_FAIL says of a function, or 0.
int injected_failure(const char* name);

// A function of the API: takes the lock, provokes failures, turns Failure into the result.
template <class Body>
int api(const char* name, Body&& body) {
    std::lock_guard lock(mutex());
    if (const int injected = injected_failure(name); injected != kSuccess) return injected;
    try {
        body();
        return kSuccess;
    } catch (const Failure& failure) {
        return failure.result;
    } catch (const std::bad_alloc&) {
        return kOutOfMemory;
    }
}

}  // namespace mn::emulation

#define MN_EXPORT extern "C" __attribute__((visibility("default")))

// For the stand-ins of other libraries: work on a stream of the current context. Returns a
// CUresult.
MN_EXPORT int mn_emulation_enqueue(void* stream, std::function<void()> work);
// Whether [pointer, pointer + bytes) is memory of the current context's device.
MN_EXPORT int mn_emulation_is_device_memory(const void* pointer, size_t bytes);
// What CUDA_EMULATION_FAIL says of a function, or 0.
MN_EXPORT int mn_emulation_injected_failure(const char* name);
// A number of the environment.
MN_EXPORT long mn_emulation_setting(const char* name, long otherwise);
// Text of the last fault of a kernel in any context of the process; empty if there was none.
MN_EXPORT const char* mn_emulation_last_fault();
// Launches of captured graphs in the process.
MN_EXPORT int mn_emulation_graph_launches();
// Allocations, pinned allocations, streams, events, graphs and modules that are not yet released.
MN_EXPORT int mn_emulation_live_objects();
