// What random cases do not show of activations, batch normalisation and dropout: corners, running
// statistics, frozen parameters, the numbers that are drawn, and folding into convolutions.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "training_fixture.h"

namespace mn::test {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

OpResult run_reference(const OpCase& c, const RunOptions& options = {}) {
    const TestDevice device;
    const cpu::Implementation kernel = reference_of(c.node.op);
    return run_case(device, kernel, kernel, c, options).value();
}

void expect_values(const Floats& actual, const Floats& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) {
        if (std::isnan(expected[i]))
            EXPECT_TRUE(std::isnan(actual[i])) << i << ": " << actual[i];
        else
            EXPECT_NEAR(actual[i], expected[i], 1e-6f * std::abs(expected[i])) << i;
    }
}

// Results and gradients that PyTorch gives at the corners.
TEST(Activation, CornersAreThoseOfPyTorch) {
    Random random(1);
    for (const ActivationTest& test : activation_tests()) {
        SCOPED_TRACE(test.kind);
        for (const ActivationTest::Corner& corner : test.corners) {
            SCOPED_TRACE(corner.x);
            OpCase c = activation_case(random, 1, 1, 1, 1, true, test.kind);
            c.src[0] = {corner.x};
            c.diff_dst = {1.0f};
            const OpResult r = run_reference(c);
            expect_values(r.dst, {corner.y});
            expect_values(r.diff_src[0], {corner.gradient});
        }
    }
}

TEST(BatchNorm, MovesTheRunningStatistics) {
    Random random(1);
    OpCase c = batch_norm_case(random, 2, 1, 1, 2, false);
    c.node.desc.batch_norm.momentum = 0.25f;
    c.src[0] = {1, 2, 3, 6};
    c.param[2] = {4};
    c.param[3] = {2};
    c.param[4] = {7};
    const OpResult r = run_reference(c);
    // Mean 3; the squares' sum is 14: biased variance 14 / 4, unbiased 14 / 3.
    expect_values(r.param[2], {0.75f * 4 + 0.25f * 3});
    expect_values(r.param[3], {0.75f * 2 + 0.25f * 14 / 3});
    expect_values(r.param[4], {7});  // which the parameter store counts
    RunOptions inference;
    inference.training = false;
    EXPECT_EQ(run_reference(c, inference).param, c.param);
}

TEST(BatchNorm, SmallVarianceBesideALargeMean) {
    Random random(1);
    OpCase c = batch_norm_case(random, 4, 1, 1, 1, true, 0);
    c.node.desc.batch_norm.epsilon = 0;
    c.src[0] = {1000.0f, 1000.5f, 999.5f, 1000.0f};
    const float y = std::sqrt(2.0f);
    expect_values(run_reference(c).dst, {0, y, -y, 0});
}

TEST(BatchNorm, AFrozenParameterHasNoGradient) {
    Random random(1);
    OpCase c = batch_norm_case(random, 3, 5, 2, 2, false);
    const OpResult all = run_reference(c);
    for (int frozen : {0, 1}) {
        OpCase some = c;
        some.node.wants_diff_param[frozen] = 0;
        const OpResult r = run_reference(some);
        EXPECT_TRUE(r.diff_param[static_cast<size_t>(frozen)].empty());
        EXPECT_EQ(r.diff_param[static_cast<size_t>(1 - frozen)],
                  all.diff_param[static_cast<size_t>(1 - frozen)]);
        EXPECT_EQ(r.diff_src, all.diff_src);
    }
}

