// An open device and memory on it.

#pragma once

#include <memory>
#include <utility>

#include "backend/backend.h"
#include "graph/error.h"
#include "passes/program.h"

namespace mn {

// Bytes that all devices of the process hold for tensors; see mn_memory_in_use.
int64_t memory_in_use();

void set_log_callback(mn_log_callback callback, void* user);
void log(int32_t level, const std::string& message);

class Device : public BackendQuery, public std::enable_shared_from_this<Device> {
public:
    explicit Device(const mn_device_desc& desc);
    ~Device() override;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    const mnb_backend& backend() const { return backend_; }
    mnb_device* handle() const { return device_; }
    mn_device_info describe() const;
    mn_device_peak measure() const;

    mnb_support query(const mnb_node& node, int32_t direction) const override;

    // Waits for all that was begun.
    void synchronize() const;

    void copy_in(void* dst, const void* src, size_t bytes) const;
    void copy_out(void* dst, const void* src, size_t bytes) const;

    // Throws what a backend's call has left in `error`.
    static void check(int32_t status, const mnb_error& error);

private:
    const mnb_backend& backend_;
    mnb_device* device_ = nullptr;
};

// Memory of a device, zero at first.
class DeviceMemory {
public:
    DeviceMemory() = default;
    DeviceMemory(std::shared_ptr<const Device> device, int64_t bytes);
    ~DeviceMemory();
    DeviceMemory(DeviceMemory&& other) noexcept { swap(other); }
    DeviceMemory& operator=(DeviceMemory&& other) noexcept {
        swap(other);
        return *this;
    }

    void* data() const { return data_; }
    int64_t bytes() const { return bytes_; }
    template <typename T>
    T* at(int64_t offset_bytes) const {
        return reinterpret_cast<T*>(static_cast<char*>(data_) + offset_bytes);
    }

private:
    void swap(DeviceMemory& other) noexcept {
        std::swap(device_, other.device_);
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
    }

    std::shared_ptr<const Device> device_;
    void* data_ = nullptr;
    int64_t bytes_ = 0;
};

}  // namespace mn
