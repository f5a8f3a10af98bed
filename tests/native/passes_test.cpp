// What the passes make of small graphs, on a backend that only answers queries.

#include <gtest/gtest.h>

#include <algorithm>

#include "fake_backend.h"
#include "op_cases.h"

namespace mn::test {
namespace {

class PassesTest : public testing::Test {
protected:
    PassesTest() { graph_.add_input({3, 0, {3, 8, 8, 0}}, "in"); }

    int32_t add(int32_t op, int32_t source, const char* name = nullptr) {
        mn_op_desc desc{};
        if (op == MN_OP_CONV2D) desc.conv2d = conv_desc(4, 3, 1, 1);
        if (op == MN_OP_MAX_POOL2D || op == MN_OP_AVG_POOL2D) desc.pool2d = pool_desc(2, 2);
        if (op == MN_OP_LINEAR) desc.linear = {sizeof desc.linear, 5, 1};
        if (op == MN_OP_ACTIVATION)
            desc.activation = {sizeof desc.activation, MN_ACTIVATION_RELU, 0, 0};
        return graph_.add(op, {source}, desc, name);
    }
    int32_t chain(std::initializer_list<int32_t> ops, int32_t node = 0) {
        for (int32_t op : ops) node = add(op, node);
        return node;
    }
    static mn_loss_desc loss(int32_t node) {
        return {sizeof(mn_loss_desc),
                MN_LOSS_CROSS_ENTROPY,
                node,
                MN_REDUCTION_MEAN,
                1,
                0,
                0,
                0,
                0,
                0,
                nullptr};
    }

    Program inference(std::vector<int32_t> outputs) const {
        LowerOptions options;
        options.outputs = std::move(outputs);
        return lower(graph_, options);
    }
    Program training(const std::vector<int32_t>& loss_nodes) const {
        LowerOptions options;
        for (int32_t node : loss_nodes) options.losses.push_back(loss(node));
        options.training = true;
        return lower(graph_, options);
    }
    Program scheduled(const std::vector<int32_t>& loss_nodes, bool input_gradient = false) const {
        Program program = training(loss_nodes);
        assign_layouts(program, backend_);
        schedule_training(program, backend_, input_gradient);
        return program;
    }

    static std::vector<int32_t> ops(const Program& program) {
        std::vector<int32_t> result;
        for (const Operation& operation : program.operations) result.push_back(operation.op);
        return result;
    }
    static int count(const Program& program, int32_t op) {
        const std::vector<int32_t> all = ops(program);
        return static_cast<int>(std::count(all.begin(), all.end(), op));
    }
    static std::vector<std::pair<int32_t, int32_t>> steps(const Program& program) {
        std::vector<std::pair<int32_t, int32_t>> result;
        for (const Step& step : program.steps)
            result.emplace_back(program.operations[step.operation].op, step.direction);
        return result;
    }

