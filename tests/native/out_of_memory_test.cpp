// Memory that fails: each allocation of each call fails in turn. The call reports it and leaves
// everything as it was, so that in the end the numbers are those of a run in which nothing failed.
// That nothing leaks the address sanitizer's run of this test tells.

#include <gtest/gtest.h>

#include "allocation_hooks.h"
#include "graph/error.h"
#include "network.h"

namespace mn::test {
namespace {

class Scenario {
public:
    Scenario(bool failing, int threads, uint32_t device_flags)
        : failing_(failing), threads_(threads), device_flags_(device_flags) {}

    // The numbers that the calls gave.
    std::vector<Floats> run() {
        open();
        describe();
        create();
        infer();
        train();
        write();
        close();
        return numbers_;
    }

    int64_t failures() const { return failures_; }

private:
    // Makes a call; the last attempt, in which nothing fails, succeeds.
    template <class Call>
    void call(const char* what, Call&& make) {
        for (int64_t first = 0;; first++) {
            mn_status status;
            bool failed = false;
            if (failing_) {
                const FailingAllocation allocation(first);
                status = make();
                failed = allocation.has_failed();
            } else {
                status = make();
            }
            if (!failed) {
                if (status != MN_OK) throw Failure(status, mn_last_error());
                return;
            }
            failures_++;
            if (status != MN_OUT_OF_MEMORY)
                throw std::runtime_error(text(what, ": status ", status, " where allocation ",
                                              first, " failed: ", mn_last_error()));
        }
    }

    template <class Add>
    int32_t node(const char* what, Add&& add) {
        int32_t id = -1;
        call(what, [&] { return add(&id); });
        // A call that failed has left no node behind.
        EXPECT_EQ(id, nodes_) << what;
        return nodes_++;
    }

    void open() {
        mn_device_desc desc{};
        desc.struct_size = sizeof desc;
        desc.threads = threads_;
        desc.flags = device_flags_;
        call("mn_device_open", [&] { return mn_device_open(&desc, &device_); });
        mn_device_info info{};
        info.struct_size = sizeof info;
        call("mn_device_describe", [&] { return mn_device_describe(device_, &info); });
    }

