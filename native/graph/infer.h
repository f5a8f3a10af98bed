// Shape inference of the ops, and what it is made of. One function an op: it checks node.desc
// against the sources, completes it, and sets node.shape and node.parameters.

#pragma once

#include <cmath>
#include <cstddef>
#include <initializer_list>

#include "graph/graph.h"

namespace mn::infer {

mn_shape shape_of(std::initializer_list<int64_t> dims);

// Each throws, naming the node and what is wrong.
void check_size(const Node& node, const mn_shape& shape, const char* what);
void expect_range(const Node& node, const char* what, int64_t value, int64_t low, int64_t high);
void expect_flag(const Node& node, const char* what, int32_t value);
void expect_at_least(const Node& node, const char* what, float value, float low);
void expect_image(const Node& node, const Node& source);
void expect_features(const Node& node, const Node& source);
// `source`: whose channels they are, if not the node's own.
void expect_groups(const Node& node, int64_t groups, const char* what, int64_t channels,
                   const Node* source = nullptr);

// A parameter whose first values are uniform in +-1 / sqrt(fan_in), as PyTorch has them.
ParameterSpec uniform_parameter(const char* suffix, const mn_shape& shape, bool bias,
                                int64_t fan_in);
ParameterSpec constant_parameter(const char* suffix, const mn_shape& shape, bool bias,
                                 double value);

// The product of two numbers that are not negative, or the largest number.
int64_t saturated_product(int64_t a, int64_t b);

constexpr int64_t kMaxWindow = MN_MAX_WINDOW;

using Sources = const Node* const*;

// One function an op.
#define MN_OP(id, name, desc, infer, sources, cpu, cuda, traits) \
    void infer(Node&, const Node* const*);
#include "graph/ops.def"

// Sets the shape of the first source.
void same_shape(Node& node, Sources sources);

// Traits that depend on the node.
void complete_unpooling(const Graph& graph, Node& node);
bool is_elementwise(const mn_op_desc& desc);
bool dropout_is_elementwise(const mn_op_desc& desc);
bool dropout_is_identity(const mn_op_desc& desc, bool training);
bool binary_aliases_gradient(const mn_op_desc& desc, size_t source);
int64_t batch_norm_statistics(const mn_op_desc& desc, int64_t images, int64_t channels);
int64_t group_norm_statistics(const mn_op_desc& desc, int64_t images, int64_t channels);

}  // namespace mn::infer
