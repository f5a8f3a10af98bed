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
    if (node.name.size() >= MN_NAME_CAPACITY - 16)
        fail(MN_INVALID_ARGUMENT, "a node's name takes at most ", MN_NAME_CAPACITY - 17,
             " bytes, got ", node.name.size());
    for (const Node& other : nodes_)
        if (other.name == node.name)
            fail(MN_INVALID_ARGUMENT, node.label(), "the name is taken by node ", other.id);
    return node;
}

int32_t Graph::add_input(const mn_shape& shape, const char* name) {
    return add(MN_OP_INPUT, {}, {}, name, &shape);
}

int32_t Graph::add(int32_t op, const std::vector<int32_t>& sources, const mn_op_desc& desc,
                   const char* name, const mn_shape* shape) {
    Node node = make(op, name);
    node.desc = desc;
    if (shape) node.shape = *shape;
    node.sources = sources;
    std::vector<const Node*> nodes;
    for (int32_t source : sources) {
        if (source < 0 || source >= size())
            fail(MN_NOT_FOUND, node.label(), "source ", source, " is not a node; the graph has ",
                 size());
        nodes.push_back(&nodes_[source]);
    }
    op_info(op).infer(node, nodes.data());
    check_size(node);
    if (op == MN_OP_INPUT) inputs_.push_back(node.id);
    nodes_.push_back(std::move(node));
    return size() - 1;
}

const Node& Graph::node(int32_t id) const {
    if (id < 0 || id >= size())
        fail(MN_NOT_FOUND, "there is no node ", id, "; the graph has ", size());
    return nodes_[id];
}

}  // namespace mn
