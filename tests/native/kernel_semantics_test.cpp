// Corners that random numbers do not reach: NaN, ties, infinities, labels by index. Every kernel of
// every instruction set has to agree, in both layouts.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "graph/error.h"
#include "op_cases.h"

namespace mn::test {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

// Calls body(result) for every kernel that takes the case.
template <class Body>
void run_all(const OpCase& op_case, Body&& body) {
    for (const std::string& isa : instruction_sets()) {
        const TestDevice device(2, isa.c_str());
        for (const cpu::Implementation& implementation : list_implementations(op_case.node.op))
            for (int32_t layout : {MNB_NCHW, MNB_NHWC}) {
                SCOPED_TRACE(isa + ", " + implementation.name +
                             (layout == MNB_NHWC ? ", NHWC" : ", NCHW"));
                RunOptions options;
                options.layout = layout;
                if (const auto result =
                        run_case(device, implementation, implementation, op_case, options))
                    body(*result);
            }
    }
}

void expect_values(const Floats& actual, const Floats& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) {
        if (std::isnan(expected[i]))
            EXPECT_TRUE(std::isnan(actual[i])) << i << ": " << actual[i];
        else
            EXPECT_FLOAT_EQ(actual[i], expected[i]) << i;
    }
}

TEST(Relu, KeepsNanAndBlocksTheGradientOfZero) {
    Random random(1);
    OpCase c = simple_case(random, MN_OP_ACTIVATION, 1, 7, 1, 1, true);
    c.src[0] = {-1, 0, -0.0f, 2, nan, infinity, -infinity};
    c.diff_dst = {1, 2, 3, 4, 5, 6, 7};
    run_all(c, [](const OpResult& r) {
        expect_values(r.dst, {0, 0, 0, 2, nan, infinity, 0});
        expect_values(r.diff_src[0], {0, 0, 0, 4, 5, 6, 0});
    });
}

// Element by element as the reference: corners, tails, infinities, and every value between.
TEST(Activation, ExtremesAreThoseOfTheReference) {
    Floats values = {nan};
    for (float x : {0.0f, 1e-40f, 1e-30f, 1e-8f, 1e-4f, 2.9999998f, 3.0000002f, 5.9999995f, 20.0f,
                    87.0f, 88.5f, 100.0f, 1e4f, 1e20f, infinity}) {
        values.push_back(x);
        values.push_back(-x);
    }
    for (int i = -12 * 128; i <= 12 * 128; ++i) values.push_back(static_cast<float>(i) / 128);
    const auto count = static_cast<int64_t>(values.size());
    const auto expect_close = [&](const Floats& actual, const Floats& expected, float absolute) {
        ASSERT_EQ(actual.size(), expected.size());
        for (size_t i = 0; i < actual.size(); ++i) {
            if (std::isnan(expected[i])) {
                EXPECT_TRUE(std::isnan(actual[i])) << values[i] << ": " << actual[i];
            } else if (actual[i] != expected[i]) {
                EXPECT_NEAR(actual[i], expected[i], 1e-6f * std::abs(expected[i]) + absolute)
                    << values[i];
            }
        }
    };
    Random random(1);
    for (const ActivationTest& test : activation_tests()) {
        const int kind = test.kind;
        SCOPED_TRACE(kind);
        // The reference adds 1 to what is about -1, as gradients from results do.
        const bool cancels = kind == MN_ACTIVATION_GELU || kind == MN_ACTIVATION_GELU_TANH;
        OpCase c = activation_case(random, 1, count, 1, 1, true, kind);
        c.src[0] = values;
        c.diff_dst.assign(values.size(), 1.0f);
        const TestDevice device;
        const cpu::Implementation reference = reference_of(MN_OP_ACTIVATION);
        const OpResult expected = run_case(device, reference, reference, c).value();
        run_all(c, [&](const OpResult& r) {
            expect_close(r.dst, expected.dst, cancels ? 6e-7f : 5e-37f);
            expect_close(r.diff_src[0], expected.diff_src[0], 6e-7f);
        });
    }
}

