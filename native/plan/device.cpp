#include "plan/device.h"

#include <atomic>
#include <mutex>

#include "backend/registry.h"
#include "graph/float_mode.h"

namespace mn {
namespace {

std::atomic<int64_t> bytes_in_use{0};

struct LogReceiver {
    std::mutex mutex;
    mn_log_callback callback = nullptr;
    void* user = nullptr;
};

LogReceiver& log_receiver() {
    // Never destroyed: other threads may log while the process ends.
    static LogReceiver& receiver = *new LogReceiver;
    return receiver;
}

void log_text(int32_t level, const char* message) {
    LogReceiver& receiver = log_receiver();
    std::lock_guard lock(receiver.mutex);
    const FloatMode mode(FloatMode::kStandard);
    if (receiver.callback) receiver.callback(level, message, receiver.user);
}

void count_memory(int64_t bytes) {
    bytes_in_use += bytes;
}

constexpr mnb_host kHost = {sizeof(mnb_host), log_text, count_memory};

}  // namespace

int64_t memory_in_use() {
    return bytes_in_use;
}

void set_log_callback(mn_log_callback callback, void* user) {
    LogReceiver& receiver = log_receiver();
    std::lock_guard lock(receiver.mutex);
    receiver.callback = callback;
    receiver.user = user;
}

void log(int32_t level, const std::string& message) {
    log_text(level, message.c_str());
}

void Device::check(int32_t status, const mnb_error& error) {
    if (status == MN_OK) return;
    Error failure(status, error.text);
    failure.info().reason = error.reason;
    failure.info().requested_bytes = error.requested_bytes;
    failure.info().free_bytes = error.free_bytes;
    throw failure;
}

Device::Device(const mn_device_desc& desc) : backend_(find_backend(desc)) {
    mnb_error error{};
    check(backend_.open(&kHost, &desc, &device_, &error), error);
    try {
        const mn_device_info info = describe();
        log(MN_LOG_INFORMATION, text("[device ", backend_.name, "] ", info.name, ", ",
                                     info.architecture, ", ", info.threads, " threads"));
    } catch (...) {
        backend_.close(device_);
        throw;
    }
}

Device::~Device() {
    backend_.close(device_);
}

mn_device_info Device::describe() const {
    mn_device_info info{};
    info.struct_size = sizeof info;
    mnb_error error{};
    check(backend_.describe(device_, &info, &error), error);
    return info;
}

mn_device_peak Device::measure() const {
    mnb_peak peak{};
    peak.struct_size = sizeof peak;
    mnb_error error{};
    if (backend_.measure) check(backend_.measure(device_, &peak, &error), error);
    return {sizeof(mn_device_peak), 0, peak.flops_per_second, peak.bytes_per_second};
}

mnb_support Device::query(const mnb_node& node, int32_t direction) const {
    mnb_support support{};
    support.struct_size = sizeof support;
    mnb_error error{};
    check(backend_.query(device_, &node, direction, &support, &error), error);
    return support;
}

void Device::synchronize() const {
    mnb_error error{};
    check(backend_.synchronize(device_, &error), error);
}

void Device::copy_in(void* dst, const void* src, size_t bytes) const {
    mnb_error error{};
    check(backend_.copy_in(device_, dst, src, bytes, &error), error);
}

void Device::copy_out(void* dst, const void* src, size_t bytes) const {
    mnb_error error{};
    check(backend_.copy_out(device_, dst, src, bytes, &error), error);
}

DeviceMemory::DeviceMemory(std::shared_ptr<const Device> device, int64_t bytes)
    : device_(std::move(device)), bytes_(bytes) {
    if (bytes == 0) return;
    mnb_error error{};
    Device::check(
        device_->backend().alloc(device_->handle(), static_cast<size_t>(bytes), &data_, &error),
        error);
}

DeviceMemory::~DeviceMemory() {
    if (data_) device_->backend().free(device_->handle(), data_, static_cast<size_t>(bytes_));
}

}  // namespace mn
