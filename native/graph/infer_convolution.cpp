// Windows over images: convolution, pooling and what undoes them.

#include <algorithm>

#include "graph/infer.h"

namespace mn::infer {
namespace {

// Output size of a window that moves over a padded side; dies by name if it does not fit.
int64_t windows(const Node& node, const char* side, int64_t size, int64_t pad, int64_t kernel,
                int64_t dilation, int64_t stride) {
    const int64_t extent = dilation * (kernel - 1) + 1;
    if (size + pad < extent)
        fail(MN_SHAPE_MISMATCH, node.label(), "a window of ", side, " ", extent,
             " does not fit into the source's ", side, " of ", size, " with ", pad, " of padding");
    return (size + pad - extent) / stride + 1;
}

// A {C, L} source of a one-dimensional op is an image of one row.
mn_shape image_of(const Node& node, const Node& source, int32_t one_dimensional) {
    expect_flag(node, "one_dimensional", one_dimensional);
    if (!one_dimensional) {
        expect_image(node, source);
        return source.shape;
    }
    if (source.shape.rank != 2)
        fail(MN_SHAPE_MISMATCH, node.label(), "takes sequences {C, L}, got ", text_of(source.shape),
             " from \"", source.name, "\"");
    return shape_of({source.shape.dims[0], 1, source.shape.dims[1]});
}

mn_shape result_of(const mn_shape& image, int32_t one_dimensional) {
    return one_dimensional ? shape_of({image.dims[0], image.dims[2]}) : image;
}

int64_t pooled(const Node& node, const char* side, int64_t size, int64_t pad, int64_t kernel,
               int64_t dilation, int64_t stride, bool ceil_mode) {
    // PyTorch: rounding up may make even the first window reach beyond the far padding, but the
    // last one must start inside the image or its near padding.
    const int64_t beyond = ceil_mode ? stride - 1 : 0;
    const int64_t out = windows(node, side, size, 2 * pad + beyond, kernel, dilation, stride);
    return (out - 1) * stride < size + pad ? out : out - 1;
}

}  // namespace

void conv2d(Node& node, Sources sources) {
    const Node& source = *sources[0];
    const mn_conv2d_desc& d = node.desc.conv2d;
    const mn_shape image = image_of(node, source, d.one_dimensional);
    const int64_t channels = image.dims[0];
    expect_range(node, "out_channels", d.out_channels, 1, 1 << 24);
    expect_range(node, "kernel_h", d.kernel_h, 1, kMaxWindow);
    expect_range(node, "kernel_w", d.kernel_w, 1, kMaxWindow);
    expect_range(node, "stride_h", d.stride_h, 1, kMaxWindow);
    expect_range(node, "stride_w", d.stride_w, 1, kMaxWindow);
    expect_range(node, "pad_top", d.pad_top, 0, kMaxWindow);
    expect_range(node, "pad_left", d.pad_left, 0, kMaxWindow);
    expect_range(node, "pad_bottom", d.pad_bottom, 0, kMaxWindow);
    expect_range(node, "pad_right", d.pad_right, 0, kMaxWindow);
    expect_range(node, "dilation_h", d.dilation_h, 1, kMaxWindow);
    expect_range(node, "dilation_w", d.dilation_w, 1, kMaxWindow);
    expect_range(node, "groups", d.groups, 1, 1 << 24);
    expect_flag(node, "bias", d.bias);
    expect_groups(node, d.groups, "input channels", channels, &source);
    expect_groups(node, d.groups, "output channels", d.out_channels);
    if (d.one_dimensional &&
        (d.kernel_h != 1 || d.stride_h != 1 || d.dilation_h != 1 || d.pad_top || d.pad_bottom))
        fail(MN_INVALID_ARGUMENT, node.label(),
             "one_dimensional requires kernel_h = stride_h = dilation_h = 1 and no vertical "
             "padding");
    node.shape = result_of(
        shape_of({d.out_channels,
                  windows(node, "height", image.dims[1], int64_t{d.pad_top} + d.pad_bottom,
                          d.kernel_h, d.dilation_h, d.stride_h),
                  windows(node, "width", image.dims[2], int64_t{d.pad_left} + d.pad_right,
                          d.kernel_w, d.dilation_w, d.stride_w)}),
        d.one_dimensional);
    const int64_t in = channels / d.groups;
    const mn_shape weight = d.one_dimensional
                                ? shape_of({d.out_channels, in, d.kernel_w})
                                : shape_of({d.out_channels, in, d.kernel_h, d.kernel_w});
    check_size(node, weight, "weight");
    const int64_t fan_in = in * d.kernel_h * d.kernel_w;
    node.multiply_adds = saturated_product(element_count(node.shape), fan_in);
    node.parameters.push_back(uniform_parameter("weight", weight, false, fan_in));
    if (d.bias)
        node.parameters.push_back(
            uniform_parameter("bias", shape_of({d.out_channels}), true, fan_in));
}

void pool2d(Node& node, Sources sources) {
    const Node& source = *sources[0];
    mn_pool2d_desc& d = node.desc.pool2d;
    const mn_shape image = image_of(node, source, d.one_dimensional);
    d.dilation_h = std::max(d.dilation_h, 1);
    d.dilation_w = std::max(d.dilation_w, 1);
    expect_range(node, "kernel_h", d.kernel_h, 1, kMaxWindow);
    expect_range(node, "kernel_w", d.kernel_w, 1, kMaxWindow);
    expect_range(node, "stride_h", d.stride_h, 1, kMaxWindow);
    expect_range(node, "stride_w", d.stride_w, 1, kMaxWindow);
    expect_range(node, "pad_h (at most half the kernel)", d.pad_h, 0, d.kernel_h / 2);
    expect_range(node, "pad_w (at most half the kernel)", d.pad_w, 0, d.kernel_w / 2);
    expect_flag(node, "ceil_mode", d.ceil_mode);
    expect_flag(node, "count_include_pad", d.count_include_pad);
    expect_range(node, "dilation_h", d.dilation_h, 1, node.op == MN_OP_MAX_POOL2D ? kMaxWindow : 1);
    expect_range(node, "dilation_w", d.dilation_w, 1, node.op == MN_OP_MAX_POOL2D ? kMaxWindow : 1);
    if (d.one_dimensional && (d.kernel_h != 1 || d.stride_h != 1 || d.pad_h))
        fail(MN_INVALID_ARGUMENT, node.label(),
             "one_dimensional requires kernel_h = stride_h = dilation_h = 1 and no vertical "
             "padding");
    node.shape = result_of(shape_of({image.dims[0],
                                     pooled(node, "height", image.dims[1], d.pad_h, d.kernel_h,
                                            d.dilation_h, d.stride_h, d.ceil_mode),
                                     pooled(node, "width", image.dims[2], d.pad_w, d.kernel_w,
                                            d.dilation_w, d.stride_w, d.ceil_mode)}),
                           d.one_dimensional);
}

void global_avg_pool2d(Node& node, Sources sources) {
    expect_image(node, *sources[0]);
    node.shape = shape_of({sources[0]->shape.dims[0], 1, 1});
}

void conv_transpose2d(Node& node, Sources sources) {
    const mn_conv_transpose2d_desc& d = node.desc.conv_transpose2d;
    expect_image(node, *sources[0]);
    const mn_shape& image = sources[0]->shape;
    expect_range(node, "out_channels", d.out_channels, 1, 1 << 24);
    expect_range(node, "kernel_h", d.kernel_h, 1, kMaxWindow);
    expect_range(node, "kernel_w", d.kernel_w, 1, kMaxWindow);
    expect_range(node, "stride_h", d.stride_h, 1, kMaxWindow);
    expect_range(node, "stride_w", d.stride_w, 1, kMaxWindow);
    expect_range(node, "pad_h", d.pad_h, 0, kMaxWindow);
    expect_range(node, "pad_w", d.pad_w, 0, kMaxWindow);
    expect_range(node, "dilation_h", d.dilation_h, 1, kMaxWindow);
    expect_range(node, "dilation_w", d.dilation_w, 1, kMaxWindow);
    expect_range(node, "output_pad_h (below stride_h or dilation_h)", d.output_pad_h, 0,
                 std::max(d.stride_h, d.dilation_h) - 1);
    expect_range(node, "output_pad_w (below stride_w or dilation_w)", d.output_pad_w, 0,
                 std::max(d.stride_w, d.dilation_w) - 1);
    expect_range(node, "groups", d.groups, 1, 1 << 24);
    expect_flag(node, "bias", d.bias);
    expect_groups(node, d.groups, "input channels", image.dims[0], sources[0]);
    expect_groups(node, d.groups, "output channels", d.out_channels);
    const auto size = [&](const char* side, int64_t in, int64_t kernel, int64_t stride, int64_t pad,
                          int64_t output_pad, int64_t dilation) {
        const int64_t out = (in - 1) * stride - 2 * pad + dilation * (kernel - 1) + output_pad + 1;
        if (out < 1)
            fail(MN_SHAPE_MISMATCH, node.label(), "the padding leaves no ", side, ": ", out);
        return out;
    };
    node.shape = shape_of({d.out_channels,
                           size("height", image.dims[1], d.kernel_h, d.stride_h, d.pad_h,
                                d.output_pad_h, d.dilation_h),
                           size("width", image.dims[2], d.kernel_w, d.stride_w, d.pad_w,
                                d.output_pad_w, d.dilation_w)});
    const mn_shape weight =
        shape_of({image.dims[0], d.out_channels / d.groups, d.kernel_h, d.kernel_w});
    check_size(node, weight, "weight");
    const int64_t fan_in = weight.dims[1] * weight.dims[2] * weight.dims[3];
    node.multiply_adds = saturated_product(element_count(image), fan_in);
    node.parameters.push_back(uniform_parameter("weight", weight, false, fan_in));
    if (d.bias)
        node.parameters.push_back(
            uniform_parameter("bias", shape_of({d.out_channels}), true, fan_in));
}

void pad2d(Node& node, Sources sources) {
    const mn_pad2d_desc& d = node.desc.pad2d;
    expect_image(node, *sources[0]);
    const mn_shape& image = sources[0]->shape;
    expect_range(node, "mode", d.mode, MN_PAD_ZEROS, MN_PAD_CIRCULAR);
    const auto most = [&](int64_t size) {
        return d.mode == MN_PAD_REFLECT ? size - 1 : d.mode == MN_PAD_CIRCULAR ? size : kMaxWindow;
    };
    expect_range(node, "top", d.top, 0, most(image.dims[1]));
    expect_range(node, "bottom", d.bottom, 0, most(image.dims[1]));
    expect_range(node, "left", d.left, 0, most(image.dims[2]));
    expect_range(node, "right", d.right, 0, most(image.dims[2]));
    node.shape = shape_of(
        {image.dims[0], image.dims[1] + d.top + d.bottom, image.dims[2] + d.left + d.right});
}

void adaptive_pool2d(Node& node, Sources sources) {
    const mn_adaptive_pool2d_desc& d = node.desc.adaptive_pool2d;
    expect_image(node, *sources[0]);
    expect_range(node, "output_h", d.output_h, 1, 1 << 24);
    expect_range(node, "output_w", d.output_w, 1, 1 << 24);
    node.shape = shape_of({sources[0]->shape.dims[0], d.output_h, d.output_w});
}

// Given the values to put back and a pooling, its source comes between them.
void complete_unpooling(const Graph& graph, Node& node) {
    if (node.sources.size() != 2) return;
    const Node& pool = graph.node(node.sources[1]);
    if (!pool.sources.empty()) node.sources.insert(node.sources.begin() + 1, pool.sources[0]);
}

// sources: values to put back, the pooling's source, the pooling's result
void max_unpool2d(Node& node, Sources sources) {
    const Node& pool = *sources[node.sources.size() - 1];
    if (pool.op != MN_OP_MAX_POOL2D)
        fail(MN_INVALID_ARGUMENT, node.label(), "node ", pool.id,
             " is no max pooling: ", pool.label());
    if (node.sources[1] != pool.sources[0])
        fail(MN_INVALID_ARGUMENT, node.label(), "the pooling \"", pool.name, "\" reads node ",
             pool.sources[0], ", not ", node.sources[1]);
    const mn_shape& expected = sources[2]->shape;
    if (text_of(sources[0]->shape) != text_of(expected))
        fail(MN_SHAPE_MISMATCH, node.label(), "expects the shape ", text_of(expected),
             " of the pooling \"", sources[2]->name, "\", got ", text_of(sources[0]->shape),
             " from \"", sources[0]->name, "\"");
    node.desc.pool2d = sources[2]->desc.pool2d;
    node.shape = sources[1]->shape;
}

void upsample(Node& node, Sources sources) {
    const mn_upsample_desc& d = node.desc.upsample;
    expect_image(node, *sources[0]);
    expect_range(node, "mode", d.mode, MN_UPSAMPLE_NEAREST, MN_UPSAMPLE_BILINEAR);
    expect_range(node, "scale_h", d.scale_h, 1, kMaxWindow);
    expect_range(node, "scale_w", d.scale_w, 1, kMaxWindow);
    expect_flag(node, "align_corners", d.align_corners);
    const mn_shape& image = sources[0]->shape;
    node.shape = shape_of({image.dims[0], image.dims[1] * d.scale_h, image.dims[2] * d.scale_w});
}

}  // namespace mn::infer
