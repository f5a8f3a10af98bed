#include "graph/graph.h"

#include "graph/ops.h"

namespace mn {
namespace {

// One image's result may not be larger, so that sizes in bytes stay far from overflow.
constexpr double kMaxElements = 2147483648.0;

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

int32_t Graph::keep(Node node) {
    const int32_t id = node.id;
    const auto named = ids_.emplace(node.name, id).first;
    try {
        if (node.op == MN_OP_INPUT) inputs_.push_back(id);
        nodes_.push_back(std::move(node));
    } catch (...) {
        ids_.erase(named);
        if (!inputs_.empty() && inputs_.back() == id) inputs_.pop_back();
        throw;
    }
    return id;
}

int32_t Graph::add_input(const mn_shape& shape, const char* name) {
    mn_op_desc desc{};
    desc.input = {sizeof desc.input, 0, shape};
    return add(MN_OP_INPUT, {}, desc, name);
}

int32_t Graph::add(int32_t op, const std::vector<int32_t>& sources, const mn_op_desc& desc,
                   const char* name) {
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
    const int32_t id = keep(std::move(node));
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

const Node& Graph::node(int32_t id) const {
    if (id < 0 || id >= size())
        fail(MN_NOT_FOUND, "there is no node ", id, "; the graph has ", size());
    return nodes_[id];
}

}  // namespace mn
