// A second, independent forward pass of every op, in double precision throughout.

#pragma once

#include <vector>

#include "kernel_harness.h"

namespace mn::test {

struct DoubleOperands {
    std::vector<Doubles> src, param;

    explicit DoubleOperands(const OpCase& op_case);
};

// The op's result in the order n, c, h, w; of a loss its numerator times its weight.
Doubles double_forward(const OpCase& op_case, const DoubleOperands& operands, bool training = true);

// The same for the ops of op_cases_norm.cpp; false: the op is none of them.
bool norm_double_forward(const OpCase& op_case, const DoubleOperands& operands, bool training,
                         Doubles& result);

// The same for the ops of op_cases_structure.cpp.
bool structure_double_forward(const OpCase& op_case, const DoubleOperands& operands,
                              Doubles& result);

}  // namespace mn::test
