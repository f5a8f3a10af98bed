/* Wrong batches and losses, for every function that takes one. */

#include <math.h>
#include <string.h>

#include "c_abi_check.h"

void check_batch_errors(const toy* t, mn_status (*run)(const mn_batch*), int needs_labels) {
    const mn_batch good = toy_batch(t, 0, 4);
    mn_batch b;
    int32_t labels[4] = {0, 1, 2, 3}, indices[4] = {0, 1, 2, 3};
    mn_dataset_desc d;
    mn_dataset dataset, plain, stale;
    float gradient = 0;
    FAILS(run(NULL), MN_INVALID_ARGUMENT, "batch");
#define REFUSES(field, value, status, fragment) \
    b = good;                                   \
    b.field = (value);                          \
    FAILS(run(&b), (status), (fragment))
    REFUSES(struct_size, 12, MN_INVALID_ARGUMENT, "struct_size");
    REFUSES(count, 0, MN_INVALID_ARGUMENT, "count");
    REFUSES(count, INT32_MIN, MN_INVALID_ARGUMENT, "count");
    REFUSES(count, 3, MN_SHAPE_MISMATCH, "got 256");
    REFUSES(dtype, 3, MN_INVALID_ARGUMENT, "dtype");
    REFUSES(dtype, MN_FLOAT32, MN_SHAPE_MISMATCH, "float32");
    REFUSES(images, NULL, MN_INVALID_ARGUMENT, "images");
    REFUSES(images_bytes, 255, MN_SHAPE_MISMATCH, "got 255");
    REFUSES(indices, indices, MN_INVALID_ARGUMENT, "data set");
    REFUSES(output_gradients, &gradient, MN_INVALID_ARGUMENT, "output_gradients");
    REFUSES(input_count, -1, MN_INVALID_ARGUMENT, "got -1");
    REFUSES(input_count, 1, MN_INVALID_ARGUMENT, "input_count");

    memset(&d, 0, sizeof d);
    d.struct_size = sizeof d;
    d.dtype = MN_UINT8;
    d.count = 4;
    d.shape.rank = 3;
    d.shape.dims[0] = 1, d.shape.dims[1] = kSide, d.shape.dims[2] = kSide;
    d.images = t->images;
    d.images_bytes = 4 * kPixels;
    d.labels = labels;
    OK(mn_dataset_create(t->device, &d, &stale));
    OK(mn_dataset_destroy(stale));
    OK(mn_dataset_create(t->device, &d, &dataset));
    labels[2] = 4; /* a copy was made: no effect */
    REFUSES(dataset, dataset, MN_INVALID_ARGUMENT, "null with a data set");
    b.images = NULL;
    b.labels = NULL;
    FAILS(run(&b), MN_INVALID_ARGUMENT, "indices");
    b.indices = indices;
    OK(run(&b));
    REFUSES_HANDLES((b.dataset = h, h) ? run(&b) : mn_device_close(h), t->graph, stale);
    b.dataset = dataset;
    indices[3] = 4;
    FAILS(run(&b), MN_INVALID_ARGUMENT, "indices[3] is 4");
    indices[3] = -1;
    FAILS(run(&b), MN_INVALID_ARGUMENT, "indices[3] is -1");
    indices[3] = 0;
    OK(mn_dataset_destroy(dataset));

    d.shape.dims[1] = 4, d.shape.dims[2] = 16;
    OK(mn_dataset_create(t->device, &d, &dataset));
    b.dataset = dataset;
    FAILS(run(&b), MN_SHAPE_MISMATCH, "1x4x16");
    OK(mn_dataset_destroy(dataset));

    d.shape.dims[1] = d.shape.dims[2] = kSide;
    d.labels = NULL;
    OK(mn_dataset_create(t->device, &d, &plain));
    b.dataset = plain;
    if (needs_labels) {
        FAILS(run(&b), MN_INVALID_ARGUMENT, "labels");
        REFUSES(labels, NULL, MN_INVALID_ARGUMENT, "labels");
        REFUSES(labels, labels, MN_INVALID_ARGUMENT, "image 2 is 4");
        labels[2] = -1;
        REFUSES(labels, labels, MN_INVALID_ARGUMENT, "image 2 is -1");
    } else {
        OK(run(&b));
        b = good;
        b.labels = labels;
        OK(run(&b));
    }
    OK(mn_dataset_destroy(plain));
#undef REFUSES
}

void check_loss_errors(const toy* t, mn_status (*run)(const mn_loss_desc*)) {
    const mn_loss_desc good = cross_entropy(t->logits);
    mn_loss_desc d;
    FAILS(run(NULL), MN_INVALID_ARGUMENT, "must not be null");
#define REFUSES(field, value, status, fragment) \
    d = good;                                   \
    d.field = (value);                          \
    FAILS(run(&d), (status), (fragment))
    REFUSES(struct_size, 1, MN_INVALID_ARGUMENT, "struct_size");
    REFUSES(kind, 0, MN_INVALID_ARGUMENT, "kind");
    REFUSES(node, 44, MN_NOT_FOUND, "44");
    REFUSES(node, -1, MN_NOT_FOUND, "-1");
    REFUSES(node, t->softmax, MN_INVALID_ARGUMENT, "softmax");
    REFUSES(node, t->conv, MN_SHAPE_MISMATCH, "4x8x8");
    REFUSES(reduction, 5, MN_INVALID_ARGUMENT, "reduction");
    REFUSES(weight, (float)NAN, MN_INVALID_ARGUMENT, "weight");
    REFUSES(weight, (float)INFINITY, MN_INVALID_ARGUMENT, "weight");
#undef REFUSES
}

