/* What the functions of models and trainers answer to wrong arguments, and to a lack of memory. */

#include <math.h>
#include <string.h>

#include "c_abi_check.h"

static toy t;
static mn_model stale_model;

static mn_model_desc model_of(const int32_t* outputs, int32_t count) {
    mn_model_desc d;
    memset(&d, 0, sizeof d);
    d.struct_size = sizeof d;
    d.outputs = outputs;
    d.output_count = count;
    return d;
}

static void begin(void) {
    mn_model_desc desc;
    toy_create(&t);
    desc = model_of(&t.logits, 1);
    OK(mn_model_create(t.device, t.graph, &desc, &stale_model));
    OK(mn_model_destroy(stale_model));
}

static void check_create_errors(void) {
    mn_model model;
    mn_model_desc d = model_of(&t.logits, 1);
    int32_t unknown[2] = {0, 55};
    mn_graph empty;
    TAINT(model);
    FAILS(mn_model_create(t.device, t.graph, NULL, &model), MN_INVALID_ARGUMENT, "desc");
    FAILS(mn_model_create(t.device, t.graph, &d, NULL), MN_INVALID_ARGUMENT, "model_out");
    REFUSES_HANDLES(mn_model_create(h, t.graph, &d, &model), t.graph, stale_model);
    REFUSES_HANDLES(mn_model_create(t.device, h, &d, &model), t.device, stale_model);
    d.struct_size = 1;
    FAILS(mn_model_create(t.device, t.graph, &d, &model), MN_INVALID_ARGUMENT, "struct_size");
    d = model_of(&t.logits, 0);
    FAILS(mn_model_create(t.device, t.graph, &d, &model), MN_INVALID_ARGUMENT, "output_count");
    d = model_of(NULL, 1);
    FAILS(mn_model_create(t.device, t.graph, &d, &model), MN_INVALID_ARGUMENT, "outputs");
    d = model_of(unknown, 2);
    FAILS(mn_model_create(t.device, t.graph, &d, &model), MN_NOT_FOUND, "55");
    d = model_of(&t.logits, 1);
    d.inference_batch = -1;
    FAILS(mn_model_create(t.device, t.graph, &d, &model), MN_INVALID_ARGUMENT, "inference_batch");
    d.inference_batch = 0;
    d.precision = 3;
    FAILS(mn_model_create(t.device, t.graph, &d, &model), MN_INVALID_ARGUMENT, "precision 3");
    d.precision = MN_PRECISION_BFLOAT16;
    FAILS(mn_model_create(t.device, t.graph, &d, &model), MN_UNSUPPORTED, "the CPU computes");
    d.precision = MN_PRECISION_FLOAT32;
    d.flags = 0x80;
    FAILS(mn_model_create(t.device, t.graph, &d, &model), MN_INVALID_ARGUMENT, "flags");
    d.flags = 0;
    OK(mn_graph_create(&empty));
    FAILS(mn_model_create(t.device, empty, &d, &model), MN_NOT_FOUND, "has 0");
    OK(mn_graph_destroy(empty));
    UNTOUCHED(model);
}

