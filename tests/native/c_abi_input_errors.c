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
