// Trainers through the C ABI: accumulation, optimizers, several losses, what a trainer leaves.

#include <gtest/gtest.h>

#include <cmath>

#include "network.h"

namespace mn::test {
namespace {

struct Small {
    Network network;
    int32_t hidden, end;

    Small() {
        int32_t node = network.conv(network.input(2, 8, 8), conv_desc(6, 3, 1, 1));
        node = network.max_pool(network.relu(node), pool_desc(2, 2));
        hidden = network.linear(network.flatten(node), 7);
        end = network.linear(network.relu(hidden), 5);
    }
    Batch batch(Random& random, int count) const { return random_batch(random, count, 128, 5); }
};

TEST(TrainingTest, AStepIsAccumulateAndApply) {
    Random random(test_seed());
    const DeviceHandle device = open_device(2);
    const Small net;
    for (const mn_optimizer_desc& optimizer : {adam(0.01f), sgd(0.1f, 0.9f)}) {
        const TestModel a(device, net.network, {net.end}), b(device, net.network, {net.end});
        const TestTrainer one(a, {loss_on(net.end)}, optimizer, 9);
        const TestTrainer two(b, {loss_on(net.end)}, optimizer, 9);
        for (int step = 0; step < 5; step++) {
            const Batch batch = net.batch(random, 9 - step);
            const mn_metrics first = one.step(batch), second = two.accumulate(batch);
            two.apply();
            EXPECT_EQ(first.loss, second.loss);
            EXPECT_EQ(first.correct, second.correct);
            EXPECT_EQ(a.read_all(MN_PART_GRADIENT), b.read_all(MN_PART_GRADIENT));
            ASSERT_EQ(a.read_all(), b.read_all()) << "step " << step;
        }
        EXPECT_EQ(a.read_all(MN_PART_MOMENT1), b.read_all(MN_PART_MOMENT1));
    }
}

TEST(TrainingTest, StepsBegunAddUp) {
    Random random(test_seed() + 9);
    const DeviceHandle device = open_device(2);
    const Small net;
    const TestModel a(device, net.network, {net.end}), b(device, net.network, {net.end});
    const TestTrainer waiting(a, {loss_on(net.end)}, adam(0.01f), 9);
    const TestTrainer begun(b, {loss_on(net.end)}, adam(0.01f), 9);
    mn_step_sums expected{}, sums{};
    sums.struct_size = sizeof sums;
    for (int step = 0; step < 40; step++) {
        const Batch batch = net.batch(random, 9 - step % 4);
        const mn_metrics metrics = waiting.step(batch);
        expected.labels += metrics.labels;
        expected.loss_numerator += metrics.loss_numerator;
        expected.loss_denominator += metrics.loss_denominator;
        expected.correct += metrics.correct;
        expected.images += metrics.count;
        const mn_batch given = batch.get();
        check(mn_trainer_begin_step(begun.handle(), &given));
        if (step % 15 != 14) continue;
        check(mn_trainer_step_sums(begun.handle(), 0, &sums));
        EXPECT_EQ(sums.steps, step + 1);
    }
    check(mn_trainer_step_sums(begun.handle(), 1, &sums));
    EXPECT_EQ(sums.steps, 40);
    EXPECT_EQ(sums.images, expected.images);
    EXPECT_EQ(sums.correct, expected.correct);
    EXPECT_EQ(sums.labels, expected.labels);
    EXPECT_EQ(sums.first_not_finite, -1);
    EXPECT_EQ(sums.loss_numerator, expected.loss_numerator);
    EXPECT_EQ(sums.loss_denominator, expected.loss_denominator);
    EXPECT_EQ(a.read_all(), b.read_all());
    // A step that is waited for does not count.
    begun.step(net.batch(random, 9));
    check(mn_trainer_step_sums(begun.handle(), 1, &sums));
    EXPECT_EQ(sums.steps, 0);
    EXPECT_EQ(sums.labels, 0);
    EXPECT_EQ(sums.loss_numerator, 0);
    EXPECT_EQ(sums.loss_denominator, 0);
}

// A step forgets what was accumulated before it.
TEST(TrainingTest, AStepClearsFirst) {
    Random random(test_seed() + 1);
    const DeviceHandle device = open_device(2);
    const Small net;
    const TestModel a(device, net.network, {net.end}), b(device, net.network, {net.end});
    const TestTrainer one(a, {loss_on(net.end)}, sgd(0.1f), 8);
    const TestTrainer two(b, {loss_on(net.end)}, sgd(0.1f), 8);
    const Batch noise = net.batch(random, 8), batch = net.batch(random, 8);
    two.accumulate(noise);
    one.step(batch);
    two.step(batch);
    EXPECT_EQ(a.read_all(), b.read_all());
    two.accumulate(noise);
    two.clear();
    one.accumulate(batch);
    two.accumulate(batch);
    EXPECT_EQ(a.read_all(MN_PART_GRADIENT), b.read_all(MN_PART_GRADIENT));
}

TEST(TrainingTest, SmallBatchesAddUpToALargeOne) {
    Random random(test_seed() + 2);
    const DeviceHandle device = open_device(2);
    for (int round = 0; round < 10; round++) {
        const RandomNetwork net = random_network(random);
        std::vector<mn_loss_desc> losses;
        const int32_t reduction = round % 2 ? MN_REDUCTION_SUM : MN_REDUCTION_MEAN;
        for (int32_t head : net.heads) losses.push_back(loss_on(head, 0.7f, reduction));
        const TestModel a(device, net.network, net.heads), b(device, net.network, net.heads);
        const TestTrainer whole(a, losses, sgd(0.05f), 12), parts(b, losses, sgd(0.05f), 12);
        const Batch batch = random_batch(random, 12, net.image_size, net.classes);
        const mn_metrics all = whole.accumulate(batch);
        double numerator = 0;
        int64_t correct = 0;
        int at = 0;
        for (int count : {5, 1, 4, 2}) {
            const mn_metrics part = parts.accumulate(batch.slice(at, count));
            EXPECT_EQ(part.loss_denominator, reduction == MN_REDUCTION_MEAN ? count : 1);
            numerator += part.loss_numerator;
            correct += part.correct;
            at += count;
        }
        EXPECT_NEAR(numerator, all.loss_numerator, 1e-5 * std::fabs(numerator)) << net.text;
        EXPECT_EQ(correct, all.correct);
        for (int i = 0; i < a.parameter_count(); i++)
            EXPECT_LE(relative_error(b.read(i, MN_PART_GRADIENT), a.read(i, MN_PART_GRADIENT)),
                      2e-6)
                << net.text << ", parameter " << i;
        whole.apply();
        parts.apply();
        for (int i = 0; i < a.parameter_count(); i++)
            EXPECT_LE(relative_error(b.read(i), a.read(i)), 1e-6) << net.text;
    }
}

TEST(TrainingTest, GradientsAreSumsOverDenominators) {
    Random random(test_seed() + 3);
    const DeviceHandle device = open_device(2);
    const Small net;
    const TestModel mean(device, net.network, {net.end}), sum(device, net.network, {net.end});
    const TestTrainer means(mean, {loss_on(net.end)}, sgd(0), 8);
    const TestTrainer sums(sum, {loss_on(net.end, 1, MN_REDUCTION_SUM)}, sgd(0), 8);
    const Batch batch = net.batch(random, 8);
    for (int i = 0; i < mean.parameter_count(); i++)
        EXPECT_EQ(mean.read(i, MN_PART_GRADIENT), Floats(mean.read(i).size())) << "not yet zero";
    const mn_metrics m = means.accumulate(batch), s = sums.accumulate(batch);
    EXPECT_NEAR(m.loss * 8, s.loss, 1e-5);
    EXPECT_EQ(m.loss_denominator, 8);
    EXPECT_EQ(s.loss_denominator, 1);
    for (int i = 0; i < mean.parameter_count(); i++) {
        Floats eighth = sum.read(i, MN_PART_GRADIENT);
        for (float& g : eighth) g /= 8;
        EXPECT_EQ(mean.read(i, MN_PART_GRADIENT), eighth);
    }
    const Floats once = sum.read(0, MN_PART_GRADIENT);
    sums.accumulate(batch);
    const Floats twice = sum.read(0, MN_PART_GRADIENT);
    for (size_t k = 0; k < once.size(); k++) EXPECT_FLOAT_EQ(twice[k], 2 * once[k]);
    means.apply();
    EXPECT_NE(mean.read(0, MN_PART_GRADIENT), Floats(once.size())) << "can still be read";
    means.clear();
    EXPECT_EQ(mean.read(0, MN_PART_GRADIENT), Floats(once.size()));
}

// ---- optimizers against their formulas in double ----

class Oracle {
public:
    Oracle(const mn_optimizer_desc& o, const std::vector<Floats>& start) : o_(o) {
        for (const Floats& part : start) {
            value_.emplace_back(part.begin(), part.end());
            m_.emplace_back(part.size());
            v_.emplace_back(part.size());
        }
    }

