// An open card: the primary context, one stream, cuBLAS, cuDNN where it is there, the kernels and
// pinned memory for copies.
// Everything that a device does is in order on its stream. A lock keeps calls of several threads
// apart; concurrent predictions take turns at launching.

#pragma once

#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "backend/cuda/api.h"
#include "backend/cuda/cudnn.h"
#include "backend/cuda/kernels/params.h"
#include "backend/cuda/step_graphs.h"
#include "backend/image.h"

namespace mn::cuda {

inline int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

class Device;

// Memory that kernels keep. Lives and dies within a turn.
class Buffer {
public:
    Buffer() = default;
    Buffer(Device& device, size_t bytes);
    Buffer(Buffer&& other) noexcept { *this = std::move(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(device_, other.device_);
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~Buffer();

    size_t bytes() const { return bytes_; }
    template <class T>
    T* at(size_t offset = 0) const {
        return data_ ? reinterpret_cast<T*>(static_cast<char*>(data_) + offset) : nullptr;
    }

private:
    Device* device_ = nullptr;
    void* data_ = nullptr;
    size_t bytes_ = 0;
};

class Device {
public:
    Device(const mnb_host* host, const mn_device_desc& desc);
    ~Device();
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    void describe(mn_device_info& info) const;

    // Takes the lock and makes the context the calling thread's.
    class Turn {
    public:
        explicit Turn(Device& device);

    private:
        std::lock_guard<std::recursive_mutex> lock_;
    };

    // Between them the device is the calling thread's alone, so that nobody else's work is
    // recorded.
    void begin(const mnb_sequence& sequence);
    void end(bool complete);
    void forget(uint64_t owner);
    StepGraphs& graphs() { return graphs_; }
    // Throws while a graph is being recorded, with what cannot be part of it.
    void forbid_recording(const std::string& what) const;
    void log(int32_t level, const std::string& text) const { host_->log(level, text.c_str()); }

    void* alloc(size_t bytes);
    void free(void* memory, size_t bytes);
    // The caller may change `src` at once.
    void copy_in(void* dst, const void* src, size_t bytes);
    // The same, ahead of a graph that is being recorded or is about to be replayed.
    void copy_ahead(void* dst, const void* src, size_t bytes);
    void copy_out(void* dst, const void* src, size_t bytes);
    // See mnb_backend. `collect` is to be called without a turn.
    uint64_t post(const void* src, size_t bytes);
    void collect(uint64_t ticket, void* dst, size_t bytes);
    void copy(void* dst, const void* src, size_t bytes);  // on the device
    void clear(void* memory, size_t bytes);
    void synchronize();

    // A loop over `count` elements in threads of their own.
    template <class Params>
    void launch(const char* kernel, const Params& params, int64_t count) {
        if (count > 0) launch_raw(kernel, &params, grid_for(count));
    }
    // `blocks` blocks of kThreads.
    template <class Params>
    void launch_blocks(const char* kernel, const Params& params, int64_t blocks) {
        if (blocks > 0) launch_raw(kernel, &params, static_cast<unsigned>(blocks));
    }

    // Column-major, as cuBLAS: c (m x n) = a (m x k) b (k x n) + beta c, a batch of them.
    struct Gemm {
        bool transpose_a = false, transpose_b = false;
        int64_t m = 0, n = 0, k = 0;
        const float* a = nullptr;
        int64_t lda = 0, stride_a = 0;
        const float* b = nullptr;
        int64_t ldb = 0, stride_b = 0;
        float* c = nullptr;
        int64_t ldc = 0, stride_c = 0;
        int64_t batch = 1;
        float beta = 0;
        int32_t precision = MN_PRECISION_FLOAT32;
    };
    void gemm(const Gemm& g);

    // Null in the tier "cublas".
    Cudnn* cudnn() const { return cudnn_.get(); }

    // Of the optimizer's tables; grows at first updates.
    Buffer& update_memory(size_t bytes);

private:
    static constexpr unsigned kThreads = kBlockThreads;
    static constexpr size_t kPinnedBytes = size_t{1} << 20;
    static constexpr int kPinnedParts = 2;

    // Pinned memory, and the event behind the last copy that used it.
    struct Pinned {
        void* memory = nullptr;
        CUevent event = nullptr;
        size_t bytes = 0;
        size_t used = 0;
    };
    void allocate(Pinned& pinned, size_t bytes);
    void free(Pinned& pinned);

    unsigned grid_for(int64_t count) const;
    void launch_raw(const char* kernel, const void* params, unsigned blocks);
    CUfunction function(const char* kernel);
    void release();

    const mnb_host* host_;
    Driver driver_;
    Cublas cublas_;
    int32_t index_;
    int32_t device_count_ = 0;
    int driver_version_ = 0, cublas_version_ = 0;
    int major_ = 0, minor_ = 0, processors_ = 0;
    size_t memory_bytes_ = 0;
    std::string name_;
    CUdevice device_ = 0;
    CUcontext context_ = nullptr;
    CUstream stream_ = nullptr;
    cublasHandle_t blas_ = nullptr;
    std::unique_ptr<Cudnn> cudnn_;
    std::string no_cudnn_;  // why it is not used
    std::vector<CUmodule> modules_;
    std::unordered_map<std::string, CUfunction> functions_;
    Pinned pinned_[kPinnedParts];  // for copies to the device, one part after the other
    int pinned_part_ = 0;
    std::deque<Pinned> posts_;  // by ticket; `used` is 0 where it waits for a post
    Buffer update_memory_, blas_memory_;
    StepGraphs graphs_;
    std::recursive_mutex mutex_;
};

// A value that kernels read on the device, since it changes between runs that one graph replays.
template <class T>
class DeviceValue {
public:
    explicit DeviceValue(Device& device) : memory_(device, sizeof(T)) {}

    const T* address() const { return memory_.at<T>(); }
    // For Kernel::prepare.
    void set(Device& device, const T& value) {
        if (known_ && std::memcmp(&value_, &value, sizeof value) == 0) return;
        known_ = false;
        device.copy_ahead(memory_.at<void>(), &value, sizeof value);
        std::memcpy(&value_, &value, sizeof value);
        known_ = true;
    }

private:
    Buffer memory_;
    alignas(T) unsigned char value_[sizeof(T)] = {};
    bool known_ = false;
};

}  // namespace mn::cuda
