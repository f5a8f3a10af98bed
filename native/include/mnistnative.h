/// @file mnistnative.h
/// The C ABI of MnistNative: describe a convolutional network, train it, run it.
///
/// Conventions
/// - Every function returns an ::mn_status (except ::mn_abi_version, ::mn_version and
///   ::mn_last_error, which cannot fail); results go to out-parameters, which are last and are
///   written only when the status is ::MN_OK.
/// - A failed call leaves the objects as they were. The text of the failure is kept per thread:
///   ::mn_last_error, with numbers in ::mn_last_error_info.
/// - Objects are 64-bit handles, never addresses; 0 is no object. A null, stale or foreign handle
///   is refused with ::MN_INVALID_HANDLE.
/// - Structs (but ::mn_shape) start with `struct_size`, which the caller sets to `sizeof` the
///   struct. Structs grow at their end, and a field that is 0 has its default. So a library that is
///   newer than the caller takes the fields that it does not get as 0, and leaves those alone that
///   the caller has no room for; one that is older refuses a struct whose further bytes are not all
///   0, and sets them to 0 in results. No struct is smaller than in the first version of this
///   interface. All elements of an array have the same `struct_size`.
/// - Images are N x C x H x W, features are N x F, both contiguous. Shapes leave N out.
/// - Strings are UTF-8 and end with a zero byte; the library copies what it is given.
/// - Functions may be called from any thread. A model takes any number of concurrent
///   ::mn_model_forward and ::mn_model_evaluate; a trainer is used by one thread at a time, and a
///   step and a forward of the same model wait for each other.
/// - The library prints nothing and never ends the process.

#ifndef MNISTNATIVE_H
#define MNISTNATIVE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#if defined(MN_BUILDING_LIBRARY)
#define MN_API __declspec(dllexport)
#else
#define MN_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define MN_API __attribute__((visibility("default")))
#else
#define MN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/// Version of this interface. It grows by one whenever a caller built against an older header
/// would misbehave; ::mn_abi_version gives the library's.
#define MN_ABI_VERSION 1

/// Most dimensions of a shape. Parameters have 1 to 6.
#define MN_MAX_RANK 6

/// Most dimensions of a value, such as an input or a node's result, without N.
#define MN_MAX_VALUE_RANK 5

/// Most sources of a node.
#define MN_MAX_SOURCES 8

/// Most parameters of a node, running statistics among them.
#define MN_MAX_PARAMETERS 8

/// Most threads of a CPU device.
#define MN_MAX_THREADS 1024

/// Most images that a plan takes at once (mn_trainer_desc::max_batch,
/// mn_model_desc::inference_batch).
#define MN_MAX_BATCH 1048576

/// Largest kernel, stride, dilation, padding or factor of a side.
#define MN_MAX_WINDOW 32768

/// Most bytes of a node's name in UTF-8, without the closing zero; those of its parameters fit
/// ::MN_NAME_CAPACITY.
#define MN_MAX_NODE_NAME 235

/// Bytes of a name in an info struct, with the closing zero.
#define MN_NAME_CAPACITY 256

/// Bytes of the list of libraries in ::mn_device_info, with the closing zero.
#define MN_LIBRARIES_CAPACITY 1024

// ---------------------------------------------------------------------------------------------
// Status and errors
// ---------------------------------------------------------------------------------------------

/// How a call ended; one of the values below.
typedef int32_t mn_status;

/// Values of ::mn_status.
enum mn_status_value {
    /// The call did what it says.
    MN_OK = 0,
    /// An argument is null, out of range or contradicts another.
    MN_INVALID_ARGUMENT = 1,
    /// A handle is null, stale, or names an object of another kind.
    MN_INVALID_HANDLE = 2,
    /// A shape or a buffer's size does not fit what it is used for.
    MN_SHAPE_MISMATCH = 3,
    /// No memory on the host or the device; see mn_error_info::requested_bytes.
    MN_OUT_OF_MEMORY = 4,
    /// The combination is valid but this library or device does not support it.
    MN_UNSUPPORTED = 5,
    /// The device cannot be used; see mn_error_info::reason.
    MN_DEVICE_UNAVAILABLE = 6,
    /// There is no node or parameter of that id or name.
    MN_NOT_FOUND = 7,
    /// The object is in use: a model has one trainer at a time.
    MN_BUSY = 8,
    /// A fault of the library; please report it.
    MN_INTERNAL = 9
};

/// Why a device cannot be used.
enum mn_device_reason {
    /// The last error is not about a device.
    MN_REASON_NONE = 0,
    /// The backend's plugin library is not installed.
    MN_REASON_NO_PLUGIN = 1,
    /// The plugin was found but is of another version or does not load.
    MN_REASON_PLUGIN_MISMATCH = 2,
    /// The device's driver is not installed.
    MN_REASON_NO_DRIVER = 3,
    /// The driver is older than the plugin needs.
    MN_REASON_DRIVER_TOO_OLD = 4,
    /// The driver reports no device.
    MN_REASON_NO_DEVICE = 5,
    /// The device index is not below the number of devices.
    MN_REASON_NO_SUCH_INDEX = 6,
    /// The device is of an architecture that the plugin has no code for.
    MN_REASON_ARCHITECTURE = 7,
    /// A library that the plugin needs is missing or too old.
    MN_REASON_LIBRARY_MISSING = 8,
    /// The processor lacks the requested instruction set.
    MN_REASON_INSTRUCTION_SET = 9
};

/// Details of this thread's last failed call.
typedef struct mn_error_info {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// The status that the call returned.
    mn_status status;
    /// Why a device cannot be used, an ::mn_device_reason.
    int32_t reason;
    /// Always 0.
    int32_t reserved;
    /// Bytes that could not be allocated; 0 if the failure is another.
    uint64_t requested_bytes;
    /// Bytes that were free when the allocation failed; 0 if unknown.
    uint64_t free_bytes;
} mn_error_info;

/// The library's value of ::MN_ABI_VERSION. Compare it before calling anything else.
MN_API int32_t mn_abi_version(void);

/// The library's version, such as "0.1.0". The text lives as long as the library.
MN_API const char* mn_version(void);

/// Text of the last failed call of this thread, "" if there was none. The text stays valid until
/// the thread's next call that fails.
MN_API const char* mn_last_error(void);

/// Numbers of the last failed call of this thread.
/// @param info_out receives them; its struct_size must be set.
MN_API mn_status mn_last_error_info(mn_error_info* info_out);

/// How important a log message is.
enum mn_log_level { MN_LOG_DEBUG = 0, MN_LOG_INFORMATION = 1, MN_LOG_WARNING = 2 };

/// Receives log messages. It may be called from any thread and must not call the library.
/// @param level an ::mn_log_level.
/// @param message text, valid during the call only.
/// @param user the pointer given to ::mn_set_log_callback.
typedef void (*mn_log_callback)(int32_t level, const char* message, void* user);

/// Sets the process-wide receiver of log messages; null silences them, as at the start.
/// When this returns, the former receiver is not running and will not be called again.
/// @param callback the receiver, or null.
/// @param user handed to every call.
MN_API mn_status mn_set_log_callback(mn_log_callback callback, void* user);

/// Bytes that the library holds at present for devices, data sets, models and trainers of the
/// whole process (tensors and workspaces; not the few kilobytes of bookkeeping).
/// @param bytes_out receives the number; 0 after everything was destroyed.
MN_API mn_status mn_memory_in_use(int64_t* bytes_out);

// ---------------------------------------------------------------------------------------------
// Devices
// ---------------------------------------------------------------------------------------------

/// A processor that plans are compiled for, with its thread pool or its stream.
typedef uint64_t mn_device;

/// Kinds of device.
enum mn_device_kind { MN_DEVICE_CPU = 0, MN_DEVICE_CUDA = 1 };

/// Flags of ::mn_device_desc.
enum mn_device_flag {
    /// Run every op on its plain reference kernel: slow, the oracle of tests.
    MN_DEVICE_REFERENCE_KERNELS = 1
};

/// Which device to open and how.
typedef struct mn_device_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// An ::mn_device_kind.
    int32_t kind;
    /// Which of the devices of that kind, from 0.
    int32_t index;
    /// Threads that compute (CPU), 1 to ::MN_MAX_THREADS; 0 takes MNISTNATIVE_NUM_THREADS, else the
    /// number of processors this process may use. Results do not depend on it.
    int32_t threads;
    /// Flags of ::mn_device_flag, or 0.
    uint32_t flags;
    /// Always 0.
    uint32_t reserved;
    /// Full path of the backend's plugin library (libmnistnative_cuda); null for the CPU, which
    /// needs none. A plugin stays loaded until the process ends.
    const char* plugin_path;
} mn_device_desc;

/// How products of matrices and convolutions are computed. Values in memory, parameters among them,
/// and sums are float32 with any of them.
enum mn_precision {
    /// From float32.
    MN_PRECISION_FLOAT32 = 0,
    /// From factors rounded to TF32 (10 bits of mantissa, float32's range).
    MN_PRECISION_TENSOR_FLOAT32 = 1,
    /// From factors rounded to bfloat16 (7 bits of mantissa, float32's range).
    MN_PRECISION_BFLOAT16 = 2
};