TEST(Dropout, DropsItsShareAndScalesTheRest) {
    Random random(1);
    OpCase c = dropout_case(random, 50, 20, 10, 10, false, 0.3f, MN_DROPOUT_ELEMENT);
    c.src[0].assign(c.src[0].size(), 1.0f);
    c.diff_dst = c.src[0];
    const OpResult r = run_reference(c);
    int64_t dropped = 0;
    for (float y : r.dst) {
        if (y == 0)
            ++dropped;
        else
            EXPECT_FLOAT_EQ(y, 1 / 0.7f);
    }
    // Five deviations of a binomial distribution.
    const double n = static_cast<double>(r.dst.size());
    EXPECT_NEAR(static_cast<double>(dropped), 0.3 * n, 5 * std::sqrt(n * 0.3 * 0.7));
    EXPECT_EQ(r.diff_src[0], r.dst);  // the same mask
}

TEST(Dropout, DependsOnSeedStepAndLayerOnly) {
    Random random(1);
    const OpCase c = dropout_case(random, 4, 6, 5, 3, false, 0.5f, MN_DROPOUT_ELEMENT);
    const OpResult first = run_reference(c);
    for (int32_t layout : {MNB_NCHW, MNB_NHWC}) {
        RunOptions options;
        options.layout = layout;
        EXPECT_EQ(run_reference(c, options).dst, first.dst);
    }
    OpCase other = c;
    other.step = 4;
    EXPECT_NE(run_reference(other).dst, first.dst);
    other = c;
    other.seed = 8;
    EXPECT_NE(run_reference(other).dst, first.dst);
    other = c;
    other.node.layer = 6;
    EXPECT_NE(run_reference(other).dst, first.dst);
    RunOptions inference;
    inference.training = false;
    EXPECT_EQ(run_reference(c, inference).dst, c.src[0]);
}

TEST(Dropout, WholeUnits) {
    Random random(1);
    for (int unit : {MN_DROPOUT_CHANNEL, MN_DROPOUT_IMAGE}) {
        OpCase c = dropout_case(random, 8, 9, 3, 2, false, 0.5f, unit);
        c.src[0].assign(c.src[0].size(), 1.0f);
        const Floats dst = run_reference(c).dst;
        const size_t size = unit == MN_DROPOUT_CHANNEL ? 6 : 54;
        size_t dropped = 0;
        for (size_t i = 0; i < dst.size(); i += size) {
            for (size_t j = 1; j < size; ++j) EXPECT_EQ(dst[i + j], dst[i]);
            dropped += dst[i] == 0;
        }
        EXPECT_GT(dropped, 0u);
        EXPECT_LT(dropped, dst.size() / size);
    }
}

// ---- through graph, passes and plan ----

mn_op_desc conv_op(int out_channels, int kernel, int pad, int bias, int groups = 1) {
    mn_op_desc desc{};
    desc.conv2d = conv_desc(out_channels, kernel, 1, pad);
    desc.conv2d.bias = bias;
    desc.conv2d.groups = groups;
    return desc;
}

mn_op_desc norm_op(int affine) {
    mn_op_desc desc{};
    desc.batch_norm = {sizeof(mn_batch_norm_desc), 1e-5f, 0.1f, affine};
    return desc;
}

mn_op_desc relu_op() {
    mn_op_desc desc{};
    desc.activation = {sizeof(mn_activation_desc), MN_ACTIVATION_RELU, 0, 0};
    return desc;
}

// Every way of the fast convolution behind which a normalisation may stand: grey image with
// pooling, Winograd, depthwise, a product, a grouped one; with and without bias and factors.
Graph folding_network() {
    Graph g;
    int32_t x = g.add_input(shape_of({1, 12, 12}), "in");
    const auto block = [&](const mn_op_desc& conv, int affine) {
        x = g.add(MN_OP_CONV2D, {x}, conv, nullptr);
        x = g.add(MN_OP_BATCH_NORM, {x}, norm_op(affine), nullptr);
        x = g.add(MN_OP_ACTIVATION, {x}, relu_op(), nullptr);
    };
    mn_op_desc pool{};
    pool.pool2d = pool_desc(2, 2);
    block(conv_op(32, 3, 1, 0), 1);
    x = g.add(MN_OP_MAX_POOL2D, {x}, pool, nullptr);
    block(conv_op(19, 3, 1, 1), 1);
    block(conv_op(19, 3, 1, 0, 19), 1);
    block(conv_op(32, 1, 0, 1), 0);
    block(conv_op(32, 3, 1, 0, 2), 1);
    mn_op_desc linear{};
    linear.linear = {sizeof(mn_linear_desc), 5, 1};
    x = g.add(MN_OP_FLATTEN, {x}, {}, nullptr);
    x = g.add(MN_OP_BATCH_NORM, {x}, norm_op(1), nullptr);
    g.add(MN_OP_LINEAR, {x}, linear, "out");
    return g;
}

