#include "graph/ops.h"

#include <cmath>

namespace mn {
namespace {

// No parameter may be larger, so that sizes in bytes stay far from overflow.
constexpr int64_t kMaxElements = int64_t{1} << 40;

mn_shape shape_of(std::initializer_list<int64_t> dims) {
    mn_shape shape{};
    for (int64_t dim : dims) shape.dims[shape.rank++] = dim;
    return shape;
}

void check_size(const Node& node, const mn_shape& shape, const char* what) {
    double count = 1;
    for (int i = 0; i < shape.rank; i++) count *= static_cast<double>(shape.dims[i]);
    if (count > static_cast<double>(kMaxElements))
        fail(MN_SHAPE_MISMATCH, node.label(), what, " ", text_of(shape), " is too large");
}

void expect_range(const Node& node, const char* what, int64_t value, int64_t low, int64_t high) {
    if (value < low || value > high)
        fail(MN_INVALID_ARGUMENT, node.label(), what, " must be ", low, " to ", high, ", got ",
             value);
}

void expect_flag(const Node& node, const char* what, int32_t value) {
    expect_range(node, what, value, 0, 1);
}

void expect_image(const Node& node, const Node& source) {
    if (source.shape.rank != 3)
        fail(MN_SHAPE_MISMATCH, node.label(), "takes images {C, H, W}, got ", text_of(source.shape),
             " features from \"", source.name, "\"");
}

void expect_features(const Node& node, const Node& source) {
    if (source.shape.rank != 1)
        fail(MN_SHAPE_MISMATCH, node.label(), "takes features {F}, got ", text_of(source.shape),
             " from \"", source.name, "\"; add a flatten before it");
}

void same_shape(Node& node, const Node* const* sources) {
    node.shape = sources[0]->shape;
}

void normalize(Node& node, const Node* const* sources) {
    const Node& source = *sources[0];
    mn_normalize_desc& desc = node.desc.normalize;
    if (source.op != MN_OP_INPUT)
        fail(MN_INVALID_ARGUMENT, node.label(),
             "belongs to the input: its source must be the input, not \"", source.name, "\"");
    const int64_t channels = source.shape.dims[0];
    if (desc.channels != 1 && desc.channels != channels)
        fail(MN_SHAPE_MISMATCH, node.label(), "expects 1 or ", channels,
             " means and deviations (the input's channels), got ", desc.channels);
    if (!desc.mean || !desc.std)
        fail(MN_INVALID_ARGUMENT, node.label(), "mean and std must not be null");
    for (int i = 0; i < desc.channels; i++) {
        if (!std::isfinite(desc.mean[i]))
            fail(MN_INVALID_ARGUMENT, node.label(), "mean[", i, "] must be finite, got ",
                 desc.mean[i]);
        if (!std::isfinite(desc.std[i]) || desc.std[i] <= 0)
            fail(MN_INVALID_ARGUMENT, node.label(), "std[", i, "] must be finite and above 0, got ",
                 desc.std[i]);
    }
    // The caller's arrays end with the call: the node keeps one value a channel.
    for (int64_t c = 0; c < channels; c++) {
        node.mean.push_back(desc.mean[desc.channels == 1 ? 0 : c]);
        node.std.push_back(desc.std[desc.channels == 1 ? 0 : c]);
    }
    desc.channels = static_cast<int32_t>(channels);
    desc.mean = desc.std = nullptr;
    node.shape = source.shape;
}

// Output size of a window that moves over a padded side; dies by name if it does not fit.
int64_t windows(const Node& node, const char* side, int64_t size, int64_t pad, int64_t kernel,
                int64_t dilation, int64_t stride) {
    const int64_t extent = dilation * (kernel - 1) + 1;
    if (size + pad < extent)
        fail(MN_SHAPE_MISMATCH, node.label(), "a window of ", side, " ", extent,
             " does not fit into the source's ", side, " of ", size, " with ", pad, " of padding");
    return (size + pad - extent) / stride + 1;
}

constexpr int64_t kMaxWindow = 1 << 15;

void conv2d(Node& node, const Node* const* sources) {
    const Node& source = *sources[0];
    const mn_conv2d_desc& d = node.desc.conv2d;
    expect_image(node, source);
    const int64_t channels = source.shape.dims[0];
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
    if (channels % d.groups)
        fail(MN_SHAPE_MISMATCH, node.label(), "expects input channels that ", d.groups,
             " groups divide, got ", channels, " from \"", source.name, "\"");
    if (d.out_channels % d.groups)
        fail(MN_SHAPE_MISMATCH, node.label(), "expects output channels that ", d.groups,
             " groups divide, got ", d.out_channels);
    node.shape =
        shape_of({d.out_channels,
                  windows(node, "height", source.shape.dims[1], int64_t{d.pad_top} + d.pad_bottom,
                          d.kernel_h, d.dilation_h, d.stride_h),
                  windows(node, "width", source.shape.dims[2], int64_t{d.pad_left} + d.pad_right,
                          d.kernel_w, d.dilation_w, d.stride_w)});
    const mn_shape weight = shape_of({d.out_channels, channels / d.groups, d.kernel_h, d.kernel_w});
    check_size(node, weight, "weight");
    const int64_t fan_in = weight.dims[1] * weight.dims[2] * weight.dims[3];
    node.parameters.push_back({"weight", weight, true, false, fan_in});
    if (d.bias) node.parameters.push_back({"bias", shape_of({d.out_channels}), true, true, fan_in});
}

int64_t pooled(const Node& node, const char* side, int64_t size, int64_t pad, int64_t kernel,
               int64_t stride, bool ceil_mode) {
    // PyTorch: rounding up may make even the first window reach beyond the far padding, but the
    // last one must start inside the image or its near padding.
    const int64_t beyond = ceil_mode ? stride - 1 : 0;
    const int64_t out = windows(node, side, size, 2 * pad + beyond, kernel, 1, stride);
    return (out - 1) * stride < size + pad ? out : out - 1;
}

void pool2d(Node& node, const Node* const* sources) {
    const Node& source = *sources[0];
    const mn_pool2d_desc& d = node.desc.pool2d;
    expect_image(node, source);
    expect_range(node, "kernel_h", d.kernel_h, 1, kMaxWindow);
    expect_range(node, "kernel_w", d.kernel_w, 1, kMaxWindow);
    expect_range(node, "stride_h", d.stride_h, 1, kMaxWindow);
    expect_range(node, "stride_w", d.stride_w, 1, kMaxWindow);
    expect_range(node, "pad_h (at most half the kernel)", d.pad_h, 0, d.kernel_h / 2);
    expect_range(node, "pad_w (at most half the kernel)", d.pad_w, 0, d.kernel_w / 2);
    expect_flag(node, "ceil_mode", d.ceil_mode);
    expect_flag(node, "count_include_pad", d.count_include_pad);
    node.shape = shape_of(
        {source.shape.dims[0],
         pooled(node, "height", source.shape.dims[1], d.pad_h, d.kernel_h, d.stride_h, d.ceil_mode),
         pooled(node, "width", source.shape.dims[2], d.pad_w, d.kernel_w, d.stride_w,
                d.ceil_mode)});
}

void global_avg_pool2d(Node& node, const Node* const* sources) {
    expect_image(node, *sources[0]);
    node.shape = shape_of({sources[0]->shape.dims[0], 1, 1});
}

void linear(Node& node, const Node* const* sources) {
    const mn_linear_desc& d = node.desc.linear;
    expect_features(node, *sources[0]);
    expect_range(node, "out_features", d.out_features, 1, INT32_MAX);
    expect_flag(node, "bias", d.bias);
    const int64_t in = sources[0]->shape.dims[0];
    const mn_shape weight = shape_of({d.out_features, in});
    check_size(node, weight, "weight");
    node.shape = shape_of({d.out_features});
    node.parameters.push_back({"weight", weight, true, false, in});
    if (d.bias) node.parameters.push_back({"bias", shape_of({d.out_features}), true, true, in});
}

void activation(Node& node, const Node* const* sources) {
    expect_range(node, "kind", node.desc.activation.kind, MN_ACTIVATION_RELU, MN_ACTIVATION_RELU);
    same_shape(node, sources);
}

void flatten(Node& node, const Node* const* sources) {
    node.shape = shape_of({element_count(sources[0]->shape)});
}

void softmax(Node& node, const Node* const* sources) {
    expect_features(node, *sources[0]);
    same_shape(node, sources);
}

constexpr OpInfo kOps[] = {
    {MN_OP_INPUT, "input", nullptr},
    {MN_OP_NORMALIZE, "normalize", normalize},
    {MN_OP_CONV2D, "conv2d", conv2d},
    {MN_OP_MAX_POOL2D, "max_pool2d", pool2d},
    {MN_OP_AVG_POOL2D, "avg_pool2d", pool2d},
    {MN_OP_GLOBAL_AVG_POOL2D, "global_avg_pool2d", global_avg_pool2d},
    {MN_OP_LINEAR, "linear", linear},
    {MN_OP_ACTIVATION, "activation", activation},
    {MN_OP_FLATTEN, "flatten", flatten},
    {MN_OP_SOFTMAX, "softmax", softmax},
};

}  // namespace

const OpInfo& op_info(int32_t op) {
    for (const OpInfo& info : kOps)
        if (info.op == op) return info;
    fail(MN_INTERNAL, "there is no op ", op);
}

}  // namespace mn
