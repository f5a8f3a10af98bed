// Convolution and transposed convolution, by cuDNN where it is there. Where it is not, and for 1x1
// kernels, windows become the columns of a matrix and cuBLAS multiplies; with groups, kernels add
// up directly. The epilogue of a convolution (bias, ReLU and max pooling) is one kernel, so that
// the image before pooling is not kept for training.
//
// Both are three functions of an image, whose windows are taken, and pixels, one a window; see
// kernels/conv.cu. With K = image channels x kernel, for one image of the batch, row-major:
//
//     gather   pixels (PC x P) = weights (PC x K) columns (K x P)
//     scatter  columns (K x P) = weights^T (K x PC) pixels (PC x P)
//     weights  gradient (PC x K) = pixels (PC x P) columns^T (P x K)
//
// cuBLAS is column-major and sees each matrix transposed, so the factors change places.

#include <algorithm>
#include <cstdio>

#include "backend/cuda/ops/ops.h"
#include "backend/cuda/ops/pool_params.h"

namespace mn::cuda {
namespace {

// What the columns of a run, and the partial gradients of weights, may take.
constexpr int64_t kColumnBytes = int64_t{64} << 20;
constexpr int64_t kPartBytes = int64_t{32} << 20;
constexpr int64_t kFloat = sizeof(float);

struct Geometry {
    bool transposed;
    int64_t max_batch;
    int64_t image_channels, pixel_channels, groups;
    int32_t image_h, image_w, pixel_h, pixel_w;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
    int32_t precision;
    bool bias;

    explicit Geometry(const ImageNode& node)
        : transposed(node.op == MN_OP_CONV_TRANSPOSE2D),
          max_batch(node.max_batch),
          precision(node.precision) {
        const ImageView& src = node.src[0];
        if (transposed) {
            const mn_conv_transpose2d_desc& d = node.desc.conv_transpose2d;
            take(d);
            pad_top = d.pad_h;
            pad_left = d.pad_w;
            set_image(node.dst);
            pixel_channels = src.c;
            pixel_h = static_cast<int32_t>(src.h);
            pixel_w = static_cast<int32_t>(src.w);
            return;
        }
        const mn_conv2d_desc& d = node.desc.conv2d;
        take(d);
        pad_top = d.pad_top;
        pad_left = d.pad_left;
        set_image(src);
        pixel_channels = d.out_channels;
        pixel_h =
            (image_h + d.pad_top + d.pad_bottom - d.dilation_h * (d.kernel_h - 1) - 1) / stride_h +
            1;
        pixel_w =
            (image_w + d.pad_left + d.pad_right - d.dilation_w * (d.kernel_w - 1) - 1) / stride_w +
            1;
    }

    int64_t pixels() const { return static_cast<int64_t>(pixel_h) * pixel_w; }
    int64_t image_size() const { return image_channels * image_h * image_w; }
    int64_t pixel_size() const { return pixel_channels * pixels(); }
    int64_t rows() const { return image_channels * kernel_h * kernel_w; }  // K
    int64_t weight_count() const { return pixel_channels * rows() / groups; }
    int64_t result_channels() const { return transposed ? image_channels : pixel_channels; }
    int64_t result_area() const {
        return transposed ? static_cast<int64_t>(image_h) * image_w : pixels();
    }
    int64_t result_size() const { return result_channels() * result_area(); }

    // The columns are the image as it is.
    bool direct() const {
        return kernel_h == 1 && kernel_w == 1 && stride_h == 1 && stride_w == 1 && pad_top == 0 &&
               pad_left == 0 && pixel_h == image_h && pixel_w == image_w;
    }
    // Images whose columns are there at once.
    int64_t chunk() const {
        if (groups > 1 || direct()) return max_batch;
        return std::clamp<int64_t>(kColumnBytes / (rows() * pixels() * kFloat), 1, max_batch);
    }
    int64_t column_bytes() const {
        return groups > 1 || direct() ? 0 : chunk() * rows() * pixels() * kFloat;
    }
    // Images whose gradients of the weights are added up apart from each other.
    int64_t parts() const {
        return std::clamp<int64_t>(kPartBytes / (weight_count() * kFloat), 1, chunk());
    }
    int64_t part_bytes() const { return groups > 1 ? 0 : parts() * weight_count() * kFloat; }

