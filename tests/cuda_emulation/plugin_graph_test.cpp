// Steps that the plugin records as CUDA graphs and replays: the same bits as launches one by one,
// whatever changes in between. And steps that nobody waits for.

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "plugin.h"

namespace mn::test {
namespace {

constexpr int kImage = 144, kClasses = 5;

// How many graphs the stand-in has launched; on a card there is nobody to ask.
int graph_launches() {
    if (on_card()) return 0;
    void* driver = dlopen(MN_STAND_INS "/libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    const auto count = reinterpret_cast<int (*)()>(
        driver ? dlsym(driver, "mn_emulation_graph_launches") : nullptr);
    const int launches = count ? count() : -1;
    if (driver) dlclose(driver);
    return launches;
}

// Warnings that the library gives during the life of the object.
class Warnings {
public:
    Warnings() { check(mn_set_log_callback(take, this)); }
    ~Warnings() { mn_set_log_callback(nullptr, nullptr); }
    Warnings(const Warnings&) = delete;
    Warnings& operator=(const Warnings&) = delete;
    const std::string& text() const { return text_; }

private:
    static void take(int32_t level, const char* message, void* user) {
        if (level == MN_LOG_WARNING) static_cast<Warnings*>(user)->text_ += message;
    }
    std::string text_;
};

// Everything that draws or keeps something: dropout, running statistics, two losses.
struct Stateful {
    Network network;
    int32_t end = 0, side = 0;

    Stateful() {
        const mn_batch_norm_desc norm = {sizeof norm, 1e-5f, 0.1f, 1};
        int32_t node = network.normalize(network.input(1, 12, 12), {0.1f}, {0.4f});
        node = network.conv(node, conv_desc(6, 3, 1, 1));
        check(mn_graph_batch_norm(network.handle(), node, &norm, nullptr, &node));
        node = network.max_pool(network.relu(node), pool_desc(2, 2));
        node = drop(node, 0.3f, MN_DROPOUT_CHANNEL);
        side = network.linear(network.flatten(node), kClasses);
        node = network.conv(node, conv_desc(6, 3, 1, 1));
        node = network.relu(network.linear(network.flatten(node), 16));
        end = network.linear(drop(node, 0.5f, MN_DROPOUT_ELEMENT), kClasses);
    }

    int32_t drop(int32_t source, float probability, int32_t unit) {
        const mn_dropout_desc desc = {sizeof desc, probability, unit};
        int32_t node = 0;
        check(mn_graph_dropout(network.handle(), source, &desc, nullptr, &node));
        return node;
    }
};

// All that two trainings in a row leave behind: losses and hits of each step, then parameters,
// gradients and moments.
struct Trace {
    std::vector<double> metrics;
    std::vector<std::vector<Floats>> parts;

    bool operator==(const Trace& other) const {
        return metrics == other.metrics && parts == other.parts;
    }
};

class Script {
public:
    explicit Script(mn_device device)
        : model_(device, net_.network, {net_.end}, {0, 1, 3}), random_(test_seed() + 11) {
        data_.count = 20;
        for (int i = 0; i < 20 * kImage; i++)
            data_.bytes.push_back(static_cast<uint8_t>(random_.integer(0, 255)));
        for (int i = 0; i < 20; i++)
            data_.labels.push_back(static_cast<int32_t>(random_.integer(0, kClasses - 1)));
        mn_dataset_desc desc{};
        desc.struct_size = sizeof desc;
        desc.images = data_.bytes.data();
        desc.images_bytes = data_.bytes.size();
        desc.dtype = MN_UINT8;
        desc.count = data_.count;
        desc.shape = net_.network.shape(0);
        desc.labels = data_.labels.data();
        mn_dataset dataset = 0;
        check(mn_dataset_create(device, &desc, &dataset));
        dataset_ = DatasetHandle(dataset);
    }

    Trace run() {
        mn_optimizer_desc momentum = sgd(0.05f, 0.9f);
        train(adam(1e-3f), {});
        // The same shapes, but other kernels and addresses.
        const mn_parameter_options frozen = {sizeof frozen, 0, 1, 1, -1};
        train(momentum, {frozen});
        for (int part : {MN_PART_VALUE, MN_PART_GRADIENT, MN_PART_MOMENT1})
            trace_.parts.push_back(read(part));
        return trace_;
    }

private:
    std::vector<Floats> read(int part) const {
        std::vector<Floats> all;
        for (int i = 0; i < model_.parameter_count(); i++)
            if (part == MN_PART_VALUE || model_.parameter(i).trainable)
                all.push_back(model_.read(i, part));
        return all;
    }