    void describe() {
        call("mn_graph_create", [&] { return mn_graph_create(&graph_); });
        const mn_shape shape = {3, 0, {2, 8, 8, 0}}, row = {1, 0, {72, 0, 0, 0}};
        const float mean[] = {0.1f, 0.2f}, std[] = {1, 2};
        const mn_normalize_desc normalize = {sizeof normalize, 2, mean, std};
        mn_conv2d_desc conv = conv_desc(4, 3, 1, 1);
        const mn_batch_norm_desc norm = {sizeof norm, 1e-5f, 0.1f, 1};
        const mn_activation_desc relu = {sizeof relu, MN_ACTIVATION_RELU, 0, 0};
        mn_pool2d_desc pool{};
        pool.struct_size = sizeof pool;
        pool.kernel_h = pool.kernel_w = pool.stride_h = pool.stride_w = 2;
        const mn_dropout_desc dropout = {sizeof dropout, 0.25f, MN_DROPOUT_ELEMENT};
        const mn_slice_desc slice = {sizeof slice, 2, 4};
        const mn_binary_desc add = {sizeof add, MN_BINARY_ADD};
        const mn_scale_desc scale = {sizeof scale, 0.5f, "a_scale_with_a_name_of_its_own"};
        const mn_linear_desc linear = {sizeof linear, 5, 1};
        const mn_layer_norm_desc layer_norm = {sizeof layer_norm, 1e-5f, 1, 0};

        const mn_graph g = graph_;
        const char* const name = "a name that no small string holds";
        const auto input = [&](int32_t* id) { return mn_graph_input(g, &shape, name, id); };
        int32_t x = node("mn_graph_input", input);
        x = node("mn_graph_normalize",
                 [&](int32_t* id) { return mn_graph_normalize(g, x, &normalize, nullptr, id); });
        x = node("mn_graph_conv2d",
                 [&](int32_t* id) { return mn_graph_conv2d(g, x, &conv, nullptr, id); });
        x = node("mn_graph_batch_norm",
                 [&](int32_t* id) { return mn_graph_batch_norm(g, x, &norm, nullptr, id); });
        x = node("mn_graph_activation",
                 [&](int32_t* id) { return mn_graph_activation(g, x, &relu, nullptr, id); });
        const int32_t pooled = node("mn_graph_max_pool2d", [&](int32_t* id) {
            return mn_graph_max_pool2d(g, x, &pool, nullptr, id);
        });
        const int32_t dropped = node("mn_graph_dropout", [&](int32_t* id) {
            return mn_graph_dropout(g, pooled, &dropout, nullptr, id);
        });
        const int32_t two[] = {pooled, dropped};
        x = node("mn_graph_concat",
                 [&](int32_t* id) { return mn_graph_concat(g, two, 2, nullptr, id); });
        x = node("mn_graph_slice",
                 [&](int32_t* id) { return mn_graph_slice(g, x, &slice, nullptr, id); });
        x = node("mn_graph_binary",
                 [&](int32_t* id) { return mn_graph_binary(g, x, pooled, &add, nullptr, id); });
        x = node("mn_graph_scale",
                 [&](int32_t* id) { return mn_graph_scale(g, x, &scale, nullptr, id); });
        x = node("mn_graph_max_unpool2d",
                 [&](int32_t* id) { return mn_graph_max_unpool2d(g, x, pooled, nullptr, id); });
        conv = conv_desc(2, 3, 1, 0);
        x = node("mn_graph_conv2d",
                 [&](int32_t* id) { return mn_graph_conv2d(g, x, &conv, nullptr, id); });
        x = node("mn_graph_reshape",
                 [&](int32_t* id) { return mn_graph_reshape(g, x, &row, nullptr, id); });
        x = node("mn_graph_layer_norm",
                 [&](int32_t* id) { return mn_graph_layer_norm(g, x, &layer_norm, nullptr, id); });
        end_ = node("mn_graph_linear",
                    [&](int32_t* id) { return mn_graph_linear(g, x, &linear, nullptr, id); });
        mn_node_info info{};
        info.struct_size = sizeof info;
        call("mn_graph_describe", [&] { return mn_graph_describe(g, end_, &info); });
    }

    void create() {
        mn_model_desc desc{};
        desc.struct_size = sizeof desc;
        desc.seed = 3;
        desc.outputs = &end_;
        desc.output_count = 1;
        call("mn_model_create", [&] { return mn_model_create(device_, graph_, &desc, &model_); });

        Random random(1);
        images_ = random.floats(kImages * 128);
        labels_ = {0, 4, 2};
        mn_dataset_desc data{};
        data.struct_size = sizeof data;
        data.count = kImages;
        data.shape = {3, 0, {2, 8, 8, 0}};
        data.images = images_.data();
        data.images_bytes = images_.size() * sizeof(float);
        data.labels = labels_.data();
        call("mn_dataset_create", [&] { return mn_dataset_create(device_, &data, &dataset_); });

        loss_ = loss_on(end_);
        loss_.class_weights = weights_;
        loss_.class_weight_count = 5;
    }

    mn_batch batch() const {
        mn_batch batch{};
        batch.struct_size = sizeof batch;
        batch.count = kImages;
        batch.images = images_.data();
        batch.images_bytes = images_.size() * sizeof(float);
        batch.labels = labels_.data();
        return batch;
    }

    mn_batch indexed() const {
        mn_batch batch{};
        batch.struct_size = sizeof batch;
        batch.count = kImages;
        batch.dataset = dataset_;
        batch.indices = indices_;
        return batch;
    }

