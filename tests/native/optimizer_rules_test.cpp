// Optimizers, clipping and settings of single parameters, against PyTorch's formulas in double
// precision.

#include <gtest/gtest.h>

#include "backend/cpu/cpu_backend.h"
#include "training_fixture.h"

namespace mn::test {
namespace {

// What an optimizer's rule sees of one value.
struct Element {
    double p, m1 = 0, m2 = 0, m3 = 0;
};

struct Settings {
    float clip_norm = 0, clip_value = 0, factor = 1;
};

class OptimizerRulesTest : public testing::TestWithParam<std::string> {
protected:
    // Five steps over two parameters of awkward sizes; rule(step, learning rate, g, element).
    template <class Rule>
    void check(const mn_optimizer_desc& desc, const Settings& settings, Rule&& rule) {
        const TestDevice device(3, GetParam().c_str());
        Random random(test_seed());
        const double scale = 1.0 / 7;
        std::vector<Floats> value, gradient, m1, m2, m3;
        std::vector<std::vector<Element>> expected;
        for (int64_t size : {17, 40003}) {
            value.push_back(random.floats(size));
            for (auto* moments : {&gradient, &m1, &m2, &m3})
                moments->push_back(Floats(value.back().size()));
            expected.emplace_back();
            for (float v : value.back()) expected.back().push_back({v});
        }
        for (int64_t step = 1; step <= 5; ++step) {
            std::vector<mnb_update> updates;
            double squares = 0;
            std::vector<std::vector<double>> clipped(value.size());
            for (size_t p = 0; p < value.size(); ++p) {
                gradient[p] = random.floats(static_cast<int64_t>(value[p].size()));
                updates.push_back({value[p].data(), gradient[p].data(), m1[p].data(), m2[p].data(),
                                   m3[p].data(), static_cast<int64_t>(value[p].size()),
                                   p == 0 ? settings.factor : 1, desc.weight_decay, step,
                                   1 - std::pow(double{desc.beta1}, static_cast<double>(step)),
                                   1 - std::pow(double{desc.beta2}, static_cast<double>(step))});
                for (float g : gradient[p]) {
                    double x = double{g} * scale;
                    if (settings.clip_value > 0)
                        x = std::min(std::max(x, -double{settings.clip_value}),
                                     double{settings.clip_value});
                    clipped[p].push_back(x);
                    squares += x * x;
                }
            }
            double shrink = 1;
            if (settings.clip_norm > 0)
                shrink = std::min(1.0, double{settings.clip_norm} / (std::sqrt(squares) + 1e-6));
            const mnb_update_options options = {sizeof options, settings.clip_norm,
                                                settings.clip_value, scale};
            mnb_error error{};
            ASSERT_EQ(cpu_backend()->update(device.handle(), &desc, updates.data(),
                                            static_cast<int32_t>(updates.size()), &options, &error),
                      MN_OK)
                << error.text;
            for (size_t p = 0; p < value.size(); ++p) {
                Floats want;
                const double lr =
                    double{desc.learning_rate} * (p == 0 ? double{settings.factor} : 1.0);
                for (size_t i = 0; i < value[p].size(); ++i) {
                    rule(static_cast<double>(step), lr, clipped[p][i] * shrink, expected[p][i]);
                    want.push_back(static_cast<float>(expected[p][i].p));
                }
                EXPECT_LE(relative_error(value[p], want), 2e-6)
                    << "step " << step << ", parameter " << p;
            }
        }
    }

