#include "c_abi_check.h"

#include <stdio.h>
#include <string.h>

static int checks, failures, group_checks, group_failures;

int check_true(int condition, const char* text, const char* file, int line) {
    group_checks++;
    if (condition) return 1;
    group_failures++;
    printf("%s:%d: failed: %s\n", file, line, text);
    return 0;
}

int check_status(mn_status got, mn_status want, const char* fragment, const char* text,
                 const char* file, int line) {
    mn_error_info info;
    int good = check_true(got == want, text, file, line);
    if (!good) {
        printf("    status %d instead of %d: %s\n", (int)got, (int)want, mn_last_error());
        return 0;
    }
    if (want == MN_OK) return 1;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    good = mn_last_error_info(&info) == MN_OK && info.status == want;
    good = check_true(good, "mn_last_error_info has the status", file, line) && good;
    if (!check_true(strstr(mn_last_error(), fragment) != NULL, fragment, file, line)) {
        printf("    the message is: %s\n", mn_last_error());
        good = 0;
    }
    return good;
}

void taint(void* memory, size_t bytes) {
    memset(memory, 0xA5, bytes);
}

int is_tainted(const void* memory, size_t bytes) {
    const unsigned char* p = memory;
    size_t i;
    for (i = 0; i < bytes; i++)
        if (p[i] != 0xA5) return 0;
    return 1;
}

void end_group(const char* name) {
    printf("%-4s %-24s %4d checks", group_failures ? "FAIL" : "ok", name, group_checks);
    if (group_failures) printf(", %d failed", group_failures);
    printf("\n");
    checks += group_checks;
    failures += group_failures;
    group_checks = group_failures = 0;
}

int end_checks(void) {
    printf("%d checks, %d failed\n", checks, failures);
    return failures != 0 || checks == 0;
}

/* ---- the toy ---- */

static uint32_t next_random(uint32_t* state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

mn_conv2d_desc conv_3x3(int32_t out_channels) {
    mn_conv2d_desc d;
    memset(&d, 0, sizeof d);
    d.struct_size = sizeof d;
    d.out_channels = out_channels;
    d.kernel_h = d.kernel_w = 3;
    d.stride_h = d.stride_w = d.dilation_h = d.dilation_w = 1;
    d.pad_top = d.pad_left = d.pad_bottom = d.pad_right = 1;
    d.groups = d.bias = 1;
    return d;
}

mn_pool2d_desc pool_2x2(void) {
    mn_pool2d_desc d;
    memset(&d, 0, sizeof d);
    d.struct_size = sizeof d;
    d.kernel_h = d.kernel_w = d.stride_h = d.stride_w = 2;
    return d;
}

mn_loss_desc cross_entropy(int32_t node) {
    mn_loss_desc d;
    memset(&d, 0, sizeof d);
    d.struct_size = sizeof d;
    d.kind = MN_LOSS_CROSS_ENTROPY;
    d.node = node;
    d.reduction = MN_REDUCTION_MEAN;
    d.weight = 1;
    return d;
}

mn_optimizer_desc adam(float learning_rate) {
    mn_optimizer_desc d;
    memset(&d, 0, sizeof d);
    d.struct_size = sizeof d;
    d.kind = MN_OPTIMIZER_ADAM;
    d.learning_rate = learning_rate;
    d.beta1 = 0.9f;
    d.beta2 = 0.999f;
    d.epsilon = 1e-8f;
    return d;
}

mn_trainer_desc trainer_of(const mn_loss_desc* loss, const mn_optimizer_desc* optimizer,
                           int32_t max_batch) {
    mn_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.struct_size = sizeof d;
    d.max_batch = max_batch;
    d.losses = loss;
    d.loss_count = 1;
    d.optimizer = optimizer;
    return d;
}

mn_batch toy_batch(const toy* t, int first, int count) {
    mn_batch b;
    memset(&b, 0, sizeof b);
    b.struct_size = sizeof b;
    b.count = count;
    b.dtype = MN_UINT8;
    b.images = t->images + first * kPixels;
    b.images_bytes = (uint64_t)count * kPixels;
    b.labels = t->labels + first;
    return b;
}

static void draw_images(toy* t) {
    uint32_t state = 7;
    int n, y, x;
    for (n = 0; n < kImages; n++) {
        const int label = (int)(next_random(&state) % kClasses);
        t->labels[n] = label;
        for (y = 0; y < kSide; y++)
            for (x = 0; x < kSide; x++) {
                const int quadrant = y / (kSide / 2) * 2 + x / (kSide / 2);
                const uint32_t noise = next_random(&state) % 100;
                t->images[n * kPixels + y * kSide + x] =
                    (uint8_t)(noise + (quadrant == label ? 100 : 0));
            }
    }
}

void toy_create(toy* t) {
    static const float mean = 0.3f, deviation = 0.25f;
    mn_device_desc device;
    mn_shape shape;
    mn_normalize_desc normalize;
    mn_conv2d_desc conv = conv_3x3(4);
    mn_pool2d_desc pool = pool_2x2();
    mn_activation_desc relu = {sizeof relu, MN_ACTIVATION_RELU};
    mn_linear_desc linear = {sizeof linear, kClasses, 1};
    mn_model_desc model;
    int32_t node, outputs[2];

    memset(t, 0, sizeof *t);
    draw_images(t);
    memset(&device, 0, sizeof device);
    device.struct_size = sizeof device;
    device.kind = MN_DEVICE_CPU;
    device.threads = 2;
    OK(mn_device_open(&device, &t->device));

    OK(mn_graph_create(&t->graph));
    memset(&shape, 0, sizeof shape);
    shape.rank = 3;
    shape.dims[0] = 1, shape.dims[1] = kSide, shape.dims[2] = kSide;
    OK(mn_graph_input(t->graph, &shape, NULL, &t->input));
    memset(&normalize, 0, sizeof normalize);
    normalize.struct_size = sizeof normalize;
    normalize.channels = 1;
    normalize.mean = &mean;
    normalize.std = &deviation;
    OK(mn_graph_normalize(t->graph, t->input, &normalize, NULL, &node));
    OK(mn_graph_conv2d(t->graph, node, &conv, "0", &t->conv));
    OK(mn_graph_activation(t->graph, t->conv, &relu, NULL, &node));
    OK(mn_graph_max_pool2d(t->graph, node, &pool, NULL, &node));
    OK(mn_graph_flatten(t->graph, node, NULL, &node));
    OK(mn_graph_linear(t->graph, node, &linear, "4", &t->logits));
    OK(mn_graph_softmax(t->graph, t->logits, NULL, &t->softmax));

    outputs[0] = t->logits;
    outputs[1] = t->softmax;
    memset(&model, 0, sizeof model);
    model.struct_size = sizeof model;
    model.seed = 3;
    model.outputs = outputs;
    model.output_count = 2;
    OK(mn_model_create(t->device, t->graph, &model, &t->model));
}

void toy_destroy(toy* t) {
    OK(mn_model_destroy(t->model));
    OK(mn_graph_destroy(t->graph));
    OK(mn_device_close(t->device));
}
