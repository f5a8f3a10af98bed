#include "backend/cpu/memory.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <new>

#include "backend/cpu/cpu_features.h"
#include "graph/error.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace mn::cpu {
namespace {

constexpr size_t huge_page = size_t{2} << 20;
constexpr size_t large = size_t{64} << 20;

// What is free takes files to read, so it is looked at once in so many bytes.
constexpr uint64_t checked_bytes = uint64_t{4} << 20;
// Left to the rest of the process: stacks, page tables, the host program's own memory.
constexpr uint64_t spare_bytes = uint64_t{16} << 20;

// Taken since the last look.
std::atomic<uint64_t> unchecked{0};
// What one thread was allowed it has touched before another looks.
std::mutex checking;

uint64_t usable_bytes() {
    const uint64_t free = memory_free(), total = memory_total();
    const uint64_t bytes = free == unknown_memory ? total : std::min(free, total);
    return bytes - std::min(bytes, spare_bytes);
}

[[noreturn]] void refuse(uint64_t bytes, uint64_t usable) {
    Error failure(MN_OUT_OF_MEMORY,
                  usable == unknown_memory
                      ? text("cannot allocate ", bytes, " bytes of memory")
                      : text("cannot allocate ", bytes, " bytes of memory: ", usable, " are free"));
    failure.info().requested_bytes = bytes;
    failure.info().free_bytes = usable == unknown_memory ? 0 : usable;
    throw failure;
}

// Large buffers start on a huge page, which saves most misses of the address cache.
std::align_val_t alignment_of(size_t bytes) {
    return std::align_val_t{bytes >= huge_page ? huge_page : MNB_ALIGNMENT};
}

// By all threads: most of the time goes into the first touch of each page.
void clear(Device& device, void* memory, size_t bytes) {
    const int parts = static_cast<int>((bytes + large - 1) / large);
    device.pool.parallel_for(parts, [&](int part, int) {
        const size_t at = part * large;
        std::memset(static_cast<char*>(memory) + at, 0, std::min(large, bytes - at));
    });
}

}  // namespace

void expect_memory(uint64_t bytes) {
    const uint64_t usable = usable_bytes();
    if (bytes > usable) refuse(bytes, usable);
}

void* allocate(Device& device, size_t bytes) {
    const size_t size = std::max<size_t>(bytes, 1);
    std::unique_lock<std::mutex> lock(checking, std::defer_lock);
    if (unchecked.fetch_add(size) >= checked_bytes - std::min<uint64_t>(size, checked_bytes)) {
        lock.lock();
        unchecked = 0;
        expect_memory(size);
    }
    void* memory =
        size <= PTRDIFF_MAX ? ::operator new(size, alignment_of(bytes), std::nothrow) : nullptr;
    if (memory == nullptr) refuse(bytes, usable_bytes());
#if defined(__linux__)
    if (bytes >= huge_page) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    clear(device, memory, size);
    return memory;
}

void deallocate(void* memory, size_t bytes) {
    ::operator delete(memory, alignment_of(bytes));
}

}  // namespace mn::cpu