std::shared_ptr<Model> model_of(const Graph& graph, uint32_t device_flags, uint32_t flags) {
    mn_device_desc device{};
    device.struct_size = sizeof device;
    device.threads = 2;
    device.flags = device_flags;
    const int32_t output = graph.size() - 1;
    mn_model_desc desc{};
    desc.struct_size = sizeof desc;
    desc.flags = flags;
    desc.seed = 3;
    desc.outputs = &output;
    desc.output_count = 1;
    return std::make_shared<Model>(std::make_shared<Device>(device), graph, desc);
}

Floats predict(Model& model, const Floats& images, int count, size_t outputs) {
    Floats values(static_cast<size_t>(count) * outputs);
    mn_output output{};
    output.struct_size = sizeof output;
    output.values = values.data();
    output.value_count = values.size();
    model.forward(batch_of(images, count), nullptr, &output, 1);
    return values;
}

TEST(FoldBatchNorm, TakesEveryNormalisationBehindAConvolution) {
    const Graph graph = folding_network();
    const auto device = open_cpu();
    for (bool training : {false, true}) {
        LowerOptions options;
        options.outputs = {graph.size() - 1};
        options.training = training;
        Program program = lower(graph, options);
        fold_batch_norm(program, *device);
        fuse(program, *device);
        int norms = 0, folded = 0, activations = 0;
        for (const Operation& operation : program.operations) {
            norms += operation.op == MN_OP_BATCH_NORM;
            folded += operation.has_norm;
            activations += operation.op == MN_OP_ACTIVATION;
        }
        EXPECT_EQ(folded, training ? 0 : 5);
        EXPECT_EQ(norms, training ? 6 : 1);
        EXPECT_EQ(activations, 0);
    }
}

TEST(FoldBatchNorm, ChangesNoResult) {
    const Graph graph = folding_network();
    const int count = 6;
    Random random(test_seed());
    const Floats images = random.floats(count * 144);
    const std::vector<int32_t> labels = {0, 1, 2, 3, 4, 0};
    const auto plain = model_of(graph, MN_DEVICE_REFERENCE_KERNELS, MN_MODEL_NO_FUSION);
    for (uint32_t device_flags : {0u, static_cast<uint32_t>(MN_DEVICE_REFERENCE_KERNELS)}) {
        const auto folded = model_of(graph, device_flags, 0);
        // The statistics must not be the first ones; a gradient shows that training still works.
        for (const auto& model : {plain, folded}) {
            TrainerSettings settings;
            settings.losses = {loss_desc(MN_LOSS_CROSS_ENTROPY, graph.size() - 1)};
            settings.optimizer = sgd_desc(model == plain ? 0.0f : 0.01f);
            const auto trainer = make_trainer(model, settings);
            for (int step = 0; step < 3; ++step) {
                predict(*model, images, count, 5);  // packs what the next step makes stale
                trainer->accumulate(batch_of(images, count, &labels), nullptr);
                if (step == 1) trainer->step(batch_of(images, count, &labels), nullptr);
            }
        }
        for (size_t p = 0; p < plain->parameters().size(); ++p) {
            const std::string& name = plain->parameters()[p].name;
            const Floats values = read_part(*folded, name);
            plain->write(static_cast<int32_t>(p), MN_PART_VALUE, values.data(), values.size());
        }
        const Floats expected = predict(*plain, images, count, 5);
        EXPECT_LE(relative_error(predict(*folded, images, count, 5), expected), 1e-5);
    }
}

