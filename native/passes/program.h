// What a graph becomes on its way to a plan. Each pass reads and rewrites a Program:
//
//   lower        nodes become operations on values; input and normalisation become one load,
//                losses are attached
//   fold         (inference) batch normalisations become part of the convolutions before them
//   fuse         chains that the backend can run as one operation become one
//   layout       every value gets a layout, with reorders where neighbours disagree; a change of
//                shape becomes a view
//   gradient     (training) the steps of the backward pass, and values for the gradients
//   memory_plan  every value gets its place in the arena
//
// The order matters: fusing before differentiating is what lets a fused operation have a backward
// of its own.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "graph/graph.h"

namespace mn {

struct Value {
    mnb_tensor tensor{};
    int32_t storage = -1;  // the buffer it lives in; views share one
};

struct Operation {
    int32_t op = 0;  // mn_op or mnb_op
    mn_op_desc desc{};
    std::string name;
    int32_t node = -1;                 // the graph's node whose parameters it uses
    std::vector<float> mean, std;      // of a load
    std::vector<float> class_weights;  // of a loss
    int32_t activation = 0;
    bool has_pool = false;
    mn_pool2d_desc pool{};
    bool has_norm = false;
    mn_batch_norm_desc norm{};
    std::vector<int32_t> sources;  // values
    int32_t dst = -1;              // value; -1: none (a loss)
    std::vector<mnb_param> params;
    std::vector<bool> wants_diff_params;  // trained: neither frozen nor a running statistic
    std::vector<int32_t> param_ids;       // their places in the parameter store
    int32_t loss = -1;                    // which of the program's losses it is
    int32_t input = 0;                    // which of the graph's inputs a load reads
    int32_t saved_of = -1;                // operation whose saved state it reads; -1: its own
};

// One call of a kernel.
struct Step {
    int32_t operation;
    int32_t direction;                    // mnb_direction
    int32_t diff_dst = -1;                // value
    std::vector<int32_t> diff_sources{};  // values, -1 where not wanted
    std::vector<int32_t> sources{};       // values: the operation's, or what was computed again
    std::vector<bool> accumulate{};       // of each parameter: an earlier step made a gradient
    mnb_support support{};
};

struct Program {
    std::vector<Operation> operations;  // in order of execution
    std::vector<Value> values;
    int32_t storage_count = 0;
    std::vector<int32_t> outputs;  // values to be read after the run
    int32_t loss_count = 0;
    std::vector<Step> steps;
    std::vector<int32_t> input_gradients;  // values, one an input; -1: none, or not asked for
    bool training = false;
    int32_t max_batch = 1;
    int32_t precision = MN_PRECISION_FLOAT32;

    int32_t add_value(const mnb_tensor& tensor);
    int32_t add_view(const mnb_tensor& tensor, int32_t of);

    // The operation as a backend sees it. The result points into this program.
    mnb_node node(const Operation& operation) const;
};

// A value of that shape and type, densely packed in a layout.
mnb_tensor dense_tensor(const mn_shape& shape, int32_t layout, int32_t dtype = MN_FLOAT32);
// The same value in another layout.
mnb_tensor in_layout(const mnb_tensor& tensor, int32_t layout);

// Whether the two layouts of such a value are the same in memory.
bool layout_is_trivial(const mnb_tensor& tensor);

mn_shape shape_of(const mnb_tensor& tensor);
mn_shape shape_of(const mnb_param& param);
int64_t element_count(const mnb_tensor& tensor);  // of one image

// Bytes of one image of a value.
int64_t image_bytes(const mnb_tensor& tensor);

// A parameter of that shape, stored in a layout; MNB_PARAM_ANY takes no storage.
mnb_param stored_param(const mn_shape& shape, int32_t role, int32_t layout);

// Where the element x of a parameter is stored.
int64_t param_offset(const mnb_param& param, const int64_t* x);

// What the passes ask of a backend.
class BackendQuery {
public:
    virtual ~BackendQuery() = default;
    virtual mnb_support query(const mnb_node& node, int32_t direction) const = 0;
};

struct LowerOptions {
    // How the graph's parameters are stored; empty: that is the backend's to choose.
    std::vector<mnb_param> parameters;
    std::vector<int32_t> outputs;      // nodes
    std::vector<mn_loss_desc> losses;  // each on a node
    std::vector<bool> frozen;          // of the graph's parameters; empty: none
    bool whole_graph = false;          // lower nodes that no output or loss needs, too
    bool training = false;
    int32_t max_batch = 1;
    int32_t precision = MN_PRECISION_FLOAT32;
};

Program lower(const Graph& graph, const LowerOptions& options);
void fold_batch_norm(Program& program, const BackendQuery& backend);
void fuse(Program& program, const BackendQuery& backend);

// Who reads which storage. Passes that fold an operation into another go by it: the operation that
// is gone was the only reader, so all else stays as it was.
class Readers {
public:
    explicit Readers(const Program& program);

    // The only operation that reads the value or a view of it; -1 if there are others or none, or
    // if it is read after the run.
    int32_t only(int32_t value) const;

    // Whether anything reads the value or a view of it, after the run too.
    bool any(int32_t value) const;

private:
    struct Reads {
        int32_t count = 0;
        int32_t operation = -1, value = -1;  // of the last
        bool after = false;
    };

    const Program& program_;
    std::vector<Reads> of_;  // a storage
};

// Takes operations out; `gone` has an entry for each.
void remove_operations(Program& program, const std::vector<bool>& gone);

// The values that live in each storage.
std::vector<std::vector<int32_t>> values_by_storage(const Program& program);
void assign_layouts(Program& program, const BackendQuery& backend);
void schedule_inference(Program& program, const BackendQuery& backend);
void schedule_training(Program& program, const BackendQuery& backend, bool input_gradient);

}  // namespace mn
