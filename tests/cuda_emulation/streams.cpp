// Copies, streams, events, captured graphs, modules and launches of the stand-in libcuda.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "driver.h"
#include "launch.h"

namespace mn::emulation {
namespace {

std::string last_fault;
int graph_launches = 0;

double now_ms() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double, std::milli>(now).count();
}

char* address(DevicePointer pointer) {
    return reinterpret_cast<char*>(pointer);
}

bool is_pinned(const Context& context, const void* pointer, size_t bytes) {
    const char* const begin = static_cast<const char*>(pointer);
    auto next = context.host_allocations.upper_bound(begin);
    if (next == context.host_allocations.begin()) return false;
    const auto found = std::prev(next);
    return begin + bytes <= found->first + found->second;
}

void step(Context& context, Stream& stream) {
    const Work work = std::move(stream.queue.front());
    stream.queue.pop_front();
    try {
        work();
    } catch (const Fault& fault) {
        context.broken = kLaunchFailed;
        context.fault = last_fault = fault.what();
        std::fprintf(stderr, "cuda emulation: %s\n", fault.what());
        throw Failure{context.broken};
    }
}

void invalidate(Stream& stream) {
    if (stream.capture == kCaptureActive) stream.capture = kCaptureStatusInvalidated;
}

// Work that may not wait until later: of the legacy stream when it must not run in a capture.
void forbid_legacy_in_capture(Context& context) {
    for (const auto& stream : context.streams)
        if (stream->capture != kCaptureNone && stream->flags == kStreamDefault) {
            invalidate(*stream);
            throw Failure{kCaptureImplicit};
        }
}

template <class Visit>
void for_each_stream(Context& context, Visit&& visit) {
    visit(context.legacy_stream);
    for (const auto& stream : context.streams) visit(*stream);
}

// A synchronous copy: behind all that the legacy stream waits for, and done when it returns.
void copy_now(Context& context, void* dst, const void* src, size_t bytes) {
    forbid_in_capture(context);
    forbid_legacy_in_capture(context);
    drain_blocking(context);
    if (bytes > 0) std::memmove(dst, src, bytes);
}

void require_host(const void* pointer) {
    require(pointer != nullptr, kInvalidValue);
}

}  // namespace

Stream& find_stream(Context& context, const void* handle) {
    return handle == nullptr ? context.legacy_stream : find(context.streams, handle);
}

void enqueue(Context& context, Stream& stream, Work work) {
    require(stream.capture != kCaptureStatusInvalidated, kCaptureInvalidated);
    if (stream.capture == kCaptureActive) {
        stream.captured.push_back(std::move(work));
        return;
    }
    if (&stream == &context.legacy_stream) {
        forbid_legacy_in_capture(context);
        drain_blocking(context);
    } else if (stream.flags == kStreamDefault) {
        drain(context, context.legacy_stream);
    }
    stream.queue.push_back(std::move(work));
}

void drain(Context& context, Stream& stream) {
    while (!stream.queue.empty()) step(context, stream);
}

void drain_blocking(Context& context) {
    for_each_stream(context, [&](Stream& stream) {
        if (stream.flags == kStreamDefault) drain(context, stream);
    });
}

void drain_all(Context& context) {
    for_each_stream(context, [&](Stream& stream) { drain(context, stream); });
}

void forbid_in_capture(Context& context) {
    bool forbidden = false;
    for_each_stream(context, [&](Stream& stream) {
        if (stream.capture == kCaptureNone || stream.capture_mode == kCaptureRelaxed) return;
        const bool own = stream.capture_thread == std::this_thread::get_id();
        if (stream.capture_mode == kCaptureThreadLocal && !own) return;
        invalidate(stream);
        forbidden = true;
    });
    require(!forbidden, kCaptureUnsupported);
}

}  // namespace mn::emulation

using namespace mn::emulation;

const char* mn_emulation_last_fault() {
    std::lock_guard lock(mutex());
    static std::string text;
    text = last_fault;
    return text.c_str();
}

int mn_emulation_graph_launches() {
    std::lock_guard lock(mutex());
    return graph_launches;
}

int mn_emulation_enqueue(void* stream, std::function<void()> work) {
    return api("mn_emulation_enqueue", [&] {
        Context& context = current_context();
        enqueue(context, find_stream(context, stream), std::move(work));
    });
}

int mn_emulation_is_device_memory(const void* pointer, size_t bytes) {
    return api("mn_emulation_is_device_memory", [&] {
               find_memory(current_context(), reinterpret_cast<DevicePointer>(pointer), bytes);
           }) == kSuccess;
}

// ---- copies ----

MN_EXPORT int cuMemcpyHtoD_v2(DevicePointer dst, const void* src, size_t bytes) {
    return api("cuMemcpyHtoD_v2", [&] {
        Context& context = current_context();
        require_host(src);
        find_memory(context, dst, bytes);
        copy_now(context, address(dst), src, bytes);
    });
}

