// Networks that are no chains, from graph to plan: the same numbers on the reference device, on
// the fast one and without fusion, and gradients that say how the loss changes.

#include <gtest/gtest.h>

#include <functional>

#include "training_fixture.h"

namespace mn::test {
namespace {

// Adds nodes to a graph with few words.
class Builder {
public:
    Graph graph;
    std::vector<int32_t> outputs;
    std::vector<mn_loss_desc> losses;

    int32_t input(std::initializer_list<int64_t> dims) {
        return graph.add_input(shape_of(dims), nullptr);
    }
    int32_t conv(int32_t source, int channels, int kernel = 3, int groups = 1, int stride = 1) {
        mn_op_desc desc{};
        desc.conv2d = conv_desc(channels, kernel, stride, kernel / 2);
        desc.conv2d.groups = groups;
        return graph.add(MN_OP_CONV2D, {source}, desc, nullptr);
    }
    int32_t conv1d(int32_t source, int channels, int kernel) {
        mn_op_desc desc{};
        desc.conv2d = conv_desc(channels, 1);
        desc.conv2d.one_dimensional = 1;
        desc.conv2d.kernel_w = kernel;
        desc.conv2d.pad_left = desc.conv2d.pad_right = kernel / 2;
        return graph.add(MN_OP_CONV2D, {source}, desc, nullptr);
    }
    int32_t relu(int32_t source) {
        mn_op_desc desc{};
        desc.activation.struct_size = sizeof desc.activation;
        desc.activation.kind = MN_ACTIVATION_RELU;
        return graph.add(MN_OP_ACTIVATION, {source}, desc, nullptr);
    }
    int32_t pool(int32_t source, int op = MN_OP_MAX_POOL2D, int size = 2) {
        mn_op_desc desc{};
        desc.pool2d = pool_desc(size, size);
        return graph.add(op, {source}, desc, nullptr);
    }
    int32_t binary(int32_t left, int32_t right, int kind = MN_BINARY_ADD) {
        mn_op_desc desc{};
        desc.binary = {sizeof(mn_binary_desc), kind};
        return graph.add(MN_OP_BINARY, {left, right}, desc, nullptr);
    }
    int32_t slice(int32_t source, int first, int count) {
        mn_op_desc desc{};
        desc.slice = {sizeof(mn_slice_desc), first, count};
        return graph.add(MN_OP_SLICE, {source}, desc, nullptr);
    }
    int32_t shuffle(int32_t source, int groups) {
        mn_op_desc desc{};
        desc.channel_shuffle = {sizeof(mn_channel_shuffle_desc), groups};
        return graph.add(MN_OP_CHANNEL_SHUFFLE, {source}, desc, nullptr);
    }
    int32_t upsample(int32_t source, int scale, int mode = MN_UPSAMPLE_BILINEAR) {
        mn_op_desc desc{};
        desc.upsample = {sizeof(mn_upsample_desc), mode, scale, scale, 0};
        return graph.add(MN_OP_UPSAMPLE, {source}, desc, nullptr);
    }
    int32_t adaptive(int32_t source, int op, int height, int width) {
        mn_op_desc desc{};
        desc.adaptive_pool2d = {sizeof(mn_adaptive_pool2d_desc), height, width};
        return graph.add(op, {source}, desc, nullptr);
    }
    int32_t linear(int32_t source, int features) {
        mn_op_desc desc{};
        desc.linear = {sizeof(mn_linear_desc), features, 1};
        return graph.add(MN_OP_LINEAR, {source}, desc, nullptr);
    }
    int32_t plain(int op, std::vector<int32_t> sources) {
        return graph.add(op, sources, mn_op_desc{}, nullptr);
    }
    int32_t reshape(int32_t source, std::initializer_list<int64_t> dims) {
        const mn_shape shape = shape_of(dims);
        mn_op_desc desc{};
        desc.reshape = {sizeof desc.reshape, 0, shape};
        return graph.add(MN_OP_RESHAPE, {source}, desc, nullptr);
    }
    void classify(int32_t source, float weight = 1) {
        const int32_t flat = plain(MN_OP_FLATTEN, {source});
        const int32_t logits = linear(flat, 5);
        outputs.push_back(logits);
        losses.push_back(loss_desc(MN_LOSS_CROSS_ENTROPY, logits));
        losses.back().weight = weight;
    }
};

struct Network {
    const char* name;
    std::function<void(Builder&)> build;
    bool indices = false;  // the input is words instead of pixels
};

std::vector<Network> networks() {
    std::vector<Network> list;
    list.push_back({"residual", [](Builder& b) {
                        int32_t x = b.relu(b.conv(b.input({2, 8, 8}), 8));
                        const int32_t branch = b.conv(b.relu(b.conv(x, 8)), 8);
                        x = b.relu(b.binary(branch, x));
                        const int32_t wider = b.conv(b.relu(b.conv(x, 12, 3, 1, 2)), 12);
                        x = b.relu(b.binary(wider, b.conv(x, 12, 1, 1, 2)));
                        b.classify(b.plain(MN_OP_GLOBAL_AVG_POOL2D, {x}));
                    }});
    list.push_back({"dense_blocks", [](Builder& b) {
                        const int32_t x = b.conv(b.input({3, 6, 6}), 5);
                        const int32_t y = b.relu(b.conv(x, 3));
                        const int32_t both = b.plain(MN_OP_CONCAT, {x, y});
                        const int32_t z = b.conv(both, 4, 1);
                        b.classify(b.pool(b.plain(MN_OP_CONCAT, {both, z, x}), MN_OP_AVG_POOL2D));
                    }});
    list.push_back({"squeeze_and_excite", [](Builder& b) {
                        const int32_t x = b.relu(b.conv(b.input({2, 6, 6}), 16));
                        const int32_t gate =
                            b.relu(b.conv(b.adaptive(x, MN_OP_ADAPTIVE_AVG_POOL2D, 1, 1), 16, 1));
                        const int32_t y = b.binary(x, gate, MN_BINARY_MULTIPLY);
                        b.classify(b.binary(y, gate, MN_BINARY_SUBTRACT));
                    }});
    list.push_back({"one_value_as_both_sources", [](Builder& b) {
                        const int32_t x = b.conv(b.input({2, 5, 5}), 4);
                        const int32_t square = b.binary(x, x, MN_BINARY_MULTIPLY);
                        const int32_t twice = b.binary(square, square);
                        const int32_t nothing = b.binary(x, x, MN_BINARY_SUBTRACT);
                        b.classify(b.plain(MN_OP_CONCAT, {twice, nothing, twice}));
                    }});
    list.push_back({"split_and_shuffle", [](Builder& b) {
                        const int32_t x = b.relu(b.conv(b.input({2, 6, 6}), 32));
                        const int32_t left = b.slice(x, 0, 16), right = b.slice(x, 16, 16);
                        const int32_t depthwise = b.relu(b.conv(right, 16, 3, 16));
                        const int32_t y = b.plain(MN_OP_CONCAT, {left, b.conv(depthwise, 16, 1)});
                        b.classify(b.pool(b.conv(b.shuffle(y, 2), 20, 3, 4)));
                    }});
    list.push_back({"auxiliary_heads", [](Builder& b) {
                        const int32_t x = b.relu(b.conv(b.input({3, 8, 8}), 6));
                        const int32_t small = b.pool(x);
                        const int32_t y = b.conv(small, 8);
                        b.classify(b.plain(MN_OP_GLOBAL_AVG_POOL2D, {y}));
                        b.classify(small, 0.3f);
                        b.classify(b.adaptive(x, MN_OP_ADAPTIVE_MAX_POOL2D, 3, 2), 0.2f);
                        b.outputs.push_back(x);
                    }});
    list.push_back(
        {"autoencoder", [](Builder& b) {
             const int32_t x = b.conv(b.input({2, 8, 8}), 6);
             const int32_t pooled = b.pool(x);
             const int32_t inner = b.conv(pooled, 6);
             const int32_t back = b.graph.add(MN_OP_MAX_UNPOOL2D, {inner, x, pooled}, {}, nullptr);
             mn_op_desc desc{};
             desc.conv_transpose2d.struct_size = sizeof desc.conv_transpose2d;
             desc.conv_transpose2d.out_channels = 4;
             desc.conv_transpose2d.kernel_h = desc.conv_transpose2d.kernel_w = 2;
             desc.conv_transpose2d.stride_h = desc.conv_transpose2d.stride_w = 2;
             desc.conv_transpose2d.dilation_h = desc.conv_transpose2d.dilation_w = 1;
             desc.conv_transpose2d.groups = 2;
             desc.conv_transpose2d.bias = 1;
             const int32_t up = b.graph.add(MN_OP_CONV_TRANSPOSE2D, {inner}, desc, nullptr);
             const int32_t y = b.plain(MN_OP_CONCAT, {back, up, b.upsample(inner, 2)});
             mn_op_desc pad{};
             pad.pad2d = {sizeof(mn_pad2d_desc), MN_PAD_REFLECT, 1, 1, 1, 1};
             b.classify(b.conv(b.graph.add(MN_OP_PAD2D, {y}, pad, nullptr), 3));
         }});
    list.push_back({"features", [](Builder& b) {
                        const int32_t x = b.conv(b.input({2, 4, 4}), 6);
                        const int32_t flat = b.plain(MN_OP_FLATTEN, {x});  // a view in any layout
                        const int32_t part = b.slice(flat, 7, 20);
                        const int32_t other = b.relu(b.linear(flat, 20));
                        const int32_t y = b.plain(
                            MN_OP_CONCAT, {b.binary(part, other, MN_BINARY_MULTIPLY), flat, other});
                        const int32_t image = b.reshape(b.binary(flat, b.linear(y, 96)), {6, 4, 4});
                        b.classify(b.binary(b.reshape(image, {6, 2, 8}), b.reshape(x, {6, 2, 8})));
                    }});
    list.push_back({"scaled", [](Builder& b) {
                        const int32_t x = b.conv(b.input({2, 5, 5}), 9);
                        mn_op_desc desc{};
                        desc.scale.struct_size = sizeof desc.scale;
                        desc.scale.initial = 0.5f;
                        const int32_t y =
                            b.graph.add(MN_OP_SCALE, {b.conv(x, 9, 3, 9)}, desc, nullptr);
                        b.classify(b.binary(x, y));
                    }});
    // Poolings that the fast convolutions do not take, and a sum that hands the gradient of the
    // input on.
    list.push_back(
        {"poolings_left_alone", [](Builder& b) {
             const int32_t input = b.input({17, 8, 9});
             const int32_t x = b.binary(b.conv(input, 17), input);
             mn_op_desc dilated{};
             dilated.pool2d = pool_desc(2, 1);
             dilated.pool2d.dilation_h = 2;
             dilated.pool2d.dilation_w = 3;
             const int32_t y =
                 b.graph.add(MN_OP_MAX_POOL2D, {b.relu(b.conv(x, 16))}, dilated, nullptr);
             b.classify(b.pool(b.relu(b.conv(y, 16, 3, 16))));
             b.classify(b.plain(MN_OP_GLOBAL_AVG_POOL2D, {b.binary(input, x, MN_BINARY_SUBTRACT)}));
         }});
    list.push_back({"words",
                    [](Builder& b) {
                        mn_op_desc desc{};
                        desc.embedding = {sizeof(mn_embedding_desc), 11, 6};
                        const int32_t x =
                            b.graph.add(MN_OP_EMBEDDING, {b.input({9})}, desc, nullptr);
                        const int32_t y = b.relu(b.conv1d(x, 8, 3));
                        mn_op_desc pool{};
                        pool.pool2d = pool_desc(1, 1);
                        pool.pool2d.one_dimensional = 1;
                        pool.pool2d.kernel_w = 3;
                        pool.pool2d.stride_w = 2;
                        const int32_t most = b.graph.add(MN_OP_MAX_POOL2D, {y}, pool, nullptr);
                        const int32_t mean = b.graph.add(MN_OP_AVG_POOL2D, {y}, pool, nullptr);
                        b.classify(b.plain(MN_OP_CONCAT, {most, mean}));
                    },
                    true});
    return list;
}

struct Result {
    std::vector<Floats> outputs, gradients;
    Floats input_gradient;
    double loss = 0;
};

constexpr int32_t kCount = 4;

// A model of a network with a trainer, on one batch.
class Training {
public:
    Training(const Network& network, uint32_t device_flags, uint32_t model_flags)
        : network_(network) {
        network.build(builder_);
        mn_device_desc device{};
        device.struct_size = sizeof device;
        device.threads = 2;
        device.flags = device_flags;
        mn_model_desc desc{};
        desc.struct_size = sizeof desc;
        desc.seed = 5;
        desc.flags = model_flags;
        desc.outputs = builder_.outputs.data();
        desc.output_count = static_cast<int32_t>(builder_.outputs.size());
        model_ = std::make_shared<Model>(std::make_shared<Device>(device), builder_.graph, desc);
        TrainerSettings settings;
        settings.losses = builder_.losses;
        settings.max_batch = kCount + 1;
        if (!network.indices) settings.flags = MN_TRAINER_INPUT_GRADIENT;
        trainer_ = make_trainer(model_, settings);
        Random random(test_seed());
        const int64_t size = element_count(builder_.graph.node(0).shape);
        images_ = random.floats(kCount * size);
        if (network.indices)
            for (float& image : images_) image = static_cast<float>(random.integer(0, 10));
        for (int i = 0; i < kCount; ++i)
            labels_.push_back(static_cast<int32_t>(random.integer(0, 4)));
    }