TEST(FoldBatchNorm, SeesStatisticsOfAccumulatedBatches) {
    const Graph graph = folding_network();
    Random random(test_seed());
    const Floats images = random.floats(4 * 144);
    const std::vector<int32_t> labels = {0, 1, 2, 3};
    const auto model = model_of(graph, 0, 0);
    TrainerSettings settings;
    settings.losses = {loss_desc(MN_LOSS_CROSS_ENTROPY, graph.size() - 1)};
    const auto trainer = make_trainer(model, settings);
    const Floats before = predict(*model, images, 4, 5);
    trainer->accumulate(batch_of(images, 4, &labels), nullptr);
    EXPECT_GT(relative_error(predict(*model, images, 4, 5), before), 1e-3);
}

// A float stops at 2^24.
TEST(BatchNorm, CountsBatchesInWholeNumbers) {
    Graph graph;
    int32_t x = graph.add_input(shape_of({3}), "in");
    graph.add(MN_OP_BATCH_NORM, {x}, norm_op(1), "norm");
    const auto model = model_of(graph, 0, 0);
    int32_t counter = 0;
    while (model->parameter(counter).name != "norm.num_batches_tracked") counter++;
    TrainerSettings settings;
    settings.losses = {loss_desc(MN_LOSS_CROSS_ENTROPY, 1)};
    const auto trainer = make_trainer(model, settings);
    const Floats images = {1, 2, 3, 4, 5, 7};
    const std::vector<int32_t> labels = {0, 1};
    const auto count = [&] {
        Floats parts(2);
        model->read(counter, MN_PART_VALUE, parts.data(), parts.size());
        return static_cast<int64_t>(parts[0]) + static_cast<int64_t>(parts[1]);
    };
    const auto set = [&](Floats parts) {
        mn_parameter_write write = {};
        write.struct_size = sizeof write;
        write.index = counter;
        write.part = MN_PART_VALUE;
        write.values = parts.data();
        write.value_count = parts.size();
        model->write(&write, 1);
    };
    for (int64_t before : {int64_t{0}, int64_t{1} << 24, (int64_t{1} << 24) + 1,
                           (int64_t{1} << 40) + 12345, (int64_t{1} << 47) - 1}) {
        const float high = static_cast<float>(before);
        set({high, static_cast<float>(before - static_cast<int64_t>(high))});
        EXPECT_EQ(count(), before);
        trainer->step(batch_of(images, 2, &labels), nullptr);
        EXPECT_EQ(count(), before + 1);
        Floats one(1);
        model->read(counter, MN_PART_VALUE, one.data(), 1);
        EXPECT_EQ(one[0], static_cast<float>(before + 1));
    }
    trainer->accumulate(batch_of(images, 2, &labels), nullptr);
    EXPECT_EQ(count(), (int64_t{1} << 47) + 1);
    predict(*model, images, 2, 3);
    EXPECT_EQ(count(), (int64_t{1} << 47) + 1);
    set({7.9f});
    EXPECT_EQ(count(), 7);
    for (float value : {-3.0f, nan}) {
        set({value});
        EXPECT_EQ(count(), 0);
    }
    set({std::numeric_limits<float>::infinity()});
    EXPECT_GT(count(), 0);
    EXPECT_THROW(set({1, 2, 3}), Error);
}

