/* What the functions of devices, graphs and data sets answer to wrong arguments. */

#include <math.h>
#include <string.h>

#include "c_abi_check.h"

static toy t;

void check_errors_of_devices(void) {
    mn_device_desc desc;
    mn_device device, stale;
    mn_device_peak peak;
    mn_device_info info;
    mn_error_info error;
    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    desc.threads = 1;
    OK(mn_device_open(&desc, &stale));
    OK(mn_device_close(stale));
    toy_create(&t);

    TAINT(device);
    FAILS(mn_device_open(NULL, &device), MN_INVALID_ARGUMENT, "desc");
    FAILS(mn_device_open(&desc, NULL), MN_INVALID_ARGUMENT, "device_out");
    desc.struct_size = 0;
    FAILS(mn_device_open(&desc, &device), MN_INVALID_ARGUMENT, "struct_size");
    desc.struct_size = sizeof desc + 1000;
    FAILS(mn_device_open(&desc, &device), MN_INVALID_ARGUMENT, "struct_size");
    desc.struct_size = sizeof desc;
    desc.kind = 77;
    FAILS(mn_device_open(&desc, &device), MN_INVALID_ARGUMENT, "77");
    desc.kind = MN_DEVICE_CPU;
    desc.threads = 1025;
    FAILS(mn_device_open(&desc, &device), MN_INVALID_ARGUMENT, "1025");
    desc.threads = -1;
    FAILS(mn_device_open(&desc, &device), MN_INVALID_ARGUMENT, "-1");
    desc.threads = 1;
    desc.flags = 0x100;
    FAILS(mn_device_open(&desc, &device), MN_INVALID_ARGUMENT, "flags");
    desc.flags = 0;
    desc.index = 5;
    FAILS(mn_device_open(&desc, &device), MN_DEVICE_UNAVAILABLE, "5");
    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    OK(mn_last_error_info(&error));
    CHECK(error.reason == MN_REASON_NO_SUCH_INDEX);
    UNTOUCHED(device);

    TAINT_STRUCT(info);
    FAILS(mn_device_describe(t.device, NULL), MN_INVALID_ARGUMENT, "info_out");
    REFUSES_HANDLES(mn_device_describe(h, &info), t.graph, stale);
    UNTOUCHED_STRUCT(info);
    info.struct_size = 8;
    FAILS(mn_device_describe(t.device, &info), MN_INVALID_ARGUMENT, "struct_size");
    TAINT_STRUCT(peak);
    FAILS(mn_device_measure(t.device, NULL), MN_INVALID_ARGUMENT, "peak_out");
    REFUSES_HANDLES(mn_device_measure(h, &peak), t.graph, stale);
    UNTOUCHED_STRUCT(peak);
    peak.struct_size--;
    FAILS(mn_device_measure(t.device, &peak), MN_INVALID_ARGUMENT, "struct_size");
    REFUSES_HANDLES(mn_device_close(h), t.model, stale);
    toy_destroy(&t);
    FAILS(mn_device_close(t.device), MN_INVALID_HANDLE, "destroyed");
    end_group("errors of devices");
}

/* ---- graphs ---- */

static mn_graph g;
static int32_t image, features;

static int32_t graph_size(void) {
    mn_node_info info;
    int32_t size = 0;
    info.struct_size = sizeof info;
    while (mn_graph_node(g, size, &info, NULL) == MN_OK) size++;
    return size;
}