static void check_parameter_errors(void) {
    int32_t count;
    mn_parameter_info info;
    float values[36];
    mn_memory_plan plan;
    TAINT(count);
    FAILS(mn_model_parameter_count(t.model, NULL), MN_INVALID_ARGUMENT, "count_out");
    REFUSES_HANDLES(mn_model_parameter_count(h, &count), t.device, stale_model);
    UNTOUCHED(count);
    TAINT_STRUCT(info);
    FAILS(mn_model_parameter_describe(t.model, 0, NULL), MN_INVALID_ARGUMENT, "info_out");
    FAILS(mn_model_parameter_describe(t.model, 4, &info), MN_NOT_FOUND, "4");
    FAILS(mn_model_parameter_describe(t.model, -1, &info), MN_NOT_FOUND, "-1");
    REFUSES_HANDLES(mn_model_parameter_describe(h, 0, &info), t.graph, stale_model);
    UNTOUCHED_STRUCT(info);
    info.struct_size = 3;
    FAILS(mn_model_parameter_describe(t.model, 0, &info), MN_INVALID_ARGUMENT, "struct_size");

    TAINT(values);
    FAILS(mn_model_read(t.model, 0, MN_PART_VALUE, NULL, 36), MN_INVALID_ARGUMENT, "values");
    FAILS(mn_model_read(t.model, 0, MN_PART_VALUE, values, 35), MN_SHAPE_MISMATCH, "35");
    FAILS(mn_model_read(t.model, 0, MN_PART_VALUE, values, 0), MN_SHAPE_MISMATCH, "0.weight");
    FAILS(mn_model_read(t.model, 9, MN_PART_VALUE, values, 36), MN_NOT_FOUND, "9");
    FAILS(mn_model_read(t.model, -1, MN_PART_VALUE, values, 36), MN_NOT_FOUND, "-1");
    FAILS(mn_model_read(t.model, 0, 17, values, 36), MN_INVALID_ARGUMENT, "17");
    FAILS(mn_model_read(t.model, 0, MN_PART_GRADIENT, values, 36), MN_NOT_FOUND, "gradient");
    FAILS(mn_model_read(t.model, 0, MN_PART_MOMENT1, values, 36), MN_NOT_FOUND, "moment");
    FAILS(mn_model_read(t.model, 0, MN_PART_MOMENT2, values, 36), MN_NOT_FOUND, "moment");
    REFUSES_HANDLES(mn_model_read(h, 0, MN_PART_VALUE, values, 36), t.device, stale_model);
    UNTOUCHED(values);

    memset(values, 0, sizeof values);
    FAILS(mn_model_write(t.model, 0, MN_PART_VALUE, NULL, 36), MN_INVALID_ARGUMENT, "values");
    FAILS(mn_model_write(t.model, 0, MN_PART_VALUE, values, 37), MN_SHAPE_MISMATCH, "37");
    FAILS(mn_model_write(t.model, 4, MN_PART_VALUE, values, 36), MN_NOT_FOUND, "4");
    FAILS(mn_model_write(t.model, 0, -1, values, 36), MN_INVALID_ARGUMENT, "-1");
    FAILS(mn_model_write(t.model, 0, MN_PART_GRADIENT, values, 36), MN_INVALID_ARGUMENT,
          "gradient");
    FAILS(mn_model_write(t.model, 0, MN_PART_MOMENT2, values, 36), MN_NOT_FOUND, "moment");
    REFUSES_HANDLES(mn_model_write(h, 0, MN_PART_VALUE, values, 36), t.graph, stale_model);

    TAINT_STRUCT(plan);
    FAILS(mn_model_memory_plan(t.model, NULL), MN_INVALID_ARGUMENT, "plan_out");
    REFUSES_HANDLES(mn_model_memory_plan(h, &plan), t.device, stale_model);
    UNTOUCHED_STRUCT(plan);
    plan.struct_size = 2;
    FAILS(mn_model_memory_plan(t.model, &plan), MN_INVALID_ARGUMENT, "struct_size");
}

static void check_profile_errors(void) {
    static mn_profile_entry entries[32];
    const mn_batch batch = toy_batch(&t, 0, 4);
    int32_t count = 0, untouched, i;
    OK(mn_model_profile(t.model, NULL, NULL, 0, &count));
    CHECK(count > 1 && count <= 32);
    for (i = 0; i < count; i++) TAINT_STRUCT(entries[i]);
    TAINT(untouched);
    FAILS(mn_model_profile(t.model, &batch, entries, count - 1, &untouched), MN_INVALID_ARGUMENT,
          "entry_count");
    FAILS(mn_model_profile(t.model, NULL, entries, count, &untouched), MN_INVALID_ARGUMENT,
          "batch");
    FAILS(mn_model_profile(t.model, &batch, entries, count, NULL), MN_INVALID_ARGUMENT,
          "count_out");
    entries[1].struct_size = 8;
    FAILS(mn_model_profile(t.model, &batch, entries, count, &untouched), MN_INVALID_ARGUMENT,
          "struct_size");
    entries[1].struct_size = sizeof entries[1];
    REFUSES_HANDLES(mn_model_profile(h, &batch, entries, count, &untouched), t.device, stale_model);
    UNTOUCHED(untouched);
    for (i = 0; i < count; i++) UNTOUCHED_STRUCT(entries[i]);
    OK(mn_model_profile(t.model, &batch, entries, count, &count));
    CHECK(entries[0].seconds > 0);
}

static float logits[4 * kClasses];