/// Description of an open device.
typedef struct mn_device_info {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// An ::mn_device_kind.
    int32_t kind;
    /// Which of the devices of that kind.
    int32_t index;
    /// Computing threads; on a GPU its multiprocessors.
    int32_t threads;
    /// Memory of the device in bytes, 0 if unknown.
    int64_t memory_bytes;
    /// Name of the processor or GPU.
    char name[MN_NAME_CAPACITY];
    /// Instruction set or architecture that the kernels use: "base", "avx2", "avx512", "neon",
    /// "compute 8.0" …
    char architecture[MN_NAME_CAPACITY];
    /// Devices of that kind in the computer.
    int32_t device_count;
    /// The newest CUDA that the driver supports, 12040 for 12.4; 0 for the CPU.
    int32_t driver_version;
    /// Which ::mn_precision values a model on the device can have: a bit each, from the lowest.
    uint32_t precisions;
    /// Always 0.
    uint32_t reserved;
    /// Implementation of convolutions: "cudnn", or "cublas" (columns and matrix products); empty
    /// for the CPU.
    char tier[MN_NAME_CAPACITY];
    /// Libraries opened at run time, with paths and versions, separated by "; "; if cuDNN is not
    /// used, the last entry is the reason. Empty for the CPU.
    char libraries[MN_LIBRARIES_CAPACITY];
} mn_device_info;

/// Opens a device. The environment variable MNISTNATIVE_ISA (base, avx2, avx512, neon) forces the
/// CPU's instruction set; one that the processor lacks is refused.
/// @param desc which device.
/// @param device_out receives the handle; give it back with ::mn_device_close.
/// Errors: ::MN_DEVICE_UNAVAILABLE with a reason, ::MN_INVALID_ARGUMENT.
MN_API mn_status mn_device_open(const mn_device_desc* desc, mn_device* device_out);

/// Closes a device. Models and data sets that use it keep it alive until they are destroyed.
MN_API mn_status mn_device_close(mn_device device);

/// Describes an open device.
/// @param device the device.
/// @param info_out receives the description; its struct_size must be set.
MN_API mn_status mn_device_describe(mn_device device, mn_device_info* info_out);

/// Peak rates of a device.
typedef struct mn_device_peak {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Always 0.
    uint32_t reserved;
    /// float32 operations a second on all threads, as multiply-adds from registers, which count as
    /// two; 0 if this device does not measure it.
    double flops_per_second;
    /// Bytes a second, read and written, of copying an array of 64 MiB; 0 if this device does not
    /// measure it.
    double bytes_per_second;
} mn_device_peak;

/// Measures the device, which should be idle meanwhile, for a fraction of a second.
/// @param device the device.
/// @param peak_out receives the figures; its struct_size must be set.
/// Errors: ::MN_OUT_OF_MEMORY (it takes two arrays of 64 MiB).
MN_API mn_status mn_device_measure(mn_device device, mn_device_peak* peak_out);

// ---------------------------------------------------------------------------------------------
// Graphs
// ---------------------------------------------------------------------------------------------

/// A description of a network: nodes, each with one result. It holds no parameters and belongs to
/// no device; models copy what they need from it.
typedef uint64_t mn_graph;

/// Dimensions without N: {C, H, W} for images, {F} for features.
typedef struct mn_shape {
    /// Number of dimensions used, 1 to ::MN_MAX_RANK.
    int32_t rank;
    /// Always 0.
    int32_t reserved;
    /// The dimensions, each at least 1; unused ones are 0.
    int64_t dims[MN_MAX_RANK];
} mn_shape;

/// Kinds of node. A node has one source unless something else is said; what it takes besides is the
/// descriptor that is named. Parameters are called NAME.weight and so on, by the node's name.
enum mn_op {
    /// An input, described by ::mn_input_desc; no source. A graph's first node must be one;
    /// networks
    /// of several inputs add the others wherever they like. Batches feed the first through
    /// mn_batch::images and the others through mn_batch::inputs.
    MN_OP_INPUT = 0,
    /// A normalisation, ::mn_normalize_desc, whose source must be an input: it belongs to how
    /// images
    /// are read. uint8 pixels are divided by 255 first, float32 values are taken as they are.
    MN_OP_NORMALIZE = 1,
    /// A convolution of {C, H, W}, ::mn_conv2d_desc. Parameters: weight, bias, drawn as PyTorch
    /// draws
    /// them: uniform in +-1 / sqrt(C / groups * kernel_h * kernel_w).
    MN_OP_CONV2D = 2,
    /// A max pooling of {C, H, W}, ::mn_pool2d_desc. The first of equal values gets the gradient; a
    /// NaN counts as the largest.
    MN_OP_MAX_POOL2D = 3,
    /// An average pooling of {C, H, W}, ::mn_pool2d_desc.
    MN_OP_AVG_POOL2D = 4,
    /// A mean over height and width, {C, H, W} to {C, 1, 1}; no descriptor.
    MN_OP_GLOBAL_AVG_POOL2D = 5,
    /// A linear layer on {F}, ::mn_linear_desc. Parameters: weight, bias, drawn as PyTorch draws
    /// them: uniform in +-1 / sqrt(F).
    MN_OP_LINEAR = 6,
    /// An elementwise activation, ::mn_activation_desc.
    MN_OP_ACTIVATION = 7,
    /// A flattening, {C, H, W} to {C * H * W}, in that order; no descriptor.
    MN_OP_FLATTEN = 8,
    /// A softmax over the features of {F}; no descriptor.
    MN_OP_SOFTMAX = 9,
    /// A transposed convolution of {C, H, W}, ::mn_conv_transpose2d_desc. Parameters: weight, bias,
    /// drawn as PyTorch draws them: uniform in +-1 / sqrt(O / groups * kernel_h * kernel_w).
    MN_OP_CONV_TRANSPOSE2D = 10,
    /// A padding of {C, H, W}, ::mn_pad2d_desc.
    MN_OP_PAD2D = 11,
    /// The reverse of a max pooling: each value goes where the maximum of its window stood, the
    /// rest
    /// is zero; the result has the shape of the pooling's source. No descriptor. Two sources: the
    /// values, of the shape of the pooling's result, and the ::MN_OP_MAX_POOL2D node. The node
    /// keeps
    /// three, with the pooling's source between them, and is added with these as well.
    MN_OP_MAX_UNPOOL2D = 12,
    /// An average pooling of {C, H, W} to a given size, ::mn_adaptive_pool2d_desc.
    MN_OP_ADAPTIVE_AVG_POOL2D = 13,
    /// A max pooling of {C, H, W} to a given size, ::mn_adaptive_pool2d_desc.
    MN_OP_ADAPTIVE_MAX_POOL2D = 14,
    /// An enlargement of {C, H, W}, ::mn_upsample_desc.
    MN_OP_UPSAMPLE = 15,
    /// A batch normalisation, ::mn_batch_norm_desc. Parameters: weight (ones) and bias (zeros) if
    /// affine; running statistics, which are not trained: running_mean (zeros), running_var (ones)
    /// and num_batches_tracked (one value, the number of training batches seen).
    MN_OP_BATCH_NORM = 16,
    /// A layer normalisation, ::mn_layer_norm_desc. Parameters if affine: weight (ones), bias
    /// (zeros).
    MN_OP_LAYER_NORM = 17,
    /// A group normalisation of {C, H, W}, ::mn_group_norm_desc. Parameters if affine: weight
    /// (ones), bias (zeros).
    MN_OP_GROUP_NORM = 18,
    /// A local response normalisation of {C, H, W}, ::mn_local_response_norm_desc.
    MN_OP_LOCAL_RESPONSE_NORM = 19,
    /// The logarithm of a softmax over the features of {F}; no descriptor.
    MN_OP_LOG_SOFTMAX = 20,
    /// A dropout, ::mn_dropout_desc.
    MN_OP_DROPOUT = 21,
    /// An elementwise operation of two sources, ::mn_binary_desc.
    MN_OP_BINARY = 22,
    /// A concatenation along the channels, or the features, of 2 to ::MN_MAX_SOURCES sources, all
    /// other dimensions of which agree; no descriptor.
    MN_OP_CONCAT = 23,
    /// A choice of a range of channels, or of features, ::mn_slice_desc.
    MN_OP_SLICE = 24,
    /// A trainable factor for each channel of {C, H, W}, ::mn_scale_desc. Parameter: weight.
    MN_OP_SCALE = 25,
    /// A shuffle of the channels of {C, H, W}, ::mn_channel_shuffle_desc.
    MN_OP_CHANNEL_SHUFFLE = 26,
    /// A change of shape, ::mn_reshape_desc; the values keep their order (C, then H, then W).
    MN_OP_RESHAPE = 27,
    /// An embedding of {L}, ::mn_embedding_desc. Parameter: weight.
    MN_OP_EMBEDDING = 28,
    /// A rectifier whose slope below 0 is trained, ::mn_prelu_desc. Parameter: weight.
    MN_OP_PRELU = 29
};

