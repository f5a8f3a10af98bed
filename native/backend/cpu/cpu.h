// Inside the CPU backend: the device, kernels, and the lists of implementations.

#pragma once

#include <memory>

#include "backend/cpu/thread_pool.h"
#include "backend/image.h"

namespace mn::cpu {

struct KernelTable;  // function pointers of one instruction set, kernels/table.h

struct Device {
    ThreadPool pool;
    const KernelTable* table = nullptr;  // of the chosen instruction set
    bool reference_only = false;
    const mnb_host* host = nullptr;

    explicit Device(int threads) : pool(threads) {}
};

// One node of one plan, ready to run. Constructed at compile time; run() allocates nothing.
class Kernel {
public:
    virtual ~Kernel() = default;
    virtual void refresh(Device&, const mnb_run&) {}
    virtual void run(Device&, const mnb_run&) = 0;
};

// One way to do an op. Lists of them are tried in order, best first; the last is the reference.
struct Implementation {
    const char* name;
    // Fills the support struct, or returns false if this implementation does not take the node.
    bool (*query)(const Device&, const ImageNode&, int direction, mnb_support&);
    std::unique_ptr<Kernel> (*create)(const Device&, const ImageNode&, int direction);
};

// Null-terminated by an entry without a name.
const Implementation* implementations(int op);

}  // namespace mn::cpu