static mn_status run_forward(const mn_batch* batch) {
    mn_output output = {sizeof output, 0, NULL, 4 * kClasses};
    mn_status status;
    output.values = logits;
    TAINT(logits);
    status = mn_model_forward(t.model, batch, &output, 1);
    if (status != MN_OK) UNTOUCHED(logits);
    return status;
}

static mn_status run_evaluate(const mn_batch* batch) {
    const mn_loss_desc loss = cross_entropy(t.logits);
    mn_metrics metrics;
    mn_status status;
    TAINT_STRUCT(metrics);
    status = mn_model_evaluate(t.model, batch, &loss, &metrics);
    if (status != MN_OK) UNTOUCHED_STRUCT(metrics);
    return status;
}

static mn_status evaluate_loss(const mn_loss_desc* loss) {
    const mn_batch batch = toy_batch(&t, 0, 4);
    mn_metrics metrics;
    mn_status status;
    TAINT_STRUCT(metrics);
    status = mn_model_evaluate(t.model, &batch, loss, &metrics);
    if (status != MN_OK) UNTOUCHED_STRUCT(metrics);
    return status;
}

void check_errors_of_models(void) {
    const mn_loss_desc loss = cross_entropy(0);
    mn_loss_desc own;
    const mn_batch* null_batch = NULL;
    mn_batch batch;
    mn_metrics metrics;
    mn_output out;
    begin();
    batch = toy_batch(&t, 0, 4);
    check_create_errors();
    check_parameter_errors();
    check_profile_errors();
    check_batch_errors(&t, run_forward, 0);
    check_batch_errors(&t, run_evaluate, 1);
    check_loss_errors(&t, evaluate_loss);
    own = cross_entropy(t.logits);
    own.kind = MN_LOSS_OUTPUT_GRADIENT;
    FAILS(evaluate_loss(&own), MN_INVALID_ARGUMENT, "evaluation");

    memset(&out, 0, sizeof out);
    out.struct_size = sizeof out;
    out.values = logits;
    out.value_count = 4 * kClasses;
    TAINT(logits);
    FAILS(mn_model_forward(t.model, null_batch, &out, 1), MN_INVALID_ARGUMENT, "batch");
    FAILS(mn_model_forward(t.model, &batch, NULL, 1), MN_INVALID_ARGUMENT, "outputs");
    FAILS(mn_model_forward(t.model, &batch, &out, 0), MN_INVALID_ARGUMENT, "output_count");
    FAILS(mn_model_forward(t.model, &batch, &out, -1), MN_INVALID_ARGUMENT, "output_count");
    REFUSES_HANDLES(mn_model_forward(h, &batch, &out, 1), t.device, stale_model);
    out.index = 2;
    FAILS(mn_model_forward(t.model, &batch, &out, 1), MN_NOT_FOUND, "output 2");
    out.index = -1;
    FAILS(mn_model_forward(t.model, &batch, &out, 1), MN_NOT_FOUND, "output -1");
    out.index = 0;
    out.value_count--;
    FAILS(mn_model_forward(t.model, &batch, &out, 1), MN_SHAPE_MISMATCH, "got a buffer of 15");
    out.value_count++;
    out.values = NULL;
    FAILS(mn_model_forward(t.model, &batch, &out, 1), MN_INVALID_ARGUMENT, "values");
    out.struct_size = 0;
    FAILS(mn_model_forward(t.model, &batch, &out, 1), MN_INVALID_ARGUMENT, "struct_size");
    UNTOUCHED(logits);

    TAINT_STRUCT(metrics);
    own = cross_entropy(t.logits);
    REFUSES_HANDLES(mn_model_evaluate(h, &batch, &loss, &metrics), t.graph, stale_model);
    UNTOUCHED_STRUCT(metrics);
    FAILS(mn_model_evaluate(t.model, &batch, &own, NULL), MN_INVALID_ARGUMENT, "metrics_out");
    metrics.struct_size = 0;
    FAILS(mn_model_evaluate(t.model, &batch, &own, &metrics), MN_INVALID_ARGUMENT, "struct_size");
    REFUSES_HANDLES(mn_model_destroy(h), t.device, stale_model);
    toy_destroy(&t);
    end_group("errors of models");
}

/* ---- trainers ---- */

static mn_trainer trainer;