    // cuDNN pads both sides of an image alike; padding of the far side may not matter. A product of
    // the image as it is needs no cuDNN. And to less than TF32 it would round to float16, which
    // lacks the range of bfloat16.
    bool is_for_cudnn() const {
        if (precision == MN_PRECISION_BFLOAT16) return false;
        const auto windows = [](int64_t image, int64_t pad, int64_t kernel, int64_t dilation,
                                int64_t stride) {
            return (image + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
        };
        if (groups == 1 && direct()) return false;
        return windows(image_h, pad_top, kernel_h, dilation_h, stride_h) == pixel_h &&
               windows(image_w, pad_left, kernel_w, dilation_w, stride_w) == pixel_w;
    }
    ConvShape shape() const {
        const auto size = [](int64_t n) { return static_cast<int>(n); };
        return {size(max_batch),
                size(groups),
                size(image_channels),
                image_h,
                image_w,
                size(pixel_channels),
                pixel_h,
                pixel_w,
                kernel_h,
                kernel_w,
                stride_h,
                stride_w,
                pad_top,
                pad_left,
                dilation_h,
                dilation_w,
                precision == MN_PRECISION_TENSOR_FLOAT32};
    }

private:
    template <class Desc>
    void take(const Desc& d) {
        groups = d.groups;
        kernel_h = d.kernel_h;
        kernel_w = d.kernel_w;
        stride_h = d.stride_h;
        stride_w = d.stride_w;
        dilation_h = d.dilation_h;
        dilation_w = d.dilation_w;
        bias = d.bias != 0;
    }
    void set_image(const ImageView& t) {
        image_channels = t.c;
        image_h = static_cast<int32_t>(t.h);
        image_w = static_cast<int32_t>(t.w);
    }
};

int64_t aligned(int64_t bytes) {
    return divide_up(bytes, MNB_ALIGNMENT) * MNB_ALIGNMENT;
}

// Which functions a node needs in one direction, by what, and their memory.
struct Plan {
    const Geometry geometry;
    ConvAlgorithm cudnn[kConvFunctions];  // not found: kernels of the backend and cuBLAS
    int64_t result_bytes;       // the convolution's own result, or its gradient, where the epilogue
                                // changes it
    int64_t scratch_bytes = 0;  // of the functions, one after the other
    std::string kernel;

    Plan(Device& device, const ImageNode& node, int32_t direction) : geometry(node) {
        const bool backward = direction == MNB_BACKWARD;
        const bool apart = node.has_pool || (backward && node.activation != 0);
        result_bytes = apart ? aligned(geometry.result_size() * node.max_batch * kFloat) : 0;
        if (backward == geometry.transposed) add(device, ConvFunction::kGather);
        if (backward != geometry.transposed) add(device, ConvFunction::kScatter);
        if (backward) add(device, ConvFunction::kWeights);
    }

