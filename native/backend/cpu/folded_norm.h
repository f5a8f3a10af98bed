// The batch normalisation that is folded into a convolution: one factor and one shift a channel.

#pragma once

#include <cmath>

#include "backend/image.h"

namespace mn::cpu {

// With the convolution's sum without its bias: normalised = sum * factor + shift.
struct FoldedNorm {
    double factor, shift;

    FoldedNorm(const ImageNode& node, const mnb_run& run, int64_t channel) {
        const auto value = [&](int param) {
            return static_cast<double>(run.param[param][channel]);
        };
        const bool bias = node.desc.conv2d.bias != 0, affine = node.norm.affine != 0;
        const int first = 1 + bias, statistics = first + (affine ? 2 : 0);
        const double epsilon = static_cast<double>(node.norm.epsilon);
        factor = (affine ? value(first) : 1.0) / std::sqrt(value(statistics + 1) + epsilon);
        shift = ((bias ? value(1) : 0.0) - value(statistics)) * factor +
                (affine ? value(first + 1) : 0.0);
    }
};

}  // namespace mn::cpu