// The same through a fused activation: 1x1 kernels with weight 1 are the identity.
TEST(FusedRelu, KeepsNanAndBlocksTheGradientOfZero) {
    Random random(1);
    OpCase c = conv_case(random, 1, 1, 2, 3, conv_desc(1, 1), MN_ACTIVATION_RELU);
    c.param = {{1}, {0}};
    c.src[0] = {-1, 0, 3, nan, 5, -2};
    c.diff_dst = {1, 2, 3, 4, 5, 6};
    run_all(c, [](const OpResult& r) {
        expect_values(r.dst, {0, 0, 3, nan, 5, 0});
        expect_values(r.diff_src[0], {0, 0, 3, 4, 5, 0});
        expect_values(r.diff_param[1], {12});
    });

    OpCase l = linear_case(random, 3, 1, 1, 1, 1, 1, MN_ACTIVATION_RELU);
    l.param = {{1}, {0}};
    l.src[0] = {-1, nan, 2};
    l.diff_dst = {1, 2, 3};
    run_all(l, [](const OpResult& r) {
        expect_values(r.dst, {0, nan, 2});
        expect_values(r.diff_src[0], {0, 2, 3});
        expect_values(r.diff_param[1], {5});
    });
}

// Two images' worth of windows, side by side: 4 x 2 pixels each, windows of 2 x 2.
const Floats tied_windows = {1, 1, nan, 2,   3, nan, -infinity, -infinity,  //
                             1, 1, 5,   nan, 4, 5,   -infinity, -infinity};
const Floats tied_maxima = {1, nan, nan, -infinity};
// The first of equals; the last NaN.
const Floats tied_gradient = {1, 0, 0, 0, 0, 3, 4, 0,  //
                              0, 0, 0, 2, 0, 0, 0, 0};

TEST(MaxPool, FirstOfEqualsAndLastNan) {
    Random random(1);
    OpCase c = pool_case(random, MN_OP_MAX_POOL2D, 1, 1, 2, 8, pool_desc(2, 2));
    c.src[0] = tied_windows;
    c.diff_dst = {1, 2, 3, 4};
    run_all(c, [](const OpResult& r) {
        expect_values(r.dst, tied_maxima);
        expect_values(r.diff_src[0], tied_gradient);
    });
}

TEST(MaxPool, ChannelsDoNotMix) {
    // The same windows in 19 channels, each with a gradient of its own: vectors and their tails.
    Random random(1);
    OpCase c = pool_case(random, MN_OP_MAX_POOL2D, 2, 19, 2, 8, pool_desc(2, 2));
    Floats expected;
    c.src[0].clear();
    for (int plane = 0; plane < 2 * 19; ++plane) {
        c.src[0].insert(c.src[0].end(), tied_windows.begin(), tied_windows.end());
        const float scale = static_cast<float>(plane + 1);
        for (size_t i = 0; i < 4; ++i)
            c.diff_dst[static_cast<size_t>(plane) * 4 + i] = scale * static_cast<float>(i + 1);
        for (float g : tied_gradient) expected.push_back(scale * g);
    }
    run_all(c, [&](const OpResult& r) { expect_values(r.diff_src[0], expected); });
}

TEST(MaxPool, PaddingNeverWins) {
    Random random(1);
    OpCase c = pool_case(random, MN_OP_MAX_POOL2D, 1, 1, 3, 3, pool_desc(3, 2, 1));
    c.src[0] = {-1, -2, -3, -4, -5, -6, -7, -8, -9};
    c.diff_dst = {1, 2, 3, 4};
    run_all(c, [](const OpResult& r) {
        expect_values(r.dst, {-1, -2, -4, -5});
        expect_values(r.diff_src[0], {1, 2, 0, 3, 4, 0, 0, 0, 0});
    });
}

