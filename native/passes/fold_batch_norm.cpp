// For inference: a batch normalisation by running statistics is a factor and a shift a channel, and
// so is what a convolution before it does last. Where no one else reads the convolution's result,
// the backend keeps weights and bias with both in them, and the normalisation costs nothing. They
// are rebuilt when a parameter or a statistic has changed.

#include "graph/ops.h"
#include "passes/program.h"

namespace mn {

void fold_batch_norm(Program& program, const BackendQuery& backend) {
    if (program.training) return;
    const Readers readers(program);
    std::vector<bool> gone(program.operations.size());
    for (size_t i = 0; i < program.operations.size(); i++) {
        if (!(traits_of(program.operations[i].op).post_ops & kPostNorm)) continue;
        const int32_t reader = readers.only(program.operations[i].dst);
        if (reader < 0 || traits_of(program.operations[reader].op).post_op != kPostNorm) continue;
        const Operation& norm = program.operations[reader];
        Operation folded = program.operations[i];
        folded.has_norm = true;
        folded.norm = norm.desc.batch_norm;
        folded.params.insert(folded.params.end(), norm.params.begin(), norm.params.end());
        folded.param_ids.insert(folded.param_ids.end(), norm.param_ids.begin(),
                                norm.param_ids.end());
        folded.wants_diff_params.resize(folded.params.size());
        folded.dst = norm.dst;
        if (!backend.query(program.node(folded), MNB_FORWARD_INFERENCE).supported) continue;
        program.operations[i] = std::move(folded);
        gone[reader] = true;
    }
    remove_operations(program, gone);
}

}  // namespace mn
