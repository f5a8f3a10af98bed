// Shape inference and the messages of what it refuses.

#include "graph/graph.h"

#include <gtest/gtest.h>

#include <cmath>

#include "op_cases.h"

namespace mn::test {
namespace {

mn_shape image(int64_t c, int64_t h, int64_t w) {
    return {3, 0, {c, h, w, 0}};
}

class GraphTest : public testing::Test {
protected:
    void input(const mn_shape& shape) { graph_.add_input(shape, "in"); }

    int32_t conv(int32_t source, const mn_conv2d_desc& conv2d, const char* name = "c") {
        mn_op_desc desc{};
        desc.conv2d = conv2d;
        return graph_.add(MN_OP_CONV2D, {source}, desc, name);
    }
    int32_t pool(int32_t source, const mn_pool2d_desc& pool2d, const char* name = nullptr) {
        mn_op_desc desc{};
        desc.pool2d = pool2d;
        return graph_.add(MN_OP_MAX_POOL2D, {source}, desc, name);
    }
    int32_t linear(int32_t source, int32_t out_features, int32_t bias = 1) {
        mn_op_desc desc{};
        desc.linear = {sizeof desc.linear, out_features, bias};
        return graph_.add(MN_OP_LINEAR, {source}, desc, nullptr);
    }
    int32_t simple(int32_t op, int32_t source) {
        mn_op_desc desc{};
        desc.activation = {sizeof desc.activation, MN_ACTIVATION_RELU, 0, 0};
        return graph_.add(op, {source}, desc, nullptr);
    }
    std::string shape(int32_t node) const { return text_of(graph_.node(node).shape); }

    // The call must fail with all fragments in its message, and leave the graph as it is.
    template <class Call>
    void fails(mn_status status, const std::vector<std::string>& fragments, Call&& call) {
        const int32_t size = graph_.size();
        try {
            call();
            FAIL() << "nothing was thrown; expected " << fragments[0];
        } catch (const Error& error) {
            EXPECT_EQ(error.info().status, status) << error.what();
            for (const std::string& fragment : fragments)
                EXPECT_NE(std::string(error.what()).find(fragment), std::string::npos)
                    << error.what() << "\nhas no " << fragment;
        }
        EXPECT_EQ(graph_.size(), size);
    }

