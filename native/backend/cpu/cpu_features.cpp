#include "backend/cpu/cpu_features.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "graph/error.h"

#if defined(_WIN32)
#define NOMINMAX
#include <windows.h>
#else
#include <unistd.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace mn::cpu {
namespace {

constexpr int max_threads = MN_MAX_THREADS;

#if defined(__linux__)
// The whole of a small file of /proc or /sys; "" if there is none.
std::string read_text(const std::string& path) {
    std::string text;
    if (std::FILE* file = std::fopen(path.c_str(), "rb")) {
        char buffer[4096];
        size_t got;
        while ((got = std::fread(buffer, 1, sizeof buffer, file)) > 0) text.append(buffer, got);
        std::fclose(file);
    }
    return text;
}
#endif

#if defined(__linux__) || defined(__x86_64__)
std::string trim(const std::string& text) {
    const size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string::npos) return "";
    return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}
#endif

#if defined(__x86_64__)

struct Registers {
    uint32_t eax, ebx, ecx, edx;
};

// The compiler's own test for features needs run-time support that not every linker brings.
Registers cpuid(uint32_t leaf, uint32_t subleaf = 0) {
    Registers r;
    asm volatile("cpuid"
                 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                 : "a"(leaf), "c"(subleaf));
    return r;
}

// Which register state the operating system saves.
uint64_t xgetbv() {
    uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return uint64_t{high} << 32 | low;
}

bool has_all(uint32_t bits, std::initializer_list<int> positions) {
    return std::all_of(positions.begin(), positions.end(),
                       [bits](int position) { return (bits >> position & 1) != 0; });
}

std::vector<Isa> detect_sets() {
    std::vector<Isa> sets = {Isa::base};
    if (cpuid(0).eax < 7) return sets;
    const uint32_t ecx1 = cpuid(1).ecx;
    // FMA, OSXSAVE, AVX, F16C
    if (!has_all(ecx1, {12, 27, 28, 29})) return sets;
    const uint64_t state = xgetbv();
    const uint64_t ymm = 0x06;
    const uint64_t zmm = 0xe6;
    const uint32_t ebx7 = cpuid(7).ebx;
    // AVX2, BMI2
    if ((state & ymm) != ymm || !has_all(ebx7, {5, 8})) return sets;
    sets.push_back(Isa::avx2);
    // AVX-512 F, DQ, CD, BW, VL
    if ((state & zmm) == zmm && has_all(ebx7, {16, 17, 28, 30, 31})) sets.push_back(Isa::avx512);
    return sets;
}

std::string detect_name() {
    if (cpuid(0x80000000u).eax < 0x80000004u) return "x86-64 processor";
    char text[49] = {};
    for (uint32_t i = 0; i < 3; ++i) {
        const Registers r = cpuid(0x80000002u + i);
        std::memcpy(text + 16 * i, &r, 16);
    }
    const std::string name = trim(text);
    return name.empty() ? "x86-64 processor" : name;
}

#else

std::vector<Isa> detect_sets() {
    return {Isa::neon};
}

std::string detect_name() {
#if defined(__linux__)
    // Some kernels name the model here; most arm64 ones do not.
    const std::string content = read_text("/proc/cpuinfo");
    for (const char* key : {"model name", "Model", "Hardware"}) {
        const size_t at = content.find(std::string("\n") + key);
        if (at == std::string::npos) continue;
        const size_t colon = content.find(':', at);
        if (colon == std::string::npos) continue;
        const std::string name =
            trim(content.substr(colon + 1, content.find('\n', colon) - colon - 1));
        if (!name.empty()) return name;
    }
#elif defined(__APPLE__)
    char text[256] = {};
    size_t size = sizeof text - 1;
    if (sysctlbyname("machdep.cpu.brand_string", text, &size, nullptr, 0) == 0 && text[0] != 0)
        return text;
#endif
    return "ARM64 processor";
}

#endif

std::string names_of(const std::vector<Isa>& sets) {
    std::string names;
    for (Isa isa : sets) names += (names.empty() ? "" : ", ") + std::string(isa_name(isa));
    return names;
}

#if defined(__linux__)

