// What the core asks of a backend, in C: sized, versioned structs of plain data, so that a backend
// may live in a library of its own, built by another compiler. No exception crosses this line.
//
// A backend answers about one node at a time. The core owns the graph, the passes, the memory plan
// and the step loop; it asks `query` what a node needs, `prepare`s one kernel for each node and
// direction of a plan, and then only calls `run`, in order, with addresses filled in.
//
// All sizes are bytes and all strides are elements unless said otherwise.

#ifndef MN_BACKEND_H
#define MN_BACKEND_H

#include "graph/op_desc.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MNB_VERSION 2
#define MNB_MAX_SOURCES MN_MAX_SOURCES
#define MNB_MAX_PARAMS MN_MAX_PARAMETERS
#define MNB_KERNEL_NAME 64

// Alignment of every buffer that the core hands to a kernel.
#define MNB_ALIGNMENT 64

enum mnb_direction {
    MNB_FORWARD_INFERENCE = 0,
    MNB_FORWARD_TRAINING = 1,  // may fill `saved`
    MNB_BACKWARD = 2           // diff_dst -> diff_src (where wanted) and diff_param
};

// The order of a value's dimensions in memory: as they are, the last innermost, or with the first,
// the channels, innermost.
enum mnb_layout { MNB_NCHW = 0, MNB_NHWC = 1 };

// Dimensions of a value without N, which every value has and no shape shows, and of a parameter.
#define MNB_MAX_RANK MN_MAX_RANK

// A value as a kernel sees it: one batch of `rank` dimensions an image, rank 0 for no value. The
// element x[0], x[1], ... of image n is at n * image_stride + x[0] * strides[0] + ...
typedef struct mnb_tensor {
    int32_t layout;  // mnb_layout
    int32_t dtype;   // mn_dtype of the elements
    int32_t rank;    // 1 to MNB_MAX_RANK - 1
    int32_t reserved;
    int64_t dims[MNB_MAX_RANK];
    int64_t strides[MNB_MAX_RANK];
    int64_t image_stride;
} mnb_tensor;

// How a parameter is stored. The first dimension of weights is the output's, the second the
// input's, and biases have the first only.
enum mnb_param_layout {
    // Not yet chosen; only where a query asks for the backend's choice.
    MNB_PARAM_ANY = -1,
    // PyTorch's order: the last dimension is innermost.
    MNB_PARAM_PLAIN = 0,
    // Panels of 16 outputs, inputs next to innermost, padded with zeros to whole panels: the
    // dimensions from outermost in are o / 16, dims[2], dims[3] ..., dims[1], o % 16.
    MNB_PARAM_PANEL16 = 1
};
#define MNB_PANEL 16

enum mnb_param_role {
    MNB_WEIGHT = 0,
    MNB_BIAS = 1,
    MNB_STATISTIC = 2  // running statistics: training forward passes change them
};

// A parameter in memory. The element x of a plain one is at x[0] * strides[0] + x[1] * strides[1]
// + ...; in panels x[0] adds x[0] / 16 * strides[0] + x[0] % 16 instead.
//
// A linear layer reads sources of any rank. Its weights are O x I; where it reads a source with
// channels innermost, `dims` splits I as the source's dimensions split its elements (O x C x H x W)
// so that weights and source are stored in the same order.
typedef struct mnb_param {
    int32_t role;    // mnb_param_role
    int32_t layout;  // mnb_param_layout
    int32_t dtype;   // mn_dtype of the elements
    int32_t rank;    // 1 to MNB_MAX_RANK
    int64_t dims[MNB_MAX_RANK];
    int64_t strides[MNB_MAX_RANK];
    int64_t storage;  // elements with padding: what value, gradient and moments each occupy
} mnb_param;

typedef mn_op_desc mnb_desc;

// One (fused) node. Fused is: main op, then bias, then normalisation, then activation, then
// pooling.
typedef struct mnb_node {
    uint32_t struct_size;
    int32_t op;  // mn_op or mnb_op
    const char* name;
    mnb_desc desc;
    int32_t activation;  // mn_activation_kind fused into the result, or 0
    int32_t has_pool;    // 1: max pooling `pool` fused after the activation
    mn_pool2d_desc pool;
    int32_t source_count;
    mnb_tensor source[MNB_MAX_SOURCES];
    int32_t wants_diff_src[MNB_MAX_SOURCES];  // backward must compute it
    mnb_tensor result;                        // of rank 0 for a loss
    int32_t param_count;
    mnb_param parameter[MNB_MAX_PARAMS];
    int32_t max_batch;
    uint32_t layer;                            // the user's layer, for random numbers
    int32_t wants_diff_param[MNB_MAX_PARAMS];  // backward must compute it: not frozen
    // 1: the batch normalisation `norm` by running statistics is folded into a convolution, for
    // inference only. Its parameters, in their order and plain, follow the convolution's.
    int32_t has_norm;
    mn_batch_norm_desc norm;
    int32_t precision;  // mn_precision of products; one that the device told of
} mnb_node;

