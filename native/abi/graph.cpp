// Graphs.

#include "abi/guard.h"
#include "abi/handles.h"

using namespace mn;
using namespace mn::abi;

namespace {

mn_status add_node(mn_graph graph, int32_t op, int32_t source, const mn_op_desc& desc,
                   const char* name, int32_t* node_out) {
    return guard([&] {
        require(node_out, "node_out");
        const std::shared_ptr<GraphObject> object = get<GraphObject>(graph);
        std::lock_guard lock(object->mutex);
        *node_out = object->graph.add(op, {source}, desc, name);
    });
}

// As above, for ops whose struct the caller gives.
template <typename Desc>
mn_status add_node(mn_graph graph, int32_t op, int32_t source, Desc mn_op_desc::*member,
                   const Desc* desc, const char* name, int32_t* node_out) {
    mn_op_desc op_desc{};
    const mn_status status = guard([&] { op_desc.*member = take(desc, "desc"); });
    return status == MN_OK ? add_node(graph, op, source, op_desc, name, node_out) : status;
}

}  // namespace

mn_status mn_graph_create(mn_graph* graph_out) {
    return guard([&] {
        require(graph_out, "graph_out");
        *graph_out = HandleTable::instance().add(std::make_shared<GraphObject>());
    });
}

mn_status mn_graph_destroy(mn_graph graph) {
    return guard([&] { HandleTable::instance().remove<GraphObject>(graph); });
}

mn_status mn_graph_input(mn_graph graph, const mn_shape* shape, const char* name,
                         int32_t* node_out) {
    return guard([&] {
        require(shape, "shape");
        require(node_out, "node_out");
        const std::shared_ptr<GraphObject> object = get<GraphObject>(graph);
        std::lock_guard lock(object->mutex);
        *node_out = object->graph.add_input(*shape, name);
    });
}

mn_status mn_graph_normalize(mn_graph graph, int32_t source, const mn_normalize_desc* desc,
                             const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_NORMALIZE, source, &mn_op_desc::normalize, desc, name, node_out);
}

mn_status mn_graph_conv2d(mn_graph graph, int32_t source, const mn_conv2d_desc* desc,
                          const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_CONV2D, source, &mn_op_desc::conv2d, desc, name, node_out);
}

mn_status mn_graph_max_pool2d(mn_graph graph, int32_t source, const mn_pool2d_desc* desc,
                              const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_MAX_POOL2D, source, &mn_op_desc::pool2d, desc, name, node_out);
}

mn_status mn_graph_avg_pool2d(mn_graph graph, int32_t source, const mn_pool2d_desc* desc,
                              const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_AVG_POOL2D, source, &mn_op_desc::pool2d, desc, name, node_out);
}

mn_status mn_graph_global_avg_pool2d(mn_graph graph, int32_t source, const char* name,
                                     int32_t* node_out) {
    return add_node(graph, MN_OP_GLOBAL_AVG_POOL2D, source, {}, name, node_out);
}

mn_status mn_graph_linear(mn_graph graph, int32_t source, const mn_linear_desc* desc,
                          const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_LINEAR, source, &mn_op_desc::linear, desc, name, node_out);
}

mn_status mn_graph_activation(mn_graph graph, int32_t source, const mn_activation_desc* desc,
                              const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_ACTIVATION, source, &mn_op_desc::activation, desc, name, node_out);
}

mn_status mn_graph_flatten(mn_graph graph, int32_t source, const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_FLATTEN, source, {}, name, node_out);
}

mn_status mn_graph_softmax(mn_graph graph, int32_t source, const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_SOFTMAX, source, {}, name, node_out);
}

mn_status mn_graph_describe(mn_graph graph, int32_t node, mn_node_info* info_out) {
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
        copy_name(info.name, n.name);
        give(info_out, info);
    });
}