static mn_status create_with_loss(const mn_loss_desc* loss) {
    const mn_optimizer_desc optimizer = adam(0.01f);
    const mn_trainer_desc desc = trainer_of(loss, &optimizer, 4);
    mn_trainer made;
    mn_status status;
    TAINT(made);
    status = mn_trainer_create(t.model, &desc, &made);
    if (status != MN_OK) UNTOUCHED(made);
    return status;
}

static mn_status run_step(const mn_batch* batch) {
    mn_metrics metrics;
    mn_status status;
    TAINT_STRUCT(metrics);
    status = mn_trainer_step(trainer, batch, &metrics);
    if (status != MN_OK) UNTOUCHED_STRUCT(metrics);
    return status;
}

static mn_status run_accumulate(const mn_batch* batch) {
    mn_metrics metrics;
    mn_status status;
    TAINT_STRUCT(metrics);
    status = mn_trainer_accumulate(trainer, batch, &metrics);
    if (status != MN_OK) UNTOUCHED_STRUCT(metrics);
    return status;
}

static void check_trainer_create_errors(void) {
    const mn_loss_desc loss = cross_entropy(t.logits);
    mn_loss_desc two[2];
    const mn_optimizer_desc good = adam(0.01f);
    mn_optimizer_desc o;
    mn_trainer_desc d = trainer_of(&loss, &good, 4);
    mn_trainer made;
    float values[36];
    TAINT(made);
    FAILS(mn_trainer_create(t.model, NULL, &made), MN_INVALID_ARGUMENT, "desc");
    FAILS(mn_trainer_create(t.model, &d, NULL), MN_INVALID_ARGUMENT, "trainer_out");
    REFUSES_HANDLES(mn_trainer_create(h, &d, &made), t.graph, stale_model);
#define REFUSES(field, value, status, fragment) \
    d = trainer_of(&loss, &good, 4);            \
    d.field = (value);                          \
    FAILS(mn_trainer_create(t.model, &d, &made), (status), (fragment))
    REFUSES(struct_size, 4, MN_INVALID_ARGUMENT, "struct_size");
    REFUSES(max_batch, 0, MN_INVALID_ARGUMENT, "max_batch");
    REFUSES(max_batch, INT32_MAX, MN_INVALID_ARGUMENT, "max_batch");
    REFUSES(loss_count, 0, MN_INVALID_ARGUMENT, "loss_count");
    REFUSES(loss_count, -1, MN_INVALID_ARGUMENT, "loss_count");
    REFUSES(losses, NULL, MN_INVALID_ARGUMENT, "losses");
    REFUSES(optimizer, NULL, MN_INVALID_ARGUMENT, "optimizer");
    REFUSES(flags, 2, MN_INVALID_ARGUMENT, "flags");
#undef REFUSES
#define REFUSES(field, value, fragment)                                            \
    o.field = (value);                                                             \
    d = trainer_of(&loss, &o, 4);                                                  \
    FAILS(mn_trainer_create(t.model, &d, &made), MN_INVALID_ARGUMENT, (fragment)); \
    o = good
    o = good;
    REFUSES(struct_size, 0, "struct_size");
    REFUSES(kind, 9, "kind 9");
    REFUSES(learning_rate, (float)NAN, "learning_rate");
    REFUSES(learning_rate, (float)INFINITY, "learning_rate");
    REFUSES(learning_rate, -0.1f, "learning_rate");
    REFUSES(beta1, 1.0f, "beta1");
    REFUSES(beta1, (float)NAN, "beta1");
    REFUSES(beta2, -0.5f, "beta2");
    REFUSES(beta2, (float)INFINITY, "beta2");
    REFUSES(epsilon, 0.0f, "epsilon");
    REFUSES(epsilon, (float)NAN, "epsilon");
    REFUSES(weight_decay, -1.0f, "weight_decay");
    REFUSES(weight_decay, (float)NAN, "weight_decay");
    o.kind = MN_OPTIMIZER_SGD;
    REFUSES(momentum, (float)NAN, "momentum");
    o.kind = MN_OPTIMIZER_SGD;
    REFUSES(momentum, -0.1f, "momentum");
    o.kind = MN_OPTIMIZER_SGD;
    REFUSES(dampening, (float)INFINITY, "dampening");
    o.kind = MN_OPTIMIZER_SGD;
    o.momentum = 0.5f;
    o.dampening = 0.25f;
    REFUSES(nesterov, 1, "got momentum 0.5 and dampening 0.25");
#undef REFUSES
    two[0] = loss;
    two[1] = loss;
    two[1].reduction = MN_REDUCTION_SUM;
    d = trainer_of(two, &good, 4);
    d.loss_count = 2;
    FAILS(mn_trainer_create(t.model, &d, &made), MN_INVALID_ARGUMENT, "reduction");
    two[1].struct_size = 0;
    FAILS(mn_trainer_create(t.model, &d, &made), MN_INVALID_ARGUMENT, "struct_size");
    UNTOUCHED(made);
    FAILS(mn_model_read(t.model, 0, MN_PART_GRADIENT, values, 36), MN_NOT_FOUND, "gradient");
}

