#include "backend/cpu/cpu_features.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#if defined(__linux__)
#include <sys/stat.h>
#endif

#include "graph/error.h"

namespace mn::cpu {
namespace {

TEST(CpuFeatures, ThisMachineHasANameAndAnInstructionSet) {
    const CpuFeatures features = detect_cpu();
    EXPECT_FALSE(features.name.empty());
    ASSERT_FALSE(features.sets.empty());
#if defined(__x86_64__)
    EXPECT_EQ(features.sets[0], Isa::base);
#else
    EXPECT_EQ(features.sets[0], Isa::neon);
#endif
    EXPECT_GT(memory_total(), uint64_t{1} << 20);
    EXPECT_GE(available_processors(), 1);
}

#if defined(__linux__) && defined(__x86_64__)
TEST(CpuFeatures, AgreeWithTheKernel) {
    std::ifstream file("/proc/cpuinfo");
    std::string line, flags;
    while (std::getline(file, line))
        if (line.rfind("flags", 0) == 0) flags = line + " ";
    if (flags.empty()) GTEST_SKIP() << "/proc/cpuinfo names no flags";
    const std::vector<Isa> sets = detect_cpu().sets;
    const auto has = [&](Isa isa) {
        return std::find(sets.begin(), sets.end(), isa) != sets.end();
    };
    const auto all = [&](std::initializer_list<const char*> names) {
        return std::all_of(names.begin(), names.end(), [&](const char* name) {
            return flags.find(" " + std::string(name) + " ") != std::string::npos;
        });
    };
    const bool avx2 = all({"avx2", "fma", "bmi2", "f16c"});
    EXPECT_EQ(has(Isa::avx2), avx2);
    EXPECT_EQ(has(Isa::avx512),
              avx2 && all({"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"}));
}
#endif

TEST(ChooseIsa, TakesTheStrongestOrTheOneAskedFor) {
    const CpuFeatures features = {{Isa::base, Isa::avx2}, "Test Processor"};
    EXPECT_EQ(choose_isa(features, nullptr), Isa::avx2);
    EXPECT_EQ(choose_isa(features, ""), Isa::avx2);
    EXPECT_EQ(choose_isa(features, "base"), Isa::base);
}

TEST(ChooseIsa, RefusesWhatIsMissingOrUnknown) {
    const CpuFeatures features = {{Isa::base, Isa::avx2}, "Test Processor"};
    for (const char* name : {"avx512", "neon", "sse9", "AVX2"}) {
        try {
            choose_isa(features, name);
            FAIL() << name;
        } catch (const Error& error) {
            EXPECT_EQ(error.info().status, MN_DEVICE_UNAVAILABLE);
            EXPECT_EQ(error.info().reason, MN_REASON_INSTRUCTION_SET);
            const std::string text = error.what();
            EXPECT_NE(text.find(name), std::string::npos) << text;
            EXPECT_NE(text.find("Test Processor"), std::string::npos) << text;
            EXPECT_NE(text.find("base, avx2"), std::string::npos) << text;
        }
    }
}

TEST(ChooseThreads, ArgumentThenEnvironmentThenMachine) {
    EXPECT_EQ(choose_threads(3, "5", 8), 3);
    EXPECT_EQ(choose_threads(0, "5", 8), 5);
    EXPECT_EQ(choose_threads(0, "", 8), 8);
    EXPECT_EQ(choose_threads(0, nullptr, 8), 8);
    EXPECT_EQ(choose_threads(0, nullptr, 0), 1);
    EXPECT_EQ(choose_threads(1024, nullptr, 8), 1024);
}

TEST(ChooseThreads, RefusesNonsense) {
    for (int requested : {-1, 1025})
        EXPECT_THROW(choose_threads(requested, nullptr, 8), Error) << requested;
    for (const char* text : {"0", "-2", "1025", "two", "4x", "4 ", "99999999999999999999"}) {
        try {
            choose_threads(0, text, 8);
            FAIL() << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.info().status, MN_INVALID_ARGUMENT);
            EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
        }
    }
}

#if defined(__linux__)

class ControlGroupTest : public testing::Test {
protected:
    ControlGroupTest() {
        std::string pattern = testing::TempDir() + "cgroup-XXXXXX";
        root_ = mkdtemp(pattern.data());
    }
    ~ControlGroupTest() override { std::filesystem::remove_all(root_); }

    void write(const std::string& path, const std::string& text) const {
        // Not create_directories: zig's stat for arm64 and glibc 2.17 takes an existing folder for
        // none.
        for (size_t end = path.find('/', 1); end != std::string::npos;
             end = path.find('/', end + 1))
            mkdir((root_ + path.substr(0, end)).c_str(), 0700);
        std::ofstream(root_ + path) << text;
    }