    double loss() {
        const mn_metrics metrics =
            trainer_->accumulate(batch_of(images_, kCount, &labels_), nullptr);
        trainer_->clear();
        return metrics.loss;
    }

    Result result() {
        Result result;
        const mn_batch batch = batch_of(images_, kCount, &labels_);
        for (size_t i = 0; i < builder_.outputs.size(); ++i) {
            const mn_shape& shape = builder_.graph.node(builder_.outputs[i]).shape;
            Floats values(static_cast<size_t>(kCount * element_count(shape)));
            mn_output output{};
            output.struct_size = sizeof output;
            output.index = static_cast<int32_t>(i);
            output.values = values.data();
            output.value_count = values.size();
            model_->forward(batch, nullptr, &output, 1);
            result.outputs.push_back(std::move(values));
        }
        result.loss = trainer_->accumulate(batch, nullptr).loss;
        for (const Parameter& parameter : model_->parameters())
            result.gradients.push_back(read_part(*model_, parameter.name, MN_PART_GRADIENT));
        if (!network_.indices) {
            result.input_gradient.resize(images_.size());
            trainer_->read_input_gradient(0, result.input_gradient.data(), images_.size());
        }
        trainer_->clear();
        return result;
    }

    // Moves all parameters along a direction.
    void move(const std::vector<Floats>& direction, float by) {
        for (size_t p = 0; p < direction.size(); ++p) {
            const int32_t index = static_cast<int32_t>(p);
            Floats values = read_part(*model_, model_->parameter(index).name);
            for (size_t i = 0; i < values.size(); ++i) values[i] += by * direction[p][i];
            model_->write(index, MN_PART_VALUE, values.data(), values.size());
        }
    }

private:
    Network network_;
    Builder builder_;
    std::shared_ptr<Model> model_;
    std::unique_ptr<Trainer> trainer_;
    Floats images_;
    std::vector<int32_t> labels_;
};

class StructureGraphTest : public testing::TestWithParam<Network> {};

void PrintTo(const Network& network, std::ostream* stream) {
    *stream << network.name;
}

void expect_close(const Result& a, const Result& b) {
    EXPECT_NEAR(a.loss, b.loss, 1e-5 * std::abs(b.loss));
    for (size_t i = 0; i < b.outputs.size(); ++i)
        EXPECT_LE(relative_error(a.outputs[i], b.outputs[i]), 1e-5) << "output " << i;
    for (size_t i = 0; i < b.gradients.size(); ++i)
        EXPECT_LE(relative_error(a.gradients[i], b.gradients[i]), 1e-5) << "parameter " << i;
    EXPECT_LE(relative_error(a.input_gradient, b.input_gradient), 1e-5) << "input";
}

TEST_P(StructureGraphTest, DevicesAndFusionAgree) {
    const Result expected =
        Training(GetParam(), MN_DEVICE_REFERENCE_KERNELS, MN_MODEL_NO_FUSION).result();
    expect_close(Training(GetParam(), MN_DEVICE_REFERENCE_KERNELS, 0).result(), expected);
    expect_close(Training(GetParam(), 0, MN_MODEL_NO_FUSION).result(), expected);
    expect_close(Training(GetParam(), 0, 0).result(), expected);
}

// Of the loss along a random direction, in which kinks of maxima cancel out for the most part.
TEST_P(StructureGraphTest, GradientIsTheFiniteDifference) {
    Training run(GetParam(), 0, 0);
    const Result result = run.result();
    Random random(test_seed() + 1);
    for (int repeat = 0; repeat < 3; ++repeat) {
        std::vector<Floats> direction;
        double expected = 0, squares = 0;
        for (const Floats& gradient : result.gradients) {
            // Along the gradient's signs, or the sum would mostly cancel out.
            direction.push_back(random.floats(static_cast<int64_t>(gradient.size()), 0, 1));
            for (size_t i = 0; i < gradient.size(); ++i) {
                float& d = direction.back()[i];
                if (gradient[i] < 0) d = -d;
                expected += static_cast<double>(d) * static_cast<double>(gradient[i]);
                squares += static_cast<double>(d) * static_cast<double>(d);
            }
        }
        const float step = static_cast<float>(2e-3 / std::sqrt(squares));
        run.move(direction, step);
        const double above = run.loss();
        run.move(direction, -2 * step);
        const double below = run.loss();
        run.move(direction, step);
        EXPECT_NEAR((above - below) / (2 * static_cast<double>(step)), expected, 5e-3 * expected);
    }
}

INSTANTIATE_TEST_SUITE_P(Networks, StructureGraphTest, testing::ValuesIn(networks()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Embedding, RefusesWhatIsNoIndex) {
    Builder b;
    mn_op_desc desc{};
    desc.embedding = {sizeof(mn_embedding_desc), 3, 2};
    const int32_t x = b.graph.add(MN_OP_EMBEDDING, {b.input({2})}, desc, "words");
    b.classify(x);
    const auto model = make_model(b.graph, b.outputs);
    Floats values(5);
    mn_output output{};
    output.struct_size = sizeof output;
    output.values = values.data();
    output.value_count = values.size();
    for (float wrong : {3.0f, -1.0f, 0.5f, std::nanf("")}) {
        const Floats images = {1, wrong};
        try {
            model->forward(batch_of(images, 1), nullptr, &output, 1);
            ADD_FAILURE() << wrong;
        } catch (const Error& error) {
            EXPECT_EQ(error.info().status, MN_INVALID_ARGUMENT);
            EXPECT_NE(std::string(error.what()).find("[embedding \"words\"]"), std::string::npos)
                << error.what();
        }
    }
    const Floats images = {0, 2};
    EXPECT_NO_THROW(model->forward(batch_of(images, 1), nullptr, &output, 1));
}

// Nothing is computed for frozen parameters, whatever the op.
TEST(Frozen, GradientsStayZero) {
    for (const Network& network : networks()) {
        Builder b;
        network.build(b);
        const auto model = make_model(b.graph, b.outputs);
        TrainerSettings settings;
        settings.losses = b.losses;
        const int32_t count = static_cast<int32_t>(model->parameters().size());
        for (int32_t p = 0; p < count; p += 2) {
            mn_parameter_options options{};
            options.struct_size = sizeof options;
            options.parameter = p;
            options.frozen = 1;
            options.learning_rate_factor = 1;
            options.weight_decay = -1;
            settings.options.push_back(options);
        }
        const auto trainer = make_trainer(model, settings);
        const Floats images(static_cast<size_t>(2 * element_count(b.graph.node(0).shape)), 1.0f);
        const std::vector<int32_t> labels = {1, 3};
        trainer->accumulate(batch_of(images, 2, &labels), nullptr);
        for (int32_t p = 0; p < count; p += 2)
            EXPECT_EQ(norm_of(read_part(*model, model->parameter(p).name, MN_PART_GRADIENT)), 0)
                << network.name << " " << model->parameter(p).name;
    }
}

}  // namespace
}  // namespace mn::test
