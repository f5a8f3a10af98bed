// Sums of a million terms and more: of one sign they are right to 2e-6, or to 1e-5 where the terms
// are products; of both signs, to as much of the result's norm. Every kernel of every instruction
// set, forward and backward. One float that adds them all up is off by a percent.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <ostream>

#include "op_cases.h"
#include "training_fixture.h"

namespace mn::test {
namespace {

constexpr double none = 0;  // a result that is not the same everywhere

constexpr double sums = 2e-6, products = 1e-5;

// A case, and how many terms each element of a result adds up where all values are equal. A term
// of `dst` is a source (times a weight), one of `diff_src` a gradient (times a weight), one of
// `diff_weights` a gradient times a source, one of `diff_bias` a gradient.
struct Long {
    OpCase op_case;
    double tolerance;  // of dst and diff_src
    double dst, diff_src, diff_weights, diff_bias;
};

void PrintTo(const Long& c, std::ostream* stream) {
    *stream << c.op_case.name;
}

OpCase exactly(OpCase c) {
    c.node.max_batch = c.count;
    return c;
}

OpCase made(int op, int count, const mnb_tensor& src, const mnb_tensor& dst,
            const std::function<void(mnb_node&)>& describe) {
    Random random(1);
    OpCase c;
    c.node.op = op;
    c.node.src[c.node.source_count++] = src;
    c.node.dst = dst;
    describe(c.node);
    c.count = count;
    finish(c, random);
    return exactly(std::move(c));
}

std::vector<Long> conv_cases() {
    Random random(1);
    std::vector<Long> cases;
    const auto add = [&](const char* name, int count, int64_t c, int64_t h, int64_t w,
                         const mn_conv2d_desc& d, double diff_src = none,
                         const mn_pool2d_desc* pool = nullptr) {
        OpCase op_case = exactly(conv_case(random, count, c, h, w, d, 0, pool));
        op_case.name = name;
        const mnb_tensor& dst = op_case.node.dst;
        const double windows = static_cast<double>(count * dst.h * dst.w);
        const double depth = static_cast<double>(c / d.groups * int64_t{d.kernel_h} * d.kernel_w);
        cases.push_back({op_case, products, depth, diff_src, windows, windows});
    };
    const mn_pool2d_desc pool = pool_desc(2, 2);
    add("conv_of_many_channels", 1, 200'003, 1, 1, conv_desc(3, 1), 3);
    add("conv_to_many_channels", 1, 3, 1, 1, conv_desc(100'003, 1), 100'003);
    add("conv_3x3_of_many_channels", 1, 20'000, 4, 4, conv_desc(17, 3));
    add("conv_3x3_to_many_channels", 1, 17, 3, 3, conv_desc(10'001, 3), 10'001);
    add("conv_5x5_of_many_channels", 1, 4'001, 5, 5, conv_desc(16, 5));
    add("conv_of_a_large_image", 1, 3, 500, 500, conv_desc(16, 1), 16);
    add("conv_of_many_images", 8'000, 3, 5, 5, conv_desc(17, 1), 17);
    add("conv_3x3_of_a_large_image", 1, 16, 302, 300, conv_desc(16, 3));
    add("conv_3x3_of_many_images", 1'000, 16, 10, 10, conv_desc(16, 3));
    add("conv_behind_which_a_large_image_is_pooled", 1, 6, 602, 402, conv_desc(16, 3), none, &pool);
    add("conv_behind_which_many_images_are_pooled", 2'000, 6, 12, 12, conv_desc(16, 3), none,
        &pool);
    add("conv_to_many_channels_that_are_pooled", 1, 16, 4, 4, conv_desc(1024, 3), none, &pool);
    add("conv_of_a_large_grey_image", 1, 1, 1000, 800, conv_desc(16, 3, 1, 1), none, &pool);
    add("conv_of_many_grey_images", 8'000, 1, 8, 8, conv_desc(16, 3, 1, 1), none, &pool);
    cases.end()[-1].dst = cases.end()[-2].dst = none;  // at the border some windows are cut
    cases.end()[-1].diff_weights = cases.end()[-2].diff_weights = none;
    const auto depthwise = [&](const char* name, int count, int64_t c, int64_t h, int64_t w,
                               int kernel) {
        mn_conv2d_desc d = conv_desc(static_cast<int>(c), kernel);
        d.groups = d.out_channels;
        add(name, count, c, h, w, d);
    };
    depthwise("depthwise_conv_of_a_large_image", 1, 19, 300, 300, 3);
    depthwise("depthwise_conv_of_many_images", 4'000, 19, 7, 7, 3);
    depthwise("depthwise_conv_of_many_taps", 2, 19, 40, 40, 32);
    depthwise("depthwise_conv_of_very_many_taps", 1, 3, 300, 300, 290);
    return cases;
}

std::vector<Long> linear_cases_of(Random& random) {
    std::vector<Long> cases;
    const auto add = [&](const char* name, int count, int64_t depth, int outputs) {
        OpCase op_case = exactly(linear_case(random, count, depth, 1, 1, outputs));
        op_case.name = name;
        cases.push_back({op_case, products, static_cast<double>(depth),
                         static_cast<double>(outputs), static_cast<double>(count),
                         static_cast<double>(count)});
    };
    add("linear_of_many_features", 1, 1'000'003, 1);
    add("linear_of_many_features_to_some", 3, 100'003, 37);
    add("linear_to_many_features", 2, 1, 500'009);
    add("linear_of_many_rows", 1'000'000, 1, 1);
    add("linear_of_many_rows_to_some", 100'001, 5, 18);
    return cases;
}

std::vector<Long> pool_cases_of(Random& random) {
    std::vector<Long> cases;
    const auto add = [&](const char* name, int op, int count, int64_t c, int64_t h, int64_t w,
                         const mn_pool2d_desc& d) {
        OpCase op_case = exactly(pool_case(random, op, count, c, h, w, d));
        op_case.name = name;
        cases.push_back({op_case, sums, op == MN_OP_MAX_POOL2D ? none : 1, none, none, none});
    };
    const int average = MN_OP_AVG_POOL2D, global = MN_OP_GLOBAL_AVG_POOL2D;
    add("global_average_of_a_large_image", global, 1, 1, 3000, 3000, {});
    add("global_average_of_many_channels", global, 2, 37, 200, 300, {});
    add("average_of_large_windows", average, 1, 19, 600, 600, pool_desc(300, 300));
    add("average_of_large_windows_that_overlap", average, 1, 19, 90, 90, pool_desc(45, 1));
    add("maximum_of_windows_that_overlap", MN_OP_MAX_POOL2D, 1, 19, 29, 29, pool_desc(15, 1));
    // One element wins everywhere.
    for (size_t i = 14 * 29 + 14; i < cases.back().op_case.src[0].size(); i += 29 * 29)
        cases.back().op_case.src[0][i] = 2;
    const mnb_tensor image = make_tensor(3, 700, 1000, false, MNB_NCHW);
    OpCase adaptive = made(MN_OP_ADAPTIVE_AVG_POOL2D, 1, image, make_tensor(3, 1, 1, false, 0),
                           [](mnb_node& node) {
                               node.desc.adaptive_pool2d = {sizeof(mn_adaptive_pool2d_desc), 1, 1};
                           });
    adaptive.name = "adaptive_average_of_a_large_image";
    cases.push_back({adaptive, sums, 1, none, none, none});
    return cases;
}

std::vector<Long> structure_cases_of() {
    std::vector<Long> cases;
    const mnb_tensor image = make_tensor(17, 300, 200, false, MNB_NCHW);
    OpCase scale = made(MN_OP_SCALE, 2, image, image, [](mnb_node& node) {
        node.desc.scale.struct_size = sizeof(mn_scale_desc);
        node.param[node.param_count++] = make_param(MNB_WEIGHT, MNB_PARAM_PLAIN, 17, 1, 1, 1);
    });
    scale.name = "scale_of_a_large_image";
    cases.push_back({scale, sums, 1, 1, 120'000, none});
    for (int kind : {MN_BINARY_ADD, MN_BINARY_MULTIPLY}) {
        OpCase binary = made(MN_OP_BINARY, 1, image, image, [&](mnb_node& node) {
            node.desc.binary = {sizeof(mn_binary_desc), kind};
            node.src[node.source_count++] = make_tensor(17, 1, 1, false, MNB_NCHW);
        });
        binary.name = kind == MN_BINARY_ADD ? "sum_with_a_pixel" : "product_with_a_pixel";
        cases.push_back({binary, sums, none, none, none, none});
    }
    OpCase embedding = made(MN_OP_EMBEDDING, 1, make_tensor(1'000'000, 1, 1, true, MNB_NCHW),
                            make_tensor(3, 1, 1'000'000, false, MNB_NCHW), [](mnb_node& node) {
                                node.desc.embedding = {sizeof(mn_embedding_desc), 2, 3};
                                node.param[node.param_count++] =
                                    make_param(MNB_WEIGHT, MNB_PARAM_PLAIN, 2, 3, 1, 1);
                            });
    embedding.name = "embedding_of_one_word";
    for (float& index : embedding.src[0]) index = index > -2 ? 1.0f : 0.0f;
    cases.push_back({embedding, sums, none, none, none, none});

    const auto transposed = [&](const char* name, int64_t c, int64_t h, int64_t w, int outputs) {
        OpCase op_case = made(MN_OP_CONV_TRANSPOSE2D, 1, make_tensor(c, h, w, false, MNB_NCHW),
                              make_tensor(outputs, h, w, false, MNB_NCHW), [&](mnb_node& node) {
                                  mn_conv_transpose2d_desc& d = node.desc.conv_transpose2d;
                                  d.struct_size = sizeof d;
                                  d.out_channels = outputs;
                                  d.kernel_h = d.kernel_w = d.stride_h = d.stride_w = 1;
                                  d.dilation_h = d.dilation_w = d.groups = d.bias = 1;
                                  node.param[node.param_count++] =
                                      make_param(MNB_WEIGHT, MNB_PARAM_PLAIN, c, outputs, 1, 1);
                                  node.param[node.param_count++] =
                                      make_param(MNB_BIAS, MNB_PARAM_PLAIN, outputs, 1, 1, 1);
                              });
        op_case.name = name;
        cases.push_back({op_case, products, static_cast<double>(c), static_cast<double>(outputs),
                         static_cast<double>(h * w), static_cast<double>(h * w)});
    };
    transposed("conv_transpose_of_many_channels", 100'003, 1, 1, 2);
    transposed("conv_transpose_of_a_large_image", 2, 1000, 1000, 1);
    return cases;
}

std::vector<Long> norm_cases_of(Random& random) {
    std::vector<Long> cases;
    OpCase batch = exactly(batch_norm_case(random, 2, 32, 200, 200, false));
    batch.name = "batch_norm_of_a_large_image";
    cases.push_back({batch, sums, none, none, none, 80'000});
    batch = exactly(batch_norm_case(random, 200'000, 5, 1, 1, true));
    batch.name = "batch_norm_of_many_rows";
    cases.push_back({batch, sums, none, none, none, 200'000});
    const mnb_tensor image = make_tensor(4, 500, 300, false, MNB_NCHW);
    const auto affine = [](mnb_node& node) {
        for (int32_t role : {MNB_WEIGHT, MNB_BIAS})
            node.param[node.param_count++] = make_param(role, MNB_PARAM_PLAIN, 4, 1, 1, 1);
    };
    OpCase group = made(MN_OP_GROUP_NORM, 1, image, image, [&](mnb_node& node) {
        node.desc.group_norm = {sizeof(mn_group_norm_desc), 2, 1e-5f, 1};
        affine(node);
    });
    group.name = "group_norm_of_a_large_image";
    cases.push_back({group, sums, none, none, none, 150'000});
    OpCase layer = made(MN_OP_LAYER_NORM, 1, image, image, [&](mnb_node& node) {
        node.desc.layer_norm.struct_size = sizeof(mn_layer_norm_desc);
        node.desc.layer_norm.epsilon = 1e-5f;
        node.desc.layer_norm.affine = node.desc.layer_norm.channels_only = 1;
        affine(node);
    });
    layer.name = "layer_norm_of_the_channels_of_a_large_image";
    cases.push_back({layer, sums, none, none, none, 150'000});
    const mnb_tensor features = make_tensor(1'000'000, 1, 1, true, MNB_NCHW);
    OpCase softmax = made(MN_OP_SOFTMAX, 1, features, features, [](mnb_node&) {});
    softmax.name = "softmax_of_many_features";
    cases.push_back({softmax, sums, none, none, none, none});
    return cases;
}

std::vector<Long> all_long_cases() {
    Random random(1);
    std::vector<Long> cases = conv_cases();
    for (const std::vector<Long>& more : {linear_cases_of(random), pool_cases_of(random),
                                          structure_cases_of(), norm_cases_of(random)})
        cases.insert(cases.end(), more.begin(), more.end());
    return cases;
}

// Calls body(result) for every kernel that takes the case.
void run_all(const OpCase& op_case, const std::function<void(const OpResult&)>& body) {
    const std::vector<cpu::Implementation> list = list_implementations(op_case.node.op);
    bool reference_ran = false;
    for (const std::string& isa : instruction_sets()) {
        const TestDevice device(2, isa.c_str());
        for (size_t i = 0; i < list.size(); ++i) {
            // No instruction set has a reference of its own.
            if (i + 1 == list.size() && std::exchange(reference_ran, true)) continue;
            SCOPED_TRACE(isa + ", " + list[i].name);
            RunOptions options;
            options.layout = MNB_NHWC;
            const auto result = run_case(device, list[i], list[i], op_case, options);
            if (result) body(*result);
        }
    }
}

OpResult reference(const OpCase& op_case) {
    const TestDevice device(2);
    const cpu::Implementation kernel = reference_of(op_case.node.op);
    return run_case(device, kernel, kernel, op_case).value();
}

void expect_all(const Floats& values, double terms, double term, double tolerance,
                const char* what) {
    if (terms == none) return;
    double worst = 0;
    for (float value : values)
        worst = std::max(worst, std::abs(static_cast<double>(value) / (terms * term) - 1));
    EXPECT_LE(worst, tolerance) << what;
}

// As relative_error, element by element. What is 0 must be.
double largest_error(const Floats& a, const Floats& b) {
    if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
    double worst = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
        if (x != y) worst = std::max(worst, std::abs(x - y) / std::abs(y));
    }
    return worst;
}

class LongSumTest : public testing::TestWithParam<Long> {
protected:
    bool is_norm() const {
        const int op = GetParam().op_case.node.op;
        return op == MN_OP_BATCH_NORM || op == MN_OP_GROUP_NORM || op == MN_OP_LAYER_NORM;
    }
    bool takes_indices() const { return GetParam().op_case.node.op == MN_OP_EMBEDDING; }

    // Each value becomes change(value).
    template <class Change>
    OpCase changed(Change&& change) const {
        OpCase c = GetParam().op_case;
        const auto all = [&](Floats& values) {
            for (float& value : values) value = change(value);
        };
        for (size_t s = 0; s < c.src.size() && !takes_indices(); ++s) all(c.src[s]);
        for (size_t p = 0; p < c.param.size(); ++p)
            if (c.node.param[p].role != MNB_STATISTIC) all(c.param[p]);
        all(c.diff_dst);
        return c;
    }

    // The same where a pooling follows, with products that do not round, so that all kernels find
    // the same maxima.
    template <class Change>
    OpCase compared(Change&& change) const {
        const mnb_node& node = GetParam().op_case.node;
        if (!node.has_pool || node.src[0].c >= 16) return changed(change);
        OpCase c = changed([&](float value) { return std::round(change(value) * 8) / 8; });
        c.diff_dst = changed(change).diff_dst;
        return c;
    }

    double tolerance_of(const OpCase& c, size_t param) const {
        return c.node.param[param].role == MNB_BIAS ? sums : GetParam().tolerance;
    }

    void expect_close(const OpCase& c, const OpResult& a, const OpResult& b,
                      const std::function<double(const Floats&, const Floats&)>& error) const {
        const double tolerance = GetParam().tolerance;
        EXPECT_LE(error(a.dst, b.dst), tolerance) << "dst";
        for (size_t s = 0; s < a.diff_src.size(); ++s)
            EXPECT_LE(error(a.diff_src[s], b.diff_src[s]), tolerance) << "diff_src " << s;
        for (size_t p = 0; p < a.diff_param.size(); ++p)
            EXPECT_LE(error(a.diff_param[p], b.diff_param[p]), tolerance_of(c, p))
                << "diff_param " << p;
    }
};

TEST_P(LongSumTest, EqualTermsMakeTheirMultiple) {
    const Long& c = GetParam();
    OpCase equal = changed([](float) { return 0.1f; });
    // Products that do not round.
    for (Floats& param : equal.param)
        if (!is_norm()) std::fill(param.begin(), param.end(), 1.0f);
    for (size_t p = 1; p < equal.param.size() && !is_norm(); ++p)
        std::fill(equal.param[p].begin(), equal.param[p].end(), 0.0f);
    const double tenth = static_cast<double>(0.1f);
    run_all(equal, [&](const OpResult& r) {
        expect_all(r.dst, c.dst, tenth, c.tolerance, "dst");
        expect_all(r.diff_src[0], c.diff_src, tenth, c.tolerance, "diff_src");
        if (!r.diff_param.empty())
            expect_all(r.diff_param[0], c.diff_weights, tenth * tenth, c.tolerance, "diff_param");
        if (r.diff_param.size() > 1)
            expect_all(r.diff_param[1], c.diff_bias, tenth, sums, "diff_param 1");
        if (takes_indices())
            expect_all({r.diff_param[0].end() - 3, r.diff_param[0].end()}, 1e6, tenth, sums,
                       "diff_param 0");
    });
}

TEST_P(LongSumTest, TermsOfOneSignAgreeWithTheReference) {
    if (is_norm()) return;  // which takes the mean off: there are both signs
    if (GetParam().op_case.node.op == MN_OP_SOFTMAX) return;
    const OpCase positive = compared([](float value) { return std::abs(value) + 0.01f; });
    const OpResult expected = reference(positive);
    run_all(positive,
            [&](const OpResult& r) { expect_close(positive, r, expected, largest_error); });
}

TEST_P(LongSumTest, TermsOfBothSignsAgreeWithTheReferenceInTheirNorm) {
    const OpCase mixed = compared([](float value) { return value; });
    const OpResult expected = reference(mixed);
    run_all(mixed, [&](const OpResult& r) { expect_close(mixed, r, expected, relative_error); });
}

INSTANTIATE_TEST_SUITE_P(Cases, LongSumTest, testing::ValuesIn(all_long_cases()),
                         [](const testing::TestParamInfo<Long>& info) {
                             return info.param.op_case.name;
                         });

}  // namespace
}  // namespace mn::test
