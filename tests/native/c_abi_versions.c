/* Callers of other versions of the header, whose structs are shorter or longer; and graphs that are
   read back. */

#include <string.h>

#include "c_abi_check.h"

/* Of a caller whose structs have a field more. */
typedef struct newer_linear_desc {
    mn_linear_desc known;
    int32_t added;
} newer_linear_desc;

typedef struct newer_metrics {
    mn_metrics known;
    int64_t added;
} newer_metrics;

static toy t;

static mn_graph image_graph(int32_t* image) {
    mn_graph graph = 0;
    mn_shape shape;
    memset(&shape, 0, sizeof shape);
    shape.rank = 3;
    shape.dims[0] = 2, shape.dims[1] = 6, shape.dims[2] = 6;
    OK(mn_graph_create(&graph));
    OK(mn_graph_input(graph, &shape, "in", image));
    return graph;
}

static void check_older_callers(void) {
    int32_t image, node;
    mn_graph graph = image_graph(&image);
    mn_conv2d_desc conv = conv_3x3(4);
    mn_pool2d_desc pool = pool_2x2();
    mn_activation_desc relu;
    mn_node_info info;
    mn_device_info device;
    const size_t short_info = offsetof(mn_node_info, desc_size);
    const size_t short_device = offsetof(mn_device_info, device_count);
    /* What the caller does not have is not read. */
    conv.one_dimensional = 1;
    conv.struct_size = offsetof(mn_conv2d_desc, one_dimensional);
    OK(mn_graph_conv2d(graph, image, &conv, "conv", &node));
    pool.dilation_h = pool.dilation_w = pool.one_dimensional = 77;
    pool.struct_size = offsetof(mn_pool2d_desc, dilation_h);
    OK(mn_graph_max_pool2d(graph, node, &pool, "pool", &node));
    memset(&relu, 0x55, sizeof relu);
    relu.struct_size = offsetof(mn_activation_desc, alpha);
    relu.kind = MN_ACTIVATION_RELU;
    OK(mn_graph_activation(graph, node, &relu, "relu", &node));
    relu.struct_size = 4;
    FAILS(mn_graph_activation(graph, node, &relu, NULL, &node), MN_INVALID_ARGUMENT, "8 to");
    /* Nothing is written beyond a result that is shorter. */
    taint(&info, sizeof info);
    info.struct_size = (uint32_t)short_info;
    OK(mn_graph_node(graph, node, &info, NULL));
    CHECK(info.op == MN_OP_ACTIVATION && strcmp(info.name, "relu") == 0);
    CHECK(info.struct_size == short_info);
    CHECK(is_tainted((const char*)&info + short_info, sizeof info - short_info));
    taint(&device, sizeof device);
    device.struct_size = (uint32_t)short_device;
    OK(mn_device_describe(t.device, &device));
    CHECK(device.kind == MN_DEVICE_CPU);
    CHECK(is_tainted((const char*)&device + short_device, sizeof device - short_device));
    OK(mn_graph_destroy(graph));
    end_group("older callers");
}

