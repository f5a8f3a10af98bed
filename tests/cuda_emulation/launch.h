// Runs kernels of the host build: what cuLaunchKernel of the stand-in ends in.

#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda_host.h"

namespace mn::emulation {

struct HostKernel {
    std::string name;
    size_t param_bytes = 0;
    bool barriers = false;
    Entry entry = nullptr;
};

// Null if there is none of that name.
const HostKernel* find_kernel(const std::string& name);

// What a kernel did that is not allowed; on a device it would hang, fault or be undefined.
struct Fault : std::runtime_error {
    using std::runtime_error::runtime_error;
};

constexpr size_t max_shared_bytes = 48 * 1024;
constexpr unsigned max_block_threads = 1024;

// Throws Fault. `seed` decides the order of blocks and threads.
void run_kernel(const HostKernel& kernel, Index3 grid, Index3 block, size_t shared_bytes,
                const void* params, uint64_t seed);

}  // namespace mn::emulation
