// Graphs.

#include "abi/guard.h"
#include "abi/handles.h"

using namespace mn;
using namespace mn::abi;

namespace {

// A list, not a vector: whatever takes memory happens inside the guard.
using Sources = std::initializer_list<int32_t>;

mn_status add_node(mn_graph graph, int32_t op, Sources sources, const mn_op_desc& desc,
                   const char* name, int32_t* node_out, const mn_shape* shape = nullptr) {
    return guard([&] {
        require(node_out, "node_out");
        const std::shared_ptr<GraphObject> object = get<GraphObject>(graph);
        std::lock_guard lock(object->mutex);
        *node_out = object->graph.add(op, sources, desc, name, shape);
    });
}

// As above, for ops whose struct the caller gives.
template <typename Desc>
mn_status add_node(mn_graph graph, int32_t op, Sources sources, Desc mn_op_desc::*member,
                   const Desc* desc, const char* name, int32_t* node_out) {
    mn_op_desc op_desc{};
    const mn_status status = guard([&] { op_desc.*member = take(desc, "desc"); });
    return status == MN_OK ? add_node(graph, op, sources, op_desc, name, node_out) : status;
}

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
    return add_node(graph, MN_OP_NORMALIZE, {source}, &mn_op_desc::normalize, desc, name, node_out);
}

mn_status mn_graph_conv2d(mn_graph graph, int32_t source, const mn_conv2d_desc* desc,
                          const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_CONV2D, {source}, &mn_op_desc::conv2d, desc, name, node_out);
}

mn_status mn_graph_max_pool2d(mn_graph graph, int32_t source, const mn_pool2d_desc* desc,
                              const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_MAX_POOL2D, {source}, &mn_op_desc::pool2d, desc, name, node_out);
}

mn_status mn_graph_avg_pool2d(mn_graph graph, int32_t source, const mn_pool2d_desc* desc,
                              const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_AVG_POOL2D, {source}, &mn_op_desc::pool2d, desc, name, node_out);
}

mn_status mn_graph_global_avg_pool2d(mn_graph graph, int32_t source, const char* name,
                                     int32_t* node_out) {
    return add_node(graph, MN_OP_GLOBAL_AVG_POOL2D, {source}, {}, name, node_out);
}

mn_status mn_graph_linear(mn_graph graph, int32_t source, const mn_linear_desc* desc,
                          const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_LINEAR, {source}, &mn_op_desc::linear, desc, name, node_out);
}

mn_status mn_graph_activation(mn_graph graph, int32_t source, const mn_activation_desc* desc,
                              const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_ACTIVATION, {source}, &mn_op_desc::activation, desc, name,
                    node_out);
}

mn_status mn_graph_flatten(mn_graph graph, int32_t source, const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_FLATTEN, {source}, {}, name, node_out);
}

mn_status mn_graph_softmax(mn_graph graph, int32_t source, const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_SOFTMAX, {source}, {}, name, node_out);
}

mn_status mn_graph_conv_transpose2d(mn_graph graph, int32_t source,
                                    const mn_conv_transpose2d_desc* desc, const char* name,
                                    int32_t* node_out) {
    return add_node(graph, MN_OP_CONV_TRANSPOSE2D, {source}, &mn_op_desc::conv_transpose2d, desc,
                    name, node_out);
}

mn_status mn_graph_pad2d(mn_graph graph, int32_t source, const mn_pad2d_desc* desc,
                         const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_PAD2D, {source}, &mn_op_desc::pad2d, desc, name, node_out);
}

mn_status mn_graph_adaptive_avg_pool2d(mn_graph graph, int32_t source,
                                       const mn_adaptive_pool2d_desc* desc, const char* name,
                                       int32_t* node_out) {
    return add_node(graph, MN_OP_ADAPTIVE_AVG_POOL2D, {source}, &mn_op_desc::adaptive_pool2d, desc,
                    name, node_out);
}

mn_status mn_graph_adaptive_max_pool2d(mn_graph graph, int32_t source,
                                       const mn_adaptive_pool2d_desc* desc, const char* name,
                                       int32_t* node_out) {
    return add_node(graph, MN_OP_ADAPTIVE_MAX_POOL2D, {source}, &mn_op_desc::adaptive_pool2d, desc,
                    name, node_out);
}

mn_status mn_graph_upsample(mn_graph graph, int32_t source, const mn_upsample_desc* desc,
                            const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_UPSAMPLE, {source}, &mn_op_desc::upsample, desc, name, node_out);
}

mn_status mn_graph_batch_norm(mn_graph graph, int32_t source, const mn_batch_norm_desc* desc,
                              const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_BATCH_NORM, {source}, &mn_op_desc::batch_norm, desc, name,
                    node_out);
}

mn_status mn_graph_layer_norm(mn_graph graph, int32_t source, const mn_layer_norm_desc* desc,
                              const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_LAYER_NORM, {source}, &mn_op_desc::layer_norm, desc, name,
                    node_out);
}

