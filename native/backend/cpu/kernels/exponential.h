// Exponentials of vectors, for exponents that are not above 0. The polynomial is a minimax fit
// (Remez exchange in 40 digits), rounded to float.

#pragma once

#include "backend/cpu/kernels/vec.h"

namespace mn::cpu::MN_ISA {

// exp(x) = scale (1 + rest), with scale a power of two and |rest| < 0.42, for x <= 0 and NaN.
// Below -88 the scale is 0.
struct Exponential {
    Vec scale, rest;
};

MN_INLINE Exponential exponential(Vec x) {
    x = x < splat(-88.0f) ? splat(-88.0f) : x;
    // An addition of 1.5 2^23 rounds to the nearest whole number, n, and leaves it in the lowest
    // bits.
    const Vec shifted = x * splat(1.44269504f) + splat(0x1.8p23f);
    const Vec n = shifted - splat(0x1.8p23f);
    // ln 2 in two parts: n times the first is exact.
    const Vec r = x - n * splat(0.693359375f) + n * splat(2.12194440e-4f);
    // exp(r) = 1 + r + r^2 q(r) to 3e-9 for |r| <= ln(2) / 2.
    Vec q = splat(0.00138145401f);
    q = q * r + splat(0.00836874511f);
    q = q * r + splat(0.0416683908f);
    q = q * r + splat(0.166665204f);
    q = q * r + splat(0.499999934f);
    const IntVec bits = (reinterpret_cast<IntVec>(shifted) + 127) << 23;
    return {reinterpret_cast<Vec>(bits), r + r * r * q};
}

MN_INLINE Vec exp(Vec x) {
    const Exponential e = exponential(x);
    return e.scale + e.scale * e.rest;
}
MN_INLINE Vec expm1(Vec x) {
    const Exponential e = exponential(x);
    return e.scale * e.rest + (e.scale - 1.0f);
}

}  // namespace mn::cpu::MN_ISA