    Graph graph_;
};

TEST_F(GraphTest, InfersTheSeedNetwork) {
    input(image(1, 28, 28));
    const int32_t c1 = conv(0, conv_desc(32, 3, 1, 1), "0");
    const int32_t p1 = pool(simple(MN_OP_ACTIVATION, c1), pool_desc(2, 2));
    const int32_t c2 = conv(p1, conv_desc(64, 3, 1, 1), "3");
    const int32_t p2 = pool(simple(MN_OP_ACTIVATION, c2), pool_desc(2, 2));
    const int32_t flat = simple(MN_OP_FLATTEN, p2);
    const int32_t l1 = linear(flat, 128);
    const int32_t l2 = linear(simple(MN_OP_ACTIVATION, l1), 10);
    EXPECT_EQ(shape(c1), "32x28x28");
    EXPECT_EQ(shape(p1), "32x14x14");
    EXPECT_EQ(shape(p2), "64x7x7");
    EXPECT_EQ(shape(flat), "3136");
    EXPECT_EQ(shape(l2), "10");
    int64_t parameters = 0;
    for (int32_t id = 0; id < graph_.size(); id++)
        for (const ParameterSpec& spec : graph_.node(id).parameters)
            parameters += element_count(spec.shape);
    EXPECT_EQ(parameters, 421642);
}

TEST_F(GraphTest, ConvolutionFollowsItsFormula) {
    input(image(6, 17, 23));
    mn_conv2d_desc d = conv_desc(8, 3);
    d.kernel_h = 5;
    d.stride_h = 2, d.stride_w = 3;
    d.dilation_h = 2, d.dilation_w = 4;
    d.pad_top = 1, d.pad_bottom = 2, d.pad_left = 3;
    d.groups = 2;
    const int32_t node = conv(0, d);
    EXPECT_EQ(shape(node), "8x6x6");  // (17 + 3 - 8 - 1) / 2 + 1, (23 + 3 - 8 - 1) / 3 + 1
    const std::vector<ParameterSpec>& parameters = graph_.node(node).parameters;
    ASSERT_EQ(parameters.size(), 2u);
    EXPECT_EQ(text_of(parameters[0].shape), "8x3x5x3");
    EXPECT_EQ(text_of(parameters[1].shape), "8");
    EXPECT_DOUBLE_EQ(parameters[0].init_value, 1 / std::sqrt(45.0));
    EXPECT_DOUBLE_EQ(parameters[1].init_value, 1 / std::sqrt(45.0));
    d.bias = 0;
    EXPECT_EQ(graph_.node(conv(0, d, "d")).parameters.size(), 1u);
}

// PyTorch's rule: floor((size + 2 pad - kernel + (ceil ? stride - 1 : 0)) / stride) + 1, and with
// ceil one less if the last window would start beyond the image and its near padding.
TEST_F(GraphTest, PoolingRoundsAsPyTorch) {
    struct Case {
        int64_t size;
        int kernel, stride, pad, ceil;
        int64_t out;
    };
    const Case cases[] = {
        {8, 2, 2, 0, 0, 4}, {7, 2, 2, 0, 0, 3}, {7, 2, 2, 0, 1, 4},  {5, 3, 2, 1, 0, 3},
        {6, 3, 2, 1, 0, 3}, {6, 3, 2, 1, 1, 4}, {4, 1, 3, 0, 1, 2},  {5, 2, 3, 1, 1, 2},
        {4, 2, 3, 1, 1, 2}, {3, 2, 2, 1, 1, 2}, {2, 2, 2, 1, 1, 2},  {2, 3, 2, 0, 1, 1},
        {1, 3, 3, 0, 1, 1}, {3, 3, 1, 0, 1, 1}, {10, 4, 7, 2, 1, 2},
    };
    for (const Case& c : cases) {
        Graph graph;
        graph.add_input(image(1, c.size, c.size), nullptr);
        for (int32_t op : {MN_OP_MAX_POOL2D, MN_OP_AVG_POOL2D}) {
            mn_op_desc desc{};
            desc.pool2d = pool_desc(c.kernel, c.stride, c.pad, c.ceil);
            const Node& node = graph.node(graph.add(op, {0}, desc, nullptr));
            EXPECT_EQ(node.shape.dims[1], c.out)
                << c.size << " k" << c.kernel << " s" << c.stride << " p" << c.pad << " " << c.ceil;
            EXPECT_EQ(node.shape.dims[2], c.out);
        }
    }
    input(image(1, 2, 2));
    fails(MN_SHAPE_MISMATCH, {"[max_pool2d \"p\"]", "height 3", "of 2"},
          [&] { pool(0, pool_desc(3, 2), "p"); });
}

TEST_F(GraphTest, OtherOpsKeepOrReduce) {
    input(image(3, 5, 7));
    EXPECT_EQ(shape(simple(MN_OP_GLOBAL_AVG_POOL2D, 0)), "3x1x1");
    EXPECT_EQ(shape(simple(MN_OP_ACTIVATION, 0)), "3x5x7");
    const int32_t flat = simple(MN_OP_FLATTEN, 0);
    EXPECT_EQ(shape(flat), "105");
    EXPECT_EQ(shape(simple(MN_OP_FLATTEN, flat)), "105");
    EXPECT_EQ(shape(simple(MN_OP_SOFTMAX, flat)), "105");
    const int32_t layer = linear(flat, 4, 0);
    EXPECT_EQ(text_of(graph_.node(layer).parameters[0].shape), "4x105");
    EXPECT_EQ(graph_.node(layer).parameters.size(), 1u);
    EXPECT_DOUBLE_EQ(graph_.node(layer).parameters[0].init_value, 1 / std::sqrt(105.0));
}

TEST_F(GraphTest, NormalizeKeepsOneValueAChannel) {
    input(image(3, 2, 2));
    const float mean = 0.25f, deviations[] = {1, 2, 3};
    mn_op_desc desc{};
    desc.normalize = {sizeof desc.normalize, 1, &mean, deviations};
    const Node& one = graph_.node(graph_.add(MN_OP_NORMALIZE, {0}, desc, nullptr));
    EXPECT_EQ(one.mean, Floats({0.25f, 0.25f, 0.25f}));
    EXPECT_EQ(one.std, Floats({1, 1, 1}));
    desc.normalize.channels = 3;
    desc.normalize.mean = deviations;
    const Node& three = graph_.node(graph_.add(MN_OP_NORMALIZE, {0}, desc, nullptr));
    EXPECT_EQ(three.std, Floats({1, 2, 3}));
    EXPECT_EQ(three.desc.normalize.mean, nullptr);
}

TEST_F(GraphTest, MessagesNameTheNodeAndTheNumbers) {
    input(image(3, 8, 8));
    mn_conv2d_desc d = conv_desc(6, 3);
    d.groups = 2;
    fails(MN_SHAPE_MISMATCH, {"[conv2d \"c\"]", "2 groups", "got 3", "\"in\""},
          [&] { conv(0, d); });
    d.groups = 0;
    fails(MN_INVALID_ARGUMENT, {"[conv2d \"c\"]", "groups", "got 0"}, [&] { conv(0, d); });
    fails(MN_SHAPE_MISMATCH, {"[conv2d \"c\"]", "width 9", "of 8"}, [&] {
        mn_conv2d_desc wide = conv_desc(6, 3);
        wide.kernel_w = 9;
        conv(0, wide);
    });
    fails(MN_SHAPE_MISMATCH, {"[linear \"linear_1\"]", "3x8x8", "flatten"}, [&] { linear(0, 5); });
    fails(MN_NOT_FOUND, {"[linear \"linear_1\"]", "source 1"}, [&] { linear(1, 5); });
    fails(MN_INVALID_ARGUMENT, {"\"in\"", "taken by node 0"},
          [&] { conv(0, conv_desc(1, 1), "in"); });
    const int32_t flat = simple(MN_OP_FLATTEN, 0);
    fails(MN_SHAPE_MISMATCH, {"[conv2d \"c\"]", "got 192"}, [&] { conv(flat, conv_desc(1, 1)); });
    fails(MN_INVALID_ARGUMENT, {"[linear \"linear_2\"]", "out_features", "got -4"},
          [&] { linear(flat, -4); });
    EXPECT_EQ(conv(0, conv_desc(1, 1)), 2);
}

// Sizes at the ends of their ranges: refused or computed, never overflown.
TEST_F(GraphTest, HugeSizesAreRefused) {
    input(image(1, 1 << 15, 1 << 15));
    fails(MN_SHAPE_MISMATCH, {"2^31"}, [&] { conv(0, conv_desc(1 << 24, 1)); });
    mn_conv2d_desc d = conv_desc(1, 1 << 15);
    d.dilation_h = d.dilation_w = 1 << 15;
    fails(MN_SHAPE_MISMATCH, {"height"}, [&] { conv(0, d); });
    d = conv_desc(1 << 24, 1 << 15);
    fails(MN_SHAPE_MISMATCH, {"weight", "too large"}, [&] { conv(0, d); });
    const int32_t flat = simple(MN_OP_FLATTEN, 0);
    EXPECT_EQ(shape(flat), "1073741824");
    fails(MN_SHAPE_MISMATCH, {"2147483647x1073741824", "too large"},
          [&] { linear(flat, INT32_MAX); });
}

}  // namespace
}  // namespace mn::test
