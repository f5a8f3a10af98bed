// Infinities, NaN and numbers near the largest: every kernel gives what the direct sum gives.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "network.h"

namespace mn::test {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

std::string class_of(float x) {
    return std::isnan(x) ? "NaN" : std::isinf(x) ? (x < 0 ? "-inf" : "inf") : "finite";
}

// The same values that are not finite at the same places; the others close to each other.
void expect_alike(const Floats& actual, const Floats& expected, const std::string& what) {
    ASSERT_EQ(actual.size(), expected.size()) << what;
    Floats a, b;
    for (size_t i = 0; i < actual.size(); i++) {
        ASSERT_EQ(class_of(actual[i]), class_of(expected[i])) << what << ' ' << i;
        if (!std::isfinite(actual[i])) continue;
        a.push_back(actual[i]);
        b.push_back(expected[i]);
    }
    EXPECT_LE(relative_error(a, b), 1e-5) << what;
}

void expect_alike(const OpResult& actual, const OpResult& expected) {
    expect_alike(actual.dst, expected.dst, "dst");
    ASSERT_EQ(actual.diff_src.size(), expected.diff_src.size());
    for (size_t i = 0; i < actual.diff_src.size(); i++)
        expect_alike(actual.diff_src[i], expected.diff_src[i], "diff_src");
    ASSERT_EQ(actual.diff_param.size(), expected.diff_param.size());
    for (size_t i = 0; i < actual.diff_param.size(); i++)
        expect_alike(actual.diff_param[i], expected.diff_param[i], "diff_param");
}

// Each kernel of a plan in each instruction set against the reference.
void check_case(const OpCase& c) {
    const cpu::Implementation reference = reference_of(c.node.op);
    const OpResult expected = run_case(TestDevice(2), reference, reference, c).value();
    const std::vector<cpu::Implementation> list = list_implementations(c.node.op);
    for (const std::string& isa : instruction_sets()) {
        SCOPED_TRACE(c.name + ", " + isa);
        const TestDevice device(2, isa.c_str());
        for (const cpu::Implementation& kernel : list) {
            RunOptions options;
            options.layout = MNB_NHWC;
            const auto result = run_case(device, kernel, kernel, c, options);
            if (result) expect_alike(*result, expected);
        }
    }
}

class NotFiniteTest : public testing::TestWithParam<OpCase> {};

// One value of each operand in turn.
TEST_P(NotFiniteTest, EveryKernelAgreesWithTheReference) {
    Random random(test_seed());
    const auto with = [&](const std::string& what, auto&& operand) {
        const float value = random.pick({inf, -inf, nan});
        SCOPED_TRACE(what + ' ' + class_of(value));
        OpCase c = GetParam();
        Floats& values = operand(c);
        if (values.empty()) return;
        values[static_cast<size_t>(random.integer(0, static_cast<int64_t>(values.size()) - 1))] =
            value;
        check_case(c);
    };
    for (size_t s = 0; s < GetParam().src.size(); s++)
        with("source", [s](OpCase& c) -> Floats& { return c.src[s]; });
    for (size_t p = 0; p < GetParam().param.size(); p++)
        with("parameter", [p](OpCase& c) -> Floats& { return c.param[p]; });
    // A slope may round to zero in one way and not in the other.
    if (GetParam().node.op != MN_OP_ACTIVATION)
        with("gradient", [](OpCase& c) -> Floats& { return c.diff_dst; });
}

std::vector<OpCase> cases_without_losses() {
    std::vector<OpCase> cases;
    for (OpCase& c : all_cases())
        if (c.node.dst.c > 0 && c.node.op != MN_OP_EMBEDDING) cases.push_back(std::move(c));
    return cases;
}

INSTANTIATE_TEST_SUITE_P(Cases, NotFiniteTest, testing::ValuesIn(cases_without_losses()),
                         [](const auto& info) { return info.param.name; });

// An infinite pixel of the border and the corner, for each way to convolve.
TEST(NotFinite, ABorderIsNoPartOfASum) {
    Random random(test_seed());
    const mn_pool2d_desc pool = pool_desc(2, 2);
    for (int64_t channels : {1, 3, 16})
        for (int stride : {1, 2})
            for (const mn_pool2d_desc* behind :
                 {static_cast<const mn_pool2d_desc*>(nullptr), &pool})
                for (int activation : {0, int{MN_ACTIVATION_RELU}}) {
                    OpCase c = conv_case(random, 2, channels, 10, 12, conv_desc(32, 3, stride, 1),
                                         activation, behind);
                    c.name = "conv";
                    OpCase source = c, weight = c, gradient = c;
                    source.src[0][0] = source.src[0].back() = inf;
                    check_case(source);
                    for (float& w : weight.param[0])
                        if (random.uniform(0, 1) < 0.01f) w = inf;
                    check_case(weight);
                    gradient.diff_dst[0] = gradient.diff_dst.back() = -inf;
                    check_case(gradient);
                }
}

Floats expected_sum(int64_t channels, int64_t side, float pixel, int64_t at_y, int64_t at_x) {
    Floats y(static_cast<size_t>(channels * side * side));
    for (int64_t c = 0; c < channels; c++)
        for (int64_t dy = -1; dy <= 1; dy++)
            for (int64_t dx = -1; dx <= 1; dx++)
                if (at_y + dy >= 0 && at_x + dx >= 0 && at_y + dy < side && at_x + dx < side)
                    y[static_cast<size_t>((c * side + at_y + dy) * side + at_x + dx)] = pixel;
    return y;
}

// Sides for both tiles of Winograd's transform; the same for any number of threads.
TEST(NotFinite, OnePixelReachesItsNeighboursOnly) {
    for (const std::string& isa : instruction_sets())
        for (int64_t side : {6, 32})
            for (int stage : {0, 1}) {
                Random random(test_seed());
                OpCase c = conv_case(random, 1, 16, side, side, conv_desc(16, 3, 1, 1));
                Floats& pixels = stage == 0 ? c.src[0] : c.diff_dst;
                const auto run = [&](float weight, float pixel, int64_t y, int64_t x, int threads) {
                    std::fill(c.param[0].begin(), c.param[0].end(), weight);
                    std::fill(c.param[1].begin(), c.param[1].end(), 0.0f);
                    std::fill(pixels.begin(), pixels.end(), 0.0f);
                    pixels[static_cast<size_t>(y * side + x)] = pixel;
                    const TestDevice device(threads, isa.c_str());
                    const cpu::Implementation kernel = list_implementations(MN_OP_CONV2D)[0];
                    const OpResult r = run_case(device, kernel, kernel, c).value();
                    return stage == 0 ? r.dst : r.diff_src[0];
                };
                for (int threads : {1, 2, 3}) {
                    EXPECT_EQ(run(1, inf, 0, 0, threads), expected_sum(16, side, inf, 0, 0));
                    EXPECT_EQ(run(1, -inf, 5, 3, threads), expected_sum(16, side, -inf, 5, 3));
                    expect_alike(run(1e-3f, 3e38f, 5, 5, threads),
                                 expected_sum(16, side, 1e-3f * 3e38f, 5, 5), "huge");
                }
            }
}

// The sum over the pixels that a tap sees.
TEST(NotFinite, WeightsLearnFromHugePixels) {
    for (const std::string& isa : instruction_sets()) {
        Random random(test_seed());
        OpCase c = conv_case(random, 2, 16, 8, 8, conv_desc(16, 3, 1, 1));
        std::fill(c.src[0].begin(), c.src[0].end(), 0.0f);
        c.src[0][5 * 8 + 5] = 2e38f;
        std::fill(c.diff_dst.begin(), c.diff_dst.end(), 1e-3f);
        const TestDevice device(2, isa.c_str());
        const cpu::Implementation kernel = list_implementations(MN_OP_CONV2D)[0];
        const Floats g = run_case(device, kernel, kernel, c).value().diff_param[0];
        for (size_t i = 0; i < g.size(); i++)
            EXPECT_FLOAT_EQ(g[i], i / 9 % 16 == 0 ? 1e-3f * 2e38f : 0.0f) << isa << ' ' << i;
    }
}

// At the ends of the numbers, results and gradients are PyTorch's, or what they tend to where its
// formula overflows.
TEST(NotFinite, ActivationsFarOut) {
    struct Case {
        int kind;
        Floats x, y, dx;
    };
    const float far = 1e20f, huge = 3e38f;
    const std::vector<Case> cases = {
        {MN_ACTIVATION_RELU, {-inf, -far, far, inf}, {0, 0, far, inf}, {0, 0, 1, 1}},
        {MN_ACTIVATION_RELU6, {-inf, -far, far, inf}, {0, 0, 6, 6}, {0, 0, 0, 0}},
        {MN_ACTIVATION_LEAKY_RELU, {-inf, far, inf}, {-inf, far, inf}, {0.01f, 1, 1}},
        {MN_ACTIVATION_ELU, {-inf, -far, far, inf}, {-0.7f, -0.7f, far, inf}, {0, 0, 1, 1}},
        {MN_ACTIVATION_GELU,
         {-far, far, -huge, huge, inf},
         {0, far, 0, huge, inf},
         {0, 1, 0, 1, nan}},
        {MN_ACTIVATION_GELU_TANH,
         {-far, far, -huge, huge, inf},
         {0, far, 0, huge, inf},
         {0, 1, 0, 1, nan}},
        {MN_ACTIVATION_SILU,
         {-far, far, -huge, huge, inf},
         {0, far, 0, huge, inf},
         {0, 1, 0, 1, nan}},
        {MN_ACTIVATION_SIGMOID, {-inf, -far, far, inf}, {0, 0, 1, 1}, {0, 0, 0, 0}},
        {MN_ACTIVATION_TANH, {-inf, -far, far, inf}, {-1, -1, 1, 1}, {0, 0, 0, 0}},
        {MN_ACTIVATION_HARDSWISH, {-far, far, huge, inf}, {0, far, huge, inf}, {0, 1, 1, 1}},
        {MN_ACTIVATION_HARDSIGMOID, {-inf, -far, far, inf}, {0, 0, 1, 1}, {0, 0, 0, 0}},
        {MN_ACTIVATION_SOFTPLUS, {-inf, -far, far, inf}, {0, 0, far, inf}, {0, 0, 1, 1}},
    };
    for (const Case& expected : cases) {
        Random random(1);
        OpCase c = activation_case(random, 1, static_cast<int64_t>(expected.x.size()), 1, 1, true,
                                   expected.kind);
        c.src[0] = expected.x;
        c.diff_dst.assign(expected.x.size(), 1.0f);
        for (const std::string& isa : instruction_sets()) {
            const TestDevice device(1, isa.c_str());
            for (const cpu::Implementation& kernel : list_implementations(MN_OP_ACTIVATION)) {
                SCOPED_TRACE(std::to_string(expected.kind) + ' ' + isa + ' ' + kernel.name);
                const auto r = run_case(device, kernel, kernel, c);
                if (!r) continue;
                expect_alike(r->dst, expected.y, "y");
                expect_alike(r->diff_src[0], expected.dx, "dx");
            }
        }
    }
}

// The losses of an identity network, through the C ABI.
struct Identity {
    Network network;
    int32_t end;
    DeviceHandle device = open_device();
    TestModel model;