    void note(const mn_metrics& m) {
        numbers_.push_back({static_cast<float>(m.loss), static_cast<float>(m.correct)});
    }

    void infer() {
        const mn_batch b = batch();
        Floats logits(kImages * 5);
        const mn_output output = {sizeof output, 0, logits.data(), logits.size()};
        call("mn_model_forward", [&] { return mn_model_forward(model_, &b, &output, 1); });
        numbers_.push_back(logits);
        mn_metrics metrics{};
        metrics.struct_size = sizeof metrics;
        // More losses than plans are kept.
        for (int i = 0; i < 6; i++) {
            mn_loss_desc loss = loss_;
            loss.label_smoothing = static_cast<float>(i) / 10;
            call("mn_model_evaluate",
                 [&] { return mn_model_evaluate(model_, &b, &loss, &metrics); });
            note(metrics);
        }
        profile("mn_model_profile", [&](mn_profile_entry* entries, int32_t entry_count,
                                        int32_t* count) {
            return mn_model_profile(model_, entries ? &b : nullptr, entries, entry_count, count);
        });
    }

    template <class Profile>
    void profile(const char* what, Profile&& get) {
        int32_t count = 0;
        call(what, [&] { return get(nullptr, 0, &count); });
        std::vector<mn_profile_entry> entries(static_cast<size_t>(count));
        for (mn_profile_entry& entry : entries) entry.struct_size = sizeof entry;
        call(what, [&] { return get(entries.data(), count, &count); });
    }

    void train() {
        const mn_optimizer_desc optimizer = adam(0.01f);
        const mn_parameter_options option = {sizeof option, 1, 1, 1, -1};
        mn_trainer_desc desc{};
        desc.struct_size = sizeof desc;
        desc.max_batch = 4;
        desc.losses = &loss_;
        desc.loss_count = 1;
        desc.flags = MN_TRAINER_INPUT_GRADIENT;
        desc.optimizer = &optimizer;
        desc.options = &option;
        desc.option_count = 1;
        desc.clip_norm = 1;
        call("mn_trainer_create", [&] { return mn_trainer_create(model_, &desc, &trainer_); });

        const mn_batch plain = batch(), of_data = indexed();
        mn_metrics metrics{};
        metrics.struct_size = sizeof metrics;
        for (const mn_batch* b : {&plain, &of_data}) {
            call("mn_trainer_step", [&] { return mn_trainer_step(trainer_, b, &metrics); });
            note(metrics);
            call("mn_trainer_begin_step", [&] { return mn_trainer_begin_step(trainer_, b); });
        }
        mn_step_sums sums{};
        sums.struct_size = sizeof sums;
        call("mn_trainer_step_sums", [&] { return mn_trainer_step_sums(trainer_, 1, &sums); });
        numbers_.push_back({static_cast<float>(sums.steps), static_cast<float>(sums.loss)});
        call("mn_trainer_accumulate",
             [&] { return mn_trainer_accumulate(trainer_, &plain, &metrics); });
        note(metrics);
        call("mn_trainer_apply", [&] { return mn_trainer_apply(trainer_); });
        profile("mn_trainer_profile",
                [&](mn_profile_entry* entries, int32_t entry_count, int32_t* count) {
                    return mn_trainer_profile(trainer_, entries ? &plain : nullptr, entries,
                                              entry_count, count);
                });
        Floats gradient(images_.size());
        call("mn_trainer_input_gradient", [&] {
            return mn_trainer_input_gradient(trainer_, 0, gradient.data(), gradient.size());
        });
        numbers_.push_back(gradient);
        mn_training_progress progress{};
        progress.struct_size = sizeof progress;
        call("mn_trainer_get_progress",
             [&] { return mn_trainer_get_progress(trainer_, &progress); });
        call("mn_trainer_set_progress",
             [&] { return mn_trainer_set_progress(trainer_, &progress); });
        int32_t count = 0;
        call("mn_model_parameter_count", [&] { return mn_model_parameter_count(model_, &count); });
        std::vector<int64_t> updates(static_cast<size_t>(count));
        call("mn_trainer_get_updates",
             [&] { return mn_trainer_get_updates(trainer_, updates.data(), count); });
        call("mn_trainer_set_updates",
             [&] { return mn_trainer_set_updates(trainer_, updates.data(), count); });
        mn_memory_plan plan{};
        plan.struct_size = sizeof plan;
        call("mn_trainer_memory_plan", [&] { return mn_trainer_memory_plan(trainer_, &plan); });
    }