static void check_conv_errors(void) {
    int32_t node;
    mn_conv2d_desc d = conv_3x3(4);
    TAINT(node);
    FAILS(mn_graph_conv2d(g, image, NULL, "c", &node), MN_INVALID_ARGUMENT, "desc");
    FAILS(mn_graph_conv2d(g, image, &d, "c", NULL), MN_INVALID_ARGUMENT, "node_out");
    FAILS(mn_graph_conv2d(g, 99, &d, "c", &node), MN_NOT_FOUND, "[conv2d \"c\"] source 99");
    FAILS(mn_graph_conv2d(g, -1, &d, "c", &node), MN_NOT_FOUND, "-1");
    FAILS(mn_graph_conv2d(g, features, &d, "c", &node), MN_SHAPE_MISMATCH, "128");
    d.struct_size -= 8;
    FAILS(mn_graph_conv2d(g, image, &d, "c", &node), MN_INVALID_ARGUMENT, "struct_size");
#define REFUSES(field, value, status, fragment) \
    d = conv_3x3(4);                            \
    d.field = (value);                          \
    FAILS(mn_graph_conv2d(g, image, &d, "c", &node), (status), (fragment))
    REFUSES(out_channels, 0, MN_INVALID_ARGUMENT, "out_channels");
    REFUSES(kernel_h, 0, MN_INVALID_ARGUMENT, "kernel_h");
    REFUSES(kernel_w, -3, MN_INVALID_ARGUMENT, "-3");
    REFUSES(stride_h, 0, MN_INVALID_ARGUMENT, "stride_h");
    REFUSES(stride_w, 0, MN_INVALID_ARGUMENT, "stride_w");
    REFUSES(dilation_h, 0, MN_INVALID_ARGUMENT, "dilation_h");
    REFUSES(dilation_w, INT32_MIN, MN_INVALID_ARGUMENT, "dilation_w");
    REFUSES(pad_top, -1, MN_INVALID_ARGUMENT, "pad_top");
    REFUSES(pad_left, -1, MN_INVALID_ARGUMENT, "pad_left");
    REFUSES(pad_bottom, -1, MN_INVALID_ARGUMENT, "pad_bottom");
    REFUSES(pad_right, INT32_MAX, MN_INVALID_ARGUMENT, "pad_right");
    REFUSES(groups, 0, MN_INVALID_ARGUMENT, "groups");
    REFUSES(groups, 4, MN_SHAPE_MISMATCH, "4 groups"); /* 2 input channels */
    REFUSES(bias, 2, MN_INVALID_ARGUMENT, "bias");
    REFUSES(kernel_h, 11, MN_SHAPE_MISMATCH, "height");
    REFUSES(dilation_w, 5, MN_SHAPE_MISMATCH, "width");
    d = conv_3x3(3);
    d.groups = 2;
    FAILS(mn_graph_conv2d(g, image, &d, "c", &node), MN_SHAPE_MISMATCH, "got 3");
#undef REFUSES
    UNTOUCHED(node);
}

static void check_pool_errors(void) {
    int32_t node;
    mn_pool2d_desc d;
    mn_status (*const pools[2])(mn_graph, int32_t, const mn_pool2d_desc*, const char*, int32_t*) = {
        mn_graph_max_pool2d, mn_graph_avg_pool2d};
    int i;
    TAINT(node);
    for (i = 0; i < 2; i++) {
        d = pool_2x2();
        FAILS(pools[i](g, image, NULL, "p", &node), MN_INVALID_ARGUMENT, "desc");
        FAILS(pools[i](g, image, &d, "p", NULL), MN_INVALID_ARGUMENT, "node_out");
        FAILS(pools[i](g, 99, &d, "p", &node), MN_NOT_FOUND, "\"p\"");
        FAILS(pools[i](g, features, &d, "p", &node), MN_SHAPE_MISMATCH, "\"p\"");
        d.struct_size = sizeof d + 1000;
        FAILS(pools[i](g, image, &d, "p", &node), MN_INVALID_ARGUMENT, "struct_size");
#define REFUSES(field, value, status, fragment) \
    d = pool_2x2();                             \
    d.field = (value);                          \
    FAILS(pools[i](g, image, &d, "p", &node), (status), (fragment))
        REFUSES(kernel_h, 0, MN_INVALID_ARGUMENT, "kernel_h");
        REFUSES(kernel_w, 0, MN_INVALID_ARGUMENT, "kernel_w");
        REFUSES(stride_h, 0, MN_INVALID_ARGUMENT, "stride_h");
        REFUSES(stride_w, -1, MN_INVALID_ARGUMENT, "stride_w");
        REFUSES(pad_h, 2, MN_INVALID_ARGUMENT, "pad_h");
        REFUSES(pad_w, -1, MN_INVALID_ARGUMENT, "pad_w");
        REFUSES(ceil_mode, 2, MN_INVALID_ARGUMENT, "ceil_mode");
        REFUSES(count_include_pad, -1, MN_INVALID_ARGUMENT, "count_include_pad");
        REFUSES(kernel_h, 9, MN_SHAPE_MISMATCH, "height");
        REFUSES(kernel_w, 9, MN_SHAPE_MISMATCH, "width");
#undef REFUSES
    }
    UNTOUCHED(node);
}

