/* The C ABI from plain C: only the header and the shared library. Trains a tiny network and checks
   what every function answers to wrong arguments. */

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "c_abi_check.h"

static void check_versions(void) {
    mn_error_info info;
    CHECK(mn_abi_version() == MN_ABI_VERSION);
    CHECK(strlen(mn_version()) >= 5);
    CHECK(strcmp(mn_last_error(), "") == 0);
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    OK(mn_last_error_info(&info));
    CHECK(info.status == MN_OK && info.requested_bytes == 0);
    FAILS(mn_last_error_info(NULL), MN_INVALID_ARGUMENT, "info_out");
    TAINT(info);
    FAILS(mn_last_error_info(&info), MN_INVALID_ARGUMENT, "struct_size");
    UNTOUCHED(info);
    FAILS(mn_memory_in_use(NULL), MN_INVALID_ARGUMENT, "bytes_out");
    end_group("versions and errors");
}

static void count_messages(int32_t level, const char* message, void* user) {
    if (level >= MN_LOG_DEBUG && level <= MN_LOG_WARNING && strlen(message) > 0) ++*(int*)user;
}

static void check_log(void) {
    static toy t;
    int messages = 0, before;
    OK(mn_set_log_callback(count_messages, &messages));
    toy_create(&t);
    CHECK(messages >= 2); /* the device and the inference plan */
    OK(mn_set_log_callback(NULL, NULL));
    before = messages;
    toy_destroy(&t);
    toy_create(&t);
    toy_destroy(&t);
    CHECK(messages == before);
    end_group("log");
}

static void check_descriptions(const toy* t) {
    mn_device_info device;
    mn_node_info node;
    mn_parameter_info parameter;
    mn_memory_plan plan;
    int32_t count = 0;
    memset(&device, 0, sizeof device);
    device.struct_size = sizeof device;
    OK(mn_device_describe(t->device, &device));
    CHECK(device.kind == MN_DEVICE_CPU && device.index == 0 && device.threads == 2);
    CHECK(strlen(device.name) > 0 && strlen(device.architecture) > 0);

    memset(&node, 0, sizeof node);
    node.struct_size = sizeof node;
    OK(mn_graph_node(t->graph, t->conv, &node, NULL));
    CHECK(node.op == MN_OP_CONV2D && node.parameter_count == 40 && strcmp(node.name, "0") == 0);
    CHECK(node.shape.rank == 3 && node.shape.dims[0] == 4 && node.shape.dims[1] == kSide &&
          node.shape.dims[2] == kSide && node.shape.dims[3] == 0);
    OK(mn_graph_node(t->graph, t->softmax, &node, NULL));
    CHECK(node.op == MN_OP_SOFTMAX && node.shape.rank == 1 && node.shape.dims[0] == kClasses);
    CHECK(node.parameter_count == 0 && strcmp(node.name, "softmax_7") == 0);

    OK(mn_model_parameter_count(t->model, &count));
    CHECK(count == 4);
    memset(&parameter, 0, sizeof parameter);
    parameter.struct_size = sizeof parameter;
    OK(mn_model_parameter_describe(t->model, 0, &parameter));
    CHECK(strcmp(parameter.name, "0.weight") == 0 && parameter.trainable == 1);
    CHECK(parameter.node == t->conv && parameter.count == 36 && parameter.shape.rank == 4);
    OK(mn_model_parameter_describe(t->model, 3, &parameter));
    CHECK(strcmp(parameter.name, "4.bias") == 0 && parameter.count == kClasses);
    CHECK(parameter.node == t->logits && parameter.shape.rank == 1);

    /* The graph alone knows them, too. */
    memset(&parameter, 0, sizeof parameter);
    parameter.struct_size = sizeof parameter;
    OK(mn_graph_parameter(t->graph, t->logits, 1, &parameter));
    CHECK(strcmp(parameter.name, "4.bias") == 0 && parameter.count == kClasses);
    CHECK(parameter.node == t->logits && parameter.trainable == 1 && parameter.shape.rank == 1);
    OK(mn_graph_parameter(t->graph, t->conv, 0, &parameter));
    CHECK(strcmp(parameter.name, "0.weight") == 0 && parameter.count == 36);

    memset(&plan, 0, sizeof plan);
    plan.struct_size = sizeof plan;
    OK(mn_model_memory_plan(t->model, &plan));
    CHECK(plan.batch >= 1 && plan.arena_bytes > 0 && plan.gradient_bytes == 0);
    CHECK(plan.parameter_bytes >= (36 + 4 + 64 * 4 + 4) * (int64_t)sizeof(float));
    end_group("descriptions");
}

static mn_metrics evaluate(const toy* t) {
    const mn_batch all = toy_batch(t, 0, kImages);
    const mn_loss_desc loss = cross_entropy(t->logits);
    mn_metrics metrics;
    memset(&metrics, 0, sizeof metrics);
    metrics.struct_size = sizeof metrics;
    OK(mn_model_evaluate(t->model, &all, &loss, &metrics));
    return metrics;
}

