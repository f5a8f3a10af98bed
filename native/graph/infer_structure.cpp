// Normalisation, dropout, and how values are put together and taken apart.

#include "graph/infer.h"

namespace mn::infer {
namespace {

void add_affine(Node& node, const mn_shape& shape) {
    node.parameters.push_back(constant_parameter("weight", shape, false, 1));
    node.parameters.push_back(constant_parameter("bias", shape, true, 0));
}

ParameterSpec statistic(const char* suffix, const mn_shape& shape, double value) {
    ParameterSpec spec = constant_parameter(suffix, shape, false, value);
    spec.trainable = false;
    return spec;
}

}  // namespace

void batch_norm(Node& node, Sources sources) {
    const mn_batch_norm_desc& d = node.desc.batch_norm;
    expect_at_least(node, "epsilon", d.epsilon, 0);
    if (!(d.momentum >= 0 && d.momentum <= 1))
        fail(MN_INVALID_ARGUMENT, node.label(), "momentum must be in [0, 1], got ", d.momentum);
    expect_flag(node, "affine", d.affine);
    same_shape(node, sources);
    const mn_shape channels = shape_of({node.shape.dims[0]});
    if (d.affine) add_affine(node, channels);
    node.parameters.push_back(statistic("running_mean", channels, 0));
    node.parameters.push_back(statistic("running_var", channels, 1));
    node.parameters.push_back(statistic("num_batches_tracked", shape_of({1}), 0));
    node.parameters.back().counter = true;
}

void layer_norm(Node& node, Sources sources) {
    const mn_layer_norm_desc& d = node.desc.layer_norm;
    expect_at_least(node, "epsilon", d.epsilon, 0);
    expect_flag(node, "affine", d.affine);
    expect_flag(node, "channels_only", d.channels_only);
    same_shape(node, sources);
    if (d.affine) add_affine(node, d.channels_only ? shape_of({node.shape.dims[0]}) : node.shape);
}

void group_norm(Node& node, Sources sources) {
    mn_group_norm_desc& d = node.desc.group_norm;
    expect_at_least(node, "epsilon", d.epsilon, 0);
    expect_flag(node, "affine", d.affine);
    same_shape(node, sources);
    const int64_t channels = node.shape.dims[0];
    expect_range(node, "groups", d.groups, 0, channels);
    if (d.groups == 0) d.groups = static_cast<int32_t>(channels);
    expect_groups(node, d.groups, "channels", channels);
    if (d.affine) add_affine(node, shape_of({channels}));
}

int64_t batch_norm_statistics(const mn_op_desc&, int64_t, int64_t channels) {
    return channels;
}

int64_t group_norm_statistics(const mn_op_desc& desc, int64_t images, int64_t) {
    return images * desc.group_norm.groups;
}

void local_response_norm(Node& node, Sources sources) {
    const mn_local_response_norm_desc& d = node.desc.local_response_norm;
    expect_image(node, *sources[0]);
    expect_range(node, "size", d.size, 1, kMaxWindow);
    expect_at_least(node, "alpha", d.alpha, 0);
    expect_at_least(node, "beta", d.beta, 0);
    expect_at_least(node, "k", d.k, 0);
    same_shape(node, sources);
}

void dropout(Node& node, Sources sources) {
    const mn_dropout_desc& d = node.desc.dropout;
    if (!(d.probability >= 0 && d.probability <= 1))
        fail(MN_INVALID_ARGUMENT, node.label(), "probability must be in [0, 1], got ",
             d.probability);
    expect_range(node, "unit", d.unit, MN_DROPOUT_ELEMENT, MN_DROPOUT_IMAGE);
    same_shape(node, sources);
}

// Channels are of one shape.
bool dropout_is_elementwise(const mn_op_desc& desc) {
    return desc.dropout.unit != MN_DROPOUT_CHANNEL;
}

bool dropout_is_identity(const mn_op_desc& desc, bool training) {
    return !training || desc.dropout.probability == 0;
}

void scale(Node& node, Sources sources) {
    mn_scale_desc& d = node.desc.scale;
    expect_image(node, *sources[0]);
    if (!std::isfinite(d.initial))
        fail(MN_INVALID_ARGUMENT, node.label(), "initial must be finite, got ", d.initial);
    same_shape(node, sources);
    ParameterSpec spec =
        constant_parameter("weight", shape_of({node.shape.dims[0], 1, 1}), false, d.initial);
    if (d.parameter_name && *d.parameter_name) {
        spec.suffix = d.parameter_name;
        spec.whole_name = true;
        if (spec.suffix.size() >= MN_NAME_CAPACITY)
            fail(MN_INVALID_ARGUMENT, node.label(), "parameter_name takes at most ",
                 MN_NAME_CAPACITY - 1, " bytes, got ", spec.suffix.size());
    }
    d.parameter_name = nullptr;  // the caller's string ends with the call
    node.parameters.push_back(spec);
}

void prelu(Node& node, Sources sources) {
    const mn_prelu_desc& d = node.desc.prelu;
    same_shape(node, sources);
    const int64_t channels = node.shape.dims[0];
    if (d.parameters != 1 && d.parameters != channels)
        fail(MN_SHAPE_MISMATCH, node.label(), "expects 1 or ", channels,
             " parameters (the source's channels), got ", d.parameters);
    if (!std::isfinite(d.initial))
        fail(MN_INVALID_ARGUMENT, node.label(), "initial must be finite, got ", d.initial);
    node.parameters.push_back(
        constant_parameter("weight", shape_of({d.parameters}), false, d.initial));
}

void binary(Node& node, Sources sources) {
    const mn_shape &left = sources[0]->shape, &right = sources[1]->shape;
    expect_range(node, "kind", node.desc.binary.kind, MN_BINARY_ADD, MN_BINARY_MULTIPLY);
    mn_shape one_pixel = left;
    for (int d = 1; d < left.rank; d++) one_pixel.dims[d] = 1;
    if (text_of(left) != text_of(right) && text_of(right) != text_of(one_pixel))
        fail(MN_SHAPE_MISMATCH, node.label(),
             "expects two sources of the same shape, or a second of ", text_of(one_pixel), ", got ",
             text_of(left), " from \"", sources[0]->name, "\" and ", text_of(right), " from \"",
             sources[1]->name, "\"");
    same_shape(node, sources);
}

// Sums hand their gradient on.
bool binary_aliases_gradient(const mn_op_desc& desc, size_t source) {
    const int32_t kind = desc.binary.kind;
    return kind == MN_BINARY_ADD || (kind == MN_BINARY_SUBTRACT && source == 0);
}

void concat(Node& node, Sources sources) {
    node.shape = sources[0]->shape;
    for (size_t i = 1; i < node.sources.size(); i++) {
        const mn_shape& other = sources[i]->shape;
        bool fits = other.rank == node.shape.rank;
        for (int d = 1; d < other.rank; d++) fits &= other.dims[d] == node.shape.dims[d];
        if (!fits)
            fail(MN_SHAPE_MISMATCH, node.label(),
                 "sources may differ in the first dimension only, got ", text_of(sources[0]->shape),
                 " from \"", sources[0]->name, "\" and ", text_of(other), " from \"",
                 sources[i]->name, "\"");
        node.shape.dims[0] += other.dims[0];
    }
}

void slice(Node& node, Sources sources) {
    const mn_slice_desc& d = node.desc.slice;
    same_shape(node, sources);
    expect_range(node, "first", d.first, 0, node.shape.dims[0] - 1);
    expect_range(node, "count", d.count, 1, node.shape.dims[0] - d.first);
    node.shape.dims[0] = d.count;
}

void channel_shuffle(Node& node, Sources sources) {
    expect_image(node, *sources[0]);
    same_shape(node, sources);
    expect_range(node, "groups", node.desc.channel_shuffle.groups, 1, node.shape.dims[0]);
    expect_groups(node, node.desc.channel_shuffle.groups, "channels", node.shape.dims[0]);
}

void reshape(Node& node, Sources sources) {
    node.shape = node.desc.reshape.shape;
    if (node.shape.rank < 1 || node.shape.rank > MN_MAX_VALUE_RANK)
        fail(MN_SHAPE_MISMATCH, node.label(), "rank must be 1 to ", MN_MAX_VALUE_RANK, ", got ",
             node.shape.rank);
    for (int i = 0; i < node.shape.rank; i++)
        if (node.shape.dims[i] < 1 || node.shape.dims[i] > (int64_t{1} << 31))
            fail(MN_SHAPE_MISMATCH, node.label(), "dimension ", i, " must be at least 1, got ",
                 node.shape.dims[i]);
    int64_t count = 1;
    for (int i = 0; i < node.shape.rank; i++) count = saturated_product(count, node.shape.dims[i]);
    if (count != element_count(sources[0]->shape))
        fail(MN_SHAPE_MISMATCH, node.label(), text_of(sources[0]->shape), " has ",
             element_count(sources[0]->shape), " values, ", text_of(node.shape), " has ",
             count == INT64_MAX ? "too many" : text(count));
}

void embedding(Node& node, Sources sources) {
    const mn_embedding_desc& d = node.desc.embedding;
    expect_features(node, *sources[0]);
    expect_range(node, "count", d.count, 1, 1 << 24);
    expect_range(node, "features", d.features, 1, 1 << 24);
    ParameterSpec spec = constant_parameter("weight", shape_of({d.count, d.features}), false, 1);
    spec.init = Init::kNormal;
    check_size(node, spec.shape, "weight");
    node.parameters.push_back(spec);
    node.shape = shape_of({d.features, sources[0]->shape.dims[0]});
}

}  // namespace mn::infer
