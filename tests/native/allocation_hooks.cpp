#include "allocation_hooks.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<int64_t> allocations{0};
std::atomic<bool> armed{false}, failed{false};
std::atomic<int64_t> left{0};  // allocations before the one that fails

bool fails() noexcept {
    allocations++;
    if (!armed.load(std::memory_order_relaxed) || left-- != 0) return false;
    failed = true;
    return true;
}

void* allocate(std::size_t bytes) noexcept {
    return fails() ? nullptr : std::malloc(bytes ? bytes : 1);
}

// The address that malloc gave stands before the one that is handed out.
void* allocate(std::size_t bytes, std::align_val_t alignment) noexcept {
    const std::size_t align = static_cast<std::size_t>(alignment);
    if (fails() || bytes > PTRDIFF_MAX - align - sizeof(void*)) return nullptr;
    void* const memory = std::malloc(bytes + align + sizeof(void*));
    if (!memory) return nullptr;
    const uintptr_t first = reinterpret_cast<uintptr_t>(memory) + sizeof(void*);
    void** const result = reinterpret_cast<void**>((first + align - 1) / align * align);
    result[-1] = memory;
    return result;
}

void* or_throw(void* memory) {
    if (!memory) throw std::bad_alloc();
    return memory;
}

void release(void* memory, std::align_val_t) noexcept {
    if (memory) std::free(static_cast<void**>(memory)[-1]);
}

}  // namespace

void* operator new(std::size_t bytes) {
    return or_throw(allocate(bytes));
}
void* operator new[](std::size_t bytes) {
    return or_throw(allocate(bytes));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    return allocate(bytes);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
    return allocate(bytes);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return or_throw(allocate(bytes, alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
    return or_throw(allocate(bytes, alignment));
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return allocate(bytes, alignment);
}
void* operator new[](std::size_t bytes, std::align_val_t alignment,
                     const std::nothrow_t&) noexcept {
    return allocate(bytes, alignment);
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete[](void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, const std::nothrow_t&) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::align_val_t alignment) noexcept {
    release(memory, alignment);
}
void operator delete[](void* memory, std::align_val_t alignment) noexcept {
    release(memory, alignment);
}
void operator delete(void* memory, std::size_t, std::align_val_t alignment) noexcept {
    release(memory, alignment);
}
void operator delete[](void* memory, std::size_t, std::align_val_t alignment) noexcept {
    release(memory, alignment);
}
void operator delete(void* memory, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    release(memory, alignment);
}
void operator delete[](void* memory, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    release(memory, alignment);
}

namespace mn::test {

int64_t allocation_count() {
    return allocations;
}

FailingAllocation::FailingAllocation(int64_t first) {
    left = first;
    failed = false;
    armed = true;
}

FailingAllocation::~FailingAllocation() {
    armed = false;
}

bool FailingAllocation::has_failed() const {
    return failed;
}

}  // namespace mn::test
