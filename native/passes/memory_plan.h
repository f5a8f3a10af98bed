// Places buffers in one arena: those whose lifetimes do not overlap may share memory.

#pragma once

#include <cstdint>
#include <vector>

#include "passes/program.h"

namespace mn {

// A buffer that is in use from the step `first` to the step `last`, both included.
struct Lifetime {
    int64_t bytes = 0;
    int32_t first = 0;
    int32_t last = -1;  // below first: never used
};

// Sets offsets[i], aligned to MNB_ALIGNMENT, for every lifetime; returns the arena's size.
int64_t place(const std::vector<Lifetime>& lifetimes, std::vector<int64_t>& offsets);

struct MemoryPlan {
    std::vector<int64_t> storage;    // offset of each of the program's storages, -1: unused
    std::vector<int64_t> saved;      // offset of each operation's saved state, -1: none
    std::vector<int64_t> workspace;  // offset of each step's workspace, -1: none
    int64_t arena_bytes = 0;
    int64_t workspace_bytes = 0;  // the largest one; it is a part of the arena
};

MemoryPlan plan_memory(const Program& program);

}  // namespace mn
