// Devices, contexts and memory of the stand-in libcuda.

#include "driver.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "launch.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace mn::emulation {
namespace {

constexpr size_t guard_bytes = 256;
[[maybe_unused]] constexpr unsigned char guard_byte = 0xa5;
// What fresh memory holds: NaNs, whatever it is read as.
constexpr unsigned char fresh_byte = 0xff;
constexpr size_t allocation_alignment = 256;

bool initialized = false;
thread_local std::vector<Context*> context_stack;

// Primary contexts, by device. Never destroyed: other libraries may end later.
std::map<int, Context>& contexts() {
    static auto& all = *new std::map<int, Context>;
    return all;
}

int device_count() {
    return static_cast<int>(setting("CUDA_EMULATION_DEVICES", 1));
}

size_t memory_bytes() {
    return static_cast<size_t>(setting("CUDA_EMULATION_MEMORY", 1L << 30));
}

void require_device(int device) {
    require(initialized, kNotInitialized);
    require(device >= 0 && device < device_count(), kInvalidDevice);
}

// As free_all, and the handles too.
void destroy(Context& context) {
    free_all(context);
    context.streams.clear();
    context.events.clear();
    context.graphs.clear();
    context.executable_graphs.clear();
    context.modules.clear();
    context.legacy_stream = Stream{};
    context.broken = kSuccess;
    context.fault.clear();
}

// With the address sanitizer the guard zones are forbidden, else they hold bytes that must stay.
#if defined(__SANITIZE_ADDRESS__)
void set_guard(char* zone) {
    __asan_poison_memory_region(zone, guard_bytes);
}
bool guard_is_whole(const char*) {
    return true;
}
void lift_guard(char* zone) {
    __asan_unpoison_memory_region(zone, guard_bytes);
}
#else
void set_guard(char* zone) {
    std::memset(zone, guard_byte, guard_bytes);
}
bool guard_is_whole(const char* zone) {
    return std::all_of(zone, zone + guard_bytes,
                       [](char byte) { return static_cast<unsigned char>(byte) == guard_byte; });
}
void lift_guard(char*) {}
#endif

char* end_of(const Allocation& allocation) {
    return allocation.memory + guard_bytes + allocation.bytes;
}

void release(const Allocation& allocation) {
    lift_guard(allocation.memory);
    lift_guard(end_of(allocation));
    ::operator delete (allocation.memory, std::align_val_t{allocation_alignment});
}

}  // namespace

long setting(const char* name, long otherwise) {
    const char* value = std::getenv(name);
    return value == nullptr || *value == 0 ? otherwise : std::strtol(value, nullptr, 10);
}

int injected_failure(const char* name) {
    const char* value = std::getenv("CUDA_EMULATION_FAIL");
    const size_t length = std::strlen(name);
    if (value == nullptr || std::strncmp(value, name, length) != 0 || value[length] != '=')
        return 0;
    return std::atoi(value + length + 1);
}

std::recursive_mutex& mutex() {
    static auto& instance = *new std::recursive_mutex;
    return instance;
}

Context& current_context() {
    require(initialized, kNotInitialized);
    require(!context_stack.empty() && context_stack.back() != nullptr, kInvalidContext);
    Context& context = *context_stack.back();
    require(context.retained > 0, kInvalidContext);
    require(context.broken == kSuccess, context.broken);
    return context;
}

Allocation& find_memory(Context& context, DevicePointer pointer, size_t bytes) {
    auto next = context.allocations.upper_bound(pointer);
    require(next != context.allocations.begin(), kInvalidValue);
    const auto found = std::prev(next);
    const size_t offset = pointer - found->first;
    require(offset <= found->second.bytes && bytes <= found->second.bytes - offset, kInvalidValue);
    return found->second;
}

void check_guards(const Context& context) {
    for (const auto& [pointer, allocation] : context.allocations)
        if (!guard_is_whole(allocation.memory) || !guard_is_whole(end_of(allocation)))
            throw Fault("written outside of an allocation of " + std::to_string(allocation.bytes) +
                        " bytes");
}

void free_all(Context& context) {
    for (const auto& [pointer, allocation] : context.allocations) release(allocation);
    context.allocations.clear();
    for (const auto& [pointer, bytes] : context.host_allocations)
        std::free(const_cast<char*>(pointer));
    context.host_allocations.clear();
    context.used_bytes = 0;
}

}  // namespace mn::emulation

using namespace mn::emulation;

int mn_emulation_injected_failure(const char* name) {
    return injected_failure(name);
}

long mn_emulation_setting(const char* name, long otherwise) {
    return setting(name, otherwise);
}

int mn_emulation_live_objects() {
    std::lock_guard lock(mutex());
    size_t count = 0;
    for (const auto& [device, c] : contexts())
        count += c.allocations.size() + c.host_allocations.size() + c.streams.size() +
                 c.events.size() + c.graphs.size() + c.executable_graphs.size() + c.modules.size();
    return static_cast<int>(count);
}

