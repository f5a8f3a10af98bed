// Gives every value the layout that the operation which makes it prefers, and puts a reorder where
// a reader wants another. A value of one channel or one pixel is the same in both: it only gets
// another label. Elements in the order of their dimensions stay where they are when the shape
// changes: an MNB_OP_VIEW goes, and where it must a reorder comes. The layout of parameters
// that have none follows from that of the source.

#include <map>
#include <utility>

#include "passes/program.h"

namespace mn {
namespace {

class LayoutPass {
public:
    LayoutPass(Program& program, const BackendQuery& backend)
        : program_(program), backend_(backend), values_(values_by_storage(program)) {}

    void run() {
        std::vector<Operation> operations = std::move(program_.operations);
        program_.operations.clear();
        for (Operation& operation : operations) {
            if (operation.op == MNB_OP_VIEW) {
                const int32_t source = to_layout(operation.sources[0], MNB_NCHW);
                program_.values[operation.dst].storage = program_.values[source].storage;
                continue;
            }
            const int32_t direction =
                program_.training ? MNB_FORWARD_TRAINING : MNB_FORWARD_INFERENCE;
            const mnb_support wish = query(operation, direction);
            for (int32_t& source : operation.sources) source = to_layout(source, wish.src_layout);
            // Asked again with the sources as they will be: the answer may depend on them.
            const mnb_support support = query(operation, direction);
            if (operation.dst >= 0) set_layout(operation.dst, support.dst_layout);
            for (size_t i = 0; i < operation.params.size(); i++) {
                mnb_param& param = operation.params[i];
                if (param.layout == MNB_PARAM_ANY)
                    param = stored_param(shape_of(param), param.role, support.param_layout[i]);
            }
            program_.operations.push_back(std::move(operation));
        }
        // Results leave in the interface's order.
        for (int32_t& output : program_.outputs) output = to_layout(output, MNB_NCHW);
    }

private:
    mnb_support query(const Operation& operation, int32_t direction) const {
        const mnb_support support = backend_.query(program_.node(operation), direction);
        if (!support.supported)
            fail(MN_UNSUPPORTED, "[", operation.name, "] is not supported by this device");
        return support;
    }

    void set_layout(int32_t value, int32_t layout) {
        for (int32_t of : values_[program_.values[value].storage])
            program_.values[of].tensor = in_layout(program_.values[of].tensor, layout);
    }

    // The value itself, a view with another label, or the result of a reorder put before.
    int32_t to_layout(int32_t value, int32_t layout) {
        const mnb_tensor from = program_.values[value].tensor;
        if (from.layout == layout) return value;
        const auto known = reordered_.find({value, layout});
        if (known != reordered_.end()) return known->second;
        const mnb_tensor to = in_layout(from, layout);
        int32_t result;
        if (layout_is_trivial(from)) {
            result = program_.add_view(to, value);
        } else {
            result = program_.add_value(to);
            Operation reorder;
            reorder.op = MNB_OP_REORDER;
            reorder.name = "reorder";
            reorder.sources.push_back(value);
            reorder.dst = result;
            program_.operations.push_back(std::move(reorder));
        }
        reordered_[{value, layout}] = result;
        return result;
    }

    Program& program_;
    const BackendQuery& backend_;
    // As the pass finds them. What it adds is made after the layout of its storage is set.
    const std::vector<std::vector<int32_t>> values_;
    std::map<std::pair<int32_t, int32_t>, int32_t> reordered_;
};

}  // namespace

void assign_layouts(Program& program, const BackendQuery& backend) {
    LayoutPass(program, backend).run();
}

}  // namespace mn
