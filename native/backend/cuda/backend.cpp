// The plugin's one export and its entries of mnb_backend: exceptions inside become mnb_error here.

#include "backend/cuda/ops/ops.h"
#include "backend/guard.h"

namespace mn::cuda {
namespace {

Device& of(mnb_device* device) {
    return *reinterpret_cast<Device*>(device);
}
Kernel& of(mnb_kernel* kernel) {
    return *reinterpret_cast<Kernel*>(kernel);
}

using mn::guard;

// The same with the device's lock and context.
template <class Body>
int32_t guard(mnb_device* device, mnb_error* error, Body&& body) noexcept {
    return guard(error, [&] {
        Device::Turn turn(of(device));
        body(of(device));
    });
}

int32_t open(const mnb_host* host, const mn_device_desc* desc, mnb_device** device_out,
             mnb_error* error) {
    return guard(error, [&] {
        if (desc->flags & MN_DEVICE_REFERENCE_KERNELS)
            fail(MN_INVALID_ARGUMENT, "[device cuda] reference kernels are the CPU's");
        *device_out = reinterpret_cast<mnb_device*>(new Device(host, *desc));
    });
}

void close(mnb_device* device) {
    delete &of(device);
}

int32_t describe(mnb_device* device, mn_device_info* info_out, mnb_error* error) {
    return guard(error, [&] { of(device).describe(*info_out); });
}

int32_t alloc(mnb_device* device, size_t bytes, void** memory_out, mnb_error* error) {
    return guard(device, error, [&](Device& d) { *memory_out = d.alloc(bytes); });
}

void free_memory(mnb_device* device, void* memory, size_t bytes) {
    if (!memory) return;
    mnb_error error{};
    guard(device, &error, [&](Device& d) { d.free(memory, bytes); });
}

int32_t copy_in(mnb_device* device, void* dst, const void* src, size_t bytes, mnb_error* error) {
    return guard(device, error, [&](Device& d) {
        if (bytes > 0) d.copy_in(dst, src, bytes);
    });
}

int32_t copy_out(mnb_device* device, void* dst, const void* src, size_t bytes, mnb_error* error) {
    return guard(device, error, [&](Device& d) {
        if (bytes > 0) d.copy_out(dst, src, bytes);
    });
}

// What every op asks for: NCHW and PyTorch's order of parameters.
const Op* choose(Device& device, const ImageNode& node, int32_t direction, mnb_support& support) {
    support = mnb_support{};
    support.struct_size = sizeof support;
    const Op* op = find_op(node.op);
    if (!op || !op->query(node, direction, support)) return nullptr;
    if (op->adapt) op->adapt(device, node, direction, support);
    support.supported = 1;
    return op;
}

int32_t query(mnb_device* device, const mnb_node* node, int32_t direction, mnb_support* support_out,
              mnb_error* error) {
    return guard(device, error,
                 [&](Device& d) { choose(d, ImageNode(*node), direction, *support_out); });
}

bool is_dense(const ImageView& t) {
    const bool one_pixel = t.h * t.w == 1;
    return t.sn == t.c * t.h * t.w && (t.c == 1 || t.sc == t.h * t.w) &&
           (one_pixel || ((t.w == 1 || t.sw == 1) && (t.h == 1 || t.sh == t.w)));
}

int32_t prepare(mnb_device* device, const mnb_node* node, int32_t direction,
                mnb_kernel** kernel_out, mnb_error* error) {
    return guard(device, error, [&](Device& d) {
        mnb_support support;
        const ImageNode images(*node);
        const Op* op = choose(d, images, direction, support);
        if (!op) fail(MN_UNSUPPORTED, "[", node->name, "] is not supported by the CUDA backend");
        // A kernel trusts this; a wrong layout would only show in numbers.
        bool right = images.dst.rank == 0 || is_dense(images.dst);
        for (int32_t i = 0; i < node->source_count; i++) right = right && is_dense(images.src[i]);
        for (int32_t i = 0; i < node->param_count; i++)
            right = right && images.param[i].layout == MNB_PARAM_PLAIN;
        if (!right) fail(MN_INTERNAL, "[", node->name, "] is not in the layout of the backend");
        *kernel_out = reinterpret_cast<mnb_kernel*>(op->create(d, images, direction).release());
    });
}

void release(mnb_device* device, mnb_kernel* kernel) {
    mnb_error error{};
    guard(device, &error, [&](Device&) { delete &of(kernel); });
}

int32_t refresh(mnb_device*, mnb_kernel*, const mnb_run*, mnb_error*) {
    return MN_OK;  // no kernel asks for packed weights
}

int32_t run(mnb_device* device, mnb_kernel* kernel, const mnb_run* run, mnb_error* error) {
    return guard(device, error, [&](Device& d) { d.graphs().run(of(kernel), *run); });
}

int32_t update_parameters(mnb_device* device, const mn_optimizer_desc* optimizer,
                          const mnb_update* params, int32_t count,
                          const mnb_update_options* options, mnb_error* error) {
    return guard(device, error, [&](Device& d) { update(d, *optimizer, params, count, *options); });
}

int32_t begin(mnb_device* device, const mnb_sequence* sequence, mnb_error* error) {
    return guard(device, error, [&](Device& d) { d.begin(*sequence); });
}

int32_t end(mnb_device* device, int32_t complete, mnb_error* error) {
    return guard(device, error, [&](Device& d) { d.end(complete != 0); });
}

void forget(mnb_device* device, uint64_t owner) {
    mnb_error error{};
    guard(device, &error, [&](Device& d) { d.forget(owner); });
}

int32_t post(mnb_device* device, const void* src, size_t bytes, uint64_t* ticket_out,
             mnb_error* error) {
    return guard(device, error, [&](Device& d) { *ticket_out = d.post(src, bytes); });
}

// Without the device's lock while it waits.
int32_t collect(mnb_device* device, uint64_t ticket, void* dst, size_t bytes, mnb_error* error) {
    return guard(error, [&] { of(device).collect(ticket, dst, bytes); });
}

int32_t synchronize(mnb_device* device, mnb_error* error) {
    return guard(device, error, [&](Device& d) { d.synchronize(); });
}

constexpr mnb_backend kBackend = {
    sizeof(mnb_backend),
    MNB_VERSION,
    "cuda",
    open,
    close,
    describe,
    alloc,
    free_memory,
    copy_in,
    copy_out,
    0,  // shares_host_memory
    query,
    prepare,
    release,
    refresh,
    run,
    update_parameters,
    begin,
    end,
    forget,
    synchronize,
    post,
    collect,
    nullptr,  // measure
};

}  // namespace
}  // namespace mn::cuda

// Null if the core was built for another version of the interface.
extern "C" MN_API const mnb_backend* mnb_plugin_init(uint32_t version) {
    return version == MNB_VERSION ? &mn::cuda::kBackend : nullptr;
}
