// Convolutions one product at a time. The fast ways transform values, leave out zeros or multiply
// by the zeros of a border. Where a value is not finite, or so large that it overflows on the way,
// that gives something else than the sum of the products; such results are made again here.

#pragma once

#include "backend/cpu/kernels/image.h"

namespace mn::cpu::MN_ISA {

// Lanes of channels [o, o + kLanes) of the results of image n at [y0, y0 + size) x [x0, x0 + size),
// without bias: r[size * size], of which lanes are made again that somewhere are not finite.
void redo_results(const ConvForward& op, int64_t n, int64_t y0, int64_t x0, int64_t size, int64_t o,
                  Vec* r);

// Part of the gradient of the results: rows of `width` pixels, `pixel` floats apart, whose first is
// (top, left).
struct GradientStrip {
    const float* data;
    int64_t top, left, width, pixel;
};

// The same for the gradient by the source, channels from i on.
void redo_diff_src(const ConvBackward& op, const GradientStrip& strip, int64_t y0, int64_t x0,
                   int64_t size, int64_t i, Vec* r);

// The gradient by the weights: lanes of outputs from o on, one tap, input i of the group; summed
// over all images. Lanes of v that are finite stay.
Vec redo_filter(const ConvBackward& op, int64_t o, int64_t tap, int64_t i, Vec v);

}  // namespace mn::cpu::MN_ISA