/// What a batch feeds to an input.
typedef struct mn_input_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Always 0.
    int32_t reserved;
    /// Shape of one image, 1 to ::MN_MAX_VALUE_RANK dimensions: {C, H, W}, {C, L}, {F}, a volume
    /// {C, D, H, W}. The first are the channels.
    mn_shape shape;
} mn_input_desc;

/// Per-channel normalisation of the input, (x - mean) / std.
typedef struct mn_normalize_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Length of `mean` and `std`: the input's channels, or 1 for the same in every channel.
    int32_t channels;
    /// Means.
    const float* mean;
    /// Standard deviations, each finite and above 0.
    const float* std;
} mn_normalize_desc;

/// Two-dimensional convolution (cross-correlation, as in PyTorch's Conv2d):
/// H' = (H + pad_top + pad_bottom - dilation_h * (kernel_h - 1) - 1) / stride_h + 1, rounded down.
/// Weights are O x (C / groups) x kernel_h x kernel_w.
typedef struct mn_conv2d_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Output channels, a multiple of `groups`.
    int32_t out_channels;
    /// Height of the kernel, at least 1.
    int32_t kernel_h;
    /// Width of the kernel, at least 1.
    int32_t kernel_w;
    /// Rows from one output row to the next, at least 1.
    int32_t stride_h;
    /// Columns from one output column to the next, at least 1.
    int32_t stride_w;
    /// Rows of zeros above the image.
    int32_t pad_top;
    /// Columns of zeros left of the image.
    int32_t pad_left;
    /// Rows of zeros below the image.
    int32_t pad_bottom;
    /// Columns of zeros right of the image.
    int32_t pad_right;
    /// Rows between the kernel's elements, 1 for a dense kernel.
    int32_t dilation_h;
    /// Columns between the kernel's elements, 1 for a dense kernel.
    int32_t dilation_w;
    /// Groups of channels that are convolved apart, at least 1.
    int32_t groups;
    /// 1: a bias is added to every output channel; 0: none.
    int32_t bias;
    /// 1: a one-dimensional convolution of a {C, L} source (PyTorch's Conv1d): kernel_h, stride_h
    /// and dilation_h are 1, pad_top and pad_bottom 0, and the weights are reported as
    /// O x (C / groups) x kernel_w; 0: two dimensions.
    int32_t one_dimensional;
} mn_conv2d_desc;

/// Two-dimensional pooling, max or average, as in PyTorch's MaxPool2d and AvgPool2d.
typedef struct mn_pool2d_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Height of the window, at least 1.
    int32_t kernel_h;
    /// Width of the window, at least 1.
    int32_t kernel_w;
    /// Rows from one window to the next, at least 1.
    int32_t stride_h;
    /// Columns from one window to the next, at least 1.
    int32_t stride_w;
    /// Rows of padding above and below, at most kernel_h / 2. Max pooling pads with minus
    /// infinity, average pooling with zeros.
    int32_t pad_h;
    /// Columns of padding left and right, at most kernel_w / 2.
    int32_t pad_w;
    /// 1: the output's size is rounded up (a last window that would start in the padding on the
    /// far side is left out); 0: rounded down.
    int32_t ceil_mode;
    /// Average pooling only. 1: padding counts in the divisor; 0: it does not.
    int32_t count_include_pad;
    /// Max pooling only. Rows between a window's elements; 0 stands for 1, a dense window.
    int32_t dilation_h;
    /// Max pooling only. Columns between a window's elements; 0 stands for 1.
    int32_t dilation_w;
    /// 1: pooling of a {C, L} source (PyTorch's MaxPool1d, AvgPool1d): kernel_h and stride_h are
    /// 1, pad_h is 0; 0: two dimensions.
    int32_t one_dimensional;
} mn_pool2d_desc;

/// Linear (fully connected) layer, y = x W^T + b. Weights are out_features x in_features.
typedef struct mn_linear_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Output features, at least 1.
    int32_t out_features;
    /// 1: a bias is added; 0: none.
    int32_t bias;
} mn_linear_desc;

/// Kinds of activation.
enum mn_activation_kind {
    // Written by `./build.sh bindings` from native/graph/ops.def.
    // <generated activations>
    /// max(0, x); a NaN stays a NaN.
    MN_ACTIVATION_RELU = 1,
    /// min(max(0, x), 6).
    MN_ACTIVATION_RELU6 = 2,
    /// x for x > 0, else alpha x.
    MN_ACTIVATION_LEAKY_RELU = 3,
    /// x for x > 0, else alpha (exp(x) - 1).
    MN_ACTIVATION_ELU = 4,
    /// x Phi(x), Phi by erf.
    MN_ACTIVATION_GELU = 5,
    /// GELU by tanh: x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
    MN_ACTIVATION_GELU_TANH = 6,
    /// x sigmoid(x).
    MN_ACTIVATION_SILU = 7,
    /// 1 / (1 + exp(-x)).
    MN_ACTIVATION_SIGMOID = 8,
    /// tanh(x).
    MN_ACTIVATION_TANH = 9,
    /// x relu6(x + 3) / 6.
    MN_ACTIVATION_HARDSWISH = 10,
    /// relu6(x + 3) / 6.
    MN_ACTIVATION_HARDSIGMOID = 11,
    /// log(1 + exp(alpha x)) / alpha, and x where alpha x > threshold.
    MN_ACTIVATION_SOFTPLUS = 12,
    /// x tanh(log(1 + exp(x))).
    MN_ACTIVATION_MISH = 13,
    /// min(max(x, alpha), threshold); alpha must be below threshold.
    MN_ACTIVATION_HARDTANH = 14,
    /// x / (1 + |x|).
    MN_ACTIVATION_SOFTSIGN = 15,
    /// x for x > threshold, else alpha.
    MN_ACTIVATION_THRESHOLD = 16,
    // </generated activations>
};

/// An elementwise activation.
typedef struct mn_activation_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// An ::mn_activation_kind.
    int32_t kind;
    /// Leaky ReLU: slope below 0 (PyTorch's default is 0.01). ELU: alpha (1). Softplus: beta (1).
    /// Hardtanh: the smallest result (-1). Threshold: the result up to the threshold.
    float alpha;
    /// Softplus: alpha x above which it is the identity (20). Hardtanh: the largest result (1).
    /// Threshold: up to where the result is alpha.
    float threshold;
} mn_activation_desc;

/// Transposed two-dimensional convolution, as PyTorch's ConvTranspose2d:
/// H' = (H - 1) * stride_h - 2 * pad_h + dilation_h * (kernel_h - 1) + output_pad_h + 1.
/// Weights are C x (O / groups) x kernel_h x kernel_w.
typedef struct mn_conv_transpose2d_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Output channels, a multiple of `groups`.
    int32_t out_channels;
    /// Height of the kernel.
    int32_t kernel_h;
    /// Width of the kernel.
    int32_t kernel_w;
    /// Rows of output from one input row to the next.
    int32_t stride_h;
    /// Columns of output from one input column to the next.
    int32_t stride_w;
    /// Rows cut from the top and the bottom of the result.
    int32_t pad_h;
    /// Columns cut from the left and the right of the result.
    int32_t pad_w;
    /// Rows added at the bottom, below stride_h or dilation_h.
    int32_t output_pad_h;
    /// Columns added at the right, below stride_w or dilation_w.
    int32_t output_pad_w;
    /// Rows between the kernel's elements, 1 for a dense kernel.
    int32_t dilation_h;
    /// Columns between the kernel's elements, 1 for a dense kernel.
    int32_t dilation_w;
    /// Groups of channels that are convolved apart.
    int32_t groups;
    /// 1: a bias is added to every output channel; 0: none.
    int32_t bias;
} mn_conv_transpose2d_desc;

/// Values of the padding.
enum mn_pad_mode {
    /// Zeros.
    MN_PAD_ZEROS = 0,
    /// The image mirrored, without repeating its edge; padding below the image's size.
    MN_PAD_REFLECT = 1,
    /// The image's edge.
    MN_PAD_REPLICATE = 2,
    /// The image's other side; padding at most the image's size.
    MN_PAD_CIRCULAR = 3
};

/// Padding of images.
typedef struct mn_pad2d_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// An ::mn_pad_mode.
    int32_t mode;
    /// Rows added above.
    int32_t top;
    /// Columns added on the left.
    int32_t left;
    /// Rows added below.
    int32_t bottom;
    /// Columns added on the right.
    int32_t right;
} mn_pad2d_desc;

/// Pooling to a given size, as PyTorch's AdaptiveAvgPool2d and AdaptiveMaxPool2d: output row i
/// covers the rows floor(i * H / output_h) up to ceil((i + 1) * H / output_h).
typedef struct mn_adaptive_pool2d_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Height of the result, at least 1.
    int32_t output_h;
    /// Width of the result, at least 1.
    int32_t output_w;
} mn_adaptive_pool2d_desc;

/// Interpolation of the values between pixels.
enum mn_upsample_mode {
    /// The nearest pixel.
    MN_UPSAMPLE_NEAREST = 0,
    /// Linear in both directions.
    MN_UPSAMPLE_BILINEAR = 1
};