static void check_input_errors(void) {
    int32_t node;
    mn_graph empty;
    mn_shape shape;
    static const float values[3] = {0.5f, 0.5f, 0.5f};
    float wrong[2] = {0.5f, 0.5f};
    mn_normalize_desc d;
    memset(&shape, 0, sizeof shape);
    shape.rank = 1;
    shape.dims[0] = 5;
    TAINT(node);
    OK(mn_graph_create(&empty));
    FAILS(mn_graph_input(empty, NULL, NULL, &node), MN_INVALID_ARGUMENT, "desc");
    FAILS(mn_graph_input(empty, &shape, NULL, NULL), MN_INVALID_ARGUMENT, "node_out");
    shape.dims[0] = 0;
    FAILS(mn_graph_input(empty, &shape, NULL, &node), MN_SHAPE_MISMATCH, "got 0");
    shape.dims[0] = INT64_MAX;
    FAILS(mn_graph_input(empty, &shape, NULL, &node), MN_SHAPE_MISMATCH, "dimension 0");
    shape.dims[0] = 3;
    for (shape.rank = -1; shape.rank <= MN_MAX_VALUE_RANK + 1; shape.rank++)
        if (shape.rank < 1 || shape.rank > MN_MAX_VALUE_RANK)
            FAILS(mn_graph_input(empty, &shape, NULL, &node), MN_SHAPE_MISMATCH, "rank");
    shape.rank = 3;
    shape.dims[0] = shape.dims[1] = shape.dims[2] = 1 << 24;
    FAILS(mn_graph_input(empty, &shape, NULL, &node), MN_SHAPE_MISMATCH, "2^31");
    FAILS(mn_graph_flatten(empty, 0, NULL, &node), MN_NOT_FOUND, "source 0");
    OK(mn_graph_destroy(empty));

    memset(&d, 0, sizeof d);
    d.struct_size = sizeof d;
    d.channels = 2;
    d.mean = values;
    d.std = values;
    FAILS(mn_graph_normalize(g, image, NULL, "n", &node), MN_INVALID_ARGUMENT, "desc");
    FAILS(mn_graph_normalize(g, image, &d, "n", NULL), MN_INVALID_ARGUMENT, "node_out");
    FAILS(mn_graph_normalize(g, features, &d, "n", &node), MN_INVALID_ARGUMENT, "input");
    FAILS(mn_graph_normalize(g, 99, &d, "n", &node), MN_NOT_FOUND, "99");
    d.channels = 3;
    FAILS(mn_graph_normalize(g, image, &d, "n", &node), MN_SHAPE_MISMATCH, "got 3");
    d.channels = 2;
    d.mean = NULL;
    FAILS(mn_graph_normalize(g, image, &d, "n", &node), MN_INVALID_ARGUMENT, "null");
    d.mean = wrong;
    wrong[1] = (float)NAN;
    FAILS(mn_graph_normalize(g, image, &d, "n", &node), MN_INVALID_ARGUMENT, "mean[1]");
    d.mean = values;
    d.std = wrong;
    wrong[1] = 0;
    FAILS(mn_graph_normalize(g, image, &d, "n", &node), MN_INVALID_ARGUMENT, "std[1]");
    wrong[1] = (float)INFINITY;
    FAILS(mn_graph_normalize(g, image, &d, "n", &node), MN_INVALID_ARGUMENT, "std[1]");
    d.struct_size = 4;
    FAILS(mn_graph_normalize(g, image, &d, "n", &node), MN_INVALID_ARGUMENT, "struct_size");
    UNTOUCHED(node);
}

