// What the machine is: instruction sets, processors, memory.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mn::cpu {

enum class Isa { base, avx2, avx512, neon };

struct CpuFeatures {
    std::vector<Isa> sets;  // that the machine and this build both have, weakest first; never empty
    std::string name;       // of the processor
};

const char* isa_name(Isa isa);

CpuFeatures detect_cpu();

// The instruction set to use: the one that `forced` names or, where that is null or empty, the
// strongest. Throws Error (MN_DEVICE_UNAVAILABLE, MN_REASON_INSTRUCTION_SET).
Isa choose_isa(const CpuFeatures& features, const char* forced);

// Number of threads: `requested`, or if that is 0 what `environment` (the text of
// MNISTNATIVE_NUM_THREADS, may be null) says, or `available`. Throws Error.
int choose_threads(int requested, const char* environment, int available);

// Processors that this process may use: its affinity, limited by the quota of its control group,
// rounded up. At least 1.
int available_processors();

constexpr uint64_t unknown_memory = UINT64_MAX;

// Bytes of memory that this process may use at most, and how many more it may use now: what the
// machine and each of its control groups have.
uint64_t memory_total();
uint64_t memory_free();

// What the control groups named in `groups` (the text of /proc/self/cgroup) have, read below `root`
// (/sys/fs/cgroup); unknown_memory where there is no limit. What is left until a group reaches its
// limit: what is in use counts, but not the pages of files that the kernel would take back first.
uint64_t control_group_memory(const std::string& groups, const std::string& root);
uint64_t control_group_memory_left(const std::string& groups, const std::string& root);

// Processors that the control groups named in `groups` (the text of /proc/self/cgroup) allow,
// rounded up, read below `root` (/sys/fs/cgroup); 0 if there is no limit.
int control_group_processors(const std::string& groups, const std::string& root);

}  // namespace mn::cpu
