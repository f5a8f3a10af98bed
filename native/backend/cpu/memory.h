// The memory that tensors live in. A system hands out more than there is and ends the process when
// it is used, so whatever is sizeable is held against what is left before it is taken.

#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/cpu.h"

namespace mn::cpu {

// Throws MN_OUT_OF_MEMORY, with what was asked for and what is free, unless that many bytes more
// can be used.
void expect_memory(uint64_t bytes);

// Aligned to MNB_ALIGNMENT at least, contents zero. Throws MN_OUT_OF_MEMORY.
void* allocate(Device& device, size_t bytes);
void deallocate(void* memory, size_t bytes);

}  // namespace mn::cpu
