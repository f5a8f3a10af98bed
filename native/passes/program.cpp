#include "passes/program.h"

#include <algorithm>

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
        node.source[i] = values[operation.sources[i]].tensor;
    if (operation.dst >= 0) node.result = values[operation.dst].tensor;
    node.param_count = static_cast<int32_t>(operation.params.size());
    for (size_t i = 0; i < operation.params.size(); i++) node.parameter[i] = operation.params[i];
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

mnb_tensor dense_tensor(const mn_shape& shape, int32_t layout, int32_t dtype) {
    mnb_tensor t{};
    t.dtype = dtype;
    t.rank = shape.rank;
    std::copy_n(shape.dims, shape.rank, t.dims);
    return in_layout(t, layout);
}

mnb_tensor in_layout(const mnb_tensor& tensor, int32_t layout) {
    mnb_tensor t = tensor;
    t.layout = layout;
    int64_t stride = 1;
    const auto place = [&](int32_t d) {
        t.strides[d] = stride;
        stride *= t.dims[d];
    };
    if (layout == MNB_NHWC) place(0);
    for (int32_t d = t.rank - 1; d > 0; d--) place(d);
    if (layout != MNB_NHWC) place(0);
    t.image_stride = stride;
    return t;
}

bool layout_is_trivial(const mnb_tensor& tensor) {
    return tensor.dims[0] == 1 || element_count(tensor) == tensor.dims[0];
}

mn_shape shape_of(const mnb_tensor& tensor) {
    mn_shape shape{};
    shape.rank = tensor.rank;
    std::copy_n(tensor.dims, tensor.rank, shape.dims);
    return shape;
}

mn_shape shape_of(const mnb_param& param) {
    mn_shape shape{};
    shape.rank = param.rank;
    std::copy_n(param.dims, param.rank, shape.dims);
    return shape;
}

int64_t element_count(const mnb_tensor& tensor) {
    return element_count(shape_of(tensor));
}

int64_t image_bytes(const mnb_tensor& tensor) {
    return tensor.image_stride * dtype_size(tensor.dtype);
}

mnb_param stored_param(const mn_shape& shape, int32_t role, int32_t layout) {
    mnb_param p{};
    p.role = role;
    p.layout = layout;
    p.rank = shape.rank;
    std::copy_n(shape.dims, shape.rank, p.dims);
    if (layout == MNB_PARAM_ANY) return p;
    const bool panels = layout == MNB_PARAM_PANEL16;
    int64_t stride = panels ? MNB_PANEL : 1;
    const auto place = [&](int32_t d) {
        p.strides[d] = stride;
        stride *= p.dims[d];
    };
    if (panels && p.rank > 1) place(1);
    for (int32_t d = p.rank - 1; d > (panels ? 1 : 0); d--) place(d);
    p.strides[0] = stride;
    p.storage = stride * (panels ? (p.dims[0] + MNB_PANEL - 1) / MNB_PANEL : p.dims[0]);
    return p;
}

int64_t param_offset(const mnb_param& param, const int64_t* x) {
    const bool panels = param.layout == MNB_PARAM_PANEL16;
    int64_t at =
        panels ? x[0] / MNB_PANEL * param.strides[0] + x[0] % MNB_PANEL : x[0] * param.strides[0];
    for (int32_t d = 1; d < param.rank; d++) at += x[d] * param.strides[d];
    return at;
}

}  // namespace mn
