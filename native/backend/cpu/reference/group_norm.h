// Group normalisation, which layer normalisation of features is, too: one group.

#pragma once

#include "backend/cpu/reference/common.h"

namespace mn::cpu::reference {

void group_norm_support(const Device& device, const ImageNode& node, int64_t groups, int direction,
                        mnb_support& support);
std::unique_ptr<Kernel> make_group_norm(const Device& device, const ImageNode& node, int64_t groups,
                                        double epsilon, bool affine, int direction);

}  // namespace mn::cpu::reference