    explicit Identity(int64_t features)
        : end(network.features(features)), model(device, network, {end}) {}
};

mn_batch with_targets(const Batch& batch, const Floats& targets) {
    mn_batch b = batch.get();
    b.targets = targets.data();
    b.target_count = targets.size();
    return b;
}

TEST(NotFinite, BinaryCrossEntropyOfInfiniteLogits) {
    struct Case {
        float x, t, loss, gradient;
    };
    for (const Case& c : std::vector<Case>{{inf, 0, inf, 1},
                                           {inf, 1, 0, 0},
                                           {inf, 0.5f, inf, 0.5f},
                                           {-inf, 0, 0, 0},
                                           {-inf, 1, inf, -1},
                                           {-inf, 0.5f, inf, -0.5f},
                                           {1e20f, 0, 1e20f, 1},
                                           {-1e20f, 1, 1e20f, -1},
                                           {1e20f, 1, 0, 0},
                                           {nan, 0, nan, nan},
                                           {nan, 1, nan, nan}}) {
        SCOPED_TRACE(std::to_string(c.x) + " towards " + std::to_string(c.t));
        const Identity net(1);
        Batch batch;
        batch.count = 1;
        batch.images = {c.x};
        const Floats targets = {c.t};
        const mn_batch given = with_targets(batch, targets);
        const mn_loss_desc loss = loss_on(net.end, 1, MN_REDUCTION_MEAN, MN_LOSS_BCE_WITH_LOGITS);
        mn_metrics metrics = {};
        metrics.struct_size = sizeof metrics;
        check(mn_model_evaluate(net.model.handle(), &given, &loss, &metrics));
        expect_alike({static_cast<float>(metrics.loss)}, {c.loss}, "evaluation");
        const TestTrainer trainer(net.model, {loss}, sgd(0), 1, MN_TRAINER_INPUT_GRADIENT);
        check(mn_trainer_step(trainer.handle(), &given, &metrics));
        expect_alike({static_cast<float>(metrics.loss)}, {c.loss}, "training");
        expect_alike(trainer.input_gradient(1), {c.gradient}, "gradient");
    }
}

TEST(NotFinite, ADropoutOfAllGivesZeros) {
    for (int32_t unit : {MN_DROPOUT_ELEMENT, MN_DROPOUT_CHANNEL, MN_DROPOUT_IMAGE}) {
        Network network;
        const mn_dropout_desc dropout = {sizeof dropout, 1, unit};
        int32_t node = network.conv(network.input(3, 6, 6), conv_desc(20, 3, 1, 1)), end = -1;
        check(mn_graph_dropout(network.handle(), node, &dropout, nullptr, &end));
        const DeviceHandle device = open_device();
        const TestModel model(device, network, {end});
        Random random(1);
        Batch batch = random_batch(random, 4, 3 * 36, 2);
        for (float y : model.forward(batch)) EXPECT_NE(y, 0);  // nothing happens without training
        batch.labels.clear();
        batch.output_gradients = Floats(4 * 20 * 36, 1);
        const TestTrainer trainer(model,
                                  {loss_on(end, 1, MN_REDUCTION_SUM, MN_LOSS_OUTPUT_GRADIENT)},
                                  sgd(0), 4, MN_TRAINER_INPUT_GRADIENT);
        EXPECT_EQ(trainer.step(batch).loss, 0);  // of the sum of results times gradients
        EXPECT_EQ(trainer.input_gradient(4 * 3 * 36), Floats(4 * 3 * 36, 0));
        EXPECT_EQ(model.read(0, MN_PART_GRADIENT), Floats(20 * 27, 0));
    }
}

std::string failure_of(const TestTrainer& trainer, const Batch& batch) {
    try {
        trainer.step(batch);
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.status, MN_INVALID_ARGUMENT);
        return failure.what();
    }
    return "";
}

