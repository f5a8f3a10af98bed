// How the floating-point unit of a thread treats numbers: rounding, exceptions, denormals.

#pragma once

#include <cstdint>

namespace mn {

// For its own lifetime, the thread computes in one of two modes; then it has its caller's again.
// Both round to nearest and mask all exceptions.
class FloatMode {
public:
    enum Kind {
        // Denormal operands and results are zeros. Processors take a hundred times longer for
        // them, and what decays (an optimizer's moments, say) would keep running into them. All
        // threads that compute are in this mode, so that results do not depend on the caller's, or
        // on how many threads there are.
        kCompute,
        // As a C program starts: for what is not ours, such as callbacks.
        kStandard
    };

    explicit FloatMode(Kind kind) : before_(get()) {
        set(kind == kCompute ? compute_mode : standard_mode);
    }
    ~FloatMode() { set(before_); }
    FloatMode(const FloatMode&) = delete;
    FloatMode& operator=(const FloatMode&) = delete;

private:
#if defined(__x86_64__)
    using Control = uint32_t;                         // MXCSR
    static constexpr Control standard_mode = 0x1f80;  // all exceptions masked
    static constexpr Control compute_mode =
        standard_mode | 0x8040;  // flush to zero, denormals are zeros
    static Control get() {
        return __builtin_ia32_stmxcsr();
    }
    static void set(Control control) {
        __builtin_ia32_ldmxcsr(control);
    }
#elif defined(__aarch64__)
    using Control = uint64_t;  // FPCR
    static constexpr Control standard_mode = 0;
    static constexpr Control compute_mode = Control{1} << 24;  // FZ: operands and results
    static Control get() {
        Control control;
        asm volatile("mrs %0, fpcr" : "=r"(control));
        return control;
    }
    static void set(Control control) {
        asm volatile("msr fpcr, %0" : : "r"(control) : "memory");
    }
#else
    using Control = uint32_t;
    static constexpr Control standard_mode = 0, compute_mode = 0;
    static Control get() {
        return 0;
    }
    static void set(Control) {}
#endif

    Control before_;
};

}  // namespace mn