MN_EXPORT int cuMemcpyDtoH_v2(void* dst, DevicePointer src, size_t bytes) {
    return api("cuMemcpyDtoH_v2", [&] {
        Context& context = current_context();
        require_host(dst);
        find_memory(context, src, bytes);
        copy_now(context, dst, address(src), bytes);
    });
}

MN_EXPORT int cuMemcpyDtoD_v2(DevicePointer dst, DevicePointer src, size_t bytes) {
    return api("cuMemcpyDtoD_v2", [&] {
        Context& context = current_context();
        find_memory(context, src, bytes);
        find_memory(context, dst, bytes);
        copy_now(context, address(dst), address(src), bytes);
    });
}

// Pinned memory is read when the stream comes there; other memory is staged before the call
// returns, and cannot be part of a capture.
MN_EXPORT int cuMemcpyHtoDAsync_v2(DevicePointer dst, const void* src, size_t bytes,
                                   void* stream_handle) {
    return api("cuMemcpyHtoDAsync_v2", [&] {
        Context& context = current_context();
        Stream& stream = find_stream(context, stream_handle);
        require_host(src);
        find_memory(context, dst, bytes);
        if (is_pinned(context, src, bytes)) {
            enqueue(context, stream, [=] { std::memcpy(address(dst), src, bytes); });
            return;
        }
        require(stream.capture == kCaptureNone, kCaptureUnsupported);
        const char* const begin = static_cast<const char*>(src);
        enqueue(context, stream, [dst, copy = std::vector<char>(begin, begin + bytes)] {
            std::memcpy(address(dst), copy.data(), copy.size());
        });
    });
}

// To other than pinned memory the copy is done when the call returns.
MN_EXPORT int cuMemcpyDtoHAsync_v2(void* dst, DevicePointer src, size_t bytes,
                                   void* stream_handle) {
    return api("cuMemcpyDtoHAsync_v2", [&] {
        Context& context = current_context();
        Stream& stream = find_stream(context, stream_handle);
        require_host(dst);
        find_memory(context, src, bytes);
        const bool pinned = is_pinned(context, dst, bytes);
        require(pinned || stream.capture == kCaptureNone, kCaptureUnsupported);
        enqueue(context, stream, [=] { std::memcpy(dst, address(src), bytes); });
        if (!pinned) drain(context, stream);
    });
}

MN_EXPORT int cuMemcpyDtoDAsync_v2(DevicePointer dst, DevicePointer src, size_t bytes,
                                   void* stream) {
    return api("cuMemcpyDtoDAsync_v2", [&] {
        Context& context = current_context();
        find_memory(context, src, bytes);
        find_memory(context, dst, bytes);
        enqueue(context, find_stream(context, stream),
                [=] { std::memmove(address(dst), address(src), bytes); });
    });
}

MN_EXPORT int cuMemsetD8Async(DevicePointer dst, unsigned char value, size_t count, void* stream) {
    return api("cuMemsetD8Async", [&] {
        Context& context = current_context();
        find_memory(context, dst, count);
        enqueue(context, find_stream(context, stream),
                [=] { std::memset(address(dst), value, count); });
    });
}

MN_EXPORT int cuMemsetD32Async(DevicePointer dst, unsigned value, size_t count, void* stream) {
    return api("cuMemsetD32Async", [&] {
        Context& context = current_context();
        require(dst % 4 == 0, kInvalidValue);
        find_memory(context, dst, count * 4);
        enqueue(context, find_stream(context, stream),
                [=] { std::fill_n(reinterpret_cast<unsigned*>(address(dst)), count, value); });
    });
}

// ---- streams and events ----

MN_EXPORT int cuStreamCreate(void** stream_out, unsigned flags) {
    return api("cuStreamCreate", [&] {
        Context& context = current_context();
        require(stream_out != nullptr && flags <= kStreamNonBlocking, kInvalidValue);
        Stream& stream = add(context.streams);
        stream.flags = flags;
        *stream_out = &stream;
    });
}

MN_EXPORT int cuStreamDestroy_v2(void* handle) {
    return api("cuStreamDestroy_v2", [&] {
        Context& context = current_context();
        drain(context, find(context.streams, handle));
        for (const auto& event : context.events)
            if (event->stream == handle) event->stream = nullptr;
        remove(context.streams, handle);
    });
}

MN_EXPORT int cuStreamSynchronize(void* handle) {
    return api("cuStreamSynchronize", [&] {
        Context& context = current_context();
        Stream& stream = find_stream(context, handle);
        if (stream.capture != kCaptureNone) {
            invalidate(stream);
            throw Failure{kCaptureUnsupported};
        }
        drain(context, stream);
    });
}