static void check_training(const toy* t) {
    const mn_loss_desc loss = cross_entropy(t->logits);
    const mn_optimizer_desc optimizer = adam(0.01f);
    const mn_trainer_desc desc = trainer_of(&loss, &optimizer, kBatch);
    mn_trainer trainer = 0;
    mn_metrics metrics, first, last;
    mn_memory_plan plan;
    double batch_loss = 0;
    int epoch, at;
    memset(&metrics, 0, sizeof metrics);
    metrics.struct_size = sizeof metrics;
    first = evaluate(t);
    CHECK(first.count == kImages && fabs(first.loss - 1.4) < 0.5);
    OK(mn_trainer_create(t->model, &desc, &trainer));
    for (epoch = 0; epoch < 8; epoch++)
        for (at = 0; at < kImages; at += kBatch) {
            const mn_batch batch = toy_batch(t, at, kBatch);
            OK(mn_trainer_step(trainer, &batch, &metrics));
            CHECK(metrics.count == kBatch && metrics.loss_denominator == kBatch);
            batch_loss = metrics.loss;
        }
    last = evaluate(t);
    printf("     loss %.4f -> %.4f, correct %d -> %d of %d\n", first.loss, last.loss,
           (int)first.correct, (int)last.correct, kImages);
    CHECK(last.loss < 0.2 * first.loss && last.correct > kImages * 95 / 100);
    CHECK(batch_loss < 0.5);
    CHECK(fabs(last.loss - last.loss_numerator / last.loss_denominator) < 1e-12);

    memset(&plan, 0, sizeof plan);
    plan.struct_size = sizeof plan;
    OK(mn_trainer_memory_plan(trainer, &plan));
    CHECK(plan.batch == kBatch && plan.gradient_bytes > 0 && plan.optimizer_bytes > 0);
    OK(mn_trainer_destroy(trainer));
    end_group("training");
}

static void check_values(const toy* t) {
    float logits[kImages * kClasses], shares[kImages * kClasses], again[kImages * kClasses];
    float bias[kClasses], moved[kClasses];
    const mn_batch all = toy_batch(t, 0, kImages);
    mn_output outputs[2] = {{sizeof(mn_output), 1, shares, kImages * kClasses},
                            {sizeof(mn_output), 0, logits, kImages * kClasses}};
    double loss = 0, worst = 0;
    int n, c, correct = 0;
    mn_metrics metrics;
    OK(mn_model_forward(t->model, &all, outputs, 2));
    for (n = 0; n < kImages; n++) {
        double sum = 0;
        int best = 0;
        for (c = 0; c < kClasses; c++) {
            sum += exp((double)logits[n * kClasses + c]);
            if (logits[n * kClasses + c] > logits[n * kClasses + best]) best = c;
        }
        for (c = 0; c < kClasses; c++)
            worst = fmax(worst, fabs(exp((double)logits[n * kClasses + c]) / sum -
                                     (double)shares[n * kClasses + c]));
        loss += log(sum) - (double)logits[n * kClasses + t->labels[n]];
        correct += best == t->labels[n];
    }
    CHECK(worst < 1e-6);
    metrics = evaluate(t);
    CHECK(metrics.correct == correct && fabs(metrics.loss - loss / kImages) < 1e-5);

    OK(mn_model_read(t->model, 3, MN_PART_VALUE, bias, kClasses));
    for (c = 0; c < kClasses; c++) moved[c] = bias[c] + 1.0f + (float)c;
    OK(mn_model_write(t->model, 3, MN_PART_VALUE, moved, kClasses));
    outputs[1].values = again;
    OK(mn_model_forward(t->model, &all, outputs + 1, 1));
    worst = 0;
    for (n = 0; n < kImages * kClasses; n++)
        worst = fmax(worst, fabs((double)again[n] - (double)logits[n] - 1.0 - n % kClasses));
    CHECK(worst < 1e-5);
    OK(mn_model_write(t->model, 3, MN_PART_VALUE, bias, kClasses));
    OK(mn_model_forward(t->model, &all, outputs + 1, 1));
    CHECK(memcmp(again, logits, sizeof again) == 0);
    end_group("values");
}

static void check_dataset(const toy* t) {
    mn_dataset_desc desc;
    mn_dataset dataset = 0;
    mn_batch plain = toy_batch(t, 3, 2), indexed;
    int32_t indices[2] = {3, 4};
    float a[2 * kClasses], b[2 * kClasses];
    mn_output output = {sizeof output, 0, a, 2 * kClasses};
    uint32_t flags;
    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    desc.dtype = MN_UINT8;
    desc.count = kImages;
    desc.shape.rank = 3;
    desc.shape.dims[0] = 1, desc.shape.dims[1] = kSide, desc.shape.dims[2] = kSide;
    desc.images = t->images;
    desc.images_bytes = sizeof t->images;
    desc.labels = t->labels;
    OK(mn_model_forward(t->model, &plain, &output, 1));
    for (flags = 0; flags <= MN_DATASET_BORROW; flags++) {
        desc.flags = flags;
        OK(mn_dataset_create(t->device, &desc, &dataset));
        memset(&indexed, 0, sizeof indexed);
        indexed.struct_size = sizeof indexed;
        indexed.count = 2;
        indexed.dataset = dataset;
        indexed.indices = indices;
        output.values = b;
        memset(b, 0, sizeof b);
        OK(mn_model_forward(t->model, &indexed, &output, 1));
        CHECK(memcmp(a, b, sizeof a) == 0);
        OK(mn_dataset_destroy(dataset));
        FAILS(mn_model_forward(t->model, &indexed, &output, 1), MN_INVALID_HANDLE, "data");
    }
    end_group("data sets");
}

int main(void) {
    static toy t;
    int64_t before = -1, after = -1;
    check_versions();
    OK(mn_memory_in_use(&before));
    CHECK(before == 0);
    check_log();
    toy_create(&t);
    check_descriptions(&t);
    check_training(&t);
    check_values(&t);
    check_dataset(&t);
    OK(mn_memory_in_use(&after));
    CHECK(after > before);
    toy_destroy(&t);
    check_errors_of_devices();
    check_errors_of_graphs();
    check_errors_of_data();
    check_errors_of_inputs();
    check_errors_of_models();
    check_errors_of_trainers();
    check_versions_of_callers();
    check_out_of_memory();
    OK(mn_memory_in_use(&after));
    CHECK(after == before);
    end_group("memory");
    return end_checks();
}