// ---- the driver and its devices ----

MN_EXPORT int cuInit(unsigned flags) {
    return api("cuInit", [&] {
        require(flags == 0, kInvalidValue);
        require(device_count() > 0, kNoDevice);
        initialized = true;
    });
}

MN_EXPORT int cuDriverGetVersion(int* version) {
    return api("cuDriverGetVersion", [&] {
        require(version != nullptr, kInvalidValue);
        *version = static_cast<int>(setting("CUDA_EMULATION_DRIVER", 12040));
    });
}

MN_EXPORT int cuDeviceGetCount(int* count) {
    return api("cuDeviceGetCount", [&] {
        require(initialized, kNotInitialized);
        require(count != nullptr, kInvalidValue);
        *count = device_count();
    });
}

MN_EXPORT int cuDeviceGet(int* device, int ordinal) {
    return api("cuDeviceGet", [&] {
        require_device(ordinal);
        *device = ordinal;
    });
}

MN_EXPORT int cuDeviceGetName(char* name, int length, int device) {
    return api("cuDeviceGetName", [&] {
        require_device(device);
        require(name != nullptr && length > 0, kInvalidValue);
        std::snprintf(name, static_cast<size_t>(length), "Emulated device %d", device);
    });
}

MN_EXPORT int cuDeviceTotalMem_v2(size_t* bytes, int device) {
    return api("cuDeviceTotalMem_v2", [&] {
        require_device(device);
        *bytes = memory_bytes();
    });
}

MN_EXPORT int cuDeviceGetAttribute(int* value, int attribute, int device) {
    return api("cuDeviceGetAttribute", [&] {
        require_device(device);
        const int compute = static_cast<int>(setting("CUDA_EMULATION_COMPUTE", 80));
        switch (attribute) {
            case kMaxThreadsPerBlock:
            case kMaxBlockX:
            case kMaxBlockY:
                *value = max_block_threads;
                break;
            case kMaxBlockZ:
                *value = 64;
                break;
            case kMaxGridX:
                *value = 0x7fffffff;
                break;
            case kMaxGridY:
            case kMaxGridZ:
                *value = 65535;
                break;
            case kMaxSharedBytes:
                *value = max_shared_bytes;
                break;
            case kWarpSize:
                *value = warp_size;
                break;
            case kProcessors:
                *value = 4;
                break;
            case kThreadsPerProcessor:
                *value = 2048;
                break;
            case kUnifiedAddressing:
                *value = 1;
                break;
            case kComputeMajor:
                *value = compute / 10;
                break;
            case kComputeMinor:
                *value = compute % 10;
                break;
            default:
                throw Failure{kInvalidValue};
        }
    });
}

// ---- contexts ----

MN_EXPORT int cuDevicePrimaryCtxRetain(void** context_out, int device) {
    return api("cuDevicePrimaryCtxRetain", [&] {
        require_device(device);
        Context& context = contexts()[device];
        context.device = device;
        ++context.retained;
        *context_out = &context;
    });
}

MN_EXPORT int cuDevicePrimaryCtxRelease_v2(int device) {
    return api("cuDevicePrimaryCtxRelease_v2", [&] {
        require(initialized, kNotInitialized);
        const auto found = contexts().find(device);
        require(found != contexts().end() && found->second.retained > 0, kInvalidContext);
        if (--found->second.retained == 0) destroy(found->second);
    });
}

MN_EXPORT int cuCtxSetCurrent(void* context) {
    return api("cuCtxSetCurrent", [&] {
        require(initialized, kNotInitialized);
        if (!context_stack.empty()) context_stack.pop_back();
        if (context != nullptr) context_stack.push_back(static_cast<Context*>(context));
    });
}

MN_EXPORT int cuCtxGetCurrent(void** context) {
    return api("cuCtxGetCurrent", [&] {
        require(initialized, kNotInitialized);
        *context = context_stack.empty() ? nullptr : context_stack.back();
    });
}

MN_EXPORT int cuCtxPushCurrent_v2(void* context) {
    return api("cuCtxPushCurrent_v2", [&] {
        require(initialized, kNotInitialized);
        require(context != nullptr, kInvalidContext);
        context_stack.push_back(static_cast<Context*>(context));
    });
}

MN_EXPORT int cuCtxPopCurrent_v2(void** context) {
    return api("cuCtxPopCurrent_v2", [&] {
        require(initialized, kNotInitialized);
        require(!context_stack.empty(), kInvalidContext);
        if (context != nullptr) *context = context_stack.back();
        context_stack.pop_back();
    });
}

