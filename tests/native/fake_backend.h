// A backend that only answers queries, as a test wants them answered.

#pragma once

#include <functional>
#include <map>
#include <vector>

#include "passes/memory_plan.h"

namespace mn::test {

class FakeBackend : public BackendQuery {
public:
    struct Wish {
        int32_t src = MNB_NCHW, dst = MNB_NCHW;
    };

    std::map<int32_t, Wish> layouts;  // by op; NCHW where nothing is said
    std::function<bool(const mnb_node&, int32_t)> refuses;
    int32_t needs = MNB_NEEDS_SRC;
    int64_t saved_bytes = 0, workspace_bytes = 0;

    mnb_support query(const mnb_node& node, int32_t direction) const override {
        mnb_support support{};
        support.struct_size = sizeof support;
        support.supported = !refuses || !refuses(node, direction);
        const auto wish = layouts.find(node.op);
        if (wish != layouts.end()) {
            support.src_layout = wish->second.src;
            support.dst_layout = wish->second.dst;
        }
        for (int i = 0; i < node.param_count; i++)
            support.param_layout[i] =
                support.src_layout == MNB_NHWC ? MNB_PARAM_PANEL16 : MNB_PARAM_PLAIN;
        support.backward_needs = needs;
        support.saved_bytes = direction == MNB_FORWARD_INFERENCE ? 0 : saved_bytes;
        support.workspace_bytes = workspace_bytes;
        return support;
    }
};

}  // namespace mn::test
