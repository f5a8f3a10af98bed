/* Trains a small convolutional network from plain C: which way do the stripes of an 8 x 8 image
   run? Nothing but mnistnative.h and the shared library is needed. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mnistnative.h"

enum { SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 3, IMAGES = 600, BATCH = 20, EPOCHS = 5 };

/* Every function answers with a status; the text of the last failure is kept per thread. */
static void check(mn_status status, const char* what) {
    if (status == MN_OK) return;
    fprintf(stderr, "%s: status %d: %s\n", what, (int)status, mn_last_error());
    exit(EXIT_FAILURE);
}

/* Structs are cleared, so that every field not mentioned has its default, and say their own size:
   a program goes on working with a library whose structs have grown since. */
#define CLEAR(object) (memset(&(object), 0, sizeof(object)), (object).struct_size = sizeof(object))

/* Class 0: stripes across, class 1: stripes down, class 2: a chessboard; with noise. */
static void draw(uint8_t* images, int32_t* labels) {
    int n, y, x;
    for (n = 0; n < IMAGES; n++) {
        const int shift = rand() % 2;
        labels[n] = rand() % CLASSES;
        for (y = 0; y < SIDE; y++)
            for (x = 0; x < SIDE; x++) {
                const int line = labels[n] == 0 ? y : labels[n] == 1 ? x : x + y;
                images[n * PIXELS + y * SIDE + x] =
                    (uint8_t)(((line + shift) % 2 ? 150 : 0) + rand() % 106);
            }
    }
}

/* Input 1 x 8 x 8, convolution of 8 channels, ReLU, max pooling, linear. Names are PyTorch's: the
   index among its modules. */
static int32_t describe(mn_graph graph) {
    mn_shape shape;
    mn_conv2d_desc conv;
    mn_activation_desc relu;
    mn_pool2d_desc pool;
    mn_linear_desc linear;
    int32_t node;

    memset(&shape, 0, sizeof shape); /* the only struct without a size */
    shape.rank = 3;
    shape.dims[0] = 1;
    shape.dims[1] = shape.dims[2] = SIDE;
    check(mn_graph_input(graph, &shape, NULL, &node), "input");

    CLEAR(conv);
    conv.out_channels = 8;
    conv.kernel_h = conv.kernel_w = 3;
    conv.stride_h = conv.stride_w = 1;
    conv.pad_top = conv.pad_left = conv.pad_bottom = conv.pad_right = 1;
    conv.dilation_h = conv.dilation_w = 1;
    conv.groups = 1;
    conv.bias = 1;
    check(mn_graph_conv2d(graph, node, &conv, "0", &node), "convolution");

    CLEAR(relu);
    relu.kind = MN_ACTIVATION_RELU;
    check(mn_graph_activation(graph, node, &relu, NULL, &node), "ReLU");

    CLEAR(pool);
    pool.kernel_h = pool.kernel_w = pool.stride_h = pool.stride_w = 2;
    check(mn_graph_max_pool2d(graph, node, &pool, NULL, &node), "pooling");

    check(mn_graph_flatten(graph, node, NULL, &node), "flatten");

    CLEAR(linear);
    linear.out_features = CLASSES;
    linear.bias = 1;
    check(mn_graph_linear(graph, node, &linear, "4", &node), "linear");
    return node;
}

static mn_batch batch_of(const uint8_t* images, const int32_t* labels, int32_t count) {
    mn_batch batch;
    CLEAR(batch);
    batch.count = count;
    batch.dtype = MN_UINT8; /* bytes are divided by 255 */
    batch.images = images;
    batch.images_bytes = (uint64_t)count * PIXELS;
    batch.labels = labels;
    return batch;
}

int main(void) {
    static uint8_t images[IMAGES * PIXELS];
    static int32_t labels[IMAGES];
    mn_device_desc device_desc;
    mn_device_info device_info;
    mn_model_desc model_desc;
    mn_loss_desc loss;
    mn_optimizer_desc adam;
    mn_trainer_desc trainer_desc;
    mn_metrics metrics;
    mn_output output;
    mn_batch batch;
    mn_device device;
    mn_graph graph;
    mn_model model;
    mn_trainer trainer;
    int32_t logits;
    float scores[CLASSES];
    int epoch, at, i, best = 0;

    if (mn_abi_version() != MN_ABI_VERSION) {
        fprintf(stderr, "the library has interface version %d, this program needs %d\n",
                (int)mn_abi_version(), MN_ABI_VERSION);
        return EXIT_FAILURE;
    }
    srand(1);
    draw(images, labels);

    CLEAR(device_desc); /* the CPU, with as many threads as it has processors */
    check(mn_device_open(&device_desc, &device), "device");
    CLEAR(device_info);
    check(mn_device_describe(device, &device_info), "device");
    printf("MnistNative %s on %s (%s, %d threads)\n", mn_version(), device_info.name,
           device_info.architecture, (int)device_info.threads);

    check(mn_graph_create(&graph), "graph");
    logits = describe(graph);
    CLEAR(model_desc);
    model_desc.seed = 42;
    model_desc.outputs = &logits;
    model_desc.output_count = 1;
    check(mn_model_create(device, graph, &model_desc, &model), "model");
    check(mn_graph_destroy(graph), "graph"); /* the model has a copy */

    CLEAR(loss);
    loss.kind = MN_LOSS_CROSS_ENTROPY;
    loss.node = logits;
    loss.reduction = MN_REDUCTION_MEAN;
    loss.weight = 1;
    CLEAR(adam);
    adam.kind = MN_OPTIMIZER_ADAM;
    adam.learning_rate = 1e-2f;
    adam.beta1 = 0.9f;
    adam.beta2 = 0.999f;
    adam.epsilon = 1e-8f;
    CLEAR(trainer_desc);
    trainer_desc.max_batch = BATCH;
    trainer_desc.losses = &loss;
    trainer_desc.loss_count = 1;
    trainer_desc.optimizer = &adam;
    check(mn_trainer_create(model, &trainer_desc, &trainer), "trainer");

    CLEAR(metrics);
    for (epoch = 1; epoch <= EPOCHS; epoch++) {
        for (at = 0; at < IMAGES; at += BATCH) {
            batch = batch_of(images + at * PIXELS, labels + at, BATCH);
            check(mn_trainer_step(trainer, &batch, &metrics), "step");
        }
        batch = batch_of(images, labels, IMAGES);
        check(mn_model_evaluate(model, &batch, &loss, &metrics), "evaluation");
        printf("epoch %d: loss %.4f, %d of %d right\n", epoch, metrics.loss, (int)metrics.correct,
               (int)metrics.count);
    }
    check(mn_trainer_destroy(trainer), "trainer");

    batch = batch_of(images, NULL, 1);
    CLEAR(output);
    output.values = scores;
    output.value_count = CLASSES;
    check(mn_model_forward(model, &batch, &output, 1), "prediction");
    for (i = 1; i < CLASSES; i++)
        if (scores[i] > scores[best]) best = i;
    printf("the first image is of class %d, predicted %d\n", (int)labels[0], best);

    check(mn_model_destroy(model), "model");
    check(mn_device_close(device), "device");
    return metrics.correct >= IMAGES * 98 / 100 && best == labels[0] ? EXIT_SUCCESS : EXIT_FAILURE;
}
