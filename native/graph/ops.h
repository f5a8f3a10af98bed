// The table of ops: what each is called, how it checks its sources and infers its shape, and which
// parameters it owns. To add an op, add a row.

#pragma once

#include "graph/graph.h"

namespace mn {

struct OpInfo {
    int32_t op;
    const char* name;
    // Checks node.desc against the sources, completes it, and sets node.shape and node.parameters.
    void (*infer)(Node& node, const Node* const* sources);
};

// Throws if there is no such op.
const OpInfo& op_info(int32_t op);

}  // namespace mn
