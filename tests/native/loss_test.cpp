// The losses through a whole trainer, against PyTorch's formulas in double precision.

#include <gtest/gtest.h>

#include "training_fixture.h"

namespace mn::test {
namespace {

// A network without layers: the loss is taken of the input.
struct InputModel {
    Graph graph;
    std::shared_ptr<Model> model;

    explicit InputModel(std::initializer_list<int64_t> dims, int32_t inference_batch = 0) {
        graph.add_input(shape_of(dims), "x");
        model = make_model(graph, {0}, inference_batch);
    }
};

struct Expected {
    double numerator = 0, denominator = 0;
    int64_t correct = 0;
    std::vector<double> gradient;  // of the numerator
};

Expected label_loss(const mn_loss_desc& d, const Floats& x, const std::vector<int32_t>& labels) {
    const size_t classes = x.size() / labels.size();
    Expected e;
    e.gradient.resize(x.size());
    const auto w = [&](size_t c) { return d.class_weights ? double{d.class_weights[c]} : 1.0; };
    for (size_t n = 0; n < labels.size(); n++) {
        if (d.ignores && labels[n] == d.ignore_index) continue;
        const size_t y = static_cast<size_t>(labels[n]);
        const float* row = x.data() + n * classes;
        size_t best = 0;
        double sum = 0;
        for (size_t c = 0; c < classes; c++) {
            sum += std::exp(double{row[c]});
            if (row[c] > row[best]) best = c;
        }
        e.correct += best == y;
        e.denominator += w(y);
        if (d.kind == MN_LOSS_NLL) {
            e.numerator -= w(y) * double{row[y]};
            e.gradient[n * classes + y] = -w(y);
            continue;
        }
        // Sum over classes of the weight q_c of -log p_c, whose gradient is sum(q) p_c - q_c.
        double total = 0;
        std::vector<double> q(classes);
        for (size_t c = 0; c < classes; c++) {
            q[c] = double{d.label_smoothing} / static_cast<double>(classes) * w(c);
            if (c == y) q[c] += (1 - double{d.label_smoothing}) * w(y);
            e.numerator += q[c] * (std::log(sum) - double{row[c]});
            total += q[c];
        }
        for (size_t c = 0; c < classes; c++)
            e.gradient[n * classes + c] = total * std::exp(double{row[c]}) / sum - q[c];
    }
    if (d.reduction == MN_REDUCTION_SUM) e.denominator = 1;
    return e;
}

Expected target_loss(const mn_loss_desc& d, const Floats& x, const Floats& t) {
    Expected e;
    const double delta = d.delta;
    for (size_t i = 0; i < x.size(); i++) {
        const double v = x[i], r = v - double{t[i]}, sigmoid = 1 / (1 + std::exp(-v));
        double loss = 0, gradient = 0;
        switch (d.kind) {
            case MN_LOSS_MSE:
                loss = r * r, gradient = 2 * r;
                break;
            case MN_LOSS_L1:
                loss = std::abs(r), gradient = (r > 0) - (r < 0);
                break;
            case MN_LOSS_HUBER:
                loss = std::abs(r) <= delta ? r * r / 2 : delta * (std::abs(r) - delta / 2);
                gradient = std::abs(r) <= delta ? r : r > 0 ? delta : -delta;
                break;
            default:
                loss =
                    -double{t[i]} * std::log(sigmoid) - (1 - double{t[i]}) * std::log(1 - sigmoid);
                gradient = sigmoid - double{t[i]};
        }
        e.numerator += loss;
        e.gradient.push_back(gradient);
    }
    e.denominator = d.reduction == MN_REDUCTION_SUM ? 1 : static_cast<double>(x.size());
    return e;
}

void expect_loss(const Expected& e, const mn_metrics& m) {
    EXPECT_NEAR(m.loss_numerator, e.numerator, 1e-6 * std::abs(e.numerator) + 1e-9);
    EXPECT_NEAR(m.loss_denominator, e.denominator, 1e-12 * e.denominator);
    EXPECT_EQ(m.loss, m.loss_numerator / m.loss_denominator);
    EXPECT_EQ(m.correct, e.correct);
}

// Training's loss and input gradient, and evaluation in pieces of three images.
void check(std::initializer_list<int64_t> dims, const mn_loss_desc& loss, const Floats& x,
           const mn_batch& batch, const Expected& e) {
    InputModel net(dims, 3);
    expect_loss(e, net.model->evaluate(batch, nullptr, loss));
    const auto trainer =
        make_trainer(net.model, {{loss}, sgd_desc(0), batch.count, MN_TRAINER_INPUT_GRADIENT});
    expect_loss(e, trainer->accumulate(batch, nullptr));
    Floats gradient(x.size()), expected;
    trainer->read_input_gradient(0, gradient.data(), gradient.size());
    for (double g : e.gradient) expected.push_back(static_cast<float>(g / e.denominator));
    EXPECT_LE(relative_error(gradient, expected), 1e-6);
}

TEST(LossTest, LossesOfLabelsAgree) {
    Random random(test_seed());
    for (int32_t kind : {MN_LOSS_CROSS_ENTROPY, MN_LOSS_NLL})
        for (int32_t reduction : {MN_REDUCTION_MEAN, MN_REDUCTION_SUM})
            for (float smoothing : {0.0f, 0.2f})
                for (bool weighted : {false, true})
                    for (int ignored : {-101, -100, 1}) {
                        const int64_t classes = random.integer(2, 9);
                        const int count = static_cast<int>(random.integer(4, 11));
                        const Floats x = random.floats(count * classes, -4, 4);
                        Floats weights = random.floats(classes, 0, 3);
                        std::vector<int32_t> labels;
                        for (int n = 0; n < count; n++)
                            labels.push_back(static_cast<int32_t>(random.integer(0, classes - 1)));
                        labels[0] = 0;
                        if (ignored == -100) labels[2] = labels[3] = ignored;
                        mn_loss_desc loss = loss_desc(kind, 0, reduction);
                        loss.label_smoothing = smoothing;
                        loss.ignores = ignored != -101;
                        loss.ignore_index = ignored;
                        if (weighted) {
                            loss.class_weights = weights.data();
                            loss.class_weight_count = static_cast<int32_t>(classes);
                        }
                        SCOPED_TRACE(testing::Message()
                                     << "kind " << kind << " reduction " << reduction
                                     << " smoothing " << smoothing << " weighted " << weighted
                                     << " ignored " << ignored);
                        check({classes}, loss, x, batch_of(x, count, &labels),
                              label_loss(loss, x, labels));
                    }
}

TEST(LossTest, LossesOfTargetsAgree) {
    Random random(test_seed());
    for (int32_t kind : {MN_LOSS_MSE, MN_LOSS_L1, MN_LOSS_HUBER, MN_LOSS_BCE_WITH_LOGITS})
        for (int32_t reduction : {MN_REDUCTION_MEAN, MN_REDUCTION_SUM})
            for (bool image : {false, true}) {
                const int count = 7;
                const Floats x = random.floats(count * 60, -3, 3);
                Floats t = random.floats(count * 60, 0, 1);
                t[5] = x[5];
                mn_loss_desc loss = loss_desc(kind, 0, reduction);
                loss.delta = 0.7f;
                const Expected e = target_loss(loss, x, t);
                SCOPED_TRACE(testing::Message() << "kind " << kind << " image " << image);
                if (image)
                    check({3, 4, 5}, loss, x, batch_of(x, count, nullptr, &t), e);
                else
                    check({60}, loss, x, batch_of(x, count, nullptr, &t), e);
            }
}

// The kernels' layout is not that of the targets.
TEST(LossTest, TargetsOfImagesMeetTheirValues) {
    Random random(test_seed());
    Graph graph;
    const int32_t in = graph.add_input(shape_of({2, 5, 6}), "x");
    mn_op_desc desc{};
    desc.conv2d = conv_desc(5, 3, 1, 1);
    const int32_t conv = graph.add(MN_OP_CONV2D, {in}, desc, "conv");
    const auto model = make_model(graph, {conv});
    const int count = 3;
    const Floats x = random.floats(count * 60), t = random.floats(count * 150);
    Floats y(t.size());
    const mn_output output = {sizeof output, 0, y.data(), y.size()};
    model->forward(batch_of(x, count), nullptr, &output, 1);
    const mn_loss_desc loss = loss_desc(MN_LOSS_MSE, conv);
    const Expected e = target_loss(loss, y, t);
    const auto trainer = make_trainer(model, {{loss}});
    expect_loss(e, trainer->accumulate(batch_of(x, count, nullptr, &t), nullptr));
    Floats bias(5);
    for (size_t i = 0; i < e.gradient.size(); i++)
        bias[i / 30 % 5] += static_cast<float>(e.gradient[i] / e.denominator);
    EXPECT_LE(relative_error(read_part(*model, "conv.bias", MN_PART_GRADIENT), bias), 1e-5);
}

TEST(LossTest, LargeLogitsDoNotOverflow) {
    InputModel net({2});
    const Floats x = {1000, -1000}, t = {0, 1};
    const mn_loss_desc loss = loss_desc(MN_LOSS_BCE_WITH_LOGITS, 0);
    EXPECT_DOUBLE_EQ(net.model->evaluate(batch_of(x, 1, nullptr, &t), nullptr, loss).loss, 1000);
}

TEST(LossTest, NothingThatCountsIsNaN) {
    InputModel net({3});
    const Floats x = {1, 2, 3, 4, 5, 6};
    const std::vector<int32_t> labels = {-1, -1};
    mn_loss_desc loss = loss_desc(MN_LOSS_CROSS_ENTROPY, 0);
    loss.ignores = 1;
    loss.ignore_index = -1;
    EXPECT_TRUE(std::isnan(net.model->evaluate(batch_of(x, 2, &labels), nullptr, loss).loss));
    const auto trainer =
        make_trainer(net.model, {{loss}, sgd_desc(1), 2, MN_TRAINER_INPUT_GRADIENT});
    EXPECT_TRUE(std::isnan(trainer->accumulate(batch_of(x, 2, &labels), nullptr).loss));
    Floats gradient(6, 1);
    trainer->read_input_gradient(0, gradient.data(), 6);
    EXPECT_EQ(gradient, Floats(6));
}

// The mean over batches of unequal counts is the sum of numerators over that of denominators.
TEST(LossTest, WhatIsIgnoredCountsNowhere) {
    InputModel net({3});
    const Floats x = {1, 2, 3, 4, 5, 6, 9, 8, 7};
    mn_loss_desc loss = loss_desc(MN_LOSS_CROSS_ENTROPY, 0);
    loss.ignores = 1;
    loss.ignore_index = -100;
    const std::vector<int32_t> labels = {-100, 2, 1};
    const mn_metrics all = net.model->evaluate(batch_of(x, 3, &labels), nullptr, loss);
    EXPECT_EQ(all.count, 3);
    EXPECT_EQ(all.labels, 2);
    EXPECT_EQ(all.correct, 1);
    const auto trainer = make_trainer(net.model, {{loss}, sgd_desc(1), 3});
    EXPECT_EQ(trainer->accumulate(batch_of(x, 3, &labels), nullptr).labels, 2);
    trainer->clear();
    const std::vector<int32_t> none = {-100, -100};
    trainer->begin_step(batch_of(Floats(x.begin(), x.begin() + 6), 2, &none), nullptr);
    trainer->begin_step(batch_of(x, 3, &labels), nullptr);
    const mn_step_sums sums = trainer->sums(true);
    EXPECT_EQ(sums.steps, 2);
    EXPECT_EQ(sums.images, 5);
    EXPECT_EQ(sums.labels, 2);
    EXPECT_EQ(sums.first_not_finite, -1);
    EXPECT_EQ(sums.loss_numerator / sums.loss_denominator, all.loss);
    // Losses of values have no labels.
    const mn_loss_desc error = loss_desc(MN_LOSS_MSE, 0);
    EXPECT_EQ(net.model->evaluate(batch_of(x, 3, nullptr, &x), nullptr, error).labels, 0);
}

TEST(LossTest, TheFirstStepThatIsNotFiniteIsTold) {
    InputModel net({2});
    const auto trainer =
        make_trainer(net.model, {{loss_desc(MN_LOSS_CROSS_ENTROPY, 0)}, sgd_desc(1), 1});
    const std::vector<int32_t> labels = {1};
    for (const float value : {1.0f, 2.0f, NAN, 3.0f, NAN})
        trainer->begin_step(batch_of({value, 0}, 1, &labels), nullptr);
    EXPECT_EQ(trainer->sums(true).first_not_finite, 2);
    EXPECT_EQ(trainer->sums(true).first_not_finite, -1);
}

// With a first loss of which nothing counts, the others still train.
TEST(LossTest, ALossOfWhichNothingCountsLeavesTheOthers) {
    InputModel net({3});
    const Floats x = {1, 2, 3}, t = {0, 0, 0};
    mn_loss_desc ignoring = loss_desc(MN_LOSS_CROSS_ENTROPY, 0);
    ignoring.ignores = 1;
    ignoring.ignore_index = -1;
    const std::vector<int32_t> labels = {-1};
    const mn_loss_desc error = loss_desc(MN_LOSS_MSE, 0);
    for (bool first : {true, false}) {
        const auto trainer = make_trainer(
            net.model, {first ? std::vector{ignoring, error} : std::vector{error, ignoring},
                        sgd_desc(1), 1, MN_TRAINER_INPUT_GRADIENT});
        const mn_metrics both = trainer->accumulate(batch_of(x, 1, &labels, &t), nullptr);
        EXPECT_TRUE(std::isnan(both.loss));
        EXPECT_EQ(both.loss_numerator, first ? 0 : 14);
        Floats gradient(3);
        trainer->read_input_gradient(0, gradient.data(), 3);
        EXPECT_LE(relative_error(gradient, {2.0f / 3, 4.0f / 3, 2}), 1e-6) << first;
    }
}

// A network with two heads, a classifier and a regression.
struct TwoHeads {
    Graph graph;
    int32_t body, scores, values;
    std::shared_ptr<Model> model;