/// Enlargement by whole factors, as PyTorch's Upsample(scale_factor).
typedef struct mn_upsample_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// An ::mn_upsample_mode.
    int32_t mode;
    /// Factor of the height, at least 1.
    int32_t scale_h;
    /// Factor of the width, at least 1.
    int32_t scale_w;
    /// Bilinear: 1 maps corner pixels on corner pixels; 0, PyTorch's default, the edges on edges.
    int32_t align_corners;
} mn_upsample_desc;

/// Normalisation over the batch, of every channel of {C, H, W} or {C, L} or every feature of {F},
/// as PyTorch's BatchNorm2d and BatchNorm1d. Training normalises by the batch's biased variance
/// and moves the running statistics: running = (1 - momentum) * running + momentum * batch, with
/// the unbiased variance; otherwise, or where mn_parameter_options::frozen says so, the running
/// statistics normalise.
typedef struct mn_batch_norm_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Added to the variance, not negative (PyTorch's default is 1e-5).
    float epsilon;
    /// Share of the batch in the running statistics, in [0, 1] (0.1).
    float momentum;
    /// 1: NAME.weight and NAME.bias scale and shift, a value each a channel; 0: none.
    int32_t affine;
} mn_batch_norm_desc;

/// Normalisation of each image over all its dimensions, as PyTorch's LayerNorm((C, H, W)) or
/// LayerNorm(F); or over the channels of each pixel, as ConvNeXt has it.
typedef struct mn_layer_norm_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Added to the variance, not negative (1e-5).
    float epsilon;
    /// 1: NAME.weight and NAME.bias scale and shift, of the shape that is normalised; 0: none.
    int32_t affine;
    /// 1: over the channels of each pixel only, weight and bias of C; 0: over everything.
    int32_t channels_only;
} mn_layer_norm_desc;

/// Normalisation of groups of channels of each image, as PyTorch's GroupNorm; as many groups as
/// channels: InstanceNorm2d.
typedef struct mn_group_norm_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Number of groups, which divides the channels; 0: one a channel.
    int32_t groups;
    /// Added to the variance, not negative (1e-5).
    float epsilon;
    /// 1: NAME.weight and NAME.bias scale and shift, a value each a channel; 0: none.
    int32_t affine;
} mn_group_norm_desc;

/// Normalisation across neighbouring channels, as PyTorch's LocalResponseNorm:
/// y = x / (k + alpha / size * sum of x^2 over `size` channels around)^beta.
typedef struct mn_local_response_norm_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Number of channels in the sum, at least 1: size / 2 before, (size - 1) / 2 after.
    int32_t size;
    /// Factor of the sum (1e-4).
    float alpha;
    /// Exponent (0.75).
    float beta;
    /// Added to the sum (1).
    float k;
} mn_local_response_norm_desc;

/// What a dropout drops as one.
enum mn_dropout_unit {
    /// Single values (Dropout).
    MN_DROPOUT_ELEMENT = 0,
    /// Channels of an image (Dropout2d).
    MN_DROPOUT_CHANNEL = 1,
    /// Whole images (stochastic depth, mode "row").
    MN_DROPOUT_IMAGE = 2
};

/// Inverted dropout: in training a unit becomes zero with the given probability and is divided by
/// 1 - probability otherwise; nothing happens without training. Drawn from the model's seed, the
/// layer and the number of the step. With a probability of 1 all results and gradients are zeros.
typedef struct mn_dropout_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Probability of a unit to be dropped, in [0, 1].
    float probability;
    /// An ::mn_dropout_unit.
    int32_t unit;
} mn_dropout_desc;

/// Kinds of binary operation.
enum mn_binary_kind { MN_BINARY_ADD = 0, MN_BINARY_SUBTRACT = 1, MN_BINARY_MULTIPLY = 2 };

/// An elementwise operation of two sources of the same shape; the second may be {C, 1, 1} and is
/// then repeated over height and width.
typedef struct mn_binary_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// An ::mn_binary_kind.
    int32_t kind;
} mn_binary_desc;

/// A range of channels, or of features.
typedef struct mn_slice_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// First channel.
    int32_t first;
    /// Number of channels, at least 1.
    int32_t count;
} mn_slice_desc;

/// A trainable factor for each channel of {C, H, W}, as ConvNeXt's layer scale. The parameter's
/// shape is C x 1 x 1.
typedef struct mn_scale_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// First value of every factor.
    float initial;
    /// Full name of the parameter; null for NAME.weight.
    const char* parameter_name;
} mn_scale_desc;

/// Channel shuffle, as in ShuffleNet: groups x (C / groups) channels transposed.
typedef struct mn_channel_shuffle_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Number of groups, which divides the channels.
    int32_t groups;
} mn_channel_shuffle_desc;

/// The shape of a ::MN_OP_RESHAPE node's result.
typedef struct mn_reshape_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Always 0.
    int32_t reserved;
    /// The new shape, of as many values as the source's.
    mn_shape shape;
} mn_reshape_desc;

/// Vectors for words: source {L} of whole numbers in [0, count), result {D, L} (PyTorch's
/// Embedding followed by transpose(1, 2)). NAME.weight is count x D, drawn from N(0, 1). An input
/// that feeds it is float32: batches of bytes, which are divided by 255, are refused.
typedef struct mn_embedding_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Number of vectors, at least 1.
    int32_t count;
    /// Length of a vector, at least 1.
    int32_t features;
} mn_embedding_desc;

/// x for x > 0, else weight x, as PyTorch's PReLU.
typedef struct mn_prelu_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Slopes: 1 for all values, or one a channel of {C, H, W} or {C, L}, or a feature of {F}.
    int32_t parameters;
    /// First value of every slope, finite (PyTorch's is 0.25).
    float initial;
} mn_prelu_desc;

/// What a node is.
typedef struct mn_node_info {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// An ::mn_op.
    int32_t op;
    /// Shape of the node's result for one image.
    mn_shape shape;
    /// Values in the node's trainable parameters.
    int64_t parameter_count;
    /// Multiplications, each with an addition, that a convolution, transposed convolution or linear
    /// layer takes for one image by its definition, those with padding included; 0 for other ops.
    int64_t multiply_adds;
    /// The node's name.
    char name[MN_NAME_CAPACITY];
    /// Size in bytes of the op's descriptor; 0 if it has none.
    uint32_t desc_size;
    /// The node's parameters and running statistics, for ::mn_graph_parameter.
    int32_t parameters;
    /// Number of sources.
    int32_t source_count;
    /// Ids of the sources; unused ones are 0.
    int32_t sources[MN_MAX_SOURCES];
    /// Always 0.
    int32_t reserved;
} mn_node_info;

/// A parameter of a graph's node, or of a model.
typedef struct mn_parameter_info {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// 1: changed by an optimizer; 0: a running statistic.
    int32_t trainable;
    /// Id of the first of the graph's nodes that use it; -1: none so far.
    int32_t node;
    /// Its id in the graph, which is its index in a model.
    int32_t id;
    /// Shape in PyTorch's layout.
    mn_shape shape;
    /// Number of values.
    int64_t count;
    /// Name, such as "0.weight".
    char name[MN_NAME_CAPACITY];
} mn_parameter_info;

/// Makes an empty graph.
/// @param graph_out receives the handle; give it back with ::mn_graph_destroy.
MN_API mn_status mn_graph_create(mn_graph* graph_out);

/// Destroys a graph. Models made from it are not affected.
MN_API mn_status mn_graph_destroy(mn_graph graph);

/// Adds a node. The typed functions below, one an op, call this one.
/// @param graph the graph.
/// @param op an ::mn_op.
/// @param desc the op's descriptor, whose struct_size must be set; not read for an op without one.
/// @param sources ids of the nodes whose results are read; null for none.
/// @param source_count number of sources.
/// @param name name of the node, unique in the graph, at most ::MN_MAX_NODE_NAME bytes; null for
/// one made from its op and id.
/// @param node_out receives the node's id.
MN_API mn_status mn_graph_add(mn_graph graph, int32_t op, const void* desc, const int32_t* sources,
                              int32_t source_count, const char* name, int32_t* node_out);

/// Tells what a node is. ::mn_graph_add with that op, descriptor and sources makes the same again.
/// @param node its id; ids count from 0.
/// @param info_out receives op, shape, sources and more; its struct_size must be set.
/// @param desc_out receives the op's descriptor, of mn_node_info::desc_size bytes, with what was
/// left open filled in; its struct_size must be set. Its pointers are valid until the graph is
/// destroyed. Null where it is not wanted; not written for an op without one.
MN_API mn_status mn_graph_node(mn_graph graph, int32_t node, mn_node_info* info_out,
                               void* desc_out);

/// How first values are drawn.
enum mn_init {
    /// All are mn_parameter_desc::init_value.
    MN_INIT_CONSTANT = 0,
    /// Uniform in +- mn_parameter_desc::init_value.
    MN_INIT_UNIFORM = 1,
    /// Normal of mean 0 and deviation mn_parameter_desc::init_value.
    MN_INIT_NORMAL = 2
};

/// A parameter that no node has made.
typedef struct mn_parameter_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// An ::mn_init.
    int32_t init;
    /// See ::mn_init; finite.
    double init_value;
    /// 1: changed by an optimizer; 0: a running statistic.
    int32_t trainable;
    /// Always 0.
    int32_t reserved;
    /// Shape in PyTorch's layout.
    mn_shape shape;
} mn_parameter_desc;