TEST(MaxPool, OverlappingWindowsAddTheirGradients) {
    Random random(1);
    OpCase c = pool_case(random, MN_OP_MAX_POOL2D, 1, 1, 3, 3, pool_desc(2, 1));
    c.src[0] = {0, 0, 0, 0, 9, 0, 0, 0, 0};
    c.diff_dst = {1, 2, 3, 4};
    run_all(c, [](const OpResult& r) {
        expect_values(r.diff_src[0], {0, 0, 0, 0, 10, 0, 0, 0, 0});
    });
}

TEST(FusedPool, TiesAndNanAsUnfused) {
    Random random(1);
    const mn_pool2d_desc pool = pool_desc(2, 2);
    OpCase c = conv_case(random, 1, 1, 2, 8, conv_desc(1, 1), 0, &pool);
    c.param = {{1}, {0}};
    c.src[0] = tied_windows;
    c.src[0][6] = c.src[0][7] = c.src[0][14] = c.src[0][15] = -1;
    c.diff_dst = {1, 2, 3, 4};
    run_all(c, [](const OpResult& r) {
        expect_values(r.dst, {1, nan, nan, -1});
        expect_values(r.diff_src[0], tied_gradient);
    });
    c.node.activation = MN_ACTIVATION_RELU;
    run_all(c, [](const OpResult& r) {
        expect_values(r.dst, {1, nan, nan, 0});
        Floats expected = tied_gradient;
        expected[6] = 0;  // the ReLU's
        expect_values(r.diff_src[0], expected);
    });
}

TEST(CrossEntropy, CountsTheFirstLargestAndNoNan) {
    Random random(1);
    OpCase c = simple_case(random, MNB_OP_LABEL_LOSS, 5, 3, 1, 1, true);
    c.src[0] = {1,   1, 0,  // the first of equals: right
                1,   1, 0,  // the second of equals: wrong
                0,   5, 1,  // right
                nan, 1, 0,  // a NaN is never right
                0,   1, nan};
    c.labels = {0, 1, 1, 0, 2};
    run_all(c, [](const OpResult& r) {
        EXPECT_EQ(r.loss.correct, 2);
        EXPECT_TRUE(std::isnan(r.loss.numerator));
        EXPECT_FALSE(std::isnan(r.diff_src[0][8]));  // other rows are not touched
        EXPECT_TRUE(std::isnan(r.diff_src[0][10]));
    });
}

TEST(CrossEntropy, LargeLogitsDoNotOverflow) {
    Random random(1);
    OpCase c = simple_case(random, MNB_OP_LABEL_LOSS, 2, 2, 1, 1, true);
    c.node.desc.loss.weight = 2;
    c.node.desc.loss.reduction = MN_REDUCTION_MEAN;
    c.src[0] = {1000, 0, -1000, 1000};
    c.labels = {1, 1};
    run_all(c, [](const OpResult& r) {
        EXPECT_DOUBLE_EQ(r.loss.numerator, 1000);
        EXPECT_EQ(r.loss.denominator, 2);
        // Of the numerator times the weight, not yet divided.
        expect_values(r.diff_src[0], {2, -2, 0, 0});
    });
}

