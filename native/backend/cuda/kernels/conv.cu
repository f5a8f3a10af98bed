// Convolution: the windows of an image as the columns of a matrix and back, and direct sums for
// groups. Names follow the plain convolution: `image` is what windows are taken of, `pixels` are
// one for each window. A transposed convolution goes from pixels to the image.

#include "backend/cuda/kernels/kernel.h"

using namespace mn::cuda;

// dst[n][c][kh][kw][oh][ow] = src[n][c][oh * stride + kh * dilation - pad][...], 0 outside.
MN_KERNEL(mn_im2col, WindowParams, MN_NO_BARRIERS) {
    const int64_t pixels = static_cast<int64_t>(p.pixel_h) * p.pixel_w;
    const int64_t kernel = static_cast<int64_t>(p.kernel_h) * p.kernel_w;
    const int64_t count = p.images * p.channels * kernel * pixels;
    for (int64_t i = MN_FIRST; i < count; i += MN_STRIDE) {
        const int64_t row = i / pixels, plane = row / kernel;
        const int32_t element = static_cast<int32_t>(row % kernel);
        const int32_t oh = static_cast<int32_t>(i % pixels / p.pixel_w);
        const int32_t ow = static_cast<int32_t>(i % p.pixel_w);
        const int32_t h = oh * p.stride_h - p.pad_top + element / p.kernel_w * p.dilation_h;
        const int32_t w = ow * p.stride_w - p.pad_left + element % p.kernel_w * p.dilation_w;
        const bool inside = h >= 0 && h < p.image_h && w >= 0 && w < p.image_w;
        p.dst[i] = inside ? p.src[(plane * p.image_h + h) * p.image_w + w] : 0.0f;
    }
}

// dst[n][c][h][w] = the sum of the columns' elements that were taken from there.
MN_KERNEL(mn_col2im, WindowParams, MN_NO_BARRIERS) {
    const int64_t pixels = static_cast<int64_t>(p.pixel_h) * p.pixel_w;
    const int64_t area = static_cast<int64_t>(p.image_h) * p.image_w;
    for (int64_t i = MN_FIRST; i < p.images * p.channels * area; i += MN_STRIDE) {
        const float* columns = p.src + i / area * p.kernel_h * p.kernel_w * pixels;
        const int32_t h = static_cast<int32_t>(i % area / p.image_w) + p.pad_top;
        const int32_t w = static_cast<int32_t>(i % p.image_w) + p.pad_left;
        LongSum sum;
        for (int32_t kh = 0; kh < p.kernel_h; kh++) {
            const int32_t top = h - kh * p.dilation_h;
            if (top < 0 || top % p.stride_h || top / p.stride_h >= p.pixel_h) continue;
            for (int32_t kw = 0; kw < p.kernel_w; kw++) {
                const int32_t left = w - kw * p.dilation_w;
                if (left < 0 || left % p.stride_w || left / p.stride_w >= p.pixel_w) continue;
                sum.add(columns[(static_cast<int64_t>(kh) * p.kernel_w + kw) * pixels +
                                static_cast<int64_t>(top / p.stride_h) * p.pixel_w +
                                left / p.stride_w]);
            }
        }
        p.dst[i] = static_cast<float>(sum.total());
    }
}

// From image to pixels: a convolution forward, a transposed one backward.
MN_KERNEL(mn_grouped_gather, GroupedParams, MN_NO_BARRIERS) {
    const int64_t pixels = static_cast<int64_t>(p.pixel_h) * p.pixel_w;
    const int64_t ic = p.image_channels / p.groups, pc = p.pixel_channels / p.groups;
    const int64_t kernel = static_cast<int64_t>(p.kernel_h) * p.kernel_w;
    for (int64_t i = MN_FIRST; i < p.images * p.pixel_channels * pixels; i += MN_STRIDE) {
        const int64_t n = i / pixels / p.pixel_channels, o = i / pixels % p.pixel_channels;
        const int32_t oh = static_cast<int32_t>(i % pixels / p.pixel_w);
        const int32_t ow = static_cast<int32_t>(i % p.pixel_w);
        const float* weights = p.weights + o * ic * kernel;
        const float* image = p.image + (n * p.image_channels + o / pc * ic) * p.image_h * p.image_w;
        LongSum sum;
        for (int64_t c = 0; c < ic; c++)
            for (int32_t kh = 0; kh < p.kernel_h; kh++) {
                const int32_t h = oh * p.stride_h - p.pad_top + kh * p.dilation_h;
                if (h < 0 || h >= p.image_h) continue;
                for (int32_t kw = 0; kw < p.kernel_w; kw++) {
                    const int32_t w = ow * p.stride_w - p.pad_left + kw * p.dilation_w;
                    if (w < 0 || w >= p.image_w) continue;
                    sum.add(image[(c * p.image_h + h) * p.image_w + w] *
                            weights[c * kernel + kh * p.kernel_w + kw]);
                }
            }
        p.dst[i] = static_cast<float>(sum.total());
    }
}