// Gets on by one piece of work, so that a loop around it comes to an end.
MN_EXPORT int cuStreamQuery(void* handle) {
    return api("cuStreamQuery", [&] {
        Context& context = current_context();
        Stream& stream = find_stream(context, handle);
        if (stream.capture != kCaptureNone) {
            invalidate(stream);
            throw Failure{kCaptureUnsupported};
        }
        if (stream.queue.empty()) return;
        step(context, stream);
        throw Failure{kNotReady};
    });
}

MN_EXPORT int cuEventCreate(void** event_out, unsigned flags) {
    return api("cuEventCreate", [&] {
        Context& context = current_context();
        require(event_out != nullptr && (flags & ~kEventFlags) == 0, kInvalidValue);
        Event& event = add(context.events);
        event.flags = flags;
        *event_out = &event;
    });
}

MN_EXPORT int cuEventDestroy_v2(void* handle) {
    return api("cuEventDestroy_v2", [&] {
        Context& context = current_context();
        Event& event = find(context.events, handle);
        if (event.stream != nullptr) drain(context, *event.stream);
        remove(context.events, handle);
    });
}

// Forks of a capture are not emulated: an event cannot be recorded in one.
MN_EXPORT int cuEventRecord(void* handle, void* stream_handle) {
    return api("cuEventRecord", [&] {
        Context& context = current_context();
        Event& event = find(context.events, handle);
        Stream& stream = find_stream(context, stream_handle);
        require(stream.capture == kCaptureNone, kNotSupported);
        if (event.stream != nullptr && event.stream != &stream) drain(context, *event.stream);
        event.stream = &stream;
        const uint64_t number = ++event.recorded;
        enqueue(context, stream, [&event, number] {
            event.reached = number;
            event.time_ms = now_ms();
        });
    });
}

MN_EXPORT int cuEventQuery(void* handle) {
    return api("cuEventQuery", [&] {
        Context& context = current_context();
        forbid_in_capture(context);
        Event& event = find(context.events, handle);
        if (event.reached == event.recorded) return;
        step(context, *event.stream);
        throw Failure{kNotReady};
    });
}

MN_EXPORT int cuEventSynchronize(void* handle) {
    return api("cuEventSynchronize", [&] {
        Context& context = current_context();
        forbid_in_capture(context);
        Event& event = find(context.events, handle);
        while (event.reached != event.recorded) step(context, *event.stream);
    });
}

MN_EXPORT int cuEventElapsedTime(float* milliseconds, void* from_handle, void* to_handle) {
    return api("cuEventElapsedTime", [&] {
        Context& context = current_context();
        const Event& from = find(context.events, from_handle);
        const Event& to = find(context.events, to_handle);
        require(!(from.flags & kEventDisableTiming) && !(to.flags & kEventDisableTiming) &&
                    from.recorded > 0 && to.recorded > 0,
                kInvalidHandle);
        require(from.reached == from.recorded && to.reached == to.recorded, kNotReady);
        *milliseconds = static_cast<float>(to.time_ms - from.time_ms);
    });
}

MN_EXPORT int cuStreamWaitEvent(void* stream_handle, void* event_handle, unsigned flags) {
    return api("cuStreamWaitEvent", [&] {
        Context& context = current_context();
        Stream& stream = find_stream(context, stream_handle);
        Event& event = find(context.events, event_handle);
        require(flags <= 1, kInvalidValue);
        require(stream.capture == kCaptureNone, kNotSupported);
        const uint64_t number = event.recorded;
        enqueue(context, stream, [&context, &event, number] {
            while (event.reached < number) step(context, *event.stream);
        });
    });
}

// ---- captured graphs ----

MN_EXPORT int cuStreamBeginCapture_v2(void* handle, int mode) {
    return api("cuStreamBeginCapture_v2", [&] {
        Context& context = current_context();
        // The legacy stream cannot be captured.
        require(handle != nullptr, kCaptureUnsupported);
        Stream& stream = find(context.streams, handle);
        require(mode >= kCaptureGlobal && mode <= kCaptureRelaxed, kInvalidValue);
        require(stream.capture == kCaptureNone, kCaptureUnsupported);
        stream.capture = kCaptureActive;
        stream.capture_mode = static_cast<CaptureMode>(mode);
        stream.capture_thread = std::this_thread::get_id();
        stream.captured.clear();
    });
}