TEST(BatchNorm, OneValueAChannelIsRefusedInTrainingOnly) {
    Graph graph;
    int32_t x = graph.add_input(shape_of({3}), "in");
    graph.add(MN_OP_BATCH_NORM, {x}, norm_op(1), "norm");
    const auto model = model_of(graph, 0, 0);
    TrainerSettings settings;
    settings.losses = {loss_desc(MN_LOSS_CROSS_ENTROPY, 1)};
    const auto trainer = make_trainer(model, settings);
    const Floats images = {1, 2, 3};
    const std::vector<int32_t> labels = {0};
    try {
        trainer->step(batch_of(images, 1, &labels), nullptr);
        FAIL() << "one value has no variance";
    } catch (const Error& error) {
        EXPECT_EQ(error.info().status, MN_INVALID_ARGUMENT);
        EXPECT_NE(std::string(error.what()).find("norm"), std::string::npos);
    }
    EXPECT_EQ(read_part(*model, "norm.num_batches_tracked"), Floats{0});
    EXPECT_EQ(predict(*model, images, 1, 3).size(), 3u);
}

// What normalisations give is not kept for the backward passes of their readers, but computed
// again: once each, from a source that the normalisation's own backward pass needs anyway.
TEST(BatchNorm, ResultsAreComputedAgainForTheBackwardPass) {
    const Graph graph = folding_network();
    const auto device = open_cpu();
    LowerOptions options;
    options.losses = {loss_desc(MN_LOSS_CROSS_ENTROPY, graph.size() - 1)};
    options.training = true;
    options.max_batch = 4;
    Program program = lower(graph, options);
    fuse(program, *device);
    assign_layouts(program, *device);
    schedule_training(program, *device, false);
    std::vector<int32_t> last_read(static_cast<size_t>(program.storage_count), -1);
    int backward_from = -1, recomputed = 0;
    for (size_t s = 0; s < program.steps.size(); s++) {
        const Step& step = program.steps[s];
        if (step.direction == MNB_BACKWARD && backward_from < 0)
            backward_from = static_cast<int>(s);
        if (step.direction == MNB_BACKWARD && !(step.support.backward_needs & MNB_NEEDS_SRC))
            continue;
        for (int32_t source : step.sources)
            last_read[program.values[source].storage] = static_cast<int32_t>(s);
    }
    for (const Operation& operation : program.operations) {
        recomputed += operation.op == MNB_OP_BATCH_NORM_RECOMPUTE;
        if (operation.op != MN_OP_BATCH_NORM) continue;
        EXPECT_LT(last_read[program.values[operation.dst].storage], backward_from);
    }
    // The first is read by the pooling, which needs places only, the fifth in another order.
    EXPECT_EQ(recomputed, 4);
}

mn_parameter_options freeze(const Model& model, const std::string& name) {
    return {sizeof(mn_parameter_options), parameter_index(model, name), 1, 1, -1};
}