void check_errors_of_graphs(void) {
    int32_t node, first_size;
    mn_graph stale, graph;
    mn_shape shape;
    mn_node_info info;
    mn_input_desc input;
    mn_parameter_info parameter;
    mn_linear_desc linear = {sizeof linear, 4, 1};
    mn_activation_desc activation = {sizeof activation, MN_ACTIVATION_RELU, 0, 0};
    mn_conv2d_desc conv = conv_3x3(4);
    mn_pool2d_desc pool = pool_2x2();
    char name[400];
    static const float value = 0.5f;
    mn_normalize_desc normalize;
    mn_device_desc device_desc;
    mn_device device;
    memset(&device_desc, 0, sizeof device_desc);
    device_desc.struct_size = sizeof device_desc;
    device_desc.threads = 1;
    OK(mn_device_open(&device_desc, &device));
    memset(&normalize, 0, sizeof normalize);
    normalize.struct_size = sizeof normalize;
    normalize.channels = 1;
    normalize.mean = normalize.std = &value;
    memset(&shape, 0, sizeof shape);
    shape.rank = 3;
    shape.dims[0] = 2, shape.dims[1] = 8, shape.dims[2] = 8;
    FAILS(mn_graph_create(NULL), MN_INVALID_ARGUMENT, "graph_out");
    OK(mn_graph_create(&stale));
    OK(mn_graph_destroy(stale));
    OK(mn_graph_create(&g));
    CHECK(g != stale);
    OK(mn_graph_input(g, &shape, "in", &image));
    OK(mn_graph_flatten(g, image, "flat", &features));
    first_size = graph_size();
    CHECK(first_size == 2);

    check_input_errors();
    check_conv_errors();
    check_pool_errors();

    TAINT(node);
    FAILS(mn_graph_linear(g, features, NULL, "l", &node), MN_INVALID_ARGUMENT, "desc");
    FAILS(mn_graph_linear(g, features, &linear, "l", NULL), MN_INVALID_ARGUMENT, "node_out");
    FAILS(mn_graph_linear(g, image, &linear, "l", &node), MN_SHAPE_MISMATCH, "flatten");
    FAILS(mn_graph_linear(g, 7, &linear, "l", &node), MN_NOT_FOUND, "7");
    linear.out_features = 0;
    FAILS(mn_graph_linear(g, features, &linear, "l", &node), MN_INVALID_ARGUMENT, "got 0");
    linear.out_features = 4;
    linear.bias = 3;
    FAILS(mn_graph_linear(g, features, &linear, "l", &node), MN_INVALID_ARGUMENT, "bias");
    linear.bias = 1;
    linear.struct_size = 0;
    FAILS(mn_graph_linear(g, features, &linear, "l", &node), MN_INVALID_ARGUMENT, "struct_size");
    linear.struct_size = sizeof linear;
    FAILS(mn_graph_linear(g, features, &linear, "flat", &node), MN_INVALID_ARGUMENT, "taken");
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = 0;
    FAILS(mn_graph_linear(g, features, &linear, name, &node), MN_INVALID_ARGUMENT, "399");

    FAILS(mn_graph_activation(g, image, NULL, "a", &node), MN_INVALID_ARGUMENT, "desc");
    FAILS(mn_graph_activation(g, image, &activation, "a", NULL), MN_INVALID_ARGUMENT, "node_out");
    FAILS(mn_graph_activation(g, 2, &activation, "a", &node), MN_NOT_FOUND, "source 2");
    activation.kind = 0;
    FAILS(mn_graph_activation(g, image, &activation, "a", &node), MN_INVALID_ARGUMENT, "kind");
    activation.struct_size = 1;
    FAILS(mn_graph_activation(g, image, &activation, "a", &node), MN_INVALID_ARGUMENT, "size");
    FAILS(mn_graph_flatten(g, 2, "f", &node), MN_NOT_FOUND, "source 2");
    FAILS(mn_graph_flatten(g, image, "f", NULL), MN_INVALID_ARGUMENT, "node_out");
    FAILS(mn_graph_softmax(g, image, "s", &node), MN_SHAPE_MISMATCH, "\"s\"");
    FAILS(mn_graph_softmax(g, 2, "s", &node), MN_NOT_FOUND, "source 2");
    FAILS(mn_graph_softmax(g, features, "s", NULL), MN_INVALID_ARGUMENT, "node_out");
    FAILS(mn_graph_global_avg_pool2d(g, features, "p", &node), MN_SHAPE_MISMATCH, "\"p\"");
    FAILS(mn_graph_global_avg_pool2d(g, 2, "p", &node), MN_NOT_FOUND, "source 2");
    FAILS(mn_graph_global_avg_pool2d(g, image, "p", NULL), MN_INVALID_ARGUMENT, "node_out");

    activation.struct_size = sizeof activation;
    activation.kind = MN_ACTIVATION_RELU;
    REFUSES_HANDLES(mn_graph_input(h, &shape, NULL, &node), device, stale);
    REFUSES_HANDLES(mn_graph_normalize(h, image, &normalize, NULL, &node), device, stale);
    REFUSES_HANDLES(mn_graph_conv2d(h, image, &conv, NULL, &node), device, stale);
    REFUSES_HANDLES(mn_graph_max_pool2d(h, image, &pool, NULL, &node), device, stale);
    REFUSES_HANDLES(mn_graph_avg_pool2d(h, image, &pool, NULL, &node), device, stale);
    REFUSES_HANDLES(mn_graph_global_avg_pool2d(h, image, NULL, &node), device, stale);
    REFUSES_HANDLES(mn_graph_linear(h, features, &linear, NULL, &node), device, stale);
    REFUSES_HANDLES(mn_graph_activation(h, image, &activation, NULL, &node), device, stale);
    REFUSES_HANDLES(mn_graph_flatten(h, image, NULL, &node), device, stale);
    REFUSES_HANDLES(mn_graph_softmax(h, features, NULL, &node), device, stale);
    REFUSES_HANDLES(mn_graph_destroy(h), device, stale);
    UNTOUCHED(node);

    TAINT_STRUCT(info);
    TAINT_STRUCT(input);
    FAILS(mn_graph_node(g, 2, &info, NULL), MN_NOT_FOUND, "2");
    FAILS(mn_graph_node(g, -1, &info, NULL), MN_NOT_FOUND, "-1");
    FAILS(mn_graph_node(g, 0, NULL, &input), MN_INVALID_ARGUMENT, "info_out");
    REFUSES_HANDLES(mn_graph_node(h, 0, &info, &input), device, stale);
    input.struct_size = 4;
    FAILS(mn_graph_node(g, 0, &info, &input), MN_INVALID_ARGUMENT, "desc_out->struct_size");
    input.struct_size = sizeof input;
    UNTOUCHED_STRUCT(info);
    UNTOUCHED_STRUCT(input);
    info.struct_size = 8;
    FAILS(mn_graph_node(g, 0, &info, NULL), MN_INVALID_ARGUMENT, "struct_size");
    TAINT_STRUCT(parameter);
    FAILS(mn_graph_parameter(g, 0, 0, &parameter), MN_NOT_FOUND, "has 0");
    FAILS(mn_graph_parameter(g, 2, 0, &parameter), MN_NOT_FOUND, "no node 2");
    FAILS(mn_graph_parameter(g, 0, 0, NULL), MN_INVALID_ARGUMENT, "info_out");
    REFUSES_HANDLES(mn_graph_parameter(h, 0, 0, &parameter), device, stale);
    FAILS(mn_graph_parameter(g, 0, -1, &parameter), MN_NOT_FOUND, "-1");
    UNTOUCHED_STRUCT(parameter);

    TAINT(node);
    FAILS(mn_graph_add(g, 999, NULL, &image, 1, NULL, &node), MN_INVALID_ARGUMENT, "no op 999");
    FAILS(mn_graph_add(g, -1, NULL, &image, 1, NULL, &node), MN_INVALID_ARGUMENT, "no op -1");
    FAILS(mn_graph_add(g, 1000, NULL, &image, 1, NULL, &node), MN_INVALID_ARGUMENT, "no op 1000");
    FAILS(mn_graph_add(g, MN_OP_FLATTEN, NULL, &image, 0, "f", &node), MN_INVALID_ARGUMENT,
          "[flatten \"f\"] takes 1 sources, got 0");
    FAILS(mn_graph_add(g, MN_OP_FLATTEN, NULL, NULL, 1, "f", &node), MN_INVALID_ARGUMENT,
          "sources");
    FAILS(mn_graph_add(g, MN_OP_FLATTEN, NULL, &image, -1, "f", &node), MN_INVALID_ARGUMENT, "-1");
    FAILS(mn_graph_add(g, MN_OP_FLATTEN, NULL, &image, 9, "f", &node), MN_INVALID_ARGUMENT,
          "got 9");
    FAILS(mn_graph_concat(g, &image, 1, "c", &node), MN_INVALID_ARGUMENT, "takes 2 to 8 sources");
    FAILS(mn_graph_max_unpool2d(g, image, image, "u", &node), MN_INVALID_ARGUMENT,
          "is no max pooling");
    FAILS(mn_graph_max_unpool2d(g, image, 77, "u", &node), MN_NOT_FOUND, "77");
    UNTOUCHED(node);

    parameter.struct_size = 8;
    FAILS(mn_graph_parameter(g, 0, 0, &parameter), MN_INVALID_ARGUMENT, "struct_size");

    CHECK(graph_size() == first_size);
    OK(mn_graph_linear(g, features, &linear, NULL, &node)); /* and goes on */
    CHECK(node == first_size);
    graph = g;
    OK(mn_graph_destroy(g));
    FAILS(mn_graph_destroy(graph), MN_INVALID_HANDLE, "destroyed");
    OK(mn_device_close(device));
    end_group("errors of graphs");
}

