#include "backend/cuda/device.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "backend/cuda/images.h"

namespace mn::cuda {
namespace {

std::string version_text(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// cuBLAS 11 and 12 count 11.6.5 as 110605.
std::string blas_version_text(int version) {
    return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
           std::to_string(version % 100);
}

// Operands and results are float32; what the tensor cores multiply is rounded on the way there.
cublasComputeType_t compute_type(int32_t precision) {
    switch (precision) {
        case MN_PRECISION_TENSOR_FLOAT32:
            return CUBLAS_COMPUTE_32F_FAST_TF32;
        case MN_PRECISION_BFLOAT16:
            return CUBLAS_COMPUTE_32F_FAST_16BF;
        default:
            return CUBLAS_COMPUTE_32F;
    }
}

bool graphs_wanted() {
    const char* wanted = std::getenv("MNISTNATIVE_CUDA_GRAPHS");
    return !wanted || std::strcmp(wanted, "0") != 0;
}

template <size_t Size>
void put(char (&to)[Size], const std::string& text) {
    std::snprintf(to, Size, "%s", text.c_str());
}

}  // namespace

Buffer::Buffer(Device& device, size_t bytes)
    : device_(&device), data_(bytes > 0 ? device.alloc(bytes) : nullptr), bytes_(bytes) {}

Buffer::~Buffer() {
    if (data_) device_->free(data_, bytes_);
}

Device::Device(const mnb_host* host, const mn_device_desc& desc)
    : host_(host), index_(desc.index), graphs_(*this, driver_, graphs_wanted()) {
    const CUresult started = driver_.cuInit(0);
    if (started == CUDA_ERROR_NO_DEVICE)
        refuse(MN_REASON_NO_DEVICE, "the driver (" + driver_.library.path() + ") finds no card");
    if (started == CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)
        refuse(MN_REASON_DRIVER_TOO_OLD, "the driver's library (" + driver_.library.path() +
                                             ") and its kernel module have different versions");
    if (started != CUDA_SUCCESS)
        refuse(MN_REASON_NO_DRIVER, "the driver (" + driver_.library.path() +
                                        ") does not start: " + driver_.name_of(started) + " (" +
                                        std::to_string(started) + ")");
    driver_.check(driver_.cuDriverGetVersion(&driver_version_), "cuDriverGetVersion");
    if (driver_version_ < MN_CUDA_DRIVER)
        refuse(MN_REASON_DRIVER_TOO_OLD, "the driver supports CUDA " +
                                             version_text(driver_version_) + ", needed is " +
                                             version_text(MN_CUDA_DRIVER) + " or newer");
    driver_.check(driver_.cuDeviceGetCount(&device_count_), "cuDeviceGetCount");
    if (device_count_ == 0)
        refuse(MN_REASON_NO_DEVICE, "the driver (" + driver_.library.path() + ") finds no card");
    if (index_ < 0 || index_ >= device_count_)
        refuse(MN_REASON_NO_SUCH_INDEX,
               "there is no card " + std::to_string(index_) + ": " + std::to_string(device_count_) +
                   (device_count_ == 1 ? " card is" : " cards are") + " there, counted from 0");
    driver_.check(driver_.cuDeviceGet(&device_, index_), "cuDeviceGet");
    char name[MN_NAME_CAPACITY] = {};
    driver_.check(driver_.cuDeviceGetName(name, sizeof name - 1, device_), "cuDeviceGetName");
    name_ = name;
    const auto attribute = [&](int& value, CUdevice_attribute which) {
        driver_.check(driver_.cuDeviceGetAttribute(&value, which, device_), "cuDeviceGetAttribute");
    };
    attribute(major_, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
    attribute(minor_, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    attribute(processors_, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    if (10 * major_ + minor_ < MN_CUDA_OLDEST)
        refuse(MN_REASON_ARCHITECTURE, name_ + " has compute capability " + std::to_string(major_) +
                                           "." + std::to_string(minor_) + ", needed is " +
                                           std::to_string(MN_CUDA_OLDEST / 10) + "." +
                                           std::to_string(MN_CUDA_OLDEST % 10) + " or newer");
    driver_.check(driver_.cuDeviceTotalMem_v2(&memory_bytes_, device_), "cuDeviceTotalMem");
    driver_.check(driver_.cuDevicePrimaryCtxRetain(&context_, device_), "cuDevicePrimaryCtxRetain");
    try {
        driver_.check(driver_.cuCtxSetCurrent(context_), "cuCtxSetCurrent");
        driver_.check(driver_.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
        for (Pinned& part : pinned_) allocate(part, kPinnedBytes);
        for (const Image* image = kImages; image->name; image++) {
            modules_.reserve(modules_.size() + 1);  // one that is loaded is one that is released
            CUmodule module = nullptr;
            driver_.check(driver_.cuModuleLoadData(&module, image->data), "cuModuleLoadData");
            modules_.push_back(module);
        }
        Cublas::check(cublas_.cublasCreate_v2(&blas_), "cublasCreate");
        Cublas::check(cublas_.cublasSetStream_v2(blas_, stream_), "cublasSetStream");
        Cublas::check(cublas_.cublasGetVersion_v2(blas_, &cublas_version_), "cublasGetVersion");
        // Memory of its own choice would become a part of each graph.
        blas_memory_ = Buffer(*this, major_ >= 9 ? size_t{32} << 20 : size_t{4} << 20);
        Cublas::check(
            cublas_.cublasSetWorkspace_v2(blas_, blas_memory_.at<void>(), blas_memory_.bytes()),
            "cublasSetWorkspace");
        cudnn_ = Cudnn::open(stream_, no_cudnn_);
    } catch (...) {
        release();
        throw;
    }
}

Device::~Device() {
    driver_.cuCtxSetCurrent(context_);
    driver_.cuStreamSynchronize(stream_);
    release();
}

void Device::release() {
    cudnn_.reset();
    update_memory_ = Buffer();
    if (blas_) cublas_.cublasDestroy_v2(blas_);
    blas_memory_ = Buffer();
    for (CUmodule module : modules_) driver_.cuModuleUnload(module);
    for (Pinned& part : pinned_) free(part);
    for (Pinned& post : posts_) free(post);
    if (stream_) driver_.cuStreamDestroy_v2(stream_);
    driver_.cuDevicePrimaryCtxRelease_v2(device_);
}

void Device::describe(mn_device_info& info) const {
    info.kind = MN_DEVICE_CUDA;
    info.index = index_;
    info.threads = processors_;
    info.memory_bytes = static_cast<int64_t>(memory_bytes_);
    put(info.name, name_);
    put(info.architecture, "compute " + std::to_string(major_) + "." + std::to_string(minor_));
    info.device_count = device_count_;
    info.driver_version = driver_version_;
    info.precisions = 1u << MN_PRECISION_FLOAT32;
    if (major_ >= 8)
        info.precisions |= 1u << MN_PRECISION_TENSOR_FLOAT32 | 1u << MN_PRECISION_BFLOAT16;
    put(info.tier, cudnn_ ? "cudnn" : "cublas");
    put(info.libraries, driver_.library.path() + " (CUDA " + version_text(driver_version_) + "); " +
                            cublas_.library.path() + " (cuBLAS " +
                            blas_version_text(cublas_version_) + "); " +
                            (cudnn_ ? cudnn_->describe() : "no cuDNN: " + no_cudnn_));
}

Device::Turn::Turn(Device& device) : lock_(device.mutex_) {
    device.driver_.check(device.driver_.cuCtxSetCurrent(device.context_), "cuCtxSetCurrent");
}

void Device::begin(const mnb_sequence& sequence) {
    mutex_.lock();
    try {
        graphs_.begin(sequence, stream_);
    } catch (...) {
        mutex_.unlock();
        throw;
    }
}

void Device::end(bool complete) {
    std::lock_guard held(mutex_);
    mutex_.unlock();  // what begin has locked
    graphs_.end(complete);
}

void Device::forget(uint64_t owner) {
    driver_.check(driver_.cuStreamSynchronize(stream_), "cuStreamSynchronize");
    graphs_.forget(owner);
}

void Device::forbid_recording(const std::string& what) const {
    if (graphs_.recording()) fail(MN_INTERNAL, what, " cannot be part of a graph");
}

void* Device::alloc(size_t bytes) {
    forbid_recording("allocating memory");
    CUdeviceptr memory = 0;
    const CUresult result = driver_.cuMemAlloc_v2(&memory, bytes > 0 ? bytes : 1);
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
        size_t free = 0, total = 0;
        driver_.cuMemGetInfo_v2(&free, &total);
        Error error(MN_OUT_OF_MEMORY, text("[device cuda] cannot allocate ", bytes, " bytes on ",
                                           name_, ": ", free, " of ", total, " bytes are free"));
        error.info().requested_bytes = bytes;
        error.info().free_bytes = free;
        throw error;
    }
    driver_.check(result, "cuMemAlloc");
    void* address = reinterpret_cast<void*>(memory);
    try {
        clear(address, bytes);
    } catch (...) {
        driver_.cuMemFree_v2(memory);
        throw;
    }
    host_->count_memory(static_cast<int64_t>(bytes));
    return address;
}

void Device::free(void* memory, size_t bytes) {
    // Waits for what still uses it.
    driver_.cuStreamSynchronize(stream_);
    driver_.cuMemFree_v2(reinterpret_cast<CUdeviceptr>(memory));
    host_->count_memory(-static_cast<int64_t>(bytes));
}

void Device::allocate(Pinned& pinned, size_t bytes) {
    driver_.check(driver_.cuMemHostAlloc(&pinned.memory, bytes, 0), "cuMemHostAlloc");
    pinned.bytes = bytes;
    if (!pinned.event)
        driver_.check(driver_.cuEventCreate(&pinned.event, CU_EVENT_DISABLE_TIMING),
                      "cuEventCreate");
}

void Device::free(Pinned& pinned) {
    if (pinned.memory) driver_.cuMemFreeHost(pinned.memory);
    if (pinned.event) driver_.cuEventDestroy_v2(pinned.event);
    pinned = Pinned();
}

// Through pinned memory, of which a part is filled anew only when its copies are done.
void Device::copy_in(void* dst, const void* src, size_t bytes) {
    forbid_recording("a copy from the host");
    const char* from = static_cast<const char*>(src);
    CUdeviceptr to = reinterpret_cast<CUdeviceptr>(dst);
    while (bytes > 0) {
        Pinned* part = &pinned_[pinned_part_];
        if (part->used == kPinnedBytes) {
            driver_.check(driver_.cuEventRecord(part->event, stream_), "cuEventRecord");
            pinned_part_ = (pinned_part_ + 1) % kPinnedParts;
            part = &pinned_[pinned_part_];
            if (part->used > 0)
                driver_.check(driver_.cuEventSynchronize(part->event), "cuEventSynchronize");
            part->used = 0;
        }
        const size_t size = std::min(bytes, kPinnedBytes - part->used);
        char* staged = static_cast<char*>(part->memory) + part->used;
        std::memcpy(staged, from, size);
        driver_.check(driver_.cuMemcpyHtoDAsync_v2(to, staged, size, stream_), "cuMemcpyHtoDAsync");
        part->used += size;
        from += size;
        to += size;
        bytes -= size;
    }
}

void Device::copy_ahead(void* dst, const void* src, size_t bytes) {
    if (graphs_.recording())
        graphs_.copy_ahead(dst, src, bytes);
    else
        copy_in(dst, src, bytes);
}

// In two parts at a time: while the host takes one, the device writes the other.
void Device::copy_out(void* dst, const void* src, size_t bytes) {
    forbid_recording("a copy to the host");
    char* to = static_cast<char*>(dst);
    const char* from = static_cast<const char*>(src);
    size_t size = std::min(bytes, kPinnedBytes);
    uint64_t ticket = post(from, size);
    while (size > 0) {
        bytes -= size;
        const size_t next_size = std::min(bytes, kPinnedBytes);
        const uint64_t next = next_size > 0 ? post(from + size, next_size) : 0;
        collect(ticket, to, size);
        from += size;
        to += size;
        size = next_size;
        ticket = next;
    }
}

uint64_t Device::post(const void* src, size_t bytes) {
    forbid_recording("a copy to the host");
    constexpr size_t kSmallest = 4096;
    auto idle = std::find_if(posts_.begin(), posts_.end(),
                             [&](const Pinned& p) { return p.used == 0 && p.bytes >= bytes; });
    if (idle == posts_.end()) {
        Pinned made;
        try {
            allocate(made, std::max(bytes, kSmallest));
            idle = posts_.insert(posts_.end(), made);
        } catch (...) {
            free(made);
            throw;
        }
    }
    driver_.check(driver_.cuMemcpyDtoHAsync_v2(idle->memory, reinterpret_cast<CUdeviceptr>(src),
                                               bytes, stream_),
                  "cuMemcpyDtoHAsync");
    driver_.check(driver_.cuEventRecord(idle->event, stream_), "cuEventRecord");
    idle->used = bytes;
    return static_cast<uint64_t>(idle - posts_.begin());
}

void Device::collect(uint64_t ticket, void* dst, size_t bytes) {
    Pinned* post = nullptr;
    {
        Turn turn(*this);
        post = &posts_[ticket];  // a deque's elements stay where they are
    }
    const CUresult result = driver_.cuEventSynchronize(post->event);
    Turn turn(*this);
    if (result == CUDA_SUCCESS && dst) std::memcpy(dst, post->memory, bytes);
    post->used = 0;
    driver_.check(result, "cuEventSynchronize");
}

void Device::copy(void* dst, const void* src, size_t bytes) {
    driver_.check(driver_.cuMemcpyDtoDAsync_v2(reinterpret_cast<CUdeviceptr>(dst),
                                               reinterpret_cast<CUdeviceptr>(src), bytes, stream_),
                  "cuMemcpyDtoDAsync");
}

void Device::clear(void* memory, size_t bytes) {
    if (bytes == 0) return;
    driver_.check(driver_.cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(memory), 0, bytes, stream_),
                  "cuMemsetD8Async");
}

void Device::synchronize() {
    forbid_recording("waiting for the device");
    driver_.check(driver_.cuStreamSynchronize(stream_), "cuStreamSynchronize");
}

unsigned Device::grid_for(int64_t count) const {
    // Enough blocks to fill the card a few times over; each thread then takes several elements.
    return static_cast<unsigned>(
        std::min<int64_t>(divide_up(count, kThreads), int64_t{32} * processors_));
}

CUfunction Device::function(const char* kernel) {
    const auto known = functions_.find(kernel);
    if (known != functions_.end()) return known->second;
    for (CUmodule module : modules_) {
        CUfunction found = nullptr;
        const CUresult result = driver_.cuModuleGetFunction(&found, module, kernel);
        if (result == CUDA_ERROR_NOT_FOUND) continue;
        driver_.check(result, kernel);
        functions_.emplace(kernel, found);
        return found;
    }
    fail(MN_INTERNAL, "[device cuda] there is no kernel ", kernel);
}

void Device::launch_raw(const char* kernel, const void* params, unsigned blocks) {
    void* arguments[] = {const_cast<void*>(params)};
    driver_.check(driver_.cuLaunchKernel(function(kernel), blocks, 1, 1, kThreads, 1, 1, 0, stream_,
                                         arguments, nullptr),
                  kernel);
}

void Device::gemm(const Gemm& g) {
    const float one = 1;
    const auto op = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
    const auto size = [](int64_t n) { return static_cast<int>(n); };
    const cublasComputeType_t compute = compute_type(g.precision);
    if (g.batch == 1)
        Cublas::check(cublas_.cublasGemmEx(blas_, op(g.transpose_a), op(g.transpose_b), size(g.m),
                                           size(g.n), size(g.k), &one, g.a, CUDA_R_32F, size(g.lda),
                                           g.b, CUDA_R_32F, size(g.ldb), &g.beta, g.c, CUDA_R_32F,
                                           size(g.ldc), compute, CUBLAS_GEMM_DEFAULT),
                      "cublasGemmEx");
    else
        Cublas::check(cublas_.cublasGemmStridedBatchedEx(
                          blas_, op(g.transpose_a), op(g.transpose_b), size(g.m), size(g.n),
                          size(g.k), &one, g.a, CUDA_R_32F, size(g.lda), g.stride_a, g.b,
                          CUDA_R_32F, size(g.ldb), g.stride_b, &g.beta, g.c, CUDA_R_32F,
                          size(g.ldc), g.stride_c, size(g.batch), compute, CUBLAS_GEMM_DEFAULT),
                      "cublasGemmStridedBatchedEx");
}

Buffer& Device::update_memory(size_t bytes) {
    if (update_memory_.bytes() < bytes) update_memory_ = Buffer(*this, bytes);
    return update_memory_;
}

}  // namespace mn::cuda