/* A trainer by a caller of the first version, and a step. */
static void check_older_trainers(void) {
    /* Two losses in a row, each as short as it was. */
    uint64_t losses[2 * sizeof(mn_loss_desc) / 8];
    const uint32_t size = offsetof(mn_loss_desc, ignore_index);
    mn_loss_desc loss = cross_entropy(t.logits);
    mn_optimizer_desc optimizer = adam(0.01f);
    mn_trainer_desc desc = trainer_of(NULL, &optimizer, kBatch);
    mn_batch batch = toy_batch(&t, 0, kBatch);
    mn_trainer trainer = 0;
    mn_metrics both, one;
    memset(losses, 0x55, sizeof losses);
    loss.struct_size = size;
    loss.ignores = 0;
    memcpy(losses, &loss, size);
    memcpy((char*)losses + size, &loss, size);
    desc.losses = (const mn_loss_desc*)losses;
    desc.loss_count = 2;
    desc.options = (const mn_parameter_options*)&desc; /* not to be read */
    desc.option_count = 99;
    desc.struct_size = offsetof(mn_trainer_desc, options);
    optimizer.amsgrad = 55;
    optimizer.struct_size = offsetof(mn_optimizer_desc, amsgrad);
    OK(mn_trainer_create(t.model, &desc, &trainer));
    batch.targets = (const float*)&batch; /* not to be read */
    batch.input_count = 99;
    batch.struct_size = offsetof(mn_batch, output_gradients);
    memset(&both, 0, sizeof both);
    both.struct_size = sizeof both;
    OK(mn_trainer_step(trainer, &batch, &both));
    OK(mn_trainer_destroy(trainer));

    loss.struct_size = size + 4;
    memcpy(losses, &loss, size);
    FAILS(mn_trainer_create(t.model, &desc, &trainer), MN_INVALID_ARGUMENT, "losses[i]");
    toy_destroy(&t);
    toy_create(&t);
    loss = cross_entropy(t.logits);
    optimizer = adam(0.01f);
    desc = trainer_of(&loss, &optimizer, kBatch);
    batch = toy_batch(&t, 0, kBatch);
    memset(&one, 0, sizeof one);
    one.struct_size = sizeof one;
    OK(mn_trainer_create(t.model, &desc, &trainer));
    OK(mn_trainer_step(trainer, &batch, &one));
    CHECK(both.count == kBatch && both.loss == 2 * one.loss);
    OK(mn_trainer_destroy(trainer));
    end_group("older trainers");
}

static void check_newer_callers(void) {
    int32_t image, node;
    mn_graph graph = image_graph(&image);
    newer_linear_desc linear;
    newer_metrics metrics;
    mn_loss_desc loss = cross_entropy(t.logits);
    mn_batch batch = toy_batch(&t, 0, kBatch);
    memset(&linear, 0, sizeof linear);
    linear.known.struct_size = sizeof linear;
    linear.known.out_features = 5;
    OK(mn_graph_flatten(graph, image, "flat", &node));
    /* A field that this library does not know has its default, or the call is refused. */
    OK(mn_graph_linear(graph, node, &linear.known, "a", &node));
    linear.added = 1;
    FAILS(mn_graph_linear(graph, node, &linear.known, "b", &node), MN_INVALID_ARGUMENT,
          "beyond the 12 bytes");
    taint(&metrics, sizeof metrics);
    metrics.known.struct_size = sizeof metrics;
    OK(mn_model_evaluate(t.model, &batch, &loss, &metrics.known));
    CHECK(metrics.known.count == kBatch && metrics.added == 0);
    CHECK(metrics.known.struct_size == sizeof metrics);
    OK(mn_graph_destroy(graph));
    end_group("newer callers");
}

/* Adds what a node of one graph is to another graph. */
static void copy_node(mn_graph from, int32_t id, mn_graph to) {
    mn_node_info info;
    uint64_t desc[32];
    int32_t copied = -1;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    OK(mn_graph_node(from, id, &info, NULL));
    CHECK(info.desc_size <= sizeof desc);
    memset(desc, 0, sizeof desc);
    memcpy(desc, &info.desc_size, sizeof info.desc_size);
    OK(mn_graph_node(from, id, &info, desc));
    OK(mn_graph_add(to, info.op, desc, info.sources, info.source_count, info.name, &copied));
    CHECK(copied == id);
}