MN_EXPORT int cuStreamEndCapture(void* handle, void** graph_out) {
    return api("cuStreamEndCapture", [&] {
        Context& context = current_context();
        Stream& stream = find_stream(context, handle);
        require(stream.capture != kCaptureNone, kCaptureUnmatched);
        require(stream.capture_mode == kCaptureRelaxed ||
                    stream.capture_thread == std::this_thread::get_id(),
                kCaptureWrongThread);
        const bool whole = stream.capture == kCaptureActive;
        stream.capture = kCaptureNone;
        *graph_out = nullptr;
        require(whole, kCaptureInvalidated);
        Graph& graph = add(context.graphs);
        graph.works = std::move(stream.captured);
        *graph_out = &graph;
    });
}

MN_EXPORT int cuStreamIsCapturing(void* handle, int* status) {
    return api("cuStreamIsCapturing",
               [&] { *status = find_stream(current_context(), handle).capture; });
}

MN_EXPORT int cuGraphInstantiateWithFlags(void** executable_out, void* graph,
                                          unsigned long long flags) {
    return api("cuGraphInstantiateWithFlags", [&] {
        Context& context = current_context();
        require(flags == 0, kNotSupported);
        const std::vector<Work>& works = find(context.graphs, graph).works;
        Graph& executable = add(context.executable_graphs);
        executable.works = works;
        *executable_out = &executable;
    });
}

MN_EXPORT int cuGraphLaunch(void* executable, void* stream_handle) {
    return api("cuGraphLaunch", [&] {
        Context& context = current_context();
        Stream& stream = find_stream(context, stream_handle);
        for (const Work& work : find(context.executable_graphs, executable).works)
            enqueue(context, stream, work);
        graph_launches++;
    });
}

MN_EXPORT int cuGraphDestroy(void* graph) {
    return api("cuGraphDestroy", [&] { remove(current_context().graphs, graph); });
}

MN_EXPORT int cuGraphExecDestroy(void* executable) {
    return api("cuGraphExecDestroy",
               [&] { remove(current_context().executable_graphs, executable); });
}

// ---- modules and launches ----

MN_EXPORT int cuModuleLoadData(void** module_out, const void* image) {
    return api("cuModuleLoadData", [&] {
        Context& context = current_context();
        require(module_out != nullptr && image != nullptr, kInvalidValue);
        // A fat binary; its code is not looked at: kernels come from the host build, by name.
        const unsigned char magic[] = {0x50, 0xed, 0x55, 0xba};
        require(std::memcmp(image, magic, sizeof magic) == 0, kInvalidImage);
        *module_out = &add(context.modules);
    });
}

MN_EXPORT int cuModuleUnload(void* module) {
    return api("cuModuleUnload", [&] {
        Context& context = current_context();
        find(context.modules, module);
        drain_all(context);
        remove(context.modules, module);
    });
}

MN_EXPORT int cuModuleGetFunction(const void** function_out, void* module, const char* name) {
    return api("cuModuleGetFunction", [&] {
        find(current_context().modules, module);
        require(function_out != nullptr && name != nullptr, kInvalidValue);
        const HostKernel* kernel = find_kernel(name);
        require(kernel != nullptr, kNotFound);
        *function_out = kernel;
    });
}

MN_EXPORT int cuLaunchKernel(const void* function, unsigned grid_x, unsigned grid_y,
                             unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
                             unsigned shared_bytes, void* stream_handle, void** params,
                             void** extra) {
    return api("cuLaunchKernel", [&] {
        Context& context = current_context();
        Stream& stream = find_stream(context, stream_handle);
        require(function != nullptr, kInvalidHandle);
        const HostKernel& kernel = *static_cast<const HostKernel*>(function);
        require(grid_x > 0 && grid_y > 0 && grid_z > 0, kInvalidValue);
        require(grid_x <= 0x7fffffffu && grid_y <= 65535 && grid_z <= 65535, kInvalidValue);
        require(block_x > 0 && block_y > 0 && block_z > 0, kInvalidValue);
        require(block_x <= max_block_threads && block_y <= max_block_threads && block_z <= 64,
                kInvalidValue);
        require(block_x * block_y * block_z <= max_block_threads, kInvalidValue);
        require(shared_bytes <= max_shared_bytes, kInvalidValue);
        require(params != nullptr && params[0] != nullptr && extra == nullptr, kInvalidValue);
        const char* const begin = static_cast<const char*>(params[0]);
        static uint64_t launches = 0;
        enqueue(context, stream,
                [&kernel, &context, grid = Index3{grid_x, grid_y, grid_z},
                 block = Index3{block_x, block_y, block_z}, shared_bytes,
                 copy = std::vector<char>(begin, begin + kernel.param_bytes)] {
                    const uint64_t seed =
                        static_cast<uint64_t>(setting("CUDA_EMULATION_SEED", 1)) + ++launches;
                    run_kernel(kernel, grid, block, shared_bytes, copy.data(), seed);
                    try {
                        check_guards(context);
                    } catch (const Fault& fault) {
                        throw Fault("kernel " + kernel.name + ": " + fault.what());
                    }
                });
    });
}