    TwoHeads() {
        const int32_t in = graph.add_input(shape_of({6}), "x");
        body = linear(in, 5, "body");
        scores = linear(body, 4, "scores");
        values = linear(body, 3, "values");
        model = make_model(graph, {scores, values});
    }
    int32_t linear(int32_t source, int32_t features, const char* name) {
        mn_op_desc desc{};
        desc.linear = {sizeof desc.linear, features, 1};
        return graph.add(MN_OP_LINEAR, {source}, desc, name);
    }
};

TEST(LossTest, LossesWithUnequalDenominatorsAdd) {
    Random random(test_seed());
    TwoHeads net;
    Floats weights = {0.5f, 2, 1, 0.25f};
    mn_loss_desc entropy = loss_desc(MN_LOSS_CROSS_ENTROPY, net.scores);
    entropy.weight = 0.7f;
    entropy.ignores = 1;
    entropy.ignore_index = 9;
    entropy.class_weights = weights.data();
    entropy.class_weight_count = 4;
    mn_loss_desc error = loss_desc(MN_LOSS_MSE, net.values);
    error.weight = 3;
    const Floats x = random.floats(5 * 6), t = random.floats(5 * 3);
    const std::vector<int32_t> labels = {1, 3, 9, 0, 1};

    double loss = 0;
    Floats gradient(30);
    for (const mn_loss_desc& one : {entropy, error}) {
        const auto trainer = make_trainer(net.model, {{one}});
        const bool is_error = one.kind == MN_LOSS_MSE;
        loss +=
            trainer
                ->accumulate(batch_of(x, 5, is_error ? nullptr : &labels, is_error ? &t : nullptr),
                             nullptr)
                .loss;
        const Floats part = read_part(*net.model, "body.weight", MN_PART_GRADIENT);
        for (size_t i = 0; i < part.size(); i++) gradient[i] += part[i];
    }
    for (bool swapped : {false, true}) {
        const auto trainer = make_trainer(
            net.model, {swapped ? std::vector{error, entropy} : std::vector{entropy, error}});
        // The trainer has its own copy.
        std::fill(weights.begin(), weights.end(), 77.0f);
        const mn_metrics both = trainer->accumulate(batch_of(x, 5, &labels, &t), nullptr);
        weights = {0.5f, 2, 1, 0.25f};
        EXPECT_NEAR(both.loss, loss, 1e-6);
        EXPECT_NEAR(both.loss_numerator / both.loss_denominator, loss, 1e-6);
        EXPECT_LE(relative_error(read_part(*net.model, "body.weight", MN_PART_GRADIENT), gradient),
                  1e-5);
    }
}

TEST(LossTest, EvaluationKeepsWeightsApart) {
    InputModel net({2});
    const Floats x = {1, 0, 0, 3};
    const std::vector<int32_t> labels = {0, 0};
    Floats weights = {1, 2};
    mn_loss_desc loss = loss_desc(MN_LOSS_CROSS_ENTROPY, 0);
    loss.class_weights = weights.data();
    loss.class_weight_count = 2;
    for (float w : {1.0f, 5.0f, 1.0f}) {
        weights[0] = w;
        const mn_metrics m = net.model->evaluate(batch_of(x, 2, &labels), nullptr, loss);
        EXPECT_DOUBLE_EQ(m.loss_denominator, 2 * double{w});
    }
}

template <class Call>
void expect_refused(int32_t status, const char* part, Call&& call) {
    try {
        call();
        ADD_FAILURE() << "not refused: " << part;
    } catch (const Error& error) {
        EXPECT_EQ(error.info().status, status) << error.what();
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
}

TEST(LossTest, RefusesWhatMakesNoSense) {
    TwoHeads net;
    const Floats weights = {1, -1, 1, 1};
    const auto refused = [&](const char* part, mn_loss_desc loss) {
        expect_refused(MN_INVALID_ARGUMENT, part, [&] { make_trainer(net.model, {{loss}}); });
    };
    mn_loss_desc loss = loss_desc(MN_LOSS_CROSS_ENTROPY, net.scores);
    loss.label_smoothing = 1;
    refused("label_smoothing", loss);
    loss.label_smoothing = -0.1f;
    refused("label_smoothing", loss);
    loss.label_smoothing = NAN;
    refused("label_smoothing", loss);
    loss = loss_desc(MN_LOSS_NLL, net.scores);
    loss.class_weights = weights.data();
    loss.class_weight_count = 3;
    refused("class_weights", loss);
    loss.class_weight_count = 4;
    refused("class_weights[1]", loss);
    loss = loss_desc(MN_LOSS_HUBER, net.values);
    loss.delta = 0;
    refused("delta", loss);
    refused("kind", loss_desc(99, net.values));

    InputModel inputs({3});
    Floats none(3);
    const auto fresh = make_trainer(
        inputs.model,
        {{loss_desc(MN_LOSS_CROSS_ENTROPY, 0)}, sgd_desc(1), 2, MN_TRAINER_INPUT_GRADIENT});
    expect_refused(MN_INVALID_ARGUMENT, "before the first batch",
                   [&] { fresh->read_input_gradient(0, none.data(), 3); });
    InputModel pixels({3, 4, 4});
    expect_refused(MN_SHAPE_MISMATCH, "at every pixel is not supported",
                   [&] { make_trainer(pixels.model, {{loss_desc(MN_LOSS_CROSS_ENTROPY, 0)}}); });

    const mn_loss_desc error = loss_desc(MN_LOSS_MSE, net.values);
    expect_refused(MN_INVALID_ARGUMENT, "as many values", [&] {
        make_trainer(net.model, {{error, loss_desc(MN_LOSS_L1, net.scores)}});
    });
    const auto trainer = make_trainer(net.model, {{error}});
    const Floats x(6), t(3);
    const std::vector<int32_t> labels = {0};
    expect_refused(MN_INVALID_ARGUMENT, "targets",
                   [&] { trainer->accumulate(batch_of(x, 1, &labels), nullptr); });
    mn_batch batch = batch_of(x, 1, nullptr, &t);
    batch.target_count = 2;
    expect_refused(MN_SHAPE_MISMATCH, "targets", [&] { trainer->accumulate(batch, nullptr); });
    expect_refused(MN_INVALID_ARGUMENT, "targets", [&] {
        net.model->evaluate(batch_of(x, 1, &labels, &t), nullptr,
                            loss_desc(MN_LOSS_CROSS_ENTROPY, net.scores));
    });
}

}  // namespace
}  // namespace mn::test