    Graph graph_;
    FakeBackend backend_;
};

using Ops = std::vector<int32_t>;

// ---- lower ----

TEST_F(PassesTest, LoweringDropsWhatNobodyNeeds) {
    const int32_t conv = add(MN_OP_CONV2D, 0);
    const int32_t flat = chain({MN_OP_ACTIVATION, MN_OP_FLATTEN}, conv);
    add(MN_OP_LINEAR, flat);
    EXPECT_EQ(ops(inference({conv})), Ops({MNB_OP_LOAD, MN_OP_CONV2D}));
    const Program program = inference({flat});
    EXPECT_EQ(ops(program), Ops({MNB_OP_LOAD, MN_OP_CONV2D, MN_OP_ACTIVATION}));
    const Value& output = program.values[program.outputs[0]];
    EXPECT_EQ(output.storage, program.values[program.operations[2].dst].storage);
    EXPECT_TRUE(output.tensor.flat);
    EXPECT_EQ(output.tensor.c, 4);
}

TEST_F(PassesTest, LoweringMergesNormalizationIntoTheLoad) {
    const float half = 0.5f, two = 2;
    mn_op_desc desc{};
    desc.normalize = {sizeof desc.normalize, 1, &half, &two};
    const int32_t normalized = graph_.add(MN_OP_NORMALIZE, {0}, desc, nullptr);
    const int32_t conv = add(MN_OP_CONV2D, normalized);
    const Program one = inference({conv});
    ASSERT_EQ(ops(one), Ops({MNB_OP_LOAD, MN_OP_CONV2D}));
    EXPECT_EQ(one.operations[0].mean, Floats({half, half, half}));
    const mnb_node node = one.node(one.operations[0]);
    EXPECT_EQ(node.desc.normalize.channels, 3);
    EXPECT_EQ(node.desc.normalize.std[2], two);
    const Program both = inference({0, conv});
    ASSERT_EQ(ops(both), Ops({MNB_OP_LOAD, MNB_OP_LOAD, MN_OP_CONV2D}));
    EXPECT_TRUE(both.operations[0].mean.empty());
    EXPECT_EQ(both.operations[2].sources[0], both.operations[1].dst);
}

TEST_F(PassesTest, ParametersAreNumberedByTheWholeGraph) {
    const int32_t first = add(MN_OP_CONV2D, 0);
    const int32_t second = add(MN_OP_CONV2D, 0);
    EXPECT_EQ(inference({first}).operations[1].param_ids[0], 0);
    EXPECT_EQ(inference({second}).operations[1].param_ids[0], 2);
}

// ---- fuse ----

TEST_F(PassesTest, FusesConvolutionActivationAndPooling) {
    const int32_t end = chain({MN_OP_CONV2D, MN_OP_ACTIVATION, MN_OP_MAX_POOL2D});
    Program program = inference({end});
    fuse(program, backend_);
    ASSERT_EQ(ops(program), Ops({MNB_OP_LOAD, MN_OP_CONV2D}));
    EXPECT_EQ(program.operations[1].activation, MN_ACTIVATION_RELU);
    EXPECT_TRUE(program.operations[1].has_pool);
    EXPECT_EQ(program.operations[1].dst, program.outputs[0]);
}

TEST_F(PassesTest, FusesPoolingWithoutActivationAndLinearWithActivation) {
    const int32_t end = chain({MN_OP_CONV2D, MN_OP_MAX_POOL2D, MN_OP_FLATTEN, MN_OP_LINEAR,
                               MN_OP_ACTIVATION, MN_OP_LINEAR});
    Program program = inference({end});
    fuse(program, backend_);
    ASSERT_EQ(ops(program), Ops({MNB_OP_LOAD, MN_OP_CONV2D, MN_OP_LINEAR, MN_OP_LINEAR}));
    EXPECT_TRUE(program.operations[1].has_pool);
    EXPECT_EQ(program.operations[1].activation, 0);
    EXPECT_EQ(program.operations[2].activation, MN_ACTIVATION_RELU);
    EXPECT_EQ(program.operations[3].activation, 0);
}

TEST_F(PassesTest, DoesNotFuseAveragesOrAPoolBeforeTheActivation) {
    Program average = inference({chain({MN_OP_CONV2D, MN_OP_ACTIVATION, MN_OP_AVG_POOL2D})});
    fuse(average, backend_);
    EXPECT_EQ(ops(average), Ops({MNB_OP_LOAD, MN_OP_CONV2D, MN_OP_AVG_POOL2D}));
    Program late = inference({chain({MN_OP_CONV2D, MN_OP_MAX_POOL2D, MN_OP_ACTIVATION})});
    fuse(late, backend_);
    EXPECT_EQ(ops(late), Ops({MNB_OP_LOAD, MN_OP_CONV2D, MN_OP_ACTIVATION}));
    EXPECT_EQ(late.operations[1].activation, 0);
}

TEST_F(PassesTest, DoesNotFuseWhatHasAnotherReader) {
    const int32_t conv = add(MN_OP_CONV2D, 0);
    const int32_t relu = add(MN_OP_ACTIVATION, conv);
    const int32_t pool = add(MN_OP_MAX_POOL2D, relu);
    const int32_t other = add(MN_OP_AVG_POOL2D, conv);
    Program program = inference({pool, other});
    fuse(program, backend_);
    EXPECT_EQ(program.operations.size(), 5u);
    const int32_t second = add(MN_OP_AVG_POOL2D, relu);
    Program later = inference({pool, second});  // conv has one reader now, relu two
    fuse(later, backend_);
    EXPECT_EQ(ops(later), Ops({MNB_OP_LOAD, MN_OP_CONV2D, MN_OP_MAX_POOL2D, MN_OP_AVG_POOL2D}));
}

TEST_F(PassesTest, DoesNotFuseWhatAViewReads) {
    const int32_t conv = add(MN_OP_CONV2D, 0);
    const int32_t flat = add(MN_OP_FLATTEN, conv);
    const int32_t relu = add(MN_OP_ACTIVATION, flat);
    Program program = inference({relu});  // the activation reads features: not fused
    fuse(program, backend_);
    EXPECT_EQ(program.operations.size(), 3u);
    const int32_t direct = add(MN_OP_ACTIVATION, conv);
    const int32_t linear = add(MN_OP_LINEAR, flat);
    Program two = inference({direct, linear});
    fuse(two, backend_);
    EXPECT_EQ(two.operations[1].activation, 0);
}

TEST_F(PassesTest, DoesNotFuseAnOutput) {
    const int32_t conv = add(MN_OP_CONV2D, 0);
    const int32_t relu = add(MN_OP_ACTIVATION, conv);
    const int32_t pool = add(MN_OP_MAX_POOL2D, relu);
    const int32_t flat = add(MN_OP_FLATTEN, conv);
    Program tapped = inference({pool, conv});
    fuse(tapped, backend_);
    EXPECT_EQ(tapped.operations.size(), 4u);
    Program tapped_view = inference({pool, flat});
    fuse(tapped_view, backend_);
    EXPECT_EQ(tapped_view.operations.size(), 4u);
    Program tapped_relu = inference({pool, relu});
    fuse(tapped_relu, backend_);
    EXPECT_EQ(ops(tapped_relu), Ops({MNB_OP_LOAD, MN_OP_CONV2D, MN_OP_MAX_POOL2D}));
}

TEST_F(PassesTest, AWindowMustFitAByte) {
    Graph graph;
    graph.add_input({3, 0, {1, 40, 40, 0}}, nullptr);
    mn_op_desc desc{};
    desc.conv2d = conv_desc(2, 1);
    graph.add(MN_OP_CONV2D, {0}, desc, nullptr);
    for (const auto& [h, w, fused] : {std::tuple{15, 17, true}, std::tuple{16, 16, false}}) {
        desc.pool2d = pool_desc(2, 2);
        desc.pool2d.kernel_h = h, desc.pool2d.kernel_w = w;
        LowerOptions options;
        options.outputs = {graph.add(MN_OP_MAX_POOL2D, {1}, desc, nullptr)};
        Program program = lower(graph, options);
        fuse(program, backend_);
        EXPECT_EQ(program.operations[1].has_pool, fused) << h << 'x' << w;
    }
}

TEST_F(PassesTest, LeavesAloneWhatTheBackendDoesNotSupport) {
    const int32_t end =
        chain({MN_OP_CONV2D, MN_OP_ACTIVATION, MN_OP_MAX_POOL2D, MN_OP_FLATTEN, MN_OP_LINEAR});
    backend_.refuses = [](const mnb_node& node, int32_t) { return node.has_pool != 0; };
    Program no_pool = inference({end});
    fuse(no_pool, backend_);
    EXPECT_EQ(ops(no_pool), Ops({MNB_OP_LOAD, MN_OP_CONV2D, MN_OP_MAX_POOL2D, MN_OP_LINEAR}));
    // In training the backward direction counts too; at inference it does not.
    backend_.refuses = [](const mnb_node& node, int32_t direction) {
        return node.op == MN_OP_CONV2D && node.activation && direction == MNB_BACKWARD;
    };
    Program infer = inference({end});
    fuse(infer, backend_);
    EXPECT_EQ(ops(infer), Ops({MNB_OP_LOAD, MN_OP_CONV2D, MN_OP_LINEAR}));
    Program train = training({end});
    fuse(train, backend_);
    EXPECT_EQ(ops(train), Ops({MNB_OP_LOAD, MN_OP_CONV2D, MN_OP_ACTIVATION, MN_OP_MAX_POOL2D,
                               MN_OP_LINEAR, MNB_OP_LABEL_LOSS}));
}

// ---- layout ----

TEST_F(PassesTest, ReordersOnlyWhereLayoutsDisagree) {
    backend_.layouts[MN_OP_CONV2D] = {MNB_NHWC, MNB_NHWC};
    backend_.layouts[MN_OP_ACTIVATION] = {MNB_NHWC, MNB_NHWC};
    const int32_t end =
        chain({MN_OP_CONV2D, MN_OP_ACTIVATION, MN_OP_CONV2D, MN_OP_AVG_POOL2D, MN_OP_AVG_POOL2D});
    Program program = inference({end});
    assign_layouts(program, backend_);
    EXPECT_EQ(ops(program),
              Ops({MNB_OP_LOAD, MNB_OP_REORDER, MN_OP_CONV2D, MN_OP_ACTIVATION, MN_OP_CONV2D,
                   MNB_OP_REORDER, MN_OP_AVG_POOL2D, MN_OP_AVG_POOL2D}));
    for (const Operation& operation : program.operations) {
        if (operation.op == MNB_OP_LOAD) continue;
        const mnb_tensor& src = program.values[operation.sources[0]].tensor;
        const bool nhwc = operation.op == MN_OP_CONV2D || operation.op == MN_OP_ACTIVATION;
        if (operation.op != MNB_OP_REORDER) {
            EXPECT_EQ(src.layout, nhwc ? MNB_NHWC : MNB_NCHW);
        }
        if (operation.op == MN_OP_CONV2D) {
            EXPECT_EQ(operation.params[0].layout, MNB_PARAM_PANEL16);
            EXPECT_EQ(operation.params[0].storage, 16 * operation.params[0].i * 9);
            EXPECT_EQ(operation.params[1].storage, 16);
        }
    }
    const mnb_tensor& conv = program.values[program.operations[2].dst].tensor;
    EXPECT_EQ(conv.sc, 1);
    EXPECT_EQ(conv.sw, 4);
    EXPECT_EQ(conv.sh, 32);
    EXPECT_EQ(conv.sn, 256);
}

TEST_F(PassesTest, TwoReadersShareAReorder) {
    backend_.layouts[MN_OP_CONV2D] = {MNB_NHWC, MNB_NHWC};
    const int32_t a = add(MN_OP_CONV2D, 0), b = add(MN_OP_CONV2D, 0);
    Program program = inference({a, b});
    assign_layouts(program, backend_);
    EXPECT_EQ(ops(program), Ops({MNB_OP_LOAD, MNB_OP_REORDER, MN_OP_CONV2D, MN_OP_CONV2D,
                                 MNB_OP_REORDER, MNB_OP_REORDER}));
    EXPECT_EQ(program.operations[2].sources, program.operations[3].sources);
}

TEST_F(PassesTest, ResultsAreInTheInterfacesOrder) {
    backend_.layouts[MN_OP_CONV2D] = {MNB_NHWC, MNB_NHWC};
    const int32_t conv = add(MN_OP_CONV2D, 0);
    Program program = inference({conv, add(MN_OP_CONV2D, conv)});
    assign_layouts(program, backend_);
    EXPECT_EQ(ops(program), Ops({MNB_OP_LOAD, MNB_OP_REORDER, MN_OP_CONV2D, MN_OP_CONV2D,
                                 MNB_OP_REORDER, MNB_OP_REORDER}));
    for (int32_t output : program.outputs)
        EXPECT_EQ(program.values[output].tensor.layout, MNB_NCHW);
    // The second convolution reads the first one's own result.
    EXPECT_EQ(program.operations[3].sources[0], program.operations[2].dst);
}

TEST_F(PassesTest, AReshapingThatMovesNothingIsAView) {
    for (bool is_read_twice : {false, true}) {
        Graph graph;
        graph.add_input({3, 0, {1, 4, 6, 0}}, nullptr);
        mn_op_desc desc{};
        desc.reshape = {sizeof desc.reshape, 0, {1, 0, {24, 0, 0, 0}}};
        const int32_t features = graph.add(MN_OP_RESHAPE, {0}, desc, nullptr);
        desc.linear = {sizeof desc.linear, 5, 1};
        LowerOptions options;
        options.outputs = {graph.add(MN_OP_LINEAR, {features}, desc, nullptr)};
        if (is_read_twice) {
            desc.conv2d = conv_desc(4, 3);
            options.outputs.push_back(graph.add(MN_OP_CONV2D, {0}, desc, nullptr));
        }
        Program program = lower(graph, options);
        EXPECT_EQ(ops(program), is_read_twice
                                    ? Ops({MNB_OP_LOAD, MN_OP_RESHAPE, MN_OP_LINEAR, MN_OP_CONV2D})
                                    : Ops({MNB_OP_LOAD, MN_OP_LINEAR}));
        const Value& read = program.values[program.operations[is_read_twice ? 2 : 1].sources[0]];
        EXPECT_EQ(read.storage == program.values[program.operations[0].dst].storage,
                  !is_read_twice);
        EXPECT_EQ(read.tensor.c, 24);
    }
}

TEST_F(PassesTest, OneChannelOrOnePixelNeedsNoReorder) {
    backend_.layouts[MN_OP_CONV2D] = {MNB_NHWC, MNB_NHWC};
    Graph graph;
    graph.add_input({3, 0, {1, 8, 8, 0}}, nullptr);
    mn_op_desc desc{};
    desc.conv2d = conv_desc(6, 8);
    graph.add(MN_OP_CONV2D, {0}, desc, nullptr);           // 6 x 1 x 1
    graph.add(MN_OP_GLOBAL_AVG_POOL2D, {1}, {}, nullptr);  // wants NCHW
    LowerOptions options;
    options.outputs = {2};
    Program program = lower(graph, options);
    assign_layouts(program, backend_);
    EXPECT_EQ(ops(program), Ops({MNB_OP_LOAD, MN_OP_CONV2D, MN_OP_GLOBAL_AVG_POOL2D}));
    EXPECT_EQ(program.values[program.operations[1].sources[0]].tensor.layout, MNB_NHWC);
    EXPECT_EQ(program.values[program.operations[1].sources[0]].storage,
              program.values[program.operations[0].dst].storage);
}

TEST_F(PassesTest, AFlattenedImageIsAView) {
    backend_.layouts[MN_OP_CONV2D] = {MNB_NHWC, MNB_NHWC};
    backend_.layouts[MN_OP_LINEAR] = {MNB_NHWC, MNB_NHWC};
    backend_.layouts[MNB_OP_LOAD] = {MNB_NHWC, MNB_NHWC};
    const int32_t end = chain({MN_OP_CONV2D, MN_OP_FLATTEN, MN_OP_LINEAR});
    Program program = inference({end});
    assign_layouts(program, backend_);
    ASSERT_EQ(ops(program), Ops({MNB_OP_LOAD, MN_OP_CONV2D, MN_OP_LINEAR}));
    const Value& view = program.values[program.operations[2].sources[0]];
    EXPECT_EQ(view.storage, program.values[program.operations[1].dst].storage);
    EXPECT_TRUE(view.tensor.flat);
    EXPECT_EQ(view.tensor.layout, MNB_NHWC);
    EXPECT_EQ(view.tensor.sc, 1);
    const mnb_param& weight = program.operations[2].params[0];
    EXPECT_EQ(weight.i, 4);
    EXPECT_EQ(weight.h, 8);
    EXPECT_EQ(weight.w, 8);
}

TEST_F(PassesTest, FeaturesInAnImagesOrderAreReordered) {
    backend_.layouts[MN_OP_CONV2D] = {MNB_NHWC, MNB_NHWC};
    Program program = inference({chain({MN_OP_CONV2D, MN_OP_FLATTEN, MN_OP_LINEAR})});
    assign_layouts(program, backend_);
    ASSERT_EQ(ops(program),
              Ops({MNB_OP_LOAD, MNB_OP_REORDER, MN_OP_CONV2D, MNB_OP_REORDER, MN_OP_LINEAR}));
    const mnb_tensor& features = program.values[program.operations[4].sources[0]].tensor;
    EXPECT_EQ(features.layout, MNB_NCHW);
    EXPECT_TRUE(features.flat);
    EXPECT_EQ(features.sc, 64);
}

// ---- gradient ----

TEST_F(PassesTest, BackwardRunsFromTheLossToTheFirstParameters) {
    const int32_t relu = add(MN_OP_ACTIVATION, 0);  // before any parameter: no backward
    const int32_t end = chain({MN_OP_CONV2D, MN_OP_FLATTEN, MN_OP_LINEAR}, relu);
    const Program program = scheduled({end});
    const std::vector<std::pair<int32_t, int32_t>> expected = {
        {MNB_OP_LOAD, MNB_FORWARD_TRAINING},
        {MN_OP_ACTIVATION, MNB_FORWARD_TRAINING},
        {MN_OP_CONV2D, MNB_FORWARD_TRAINING},
        {MN_OP_LINEAR, MNB_FORWARD_TRAINING},
        {MNB_OP_LABEL_LOSS, MNB_FORWARD_TRAINING},
        {MN_OP_LINEAR, MNB_BACKWARD},
        {MN_OP_CONV2D, MNB_BACKWARD}};
    EXPECT_EQ(steps(program), expected);
    EXPECT_EQ(program.steps.back().diff_sources, Ops({-1}));  // nobody wants it
    EXPECT_EQ(program.input_gradients[0], -1);
}

TEST_F(PassesTest, TheInputsGradientIsMadeWhenAskedFor) {
    const int32_t end = chain({MN_OP_CONV2D, MN_OP_FLATTEN, MN_OP_LINEAR});
    const Program program = scheduled({end}, true);
    ASSERT_GE(program.input_gradients[0], 0);
    EXPECT_EQ(program.steps.back().diff_sources, Ops({program.input_gradients[0]}));
    const mnb_tensor& t = program.values[program.input_gradients[0]].tensor;
    EXPECT_EQ(t.c * t.h * t.w, 3 * 8 * 8);
}

TEST_F(PassesTest, AnInputThatIsReadInTwoWaysHasNoOneGradient) {
    const float half = 0.5f, two = 2;
    mn_op_desc desc{};
    desc.normalize = {sizeof desc.normalize, 1, &half, &two};
    const int32_t normalized = graph_.add(MN_OP_NORMALIZE, {0}, desc, nullptr);
    const int32_t a = chain({MN_OP_FLATTEN, MN_OP_LINEAR}, normalized);
    const int32_t b = chain({MN_OP_FLATTEN, MN_OP_LINEAR}, 0);
    EXPECT_EQ(scheduled({a, b}).input_gradients[0], -1);
    EXPECT_GE(scheduled({a}, true).input_gradients[0], 0);
    try {
        scheduled({a, b}, true);
        FAIL() << "nothing was thrown";
    } catch (const Error& error) {
        EXPECT_EQ(error.info().status, MN_UNSUPPORTED);
    }
}

TEST_F(PassesTest, GradientsOfSeveralReadersAreSummed) {
    const int32_t conv = add(MN_OP_CONV2D, 0);
    std::vector<int32_t> heads;
    for (int i = 0; i < 3; i++) heads.push_back(chain({MN_OP_FLATTEN, MN_OP_LINEAR}, conv));
    const Program program = scheduled(heads);
    EXPECT_EQ(program.loss_count, 3);
    EXPECT_EQ(count(program, MNB_OP_SUM), 2);
    // The sums come after all parts and before the convolution's backward, which reads the last.
    const Step& last = program.steps.back();
    EXPECT_EQ(program.operations[last.operation].op, MN_OP_CONV2D);
    EXPECT_EQ(last.direction, MNB_BACKWARD);
    std::vector<int32_t> written;
    for (const Step& step : program.steps) {
        const Operation& operation = program.operations[step.operation];
        std::vector<int32_t> reads;
        if (operation.op == MNB_OP_SUM) reads = operation.sources;
        if (step.direction == MNB_BACKWARD) reads.push_back(step.diff_dst);
        for (int32_t value : reads)
            EXPECT_NE(std::find(written.begin(), written.end(), value), written.end());
        for (int32_t diff : step.diff_sources) written.push_back(diff);
        if (operation.op == MNB_OP_SUM) written.push_back(operation.dst);
    }
    const Step& sum = program.steps[program.steps.size() - 2];
    EXPECT_EQ(program.operations[sum.operation].dst, last.diff_dst);
}

TEST_F(PassesTest, SeveralLossesOnOneNode) {
    const int32_t end = chain({MN_OP_FLATTEN, MN_OP_LINEAR});
    const Program program = scheduled({end, end});
    EXPECT_EQ(program.loss_count, 2);
    EXPECT_EQ(count(program, MNB_OP_SUM), 1);
    EXPECT_EQ(program.operations[2].loss, 0);
    EXPECT_EQ(program.operations[3].loss, 1);
}

TEST_F(PassesTest, WhatNoLossDependsOnHasNoBackward) {
    const int32_t conv = add(MN_OP_CONV2D, 0);
    const int32_t head = chain({MN_OP_FLATTEN, MN_OP_LINEAR}, conv);
    chain({MN_OP_FLATTEN, MN_OP_LINEAR}, conv);  // not trained
    const Program program = scheduled({head});
    EXPECT_EQ(count(program, MN_OP_LINEAR), 1);
    EXPECT_EQ(count(program, MNB_OP_SUM), 0);
}

TEST_F(PassesTest, ReordersAreDifferentiated) {
    backend_.layouts[MN_OP_CONV2D] = {MNB_NHWC, MNB_NHWC};
    const int32_t end = chain({MN_OP_CONV2D, MN_OP_AVG_POOL2D, MN_OP_FLATTEN, MN_OP_LINEAR});
    const Program program = scheduled({end});
    const auto all = steps(program);
    EXPECT_EQ(std::count(all.begin(), all.end(),
                         std::pair<int32_t, int32_t>(MNB_OP_REORDER, MNB_BACKWARD)),
              1);
    EXPECT_EQ(all.back(), (std::pair<int32_t, int32_t>(MN_OP_CONV2D, MNB_BACKWARD)));
}

TEST_F(PassesTest, AnUnsupportedBackwardIsRefusedByName) {
    const int32_t end = chain({MN_OP_CONV2D, MN_OP_FLATTEN, MN_OP_LINEAR});
    backend_.refuses = [](const mnb_node& node, int32_t direction) {
        return node.op == MN_OP_CONV2D && direction == MNB_BACKWARD;
    };
    try {
        scheduled({end});
        FAIL() << "nothing was thrown";
    } catch (const Error& error) {
        EXPECT_EQ(error.info().status, MN_UNSUPPORTED);
        EXPECT_NE(std::string(error.what()).find("conv2d_1"), std::string::npos) << error.what();
    }
}

}  // namespace
}  // namespace mn::test
