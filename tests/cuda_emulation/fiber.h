// A thread of a block: a stack of its own, and switching to and from it.

#pragma once

#include <cstddef>

namespace mn::emulation {

// One stack, reused for one function after another. Switching keeps no exception: none may leave
// the function.
class Fiber {
public:
    using Body = void (*)();

    Fiber();
    ~Fiber();
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;

    // Forgets what ran on the stack; resume() will call body.
    void start(Body body);
    // Runs until the fiber suspends itself or its body returns.
    void resume();
    // Called on the fiber's own stack.
    void suspend(bool for_good = false);

private:
    [[noreturn]] static void main();

    char* memory_ = nullptr;
    void* stack_pointer_ = nullptr;
    Body body_ = nullptr;
};

}  // namespace mn::emulation