    void step(const std::vector<Floats>& gradients) {
        t_++;
        for (size_t i = 0; i < value_.size(); i++)
            for (size_t k = 0; k < value_[i].size(); k++) {
                double& p = value_[i][k];
                const double g = double{gradients[i][k]} + double{o_.weight_decay} * p;
                p -= o_.kind == MN_OPTIMIZER_ADAM ? adam(g, m_[i][k], v_[i][k]) : sgd(g, m_[i][k]);
            }
    }
    Floats value(size_t i) const { return Floats(value_[i].begin(), value_[i].end()); }
    void set_learning_rate(float rate) { o_.learning_rate = rate; }

private:
    double adam(double g, double& m, double& v) const {
        const double b1 = o_.beta1, b2 = o_.beta2;
        m = b1 * m + (1 - b1) * g;
        v = b2 * v + (1 - b2) * g * g;
        const double mean = m / (1 - std::pow(b1, t_)), variance = v / (1 - std::pow(b2, t_));
        return double{o_.learning_rate} * mean / (std::sqrt(variance) + double{o_.epsilon});
    }
    double sgd(double g, double& m) const {
        if (o_.momentum != 0) {
            m = t_ == 1 ? g : double{o_.momentum} * m + (1 - double{o_.dampening}) * g;
            g = o_.nesterov ? g + double{o_.momentum} * m : m;
        }
        return double{o_.learning_rate} * g;
    }

