// Graphs.

#include <algorithm>
#include <type_traits>

#include "abi/guard.h"
#include "abi/handles.h"

using namespace mn;
using namespace mn::abi;

namespace {

void take_desc(mn_none_desc&, const void*) {}

template <typename Desc>
void take_desc(Desc& to, const void* desc) {
    to = take(static_cast<const Desc*>(desc), "desc");
}

// Of an op of the graph, by its row in the table.
mn_op_desc desc_of(int32_t op, const void* desc) {
    mn_op_desc result{};
    switch (op) {
#define MN_OP(id, name, member, infer, sources, cpu, cuda, traits) \
    case MN_OP_##id:                                               \
        take_desc(result.member, desc);                            \
        break;
#include "graph/ops.def"
        default:
            fail(MN_INVALID_ARGUMENT, "there is no op ", op);
    }
    return result;
}

void require_desc_size(const mn_none_desc&, const void*) {}

template <typename Desc>
void require_desc_size(const Desc&, const void* desc) {
    require_size(static_cast<const Desc*>(desc), "desc_out");
}

void give_desc(const mn_none_desc&, void*) {}

template <typename Desc>
void give_desc(const Desc& desc, void* to) {
    give(static_cast<Desc*>(to), desc);
}

// Calls `body` with the member of the descriptor that the node's op has.
template <typename Body>
void with_desc(const Node& node, Body&& body) {
    const mn_op_desc desc = node.whole_desc();
    switch (node.op) {
#define MN_OP(id, name, member, infer, sources, cpu, cuda, traits) \
    case MN_OP_##id:                                               \
        return body(desc.member);
#include "graph/ops.def"
    }
}

uint32_t size_of_desc(const Node& node) {
    uint32_t size = 0;
    with_desc(node, [&](const auto& desc) {
        using Desc = std::decay_t<decltype(desc)>;
        size = std::is_same_v<Desc, mn_none_desc> ? 0 : sizeof(Desc);
    });
    return size;
}

// Every op with the usual sources has its typed function.
#define MN_OP(id, name, desc, infer, sources, cpu, cuda, traits) \
    static_assert(&mn_graph_##name != nullptr);
#include "graph/ops.def"

}  // namespace

mn_status mn_graph_create(mn_graph* graph_out) {
    return guard([&] {
        require(graph_out, "graph_out");
        *graph_out = HandleTable::instance().make<GraphObject>();
    });
}

mn_status mn_graph_destroy(mn_graph graph) {
    return guard([&] { HandleTable::instance().remove<GraphObject>(graph); });
}

mn_status mn_graph_add(mn_graph graph, int32_t op, const void* desc, const int32_t* sources,
                       int32_t source_count, const char* name, int32_t* node_out) {
    return mn_graph_add_with(graph, op, desc, sources, source_count, nullptr, 0, name, node_out);
}

mn_status mn_graph_add_with(mn_graph graph, int32_t op, const void* desc, const int32_t* sources,
                            int32_t source_count, const int32_t* parameters,
                            int32_t parameter_count, const char* name, int32_t* node_out) {
    return guard([&] {
        const mn_op_desc op_desc = desc_of(op, desc);
        require(node_out, "node_out");
        if (source_count < 0 || source_count > MN_MAX_SOURCES)
            fail(MN_INVALID_ARGUMENT, "source_count must be 0 to ", MN_MAX_SOURCES, ", got ",
                 source_count);
        if (source_count) require(sources, "sources");
        if (parameter_count < 0 || parameter_count > MN_MAX_PARAMETERS)
            fail(MN_INVALID_ARGUMENT, "parameter_count must be 0 to ", MN_MAX_PARAMETERS, ", got ",
                 parameter_count);
        if (parameter_count) require(parameters, "parameters");
        const std::vector<int32_t> ids(sources, sources + source_count);
        const std::vector<int32_t> shared(parameters, parameters + parameter_count);
        const std::shared_ptr<GraphObject> object = get<GraphObject>(graph);
        std::lock_guard lock(object->mutex);
        *node_out = object->graph.add(op, ids, op_desc, name, shared);
    });
}

mn_status mn_graph_new_parameter(mn_graph graph, const mn_parameter_desc* desc, const char* name,
                                 int32_t* parameter_out) {
    return guard([&] {
        const mn_parameter_desc d = take(desc, "desc");
        require(name, "name");
        require(parameter_out, "parameter_out");
        ParameterSpec spec;
        spec.suffix = name;
        spec.whole_name = true;
        spec.shape = d.shape;
        spec.trainable = d.trainable != 0;
        spec.init_value = d.init_value;
        switch (d.init) {
            case MN_INIT_CONSTANT:
                spec.init = Init::kConstant;
                break;
            case MN_INIT_UNIFORM:
                spec.init = Init::kUniform;
                break;
            case MN_INIT_NORMAL:
                spec.init = Init::kNormal;
                break;
            default:
                fail(MN_INVALID_ARGUMENT, "[parameter \"", name, "\"] there is no init ", d.init);
        }
        const std::shared_ptr<GraphObject> object = get<GraphObject>(graph);
        std::lock_guard lock(object->mutex);
        *parameter_out = object->graph.add_parameter(spec);
    });
}

mn_status mn_graph_node(mn_graph graph, int32_t node, mn_node_info* info_out, void* desc_out) {
    return guard([&] {
        require_size(info_out, "info_out");
        const std::shared_ptr<GraphObject> object = get<GraphObject>(graph);
        std::lock_guard lock(object->mutex);
        const Node& n = object->graph.node(node);
        mn_node_info info{};
        info.op = n.op;
        info.shape = n.shape;
        for (const ParameterSpec& spec : n.parameters)
            if (spec.trainable) info.parameter_count += element_count(spec.shape);
        info.multiply_adds = n.multiply_adds;
        copy_name(info.name, n.name);
        info.desc_size = size_of_desc(n);
        info.parameters = static_cast<int32_t>(n.parameters.size());
        info.source_count = static_cast<int32_t>(n.sources.size());
        std::copy(n.sources.begin(), n.sources.end(), info.sources);
        if (desc_out) {
            with_desc(n, [&](const auto& desc) { require_desc_size(desc, desc_out); });
            with_desc(n, [&](const auto& desc) { give_desc(desc, desc_out); });
        }
        give(info_out, info);
    });
}

mn_status mn_graph_parameter(mn_graph graph, int32_t node, int32_t index,
                             mn_parameter_info* info_out) {
    return guard([&] {
        require_size(info_out, "info_out");
        const std::shared_ptr<GraphObject> object = get<GraphObject>(graph);
        std::lock_guard lock(object->mutex);
        const Node& n = object->graph.node(node);
        if (index < 0 || index >= static_cast<int32_t>(n.parameters.size()))
            fail(MN_NOT_FOUND, n.label(), "there is no parameter ", index, "; the node has ",
                 n.parameters.size());
        const int32_t id = n.parameter_ids[index];
        give(info_out, describe(object->graph.parameters()[id], id));
    });
}