    const ConvAlgorithm& by_cudnn(ConvFunction function) const {
        return cudnn[static_cast<int>(function)];
    }

private:
    void add(Device& device, ConvFunction function) {
        ConvAlgorithm algorithm;
        if (device.cudnn() && geometry.is_for_cudnn())
            algorithm = device.cudnn()->algorithm(function, geometry.shape());
        cudnn[static_cast<int>(function)] = algorithm;
        if (!kernel.empty()) kernel += ", ";
        if (algorithm.found()) {
            kernel += Cudnn::name_of(function, algorithm);
            scratch_bytes =
                std::max(scratch_bytes, aligned(static_cast<int64_t>(algorithm.workspace)));
            return;
        }
        kernel += geometry.groups > 1 ? "direct" : "gemm";
        int64_t bytes = aligned(geometry.column_bytes());
        if (function == ConvFunction::kWeights) bytes += aligned(geometry.part_bytes());
        scratch_bytes = std::max(scratch_bytes, bytes);
    }
};

class Convolution : public NodeKernel {
public:
    Convolution(Device& device, const ImageNode& node, int32_t direction)
        : NodeKernel(device, node, direction), plan_(device, node_, direction) {
        for (const ConvAlgorithm& algorithm : plan_.cudnn)
            if (algorithm.found() && !cudnn_)
                cudnn_ = std::make_unique<CudnnConvolution>(*device.cudnn(), g_.shape());
    }

    void run(Device& device, const mnb_run& run) override {
        char* workspace = static_cast<char*>(run.workspace);
        float* result = reinterpret_cast<float*>(workspace);
        scratch_ = workspace + plan_.result_bytes;
        columns_ = reinterpret_cast<float*>(scratch_);
        parts_ = reinterpret_cast<float*>(scratch_ + aligned(g_.column_bytes()));
        if (backward_)
            backward(device, run, result);
        else
            forward(device, run, node_.has_pool ? result : run.dst);
    }

private:
    void forward(Device& device, const mnb_run& run, float* result) {
        if (g_.transposed)
            scatter(device, run.count, run.param[0], run.src[0], result);
        else
            gather(device, run.count, run.param[0], run.src[0], result);
        const float* bias = g_.bias ? run.param[1] : nullptr;
        if (node_.has_pool) {
            PoolParams p = max_pool_params(node_.pool, g_.pixel_h, g_.pixel_w, node_.dst);
            p.src = result;
            p.dst = run.dst;
            p.argmax = direction_ == MNB_FORWARD_TRAINING ? run.saved : nullptr;
            p.bias = bias;
            p.relu = node_.activation != 0;
            p.planes = run.count * node_.dst.c;
            device.launch("mn_max_pool_forward", p, run.count * features(node_.dst));
        } else if (bias || node_.activation != 0) {
            const BiasParams p = {result,
                                  bias,
                                  result,
                                  run.count * g_.result_size(),
                                  g_.result_channels(),
                                  g_.result_area(),
                                  node_.activation != 0};
            device.launch("mn_bias", p, p.count);
        }
    }

    void backward(Device& device, const mnb_run& run, float* result) {
        const float* gradient = run.diff_dst;
        if (node_.has_pool) {
            PoolParams p = max_pool_params(node_.pool, g_.pixel_h, g_.pixel_w, node_.dst);
            p.diff_dst = run.diff_dst;
            p.dst = result;
            p.argmax = run.saved;
            p.result = node_.activation != 0 ? run.dst : nullptr;
            p.planes = run.count * node_.dst.c;
            device.launch("mn_max_pool_backward", p, run.count * g_.result_size());
            gradient = result;
        } else if (node_.activation != 0) {
            const ReluMaskParams p = {run.dst, run.diff_dst, result, run.count * g_.result_size()};
            device.launch("mn_relu_mask", p, p.count);
            gradient = result;
        }
        if (run.diff_src[0]) {
            if (g_.transposed)
                gather(device, run.count, run.param[0], gradient, run.diff_src[0]);
            else
                scatter(device, run.count, run.param[0], gradient, run.diff_src[0]);
        }
        if (run.diff_param[0]) {
            if (g_.transposed)
                weights(device, run, gradient, run.src[0]);
            else
                weights(device, run, run.src[0], gradient);
        }
        if (run.diff_param[1]) {
            const ChannelSumParams p = {gradient,
                                        nullptr,
                                        run.diff_param[1],
                                        run.count,
                                        g_.result_channels(),
                                        g_.result_area(),
                                        run.accumulate[1]};
            device.launch_blocks("mn_channel_sum", p, g_.result_channels());
        }
    }