TEST(CrossEntropy, WideRowsHaveTheirCornersBehindWholeVectors) {
    Random random(1);
    const int64_t classes = 37;
    OpCase c = simple_case(random, MNB_OP_LABEL_LOSS, 4, classes, 1, 1, true);
    c.node.desc.loss.weight = 1;
    c.src[0].assign(static_cast<size_t>(4 * classes), 0.0f);
    float* rows = c.src[0].data();
    rows[20] = rows[36] = 3;                                     // the second of equals
    rows[classes + 36] = 25;                                     // nearly certain
    rows[2 * classes + 3] = rows[2 * classes + 36] = -infinity;  // of another class
    rows[3 * classes + 35] = nan;
    c.labels = {36, 36, 5, 0};
    run_all(c, [&](const OpResult& r) {
        EXPECT_EQ(r.loss.correct, 1);
        EXPECT_TRUE(std::isnan(r.loss.numerator));
        const float* diff = r.diff_src[0].data();
        // What is left of certainty is not rounded away: 36 e^-25.
        const double rest = 36 * std::exp(-25.0);
        EXPECT_NEAR(static_cast<double>(diff[classes + 36]), -rest, 1e-5 * rest);
        EXPECT_NEAR(static_cast<double>(diff[classes]), rest / 36, 1e-5 * rest);
        EXPECT_EQ(diff[2 * classes + 3], 0);
        EXPECT_EQ(diff[2 * classes + 36], 0);
        EXPECT_FLOAT_EQ(diff[2 * classes + 4], 1.0f / 35);
        for (int64_t i = 0; i < classes; i++) EXPECT_TRUE(std::isnan(diff[3 * classes + i])) << i;
    });
}

// All kernels against the first one.
TEST(CrossEntropy, SmoothingAndWeightsOfWideRowsAgree) {
    Random random(test_seed());
    for (int64_t classes : {1, 5, 16, 47, 1000}) {
        OpCase c = simple_case(random, MNB_OP_LABEL_LOSS, 3, classes, 1, 1, true);
        c.src[0] = random.floats(3 * classes, -30, 10);
        const Floats weights = random.floats(classes, 0, 2);
        c.node.desc.loss.label_smoothing = 0.1f;
        c.node.desc.loss.class_weights = weights.data();
        c.node.desc.loss.class_weight_count = static_cast<int32_t>(classes);
        std::optional<OpResult> first;
        run_all(c, [&](const OpResult& r) {
            if (!first) first = r;
            EXPECT_NEAR(r.loss.numerator, first->loss.numerator,
                        1e-6 * std::abs(first->loss.numerator));
            EXPECT_EQ(r.loss.denominator, first->loss.denominator);
            EXPECT_EQ(r.loss.correct, first->loss.correct);
            EXPECT_LE(relative_error(r.diff_src[0], first->diff_src[0]), 1e-6);
        });
    }
}

TEST(CrossEntropy, LabelsByIndexAndBadLabels) {
    for (const cpu::Implementation& implementation : list_implementations(MNB_OP_LABEL_LOSS)) {
        const TestDevice device;
        Random random(1);
        const OpCase c = simple_case(random, MNB_OP_LABEL_LOSS, 2, 3, 1, 1, true);
        mnb_support support{};
        ASSERT_TRUE(implementation.query(device.get(), c.node, MNB_FORWARD_INFERENCE, support));
        const auto kernel = implementation.create(device.get(), c.node, MNB_FORWARD_INFERENCE);
        const Floats src = {9, 0, 0, 0, 0, 9};
        std::vector<double> workspace(static_cast<size_t>(support.workspace_bytes / 8 + 1));
        std::vector<int32_t> labels = {1, 2, 1, 0};
        const int32_t indices[] = {3, 1};
        mnb_input input = {nullptr, indices, labels.data(), MN_UINT8, nullptr, nullptr};
        mnb_loss_result loss{};
        mnb_run run{};
        run.struct_size = sizeof run;
        run.count = 2;
        run.src[0] = src.data();
        run.input = &input;
        run.loss = &loss;
        run.loss_scale = 1;
        run.workspace = workspace.data();
        kernel->run(device.get(), run);
        EXPECT_EQ(loss.correct, 2);
        for (int32_t bad : {-1, 3}) {
            labels[1] = bad;
            EXPECT_THROW(kernel->run(device.get(), run), Error);
        }
    }
}

