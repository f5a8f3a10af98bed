// How a batch is read: types, normalisation, gathering by index, layouts.

#include <gtest/gtest.h>

#include <cstring>

#include "op_cases.h"

namespace mn::test {
namespace {

constexpr int channels = 3, height = 5, width = 7, image_size = channels * height * width;
constexpr int images = 6;
constexpr float means[] = {0.1f, -0.2f, 0.4907f};
constexpr float stds[] = {0.3081f, 2.0f, 0.7f};

class LoadTest : public testing::TestWithParam<int32_t> {
protected:
    LoadTest() {
        node_.struct_size = sizeof node_;
        node_.op = MNB_OP_LOAD;
        node_.name = "input";
        node_.max_batch = images;
        Random random(test_seed());
        floats_ = random.floats(images * image_size, -3, 3);
        for (int i = 0; i < images * image_size; ++i)
            bytes_.push_back(static_cast<uint8_t>(random.bits()));
    }

    void normalize(int count) {
        node_.desc.normalize = {sizeof(mn_normalize_desc), count, means, stds};
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
                mnb_node node = node_;
                node.dst = make_tensor(channels, height, width, false, GetParam());
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

    mnb_node node_{};
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
        return (x - means[c]) / stds[c];
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
        return (static_cast<float>(bytes_[at]) / 255 - means[c]) / stds[c];
    });
    const mnb_input floats = {floats_.data(), indices, nullptr, MN_FLOAT32, nullptr, nullptr};
    check(floats, 3, [&](int n, int c, int i) {
        return (floats_[static_cast<size_t>(indices[n] * image_size + i)] - means[c]) / stds[c];
    });
}

INSTANTIATE_TEST_SUITE_P(Layouts, LoadTest, testing::Values(MNB_NCHW, MNB_NHWC),
                         [](const auto& info) { return info.param == MNB_NHWC ? "NHWC" : "NCHW"; });

}  // namespace
}  // namespace mn::test