    // All parameters are read, and written anew.
    void write() {
        int32_t count = 0;
        check(mn_model_parameter_count(model_, &count));
        std::vector<mn_parameter_write> writes;
        std::vector<Floats> values;
        for (int32_t i = 0; i < count; i++) {
            mn_parameter_info info{};
            info.struct_size = sizeof info;
            call("mn_model_parameter_describe",
                 [&] { return mn_model_parameter_describe(model_, i, &info); });
            values.emplace_back(static_cast<size_t>(info.count));
            Floats& v = values.back();
            call("mn_model_read",
                 [&] { return mn_model_read(model_, i, MN_PART_VALUE, v.data(), v.size()); });
            call("mn_model_write",
                 [&] { return mn_model_write(model_, i, MN_PART_VALUE, v.data(), v.size()); });
            numbers_.push_back(v);
        }
        for (int32_t i = 0; i < count; i++) {
            const Floats& v = values[static_cast<size_t>(i)];
            writes.push_back({sizeof(mn_parameter_write), i, MN_PART_VALUE, 0, v.data(), v.size()});
        }
        call("mn_model_write_all",
             [&] { return mn_model_write_all(model_, writes.data(), count); });
    }

    void close() {
        call("mn_trainer_destroy", [&] { return mn_trainer_destroy(trainer_); });
        call("mn_dataset_destroy", [&] { return mn_dataset_destroy(dataset_); });
        call("mn_model_destroy", [&] { return mn_model_destroy(model_); });
        call("mn_graph_destroy", [&] { return mn_graph_destroy(graph_); });
        call("mn_device_close", [&] { return mn_device_close(device_); });
    }

    static constexpr int32_t kImages = 3;
    bool failing_;
    int threads_;
    uint32_t device_flags_;
    int64_t failures_ = 0;
    std::vector<Floats> numbers_;
    mn_device device_ = 0;
    mn_graph graph_ = 0;
    mn_model model_ = 0;
    mn_dataset dataset_ = 0;
    mn_trainer trainer_ = 0;
    int32_t nodes_ = 0, end_ = 0;
    Floats images_;
    std::vector<int32_t> labels_;
    int32_t indices_[kImages] = {2, 0, 0};
    float weights_[5] = {1, 2, 1, 0.5f, 1};
    mn_loss_desc loss_{};
};

class OutOfMemoryTest : public testing::TestWithParam<std::tuple<int, uint32_t>> {};

TEST_P(OutOfMemoryTest, EveryFailedAllocationIsReportedAndChangesNothing) {
    const auto [threads, flags] = GetParam();
    int64_t before = 0, after = 0;
    check(mn_memory_in_use(&before));
    const std::vector<Floats> expected = Scenario(false, threads, flags).run();
    Scenario scenario(true, threads, flags);
    const std::vector<Floats> numbers = scenario.run();
    EXPECT_EQ(numbers, expected);
    EXPECT_GT(scenario.failures(), 500);
    check(mn_memory_in_use(&after));
    EXPECT_EQ(after, before);
}

INSTANTIATE_TEST_SUITE_P(Devices, OutOfMemoryTest,
                         testing::Combine(testing::Values(1, 3),
                                          testing::Values(0u, MN_DEVICE_REFERENCE_KERNELS + 0u)));

}  // namespace
}  // namespace mn::test