// Losses of values that come with the batch, in both layouts: the caller's own gradient, which is
// taken as it is, and the squared error.
void check_value_loss(int op) {
    const bool squares = op == MNB_OP_TARGET_LOSS;
    Random random(1);
    for (const std::string& isa : instruction_sets())
        for (const cpu::Implementation& implementation : list_implementations(op))
            for (int32_t layout : {MNB_NCHW, MNB_NHWC})
                for (const auto& [channels, pixels] :
                     {std::pair{3, 4}, {21, 35}, {1, 9}, {70, 1}}) {
                    SCOPED_TRACE(isa + ", " + implementation.name);
                    const TestDevice device(2, isa.c_str());
                    ImageNode node;
                    node.struct_size = sizeof node;
                    node.op = op;
                    node.desc.loss.kind = squares ? MN_LOSS_MSE : MN_LOSS_OUTPUT_GRADIENT;
                    node.name = "loss";
                    node.desc.loss.weight = 0.5f;
                    node.desc.loss.reduction = MN_REDUCTION_MEAN;
                    node.source_count = 1;
                    node.wants_diff_src[0] = 1;
                    node.max_batch = 2;
                    node.src[0] = make_tensor(channels, 1, pixels, false, layout);
                    mnb_support support{};
                    ASSERT_TRUE(
                        implementation.query(device.get(), node, MNB_FORWARD_TRAINING, support));
                    const auto kernel =
                        implementation.create(device.get(), node, MNB_FORWARD_TRAINING);
                    const int64_t size = int64_t{channels} * pixels;
                    const Floats src = random.floats(2 * size), values = random.floats(2 * size);
                    Floats diff_src(src.size());
                    std::vector<double> workspace(
                        static_cast<size_t>(support.workspace_bytes / 8 + 1));
                    mnb_input input{};
                    (squares ? input.targets : input.output_gradients) = values.data();
                    mnb_loss_result loss{};
                    mnb_run run{};
                    run.struct_size = sizeof run;
                    run.count = 2;
                    run.src[0] = src.data();
                    run.diff_src[0] = diff_src.data();
                    run.input = &input;
                    run.loss = &loss;
                    run.loss_scale = 1;
                    run.workspace = workspace.data();
                    kernel->run(device.get(), run);
                    double numerator = 0;
                    for (int64_t n = 0, i = 0; n < 2; ++n)
                        for (int64_t c = 0; c < channels; ++c)
                            for (int64_t p = 0; p < pixels; ++p, ++i) {
                                const int64_t at =
                                    layout == MNB_NHWC ? (n * pixels + p) * channels + c : i;
                                const float x = src[static_cast<size_t>(at)];
                                const float value = values[static_cast<size_t>(i)];
                                EXPECT_FLOAT_EQ(diff_src[static_cast<size_t>(at)],
                                                squares ? x - value : 0.5f * value);
                                const double d = double{x} - double{value};
                                numerator += squares ? d * d : double{x} * double{value};
                            }
                    EXPECT_NEAR(loss.numerator, numerator, 1e-7 * static_cast<double>(size));
                    EXPECT_EQ(loss.denominator, squares ? 2 * static_cast<double>(size) : 2);
                }
}

TEST(OutputGradient, IsTakenAsItIs) {
    check_value_loss(MNB_OP_OUTPUT_GRADIENT);
}

TEST(TargetLoss, SquaresInBothLayouts) {
    check_value_loss(MNB_OP_TARGET_LOSS);
}