    // Calls body(first image, images) for parts of the batch whose columns fit.
    template <class Body>
    void chunks(int64_t count, Body&& body) const {
        const int64_t chunk = g_.chunk();
        for (int64_t first = 0; first < count; first += chunk)
            body(first, std::min(chunk, count - first));
    }

    const float* columns_of(Device& device, const float* image, int64_t images) const {
        if (g_.direct()) return image;
        WindowParams p = windows(images);
        p.src = image;
        p.dst = columns_;
        device.launch("mn_im2col", p, images * g_.rows() * g_.pixels());
        return columns_;
    }

    void gather(Device& device, int64_t count, const float* weights, const float* image,
                float* pixels) const {
        if (const ConvAlgorithm& cudnn = plan_.by_cudnn(ConvFunction::kGather); cudnn.found()) {
            cudnn_->gather(cudnn, static_cast<int>(count), weights, image, pixels, scratch_);
            return;
        }
        if (g_.groups > 1) {
            GroupedParams p = grouped(count);
            p.image = image;
            p.weights = weights;
            p.dst = pixels;
            device.launch("mn_grouped_gather", p, count * g_.pixel_size());
            return;
        }
        chunks(count, [&](int64_t first, int64_t images) {
            Device::Gemm gemm = product();
            gemm.m = g_.pixels(), gemm.n = g_.pixel_channels, gemm.k = g_.rows();
            gemm.a = columns_of(device, image + first * g_.image_size(), images);
            gemm.lda = g_.pixels(), gemm.stride_a = g_.rows() * g_.pixels();
            gemm.b = weights, gemm.ldb = g_.rows();
            gemm.c = pixels + first * g_.pixel_size();
            gemm.ldc = g_.pixels(), gemm.stride_c = g_.pixel_size();
            gemm.batch = images;
            device.gemm(gemm);
        });
    }

    void scatter(Device& device, int64_t count, const float* weights, const float* pixels,
                 float* image) const {
        if (const ConvAlgorithm& cudnn = plan_.by_cudnn(ConvFunction::kScatter); cudnn.found()) {
            cudnn_->scatter(cudnn, static_cast<int>(count), weights, pixels, image, scratch_);
            return;
        }
        if (g_.groups > 1) {
            GroupedParams p = grouped(count);
            p.pixels = pixels;
            p.weights = weights;
            p.dst = image;
            device.launch("mn_grouped_scatter", p, count * g_.image_size());
            return;
        }
        chunks(count, [&](int64_t first, int64_t images) {
            float* to = image + first * g_.image_size();
            Device::Gemm gemm = product();
            gemm.transpose_b = true;
            gemm.m = g_.pixels(), gemm.n = g_.rows(), gemm.k = g_.pixel_channels;
            gemm.a = pixels + first * g_.pixel_size();
            gemm.lda = g_.pixels(), gemm.stride_a = g_.pixel_size();
            gemm.b = weights, gemm.ldb = g_.rows();
            gemm.c = g_.direct() ? to : columns_;
            gemm.ldc = g_.pixels(), gemm.stride_c = g_.rows() * g_.pixels();
            gemm.batch = images;
            device.gemm(gemm);
            if (g_.direct()) return;
            WindowParams p = windows(images);
            p.src = columns_;
            p.dst = to;
            device.launch("mn_col2im", p, images * g_.image_size());
        });
    }