    void train(const mn_optimizer_desc& optimizer,
               const std::vector<mn_parameter_options>& options) {
        // The losses divide by different numbers, which change from batch to batch.
        const Floats class_weights = {0.5f, 2, 1, 1.5f, 0.25f};
        std::vector<mn_loss_desc> losses = {loss_on(net_.end), loss_on(net_.side, 0.3f)};
        losses[0].class_weights = class_weights.data();
        losses[0].class_weight_count = kClasses;
        losses[1].ignores = 1;
        losses[1].ignore_index = 2;
        mn_trainer_desc desc{};
        desc.struct_size = sizeof desc;
        desc.losses = losses.data();
        desc.loss_count = 2;
        desc.optimizer = &optimizer;
        desc.max_batch = 8;
        desc.clip_norm = 2;
        desc.options = options.data();
        desc.option_count = static_cast<int32_t>(options.size());
        mn_trainer trainer = 0;
        check(mn_trainer_create(model_.handle(), &desc, &trainer));
        const Owned<mn_trainer_destroy> owned(trainer);
        for (int step = 0; step < 12; step++) {
            check(mn_trainer_set_learning_rate(
                trainer, optimizer.learning_rate / static_cast<float>(1 + step % 5)));
            note(mn_trainer_step, trainer, by_indices(step % 4 == 3 ? 5 : 8));
            note(mn_trainer_step, trainer, random_batch(random_, 8, kImage, kClasses));
            if (step % 3 != 0) continue;
            note(mn_trainer_accumulate, trainer, by_indices(8));
            note(mn_trainer_accumulate, trainer, by_indices(8));
            check(mn_trainer_apply(trainer));
            for (float value : model_.forward(random_batch(random_, 7, kImage, kClasses)))
                trace_.metrics.push_back(static_cast<double>(value));
        }
    }

    Batch by_indices(int count) {
        Batch batch;
        batch.dataset = dataset_;
        batch.count = count;
        for (int i = 0; i < count; i++)
            batch.indices.push_back(static_cast<int32_t>(random_.integer(0, 19)));
        return batch;
    }

    template <class Call>
    void note(Call&& call, mn_trainer trainer, const Batch& batch) {
        mn_metrics metrics{};
        metrics.struct_size = sizeof metrics;
        const mn_batch b = batch.get();
        check(call(trainer, &b, &metrics));
        trace_.metrics.push_back(metrics.loss);
        trace_.metrics.push_back(static_cast<double>(metrics.correct));
    }