void check_errors_of_trainers(void) {
    const mn_optimizer_desc optimizer = adam(0.01f);
    mn_trainer_desc desc;
    mn_loss_desc loss;
    mn_trainer second, stale;
    mn_batch batch;
    mn_metrics metrics;
    mn_step_sums sums;
    mn_memory_plan plan;
    mn_training_progress progress;
    int32_t entries;
    static float pixels[4 * kPixels];
    float before[36], after[36];
    begin();
    check_loss_errors(&t, create_with_loss);
    check_trainer_create_errors();

    loss = cross_entropy(t.logits);
    desc = trainer_of(&loss, &optimizer, 4);
    OK(mn_trainer_create(t.model, &desc, &stale));
    OK(mn_trainer_destroy(stale));
    OK(mn_trainer_create(t.model, &desc, &trainer));
    TAINT(second);
    FAILS(mn_trainer_create(t.model, &desc, &second), MN_BUSY, "one trainer");
    UNTOUCHED(second);

    FAILS(mn_trainer_apply(trainer), MN_INVALID_ARGUMENT, "accumulate");
    OK(mn_model_read(t.model, 0, MN_PART_VALUE, before, 36));
    check_batch_errors(&t, run_accumulate, 1);
    OK(mn_model_read(t.model, 0, MN_PART_VALUE, after, 36));
    CHECK(memcmp(before, after, sizeof before) == 0);
    check_batch_errors(&t, run_step, 1);
    batch = toy_batch(&t, 0, 5);
    FAILS(run_step(&batch), MN_INVALID_ARGUMENT, "at most 4");
    FAILS(run_accumulate(&batch), MN_INVALID_ARGUMENT, "at most 4");
    batch = toy_batch(&t, 0, 4);
    OK(run_accumulate(&batch));
    OK(mn_trainer_clear(trainer));
    FAILS(mn_trainer_apply(trainer), MN_INVALID_ARGUMENT, "accumulate");
    FAILS(mn_trainer_step(trainer, &batch, NULL), MN_INVALID_ARGUMENT, "metrics_out");
    FAILS(mn_trainer_accumulate(trainer, &batch, NULL), MN_INVALID_ARGUMENT, "metrics_out");
    memset(&metrics, 0, sizeof metrics);
    FAILS(mn_trainer_step(trainer, &batch, &metrics), MN_INVALID_ARGUMENT, "struct_size");
    FAILS(mn_trainer_accumulate(trainer, &batch, &metrics), MN_INVALID_ARGUMENT, "struct_size");
    memset(&sums, 0, sizeof sums);
    FAILS(mn_trainer_begin_step(trainer, NULL), MN_INVALID_ARGUMENT, "batch");
    FAILS(mn_trainer_step_sums(trainer, 0, NULL), MN_INVALID_ARGUMENT, "sums_out");
    FAILS(mn_trainer_step_sums(trainer, 0, &sums), MN_INVALID_ARGUMENT, "struct_size");
    FAILS(mn_trainer_set_learning_rate(trainer, (float)NAN), MN_INVALID_ARGUMENT, "nan");
    FAILS(mn_trainer_set_learning_rate(trainer, -1), MN_INVALID_ARGUMENT, "-1");
    progress.struct_size = 4;
    FAILS(mn_trainer_get_progress(trainer, &progress), MN_INVALID_ARGUMENT, "struct_size");
    FAILS(mn_trainer_get_progress(trainer, NULL), MN_INVALID_ARGUMENT, "progress_out");
    FAILS(mn_trainer_set_progress(trainer, &progress), MN_INVALID_ARGUMENT, "struct_size");
    FAILS(mn_trainer_set_progress(trainer, NULL), MN_INVALID_ARGUMENT, "progress");
    progress.struct_size = sizeof progress;
    OK(mn_trainer_get_progress(trainer, &progress));
    CHECK(progress.batches > 0 && progress.learning_rate > 0);
    progress.updates = -3;
    FAILS(mn_trainer_set_progress(trainer, &progress), MN_INVALID_ARGUMENT, "got -3");
    progress.updates = 0;
    progress.batches = -4;
    FAILS(mn_trainer_set_progress(trainer, &progress), MN_INVALID_ARGUMENT, "-4");
    progress.batches = 0;
    progress.learning_rate = (float)INFINITY;
    FAILS(mn_trainer_set_progress(trainer, &progress), MN_INVALID_ARGUMENT, "inf");
    progress.learning_rate = 0.1f;
    OK(mn_trainer_set_progress(trainer, &progress));
    TAINT(pixels);
    FAILS(mn_trainer_input_gradient(trainer, 0, pixels, 4 * kPixels), MN_INVALID_ARGUMENT,
          "MN_TRAINER_INPUT_GRADIENT");
    FAILS(mn_trainer_input_gradient(trainer, 0, NULL, 0), MN_INVALID_ARGUMENT, "values");
    FAILS(mn_trainer_input_gradient(trainer, t.conv, pixels, 4 * kPixels), MN_NOT_FOUND,
          "no input");
    UNTOUCHED(pixels);

    metrics.struct_size = sizeof metrics;
    plan.struct_size = sizeof plan;
    REFUSES_HANDLES(mn_trainer_step(h, &batch, &metrics), t.model, stale);
    REFUSES_HANDLES(mn_trainer_begin_step(h, &batch), t.model, stale);
    sums.struct_size = sizeof sums;
    REFUSES_HANDLES(mn_trainer_step_sums(h, 0, &sums), t.model, stale);
    REFUSES_HANDLES(mn_trainer_accumulate(h, &batch, &metrics), t.model, stale);
    REFUSES_HANDLES(mn_trainer_apply(h), t.model, stale);
    REFUSES_HANDLES(mn_trainer_clear(h), t.model, stale);
    REFUSES_HANDLES(mn_trainer_set_learning_rate(h, 0.1f), t.model, stale);
    REFUSES_HANDLES(mn_trainer_get_progress(h, &progress), t.model, stale);
    REFUSES_HANDLES(mn_trainer_set_progress(h, &progress), t.model, stale);
    REFUSES_HANDLES(mn_trainer_input_gradient(h, 0, pixels, 4 * kPixels), t.model, stale);
    REFUSES_HANDLES(mn_trainer_memory_plan(h, &plan), t.model, stale);
    REFUSES_HANDLES(mn_trainer_profile(h, &batch, NULL, 0, &entries), t.model, stale);
    FAILS(mn_trainer_profile(trainer, &batch, NULL, 0, NULL), MN_INVALID_ARGUMENT, "count_out");
    REFUSES_HANDLES(mn_trainer_destroy(h), t.model, stale);
    FAILS(mn_trainer_memory_plan(trainer, NULL), MN_INVALID_ARGUMENT, "plan_out");
    plan.struct_size = 0;
    FAILS(mn_trainer_memory_plan(trainer, &plan), MN_INVALID_ARGUMENT, "struct_size");

    /* A trainer that was asked for the input's gradient. */
    OK(mn_trainer_destroy(trainer));
    desc.flags = MN_TRAINER_INPUT_GRADIENT;
    OK(mn_trainer_create(t.model, &desc, &trainer));
    FAILS(mn_trainer_input_gradient(trainer, 0, pixels, 0), MN_INVALID_ARGUMENT, "before");
    OK(run_step(&batch));
    FAILS(mn_trainer_input_gradient(trainer, 0, pixels, 4 * kPixels - 1), MN_SHAPE_MISMATCH, "255");
    UNTOUCHED(pixels);
    OK(mn_trainer_input_gradient(trainer, 0, pixels, 4 * kPixels));
    CHECK(!is_tainted(pixels, sizeof pixels));

    /* The trainer keeps its model, and the model its device. */
    toy_destroy(&t);
    FAILS(mn_model_read(t.model, 0, MN_PART_VALUE, before, 36), MN_INVALID_HANDLE, "destroyed");
    OK(run_step(&batch));
    OK(mn_trainer_destroy(trainer));
    FAILS(run_step(&batch), MN_INVALID_HANDLE, "destroyed");
    end_group("errors of trainers");
}

