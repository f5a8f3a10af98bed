#include "graph/graph.h"

#include <cmath>

#include "graph/ops.h"

namespace mn {
namespace {

// One image's result may not be larger, so that sizes in bytes stay far from overflow.
constexpr double kMaxElements = 2147483648.0;
// Nor a parameter.
constexpr double kMaxParameter = 1099511627776.0;

void check_size(const Node& node) {
    double count = 1;
    for (int i = 0; i < node.shape.rank; i++) count *= static_cast<double>(node.shape.dims[i]);
    if (count > kMaxElements)
        fail(MN_SHAPE_MISMATCH, node.label(), "the result ", text_of(node.shape),
             " has more than 2^31 elements an image");
}

}  // namespace

std::string Node::label() const {
    return text("[", op_info(op).name, " \"", name, "\"] ");
}

std::string Node::full_name(const ParameterSpec& parameter) const {
    return parameter.whole_name ? parameter.suffix : name + "." + parameter.suffix;
}

mn_op_desc Node::whole_desc() const {
    mn_op_desc whole = desc;
    if (!mean.empty()) {
        whole.normalize.mean = mean.data();
        whole.normalize.std = std.data();
    }
    for (const ParameterSpec& parameter : parameters)
        if (parameter.whole_name) whole.scale.parameter_name = parameter.suffix.c_str();
    return whole;
}

int64_t element_count(const mn_shape& shape) {
    int64_t count = 1;
    for (int i = 0; i < shape.rank; i++) count *= shape.dims[i];
    return count;
}

int64_t dtype_size(int32_t dtype) {
    switch (dtype) {
        case MN_UINT8:
            return 1;
        case MN_BFLOAT16:
            return 2;
        case MN_FLOAT32:
        case MN_INT32:
            return 4;
        default:
            return 0;
    }
}

Node Graph::make(int32_t op, const char* name) const {
    Node node{};
    node.id = size();
    node.op = op;
    node.name = name && *name ? name : text(op_info(op).name, "_", node.id);
    if (node.name.size() > MN_MAX_NODE_NAME)
        fail(MN_INVALID_ARGUMENT, "a node's name takes at most ", MN_MAX_NODE_NAME, " bytes, got ",
             node.name.size());
    const auto taken = ids_.find(node.name);
    if (taken != ids_.end())
        fail(MN_INVALID_ARGUMENT, node.label(), "the name is taken by node ", taken->second);
    return node;
}

int32_t Graph::keep(Node node, std::vector<GraphParameter> own) {
    const int32_t id = node.id;
    const size_t parameters = parameters_.size() + own.size();
    if (parameters > parameters_.capacity())
        parameters_.reserve(std::max(parameters, 2 * parameters_.capacity()));
    const auto named = ids_.emplace(node.name, id).first;
    try {
        if (node.op == MN_OP_INPUT) inputs_.push_back(id);
        nodes_.push_back(std::move(node));
    } catch (...) {
        ids_.erase(named);
        if (!inputs_.empty() && inputs_.back() == id) inputs_.pop_back();
        throw;
    }
    for (GraphParameter& parameter : own) parameters_.push_back(std::move(parameter));
    for (int32_t used : nodes_.back().parameter_ids)
        if (parameters_[used].node < 0) parameters_[used].node = id;
    return id;
}

int32_t Graph::add_input(const mn_shape& shape, const char* name) {
    mn_op_desc desc{};
    desc.input = {sizeof desc.input, 0, shape};
    return add(MN_OP_INPUT, {}, desc, name);
}

int32_t Graph::add(int32_t op, const std::vector<int32_t>& sources, const mn_op_desc& desc,
                   const char* name, const std::vector<int32_t>& parameters) {
    Node node = make(op, name);
    node.desc = desc;
    node.sources = sources;
    const OpInfo& info = op_info(op);
    const auto count = static_cast<int32_t>(sources.size());
    if (count < info.least_sources || count > info.most_sources) {
        const std::string most =
            info.least_sources < info.most_sources ? text(" to ", info.most_sources) : "";
        fail(MN_INVALID_ARGUMENT, node.label(), "takes ", info.least_sources, most,
             " sources, got ", count);
    }
    if (info.traits.complete_sources) info.traits.complete_sources(*this, node);
    std::vector<const Node*> nodes;
    for (int32_t source : node.sources) {
        if (source < 0 || source >= size())
            fail(MN_NOT_FOUND, node.label(), "source ", source, " is not a node; the graph has ",
                 size());
        nodes.push_back(&nodes_[source]);
    }
    info.infer(node, nodes.data());
    check_size(node);
    std::vector<GraphParameter> own = take_parameters(node, parameters);
    const int32_t id = keep(std::move(node), std::move(own));
    if (traits_of(op).rows_gathered) mark_indices(nodes_.back());
    return id;
}

// Sources come before their readers.
void Graph::mark_indices(const Node& embedding) {
    nodes_[embedding.sources[0]].embedding = embedding.id;
    for (int32_t id = embedding.sources[0]; id >= 0; id--)
        if (nodes_[id].embedding == embedding.id && traits_of(nodes_[id].op).values_kept)
            for (int32_t source : nodes_[id].sources) nodes_[source].embedding = embedding.id;
}

std::vector<GraphParameter> Graph::take_parameters(Node& node,
                                                   const std::vector<int32_t>& given) const {
    const auto count = static_cast<int32_t>(parameters_.size());
    if (!given.empty() && given.size() != node.parameters.size())
        fail(MN_INVALID_ARGUMENT, node.label(), "has ", node.parameters.size(), " parameters, got ",
             given.size());
    for (size_t p = 0; p < given.size(); p++) {
        const ParameterSpec& needed = node.parameters[p];
        if (given[p] < -1 || given[p] >= count)
            fail(MN_NOT_FOUND, node.label(), "there is no parameter ", given[p], "; the graph has ",
                 count);
        if (given[p] < 0) continue;
        const GraphParameter& parameter = parameters_[given[p]];
        if (text_of(parameter.spec.shape) != text_of(needed.shape))
            fail(MN_SHAPE_MISMATCH, node.label(), needed.suffix, " is ", text_of(needed.shape),
                 ", \"", parameter.name, "\" is ", text_of(parameter.spec.shape));
        if (parameter.spec.trainable != needed.trainable)
            fail(MN_INVALID_ARGUMENT, node.label(), needed.suffix,
                 needed.trainable ? " is trained, \"" : " is a running statistic, \"",
                 parameter.name, needed.trainable ? "\" is a running statistic" : "\" is trained");
    }
    std::vector<GraphParameter> own;
    for (size_t p = 0; p < node.parameters.size(); p++) {
        node.parameter_ids.push_back(given.empty() ? -1 : given[p]);
        if (node.parameter_ids[p] >= 0) continue;
        node.parameter_ids[p] = count + static_cast<int32_t>(own.size());
        own.push_back({node.full_name(node.parameters[p]), node.parameters[p], node.id,
                       static_cast<uint32_t>(node.id)});
        if (free_names_.count(own.back().name))
            fail(MN_INVALID_ARGUMENT, node.label(), "the graph has a parameter \"", own.back().name,
                 "\"");
    }
    return own;
}

int32_t Graph::add_parameter(const ParameterSpec& spec) {
    const std::string& name = spec.suffix;
    if (name.empty() || name.size() >= MN_NAME_CAPACITY)
        fail(MN_INVALID_ARGUMENT, "a parameter's name takes 1 to ", MN_NAME_CAPACITY - 1,
             " bytes, got ", name.size());
    for (const GraphParameter& other : parameters_)
        if (other.name == name)
            fail(MN_INVALID_ARGUMENT, "[parameter \"", name, "\"] the name is taken");
    if (spec.shape.rank < 1 || spec.shape.rank > MN_MAX_RANK)
        fail(MN_SHAPE_MISMATCH, "[parameter \"", name, "\"] rank must be 1 to ", MN_MAX_RANK,
             ", got ", spec.shape.rank);
    double count = 1;
    for (int d = 0; d < spec.shape.rank; d++) {
        if (spec.shape.dims[d] < 1)
            fail(MN_SHAPE_MISMATCH, "[parameter \"", name, "\"] dimension ", d,
                 " must be at least 1, got ", spec.shape.dims[d]);
        count *= static_cast<double>(spec.shape.dims[d]);
    }
    if (count > kMaxParameter)
        fail(MN_SHAPE_MISMATCH, "[parameter \"", name, "\"] ", text_of(spec.shape),
             " is too large");
    if (!std::isfinite(spec.init_value))
        fail(MN_INVALID_ARGUMENT, "[parameter \"", name, "\"] init_value must be finite, got ",
             spec.init_value);
    const auto id = static_cast<uint32_t>(parameters_.size());
    // Nodes have the streams of their ids.
    parameters_.push_back({name, spec, -1, uint32_t{1} << 31 | id});
    try {
        free_names_.insert(name);
    } catch (...) {
        parameters_.pop_back();
        throw;
    }
    return static_cast<int32_t>(id);
}

const Node& Graph::node(int32_t id) const {
    if (id < 0 || id >= size())
        fail(MN_NOT_FOUND, "there is no node ", id, "; the graph has ", size());
    return nodes_[id];
}

}  // namespace mn