// What backward reads of the forward pass besides diff_dst; the planner keeps it alive.
enum mnb_needs { MNB_NEEDS_SRC = 1, MNB_NEEDS_DST = 2, MNB_NEEDS_SAVED = 4 };

typedef struct mnb_support {
    uint32_t struct_size;
    int32_t supported;   // 0: this node cannot be run as it is (the fuser then leaves it apart)
    int32_t src_layout;  // mnb_layout that every source must have
    int32_t dst_layout;  // mnb_layout of the result
    // Of parameters whose layout was MNB_PARAM_ANY the choice, which follows from op, desc and
    // source shape and layout only; of the others the layout that they have.
    int32_t param_layout[MNB_MAX_PARAMS];
    int32_t backward_needs;   // mnb_needs
    int64_t saved_bytes;      // forward -> backward state of one image
    int64_t workspace_bytes;  // scratch of one run with max_batch images
    int64_t packed_bytes;     // weights derived from the parameters, kept by the plan
    // How the node is computed, for profiles, such as "gemm"; of a backward pass that computes its
    // gradients in two ways "sparse, gemm": by the source, by the parameters.
    char kernel[MNB_KERNEL_NAME];
} mnb_support;

// Where images come from.
typedef struct mnb_input {
    const void* images;      // device memory: first image of the batch or of the data set
    const int32_t* indices;  // device memory; null: contiguous
    // In device memory: of the batch's images or, with indices, of the whole data set; or null.
    const int32_t* labels;
    int32_t dtype;  // mn_dtype
    // In device memory: the batch's gradients for MNB_OP_OUTPUT_GRADIENT, count x the source's c,
    // h, w in that order; or null.
    const float* output_gradients;
    const float* targets;  // for MNB_OP_TARGET_LOSS, likewise
} mnb_input;

// What tells runs of a plan apart. Runs that agree in all of it differ only in their step, loss
// scales and the contents of memory.
typedef struct mnb_sequence {
    uint32_t struct_size;
    int32_t count;
    int32_t accumulate;
    int32_t input_count;
    const mnb_input* inputs;
    uint64_t owner;  // of the kernels and addresses; no number is used twice
} mnb_sequence;

// What a loss kernel reports, in device memory. `correct` counts rows whose first largest value is
// the label's; rows whose label is ignored count nowhere.
typedef struct mnb_loss_result {
    double numerator;
    double denominator;
    int64_t correct;
} mnb_loss_result;

typedef struct mnb_run {
    uint32_t struct_size;
    int32_t count;  // images in this batch, <= max_batch
    // Backward, of each parameter: 1 adds to diff_param, 0 sets it.
    int32_t accumulate[MNB_MAX_PARAMS];
    const mnb_input* input;  // MNB_OP_LOAD and losses
    const float* src[MNB_MAX_SOURCES];
    float* dst;
    const float* diff_dst;
    float* diff_src[MNB_MAX_SOURCES];
    float* param[MNB_MAX_PARAMS];
    float* diff_param[MNB_MAX_PARAMS];
    void* saved;
    void* workspace;
    void* packed;
    mnb_loss_result* loss;
    uint64_t seed;
    uint64_t step;
    double loss_scale;  // factor of a loss's gradient
} mnb_run;

// One parameter for the optimizer. moment buffers may be null where the optimizer has none.
typedef struct mnb_update {
    float* value;
    const float* gradient;
    float* moment1;
    float* moment2;
    float* moment3;
    int64_t count;  // storage elements
    float learning_rate_factor;
    float weight_decay;  // instead of the optimizer's
    int64_t step;        // which update of this parameter it is, from 1
    // Adam and AdamW: 1 - beta1^step and 1 - beta2^step.
    double correction1, correction2;
} mnb_update;

// The gradient g of the optimizer's formulas is: scale * gradient, then cut to +- clip_value (if
// above 0), then scaled down to a norm over all parameters of clip_norm (if above 0).
typedef struct mnb_update_options {
    uint32_t struct_size;
    float clip_norm;
    float clip_value;
    double scale;
} mnb_update_options;