TEST(Reorder, MovesEveryElementToTheOtherLayoutAndBack) {
    Random random(1);
    for (const std::string& isa : instruction_sets())
        for (const cpu::Implementation& implementation : list_implementations(MNB_OP_REORDER))
            for (int direction : {MNB_FORWARD_INFERENCE, MNB_FORWARD_TRAINING, MNB_BACKWARD})
                for (const auto& [from, to] : {std::pair{MNB_NCHW, MNB_NHWC}, {MNB_NHWC, MNB_NCHW}})
                    for (const auto& [channels, pixels] : {std::pair{2, 3}, {37, 20}, {16, 49}}) {
                        SCOPED_TRACE(isa + ", " + implementation.name);
                        const TestDevice device(2, isa.c_str());
                        ImageNode node;
                        node.struct_size = sizeof node;
                        node.op = MNB_OP_REORDER;
                        node.name = "reorder";
                        node.source_count = 1;
                        node.max_batch = 3;
                        node.src[0] = make_tensor(channels, 1, pixels, false, from);
                        node.dst = make_tensor(channels, 1, pixels, false, to);
                        mnb_support support{};
                        ASSERT_TRUE(implementation.query(device.get(), node, direction, support));
                        EXPECT_EQ(support.src_layout, from);
                        EXPECT_EQ(support.dst_layout, to);
                        const auto kernel = implementation.create(device.get(), node, direction);
                        const int64_t size = int64_t{channels} * pixels;
                        Floats read = random.floats(3 * size), written(read.size());
                        read[1] = -0.0f;
                        read[2] = nan;
                        mnb_run run{};
                        run.struct_size = sizeof run;
                        run.count = 3;
                        if (direction == MNB_BACKWARD) {
                            run.diff_dst = read.data();
                            run.diff_src[0] = written.data();
                        } else {
                            run.src[0] = read.data();
                            run.dst = written.data();
                        }
                        kernel->run(device.get(), run);
                        const bool from_channels =
                            (from == MNB_NCHW) == (direction != MNB_BACKWARD);
                        for (int64_t n = 0; n < 3; ++n)
                            for (int64_t c = 0; c < channels; ++c)
                                for (int64_t p = 0; p < pixels; ++p) {
                                    const int64_t a = (n * channels + c) * pixels + p,
                                                  b = (n * pixels + p) * channels + c;
                                    const float x =
                                        read[static_cast<size_t>(from_channels ? a : b)];
                                    const float y =
                                        written[static_cast<size_t>(from_channels ? b : a)];
                                    EXPECT_EQ(std::memcmp(&x, &y, sizeof x), 0) << x << " " << y;
                                }
                    }
}

TEST(Softmax, LargeAndNan) {
    Random random(1);
    OpCase c = simple_case(random, MN_OP_SOFTMAX, 3, 2, 1, 1, true);
    c.src[0] = {1000, 1000, -1000, 1000, 1, nan};
    run_all(c, [](const OpResult& r) { expect_values(r.dst, {0.5f, 0.5f, 0, 1, nan, nan}); });
}

// Values that PyTorch gives: the divisor counts padding but not what lies beyond it.
TEST(AvgPool, DivisorsAreThoseOfPyTorch) {
    Random random(1);
    for (int count_pad : {0, 1}) {
        OpCase c =
            pool_case(random, MN_OP_AVG_POOL2D, 1, 1, 4, 4, pool_desc(3, 2, 1, 1, count_pad));
        ASSERT_EQ(c.node.dst.h, 3);
        c.src[0].assign(16, 1.0f);
        run_all(c, [&](const OpResult& r) {
            const float edge = 6.0f / 9, corner = 4.0f / 9, tail = 3.0f / 6, both = 1.0f / 4;
            if (count_pad)
                expect_values(r.dst, {corner, edge, 2.0f / 6, edge, 1, tail, 2.0f / 6, tail, both});
            else
                expect_values(r.dst, Floats(9, 1.0f));
        });
    }
}

TEST(FusedPool, WindowsOfMoreThan255ElementsAreLeftAlone) {
    Random random(1);
    const mn_pool2d_desc pool = pool_desc(16, 16);
    const OpCase c = conv_case(random, 1, 1, 16, 16, conv_desc(1, 1), 0, &pool);
    const TestDevice device;
    mnb_support support{};
    mnb_error error{};
    ASSERT_EQ(
        cpu_backend()->query(device.handle(), &c.node, MNB_FORWARD_TRAINING, &support, &error),
        MN_OK);
    EXPECT_EQ(support.supported, 0);
}

}  // namespace
}  // namespace mn::test