// A frozen normalisation trains what evaluation computes: its loss is evaluation's, gradients are
// those of finite differences of it, the statistics stay, and a batch of one is allowed.
TEST(BatchNorm, FrozenStatisticsTrainAsEvaluationComputes) {
    Graph graph;
    int32_t x = graph.add_input(shape_of({2, 5, 4}), "in");
    x = graph.add(MN_OP_CONV2D, {x}, conv_op(3, 3, 1, 1), "conv");
    x = graph.add(MN_OP_BATCH_NORM, {x}, norm_op(1), "norm");
    x = graph.add(MN_OP_FLATTEN, {x}, {}, nullptr);
    mn_op_desc linear{};
    linear.linear = {sizeof(mn_linear_desc), 3, 1};
    const int32_t end = graph.add(MN_OP_LINEAR, {x}, linear, "end");
    Random random(test_seed());
    const auto model = model_of(graph, 0, 0);
    const auto set = [&](const std::string& name, const Floats& values) {
        model->write(parameter_index(*model, name), MN_PART_VALUE, values.data(), values.size());
    };
    set("norm.running_mean", {0.3f, -0.2f, 0.1f});
    set("norm.running_var", {0.5f, 2, 1.5f});
    set("norm.num_batches_tracked", {9});

    TrainerSettings settings;
    const mn_loss_desc loss = loss_desc(MN_LOSS_CROSS_ENTROPY, end);
    settings.losses = {loss};
    settings.options = {freeze(*model, "norm.running_var")};
    const auto trainer = make_trainer(model, settings);
    const Floats images = random.floats(40);
    const std::vector<int32_t> labels = {2};
    const mn_batch one = batch_of(images, 1, &labels);
    EXPECT_NEAR(trainer->accumulate(one, nullptr).loss, model->evaluate(one, nullptr, loss).loss,
                1e-6);
    for (const char* name : {"conv.weight", "conv.bias", "norm.weight", "norm.bias"}) {
        const Floats gradient = read_part(*model, name, MN_PART_GRADIENT);
        Floats values = read_part(*model, name);
        for (size_t i = 0; i < values.size(); i += 2) {
            const float start = values[i];
            const auto loss_at = [&](float value) {
                values[i] = value;
                set(name, values);
                return model->evaluate(one, nullptr, loss).loss;
            };
            const double difference = loss_at(start + 0.02f) - loss_at(start - 0.02f);
            loss_at(start);
            EXPECT_NEAR(gradient[i], difference / 0.04, 2e-4) << name << ' ' << i;
        }
    }
    trainer->step(one, nullptr);
    EXPECT_EQ(read_part(*model, "norm.running_mean"), (Floats{0.3f, -0.2f, 0.1f}));
    EXPECT_EQ(read_part(*model, "norm.running_var"), (Floats{0.5f, 2, 1.5f}));
    EXPECT_EQ(read_part(*model, "norm.num_batches_tracked"), Floats{9});
}

TEST(BatchNorm, OnlyTheFrozenOneKeepsItsStatistics) {
    Graph graph;
    int32_t x = graph.add_input(shape_of({3}), "in");
    x = graph.add(MN_OP_BATCH_NORM, {x}, norm_op(1), "frozen");
    x = graph.add(MN_OP_BATCH_NORM, {x}, norm_op(1), "free");
    const auto model = model_of(graph, 0, 0);
    TrainerSettings settings;
    settings.losses = {loss_desc(MN_LOSS_CROSS_ENTROPY, x)};
    settings.options = {freeze(*model, "frozen.running_mean")};
    const auto trainer = make_trainer(model, settings);
    const Floats images = {1, 2, 3, 4, 5, 7};
    const std::vector<int32_t> labels = {0, 1};
    trainer->step(batch_of(images, 2, &labels), nullptr);
    EXPECT_EQ(read_part(*model, "frozen.num_batches_tracked"), Floats{0});
    EXPECT_EQ(read_part(*model, "free.num_batches_tracked"), Floats{1});
    EXPECT_EQ(read_part(*model, "frozen.running_mean"), (Floats{0, 0, 0}));
    EXPECT_NE(read_part(*model, "free.running_mean"), (Floats{0, 0, 0}));
    const Floats image = {1, 2, 3};
    EXPECT_THROW(trainer->step(batch_of(image, 1, &labels), nullptr), Error);  // of "free"
}

TEST(Dropout, IsNothingWithoutTraining) {
    Graph graph;
    mn_op_desc desc{};
    desc.dropout = {sizeof(mn_dropout_desc), 0.9f, MN_DROPOUT_ELEMENT};
    int32_t x = graph.add_input(shape_of({3, 2, 2}), "in");
    x = graph.add(MN_OP_DROPOUT, {x}, desc, nullptr);
    x = graph.add(MN_OP_FLATTEN, {x}, {}, nullptr);
    graph.add(MN_OP_DROPOUT, {x}, desc, nullptr);
    Random random(1);
    const Floats images = random.floats(5 * 12);
    EXPECT_EQ(predict(*model_of(graph, 0, 0), images, 5, 12), images);
}

}  // namespace
}  // namespace mn::test