// From pixels to the image: a convolution backward, a transposed one forward.
MN_KERNEL(mn_grouped_scatter, GroupedParams, MN_NO_BARRIERS) {
    const int64_t area = static_cast<int64_t>(p.image_h) * p.image_w;
    const int64_t ic = p.image_channels / p.groups, pc = p.pixel_channels / p.groups;
    const int64_t kernel = static_cast<int64_t>(p.kernel_h) * p.kernel_w;
    const int64_t pixel_area = static_cast<int64_t>(p.pixel_h) * p.pixel_w;
    for (int64_t i = MN_FIRST; i < p.images * p.image_channels * area; i += MN_STRIDE) {
        const int64_t n = i / area / p.image_channels, c = i / area % p.image_channels;
        const int64_t group = c / ic;
        const int32_t h = static_cast<int32_t>(i % area / p.image_w) + p.pad_top;
        const int32_t w = static_cast<int32_t>(i % p.image_w) + p.pad_left;
        LongSum sum;
        for (int32_t kh = 0; kh < p.kernel_h; kh++) {
            const int32_t top = h - kh * p.dilation_h;
            if (top < 0 || top % p.stride_h || top / p.stride_h >= p.pixel_h) continue;
            for (int32_t kw = 0; kw < p.kernel_w; kw++) {
                const int32_t left = w - kw * p.dilation_w;
                if (left < 0 || left % p.stride_w || left / p.stride_w >= p.pixel_w) continue;
                const int64_t pixel =
                    static_cast<int64_t>(top / p.stride_h) * p.pixel_w + left / p.stride_w;
                for (int64_t o = group * pc; o < (group + 1) * pc; o++)
                    sum.add(p.pixels[(n * p.pixel_channels + o) * pixel_area + pixel] *
                            p.weights[(o * ic + c % ic) * kernel + kh * p.kernel_w + kw]);
            }
        }
        p.dst[i] = static_cast<float>(sum.total());
    }
}

// The gradient of the weights. A block a weight.
MN_KERNEL(mn_grouped_weights, GroupedParams, MN_BARRIERS) {
    MN_SHARED(double, shared, kBlockThreads);
    const int64_t pixels = static_cast<int64_t>(p.pixel_h) * p.pixel_w;
    const int64_t ic = p.image_channels / p.groups, pc = p.pixel_channels / p.groups;
    const int64_t kernel = static_cast<int64_t>(p.kernel_h) * p.kernel_w;
    const int64_t o = blockIdx.x / kernel / ic;
    const int64_t c = o / pc * ic + blockIdx.x / kernel % ic;
    const int32_t kh = static_cast<int32_t>(blockIdx.x % kernel / p.kernel_w);
    const int32_t kw = static_cast<int32_t>(blockIdx.x % p.kernel_w);
    double sum = 0;
    for (int64_t i = threadIdx.x; i < p.images * pixels; i += blockDim.x) {
        const int64_t n = i / pixels;
        const int32_t h = static_cast<int32_t>(i % pixels / p.pixel_w) * p.stride_h - p.pad_top +
                          kh * p.dilation_h;
        const int32_t w =
            static_cast<int32_t>(i % p.pixel_w) * p.stride_w - p.pad_left + kw * p.dilation_w;
        if (h < 0 || h >= p.image_h || w < 0 || w >= p.image_w) continue;
        const double x = p.image[((n * p.image_channels + c) * p.image_h + h) * p.image_w + w];
        sum += x * p.pixels[(n * p.pixel_channels + o) * pixels + i % pixels];
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0)
        p.dst[blockIdx.x] = (p.accumulate ? p.dst[blockIdx.x] : 0.0f) + static_cast<float>(sum);
}

MN_KERNEL(mn_reduce_parts, ReducePartsParams, MN_NO_BARRIERS) {
    for (int64_t i = MN_FIRST; i < p.count; i += MN_STRIDE) {
        double sum = 0;
        for (int64_t part = 0; part < p.part_count; part++) sum += p.parts[part * p.count + i];
        p.gradient[i] = (p.accumulate ? p.gradient[i] : 0.0f) + static_cast<float>(sum);
    }
}