mn_status mn_graph_group_norm(mn_graph graph, int32_t source, const mn_group_norm_desc* desc,
                              const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_GROUP_NORM, {source}, &mn_op_desc::group_norm, desc, name,
                    node_out);
}

mn_status mn_graph_local_response_norm(mn_graph graph, int32_t source,
                                       const mn_local_response_norm_desc* desc, const char* name,
                                       int32_t* node_out) {
    return add_node(graph, MN_OP_LOCAL_RESPONSE_NORM, {source}, &mn_op_desc::local_response_norm,
                    desc, name, node_out);
}

mn_status mn_graph_dropout(mn_graph graph, int32_t source, const mn_dropout_desc* desc,
                           const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_DROPOUT, {source}, &mn_op_desc::dropout, desc, name, node_out);
}

mn_status mn_graph_slice(mn_graph graph, int32_t source, const mn_slice_desc* desc,
                         const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_SLICE, {source}, &mn_op_desc::slice, desc, name, node_out);
}

mn_status mn_graph_scale(mn_graph graph, int32_t source, const mn_scale_desc* desc,
                         const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_SCALE, {source}, &mn_op_desc::scale, desc, name, node_out);
}

mn_status mn_graph_channel_shuffle(mn_graph graph, int32_t source,
                                   const mn_channel_shuffle_desc* desc, const char* name,
                                   int32_t* node_out) {
    return add_node(graph, MN_OP_CHANNEL_SHUFFLE, {source}, &mn_op_desc::channel_shuffle, desc,
                    name, node_out);
}

mn_status mn_graph_embedding(mn_graph graph, int32_t source, const mn_embedding_desc* desc,
                             const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_EMBEDDING, {source}, &mn_op_desc::embedding, desc, name, node_out);
}

mn_status mn_graph_log_softmax(mn_graph graph, int32_t source, const char* name,
                               int32_t* node_out) {
    return add_node(graph, MN_OP_LOG_SOFTMAX, {source}, {}, name, node_out);
}

mn_status mn_graph_max_unpool2d(mn_graph graph, int32_t source, int32_t pool, const char* name,
                                int32_t* node_out) {
    int32_t pooled = -1;
    const mn_status status = guard([&] {
        const std::shared_ptr<GraphObject> object = get<GraphObject>(graph);
        std::lock_guard lock(object->mutex);
        const Node& node = object->graph.node(pool);
        if (node.op != MN_OP_MAX_POOL2D)
            fail(MN_INVALID_ARGUMENT, "[max_unpool2d] node ", pool,
                 " is no max pooling: ", node.label());
        pooled = node.sources[0];
    });
    if (status != MN_OK) return status;
    return add_node(graph, MN_OP_MAX_UNPOOL2D, {source, pooled, pool}, {}, name, node_out);
}

mn_status mn_graph_binary(mn_graph graph, int32_t left, int32_t right, const mn_binary_desc* desc,
                          const char* name, int32_t* node_out) {
    return add_node(graph, MN_OP_BINARY, {left, right}, &mn_op_desc::binary, desc, name, node_out);
}

mn_status mn_graph_concat(mn_graph graph, const int32_t* sources, int32_t source_count,
                          const char* name, int32_t* node_out) {
    return guard([&] {
        require(node_out, "node_out");
        require(sources, "sources");
        if (source_count < 2 || source_count > MNB_MAX_SOURCES)
            fail(MN_INVALID_ARGUMENT, "[concat] takes 2 to ", MNB_MAX_SOURCES, " sources, got ",
                 source_count);
        const std::vector<int32_t> list(sources, sources + source_count);
        const std::shared_ptr<GraphObject> object = get<GraphObject>(graph);
        std::lock_guard lock(object->mutex);
        *node_out = object->graph.add(MN_OP_CONCAT, list, {}, name);
    });
}

mn_status mn_graph_reshape(mn_graph graph, int32_t source, const mn_shape* shape, const char* name,
                           int32_t* node_out) {
    const mn_status status = guard([&] { require(shape, "shape"); });
    if (status != MN_OK) return status;
    return add_node(graph, MN_OP_RESHAPE, {source}, {}, name, node_out, shape);
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
        info.multiply_adds = n.multiply_adds;
        copy_name(info.name, n.name);
        give(info_out, info);
    });
}

mn_status mn_graph_parameter_describe(mn_graph graph, int32_t node, int32_t index,
                                      mn_parameter_info* info_out) {
    return guard([&] {
        require_size(info_out, "info_out");
        const std::shared_ptr<GraphObject> object = get<GraphObject>(graph);
        std::lock_guard lock(object->mutex);
        const Node& n = object->graph.node(node);
        const int32_t count = static_cast<int32_t>(n.parameters.size());
        if (index < 0 || index >= count)
            fail(MN_NOT_FOUND, "there is no parameter ", index, "; node ", node, " has ", count);
        const ParameterSpec& spec = n.parameters[index];
        give(info_out, describe(spec, n.id, n.parameter_name(spec)));
    });
}
