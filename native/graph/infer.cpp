#include "graph/infer.h"

namespace mn::infer {
namespace {

// No parameter may be larger, so that sizes in bytes stay far from overflow.
constexpr int64_t kMaxElements = int64_t{1} << 40;

}  // namespace

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
             " from \"", source.name, "\"");
}

void expect_features(const Node& node, const Node& source) {
    if (source.shape.rank != 1)
        fail(MN_SHAPE_MISMATCH, node.label(), "takes features {F}, got ", text_of(source.shape),
             " from \"", source.name, "\"; add a flatten before it");
}

void expect_at_least(const Node& node, const char* what, float value, float low) {
    if (!std::isfinite(value) || value < low)
        fail(MN_INVALID_ARGUMENT, node.label(), what, " must be finite and at least ", low,
             ", got ", value);
}

void expect_groups(const Node& node, int64_t groups, const char* what, int64_t channels,
                   const Node* source) {
    if (channels % groups)
        fail(MN_SHAPE_MISMATCH, node.label(), "expects ", what, " that ", groups,
             " groups divide, got ", channels,
             source ? text(" from \"", source->name, "\"") : std::string());
}

ParameterSpec uniform_parameter(const char* suffix, const mn_shape& shape, bool bias,
                                int64_t fan_in) {
    ParameterSpec spec;
    spec.suffix = suffix;
    spec.shape = shape;
    spec.bias = bias;
    spec.init = Init::kUniform;
    spec.init_value = 1.0 / std::sqrt(static_cast<double>(fan_in));
    return spec;
}

ParameterSpec constant_parameter(const char* suffix, const mn_shape& shape, bool bias,
                                 double value) {
    ParameterSpec spec;
    spec.suffix = suffix;
    spec.shape = shape;
    spec.bias = bias;
    spec.init_value = value;
    return spec;
}

int64_t saturated_product(int64_t a, int64_t b) {
    return b == 0 || a <= INT64_MAX / b ? a * b : INT64_MAX;
}

void same_shape(Node& node, Sources sources) {
    node.shape = sources[0]->shape;
}

void input(Node& node, Sources) {
    const mn_shape& wanted = node.desc.input.shape;
    if (wanted.rank < 1 || wanted.rank > MN_MAX_VALUE_RANK)
        fail(MN_SHAPE_MISMATCH, node.label(), "rank must be 1 to ", MN_MAX_VALUE_RANK, ", got ",
             wanted.rank);
    for (int i = 0; i < wanted.rank; i++) {
        if (wanted.dims[i] < 1 || wanted.dims[i] > (1 << 24))
            fail(MN_SHAPE_MISMATCH, node.label(), "dimension ", i, " must be 1 to 2^24, got ",
                 wanted.dims[i]);
        node.shape.dims[node.shape.rank++] = wanted.dims[i];
    }
}

void normalize(Node& node, Sources sources) {
    const Node& source = *sources[0];
    mn_normalize_desc& desc = node.desc.normalize;
    if (source.op != MN_OP_INPUT)
        fail(MN_INVALID_ARGUMENT, node.label(),
             "belongs to an input: its source must be an input, not \"", source.name, "\"");
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

void linear(Node& node, Sources sources) {
    const mn_linear_desc& d = node.desc.linear;
    expect_features(node, *sources[0]);
    expect_range(node, "out_features", d.out_features, 1, INT32_MAX);
    expect_flag(node, "bias", d.bias);
    const int64_t in = sources[0]->shape.dims[0];
    const mn_shape weight = shape_of({d.out_features, in});
    check_size(node, weight, "weight");
    node.shape = shape_of({d.out_features});
    node.multiply_adds = in * d.out_features;
    node.parameters.push_back(uniform_parameter("weight", weight, false, in));
    if (d.bias)
        node.parameters.push_back(uniform_parameter("bias", shape_of({d.out_features}), true, in));
}

void activation(Node& node, Sources sources) {
    const mn_activation_desc& d = node.desc.activation;
    switch (d.kind) {
#define MN_ACTIVATION(id, value, formula) case MN_ACTIVATION_##id:
#include "graph/ops.def"
        break;
        default:
            fail(MN_INVALID_ARGUMENT, node.label(), "there is no kind ", d.kind);
    }
    if (!std::isfinite(d.alpha) || (d.kind == MN_ACTIVATION_SOFTPLUS && d.alpha <= 0))
        fail(MN_INVALID_ARGUMENT, node.label(),
             "alpha must be finite (softplus: and above 0), got ", d.alpha);
    if (std::isnan(d.threshold) || (d.kind == MN_ACTIVATION_HARDTANH && d.alpha >= d.threshold))
        fail(MN_INVALID_ARGUMENT, node.label(),
             "threshold must be a number (hardtanh: above alpha, ", d.alpha, "), got ",
             d.threshold);
    same_shape(node, sources);
}

bool is_elementwise(const mn_op_desc&) {
    return true;
}

void flatten(Node& node, Sources sources) {
    node.shape = shape_of({element_count(sources[0]->shape)});
}

void softmax(Node& node, Sources sources) {
    expect_features(node, *sources[0]);
    same_shape(node, sources);
}

}  // namespace mn::infer