    std::string root_;
};

TEST_F(ControlGroupTest, Version2) {
    const std::string groups = "0::/outer/inner\n";
    EXPECT_EQ(control_group_processors(groups, root_), 0);
    write("/outer/inner/cpu.max", "max 100000\n");
    EXPECT_EQ(control_group_processors(groups, root_), 0);
    write("/outer/inner/cpu.max", "250000 100000\n");
    EXPECT_EQ(control_group_processors(groups, root_), 3);
    write("/outer/cpu.max", "50000 100000\n");  // an outer group is stricter
    EXPECT_EQ(control_group_processors(groups, root_), 1);
}

TEST_F(ControlGroupTest, Version2InAContainer) {
    write("/cpu.max", "200000 100000\n");
    EXPECT_EQ(control_group_processors("0::/\n", root_), 2);
    EXPECT_EQ(control_group_processors("0::/../host/path\n", root_), 2);
}

TEST_F(ControlGroupTest, Version1) {
    const std::string groups = "3:memory:/docker/x\n2:cpu,cpuacct:/docker/x\n1:cpuset:/docker/x\n";
    write("/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "-1\n");
    write("/cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n");
    EXPECT_EQ(control_group_processors(groups, root_), 0);
    write("/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "150000\n");
    EXPECT_EQ(control_group_processors(groups, root_), 2);
}

TEST_F(ControlGroupTest, Version1WhereTheMountIsTheGroup) {
    write("/cpu/cpu.cfs_quota_us", "400000\n");
    write("/cpu/cpu.cfs_period_us", "100000\n");
    EXPECT_EQ(control_group_processors("2:cpu,cpuacct:/docker/x\n", root_), 4);
}

TEST_F(ControlGroupTest, MemoryOfVersion2) {
    const std::string groups = "0::/outer/inner\n";
    EXPECT_EQ(control_group_memory(groups, root_), unknown_memory);
    EXPECT_EQ(control_group_memory_left(groups, root_), unknown_memory);
    write("/outer/inner/memory.max", "max\n");
    write("/outer/inner/memory.current", "400\n");
    EXPECT_EQ(control_group_memory_left(groups, root_), unknown_memory);
    write("/outer/inner/memory.max", "1000\n");
    EXPECT_EQ(control_group_memory(groups, root_), 1000);
    EXPECT_EQ(control_group_memory_left(groups, root_), 600);
    // The page cache that the kernel takes back first is as good as free.
    write("/outer/inner/memory.stat", "anon 50\nfile 350\ninactive_file 300\nactive_file 50\n");
    EXPECT_EQ(control_group_memory_left(groups, root_), 900);
    write("/outer/memory.max", "2000\n");  // an outer group has less left
    write("/outer/memory.current", "1900\n");
    EXPECT_EQ(control_group_memory(groups, root_), 1000);
    EXPECT_EQ(control_group_memory_left(groups, root_), 100);
    write("/outer/memory.current", "2100\n");
    EXPECT_EQ(control_group_memory_left(groups, root_), 0);
}

TEST_F(ControlGroupTest, MemoryOfVersion1) {
    const std::string groups = "3:memory:/docker/x\n2:cpu,cpuacct:/docker/x\n";
    write("/memory/docker/x/memory.limit_in_bytes", "1000\n");
    write("/memory/docker/x/memory.usage_in_bytes", "700\n");
    write("/memory/docker/x/memory.stat", "cache 9\ninactive_file 1\ntotal_inactive_file 200\n");
    EXPECT_EQ(control_group_memory(groups, root_), 1000);
    EXPECT_EQ(control_group_memory_left(groups, root_), 500);
    // Not to be found by the host's path: the mount is the group.
    write("/memory/memory.limit_in_bytes", "900\n");
    EXPECT_EQ(control_group_memory("3:memory:/other\n", root_), 900);
    EXPECT_EQ(control_group_memory_left("3:memory:/other\n", root_), 900);
}

TEST_F(ControlGroupTest, GarbageIsNoLimit) {
    write("/memory.max", "what\n");
    EXPECT_EQ(control_group_memory("0::/\nnonsense\n::\n", root_), unknown_memory);
    EXPECT_EQ(control_group_memory_left("0::/\nnonsense\n::\n", root_), unknown_memory);
    write("/cpu.max", "what\n");
    EXPECT_EQ(control_group_processors("0::/\nnonsense\n::\n", root_), 0);
}

#endif

}  // namespace
}  // namespace mn::cpu