/* A network that adds the features of two inputs. */
typedef struct pair {
    mn_device device;
    mn_graph graph;
    mn_model model;
    mn_trainer trainer;
    int32_t second, sum;
} pair;

static void pair_create(pair* p) {
    mn_device_desc device;
    mn_model_desc model;
    mn_shape shape;
    mn_binary_desc add;
    mn_loss_desc loss;
    mn_optimizer_desc optimizer = adam(0.1f);
    mn_trainer_desc trainer;
    int32_t first = -1;
    memset(&device, 0, sizeof device);
    device.struct_size = sizeof device;
    OK(mn_device_open(&device, &p->device));
    OK(mn_graph_create(&p->graph));
    memset(&shape, 0, sizeof shape);
    shape.rank = 1;
    shape.dims[0] = 3;
    OK(mn_graph_input(p->graph, &shape, "left", &first));
    OK(mn_graph_input(p->graph, &shape, "right", &p->second));
    memset(&add, 0, sizeof add);
    add.struct_size = sizeof add;
    add.kind = MN_BINARY_ADD;
    OK(mn_graph_binary(p->graph, first, p->second, &add, NULL, &p->sum));
    memset(&model, 0, sizeof model);
    model.struct_size = sizeof model;
    model.outputs = &p->sum;
    model.output_count = 1;
    OK(mn_model_create(p->device, p->graph, &model, &p->model));
    loss = cross_entropy(p->sum);
    trainer = trainer_of(&loss, &optimizer, 2);
    OK(mn_trainer_create(p->model, &trainer, &p->trainer));
}

static mn_status pair_forward(const pair* p, const mn_batch* batch, float* sums) {
    mn_output output;
    memset(&output, 0, sizeof output);
    output.struct_size = sizeof output;
    output.values = sums;
    output.value_count = 6;
    return mn_model_forward(p->model, batch, &output, 1);
}

void check_errors_of_inputs(void) {
    static const float left[6] = {1, 2, 3, 4, 5, 6};
    static const uint8_t right[6] = {255, 0, 0, 0, 0, 51};
    static const int32_t labels[2] = {0, 2};
    pair p;
    mn_batch batch;
    mn_batch_input inputs[2], good;
    mn_metrics metrics;
    mn_loss_desc loss;
    float sums[6];
    pair_create(&p);
    memset(&batch, 0, sizeof batch);
    batch.struct_size = sizeof batch;
    batch.count = 2;
    batch.images = left;
    batch.images_bytes = sizeof left;
    batch.labels = labels;
    memset(&good, 0, sizeof good);
    good.struct_size = sizeof good;
    good.node = p.second;
    good.dtype = MN_UINT8;
    good.images = right;
    good.images_bytes = sizeof right;
    inputs[0] = inputs[1] = good;
    batch.inputs = inputs;
    batch.input_count = 1;
    memset(&metrics, 0, sizeof metrics);
    metrics.struct_size = sizeof metrics;
    loss = cross_entropy(p.sum);
    OK(pair_forward(&p, &batch, sums));
    CHECK(sums[0] == 2 && sums[1] == 2 && fabsf(sums[5] - 6.2f) < 1e-6f);
    OK(mn_model_evaluate(p.model, &batch, &loss, &metrics));
    OK(mn_trainer_step(p.trainer, &batch, &metrics));

    TAINT(sums);
#define REFUSES(status, fragment)                                                     \
    FAILS(pair_forward(&p, &batch, sums), (status), (fragment));                      \
    FAILS(mn_model_evaluate(p.model, &batch, &loss, &metrics), (status), (fragment)); \
    FAILS(mn_trainer_step(p.trainer, &batch, &metrics), (status), (fragment));        \
    FAILS(mn_trainer_accumulate(p.trainer, &batch, &metrics), (status), (fragment))
    batch.input_count = 0;
    REFUSES(MN_INVALID_ARGUMENT,
            "nothing feeds the input \"right\": inputs needs an entry of node 1");
    batch.input_count = 2;
    REFUSES(MN_INVALID_ARGUMENT, "inputs[1] feeds \"right\" a second time");
    batch.input_count = 1;
#define REFUSES_FIELD(field, value, status, fragment) \
    inputs[0] = good;                                 \
    inputs[0].field = (value);                        \
    REFUSES(status, fragment)
    REFUSES_FIELD(struct_size, 4, MN_INVALID_ARGUMENT, "struct_size");
    REFUSES_FIELD(node, 0, MN_NOT_FOUND, "the first input");
    REFUSES_FIELD(node, p.sum, MN_NOT_FOUND, "node 2, which is no input");
    REFUSES_FIELD(node, -7, MN_NOT_FOUND, "node -7");
    REFUSES_FIELD(dtype, 9, MN_INVALID_ARGUMENT, "dtype 9");
    REFUSES_FIELD(dtype, MN_FLOAT32, MN_SHAPE_MISMATCH, "input \"right\"");
    REFUSES_FIELD(images, NULL, MN_INVALID_ARGUMENT, "input \"right\"");
    REFUSES_FIELD(images_bytes, 5, MN_SHAPE_MISMATCH, "got 5");
#undef REFUSES_FIELD
#undef REFUSES
    UNTOUCHED(sums);
    OK(mn_trainer_destroy(p.trainer));
    OK(mn_model_destroy(p.model));
    OK(mn_graph_destroy(p.graph));
    OK(mn_device_close(p.device));
    end_group("inputs");
}
