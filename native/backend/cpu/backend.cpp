// The CPU's entries of mnb_backend: exceptions inside become mnb_error here.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "backend/cpu/cpu.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/cpu_features.h"
#include "backend/cpu/kernels/table.h"
#include "backend/cpu/memory.h"
#include "backend/cpu/optimizer.h"
#include "backend/cpu/peak.h"
#include "backend/guard.h"
#include "graph/error.h"

namespace mn::cpu {
namespace {

struct CpuDevice : Device {
    CpuFeatures features;

    explicit CpuDevice(int threads) : Device(threads) {}
};

CpuDevice& of(mnb_device* device) {
    return *reinterpret_cast<CpuDevice*>(device);
}
Kernel& of(mnb_kernel* kernel) {
    return *reinterpret_cast<Kernel*>(kernel);
}

// ---- the device ----

const KernelTable* table_of(Isa isa) {
    switch (isa) {
#if defined(__x86_64__)
        case Isa::base:
            return &base::table;
        case Isa::avx2:
            return &avx2::table;
        case Isa::avx512:
            return &avx512::table;
#else
        case Isa::neon:
            return &neon::table;
#endif
        default:
            return nullptr;
    }
}

int32_t open(const mnb_host* host, const mn_device_desc* desc, mnb_device** device_out,
             mnb_error* error) {
    return guard(error, [&] {
        if (desc->index != 0) {
            Error failure(MN_DEVICE_UNAVAILABLE,
                          text("the CPU is one device, index 0; got index ", desc->index));
            failure.info().reason = MN_REASON_NO_SUCH_INDEX;
            throw failure;
        }
        CpuFeatures features = detect_cpu();
        const Isa isa = choose_isa(features, std::getenv("MNISTNATIVE_ISA"));
        const int threads = choose_threads(desc->threads, std::getenv("MNISTNATIVE_NUM_THREADS"),
                                           available_processors());
        std::unique_ptr<CpuDevice> device;
        try {
            device = std::make_unique<CpuDevice>(threads);
        } catch (const std::system_error& failure) {
            fail(MN_DEVICE_UNAVAILABLE, "cannot start ", threads, " threads: ", failure.what());
        }
        device->host = host;
        device->features = std::move(features);
        device->table = table_of(isa);
        device->reference_only = (desc->flags & MN_DEVICE_REFERENCE_KERNELS) != 0;
        *device_out = reinterpret_cast<mnb_device*>(device.release());
    });
}

void close(mnb_device* device) {
    delete &of(device);
}

int32_t describe(mnb_device* handle, mn_device_info* info, mnb_error* error) {
    return guard(error, [&] {
        const CpuDevice& device = of(handle);
        info->kind = MN_DEVICE_CPU;
        info->index = 0;
        info->threads = device.pool.threads();
        const uint64_t memory = memory_total();
        info->memory_bytes = memory == unknown_memory ? 0 : static_cast<int64_t>(memory);
        std::snprintf(info->name, sizeof info->name, "%s", device.features.name.c_str());
        std::snprintf(info->architecture, sizeof info->architecture, "%s", device.table->name);
        info->precisions = 1u << MN_PRECISION_FLOAT32;
    });
}

// ---- memory ----

void count_memory(const Device& device, int64_t bytes) {
    if (device.host != nullptr && device.host->count_memory != nullptr)
        device.host->count_memory(bytes);
}

int32_t alloc(mnb_device* device, size_t bytes, void** memory_out, mnb_error* error) {
    return guard(error, [&] {
        *memory_out = allocate(of(device), bytes);
        count_memory(of(device), static_cast<int64_t>(bytes));
    });
}

void free_memory(mnb_device* device, void* memory, size_t bytes) {
    if (memory == nullptr) return;
    deallocate(memory, bytes);
    count_memory(of(device), -static_cast<int64_t>(bytes));
}

int32_t copy(mnb_device* device, void* dst, const void* src, size_t bytes, mnb_error* error) {
    constexpr size_t part = size_t{1} << 18;
    return guard(error, [&] {
        of(device).pool.parallel_for(
            static_cast<int>((bytes + part - 1) / part), [&](int task, int) {
                const size_t first = static_cast<size_t>(task) * part;
                std::memcpy(static_cast<char*>(dst) + first, static_cast<const char*>(src) + first,
                            std::min(part, bytes - first));
            });
    });
}

// ---- kernels ----

// Whether parameters are stored, or may be, as a kernel wants them.
bool has_param_layouts(const mnb_node& node, const mnb_support& support) {
    for (int i = 0; i < node.param_count; ++i)
        if (node.parameter[i].layout != MNB_PARAM_ANY &&
            node.parameter[i].layout != support.param_layout[i])
            return false;
    return true;
}

// The first implementation that takes the node, and what it needs; null if there is none.
const Implementation* choose(const Device& device, const ImageNode& node, int direction,
                             mnb_support& support) {
    for (const Implementation* i = implementations(node.op); i->name != nullptr; ++i) {
        const bool last = i[1].name == nullptr;
        if (device.reference_only && !last) continue;
        support = mnb_support{};
        support.struct_size = sizeof support;
        if (i->query(device, node, direction, support) && has_param_layouts(node, support)) {
            // Refuse a fused node that only the reference kernel takes: unfused, its parts have
            // fast kernels.
            const bool fused = node.activation != 0 || node.has_pool;
            const bool only = i == implementations(node.op);
            if (last && !only && fused && !device.reference_only) break;
            support.supported = 1;
            if (support.kernel[0] == 0)
                std::snprintf(support.kernel, sizeof support.kernel, "%s", i->name);
            return i;
        }
    }
    support = mnb_support{};
    support.struct_size = sizeof support;
    return nullptr;
}

int32_t query(mnb_device* device, const mnb_node* node, int32_t direction, mnb_support* support_out,
              mnb_error* error) {
    return guard(error, [&] {
        mnb_support support;
        choose(of(device), ImageNode(*node), direction, support);
        *support_out = support;
    });
}

// An image of one channel or one pixel is the same in both layouts.
bool has_layout(const ImageView& image, int32_t layout) {
    return image.layout == layout || image.c == 1 || image.h * image.w == 1;
}

// A kernel trusts that the plan has followed its wishes; a wrong layout would only show in numbers.
void check_layouts(const ImageNode& node, const mnb_support& support) {
    bool right = node.dst.rank == 0 || has_layout(node.dst, support.dst_layout);
    for (int i = 0; i < node.source_count; ++i)
        right = right && has_layout(node.src[i], support.src_layout);
    for (int i = 0; i < node.param_count; ++i)
        right = right && node.param[i].layout != MNB_PARAM_ANY;
    if (!right) fail(MN_INTERNAL, "[", node.name, "] is not in the layout that its kernel needs");
}

int32_t prepare(mnb_device* device, const mnb_node* node, int32_t direction,
                mnb_kernel** kernel_out, mnb_error* error) {
    return guard(error, [&] {
        mnb_support support;
        const ImageNode images(*node);
        const Implementation* implementation = choose(of(device), images, direction, support);
        if (implementation == nullptr)
            fail(MN_UNSUPPORTED, "[", node->name, "] is not supported by the CPU");
        check_layouts(images, support);
        std::unique_ptr<Kernel> kernel = implementation->create(of(device), images, direction);
        *kernel_out = reinterpret_cast<mnb_kernel*>(kernel.release());
    });
}

void release(mnb_device*, mnb_kernel* kernel) {
    delete &of(kernel);
}

int32_t refresh(mnb_device* device, mnb_kernel* kernel, const mnb_run* run, mnb_error* error) {
    return guard(error, [&] { of(kernel).refresh(of(device), *run); });
}

int32_t run(mnb_device* device, mnb_kernel* kernel, const mnb_run* run, mnb_error* error) {
    return guard(error, [&] { of(kernel).run(of(device), *run); });
}

int32_t update_parameters(mnb_device* device, const mn_optimizer_desc* optimizer,
                          const mnb_update* params, int32_t param_count,
                          const mnb_update_options* options, mnb_error* error) {
    return guard(error, [&] { update(of(device), *optimizer, params, param_count, *options); });
}

int32_t synchronize(mnb_device*, mnb_error*) {
    return MN_OK;
}

int32_t measure(mnb_device* device, mnb_peak* peak_out, mnb_error* error) {
    return guard(error, [&] { *peak_out = measure_peak(of(device)); });
}

constexpr mnb_backend backend = {
    sizeof(mnb_backend),
    MNB_VERSION,
    "cpu",
    open,
    close,
    describe,
    alloc,
    free_memory,
    copy,
    copy,
    1,  // shares_host_memory
    query,
    prepare,
    release,
    refresh,
    run,
    update_parameters,
    nullptr,  // begin
    nullptr,  // end
    nullptr,  // forget
    synchronize,
    nullptr,  // post
    nullptr,  // collect
    measure,
};

}  // namespace
}  // namespace mn::cpu

namespace mn {

const mnb_backend* cpu_backend() {
    return &cpu::backend;
}

}  // namespace mn
