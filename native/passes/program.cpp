#include "passes/program.h"

namespace mn {

int32_t Program::add_value(const mnb_tensor& tensor) {
    values.push_back({tensor, storage_count++});
    return static_cast<int32_t>(values.size()) - 1;
}

int32_t Program::add_view(const mnb_tensor& tensor, int32_t of) {
    values.push_back({tensor, values[of].storage});
    return static_cast<int32_t>(values.size()) - 1;
}

mnb_node Program::node(const Operation& operation) const {
    mnb_node node{};
    node.struct_size = sizeof node;
    node.op = operation.op;
    node.name = operation.name.c_str();
    node.desc = operation.desc;
    if (operation.op == MNB_OP_LOAD && !operation.mean.empty()) {
        node.desc.normalize.mean = operation.mean.data();
        node.desc.normalize.std = operation.std.data();
    }
    if (operation.loss >= 0)
        node.desc.loss.class_weights =
            operation.class_weights.empty() ? nullptr : operation.class_weights.data();
    node.activation = operation.activation;
    node.has_pool = operation.has_pool;
    node.pool = operation.pool;
    node.has_norm = operation.has_norm;
    node.norm = operation.norm;
    node.source_count = static_cast<int32_t>(operation.sources.size());
    for (size_t i = 0; i < operation.sources.size(); i++)
        node.src[i] = values[operation.sources[i]].tensor;
    if (operation.dst >= 0) node.dst = values[operation.dst].tensor;
    node.param_count = static_cast<int32_t>(operation.params.size());
    for (size_t i = 0; i < operation.params.size(); i++) node.param[i] = operation.params[i];
    for (size_t i = 0; i < operation.wants_diff_params.size(); i++)
        node.wants_diff_param[i] = operation.wants_diff_params[i];
    node.layer = static_cast<uint32_t>(operation.node);
    node.max_batch = max_batch;
    node.precision = precision;
    return node;
}

Readers::Readers(const Program& program) : program_(program), of_(program.storage_count) {
    for (size_t i = 0; i < program.operations.size(); i++)
        for (int32_t source : program.operations[i].sources) {
            Reads& reads = of_[program.values[source].storage];
            reads.count++;
            reads.operation = static_cast<int32_t>(i);
            reads.value = source;
        }
    for (int32_t output : program.outputs) of_[program.values[output].storage].after = true;
}

int32_t Readers::only(int32_t value) const {
    const Reads& reads = of_[program_.values[value].storage];
    return reads.count == 1 && reads.value == value && !reads.after ? reads.operation : -1;
}

bool Readers::any(int32_t value) const {
    const Reads& reads = of_[program_.values[value].storage];
    return reads.count > 0 || reads.after;
}

void remove_operations(Program& program, const std::vector<bool>& gone) {
    size_t kept = 0;
    for (size_t i = 0; i < program.operations.size(); i++) {
        if (gone[i]) continue;
        if (kept != i) program.operations[kept] = std::move(program.operations[i]);
        kept++;
    }
    program.operations.resize(kept);
}

std::vector<std::vector<int32_t>> values_by_storage(const Program& program) {
    std::vector<std::vector<int32_t>> result(program.storage_count);
    for (size_t v = 0; v < program.values.size(); v++)
        result[program.values[v].storage].push_back(static_cast<int32_t>(v));
    return result;
}

mnb_tensor dense_tensor(int64_t c, int64_t h, int64_t w, bool flat, int32_t layout) {
    mnb_tensor t{};
    t.layout = layout;
    t.flat = flat;
    t.c = c, t.h = h, t.w = w;
    t.sn = c * h * w;
    if (layout == MNB_NHWC)
        t.sc = 1, t.sw = c, t.sh = w * c;
    else
        t.sw = 1, t.sh = w, t.sc = h * w;
    return t;
}

bool layout_is_trivial(const mnb_tensor& tensor) {
    return tensor.c == 1 || tensor.h * tensor.w == 1;
}

int64_t image_bytes(const mnb_tensor& tensor) {
    return tensor.sn * static_cast<int64_t>(sizeof(float));
}

}  // namespace mn