TEST(NormOfOneValue, CannotBeTrained) {
    struct Case {
        int64_t channels, side;
        int32_t groups;
        bool refused;
    };
    for (const Case& c : {Case{8, 1, 0, true}, Case{8, 1, 8, true}, Case{8, 1, 4, false},
                          Case{8, 2, 8, false}, Case{1, 1, 1, true}})
        for (int count : {1, 2}) {
            Network network;
            const mn_group_norm_desc norm = {sizeof norm, c.groups, 1e-5f, 0};
            int32_t end = -1;
            const int32_t image = network.input(c.channels, c.side, c.side);
            check(mn_graph_group_norm(network.handle(), image, &norm, "norm", &end));
            const DeviceHandle device = open_device();
            const TestModel model(device, network, {end});
            const int64_t size = c.channels * c.side * c.side;
            Random random(1);
            Batch batch = random_batch(random, count, size, 1);
            batch.output_gradients = Floats(static_cast<size_t>(count * size), 1);
            const TestTrainer trainer(
                model, {loss_on(end, 1, MN_REDUCTION_SUM, MN_LOSS_OUTPUT_GRADIENT)}, sgd(0), 2);
            const std::string failure = failure_of(trainer, batch);
            batch.output_gradients.clear();
            EXPECT_EQ(failure.find("[group_norm \"norm\"]") != std::string::npos, c.refused)
                << failure;
            EXPECT_EQ(model.forward(batch).size(), static_cast<size_t>(count * size));
        }
}

TEST(EmbeddingOfBytes, IsRefusedWhereverTheBytesComeFrom) {
    Network network;
    const int32_t numbers = network.input(1, 2, 2);
    int32_t end = -1;
    const mn_embedding_desc desc = {sizeof desc, 256, 3};
    check(mn_graph_embedding(network.handle(), network.flatten(numbers), &desc, "words", &end));
    const DeviceHandle device = open_device();
    const TestModel model(device, network, {end});
    Batch batch;
    batch.count = 1;
    batch.bytes = {255, 0, 1, 2};
    try {
        model.forward(batch);
        FAIL() << "bytes are taken for indices";
    } catch (const Failure& failure) {
        EXPECT_NE(std::string(failure.what()).find("[embedding \"words\"]"), std::string::npos);
        EXPECT_NE(std::string(failure.what()).find("byte"), std::string::npos);
    }
    batch.bytes.clear();
    batch.images = {255, 0, 1, 2};
    EXPECT_EQ(model.forward(batch).size(), 12u);
}

}  // namespace
}  // namespace mn::test
