// A network as the user describes it: nodes in the order of their definition, each with one result.
// A graph knows no device; shapes leave N out.

#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "graph/error.h"
#include "graph/op_desc.h"

namespace mn {

// How first values are drawn.
enum class Init { kConstant, kUniform, kNormal };

// A parameter that a node needs, in PyTorch's layout.
struct ParameterSpec {
    std::string suffix;  // "weight"; or with `whole_name` the parameter's name
    mn_shape shape;
    bool trainable = true;
    bool bias = false;
    Init init = Init::kConstant;
    double init_value = 0;  // kUniform: half the width; kNormal: deviation; kConstant: the value
    bool whole_name = false;
    bool counter = false;  // counts the batches of training; the store does it, in whole numbers
};

// A parameter of a graph, which one node uses or several.
struct GraphParameter {
    std::string name;  // "0.weight"
    ParameterSpec spec;
    int32_t node;  // the first that uses it, -1: none
    // Which stream of random numbers its first values are from.
    uint32_t stream;
};

struct Node {
    int32_t id;
    int32_t op;  // mn_op
    std::string name;
    std::vector<int32_t> sources;
    mn_op_desc desc;
    std::vector<float> mean, std;  // normalize
    mn_shape shape;
    std::vector<ParameterSpec> parameters;
    std::vector<int32_t> parameter_ids;  // in the graph, one for each
    int64_t multiply_adds = 0;           // of one image, by the op's definition; see mn_node_info
    int32_t embedding = -1;              // that takes this node's values, as they are, for indices

    // "[conv2d "conv1"] ", the beginning of every message about the node.
    std::string label() const;
    // "conv1.weight"
    std::string full_name(const ParameterSpec& parameter) const;
    // The descriptor with what infer has moved to the node; it points into the node.
    mn_op_desc whole_desc() const;
};

class Graph {
public:
    // Adds a node and infers its shape; leaves the graph as it was if that fails.
    // `parameters`: ids of those that the node uses, -1 for one of its own; empty: all are its own.
    int32_t add(int32_t op, const std::vector<int32_t>& sources, const mn_op_desc& desc,
                const char* name, const std::vector<int32_t>& parameters = {});

    // Adds a parameter that no node uses so far; spec.suffix is its name.
    int32_t add_parameter(const ParameterSpec& spec);

    // Adds an input.
    int32_t add_input(const mn_shape& shape, const char* name);

    const Node& node(int32_t id) const;
    const std::vector<int32_t>& inputs() const { return inputs_; }  // ids, the first is 0
    const std::vector<GraphParameter>& parameters() const { return parameters_; }
    int32_t size() const { return static_cast<int32_t>(nodes_.size()); }

private:
    Node make(int32_t op, const char* name) const;
    void mark_indices(const Node& embedding);
    // Sets node.parameter_ids and returns the parameters that the node makes.
    std::vector<GraphParameter> take_parameters(Node& node,
                                                const std::vector<int32_t>& given) const;
    // Takes in a finished node and its own parameters, as a whole or not at all.
    int32_t keep(Node node, std::vector<GraphParameter> own);

    std::vector<Node> nodes_;
    std::unordered_map<std::string, int32_t> ids_;  // of the nodes' names
    std::vector<int32_t> inputs_;
    std::vector<GraphParameter> parameters_;
    std::unordered_set<std::string> free_names_;  // of parameters that no node has made
};

int64_t element_count(const mn_shape& shape);

// Bytes of an element, 0 if there is no such mn_dtype.
int64_t dtype_size(int32_t dtype);

}  // namespace mn
