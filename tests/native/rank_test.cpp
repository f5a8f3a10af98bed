// Values of any rank: what does not ask for rows and columns takes them all, and gives the same
// bits as of an image with as many pixels.

#include <gtest/gtest.h>

#include <algorithm>

#include "network.h"

namespace mn::test {
namespace {

mn_shape shape_of(const std::vector<int64_t>& dims) {
    mn_shape shape{};
    shape.rank = static_cast<int32_t>(dims.size());
    std::copy(dims.begin(), dims.end(), shape.dims);
    return shape;
}

template <typename Desc>
int32_t add(const Network& network, int32_t op, const Desc& desc, std::vector<int32_t> sources) {
    int32_t node = -1;
    check(mn_graph_add(network.handle(), op, &desc, sources.data(),
                       static_cast<int32_t>(sources.size()), nullptr, &node));
    return node;
}

struct Shaped {
    static constexpr int kClasses = 4;
    Network network;
    int32_t whole = -1, end = -1;

    explicit Shaped(const std::vector<int64_t>& dims) {
        const mn_shape shape = shape_of(dims);
        int32_t x = -1;
        check(mn_graph_input(network.handle(), &shape, nullptr, &x));
        x = network.normalize(x, {0.5f, 0.25f, 0}, {2, 0.5f, 1});
        x = add(network, MN_OP_BATCH_NORM,
                mn_batch_norm_desc{sizeof(mn_batch_norm_desc), 1e-5f, 0.1f, 1}, {x});
        const int32_t relu = network.relu(x);
        x = add(network, MN_OP_BINARY, mn_binary_desc{sizeof(mn_binary_desc), MN_BINARY_MULTIPLY},
                {relu, x});
        x = add(network, MN_OP_CONCAT, 0, {x, relu, x});
        x = add(network, MN_OP_GROUP_NORM,
                mn_group_norm_desc{sizeof(mn_group_norm_desc), 3, 1e-5f, 1}, {x});
        x = add(network, MN_OP_SLICE, mn_slice_desc{sizeof(mn_slice_desc), 2, 5}, {x});
        x = add(network, MN_OP_DROPOUT,
                mn_dropout_desc{sizeof(mn_dropout_desc), 0.25f, MN_DROPOUT_CHANNEL}, {x});
        whole = add(network, MN_OP_LAYER_NORM,
                    mn_layer_norm_desc{sizeof(mn_layer_norm_desc), 1e-5f, 1, 0}, {x});
        end = network.linear(network.flatten(whole), kClasses);
    }
};

TEST(RankTest, ValuesOfEveryRankGiveTheBitsOfAnImage) {
    for (uint32_t flags : {0u, uint32_t{MN_DEVICE_REFERENCE_KERNELS}}) {
        const DeviceHandle device = open_device(2, flags);
        const Shaped image({3, 12, 10});
        const TestModel expected(device, image.network, {image.end, image.whole});
        const TestTrainer trainer(expected, {loss_on(image.end)}, sgd(0.1f), 5);
        Random random(test_seed());
        const Batch batch = random_batch(random, 5, 360, Shaped::kClasses);
        trainer.accumulate(batch);
        for (const std::vector<int64_t>& dims :
             {std::vector<int64_t>{3, 3, 4, 10}, {3, 2, 3, 2, 10}}) {
            const Shaped volume(dims);
            std::vector<int64_t> whole = dims;
            whole[0] = 5;
            const mn_shape shape = volume.network.shape(volume.whole);
            EXPECT_EQ(std::vector<int64_t>(shape.dims, shape.dims + shape.rank), whole);
            const TestModel model(device, volume.network, {volume.end, volume.whole});
            const TestTrainer other(model, {loss_on(volume.end)}, sgd(0.1f), 5);
            other.accumulate(batch);
            EXPECT_EQ(model.read_all(MN_PART_GRADIENT), expected.read_all(MN_PART_GRADIENT));
            EXPECT_EQ(model.forward(batch), expected.forward(batch));
            EXPECT_EQ(model.forward(batch, 1), expected.forward(batch, 1));
        }
    }
}

TEST(RankTest, AnInputHasOneToFiveDimensions) {
    Network network;
    for (int32_t rank : {0, 6}) {
        mn_shape shape = shape_of({1, 1, 1, 1, 1, 1});
        shape.rank = rank;
        int32_t node = -1;
        EXPECT_EQ(mn_graph_input(network.handle(), &shape, nullptr, &node), MN_SHAPE_MISMATCH);
        EXPECT_NE(std::string(mn_last_error()).find("rank must be 1 to 5"), std::string::npos);
    }
}

TEST(RankTest, WhatAsksForRowsAndColumnsSaysSo) {
    Network network;
    const mn_shape shape = shape_of({3, 4, 5, 6});
    int32_t x = -1;
    check(mn_graph_input(network.handle(), &shape, nullptr, &x));
    try {
        network.conv(x, conv_desc(2, 3));
        FAIL() << "a volume is no image";
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.status, MN_SHAPE_MISMATCH);
        EXPECT_NE(std::string(failure.what()).find("{C, H, W}, got 3x4x5x6"), std::string::npos);
    }
}

}  // namespace
}  // namespace mn::test