// Calls visit(directory) for the group `path` below `mount` and for all groups around it, whose
// limits hold too. Inside a container the path is often the host's and not to be found; the
// container's own group is then the mount itself.
template <class Visit>
void visit_groups(const std::string& mount, std::string path, Visit visit) {
    while (!path.empty() && path != "/") {
        visit(mount + path);
        path.erase(path.find_last_of('/'));
    }
    visit(mount);
}

struct ControlGroup {
    bool unified;             // version 2
    std::string controllers;  // version 1: "cpu,cpuacct"
    std::string path;
};

std::vector<ControlGroup> parse_groups(const std::string& text) {
    std::vector<ControlGroup> groups;
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        const std::string line = text.substr(at, end - at);
        at = end + 1;
        const size_t first = line.find(':');
        const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        ControlGroup group;
        group.controllers = line.substr(first + 1, second - first - 1);
        group.unified = group.controllers.empty();
        group.path = line.substr(second + 1);
        groups.push_back(group);
    }
    return groups;
}

bool names_controller(const std::string& controllers, const std::string& name) {
    return ("," + controllers + ",").find("," + name + ",") != std::string::npos;
}

// The number in a file, or after `key` in one of lines "key number"; unknown_memory if there is
// none ("max" is no limit).
uint64_t read_number(const std::string& path, const std::string& key = "") {
    const std::string content = "\n" + read_text(path);
    const std::string before = key.empty() ? "\n" : "\n" + key + " ";
    const size_t at = content.find(before);
    if (at == std::string::npos) return unknown_memory;
    const char* begin = content.c_str() + at + before.size();
    char* end = nullptr;
    const unsigned long long number = std::strtoull(begin, &end, 10);
    return end == begin ? unknown_memory : number;
}

// Calls visit(limit, in use, taken back first) for each group that limits memory.
template <class Visit>
void visit_memory_groups(const std::string& groups, const std::string& root, Visit visit) {
    const auto look = [&](const std::string& dir, const char* limit, const char* used,
                          const char* inactive) {
        const uint64_t bytes = read_number(dir + limit);
        if (bytes != unknown_memory)
            visit(bytes, read_number(dir + used), read_number(dir + "/memory.stat", inactive));
    };
    for (const ControlGroup& group : parse_groups(groups)) {
        if (group.unified)
            visit_groups(root, group.path, [&](const std::string& dir) {
                look(dir, "/memory.max", "/memory.current", "inactive_file");
            });
        else if (names_controller(group.controllers, "memory"))
            visit_groups(root + "/memory", group.path, [&](const std::string& dir) {
                look(dir, "/memory.limit_in_bytes", "/memory.usage_in_bytes",
                     "total_inactive_file");
            });
    }
}

int affinity_processors() {
    // The set has to be as large as the kernel's, whose size is not known.
    for (int capacity = 1024; capacity <= 1 << 20; capacity *= 4) {
        cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(capacity));
        if (set == nullptr) return 0;
        const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(capacity));
        const bool known = sched_getaffinity(0, bytes, set) == 0;
        const int count = known ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (known) return count;
    }
    return 0;
}

#endif

}  // namespace

const char* isa_name(Isa isa) {
    switch (isa) {
        case Isa::base:
            return "base";
        case Isa::avx2:
            return "avx2";
        case Isa::avx512:
            return "avx512";
        case Isa::neon:
            return "neon";
    }
    return "";
}

CpuFeatures detect_cpu() {
    return {detect_sets(), detect_name()};
}

Isa choose_isa(const CpuFeatures& features, const char* forced) {
    if (forced == nullptr || forced[0] == 0) return features.sets.back();
    for (Isa isa : features.sets)
        if (std::strcmp(forced, isa_name(isa)) == 0) return isa;
    Error error(MN_DEVICE_UNAVAILABLE,
                text("MNISTNATIVE_ISA=", forced, " cannot be used: this machine (", features.name,
                     ") has ", names_of(features.sets)));
    error.info().reason = MN_REASON_INSTRUCTION_SET;
    throw error;
}

int choose_threads(int requested, const char* environment, int available) {
    if (requested < 0 || requested > max_threads)
        fail(MN_INVALID_ARGUMENT, "the number of threads must be 1 to ", max_threads,
             ", or 0 to choose it automatically, got ", requested);
    if (requested > 0) return requested;
    if (environment != nullptr && environment[0] != 0) {
        char* end = nullptr;
        const long value = std::strtol(environment, &end, 10);
        if (end == environment || *end != 0 || value < 1 || value > max_threads)
            fail(MN_INVALID_ARGUMENT, "MNISTNATIVE_NUM_THREADS must be a number from 1 to ",
                 max_threads, ", got \"", environment, "\"");
        return static_cast<int>(value);
    }
    return std::min(std::max(available, 1), max_threads);
}

