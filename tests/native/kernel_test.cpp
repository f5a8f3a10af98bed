// Every case of op_cases.h: the reference kernels against a forward pass in double precision and
// its finite differences; all other kernels, in every instruction set and both layouts, against the
// reference; and that results do not depend on threads or on the rest of the batch.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ostream>

#include "double_forward.h"
#include "op_cases.h"

namespace mn::test {

void PrintTo(const OpCase& op_case, std::ostream* stream) {
    *stream << op_case.name;
}

namespace {

constexpr double tolerance = 1e-5;

class KernelTest : public testing::TestWithParam<OpCase> {
protected:
    const OpCase& op_case() const { return GetParam(); }
    int op() const { return op_case().node.op; }

    OpResult run_reference(const RunOptions& options = {}) const {
        const TestDevice device(2);
        const cpu::Implementation reference = reference_of(op());
        std::optional<OpResult> result = run_case(device, reference, reference, op_case(), options);
        EXPECT_TRUE(result.has_value()) << "the reference takes every node";
        return result ? std::move(*result) : OpResult{};
    }
};

class SmallKernelTest : public KernelTest {};      // finite differences are affordable
class ParameterKernelTest : public KernelTest {};  // the op has parameters
class ImageKernelTest : public KernelTest {};      // the op has a result for each image

void expect_close(const OpResult& a, const OpResult& b, double tol = tolerance) {
    EXPECT_LE(relative_error(a.dst, b.dst), tol) << "dst";
    ASSERT_EQ(a.diff_src.size(), b.diff_src.size());
    for (size_t i = 0; i < a.diff_src.size(); ++i)
        EXPECT_LE(relative_error(a.diff_src[i], b.diff_src[i]), tol) << "diff_src " << i;
    ASSERT_EQ(a.diff_param.size(), b.diff_param.size());
    for (size_t i = 0; i < a.diff_param.size(); ++i)
        EXPECT_LE(relative_error(a.diff_param[i], b.diff_param[i]), tol) << "diff_param " << i;
    ASSERT_EQ(a.param.size(), b.param.size());
    for (size_t i = 0; i < a.param.size(); ++i)
        EXPECT_LE(relative_error(a.param[i], b.param[i]), tol) << "param " << i;
    EXPECT_NEAR(a.loss.numerator, b.loss.numerator, tol * std::abs(b.loss.numerator));
    EXPECT_EQ(a.loss.denominator, b.loss.denominator);
    EXPECT_EQ(a.loss.correct, b.loss.correct);
}

bool same_bits(const Floats& a, const Floats& b) {
    if (a.size() != b.size()) return false;
    return a.empty() || std::memcmp(a.data(), b.data(), a.size() * 4) == 0;
}

void expect_same_bits(const OpResult& a, const OpResult& b) {
    EXPECT_TRUE(same_bits(a.dst, b.dst)) << "dst";
    ASSERT_EQ(a.diff_src.size(), b.diff_src.size());
    for (size_t i = 0; i < a.diff_src.size(); ++i)
        EXPECT_TRUE(same_bits(a.diff_src[i], b.diff_src[i])) << "diff_src " << i;
    ASSERT_EQ(a.diff_param.size(), b.diff_param.size());
    for (size_t i = 0; i < a.diff_param.size(); ++i)
        EXPECT_TRUE(same_bits(a.diff_param[i], b.diff_param[i])) << "diff_param " << i;
    ASSERT_EQ(a.param.size(), b.param.size());
    for (size_t i = 0; i < a.param.size(); ++i)
        EXPECT_TRUE(same_bits(a.param[i], b.param[i])) << "param " << i;
    EXPECT_EQ(a.loss.numerator, b.loss.numerator);
    EXPECT_EQ(a.loss.correct, b.loss.correct);
}

Floats narrow(const Doubles& values) {
    return Floats(values.begin(), values.end());
}

// Calls body(device, forward, backward) for every implementation of the op in every instruction
// set, with the same one for both directions.
template <class Body>
void for_each_kernel(const OpCase& op_case, int threads, Body&& body) {
    const std::vector<cpu::Implementation> list = list_implementations(op_case.node.op);
    for (const std::string& isa : instruction_sets()) {
        const TestDevice device(threads, isa.c_str());
        for (const cpu::Implementation& implementation : list) {
            SCOPED_TRACE(isa + ", " + implementation.name);
            body(device, implementation, implementation);
        }
    }
}

TEST_P(KernelTest, ReferenceForwardIsTheDoubleOne) {
    for (bool training : {false, true}) {
        const Doubles expected = double_forward(op_case(), DoubleOperands(op_case()), training);
        for (int32_t layout : {MNB_NCHW, MNB_NHWC}) {
            RunOptions options;
            options.layout = layout;
            options.training = training;
            const OpResult result = run_reference(options);
            if (op() == MNB_OP_LABEL_LOSS)
                EXPECT_NEAR(
                    result.loss.numerator * static_cast<double>(op_case().node.desc.loss.weight),
                    expected[0], 1e-6 * std::abs(expected[0]));
            else
                EXPECT_LE(relative_error(result.dst, narrow(expected)), 1e-6);
        }
    }
}

TEST_P(SmallKernelTest, ReferenceBackwardIsTheFiniteDifference) {
    const OpResult result = run_reference();
    DoubleOperands operands(op_case());
    Random random(test_seed());
    const double step = 1e-6;
    const auto objective = [&] {
        const Doubles dst = double_forward(op_case(), operands);
        if (op() == MNB_OP_LABEL_LOSS) return dst[0];
        double sum = 0;
        for (size_t i = 0; i < dst.size(); ++i)
            sum += dst[i] * static_cast<double>(op_case().diff_dst[i]);
        return sum;
    };
    const auto compare = [&](Doubles& values, const Floats& gradient, const std::string& what) {
        ASSERT_EQ(values.size(), gradient.size()) << what;
        Floats actual, expected;
        const size_t samples = std::min<size_t>(values.size(), 60);
        for (size_t s = 0; s < samples; ++s) {
            const size_t i = samples == values.size() ? s : random.bits() % values.size();
            const double before = values[i];
            values[i] = before + step;
            const double above = objective();
            values[i] = before - step;
            const double below = objective();
            values[i] = before;
            expected.push_back(static_cast<float>((above - below) / (2 * step)));
            actual.push_back(gradient[i]);
        }
        double largest = 0;
        for (float e : expected) largest = std::max(largest, std::abs(static_cast<double>(e)));
        for (size_t s = 0; s < samples; ++s)
            EXPECT_NEAR(static_cast<double>(actual[s]), static_cast<double>(expected[s]),
                        1e-5 * largest + 1e-7)
                << what;
    };
    for (size_t s = 0; s < operands.src.size(); ++s)
        compare(operands.src[s], result.diff_src[s], "diff_src " + std::to_string(s));
    for (size_t p = 0; p < operands.param.size(); ++p)
        if (op_case().node.wants_diff_param[p])
            compare(operands.param[p], result.diff_param[p], "diff_param " + std::to_string(p));
}

TEST_P(KernelTest, ReferenceReadsAnyStrides) {
    const OpResult dense = run_reference();
    for (int32_t layout : {MNB_NCHW, MNB_NHWC}) {
        RunOptions options;
        options.layout = layout;
        options.gap = 3;
        expect_same_bits(run_reference(options), dense);
    }
}

TEST_P(KernelTest, EveryKernelAgreesWithTheReference) {
    const OpResult expected = run_reference();
    RunOptions inference;
    inference.training = false;
    const OpResult inferred = run_reference(inference);
    for_each_kernel(op_case(), 2, [&](const TestDevice& device, const auto& f, const auto& b) {
        for (int32_t layout : {MNB_NCHW, MNB_NHWC}) {
            RunOptions options;
            options.layout = layout;
            SCOPED_TRACE(layout == MNB_NHWC ? "NHWC" : "NCHW");
            if (const auto result = run_case(device, f, b, op_case(), options))
                expect_close(*result, expected);
            options.training = false;
            if (const auto result = run_case(device, f, b, op_case(), options)) {
                EXPECT_LE(relative_error(result->dst, inferred.dst), tolerance);
                EXPECT_EQ(result->loss.correct, inferred.loss.correct);
            }
        }
    });
}

// A plan takes the first kernel that accepts a node in each direction by itself.
TEST_P(KernelTest, TheKernelsThatAPlanChoosesAgreeWithTheReference) {
    const OpResult expected = run_reference();
    const std::vector<cpu::Implementation> list = list_implementations(op());
    for (const std::string& isa : instruction_sets()) {
        const TestDevice device(2, isa.c_str());
        for (int32_t layout : {MNB_NCHW, MNB_NHWC}) {
            RunOptions options;
            options.layout = layout;
            std::optional<OpResult> result;
            for (size_t f = 0; f < list.size() && !result; ++f)
                for (size_t b = 0; b < list.size() && !result; ++b)
                    result = run_case(device, list[f], list[b], op_case(), options);
            ASSERT_TRUE(result.has_value());
            SCOPED_TRACE(isa);
            expect_close(*result, expected);
        }
    }
}

TEST_P(ParameterKernelTest, GradientsAreAddedWhenAccumulating) {
    const OpResult once = run_reference();
    // Each parameter by itself: one may have a gradient already where another has none.
    for (uint32_t which : {1u, 2u}) {
        OpResult expected = once;
        RunOptions options;
        options.accumulate = which;
        for (size_t p = 0; p < expected.diff_param.size(); ++p)
            for (float& value : expected.diff_param[p])
                if (which >> p & 1u) value += options.accumulated;
        for_each_kernel(op_case(), 2, [&](const TestDevice& device, const auto& f, const auto& b) {
            if (const auto result = run_case(device, f, b, op_case(), options))
                expect_close(*result, expected);
        });
    }
}

TEST_P(KernelTest, BitsDoNotDependOnThreads) {
    for (const std::string& isa : instruction_sets())
        for (const cpu::Implementation& implementation : list_implementations(op())) {
            SCOPED_TRACE(isa + ", " + implementation.name);
            std::optional<OpResult> first;
            for (int threads : {1, 2, 3, 7}) {
                const TestDevice device(threads, isa.c_str());
                RunOptions options;
                options.layout = MNB_NHWC;
                auto result = run_case(device, implementation, implementation, op_case(), options);
                if (!result) break;
                if (first)
                    expect_same_bits(*result, *first);
                else
                    first = std::move(result);
            }
        }
}

TEST_P(ImageKernelTest, AnImageDoesNotDependOnItsBatch) {
    RunOptions options;
    options.training = false;
    for_each_kernel(op_case(), 2, [&](const TestDevice& device, const auto& f, const auto& b) {
        const auto batch = run_case(device, f, b, op_case(), options);
        if (!batch) return;
        const auto part = [](const Floats& values, int64_t image, int64_t size) {
            return Floats(values.begin() + image * size, values.begin() + (image + 1) * size);
        };
        const int64_t dst_size = tensor_size(op_case().node.dst);
        for (int n = 0; n < op_case().count; ++n) {
            OpCase alone = op_case();
            alone.count = alone.node.max_batch = 1;
            for (size_t s = 0; s < alone.src.size(); ++s)
                alone.src[s] = part(op_case().src[s], n, tensor_size(alone.node.src[s]));
            alone.diff_dst = part(op_case().diff_dst, n, dst_size);
            const auto result = run_case(device, f, b, alone, options);
            ASSERT_TRUE(result.has_value());
            EXPECT_TRUE(same_bits(result->dst, part(batch->dst, n, dst_size))) << "image " << n;
        }
    });
}

template <class Predicate>
std::vector<OpCase> cases_where(Predicate&& predicate) {
    std::vector<OpCase> cases;
    for (OpCase& op_case : all_cases())
        if (predicate(op_case)) cases.push_back(std::move(op_case));
    return cases;
}

std::string name_of(const testing::TestParamInfo<OpCase>& info) {
    return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Cases, KernelTest, testing::ValuesIn(all_cases()), name_of);
INSTANTIATE_TEST_SUITE_P(Cases, SmallKernelTest,
                         testing::ValuesIn(cases_where([](const OpCase& c) { return c.small; })),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Cases, ParameterKernelTest,
                         testing::ValuesIn(cases_where([](const OpCase& c) {
                             return c.node.param_count > 0;
                         })),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Cases, ImageKernelTest, testing::ValuesIn(cases_where([](const OpCase& c) {
                             return c.node.dst.c > 0;  // a loss is one number a batch
                         })),
                         name_of);

}  // namespace
}  // namespace mn::test