/* ---- data sets ---- */

void check_errors_of_data(void) {
    mn_dataset_desc good, d;
    mn_dataset dataset, stale;
    toy_create(&t);
    memset(&good, 0, sizeof good);
    good.struct_size = sizeof good;
    good.dtype = MN_UINT8;
    good.count = kImages;
    good.shape.rank = 3;
    good.shape.dims[0] = 1, good.shape.dims[1] = kSide, good.shape.dims[2] = kSide;
    good.images = t.images;
    good.images_bytes = sizeof t.images;
    OK(mn_dataset_create(t.device, &good, &stale));
    OK(mn_dataset_destroy(stale));

    TAINT(dataset);
    FAILS(mn_dataset_create(t.device, NULL, &dataset), MN_INVALID_ARGUMENT, "desc");
    FAILS(mn_dataset_create(t.device, &good, NULL), MN_INVALID_ARGUMENT, "dataset_out");
    REFUSES_HANDLES(mn_dataset_create(h, &good, &dataset), t.graph, stale);
#define REFUSES(field, value, status, fragment) \
    d = good;                                   \
    d.field = (value);                          \
    FAILS(mn_dataset_create(t.device, &d, &dataset), (status), (fragment))
    REFUSES(struct_size, 4, MN_INVALID_ARGUMENT, "struct_size");
    REFUSES(dtype, 9, MN_INVALID_ARGUMENT, "9");
    REFUSES(count, 0, MN_INVALID_ARGUMENT, "count");
    REFUSES(count, (int64_t)1 << 31, MN_INVALID_ARGUMENT, "count");
    REFUSES(count, kImages - 1, MN_SHAPE_MISMATCH, "255");
    REFUSES(dtype, MN_FLOAT32, MN_SHAPE_MISMATCH, "float32");
    REFUSES(images, NULL, MN_INVALID_ARGUMENT, "images");
    REFUSES(images_bytes, 7, MN_SHAPE_MISMATCH, "got 7");
    REFUSES(images_bytes, 0, MN_SHAPE_MISMATCH, "got 0");
    REFUSES(shape.rank, 0, MN_SHAPE_MISMATCH, "rank");
    REFUSES(shape.rank, MN_MAX_VALUE_RANK + 1, MN_SHAPE_MISMATCH, "rank");
    REFUSES(shape.dims[1], 0, MN_SHAPE_MISMATCH, "dimension 1");
    REFUSES(shape.dims[1], INT64_MAX, MN_SHAPE_MISMATCH, "2^31");
    REFUSES(flags, 8, MN_INVALID_ARGUMENT, "flags");
#undef REFUSES
    /* Sizes whose product does not fit 64 bits. */
    d = good;
    d.dtype = MN_FLOAT32;
    d.count = INT32_MAX;
    d.shape.dims[0] = d.shape.dims[1] = 1 << 15;
    d.shape.dims[2] = 2;
    FAILS(mn_dataset_create(t.device, &d, &dataset), MN_SHAPE_MISMATCH, "2147483647");
    UNTOUCHED(dataset);
    REFUSES_HANDLES(mn_dataset_destroy(h), t.model, stale);
    toy_destroy(&t);
    end_group("errors of data sets");
}