/* ---- memory ---- */

static uint64_t requested_bytes(void) {
    mn_error_info info;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    OK(mn_last_error_info(&info));
    return info.requested_bytes;
}

void check_out_of_memory(void) {
    const mn_optimizer_desc optimizer = adam(0.01f);
    mn_linear_desc linear = {sizeof linear, 1 << 20, 1};
    mn_loss_desc loss;
    mn_trainer_desc desc;
    mn_model_desc model_desc;
    mn_graph graph;
    mn_shape shape;
    mn_model model;
    mn_batch batch;
    mn_output output;
    int32_t input, node;
    float value;
    int64_t before = 0, after = -1;
    OK(mn_memory_in_use(&before));
    begin();

    /* Parameters of 4 TiB. */
    memset(&shape, 0, sizeof shape);
    shape.rank = 1;
    shape.dims[0] = 1 << 20;
    OK(mn_graph_create(&graph));
    OK(mn_graph_input(graph, &shape, NULL, &input));
    OK(mn_graph_linear(graph, input, &linear, NULL, &node));
    model_desc = model_of(&node, 1);
    TAINT(model);
    FAILS(mn_model_create(t.device, graph, &model_desc, &model), MN_OUT_OF_MEMORY, "bytes");
    CHECK(requested_bytes() >= (uint64_t)1 << 42);
    UNTOUCHED(model);
    OK(mn_graph_destroy(graph));

    /* A trainer whose activations do not fit leaves the model without a trace. */
    OK(mn_graph_create(&graph));
    shape.rank = 3;
    shape.dims[0] = 1, shape.dims[1] = shape.dims[2] = 512;
    OK(mn_graph_input(graph, &shape, NULL, &input));
    OK(mn_graph_flatten(graph, input, NULL, &node));
    linear.out_features = 1;
    OK(mn_graph_linear(graph, node, &linear, NULL, &node));
    model_desc = model_of(&node, 1);
    model_desc.inference_batch = 1 << 20;
    OK(mn_model_create(t.device, graph, &model_desc, &model));
    loss = cross_entropy(node);
    desc = trainer_of(&loss, &optimizer, 1 << 20);
    TAINT(trainer);
    FAILS(mn_trainer_create(model, &desc, &trainer), MN_OUT_OF_MEMORY, "bytes");
    CHECK(requested_bytes() >= (uint64_t)1 << 40);
    UNTOUCHED(trainer);
    FAILS(mn_model_read(model, 1, MN_PART_GRADIENT, &value, 1), MN_NOT_FOUND, "gradient");

    /* The same for an inference plan that is asked to be large. */
    batch = toy_batch(&t, 0, 1);
    memset(&output, 0, sizeof output);
    output.struct_size = sizeof output;
    output.values = &value;
    output.value_count = 1;
    {
        static uint8_t zeros[512 * 512];
        batch.images = zeros;
        batch.images_bytes = sizeof zeros;
        TAINT(value);
        FAILS(mn_model_forward(model, &batch, &output, 1), MN_OUT_OF_MEMORY, "bytes");
        CHECK(requested_bytes() >= (uint64_t)1 << 40);
        UNTOUCHED(value);
    }
    desc.max_batch = 2;
    OK(mn_trainer_create(model, &desc, &trainer)); /* the right to train was given back */
    OK(mn_trainer_destroy(trainer));
    OK(mn_model_destroy(model));
    OK(mn_graph_destroy(graph));

    /* And life goes on. */
    loss = cross_entropy(t.logits);
    desc = trainer_of(&loss, &optimizer, 4);
    OK(mn_trainer_create(t.model, &desc, &trainer));
    batch = toy_batch(&t, 0, 4);
    OK(run_step(&batch));
    OK(mn_trainer_destroy(trainer));
    toy_destroy(&t);
    OK(mn_memory_in_use(&after));
    CHECK(after == before);
    end_group("out of memory");
}