    mn_optimizer_desc o_;
    int t_ = 0;
    std::vector<std::vector<double>> value_, m_, v_;
};

TEST(TrainingTest, OptimizersFollowPyTorchsFormulas) {
    Random random(test_seed() + 4);
    const DeviceHandle device = open_device(2);
    const Small net;
    std::vector<mn_optimizer_desc> optimizers = {sgd(0.1f),       sgd(0.1f, 0.9f), sgd(0.1f, 0.9f),
                                                 sgd(0.1f, 0.8f), adam(0.01f),     adam(0.01f)};
    optimizers[2].nesterov = 1;
    optimizers[3].dampening = 0.3f;
    optimizers[3].weight_decay = 0.01f;
    optimizers[5].beta1 = 0.5f;
    optimizers[5].beta2 = 0.9f;
    optimizers[5].epsilon = 1e-3f;
    optimizers[5].weight_decay = 0.02f;
    for (size_t which = 0; which < optimizers.size(); which++) {
        const TestModel model(device, net.network, {net.end});
        const TestTrainer trainer(model, {loss_on(net.end)}, optimizers[which], 8);
        Oracle oracle(optimizers[which], model.read_all());
        for (int step = 0; step < 12; step++) {
            if (step == 6) {
                check(mn_trainer_set_learning_rate(trainer.handle(), 0.003f));
                oracle.set_learning_rate(0.003f);
            }
            trainer.accumulate(net.batch(random, 8));
            oracle.step(model.read_all(MN_PART_GRADIENT));
            trainer.apply();
            for (int i = 0; i < model.parameter_count(); i++)
                ASSERT_LE(relative_error(model.read(i), oracle.value(i)), 2e-6)
                    << "optimizer " << which << ", step " << step << ", parameter " << i;
        }
    }
}

// PyTorch's optimizers skip parameters whose gradient is None.
TEST(TrainingTest, ParametersThatNoLossReachesAreLeftAlone) {
    Random random(test_seed() + 5);
    const DeviceHandle device = open_device(1);
    Network network;
    const int32_t flat = network.flatten(network.input(1, 3, 3));
    const int32_t trained = network.linear(flat, 4), idle = network.linear(flat, 2);
    const TestModel model(device, network, {trained, idle});
    mn_optimizer_desc optimizer = adam(0.1f);
    optimizer.weight_decay = 0.5f;
    const TestTrainer trainer(model, {loss_on(trained)}, optimizer, 4);
    const std::vector<Floats> before = model.read_all();
    trainer.step(random_batch(random, 4, 9, 4));
    const std::vector<Floats> after = model.read_all();
    EXPECT_NE(before[0], after[0]);
    EXPECT_NE(before[1], after[1]);
    EXPECT_EQ(before[2], after[2]);
    EXPECT_EQ(before[3], after[3]);
    EXPECT_EQ(model.read(2, MN_PART_GRADIENT), Floats(18));
}

// ---- several losses ----

TEST(TrainingTest, LossesAreWeightedAndAdded) {
    Random random(test_seed() + 6);
    const DeviceHandle device = open_device(2);
    const Small net;
    const Batch batch = net.batch(random, 6);
    const auto run = [&](const std::vector<mn_loss_desc>& losses, double& loss) {
        const TestModel model(device, net.network, {net.end});
        const TestTrainer trainer(model, losses, sgd(0), 6);
        loss = trainer.accumulate(batch).loss;
        return model.read_all(MN_PART_GRADIENT);
    };
    double on_hidden = 0, on_end = 0, on_both = 0;
    const auto a = run({loss_on(net.hidden)}, on_hidden), b = run({loss_on(net.end)}, on_end);
    const auto both = run({loss_on(net.end, 2), loss_on(net.hidden, 0.5f)}, on_both);
    EXPECT_NEAR(on_both, 2 * on_end + 0.5 * on_hidden, 1e-5);
    for (size_t i = 0; i < both.size(); i++) {
        Floats expected(both[i].size());
        for (size_t k = 0; k < expected.size(); k++) expected[k] = 2 * b[i][k] + 0.5f * a[i][k];
        EXPECT_LE(relative_error(both[i], expected), 1e-5) << "parameter " << i;
    }
}

// The gradient of cross-entropy, handed in from outside, trains as cross-entropy does.
TEST(TrainingTest, AGradientFromOutsideIsUsedAsItIs) {
    Random random(test_seed() + 7);
    const DeviceHandle device = open_device(2);
    const Small net;
    const TestModel a(device, net.network, {net.end}), b(device, net.network, {net.end});
    const TestTrainer inside(a, {loss_on(net.end)}, sgd(0.1f), 6);
    const TestTrainer outside(b, {loss_on(net.end, 1, MN_REDUCTION_MEAN, MN_LOSS_OUTPUT_GRADIENT)},
                              sgd(0.1f), 6);
    for (int step = 0; step < 3; step++) {
        Batch batch = net.batch(random, 6 - step);
        inside.step(batch);
        const Floats logits = b.forward(batch);
        double product = 0;
        for (int n = 0; n < batch.count; n++) {
            double sum = 0;
            for (int f = 0; f < 5; f++) sum += std::exp(double{logits[n * 5 + f]});
            for (int f = 0; f < 5; f++) {
                const double share = std::exp(double{logits[n * 5 + f]}) / sum;
                batch.output_gradients.push_back(
                    static_cast<float>(share - (f == batch.labels[n])));
                product += double{batch.output_gradients.back()} * double{logits[n * 5 + f]};
            }
        }
        const mn_metrics metrics = outside.step(batch);
        EXPECT_NEAR(metrics.loss, product / batch.count, 1e-5);
        EXPECT_EQ(metrics.correct, 0);
        for (int i = 0; i < a.parameter_count(); i++)
            ASSERT_LE(relative_error(b.read(i), a.read(i)), 1e-5) << "step " << step;
    }
    Batch without = net.batch(random, 2);
    EXPECT_THROW(outside.step(without), Failure);
    without.output_gradients.resize(9);
    EXPECT_THROW(outside.step(without), Failure);
}

// It may stand on an image too, and beside another loss.
TEST(TrainingTest, AGradientFromOutsideMayBeThatOfAnImage) {
    Random random(test_seed() + 8);
    const DeviceHandle device = open_device(2);
    const DeviceHandle reference = open_device(2, MN_DEVICE_REFERENCE_KERNELS);
    Network network;
    const int32_t conv = network.conv(network.input(2, 6, 5), conv_desc(4, 3, 1, 1));
    const int32_t end = network.linear(network.flatten(network.relu(conv)), 3);
    Batch batch = random_batch(random, 3, 60, 3);
    batch.output_gradients = random.floats(3 * 4 * 6 * 5);
    std::vector<std::vector<Floats>> gradients;
    for (const DeviceHandle* d : {&device, &reference}) {
        const TestModel model(*d, network, {end});
        const TestTrainer trainer(
            model, {loss_on(end), loss_on(conv, 0.5f, MN_REDUCTION_MEAN, MN_LOSS_OUTPUT_GRADIENT)},
            sgd(0), 3);
        trainer.accumulate(batch);
        gradients.push_back(model.read_all(MN_PART_GRADIENT));
    }
    for (size_t i = 0; i < gradients[0].size(); i++)
        EXPECT_LE(relative_error(gradients[0][i], gradients[1][i]), 1e-5) << i;
    // The bias of the convolution sees the sum of the gradient and the other loss's share.
    const TestModel model(device, network, {end});
    const TestTrainer alone(model, {loss_on(end)}, sgd(0), 3);
    Batch plain = batch;
    plain.output_gradients.clear();
    alone.accumulate(plain);
    const Floats own = model.read(1, MN_PART_GRADIENT);
    for (int c = 0; c < 4; c++) {
        double sum = 0;
        for (int n = 0; n < 3; n++)
            for (int k = 0; k < 30; k++)
                sum += double{batch.output_gradients[(n * 4 + c) * 30 + k]};
        EXPECT_NEAR(gradients[0][1][c], double{own[c]} + 0.5 * sum / 3, 1e-4);
    }
}

// ---- what a trainer leaves behind ----

TEST(TrainingTest, ANewTrainerStartsAnew) {
    Random random(test_seed() + 9);
    const DeviceHandle device = open_device(2);
    const Small net;
    const TestModel used(device, net.network, {net.end});
    {
        const TestTrainer first(used, {loss_on(net.end)}, adam(0.01f), 4);
        first.step(net.batch(random, 4));
        EXPECT_THROW(TestTrainer(used, {loss_on(net.end)}, adam(0.01f), 4), Failure);
        EXPECT_NO_THROW(used.read(0, MN_PART_MOMENT2));
    }
    const TestModel fresh(device, net.network, {net.end}, {0, 77, 0});
    fresh.write_all(used.read_all());
    const TestTrainer second(used, {loss_on(net.end)}, sgd(0.1f, 0.9f), 8);
    const TestTrainer other(fresh, {loss_on(net.end)}, sgd(0.1f, 0.9f), 8);
    EXPECT_EQ(used.read(0, MN_PART_GRADIENT), Floats(used.read(0).size()));
    EXPECT_THROW(used.read(0, MN_PART_MOMENT2), Failure);
    for (int step = 0; step < 3; step++) {
        const Batch batch = net.batch(random, 8);
        second.step(batch);
        other.step(batch);
    }
    EXPECT_EQ(used.read_all(), fresh.read_all());
}

TEST(TrainingTest, MomentsAreReadAndWrittenInPyTorchsLayout) {
    Random random(test_seed() + 10);
    const DeviceHandle device = open_device(2);
    const DeviceHandle reference = open_device(1, MN_DEVICE_REFERENCE_KERNELS);
    const Small net;
    const TestModel a(device, net.network, {net.end}), b(reference, net.network, {net.end});
    const TestTrainer one(a, {loss_on(net.end)}, adam(0.01f), 4);
    const TestTrainer two(b, {loss_on(net.end)}, adam(0.01f), 4);
    const Batch batch = net.batch(random, 4);
    one.step(batch);
    two.step(batch);
    for (const int part : {MN_PART_MOMENT1, MN_PART_MOMENT2})
        for (int i = 0; i < a.parameter_count(); i++) {
            EXPECT_LE(relative_error(a.read(i, part), b.read(i, part)), 1e-4);
            const Floats values = random.floats(a.parameter(i).count, 0.1f, 1);
            a.write(i, values, part);
            EXPECT_EQ(a.read(i, part), values);
        }
}

// Moments, counters and parameters carried over to another trainer: the same bits as without a
// break, dropout and Adam's corrections included.
TEST(TrainingTest, GoesOnExactlyFromWhatWasSaved) {
    Random random(test_seed() + 11);
    const DeviceHandle device = open_device(2);
    Network network;
    const mn_dropout_desc dropout = {sizeof dropout, 0.4f, MN_DROPOUT_ELEMENT};
    int32_t node = -1;
    check(mn_graph_dropout(network.handle(), network.relu(network.linear(network.features(20), 30)),
                           &dropout, nullptr, &node));
    const int32_t end = network.linear(node, 4);
    mn_optimizer_desc amsgrad = adam(0.01f);
    amsgrad.amsgrad = 1;
    mn_optimizer_desc dampened = sgd(0.1f, 0.9f);
    dampened.dampening = 0.5f;
    for (const mn_optimizer_desc& optimizer : {amsgrad, dampened}) {
        std::vector<Batch> batches;
        for (int i = 0; i < 6; i++) batches.push_back(random_batch(random, 8, 20, 4));
        const TestModel whole(device, network, {end}), begun(device, network, {end});
        const TestModel resumed(device, network, {end});
        const TestTrainer all(whole, {loss_on(end)}, optimizer, 8);
        for (const Batch& batch : batches) all.step(batch);

        const TestTrainer first(begun, {loss_on(end)}, optimizer, 8);
        for (int i = 0; i < 3; i++) first.step(batches[i]);
        const TestTrainer second(resumed, {loss_on(end)}, optimizer, 8);
        for (int part = MN_PART_VALUE; part <= MN_PART_MOMENT3; part++) {
            const bool kept = part == MN_PART_MOMENT1 || optimizer.kind == MN_OPTIMIZER_ADAM;
            if (part == MN_PART_GRADIENT || (part != MN_PART_VALUE && !kept)) continue;
            for (int i = 0; i < begun.parameter_count(); i++)
                resumed.write(i, begun.read(i, part), part);
        }
        mn_training_progress progress{};
        progress.struct_size = sizeof progress;
        check(mn_trainer_get_progress(first.handle(), &progress));
        EXPECT_EQ(progress.updates, 3);
        EXPECT_EQ(progress.batches, 3);
        EXPECT_EQ(progress.learning_rate, optimizer.learning_rate);
        check(mn_trainer_set_progress(second.handle(), &progress));
        std::vector<int64_t> updates(static_cast<size_t>(begun.parameter_count()));
        check(mn_trainer_get_updates(second.handle(), updates.data(), begun.parameter_count()));
        EXPECT_EQ(updates, std::vector<int64_t>(updates.size(), 3));
        for (int i = 3; i < 6; i++) second.step(batches[i]);
        EXPECT_EQ(resumed.read_all(), whole.read_all());
    }
}

// As PyTorch, which keeps a counter for each parameter: one that was frozen so far begins with
// Adam's first step, whose size is the learning rate.
TEST(TrainingTest, EachParameterCountsItsOwnUpdates) {
    Random random(test_seed() + 13);
    const DeviceHandle device = open_device(2);
    const Small net;
    const mn_loss_desc loss = loss_on(net.end);
    for (const int kind : {MN_OPTIMIZER_ADAM, MN_OPTIMIZER_ADAMW}) {
        mn_optimizer_desc optimizer = adam(0.01f);
        optimizer.kind = kind;
        optimizer.epsilon = 1e-12f;
        const TestModel begun(device, net.network, {net.end}),
            other(device, net.network, {net.end});
        const int32_t count = begun.parameter_count();
        const mn_parameter_options frozen = {sizeof frozen, 0, 1, 1, -1};
        mn_trainer_desc desc{};
        desc.struct_size = sizeof desc;
        desc.max_batch = 4;
        desc.losses = &loss;
        desc.loss_count = 1;
        desc.optimizer = &optimizer;
        desc.options = &frozen;
        desc.option_count = 1;
        mn_trainer handle = 0;
        check(mn_trainer_create(begun.handle(), &desc, &handle));
        const Owned<mn_trainer_destroy> first(handle);
        mn_metrics metrics{};
        metrics.struct_size = sizeof metrics;
        for (int i = 0; i < 3; i++) {
            const Batch batch = net.batch(random, 4);
            const mn_batch b = batch.get();
            check(mn_trainer_step(first, &b, &metrics));
        }
        std::vector<int64_t> updates(static_cast<size_t>(count), -1);
        check(mn_trainer_get_updates(first, updates.data(), count));
        std::vector<int64_t> expected(static_cast<size_t>(count), 3);
        expected[0] = 0;
        EXPECT_EQ(updates, expected);

        const TestTrainer second(other, {loss}, optimizer, 4);
        for (const int part : {MN_PART_VALUE, MN_PART_MOMENT1, MN_PART_MOMENT2})
            for (int i = 0; i < count; i++) other.write(i, begun.read(i, part), part);
        mn_training_progress progress{};
        progress.struct_size = sizeof progress;
        check(mn_trainer_get_progress(first, &progress));
        EXPECT_EQ(progress.updates, 3);
        check(mn_trainer_set_progress(second.handle(), &progress));
        check(mn_trainer_set_updates(second.handle(), updates.data(), count));
        const std::vector<Floats> before = other.read_all();
        second.step(net.batch(random, 4));
        const std::vector<Floats> gradients = other.read_all(MN_PART_GRADIENT);
        const std::vector<Floats> after = other.read_all();
        int moved = 0;
        for (size_t k = 0; k < before[0].size(); k++) {
            if (std::fabs(gradients[0][k]) < 1e-4f) continue;
            EXPECT_NEAR(std::fabs(after[0][k] - before[0][k]), 0.01, 1e-5);
            moved++;
        }
        EXPECT_GT(moved, 0);
        // The others go on where they were: with PyTorch's formula for their fourth step.
        for (size_t p = 1; p < before.size(); p++) {
            const Floats m = other.read(static_cast<int>(p), MN_PART_MOMENT1);
            const Floats v = other.read(static_cast<int>(p), MN_PART_MOMENT2);
            for (size_t k = 0; k < m.size(); k++) {
                const double mean = double{m[k]} / (1 - std::pow(double{optimizer.beta1}, 4));
                const double square = double{v[k]} / (1 - std::pow(double{optimizer.beta2}, 4));
                if (square < 1e-12) continue;
                EXPECT_NEAR(after[p][k] - before[p][k], -0.01 * mean / std::sqrt(square), 1e-6);
            }
        }
        check(mn_trainer_get_updates(second.handle(), updates.data(), count));
        expected.assign(static_cast<size_t>(count), 4);
        expected[0] = 1;
        EXPECT_EQ(updates, expected);
    }
}

TEST(TrainingTest, UpdatesThatMakeNoSenseAreRefused) {
    const DeviceHandle device = open_device(1);
    Network network;
    const mn_batch_norm_desc norm = {sizeof norm, 1e-5f, 0.1f, 1};
    int32_t node = -1;
    check(mn_graph_batch_norm(network.handle(), network.features(4), &norm, nullptr, &node));
    const TestModel model(device, network, {node});
    const TestTrainer trainer(model, {loss_on(node)}, adam(0.1f), 2);
    std::vector<int64_t> updates = {1, 2, 0, 0, 0};
    check(mn_trainer_set_updates(trainer.handle(), updates.data(), 5));
    const auto refused = [&](const std::vector<int64_t>& values, int32_t count) {
        EXPECT_EQ(mn_trainer_set_updates(trainer.handle(), values.data(), count),
                  MN_INVALID_ARGUMENT);
        std::vector<int64_t> got(5);
        check(mn_trainer_get_updates(trainer.handle(), got.data(), 5));
        EXPECT_EQ(got, updates);
    };
    refused({1, -2, 0, 0, 0}, 5);
    refused({1, 2, 3, 0, 0}, 5);  // a running statistic
    refused({1, 2, 0, 0}, 4);
    refused({1, 2, 0, 0, 0, 0}, 6);
    refused({1, 2, 0, 0, 0}, -1);
    EXPECT_EQ(mn_trainer_get_updates(trainer.handle(), updates.data(), 4), MN_INVALID_ARGUMENT);
    EXPECT_EQ(mn_trainer_get_updates(trainer.handle(), nullptr, 5), MN_INVALID_ARGUMENT);
    EXPECT_EQ(mn_trainer_set_updates(trainer.handle(), nullptr, 5), MN_INVALID_ARGUMENT);
}

// A batch that fails under way leaves what was accumulated, and the random numbers, alone.
TEST(TrainingTest, AFailedStepForgetsNothing) {
    Random random(test_seed() + 12);
    const DeviceHandle device = open_device(2);
    Network network;
    const mn_embedding_desc words = {sizeof words, 5, 6};
    const mn_dropout_desc dropout = {sizeof dropout, 0.4f, MN_DROPOUT_ELEMENT};
    int32_t node = -1;
    check(mn_graph_embedding(network.handle(), network.features(3), &words, nullptr, &node));
    check(mn_graph_dropout(network.handle(), network.flatten(node), &dropout, nullptr, &node));
    const int32_t end = network.linear(node, 4);
    const TestModel a(device, network, {end}), b(device, network, {end});
    const TestTrainer one(a, {loss_on(end)}, adam(0.1f), 2), two(b, {loss_on(end)}, adam(0.1f), 2);
    Batch good, bad;
    good.count = bad.count = 2;
    good.images = {0, 1, 2, 3, 4, 0};
    bad.images = {0, 1, 2, 3, 4, 5};
    good.labels = bad.labels = {1, 3};
    one.accumulate(good);
    two.accumulate(good);
    EXPECT_THROW(two.accumulate(bad), Failure);
    EXPECT_THROW(two.step(bad), Failure);
    EXPECT_EQ(a.read_all(MN_PART_GRADIENT), b.read_all(MN_PART_GRADIENT));
    one.accumulate(good);
    two.accumulate(good);
    one.apply();
    two.apply();
    EXPECT_EQ(a.read_all(), b.read_all());
}

}  // namespace
}  // namespace mn::test