static void check_copies(void) {
    static const float mean[2] = {0.25f, 0.5f}, std[2] = {0.5f, 2};
    int32_t image, first, left, right, pair[2], count = 0, copied_count = 0, i, p;
    mn_graph graph = image_graph(&image), copy = 0;
    mn_normalize_desc normalize = {sizeof normalize, 2, mean, std};
    mn_conv2d_desc conv = conv_3x3(4), read;
    mn_pool2d_desc pool = pool_2x2();
    mn_batch_norm_desc norm = {sizeof norm, 1e-5f, 0.1f, 1};
    mn_scale_desc scale = {sizeof scale, 0.5f, "gamma"};
    mn_group_norm_desc groups = {sizeof groups, 0, 1e-5f, 0};
    mn_shape flat;
    mn_node_info info, other;
    mn_parameter_info parameter, copied;
    OK(mn_graph_normalize(graph, image, &normalize, "normalize", &first));
    OK(mn_graph_conv2d(graph, first, &conv, "conv", &first));
    OK(mn_graph_batch_norm(graph, first, &norm, "norm", &left));
    OK(mn_graph_max_pool2d(graph, left, &pool, "pool", &right));
    OK(mn_graph_max_unpool2d(graph, right, right, "unpool", &right));
    OK(mn_graph_scale(graph, right, &scale, "scale", &right));
    OK(mn_graph_group_norm(graph, right, &groups, "groups", &right));
    pair[0] = left, pair[1] = right;
    OK(mn_graph_concat(graph, pair, 2, "concat", &first));
    memset(&flat, 0, sizeof flat);
    flat.rank = 1;
    flat.dims[0] = 8 * 6 * 6;
    OK(mn_graph_reshape(graph, first, &flat, "reshape", &first));

    OK(mn_graph_create(&copy));
    memset(&info, 0, sizeof info);
    memset(&other, 0, sizeof other);
    memset(&parameter, 0, sizeof parameter);
    memset(&copied, 0, sizeof copied);
    info.struct_size = other.struct_size = sizeof info;
    parameter.struct_size = copied.struct_size = sizeof parameter;
    for (i = 0; i <= first; i++) copy_node(graph, i, copy);
    for (i = 0; i <= first; i++) {
        OK(mn_graph_node(graph, i, &info, NULL));
        OK(mn_graph_node(copy, i, &other, NULL));
        CHECK(memcmp(&info, &other, sizeof info) == 0);
        for (p = 0; p < info.parameters; p++) {
            OK(mn_graph_parameter(graph, i, p, &parameter));
            OK(mn_graph_parameter(copy, i, p, &copied));
            CHECK(memcmp(&parameter, &copied, sizeof parameter) == 0);
            count++;
        }
        copied_count += other.parameters;
    }
    CHECK(count == 2 + 5 + 1 && copied_count == count);

    memset(&read, 0, sizeof read);
    read.struct_size = sizeof read;
    OK(mn_graph_node(copy, 2, &info, &read));
    CHECK(info.source_count == 1 && info.sources[0] == 1 && info.parameters == 2);
    CHECK(read.out_channels == 4 && read.kernel_w == 3 && read.bias == 1);
    OK(mn_graph_parameter(copy, 2, 0, &parameter));
    CHECK(strcmp(parameter.name, "conv.weight") == 0 && parameter.trainable == 1);
    CHECK(parameter.shape.rank == 4 && parameter.count == 4 * 2 * 3 * 3 && parameter.node == 2);
    OK(mn_graph_parameter(copy, 3, 2, &parameter));
    CHECK(strcmp(parameter.name, "norm.running_mean") == 0 && parameter.trainable == 0);
    OK(mn_graph_parameter(copy, 6, 0, &parameter));
    CHECK(strcmp(parameter.name, "gamma") == 0);
    memset(&groups, 0, sizeof groups);
    groups.struct_size = sizeof groups;
    OK(mn_graph_node(copy, 7, &info, &groups));
    CHECK(groups.groups == 4); /* filled in */
    OK(mn_graph_node(copy, 5, &info, NULL));
    CHECK(info.op == MN_OP_MAX_UNPOOL2D && info.source_count == 3 && info.desc_size == 0);
    OK(mn_graph_destroy(copy));
    OK(mn_graph_destroy(graph));
    end_group("graphs that are read");
}

void check_versions_of_callers(void) {
    toy_create(&t);
    check_older_callers();
    check_older_trainers();
    check_newer_callers();
    check_copies();
    toy_destroy(&t);
}