MN_EXPORT int cuCtxSynchronize() {
    return api("cuCtxSynchronize", [&] {
        Context& context = current_context();
        forbid_in_capture(context);
        drain_all(context);
    });
}

// ---- memory ----

MN_EXPORT int cuMemAlloc_v2(DevicePointer* pointer, size_t bytes) {
    return api("cuMemAlloc_v2", [&] {
        Context& context = current_context();
        forbid_in_capture(context);
        require(pointer != nullptr && bytes > 0, kInvalidValue);
        const size_t total = memory_bytes();
        require(context.used_bytes <= total && bytes <= total - context.used_bytes, kOutOfMemory);
        Allocation allocation{};
        allocation.bytes = bytes;
        allocation.memory = static_cast<char*>(
            ::operator new (bytes + 2 * guard_bytes, std::align_val_t{allocation_alignment}));
        std::memset(allocation.memory + guard_bytes, fresh_byte, bytes);
        set_guard(allocation.memory);
        set_guard(end_of(allocation));
        *pointer = reinterpret_cast<DevicePointer>(allocation.memory + guard_bytes);
        context.allocations[*pointer] = allocation;
        context.used_bytes += bytes;
    });
}

// Waits for the work that may still use the memory.
MN_EXPORT int cuMemFree_v2(DevicePointer pointer) {
    return api("cuMemFree_v2", [&] {
        Context& context = current_context();
        forbid_in_capture(context);
        if (pointer == 0) return;
        const auto found = context.allocations.find(pointer);
        require(found != context.allocations.end(), kInvalidValue);
        drain_all(context);
        context.used_bytes -= found->second.bytes;
        release(found->second);
        context.allocations.erase(found);
    });
}

MN_EXPORT int cuMemGetInfo_v2(size_t* free_bytes, size_t* total_bytes) {
    return api("cuMemGetInfo_v2", [&] {
        Context& context = current_context();
        *total_bytes = memory_bytes();
        *free_bytes = *total_bytes - std::min(*total_bytes, context.used_bytes);
    });
}

MN_EXPORT int cuMemHostAlloc(void** pointer, size_t bytes, unsigned flags) {
    return api("cuMemHostAlloc", [&] {
        Context& context = current_context();
        forbid_in_capture(context);
        require(pointer != nullptr && bytes > 0 && flags < 8, kInvalidValue);
        char* memory = static_cast<char*>(std::malloc(bytes));
        require(memory != nullptr, kOutOfMemory);
        std::memset(memory, fresh_byte, bytes);
        context.host_allocations[memory] = bytes;
        *pointer = memory;
    });
}

MN_EXPORT int cuMemFreeHost(void* pointer) {
    return api("cuMemFreeHost", [&] {
        Context& context = current_context();
        forbid_in_capture(context);
        const auto found = context.host_allocations.find(static_cast<char*>(pointer));
        require(found != context.host_allocations.end(), kInvalidValue);
        drain_all(context);
        std::free(pointer);
        context.host_allocations.erase(found);
    });
}

// ---- names of results ----

namespace {

struct Named {
    Result result;
    const char* name;
};

constexpr Named names[] = {{kSuccess, "CUDA_SUCCESS"},
                           {kInvalidValue, "CUDA_ERROR_INVALID_VALUE"},
                           {kOutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY"},
                           {kNotInitialized, "CUDA_ERROR_NOT_INITIALIZED"},
                           {kNoDevice, "CUDA_ERROR_NO_DEVICE"},
                           {kInvalidDevice, "CUDA_ERROR_INVALID_DEVICE"},
                           {kInvalidImage, "CUDA_ERROR_INVALID_IMAGE"},
                           {kInvalidContext, "CUDA_ERROR_INVALID_CONTEXT"},
                           {kNoBinaryForGpu, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
                           {kInvalidHandle, "CUDA_ERROR_INVALID_HANDLE"},
                           {kNotFound, "CUDA_ERROR_NOT_FOUND"},
                           {kNotReady, "CUDA_ERROR_NOT_READY"},
                           {kIllegalAddress, "CUDA_ERROR_ILLEGAL_ADDRESS"},
                           {kLaunchOutOfResources, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
                           {kLaunchFailed, "CUDA_ERROR_LAUNCH_FAILED"},
                           {kNotSupported, "CUDA_ERROR_NOT_SUPPORTED"},
                           {kCaptureUnsupported, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
                           {kCaptureInvalidated, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
                           {kCaptureUnmatched, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED"},
                           {kCaptureImplicit, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT"},
                           {kCaptureWrongThread, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD"},
                           {kUnknown, "CUDA_ERROR_UNKNOWN"}};

}  // namespace

MN_EXPORT int cuGetErrorName(int result, const char** name) {
    for (const Named& named : names)
        if (named.result == result) {
            *name = named.name;
            return kSuccess;
        }
    *name = nullptr;
    return kInvalidValue;
}
