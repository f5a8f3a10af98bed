// What the table of ops (ops.def) says of each: names, traits, shape inference. Passes and plans
// ask here and name no op of the graph themselves.

#pragma once

#include <cstddef>

#include "graph/graph.h"

namespace mn {

// What lowering makes of a node.
enum class Lowering {
    kOperation,       // an operation of the same op
    kView,            // nothing: the elements of its source in their order, in another shape
    kLoad,            // the load of an input
    kNormalizedLoad,  // the load of its source, which normalises
};

// Operations that others take in, to be computed behind them by the same kernel.
enum PostOp : uint32_t {
    kPostNorm = 1,        // a normalisation by running statistics, for inference
    kPostActivation = 2,  // an activation
    kPostPool = 4,        // a max pooling
};

// Traits of an op, made in ops.def by naming those that differ from the usual.
struct Traits {
    Lowering lowering = Lowering::kOperation;
    uint32_t post_ops = 0;                  // PostOp values that it takes in
    uint32_t post_op = 0;                   // the PostOp that it is
    uint32_t differentiable_sources = ~0u;  // bit s: the result is differentiable by source s
    bool values_kept = false;               // some of the values, as they are
    bool bias_added = false;                // a parameter with ParameterSpec::bias is a sum's
    bool statistics_moved = false;          // training changes its parameters
    bool probabilities = false;             // no loss takes its result for logits
    bool rows_gathered = false;             // reads a row of its parameter a value, not all
    bool by_element = false;                // weights have an input for each of the elements of a
                                            // source, which may have any rank
    int32_t frozen_op = -1;                 // what it is where its statistics are frozen
    int32_t recompute_op = -1;              // what makes its result once more while training
    // Adds sources that follow from those given; null: none do.
    void (*complete_sources)(const Graph& graph, Node& node) = nullptr;
    // Whether the result is the source as it is; null: never.
    bool (*is_identity)(const mn_op_desc& desc, bool training) = nullptr;
    // Into how many sets, with statistics of their own, a batch falls in training; null: none.
    int64_t (*statistics)(const mn_op_desc& desc, int64_t images, int64_t channels) = nullptr;
    // Whether each element of the result follows from that of the source at its place, whatever the
    // shape; null: never.
    bool (*is_elementwise)(const mn_op_desc& desc) = nullptr;
    // Whether the gradient by a source is that of the result as it is; null: never.
    bool (*aliases_gradient)(const mn_op_desc& desc, size_t source) = nullptr;

    constexpr Traits lowered(Lowering value) const {
        Traits result = *this;
        result.lowering = value;
        return result;
    }
    constexpr Traits takes(uint32_t value) const {
        Traits result = *this;
        result.post_ops = value;
        return result;
    }
    constexpr Traits is(uint32_t value) const {
        Traits result = *this;
        result.post_op = value;
        return result;
    }
    constexpr Traits differentiable_by(uint32_t value) const {
        Traits result = *this;
        result.differentiable_sources = value;
        return result;
    }
    constexpr Traits keeps_values() const {
        Traits result = *this;
        result.values_kept = true;
        return result;
    }
    constexpr Traits adds_bias() const {
        Traits result = *this;
        result.bias_added = true;
        return result;
    }
    constexpr Traits moves_statistics() const {
        Traits result = *this;
        result.statistics_moved = true;
        return result;
    }
    constexpr Traits gives_probabilities() const {
        Traits result = *this;
        result.probabilities = true;
        return result;
    }
    constexpr Traits gathers_rows() const {
        Traits result = *this;
        result.rows_gathered = true;
        return result;
    }
    constexpr Traits weighs_elements() const {
        Traits result = *this;
        result.by_element = true;
        return result;
    }
    constexpr Traits frozen(int32_t op) const {
        Traits result = *this;
        result.frozen_op = op;
        return result;
    }
    constexpr Traits recomputed(int32_t op) const {
        Traits result = *this;
        result.recompute_op = op;
        return result;
    }
    constexpr Traits sources_completed_by(void (*value)(const Graph&, Node&)) const {
        Traits result = *this;
        result.complete_sources = value;
        return result;
    }
    constexpr Traits identity_if(bool (*value)(const mn_op_desc&, bool)) const {
        Traits result = *this;
        result.is_identity = value;
        return result;
    }
    constexpr Traits normalizes(int64_t (*value)(const mn_op_desc&, int64_t, int64_t)) const {
        Traits result = *this;
        result.statistics = value;
        return result;
    }
    constexpr Traits elementwise_if(bool (*value)(const mn_op_desc&)) const {
        Traits result = *this;
        result.is_elementwise = value;
        return result;
    }
    constexpr Traits aliases_gradient_if(bool (*value)(const mn_op_desc&, size_t)) const {
        Traits result = *this;
        result.aliases_gradient = value;
        return result;
    }
};

struct OpInfo {
    int32_t op;  // mn_op or mnb_op
    const char* name;
    Traits traits;
    int32_t least_sources, most_sources;  // of an op of the graph
    // Checks node.desc against the sources, completes it, and sets node.shape and node.parameters;
    // null for an op that passes make.
    void (*infer)(Node& node, const Node* const* sources);
};

// Throws if there is no such op.
const OpInfo& op_info(int32_t op);

inline const Traits& traits_of(int32_t op) {
    return op_info(op).traits;
}

}  // namespace mn