    static mn_optimizer_desc make(int kind) {
        mn_optimizer_desc desc = sgd_desc(0.05f);
        desc.kind = kind;
        desc.beta1 = 0.9f;
        desc.beta2 = 0.999f;
        desc.alpha = 0.97f;
        desc.epsilon = 1e-6f;
        return desc;
    }
};

TEST_P(OptimizerRulesTest, AdamWAndAmsgrad) {
    for (int kind : {MN_OPTIMIZER_ADAM, MN_OPTIMIZER_ADAMW})
        for (int amsgrad : {0, 1})
            for (float decay : {0.0f, 0.1f}) {
                mn_optimizer_desc d = make(kind);
                d.amsgrad = amsgrad;
                d.weight_decay = decay;
                check(d, {0, 0, 0.5f}, [&](double step, double lr, double g, Element& e) {
                    const double b1 = d.beta1, b2 = d.beta2;
                    if (kind == MN_OPTIMIZER_ADAMW)
                        e.p -= lr * double{decay} * e.p;
                    else
                        g += double{decay} * e.p;
                    e.m1 = b1 * e.m1 + (1 - b1) * g;
                    e.m2 = b2 * e.m2 + (1 - b2) * g * g;
                    e.m3 = std::max(e.m3, e.m2);
                    const double v = (amsgrad ? e.m3 : e.m2) / (1 - std::pow(b2, step));
                    e.p -=
                        lr * e.m1 / (1 - std::pow(b1, step)) / (std::sqrt(v) + double{d.epsilon});
                });
            }
}

TEST_P(OptimizerRulesTest, RmsProp) {
    for (float momentum : {0.0f, 0.9f})
        for (int centered : {0, 1})
            for (float decay : {0.0f, 0.1f}) {
                mn_optimizer_desc d = make(MN_OPTIMIZER_RMSPROP);
                d.momentum = momentum;
                d.centered = centered;
                d.weight_decay = decay;
                // The first steps' roots are of small numbers; a small rate keeps them apart.
                d.learning_rate = 0.001f;
                check(d, {0, 0, 2}, [&](double, double lr, double g, Element& e) {
                    const double alpha = d.alpha;
                    g += double{decay} * e.p;
                    e.m2 = alpha * e.m2 + (1 - alpha) * g * g;
                    e.m3 = alpha * e.m3 + (1 - alpha) * g;
                    const double v = e.m2 - (centered ? e.m3 * e.m3 : 0);
                    e.m1 = double{momentum} * e.m1 + g / (std::sqrt(v) + double{d.epsilon});
                    e.p -= lr * e.m1;
                });
            }
}

TEST_P(OptimizerRulesTest, Clipping) {
    for (const Settings& settings :
         {Settings{0.5f, 0}, Settings{0, 0.05f}, Settings{0.5f, 0.05f}, Settings{1e6f, 10}}) {
        mn_optimizer_desc d = sgd_desc(0.1f);
        check(d, settings, [](double, double lr, double g, Element& e) { e.p -= lr * g; });
    }
}

INSTANTIATE_TEST_SUITE_P(Sets, OptimizerRulesTest, testing::ValuesIn(instruction_sets()),
                         [](const auto& info) { return info.param; });

// ---- settings of single parameters, through a trainer ----

struct Chain {
    Graph graph;
    int32_t scores;
    std::shared_ptr<Model> model;
    Floats images;
    std::vector<int32_t> labels = {0, 1, 2, 1};

