// How a batch is read: types, normalisation, gathering by index, layouts.

#include <gtest/gtest.h>

#include <cstring>

#include "op_cases.h"

namespace mn::test {
namespace {

constexpr int images = 6;

struct LoadCase {
    int32_t layout;
    int channels, height, width;
};

class LoadTest : public testing::TestWithParam<LoadCase> {
protected:
    LoadTest()
        : channels(GetParam().channels),
          height(GetParam().height),
          width(GetParam().width),
          image_size(channels * height * width) {
        node_.struct_size = sizeof node_;
        node_.op = MNB_OP_LOAD;
        node_.name = "input";
        node_.max_batch = images;
        Random random(test_seed());
        floats_ = random.floats(images * image_size, -3, 3);
        for (int i = 0; i < images * image_size; ++i)
            bytes_.push_back(static_cast<uint8_t>(random.bits()));
        means = random.floats(channels, -1, 1);
        stds = random.floats(channels, 0.25f, 2);
    }

    void normalize(int count) {
        node_.desc.normalize = {sizeof(mn_normalize_desc), count, means.data(), stds.data()};
    }

    static mnb_input input_of(const void* data, const int32_t* indices, int32_t dtype) {
        mnb_input input{};
        input.images = data;
        input.indices = indices;
        input.dtype = dtype;
        return input;
    }

    // Loads with every kernel and compares every element with expected(place in the batch, c, i):
    // i counts the elements of an image, c is the channel.
    template <class Expected>
    void check(const mnb_input& input, int count, Expected&& expected) {
        for (const std::string& isa : instruction_sets()) {
            const TestDevice device(3, isa.c_str());
            for (const cpu::Implementation& implementation : list_implementations(MNB_OP_LOAD)) {
                SCOPED_TRACE(isa + ", " + implementation.name);
                ImageNode node = node_;
                node.dst = make_tensor(channels, height, width, false, GetParam().layout);
                mnb_support support{};
                if (!implementation.query(device.get(), node, MNB_FORWARD_TRAINING, support))
                    continue;
                node.dst = make_tensor(channels, height, width, false, support.dst_layout);
                auto kernel = implementation.create(device.get(), node, MNB_FORWARD_TRAINING);
                Floats dst(images * image_size, -77.0f);
                std::vector<char> workspace(static_cast<size_t>(support.workspace_bytes));
                mnb_run run{};
                run.struct_size = sizeof run;
                run.count = count;
                run.input = &input;
                run.dst = dst.data();
                run.workspace = workspace.data();
                kernel->run(device.get(), run);
                for (int n = 0; n < count; ++n)
                    for (int c = 0; c < channels; ++c)
                        for (int h = 0; h < height; ++h)
                            for (int w = 0; w < width; ++w) {
                                const int64_t at = n * node.dst.sn + c * node.dst.sc +
                                                   h * node.dst.sh + w * node.dst.sw;
                                const int i = (c * height + h) * width + w;
                                const float value = expected(n, c, i);
                                EXPECT_NEAR(dst[static_cast<size_t>(at)], value,
                                            2e-6f * (1 + std::abs(value)))
                                    << n << ", " << i;
                            }
            }
        }
    }

    const int channels, height, width, image_size;
    Floats means, stds;
    ImageNode node_;
    Floats floats_;
    std::vector<uint8_t> bytes_;
};

TEST_P(LoadTest, FloatsAreTakenAsTheyAre) {
    const mnb_input input = {floats_.data(), nullptr, nullptr, MN_FLOAT32, nullptr, nullptr};
    check(input, images,
          [&](int n, int, int i) { return floats_[static_cast<size_t>(n * image_size + i)]; });
}

TEST_P(LoadTest, BytesAreDividedBy255) {
    const mnb_input input = {bytes_.data(), nullptr, nullptr, MN_UINT8, nullptr, nullptr};
    check(input, images - 1, [&](int n, int, int i) {
        return static_cast<float>(bytes_[static_cast<size_t>(n * image_size + i)]) / 255.0f;
    });
}

TEST_P(LoadTest, EachChannelIsNormalised) {
    normalize(channels);
    const mnb_input input = {bytes_.data(), nullptr, nullptr, MN_UINT8, nullptr, nullptr};
    check(input, images, [&](int n, int c, int i) {
        const float x = static_cast<float>(bytes_[static_cast<size_t>(n * image_size + i)]) / 255;
        return (x - means[static_cast<size_t>(c)]) / stds[static_cast<size_t>(c)];
    });
}

TEST_P(LoadTest, OnePairServesAllChannels) {
    normalize(1);
    const mnb_input input = {floats_.data(), nullptr, nullptr, MN_FLOAT32, nullptr, nullptr};
    check(input, images, [&](int n, int, int i) {
        return (floats_[static_cast<size_t>(n * image_size + i)] - means[0]) / stds[0];
    });
}

TEST_P(LoadTest, IndicesChooseImages) {
    normalize(channels);
    const int32_t indices[] = {5, 0, 5, 2};
    const mnb_input bytes = {bytes_.data(), indices, nullptr, MN_UINT8, nullptr, nullptr};
    check(bytes, 4, [&](int n, int c, int i) {
        const size_t at = static_cast<size_t>(indices[n] * image_size + i);
        return (static_cast<float>(bytes_[at]) / 255 - means[static_cast<size_t>(c)]) /
               stds[static_cast<size_t>(c)];
    });
    const mnb_input floats = {floats_.data(), indices, nullptr, MN_FLOAT32, nullptr, nullptr};
    check(floats, 3, [&](int n, int c, int i) {
        return (floats_[static_cast<size_t>(indices[n] * image_size + i)] -
                means[static_cast<size_t>(c)]) /
               stds[static_cast<size_t>(c)];
    });
}

// Grey, colour, more channels than a block, features; sizes that vectors do not divide.
INSTANTIATE_TEST_SUITE_P(Shapes, LoadTest,
                         testing::Values(LoadCase{MNB_NCHW, 3, 5, 7}, LoadCase{MNB_NHWC, 3, 5, 7},
                                         LoadCase{MNB_NHWC, 1, 5, 7}, LoadCase{MNB_NHWC, 37, 4, 5},
                                         LoadCase{MNB_NHWC, 75, 1, 1}),
                         [](const auto& info) {
                             const LoadCase& c = info.param;
                             return std::string(c.layout == MNB_NHWC ? "NHWC" : "NCHW") + "_" +
                                    std::to_string(c.channels) + "x" + std::to_string(c.height) +
                                    "x" + std::to_string(c.width);
                         });

}  // namespace
}  // namespace mn::test