    const Stateful net_;
    const TestModel model_;
    Random random_;
    Batch data_;
    DatasetHandle dataset_;
    Trace trace_;
};

Trace trained() {
    const DeviceHandle device = open_cuda();
    return Script(device).run();
}

Trace trained_without_graphs() {
    const Environment off("MNISTNATIVE_CUDA_GRAPHS", "0");
    const int before = graph_launches();
    const Trace plain = trained();
    EXPECT_EQ(graph_launches(), before);
    return plain;
}

TEST(PluginGraphTest, ReplayedStepsHaveTheBitsOfPlainOnes) {
    const Trace plain = trained_without_graphs();
    const int before = graph_launches();
    const Warnings warnings;
    EXPECT_TRUE(trained() == plain);
    EXPECT_EQ(warnings.text(), "");
    // Of 64 steps and 24 pieces of inference, each kind's first is launched kernel by kernel.
    if (!on_card()) {
        EXPECT_GT(graph_launches() - before, 60);
    }
}

TEST(PluginGraphTest, GraphsOfManyBatchSizesGiveWay) {
    const Stateful net;
    Random random(test_seed() + 14);
    const Batch all = random_batch(random, 12, kImage, kClasses);
    const DeviceHandle device = open_cuda();
    const TestModel model(device, net.network, {net.end}, {0, 1, 12});
    const Floats expected = model.forward(all);
    for (int round = 0; round < 3; round++)
        for (int count = 1; count <= 12; count++)
            for (int repeat = 0; repeat < 3; repeat++) {
                const Floats some = model.forward(all.slice(0, count));
                const Floats same(expected.begin(), expected.begin() + count * kClasses);
                EXPECT_LE(relative_error(some, same), 1e-5) << count;
            }
}

TEST(PluginGraphTest, WhatCannotBeRecordedIsLaunchedAndTheLogSaysWhy) {
    if (on_card()) GTEST_SKIP() << "failures are provoked in the stand-in only";
    const Trace plain = trained_without_graphs();
    const int before = graph_launches();
    for (const auto& [failure, reason] :
         {std::pair{"cuStreamBeginCapture_v2=801", "CUDA_ERROR_NOT_SUPPORTED"},
          std::pair{"cuGraphInstantiateWithFlags=2", "CUDA_ERROR_OUT_OF_MEMORY"}}) {
        const Environment environment("CUDA_EMULATION_FAIL", failure);
        const Warnings warnings;
        EXPECT_TRUE(trained() == plain) << failure;
        EXPECT_NE(warnings.text().find(reason), std::string::npos) << warnings.text();
    }
    EXPECT_EQ(graph_launches(), before);
}

TEST(PluginGraphTest, AnEmbeddingKeepsItsStepFromBeingRecorded) {
    const mn_embedding_desc desc = {sizeof desc, 9, 4};
    Network network;
    int32_t node = network.features(3);
    check(mn_graph_embedding(network.handle(), node, &desc, "words", &node));
    node = network.linear(network.flatten(node), kClasses);
    Batch batch;
    batch.count = 2;
    batch.images = {0, 8, 3, 3, 1, 7};
    batch.labels = {4, 0};
    std::vector<std::vector<Floats>> results;
    const int before = graph_launches();
    for (const char* graphs : {"0", "1"}) {
        const Environment wanted("MNISTNATIVE_CUDA_GRAPHS", graphs);
        const Warnings warnings;
        const DeviceHandle device = open_cuda();
        const TestModel model(device, network, {node});
        const TestTrainer trainer(model, {loss_on(node)}, sgd(0.1f), 2);
        for (int step = 0; step < 4; step++) trainer.step(batch);
        results.push_back(model.read_all());
        EXPECT_EQ(warnings.text().find("[embedding \"words\"]") != std::string::npos,
                  *graphs == '1')
            << warnings.text();
        Batch wrong = batch;
        wrong.images[1] = 9;
        EXPECT_THROW(trainer.step(wrong), Failure);
        EXPECT_NO_THROW(trainer.step(batch));
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(graph_launches(), before);
}

// Predictions of other threads are neither recorded nor kept out for long.
TEST(PluginGraphTest, ThreadsDoNotRecordEachOthersWork) {
    const Stateful net;
    const DeviceHandle device = open_cuda();
    Random random(test_seed() + 12);
    const Batch batch = random_batch(random, 6, kImage, kClasses);
    const TestModel other(device, net.network, {net.end}, {0, 2, 4});
    const Floats expected = other.forward(batch);
    std::atomic<bool> stop{false};
    std::atomic<int> wrong{0}, right{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; i++)
        threads.emplace_back([&] {
            while (!stop) (other.forward(batch) == expected ? right : wrong)++;
        });
    const auto train = [&] {
        const TestModel model(device, net.network, {net.end});
        const TestTrainer trainer(model, {loss_on(net.end)}, sgd(0.05f), 6);
        for (int step = 0; step < 8; step++) trainer.step(batch);
        return model.read_all();
    };
    const std::vector<Floats> among_others = train();
    while (right < 10 && wrong == 0) std::this_thread::yield();
    stop = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(train(), among_others);
}

TEST(PluginGraphTest, StepsBegunWaitForNothingAndAddUp) {
    const Stateful net;
    const DeviceHandle device = open_cuda();
    Random random(test_seed() + 13);
    std::vector<Batch> batches;
    for (int i = 0; i < 40; i++)
        batches.push_back(random_batch(random, i % 5 == 4 ? 3 : 6, kImage, kClasses));
    const std::vector<mn_loss_desc> losses = {loss_on(net.end), loss_on(net.side, 0.3f)};
    const TestModel waiting(device, net.network, {net.end}), begun(device, net.network, {net.end});
    const TestTrainer waiting_trainer(waiting, losses, adam(1e-3f), 6);
    const TestTrainer begun_trainer(begun, losses, adam(1e-3f), 6);
    mn_step_sums expected{};
    for (const Batch& batch : batches) {
        const mn_metrics metrics = waiting_trainer.step(batch);
        expected.steps++;
        expected.images += metrics.count;
        expected.correct += metrics.correct;
        expected.labels += metrics.labels;
        expected.loss_numerator += metrics.loss_numerator;
        expected.loss_denominator += metrics.loss_denominator;
    }
    const auto begin = [&](size_t i) {
        const mn_batch b = batches[i].get();
        check(mn_trainer_begin_step(begun_trainer.handle(), &b));
    };
    // The first steps may allocate; no later one waits for the device.
    for (size_t i = 0; i < 12; i++) begin(i);
    mn_step_sums sums{};
    sums.struct_size = sizeof sums;
    check(mn_trainer_step_sums(begun_trainer.handle(), 0, &sums));
    EXPECT_EQ(sums.steps, 12);
    size_t next = 12;
    for (const char* waiting_call : {"cuStreamSynchronize=999", "cuEventSynchronize=999"}) {
        const Environment failure("CUDA_EMULATION_FAIL", waiting_call);
        for (int i = 0; i < 7; i++) EXPECT_NO_THROW(begin(next++)) << waiting_call;
    }
    while (next < batches.size()) begin(next++);
    check(mn_trainer_step_sums(begun_trainer.handle(), 1, &sums));
    EXPECT_EQ(sums.steps, expected.steps);
    EXPECT_EQ(sums.images, expected.images);
    EXPECT_EQ(sums.correct, expected.correct);
    EXPECT_EQ(sums.labels, expected.labels);
    EXPECT_EQ(sums.first_not_finite, -1);
    EXPECT_EQ(sums.loss_numerator, expected.loss_numerator);
    EXPECT_EQ(sums.loss_denominator, expected.loss_denominator);
    EXPECT_EQ(begun.read_all(), waiting.read_all());
    begin(0);
    check(mn_trainer_step_sums(begun_trainer.handle(), 1, &sums));
    EXPECT_EQ(sums.steps, 1);
    begin(1);  // left on its way when the trainer goes
}

}  // namespace
}  // namespace mn::test