int control_group_processors(const std::string& groups, const std::string& root) {
    double least = 0;
#if defined(__linux__)
    const auto take = [&](double quota, double period) {
        if (quota > 0 && period > 0 && (least == 0 || quota / period < least))
            least = quota / period;
    };
    for (const ControlGroup& group : parse_groups(groups)) {
        if (group.unified) {
            visit_groups(root, group.path, [&](const std::string& dir) {
                double quota, period;  // "max 100000" is no limit
                if (std::sscanf(read_text(dir + "/cpu.max").c_str(), "%lf %lf", &quota, &period) ==
                    2)
                    take(quota, period);
            });
        } else if (names_controller(group.controllers, "cpu")) {
            for (const std::string& mount : {root + "/" + group.controllers, root + "/cpu"})
                visit_groups(mount, group.path, [&](const std::string& dir) {
                    const std::string quota = read_text(dir + "/cpu.cfs_quota_us");
                    const std::string period = read_text(dir + "/cpu.cfs_period_us");
                    take(std::atof(quota.c_str()), std::atof(period.c_str()));  // -1: no limit
                });
        }
    }
#else
    (void)groups;
    (void)root;
#endif
    return static_cast<int>(std::ceil(least));
}

int available_processors() {
    int count = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
    if (const int usable = affinity_processors(); usable > 0) count = usable;
    const int quota = control_group_processors(read_text("/proc/self/cgroup"), "/sys/fs/cgroup");
    if (quota > 0) count = std::min(count, quota);
#endif
    return std::max(count, 1);
}

uint64_t control_group_memory(const std::string& groups, const std::string& root) {
    uint64_t least = unknown_memory;
#if defined(__linux__)
    visit_memory_groups(
        groups, root, [&](uint64_t limit, uint64_t, uint64_t) { least = std::min(least, limit); });
#else
    (void)groups;
    (void)root;
#endif
    return least;
}

uint64_t control_group_memory_left(const std::string& groups, const std::string& root) {
    uint64_t least = unknown_memory;
#if defined(__linux__)
    visit_memory_groups(groups, root, [&](uint64_t limit, uint64_t used, uint64_t inactive) {
        if (used == unknown_memory) used = 0;
        if (inactive != unknown_memory) used -= std::min(used, inactive);
        least = std::min(least, limit - std::min(limit, used));
    });
#else
    (void)groups;
    (void)root;
#endif
    return least;
}

uint64_t memory_total() {
#if defined(_WIN32)
    MEMORYSTATUSEX status;
    status.dwLength = sizeof status;
    return GlobalMemoryStatusEx(&status) ? status.ullTotalPhys : unknown_memory;
#elif defined(__APPLE__)
    uint64_t bytes = 0;
    size_t size = sizeof bytes;
    return sysctlbyname("hw.memsize", &bytes, &size, nullptr, 0) == 0 ? bytes : unknown_memory;
#else
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long page = sysconf(_SC_PAGESIZE);
    if (pages <= 0 || page <= 0) return unknown_memory;
    uint64_t bytes = static_cast<uint64_t>(pages) * static_cast<uint64_t>(page);
#if defined(__linux__)
    bytes = std::min(bytes, control_group_memory(read_text("/proc/self/cgroup"), "/sys/fs/cgroup"));
#endif
    return bytes;
#endif
}

uint64_t memory_free() {
#if defined(_WIN32)
    MEMORYSTATUSEX status;
    status.dwLength = sizeof status;
    return GlobalMemoryStatusEx(&status) ? status.ullAvailPhys : unknown_memory;
#elif defined(__linux__)
    // In KiB.
    const uint64_t available = read_number("/proc/meminfo", "MemAvailable:");
    return std::min(available == unknown_memory ? available : available * 1024,
                    control_group_memory_left(read_text("/proc/self/cgroup"), "/sys/fs/cgroup"));
#else
    return unknown_memory;
#endif
}

}  // namespace mn::cpu
