#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Saves the registers that a call keeps and the stack pointer at *save, and goes on at `load`.
// Switching by ucontext would call the kernel each time: two hundred times slower.
extern "C" void mn_emulation_switch(void** save, void* load);

#if defined(__x86_64__)
asm(R"(
.text
.type mn_emulation_switch, @function
mn_emulation_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size mn_emulation_switch, .-mn_emulation_switch
)");
#elif defined(__aarch64__)
asm(R"(
.text
.type mn_emulation_switch, %function
mn_emulation_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size mn_emulation_switch, .-mn_emulation_switch
)");
#else
#error "the emulation switches stacks on x86-64 and aarch64"
#endif

namespace mn::emulation {
namespace {

constexpr size_t stack_bytes = 128 * 1024;

// Of the thread that resumed the running fiber.
void* resumer_stack_pointer = nullptr;
Fiber* running = nullptr;

#if defined(__SANITIZE_ADDRESS__)
const void* resumer_bottom = nullptr;
size_t resumer_size = 0;
#endif

size_t guard_bytes() {
    return static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

Fiber::Fiber() {
    void* memory = mmap(nullptr, guard_bytes() + stack_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<char*>(memory);
    // A stack that overflows ends the test instead of changing another's values.
    mprotect(memory_, guard_bytes(), PROT_NONE);
}

Fiber::~Fiber() {
    munmap(memory_, guard_bytes() + stack_bytes);
}

void Fiber::start(Body body) {
    body_ = body;
    char* const bottom = memory_ + guard_bytes();
    char* const top = bottom + stack_bytes;
#if defined(__SANITIZE_ADDRESS__)
    // A fiber that was given up in the middle has left its marks.
    __asan_unpoison_memory_region(bottom, stack_bytes);
#endif
    void (*const entry)() = &Fiber::main;
#if defined(__x86_64__)
    // Six registers, the address to return to, and the place where a call would have put its own.
    char* const frame = top - 64;
    std::memset(frame, 0, 64);
    std::memcpy(frame + 48, &entry, sizeof entry);
#else
    char* const frame = top - 160;
    std::memset(frame, 0, 160);
    std::memcpy(frame + 88, &entry, sizeof entry);
#endif
    stack_pointer_ = frame;
}

void Fiber::resume() {
    running = this;
#if defined(__SANITIZE_ADDRESS__)
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, memory_ + guard_bytes(), stack_bytes);
#endif
    mn_emulation_switch(&resumer_stack_pointer, stack_pointer_);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

void Fiber::suspend([[maybe_unused]] bool for_good) {
#if defined(__SANITIZE_ADDRESS__)
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_stack, resumer_bottom, resumer_size);
#endif
    mn_emulation_switch(&stack_pointer_, resumer_stack_pointer);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack, &resumer_bottom, &resumer_size);
#endif
}

void Fiber::main() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &resumer_bottom, &resumer_size);
#endif
    running->body_();
    running->suspend(true);
    std::abort();  // nobody resumes a fiber that has ended
}

}  // namespace mn::emulation