    void weights(Device& device, const mnb_run& run, const float* image,
                 const float* pixels) const {
        if (const ConvAlgorithm& cudnn = plan_.by_cudnn(ConvFunction::kWeights); cudnn.found()) {
            cudnn_->weights(cudnn, run.count, image, pixels, run.diff_param[0],
                            run.accumulate[0] != 0, scratch_);
            return;
        }
        if (g_.groups > 1) {
            GroupedParams p = grouped(run.count);
            p.image = image;
            p.pixels = pixels;
            p.dst = run.diff_param[0];
            p.accumulate = run.accumulate[0];
            device.launch_blocks("mn_grouped_weights", p, g_.weight_count());
            return;
        }
        const int64_t parts = std::min<int64_t>(g_.parts(), run.count);
        chunks(run.count, [&](int64_t first, int64_t images) {
            const float* columns = columns_of(device, image + first * g_.image_size(), images);
            for (int64_t i = 0; i < images; i += parts) {
                Device::Gemm gemm = product();
                gemm.transpose_a = true;
                gemm.m = g_.rows(), gemm.n = g_.pixel_channels, gemm.k = g_.pixels();
                gemm.a = columns + i * g_.rows() * g_.pixels();
                gemm.lda = g_.pixels(), gemm.stride_a = g_.rows() * g_.pixels();
                gemm.b = pixels + (first + i) * g_.pixel_size();
                gemm.ldb = g_.pixels(), gemm.stride_b = g_.pixel_size();
                gemm.c = parts_, gemm.ldc = g_.rows(), gemm.stride_c = g_.weight_count();
                gemm.batch = std::min(parts, images - i);
                gemm.beta = first + i > 0 ? 1.0f : 0.0f;
                device.gemm(gemm);
            }
        });
        const ReducePartsParams p = {parts_, run.diff_param[0], g_.weight_count(), parts,
                                     run.accumulate[0]};
        device.launch("mn_reduce_parts", p, p.count);
    }

    WindowParams windows(int64_t images) const {
        WindowParams p{};
        p.images = images;
        p.channels = g_.image_channels;
        geometry(p);
        return p;
    }

    GroupedParams grouped(int64_t images) const {
        GroupedParams p{};
        p.images = images;
        p.image_channels = g_.image_channels;
        p.pixel_channels = g_.pixel_channels;
        p.groups = g_.groups;
        geometry(p);
        return p;
    }

    template <class Params>
    void geometry(Params& p) const {
        p.image_h = g_.image_h, p.image_w = g_.image_w;
        p.pixel_h = g_.pixel_h, p.pixel_w = g_.pixel_w;
        p.kernel_h = g_.kernel_h, p.kernel_w = g_.kernel_w;
        p.stride_h = g_.stride_h, p.stride_w = g_.stride_w;
        p.pad_top = g_.pad_top, p.pad_left = g_.pad_left;
        p.dilation_h = g_.dilation_h, p.dilation_w = g_.dilation_w;
    }

    const Plan plan_;
    const Geometry& g_ = plan_.geometry;
    std::unique_ptr<CudnnConvolution> cudnn_;
    char* scratch_ = nullptr;  // of the run under way
    float* columns_ = nullptr;
    float* parts_ = nullptr;
};

bool convolution_query(const ImageNode& node, int32_t direction, mnb_support& support) {
    if (node.activation != 0 && node.activation != MN_ACTIVATION_RELU) return false;
    if (node.has_norm) return false;
    if (node.has_pool && !is_small(node.pool)) return false;
    if (node.has_pool && direction != MNB_FORWARD_INFERENCE)
        support.saved_bytes = features(node.dst);
    support.backward_needs = MNB_NEEDS_SRC | (node.activation != 0 ? MNB_NEEDS_DST : 0) |
                             (node.has_pool ? MNB_NEEDS_SAVED : 0);
    return true;
}

void adapt(Device& device, const ImageNode& node, int32_t direction, mnb_support& support) {
    const Plan plan(device, node, direction);
    support.workspace_bytes = plan.result_bytes + plan.scratch_bytes;
    std::snprintf(support.kernel, sizeof support.kernel, "%s", plan.kernel.c_str());
}

}  // namespace

const Op ops::convolution = {convolution_query, create<Convolution>, adapt};

}  // namespace mn::cuda
