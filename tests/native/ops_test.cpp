// That every row of the table of ops (graph/ops.def) has what it promises: each test names the op
// that lacks it.

#include "graph/ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>
#include <string>

#include "backend/cpu/cpu.h"
#include "double_forward.h"
#include "op_cases.h"

namespace mn::test {
namespace {

struct Row {
    int32_t op;
    const char* name;
    bool is_internal;
    bool has_cuda_or_reason;
};

std::vector<Row> rows() {
    return {
#define MN_NO_KERNEL false
#define MN_CUDA(entry) true
#define MN_NO_CUDA(why) (sizeof(why) > 10)
#define MN_OP(id, name, desc, infer, sources, cpu, cuda, traits) {MN_OP_##id, #name, false, cuda},
#define MN_INTERNAL_OP(id, value, name, desc, cpu, cuda, traits) {MNB_OP_##id, #id, true, cuda},
#include "graph/ops.def"
    };
}

bool is_run(const Row& row) {
    return traits_of(row.op).lowering == Lowering::kOperation;
}

TEST(OpTable, EveryOpThatRunsHasItsReferenceKernelLast) {
    for (const Row& row : rows()) {
        const cpu::Implementation* last = nullptr;
        for (const cpu::Implementation* i = cpu::implementations(row.op); i->name; ++i) last = i;
        const bool has_reference = last && std::strcmp(last->name, "reference") == 0;
        EXPECT_EQ(has_reference, is_run(row))
            << row.name << (last ? " has a kernel that nothing runs" : " has no reference kernel");
    }
}

TEST(OpTable, EveryOpThatRunsHasAKernelOnCudaOrAReason) {
    for (const Row& row : rows())
        EXPECT_EQ(row.has_cuda_or_reason, is_run(row))
            << row.name << " has neither MN_CUDA nor MN_NO_CUDA with a reason";
}

TEST(OpTable, EveryOpHasItsCasesAndItsOracle) {
    std::set<int32_t> with_case, with_oracle;
    for (const OpCase& op_case : all_cases()) {
        const int32_t op = op_case.node.op;
        with_case.insert(op);
        if (with_oracle.count(op) || !op_case.small) continue;
        if (!double_forward(op_case, DoubleOperands(op_case)).empty()) with_oracle.insert(op);
    }
    for (const Row& row : rows()) {
        if (row.is_internal || !is_run(row)) continue;
        EXPECT_TRUE(with_case.count(row.op)) << row.name << " has no case in op_cases";
        EXPECT_TRUE(with_oracle.count(row.op)) << row.name << " has no oracle in double_forward";
    }
}

TEST(OpTable, EveryActivationHasItsCasesAndItsOracle) {
#define MN_ACTIVATION(id, value, formula)                                                 \
    EXPECT_EQ(activation_test(MN_ACTIVATION_##id).kind, value) << #id << " has no cases"; \
    EXPECT_FALSE(std::isnan(activation_test(MN_ACTIVATION_##id).forward(0.5, 1, 20)));    \
    EXPECT_FALSE(activation_test(MN_ACTIVATION_##id).corners.empty()) << #id;
#include "graph/ops.def"
}

TEST(OpTable, TraitsNameOpsThatThereAre) {
    for (const Row& row : rows()) {
        const Traits& traits = traits_of(row.op);
        for (int32_t other : {traits.frozen_op, traits.recompute_op}) {
            if (other >= 0) {
                EXPECT_NO_THROW(op_info(other)) << row.name;
            }
        }
        EXPECT_LE(op_info(row.op).least_sources, op_info(row.op).most_sources) << row.name;
        EXPECT_LE(op_info(row.op).most_sources, MN_MAX_SOURCES) << row.name;
    }
    EXPECT_THROW(op_info(999), Error);
}

}  // namespace
}  // namespace mn::test