/// Makes a parameter for nodes to use.
/// @param desc shape, first values, and whether it is trained.
/// @param name unique among the graph's parameters, shorter than ::MN_NAME_CAPACITY bytes.
/// @param parameter_out receives its id, for ::mn_graph_add_with. The parameters of nodes have ids,
/// too (mn_parameter_info::id), in the order in which they are made.
MN_API mn_status mn_graph_new_parameter(mn_graph graph, const mn_parameter_desc* desc,
                                        const char* name, int32_t* parameter_out);

/// Adds a node, as ::mn_graph_add, that uses parameters which the graph has, instead of ones of its
/// own. The gradient of a parameter that several nodes use is the sum of theirs.
/// @param parameters ids, one for each parameter of the node in the order of ::mn_graph_parameter;
/// -1 for one of its own.
/// @param parameter_count number of the node's parameters.
/// Errors: ::MN_NOT_FOUND when there is no such parameter; ::MN_SHAPE_MISMATCH when one is of
/// another shape than the node's; ::MN_INVALID_ARGUMENT when the count is another, or one is
/// trained where the node needs a running statistic, or the reverse.
MN_API mn_status mn_graph_add_with(mn_graph graph, int32_t op, const void* desc,
                                   const int32_t* sources, int32_t source_count,
                                   const int32_t* parameters, int32_t parameter_count,
                                   const char* name, int32_t* node_out);

/// Describes a parameter that a model of the graph would have, without making the model. In the
/// order of nodes, and of a node's parameters, they are those of ::mn_model_parameter_describe.
/// @param node the node's id.
/// @param index which of its parameters, from 0; the running statistics come last.
/// @param info_out receives the description; its struct_size must be set.
/// Errors: ::MN_NOT_FOUND when there is no such parameter.
MN_API mn_status mn_graph_parameter(mn_graph graph, int32_t node, int32_t index,
                                    mn_parameter_info* info_out);

/// Adds an ::MN_OP_INPUT.
/// @param shape shape of one image, see mn_input_desc::shape.
static inline mn_status mn_graph_input(mn_graph graph, const mn_shape* shape, const char* name,
                                       int32_t* node_out) {
    mn_input_desc desc;
    desc.struct_size = (uint32_t)sizeof desc;
    desc.reserved = 0;
    if (shape) desc.shape = *shape;
    return mn_graph_add(graph, MN_OP_INPUT, shape ? &desc : NULL, NULL, 0, name, node_out);
}

