// Values and parameters with the names that kernels of images give their dimensions.

#pragma once

#include "backend/backend.h"

namespace mn {

// A value as images of c channels, h rows and w columns. Features are channels of one pixel, a
// sequence is an image of one row, and of a volume the depth counts with the rows.
struct ImageView {
    int32_t layout = MNB_NCHW;  // mnb_layout
    int32_t rank = 0;           // of the value; 0: there is none
    int64_t c = 0, h = 0, w = 0;
    int64_t sn = 0, sc = 0, sh = 0, sw = 0;
};

inline ImageView image_of(const mnb_tensor& t) {
    ImageView image;
    if (t.rank == 0) return image;
    image.layout = t.layout;
    image.rank = t.rank;
    image.c = t.dims[0];
    image.h = image.w = 1;
    image.sn = t.image_stride;
    image.sc = t.strides[0];
    image.sw = image.sh = t.layout == MNB_NHWC ? t.dims[0] : 1;
    if (t.rank == 1) return image;
    const int last = t.rank - 1;
    image.w = t.dims[last];
    image.sw = t.strides[last];
    for (int d = 1; d < last; d++) image.h *= t.dims[d];
    image.sh = t.rank == 2 ? image.w * image.sw : t.strides[last - 1];
    return image;
}

// A parameter as weights of o outputs, i inputs, h rows and w columns; the last dimension of a
// one-dimensional convolution's is the columns.
struct WeightView {
    int32_t role = MNB_WEIGHT;         // mnb_param_role
    int32_t layout = MNB_PARAM_PLAIN;  // mnb_param_layout
    int64_t o = 1, i = 1, h = 1, w = 1;
    int64_t storage = 0;  // elements
};

inline WeightView weights_of(const mnb_param& p) {
    WeightView weights;
    weights.role = p.role;
    weights.layout = p.layout;
    weights.storage = p.storage;
    weights.o = p.dims[0];
    if (p.rank > 1) weights.i = p.dims[1];
    if (p.rank > 2) weights.w = p.dims[p.rank - 1];
    for (int d = 2; d < p.rank - 1; d++) weights.h *= p.dims[d];
    return weights;
}

// A node as kernels of images see it.
struct ImageNode : mnb_node {
    ImageView src[MNB_MAX_SOURCES];
    ImageView dst;
    WeightView param[MNB_MAX_PARAMS];

    ImageNode() : mnb_node{} {}
    explicit ImageNode(const mnb_node& node) : mnb_node(node) {
        for (int32_t s = 0; s < source_count; s++) src[s] = image_of(source[s]);
        dst = image_of(result);
        for (int32_t p = 0; p < param_count; p++) param[p] = weights_of(parameter[p]);
    }
};

}  // namespace mn
