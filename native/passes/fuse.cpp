// Takes the operations behind an op into it that its traits name: convolution, linear layer or
// batch normalisation -> ReLU, and convolution -> ReLU (which does not decrease, so that it
// commutes with the maximum) -> max pooling, where
// - the intermediate result has no other reader and is no output,
// - a pooling window has at most 255 elements, so that a byte tells which of them won,
// - and the backend says that it supports the fused operation in every direction of the plan.
// A normalisation in training mode would stand between and so breaks the chain by itself.

#include "graph/ops.h"
#include "passes/program.h"

namespace mn {
namespace {

class Fuser {
public:
    Fuser(Program& program, const BackendQuery& backend)
        : program_(program),
          backend_(backend),
          readers_(program),
          gone_(program.operations.size()) {}

    void run() {
        for (size_t i = 0; i < program_.operations.size(); i++) {
            if (gone_[i]) continue;
            const uint32_t post_ops = traits_of(program_.operations[i].op).post_ops;
            if (post_ops & kPostActivation) absorb(i, kPostActivation);
            if (post_ops & kPostPool) absorb(i, kPostPool);
        }
        remove_operations(program_, gone_);
    }

private:
    // Tries to take the only reader of operation i's result into it.
    void absorb(size_t i, PostOp post_op) {
        const int32_t reader = readers_.only(program_.operations[i].dst);
        if (reader < 0 || traits_of(program_.operations[reader].op).post_op != post_op) return;
        const Operation& next = program_.operations[reader];
        Operation fused = program_.operations[i];
        if (post_op == kPostActivation) {
            // Of the others a backend would have to know the parameters, too.
            if (next.desc.activation.kind != MN_ACTIVATION_RELU) return;
            fused.activation = next.desc.activation.kind;
        } else {
            if (next.desc.pool2d.kernel_h * next.desc.pool2d.kernel_w > 255) return;
            fused.has_pool = true;
            fused.pool = next.desc.pool2d;
        }
        fused.dst = next.dst;
        if (!supported(fused)) return;
        program_.operations[i] = std::move(fused);
        gone_[reader] = true;
    }

    bool supported(const Operation& operation) const {
        mnb_node node = program_.node(operation);
        node.wants_diff_src[0] = 1;
        if (!program_.training) return backend_.query(node, MNB_FORWARD_INFERENCE).supported;
        return backend_.query(node, MNB_FORWARD_TRAINING).supported &&
               backend_.query(node, MNB_BACKWARD).supported;
    }

    Program& program_;
    const BackendQuery& backend_;
    const Readers readers_;
    std::vector<bool> gone_;
};

}  // namespace

void fuse(Program& program, const BackendQuery& backend) {
    Fuser(program, backend).run();
}

}  // namespace mn