/// Adds an ::MN_OP_RESHAPE.
/// @param shape the new shape, of as many values.
static inline mn_status mn_graph_reshape(mn_graph graph, int32_t source, const mn_shape* shape,
                                         const char* name, int32_t* node_out) {
    mn_reshape_desc desc;
    desc.struct_size = (uint32_t)sizeof desc;
    desc.reserved = 0;
    if (shape) desc.shape = *shape;
    return mn_graph_add(graph, MN_OP_RESHAPE, shape ? &desc : NULL, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_MAX_UNPOOL2D.
/// @param source id of the node whose values are put back, of the pooling's result's shape.
/// @param pool id of the ::MN_OP_MAX_POOL2D node.
static inline mn_status mn_graph_max_unpool2d(mn_graph graph, int32_t source, int32_t pool,
                                              const char* name, int32_t* node_out) {
    int32_t sources[2];
    sources[0] = source;
    sources[1] = pool;
    return mn_graph_add(graph, MN_OP_MAX_UNPOOL2D, NULL, sources, 2, name, node_out);
}

// The others, written by `./build.sh bindings` from native/graph/ops.def.
// <generated functions>

/// Adds an ::MN_OP_NORMALIZE.
static inline mn_status mn_graph_normalize(mn_graph graph, int32_t source,
                                           const mn_normalize_desc* desc, const char* name,
                                           int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_NORMALIZE, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_CONV2D.
static inline mn_status mn_graph_conv2d(mn_graph graph, int32_t source, const mn_conv2d_desc* desc,
                                        const char* name, int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_CONV2D, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_MAX_POOL2D.
static inline mn_status mn_graph_max_pool2d(mn_graph graph, int32_t source,
                                            const mn_pool2d_desc* desc, const char* name,
                                            int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_MAX_POOL2D, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_AVG_POOL2D.
static inline mn_status mn_graph_avg_pool2d(mn_graph graph, int32_t source,
                                            const mn_pool2d_desc* desc, const char* name,
                                            int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_AVG_POOL2D, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_GLOBAL_AVG_POOL2D.
static inline mn_status mn_graph_global_avg_pool2d(mn_graph graph, int32_t source, const char* name,
                                                   int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_GLOBAL_AVG_POOL2D, NULL, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_LINEAR.
static inline mn_status mn_graph_linear(mn_graph graph, int32_t source, const mn_linear_desc* desc,
                                        const char* name, int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_LINEAR, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_ACTIVATION.
static inline mn_status mn_graph_activation(mn_graph graph, int32_t source,
                                            const mn_activation_desc* desc, const char* name,
                                            int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_ACTIVATION, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_FLATTEN.
static inline mn_status mn_graph_flatten(mn_graph graph, int32_t source, const char* name,
                                         int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_FLATTEN, NULL, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_SOFTMAX.
static inline mn_status mn_graph_softmax(mn_graph graph, int32_t source, const char* name,
                                         int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_SOFTMAX, NULL, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_CONV_TRANSPOSE2D.
static inline mn_status mn_graph_conv_transpose2d(mn_graph graph, int32_t source,
                                                  const mn_conv_transpose2d_desc* desc,
                                                  const char* name, int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_CONV_TRANSPOSE2D, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_PAD2D.
static inline mn_status mn_graph_pad2d(mn_graph graph, int32_t source, const mn_pad2d_desc* desc,
                                       const char* name, int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_PAD2D, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_ADAPTIVE_AVG_POOL2D.
static inline mn_status mn_graph_adaptive_avg_pool2d(mn_graph graph, int32_t source,
                                                     const mn_adaptive_pool2d_desc* desc,
                                                     const char* name, int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_ADAPTIVE_AVG_POOL2D, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_ADAPTIVE_MAX_POOL2D.
static inline mn_status mn_graph_adaptive_max_pool2d(mn_graph graph, int32_t source,
                                                     const mn_adaptive_pool2d_desc* desc,
                                                     const char* name, int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_ADAPTIVE_MAX_POOL2D, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_UPSAMPLE.
static inline mn_status mn_graph_upsample(mn_graph graph, int32_t source,
                                          const mn_upsample_desc* desc, const char* name,
                                          int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_UPSAMPLE, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_BATCH_NORM.
static inline mn_status mn_graph_batch_norm(mn_graph graph, int32_t source,
                                            const mn_batch_norm_desc* desc, const char* name,
                                            int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_BATCH_NORM, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_LAYER_NORM.
static inline mn_status mn_graph_layer_norm(mn_graph graph, int32_t source,
                                            const mn_layer_norm_desc* desc, const char* name,
                                            int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_LAYER_NORM, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_GROUP_NORM.
static inline mn_status mn_graph_group_norm(mn_graph graph, int32_t source,
                                            const mn_group_norm_desc* desc, const char* name,
                                            int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_GROUP_NORM, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_LOCAL_RESPONSE_NORM.
static inline mn_status mn_graph_local_response_norm(mn_graph graph, int32_t source,
                                                     const mn_local_response_norm_desc* desc,
                                                     const char* name, int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_LOCAL_RESPONSE_NORM, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_LOG_SOFTMAX.
static inline mn_status mn_graph_log_softmax(mn_graph graph, int32_t source, const char* name,
                                             int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_LOG_SOFTMAX, NULL, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_DROPOUT.
static inline mn_status mn_graph_dropout(mn_graph graph, int32_t source,
                                         const mn_dropout_desc* desc, const char* name,
                                         int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_DROPOUT, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_BINARY.
static inline mn_status mn_graph_binary(mn_graph graph, int32_t left, int32_t right,
                                        const mn_binary_desc* desc, const char* name,
                                        int32_t* node_out) {
    int32_t sources[2];
    sources[0] = left;
    sources[1] = right;
    return mn_graph_add(graph, MN_OP_BINARY, desc, sources, 2, name, node_out);
}

/// Adds an ::MN_OP_CONCAT.
static inline mn_status mn_graph_concat(mn_graph graph, const int32_t* sources,
                                        int32_t source_count, const char* name, int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_CONCAT, NULL, sources, source_count, name, node_out);
}

/// Adds an ::MN_OP_SLICE.
static inline mn_status mn_graph_slice(mn_graph graph, int32_t source, const mn_slice_desc* desc,
                                       const char* name, int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_SLICE, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_SCALE.
static inline mn_status mn_graph_scale(mn_graph graph, int32_t source, const mn_scale_desc* desc,
                                       const char* name, int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_SCALE, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_CHANNEL_SHUFFLE.
static inline mn_status mn_graph_channel_shuffle(mn_graph graph, int32_t source,
                                                 const mn_channel_shuffle_desc* desc,
                                                 const char* name, int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_CHANNEL_SHUFFLE, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_EMBEDDING.
static inline mn_status mn_graph_embedding(mn_graph graph, int32_t source,
                                           const mn_embedding_desc* desc, const char* name,
                                           int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_EMBEDDING, desc, &source, 1, name, node_out);
}

/// Adds an ::MN_OP_PRELU.
static inline mn_status mn_graph_prelu(mn_graph graph, int32_t source, const mn_prelu_desc* desc,
                                       const char* name, int32_t* node_out) {
    return mn_graph_add(graph, MN_OP_PRELU, desc, &source, 1, name, node_out);
}

// </generated functions>

// ---------------------------------------------------------------------------------------------
// Data sets and batches
// ---------------------------------------------------------------------------------------------

/// Images and labels that a device holds, so that a step takes indices only.
typedef uint64_t mn_dataset;

/// Types of elements.
enum mn_dtype {
    /// Numbers of 32 bits, IEEE 754.
    MN_FLOAT32 = 0,
    /// 0 to 255, as in pictures.
    MN_UINT8 = 1,
    /// Whole numbers of 32 bits, as of labels and indices.
    MN_INT32 = 2,
    /// The upper half of a float32. No value has it yet.
    MN_BFLOAT16 = 3
};

/// Flags of ::mn_dataset_desc.
enum mn_dataset_flag {
    /// The caller keeps `images` and `labels` alive and unchanged until ::mn_dataset_destroy has
    /// returned; a device that computes in the host's memory then makes no copy.
    MN_DATASET_BORROW = 1
};

/// Images and labels to be held by a device.
typedef struct mn_dataset_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// An ::mn_dtype.
    int32_t dtype;
    /// Number of images, 1 to 2^31 - 1.
    int64_t count;
    /// Shape of one image.
    mn_shape shape;
    /// count x shape elements.
    const void* images;
    /// Size of `images` in bytes.
    uint64_t images_bytes;
    /// count class labels; null if there are none.
    const int32_t* labels;
    /// Flags of ::mn_dataset_flag, or 0.
    uint32_t flags;
    /// Always 0.
    uint32_t reserved;
} mn_dataset_desc;

/// The part of a batch for one of the network's inputs after the first.
typedef struct mn_batch_input {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Id of the input's node.
    int32_t node;
    /// An ::mn_dtype.
    int32_t dtype;
    /// Always 0.
    int32_t reserved;
    /// count x shape elements, as mn_batch::images, in the order of the batch.
    const void* images;
    /// Size of `images` in bytes.
    uint64_t images_bytes;
} mn_batch_input;

/// One batch: either contiguous images, or indices into a data set. Both feed the network's first
/// input; `inputs` has the images of the others.
typedef struct mn_batch {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Number of images, at least 1.
    int32_t count;
    /// An ::mn_dtype; ignored with a data set.
    int32_t dtype;
    /// Always 0.
    int32_t reserved;
    /// count x shape elements, N x C x H x W; null with a data set.
    const void* images;
    /// Size of `images` in bytes.
    uint64_t images_bytes;
    /// count class labels; null with a data set, or where no labels are needed.
    const int32_t* labels;
    /// The data set, or 0.
    mn_dataset dataset;
    /// count indices into the data set; null without one.
    const int32_t* indices;
    /// For ::MN_LOSS_OUTPUT_GRADIENT: count x shape of the loss's node, N x C x H x W or N x F;
    /// null for other losses.
    const float* output_gradients;
    /// Number of values in `output_gradients`.
    uint64_t output_gradient_count;
    /// For losses that compare with values (MSE, L1, Huber, BCE with logits): count x shape of the
    /// loss's node, N x C x H x W or N x F; null for other losses.
    const float* targets;
    /// Number of values in `targets`.
    uint64_t target_count;
    /// One entry for each of the network's inputs but the first, in any order; null where the
    /// network has one input.
    const mn_batch_input* inputs;
    /// Number of `inputs`.
    int32_t input_count;
    /// Always 0.
    int32_t reserved2;
} mn_batch;

/// Hands images and labels to a device.
/// @param device the device that will hold them.
/// @param desc the data.
/// @param dataset_out receives the handle; give it back with ::mn_dataset_destroy.
MN_API mn_status mn_dataset_create(mn_device device, const mn_dataset_desc* desc,
                                   mn_dataset* dataset_out);

/// Destroys a data set, waiting for calls that use it.
MN_API mn_status mn_dataset_destroy(mn_dataset dataset);

// ---------------------------------------------------------------------------------------------
// Models
// ---------------------------------------------------------------------------------------------

/// A graph compiled for a device, and its parameters.
typedef uint64_t mn_model;

/// Flags of ::mn_model_desc.
enum mn_model_flag {
    /// Leave every chain of nodes alone instead of fusing it, for comparison.
    MN_MODEL_NO_FUSION = 1,
    /// Draw no first values: all parameters and running statistics are zero until they are written
    /// (::mn_model_write_all), for models whose values come from a file.
    MN_MODEL_NO_INIT = 2
};

/// How a model is made.
typedef struct mn_model_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Flags of ::mn_model_flag, or 0.
    uint32_t flags;
    /// Seed of the parameters' first values.
    uint64_t seed;
    /// Ids of the nodes whose results ::mn_model_forward gives; the first is the network's output.
    const int32_t* outputs;
    /// Number of outputs, at least 1.
    int32_t output_count;
    /// Most images that one inference plan takes at once; 0 lets the library choose. Larger
    /// batches run in pieces, with the same results.
    int32_t inference_batch;
    /// An ::mn_precision, for inference and training; one that mn_device_info::precisions lacks is
    /// refused with ::MN_UNSUPPORTED.
    int32_t precision;
    /// Always 0.
    int32_t reserved;
} mn_model_desc;

/// The parts of a parameter that ::mn_model_read and ::mn_model_write copy.
enum mn_parameter_part {
    /// The parameter itself. A NAME.num_batches_tracked is a whole number, of which one float holds
    /// no more than 24 bits: with a buffer of 2 values it is read and written as their sum, exactly
    /// below 2^48. Written fractions are cut off, and what is no positive number is 0.
    MN_PART_VALUE = 0,
    /// Its gradient as of the last step, or of the batches accumulated since: the sum divided by
    /// the denominators of the losses' means. Read only.
    MN_PART_GRADIENT = 1,
    /// The optimizer's first moment (Adam, AdamW) or momentum buffer (SGD, RMSprop).
    MN_PART_MOMENT1 = 2,
    /// The optimizer's second moment (Adam, AdamW, RMSprop).
    MN_PART_MOMENT2 = 3,
    /// Largest second moment so far (AMSGrad), or mean gradient (centered RMSprop).
    MN_PART_MOMENT3 = 4
};

/// One result of ::mn_model_forward.
typedef struct mn_output {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Which of the model's outputs, from 0.
    int32_t index;
    /// Receives count x shape values.
    float* values;
    /// Capacity of `values` in elements; must be exactly count x shape.
    uint64_t value_count;
} mn_output;

/// Kinds of loss.
enum mn_loss_kind {
    /// log-softmax and negative log-likelihood of class labels, as PyTorch's CrossEntropyLoss.
    MN_LOSS_CROSS_ENTROPY = 1,
    /// The caller's own loss, whose gradient by the node's result comes with each batch in
    /// mn_batch::output_gradients, as in PyTorch's output.backward(gradient). It reports the sum
    /// of result x gradient and no hits; its reduction says whether that and the gradient are
    /// divided by the number of images. A trainer has one at most; evaluation takes none.
    MN_LOSS_OUTPUT_GRADIENT = 2,
    /// Negative log-likelihood of log-probabilities {classes}, as PyTorch's NLLLoss.
    MN_LOSS_NLL = 3,
    /// (x - t)^2, as PyTorch's MSELoss. This and the losses below compare with mn_batch::targets
    /// and are taken of a node of any shape; the mean divides by the number of values.
    MN_LOSS_MSE = 4,
    /// |x - t|, as PyTorch's L1Loss.
    MN_LOSS_L1 = 5,
    /// (x - t)^2 / 2 up to |x - t| = delta, delta (|x - t| - delta / 2) beyond, as PyTorch's
    /// HuberLoss.
    MN_LOSS_HUBER = 6,
    /// Binary cross-entropy of logits: max(x, 0) - x t + log(1 + exp(-|x|)), as PyTorch's
    /// BCEWithLogitsLoss.
    MN_LOSS_BCE_WITH_LOGITS = 7
};

/// How the losses of a batch's images become one number.
enum mn_reduction {
    /// Divided by the number of images (with class weights or ignored labels: by the sum of the
    /// labels' weights), or by the number of values for losses that compare with values.
    MN_REDUCTION_MEAN = 0,
    /// Added up.
    MN_REDUCTION_SUM = 1
};

/// One loss on one node.
typedef struct mn_loss_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// An ::mn_loss_kind.
    int32_t kind;
    /// Id of the node that it is taken of. Cross-entropy takes features {classes} before any
    /// softmax.
    int32_t node;
    /// An ::mn_reduction.
    int32_t reduction;
    /// Factor of this loss in the total.
    float weight;
    /// Cross-entropy and NLL: 1 if images whose label is `ignore_index` do not count; 0: all do.
    int32_t ignores;
    /// Cross-entropy and NLL: the label that does not count.
    int32_t ignore_index;
    /// Cross-entropy: share of the target spread over all classes, in [0, 1).
    float label_smoothing;
    /// Huber: where it becomes linear, above 0.
    float delta;
    /// Length of `class_weights`, the number of classes; 0 without.
    int32_t class_weight_count;
    /// Cross-entropy and NLL: a weight for each class, finite and not negative; or null.
    const float* class_weights;
} mn_loss_desc;

/// Sums over the images that a call has seen.
typedef struct mn_metrics {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Number of images.
    int32_t count;
    /// The loss as its reduction defines it; several losses: their weighted sum.
    double loss;
    /// Numerator of the loss: with one loss, loss = loss_numerator / loss_denominator.
    double loss_numerator;
    /// Denominator of the loss: what its reduction divides by (::mn_reduction), 1 for a sum.
    double loss_denominator;
    /// Images whose largest output (the first of equals) is that of their label, by the first
    /// loss; an output with a NaN has no largest.
    int64_t correct;
    /// Images whose label counts by the first loss, that is, is not ignored: what `correct` is out
    /// of. 0 where the loss takes no labels.
    int64_t labels;
} mn_metrics;

/// Bytes that a model, or a trainer with its model, has planned.
typedef struct mn_memory_plan {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Images that the plan takes at once.
    int32_t batch;
    /// Parameters and running statistics.
    int64_t parameter_bytes;
    /// Gradients (trainer).
    int64_t gradient_bytes;
    /// Optimizer state (trainer).
    int64_t optimizer_bytes;
    /// Weights in the form that kernels read, derived from the parameters.
    int64_t packed_bytes;
    /// Activations, their gradients and saved state, which share memory over time.
    int64_t arena_bytes;
    /// Scratch memory of kernels.
    int64_t workspace_bytes;
    /// Time that compiling the plan took, without allocating and filling parameters and arenas.
    int64_t compile_nanoseconds;
} mn_memory_plan;

/// Compiles a graph for a device and draws its parameters (unless ::MN_MODEL_NO_INIT).
/// @param device the device.
/// @param graph the graph; the model keeps a copy.
/// @param desc outputs, seed and options.
/// @param model_out receives the handle; give it back with ::mn_model_destroy.
MN_API mn_status mn_model_create(mn_device device, mn_graph graph, const mn_model_desc* desc,
                                 mn_model* model_out);

/// Destroys a model; its trainer, if any, must be destroyed too and keeps it alive until then.
MN_API mn_status mn_model_destroy(mn_model model);

/// Number of parameters and running statistics.
MN_API mn_status mn_model_parameter_count(mn_model model, int32_t* count_out);

/// Describes a parameter.
/// @param index its place in the order of the network, from 0.
/// @param info_out receives the description; its struct_size must be set.
MN_API mn_status mn_model_parameter_describe(mn_model model, int32_t index,
                                             mn_parameter_info* info_out);

/// Copies a parameter, its gradient or its optimizer state out, in PyTorch's layout.
/// @param index the parameter.
/// @param part an ::mn_parameter_part.
/// @param values receives the values.
/// @param value_count must be the parameter's count.
/// Errors: ::MN_NOT_FOUND when there is no such parameter, or no trainer has made that part yet.
MN_API mn_status mn_model_read(mn_model model, int32_t index, int32_t part, float* values,
                               uint64_t value_count);

/// Copies a parameter or its optimizer state in, in PyTorch's layout.
/// Errors: ::MN_NOT_FOUND when there is no such parameter, or no trainer has made that part yet;
/// ::MN_SHAPE_MISMATCH when value_count is not the parameter's count; ::MN_INVALID_ARGUMENT for a
/// gradient.
MN_API mn_status mn_model_write(mn_model model, int32_t index, int32_t part, const float* values,
                                uint64_t value_count);

/// New values of one part of one parameter.
typedef struct mn_parameter_write {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Index of the parameter.
    int32_t index;
    /// An ::mn_parameter_part but ::MN_PART_GRADIENT.
    int32_t part;
    /// Always 0.
    int32_t reserved;
    /// The values, in PyTorch's layout.
    const float* values;
    /// Length of `values`; must be the parameter's count.
    uint64_t value_count;
} mn_parameter_write;

/// Copies several parameters or parts of their optimizer state in, all or none: everything is
/// checked before anything is written, and forwards, evaluations and steps of other threads see
/// either all new values or all old ones. So a model can be reloaded while it serves. Only
/// a failure of the device itself can leave a part of the values written.
/// @param writes what to write, in this order.
/// @param write_count number of `writes`; 0 writes nothing.
/// Errors: those of ::mn_model_write.
MN_API mn_status mn_model_write_all(mn_model model, const mn_parameter_write* writes,
                                    int32_t write_count);

/// Runs the network without training (inference).
/// @param batch the images; labels are not read.
/// @param outputs the requested results and their buffers.
/// @param output_count number of them.
MN_API mn_status mn_model_forward(mn_model model, const mn_batch* batch, const mn_output* outputs,
                                  int32_t output_count);

/// Runs the network without training and compares with the batch's labels.
/// @param batch images and labels.
/// @param loss the loss.
/// @param metrics_out receives the sums; its struct_size must be set.
MN_API mn_status mn_model_evaluate(mn_model model, const mn_batch* batch, const mn_loss_desc* loss,
                                   mn_metrics* metrics_out);

/// Directions of an ::mn_profile_entry.
enum mn_profile_direction {
    MN_PROFILE_FORWARD = 0,
    MN_PROFILE_BACKWARD = 1,
    /// The work of a training step on parameters: the optimizer's update, and forms derived from
    /// them.
    MN_PROFILE_UPDATE = 2
};

/// The cost of one operation of a plan in one direction. Nodes that are fused are one operation.
typedef struct mn_profile_entry {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Id of the graph's node that the operation begins with; -1 for what the library adds.
    int32_t node;
    /// An ::mn_profile_direction.
    int32_t direction;
    /// Always 0.
    int32_t reserved;
    /// Seconds.
    double seconds;
    /// float32 operations by the op's definition: two for each of mn_node_info::multiply_adds, as
    /// many again for each of the two gradients; 0 for other ops. Winograd's algorithm takes fewer,
    /// so a kernel may seem to beat the device's peak.
    int64_t flops;
    /// Bytes of the values, parameters and saved states that are read or written, each once.
    int64_t bytes;
    /// The node's name.
    char name[MN_NAME_CAPACITY];
    /// The op and what is fused into it, such as "conv2d+bias+relu+max_pool2d".
    char op[MN_NAME_CAPACITY];
    /// How it is computed, by the device's names: "gemm", "winograd_f2", "reference" … A backward
    /// pass that computes its gradients in two ways has both, by the source and by the parameters:
    /// "sparse, gemm".
    char kernel[MN_NAME_CAPACITY];
} mn_profile_entry;

/// Runs a batch as ::mn_model_forward does and measures it: one entry for each operation, in the
/// order of execution. Waiting for each operation costs a little.
/// @param entries receives them, the struct_size of each must be set; null: nothing runs, and
/// only their number is returned.
/// @param entry_count number of `entries`: as many as the model has.
/// @param count_out receives the number that the model has.
/// Errors: ::MN_INVALID_ARGUMENT for another number of entries, and those of ::mn_model_forward.
MN_API mn_status mn_model_profile(mn_model model, const mn_batch* batch, mn_profile_entry* entries,
                                  int32_t entry_count, int32_t* count_out);

/// The memory of the model's inference plan (of one execution).
MN_API mn_status mn_model_memory_plan(mn_model model, mn_memory_plan* plan_out);

// ---------------------------------------------------------------------------------------------
// Trainers
// ---------------------------------------------------------------------------------------------

/// A training session: owns the training plan, gradients and optimizer state. A model has one at a
/// time.
typedef uint64_t mn_trainer;

/// Kinds of optimizer.
enum mn_optimizer_kind {
    MN_OPTIMIZER_SGD = 0,
    MN_OPTIMIZER_ADAM = 1,
    /// Adam with decoupled weight decay.
    MN_OPTIMIZER_ADAMW = 2,
    MN_OPTIMIZER_RMSPROP = 3
};

/// An optimizer, with PyTorch's formulas.
typedef struct mn_optimizer_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// An ::mn_optimizer_kind.
    int32_t kind;
    /// Learning rate, finite and not negative.
    float learning_rate;
    /// Adam and AdamW: decay of the first moment, in [0, 1).
    float beta1;
    /// Adam and AdamW: decay of the second moment, in [0, 1).
    float beta2;
    /// Adam, AdamW and RMSprop: added to the root of the second moment, above 0.
    float epsilon;
    /// SGD and RMSprop: momentum, not negative; 0 keeps no buffer.
    float momentum;
    /// SGD: share of the gradient left out of the momentum buffer after the first step.
    float dampening;
    /// SGD, Adam and RMSprop: multiple of the parameter added to its gradient (L2); AdamW: share
    /// of the parameter, times the learning rate, that is taken off it. Not negative.
    float weight_decay;
    /// SGD: 1 for Nesterov's momentum, which needs momentum and no dampening; 0 without.
    int32_t nesterov;
    /// Adam and AdamW: 1 divides by the largest second moment so far; 0 by the current one.
    int32_t amsgrad;
    /// RMSprop: decay of the second moment, in [0, 1) (PyTorch's default is 0.99).
    float alpha;
    /// RMSprop: 1 subtracts the square of the mean gradient from the second moment; 0 does not.
    int32_t centered;
} mn_optimizer_desc;

/// How one parameter's training differs from the optimizer's settings.
typedef struct mn_parameter_options {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Index of the parameter.
    int32_t parameter;
    /// 1: it is not trained, and no gradient is computed for it; 0: it is. Of a running statistic,
    /// 1: its batch normalisation normalises by the running statistics in training, too, and leaves
    /// all of them as they are, like a module after PyTorch's eval(); 0: they move.
    int32_t frozen;
    /// Factor of the learning rate, finite and not negative; 1 changes nothing.
    float learning_rate_factor;
    /// Its weight decay, not negative; -1: the optimizer's.
    float weight_decay;
} mn_parameter_options;

/// Flags of ::mn_trainer_desc.
enum mn_trainer_flag {
    /// Compute the gradient of the loss by the inputs too: ::mn_trainer_input_gradient.
    MN_TRAINER_INPUT_GRADIENT = 1
};

/// How a model is trained.
typedef struct mn_trainer_desc {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Largest batch that a step will take, at least 1; memory is planned for it.
    int32_t max_batch;
    /// The losses; at least one.
    const mn_loss_desc* losses;
    /// Number of losses.
    int32_t loss_count;
    /// Flags of ::mn_trainer_flag, or 0.
    uint32_t flags;
    /// The optimizer.
    const mn_optimizer_desc* optimizer;
    /// Parameters with settings of their own, each at most once; or null.
    const mn_parameter_options* options;
    /// Number of `options`.
    int32_t option_count;
    /// Before an update, gradients are scaled down so that the norm of all together is at most
    /// this; 0: never.
    float clip_norm;
    /// Before an update, each gradient is cut to +- this; 0: never.
    float clip_value;
    /// Always 0.
    int32_t reserved;
} mn_trainer_desc;

/// Tells which moments an optimizer keeps of each parameter that it trains.
/// @param optimizer the optimizer; what it keeps depends on its kind, momentum, amsgrad and
/// centered.
/// @param parts_out receives a bit for each, 1 << MN_PART_MOMENT1 and so on.
/// Errors: ::MN_INVALID_ARGUMENT when its numbers make no sense.
MN_API mn_status mn_optimizer_moments(const mn_optimizer_desc* optimizer, uint32_t* parts_out);

/// Plans the training of a model and takes the right to it. Gradients and optimizer state start
/// at zero.
/// @param model the model.
/// @param desc losses, optimizer and largest batch.
/// @param trainer_out receives the handle; give it back with ::mn_trainer_destroy.
/// Errors: ::MN_BUSY when the model has a trainer; ::MN_INVALID_ARGUMENT when a loss is taken of
/// a softmax.
MN_API mn_status mn_trainer_create(mn_model model, const mn_trainer_desc* desc,
                                   mn_trainer* trainer_out);

/// Ends training. The model keeps its parameters and is free for another trainer.
MN_API mn_status mn_trainer_destroy(mn_trainer trainer);

/// One training step: clear gradients, forward, backward, update.
/// @param batch images and labels, at most max_batch.
/// @param metrics_out receives the batch's loss (before the update) and its hits.
MN_API mn_status mn_trainer_step(mn_trainer trainer, const mn_batch* batch,
                                 mn_metrics* metrics_out);

/// Sums over the steps of ::mn_trainer_begin_step.
typedef struct mn_step_sums {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// Always 0.
    int32_t reserved;
    /// Number of steps.
    int64_t steps;
    /// Number of images.
    int64_t images;
    /// The sum of the steps' mn_metrics::correct.
    int64_t correct;
    /// The sum of the steps' mn_metrics::labels.
    int64_t labels;
    /// The first step whose mn_metrics::loss_numerator is not finite, from 0; -1: none.
    int64_t first_not_finite;
    /// The sum of the steps' mn_metrics::loss_numerator, added in their order.
    double loss_numerator;
    /// The sum of the steps' mn_metrics::loss_denominator: for a mean, the steps' loss is
    /// loss_numerator / loss_denominator, also where batches differ in what counts.
    double loss_denominator;
} mn_step_sums;

/// A step as ::mn_trainer_step makes it, without waiting for it: a card computes while the caller
/// prepares the next batch. What goes wrong on the card is reported by a later call.
/// @param batch images and labels, at most max_batch; it may change as soon as the call returns.
MN_API mn_status mn_trainer_begin_step(mn_trainer trainer, const mn_batch* batch);

/// Waits for the steps begun and gives the sums over all of them.
/// @param restart 1: resets the sums after this call; 0: keeps them.
/// @param sums_out receives the sums; its struct_size must be set.
MN_API mn_status mn_trainer_step_sums(mn_trainer trainer, int32_t restart, mn_step_sums* sums_out);

/// Forward and backward of one batch, added to the gradients. Numerators and denominators of the
/// losses' means are added up apart, so that several small batches equal one large one.
/// @param batch images and labels, at most max_batch.
/// @param metrics_out receives this batch's loss and hits.
MN_API mn_status mn_trainer_accumulate(mn_trainer trainer, const mn_batch* batch,
                                       mn_metrics* metrics_out);

/// Updates the parameters with the accumulated gradients. The next ::mn_trainer_accumulate starts
/// anew; until then the gradients can still be read.
/// Errors: ::MN_INVALID_ARGUMENT when nothing was accumulated.
MN_API mn_status mn_trainer_apply(mn_trainer trainer);

/// Forgets the accumulated gradients.
MN_API mn_status mn_trainer_clear(mn_trainer trainer);

/// Sets the learning rate of the next updates.
/// @param learning_rate finite and not negative.
MN_API mn_status mn_trainer_set_learning_rate(mn_trainer trainer, float learning_rate);

/// How far a training has come. With the parameters, the optimizer's moments (::mn_model_read) and
/// the parameters' own counters (::mn_trainer_get_updates) it is all that another trainer of
/// another model needs to go on with the same bits.
typedef struct mn_training_progress {
    /// Size of this struct in bytes.
    uint32_t struct_size;
    /// The learning rate, finite and not negative.
    float learning_rate;
    /// Updates made, not negative.
    int64_t updates;
    /// Batches seen, not negative; the random numbers of dropout follow from it and the model's
    /// seed.
    int64_t batches;
} mn_training_progress;

/// Tells how far a training has come.
/// @param progress_out receives it; its struct_size must be set.
MN_API mn_status mn_trainer_get_progress(mn_trainer trainer, mn_training_progress* progress_out);

/// Sets how far a training has come: what ::mn_trainer_get_progress told of another trainer. The
/// moments are written with ::mn_model_write. Accumulated gradients stay. Every parameter counts as
/// updated so often; ::mn_trainer_set_updates says otherwise.
MN_API mn_status mn_trainer_set_progress(mn_trainer trainer, const mn_training_progress* progress);

/// Tells how often each parameter was updated, as PyTorch's optimizers keep it: Adam's corrections
/// follow from a parameter's own number, which stands still while it is frozen. 0 for a running
/// statistic.
/// @param updates receives a number for each of the model's parameters.
/// @param parameter_count their number, as ::mn_model_parameter_count tells.
MN_API mn_status mn_trainer_get_updates(mn_trainer trainer, int64_t* updates,
                                        int32_t parameter_count);

/// Sets how often each parameter was updated: what ::mn_trainer_get_updates told of another
/// trainer. Call it after ::mn_trainer_set_progress.
/// @param updates a number for each of the model's parameters, not negative; 0 for a running
/// statistic.
/// @param parameter_count their number.
MN_API mn_status mn_trainer_set_updates(mn_trainer trainer, const int64_t* updates,
                                        int32_t parameter_count);

/// Copies the gradient of the last batch's loss by an input, count x shape of the input, taken
/// after its normalisation. Needs ::MN_TRAINER_INPUT_GRADIENT.
/// @param node id of the input; 0 is the first.
/// @param values receives the values.
/// @param value_count must be count x shape.
MN_API mn_status mn_trainer_input_gradient(mn_trainer trainer, int32_t node, float* values,
                                           uint64_t value_count);

/// Makes a step as ::mn_trainer_step does and measures it, as ::mn_model_profile.
MN_API mn_status mn_trainer_profile(mn_trainer trainer, const mn_batch* batch,
                                    mn_profile_entry* entries, int32_t entry_count,
                                    int32_t* count_out);

/// The memory of the training plan and its model.
MN_API mn_status mn_trainer_memory_plan(mn_trainer trainer, mn_memory_plan* plan_out);

#ifdef __cplusplus
}
#endif

#endif