    Chain() {
        const int32_t in = graph.add_input(shape_of({2, 6, 6}), "x");
        mn_op_desc desc{};
        desc.conv2d = conv_desc(4, 3, 1, 1);
        const int32_t conv = graph.add(MN_OP_CONV2D, {in}, desc, "conv");
        desc.activation = {sizeof desc.activation, MN_ACTIVATION_RELU, 0, 0};
        const int32_t relu = graph.add(MN_OP_ACTIVATION, {conv}, desc, "relu");
        const int32_t flat = graph.add(MN_OP_FLATTEN, {relu}, mn_op_desc{}, "flat");
        desc.linear = {sizeof desc.linear, 3, 1};
        scores = graph.add(MN_OP_LINEAR, {flat}, desc, "head");
        model = make_model(graph, {scores});
        images = Random(3).floats(4 * 72);
    }
    mn_batch batch() const { return batch_of(images, 4, &labels); }
    mn_parameter_options option(const char* name, int32_t frozen, float factor = 1,
                                float decay = -1) const {
        return {sizeof(mn_parameter_options), parameter_index(*model, name), frozen, factor, decay};
    }
    TrainerSettings settings() const {
        return {{loss_desc(MN_LOSS_CROSS_ENTROPY, scores)}, sgd_desc(0.1f)};
    }
};

int backward_steps(const Chain& chain, const std::vector<bool>& frozen) {
    PlanOptions options;
    options.lower.losses = chain.settings().losses;
    options.lower.training = true;
    options.lower.frozen = frozen;
    const auto device = open_cpu();
    const auto store =
        std::make_shared<ParameterStore>(device, chain.graph, choose_layouts(chain.graph, *device));
    const Plan plan(device, chain.graph, store, options);
    int count = 0;
    for (const Step& step : plan.program().steps) count += step.direction == MNB_BACKWARD;
    return count;
}

TEST(FrozenTest, AFrozenBodyHasNoBackward) {
    const Chain chain;
    EXPECT_GE(backward_steps(chain, {false, false, false, false}), 2);
    EXPECT_EQ(backward_steps(chain, {true, true, false, false}), 1);
    EXPECT_EQ(backward_steps(chain, {true, true, true, true}), 0);
}

TEST(FrozenTest, FrozenParametersStayAndOthersGoAsBefore) {
    const std::vector<const char*> names = {"conv.weight", "conv.bias", "head.weight", "head.bias"};
    Chain free;
    make_trainer(free.model, free.settings())->step(free.batch(), nullptr);
    for (const char* frozen : names) {
        Chain chain;
        const Floats before = read_part(*chain.model, frozen);
        TrainerSettings settings = chain.settings();
        settings.options = {chain.option(frozen, 1)};
        const auto trainer = make_trainer(chain.model, settings);
        trainer->step(chain.batch(), nullptr);
        for (const char* name : names) {
            const Floats after = read_part(*chain.model, name);
            EXPECT_EQ(after, name == frozen ? before : read_part(*free.model, name)) << name;
        }
        EXPECT_EQ(norm_of(read_part(*chain.model, frozen, MN_PART_GRADIENT)), 0);
    }
}

TEST(FrozenTest, SettingsOfOneParameter) {
    Chain chain;
    const Floats before = read_part(*chain.model, "head.weight");
    TrainerSettings settings = chain.settings();
    settings.optimizer.weight_decay = 0.5f;
    settings.options = {chain.option("head.weight", 0, 3, 0.25f)};
    const auto trainer = make_trainer(chain.model, settings);
    trainer->accumulate(chain.batch(), nullptr);
    const Floats gradient = read_part(*chain.model, "head.weight", MN_PART_GRADIENT);
    trainer->apply();
    Floats expected;
    for (size_t i = 0; i < before.size(); i++)
        expected.push_back(before[i] - 0.3f * (gradient[i] + 0.25f * before[i]));
    EXPECT_LE(relative_error(read_part(*chain.model, "head.weight"), expected), 1e-6);
}

TEST(FrozenTest, ClippingLooksAtTrainedParameters) {
    Chain chain;
    const Floats before = read_part(*chain.model, "head.bias");
    TrainerSettings settings = chain.settings();
    settings.options = {chain.option("conv.weight", 1), chain.option("conv.bias", 1),
                        chain.option("head.weight", 1)};
    settings.clip_norm = 1e-3f;
    const auto trainer = make_trainer(chain.model, settings);
    trainer->step(chain.batch(), nullptr);
    Floats moved = read_part(*chain.model, "head.bias");
    for (size_t i = 0; i < moved.size(); i++) moved[i] -= before[i];
    EXPECT_NEAR(norm_of(moved), 1e-4, 2e-7);
}

}  // namespace
}  // namespace mn::test