// What the device can do at best, as measured; 0: unknown.
typedef struct mnb_peak {
    uint32_t struct_size;
    double flops_per_second;  // float32 multiply-adds, two operations each, from registers
    double bytes_per_second;  // copying in main memory, read and written bytes
} mnb_peak;

typedef struct mnb_host {
    uint32_t struct_size;
    void (*log)(int32_t level, const char* message);
    void (*count_memory)(int64_t bytes);  // added to mn_memory_in_use
} mnb_host;

// Failure of a call; the core makes an mn_status and a text of it.
typedef struct mnb_error {
    int32_t status;  // mn_status
    int32_t reason;  // mn_device_reason
    uint64_t requested_bytes;
    uint64_t free_bytes;
    char text[1024];
} mnb_error;

typedef struct mnb_device_ mnb_device;
typedef struct mnb_kernel_ mnb_kernel;

// Every function returns an mn_status and fills `error` on failure.
typedef struct mnb_backend {
    uint32_t struct_size;
    uint32_t version;  // MNB_VERSION
    const char* name;  // "cpu", "cuda"

    int32_t (*open)(const mnb_host* host, const mn_device_desc* desc, mnb_device** device_out,
                    mnb_error* error);
    void (*close)(mnb_device* device);
    int32_t (*describe)(mnb_device* device, mn_device_info* info_out, mnb_error* error);

    // Memory of the device, aligned to MNB_ALIGNMENT, contents zero.
    int32_t (*alloc)(mnb_device* device, size_t bytes, void** memory_out, mnb_error* error);
    void (*free)(mnb_device* device, void* memory, size_t bytes);
    int32_t (*copy_in)(mnb_device* device, void* dst, const void* src, size_t bytes,
                       mnb_error* error);
    int32_t (*copy_out)(mnb_device* device, void* dst, const void* src, size_t bytes,
                        mnb_error* error);
    // 1: the host's memory is the device's, so that data sets may be borrowed and batches are read
    // where they are. Otherwise the core copies them.
    int32_t shares_host_memory;

    int32_t (*query)(mnb_device* device, const mnb_node* node, int32_t direction,
                     mnb_support* support_out, mnb_error* error);
    int32_t (*prepare)(mnb_device* device, const mnb_node* node, int32_t direction,
                       mnb_kernel** kernel_out, mnb_error* error);
    void (*release)(mnb_device* device, mnb_kernel* kernel);
    // Rebuilds `packed` from the parameters.
    int32_t (*refresh)(mnb_device* device, mnb_kernel* kernel, const mnb_run* run,
                       mnb_error* error);
    int32_t (*run)(mnb_device* device, mnb_kernel* kernel, const mnb_run* run, mnb_error* error);

    // One optimizer step over all parameters.
    int32_t (*update)(mnb_device* device, const mn_optimizer_desc* optimizer,
                      const mnb_update* params, int32_t param_count,
                      const mnb_update_options* options, mnb_error* error);

    // Around the calls of `run` of one run of a plan, by one thread, so that a backend can record
    // and replay them; may be null. `complete`: 0 where an error cut the run short. A plan that is
    // timed runs its kernels outside of them, each followed by synchronize.
    int32_t (*begin)(mnb_device* device, const mnb_sequence* sequence, mnb_error* error);
    int32_t (*end)(mnb_device* device, int32_t complete, mnb_error* error);
    // The owner is going; null if begin is.
    void (*forget)(mnb_device* device, uint64_t owner);
    int32_t (*synchronize)(mnb_device* device, mnb_error* error);

    // Copying out without waiting: `post` begins it, `collect` waits for it, and for nothing that
    // was begun later. Each ticket is collected once, with a `dst` that may be null. Both are null
    // where the host's memory is shared.
    int32_t (*post)(mnb_device* device, const void* src, size_t bytes, uint64_t* ticket_out,
                    mnb_error* error);
    int32_t (*collect)(mnb_device* device, uint64_t ticket, void* dst, size_t bytes,
                       mnb_error* error);

    // Measures the device, which must be idle; may be null.
    int32_t (*measure)(mnb_device* device, mnb_peak* peak_out, mnb_error* error);
} mnb_backend;

// A plugin exports this one function. It returns null if it was built for another version of this
// header than `version`, the core's MNB_VERSION.
typedef const mnb_backend* (*mnb_plugin_init_function)(uint32_t version);
#define MNB_PLUGIN_INIT "mnb_plugin_init"

#ifdef __cplusplus
}
#endif

#endif
