// Normalisations, softmax and dropout. Sums are taken in double and in a fixed order.

#include "backend/cuda/kernels/kernel.h"
#include "backend/cuda/kernels/norm_params.h"

using namespace mn::cuda;

namespace {

__device__ __forceinline__ int64_t element(const NormParams& p, int64_t set, int64_t j) {
    return set / p.inner_sets * p.outer_step + set % p.inner_sets * p.inner_step +
           j / p.row * p.row_step + j % p.row * p.step;
}

// Mean and 1 / standard deviation. The mean's rounding error is kept apart.
struct Statistics {
    double mean, r;
    float rounded_mean, rounded_r, rest;

    __device__ __forceinline__ Statistics(double mean_value, double r_value)
        : mean(mean_value),
          r(r_value),
          rounded_mean(static_cast<float>(mean)),
          rounded_r(static_cast<float>(r)),
          rest(static_cast<float>((static_cast<double>(rounded_mean) - mean) * r)) {}
};

// Without the ReLU. The same bits wherever it is computed, since the backward pass asks again.
__device__ __forceinline__ float normalized(const NormParams& p, const Statistics& s, float x,
                                            int64_t channel) {
    const float centred = fmaf(x - s.rounded_mean, s.rounded_r, s.rest);
    return p.weight ? fmaf(centred, p.weight[channel], p.bias[channel]) : centred;
}

// The gradient that a fused ReLU lets pass.
__device__ __forceinline__ float passed(const NormParams& p, const Statistics& s, float x,
                                        int64_t channel, float g) {
    return p.relu && normalized(p, s, x, channel) <= 0.0f ? 0.0f : g;
}

__device__ __forceinline__ int64_t channel_of(const NormParams& p, int64_t at) {
    return at / p.area % p.channels;
}

}  // namespace

// A block a set.
MN_KERNEL(mn_norm_forward, NormParams, MN_BARRIERS) {
    MN_SHARED(double, shared, kBlockThreads);
    const int64_t set = blockIdx.x;
    double mean, r;
    if (p.uses_running) {
        mean = p.running_mean[set];
        r = 1.0 / sqrt(static_cast<double>(p.running_variance[set]) + p.epsilon);
    } else {
        double sum = 0, squares = 0;
        for (int64_t j = threadIdx.x; j < p.set_size; j += blockDim.x) {
            const double x = p.src[element(p, set, j)];
            sum += x;
            squares += x * x;
        }
        const double n = static_cast<double>(p.set_size);
        mean = block_sum(sum, shared) / n;
        // A square's mean is never the smaller one but for rounding; a NaN stays one.
        const double difference = block_sum(squares, shared) / n - mean * mean;
        const double variance = difference < 0 ? 0 : difference;
        r = 1.0 / sqrt(variance + p.epsilon);
        if (threadIdx.x == 0 && p.moves_running) {
            const double keep = 1 - p.momentum;
            p.running_mean[set] =
                static_cast<float>(keep * p.running_mean[set] + p.momentum * mean);
            p.running_variance[set] = static_cast<float>(keep * p.running_variance[set] +
                                                         p.momentum * (variance * n / (n - 1)));
        }
    }
    if (threadIdx.x == 0 && p.statistics) {
        p.statistics[2 * set] = mean;
        p.statistics[2 * set + 1] = r;
    }
    const Statistics statistics(mean, r);
    for (int64_t j = threadIdx.x; j < p.set_size; j += blockDim.x) {
        const int64_t at = element(p, set, j);
        const float y = normalized(p, statistics, p.src[at], channel_of(p, at));
        p.dst[at] = p.relu && y < 0.0f ? 0.0f : y;
    }
}

// dx = r (G - mean of G - x' * mean of G x') with x' = (x - mean) r and G the gradient times the
// weight; running statistics are constants, and both means count as 0. A block a set.
MN_KERNEL(mn_norm_backward, NormParams, MN_BARRIERS) {
    MN_SHARED(double, shared, kBlockThreads);
    const int64_t set = blockIdx.x;
    const Statistics s(p.statistics[2 * set], p.statistics[2 * set + 1]);
    double sum_g = 0, sum_gx = 0;
    for (int64_t j = threadIdx.x; j < p.set_size; j += blockDim.x) {
        const int64_t at = element(p, set, j), channel = channel_of(p, at);
        const double x = p.src[at];
        double g = passed(p, s, p.src[at], channel, p.diff_dst[at]);
        if (p.weight) g *= p.weight[channel];
        sum_g += g;
        sum_gx += g * ((x - s.mean) * s.r);
    }
    const double n = static_cast<double>(p.set_size);
    const double mean_g = p.uses_running ? 0 : block_sum(sum_g, shared) / n;
    const double mean_gx = p.uses_running ? 0 : block_sum(sum_gx, shared) / n;
    for (int64_t j = threadIdx.x; j < p.set_size; j += blockDim.x) {
        const int64_t at = element(p, set, j), channel = channel_of(p, at);
        const double x = p.src[at];
        double g = passed(p, s, p.src[at], channel, p.diff_dst[at]);
        if (p.weight) g *= p.weight[channel];
        p.dst[at] = static_cast<float>(s.r * (g - mean_g - (x - s.mean) * s.r * mean_gx));
    }
}

// The gradients of weight and bias. A block a channel.
MN_KERNEL(mn_norm_parameters, NormParams, MN_BARRIERS) {
    MN_SHARED(double, shared, kBlockThreads);
    const int64_t channel = blockIdx.x;
    double weight = 0, bias = 0;
    for (int64_t i = threadIdx.x; i < p.images * p.area; i += blockDim.x) {
        const int64_t image = i / p.area, pixel = i % p.area;
        const int64_t at = (image * p.channels + channel) * p.area + pixel;
        const int64_t set = p.sets == kChannelSets ? channel
                            : p.sets == kPixelSets ? i
                                                   : at / p.set_size;
        const Statistics s(p.statistics[2 * set], p.statistics[2 * set + 1]);
        const double g = passed(p, s, p.src[at], channel, p.diff_dst[at]);
        bias += g;
        weight += g * ((p.src[at] - s.mean) * s.r);
    }
    weight = block_sum(weight, shared);
    bias = block_sum(bias, shared);
    if (threadIdx.x != 0) return;
    if (p.weight_gradient)
        p.weight_gradient[channel] =
            (p.accumulate_weight ? p.weight_gradient[channel] : 0.0f) + static_cast<float>(weight);
    if (p.bias_gradient)
        p.bias_gradient[channel] =
            (p.accumulate_bias ? p.bias_gradient[channel] : 0.0f) + static_cast<float>(bias);
}

namespace {

// k + alpha / size * (sum of squares over the window of channel c)
__device__ __forceinline__ float local_energy(const LocalResponseParams& p, const float* pixel,
                                              int64_t c) {
    LongSum sum;
    for (int64_t i = c - p.before; i <= c + p.after; i++) {
        if (i < 0 || i >= p.channels) continue;
        const float x = pixel[i * p.area];
        sum.add(x * x);
    }
    return p.k + p.factor * static_cast<float>(sum.total());
}

}  // namespace

MN_KERNEL(mn_local_response_forward, LocalResponseParams, MN_NO_BARRIERS) {
    for (int64_t i = MN_FIRST; i < p.count; i += MN_STRIDE) {
        const int64_t c = i / p.area % p.channels;
        const float energy = local_energy(p, p.src + i - c * p.area, c);
        p.dst[i] = p.src[i] * powf(energy, -p.beta);
    }
}

MN_KERNEL(mn_local_response_backward, LocalResponseParams, MN_NO_BARRIERS) {
    for (int64_t i = MN_FIRST; i < p.count; i += MN_STRIDE) {
        const int64_t c = i / p.area % p.channels, first = i - c * p.area;
        LongSum sum;  // over the channels in whose windows this element is
        for (int64_t j = c - p.after; j <= c + p.before; j++) {
            if (j < 0 || j >= p.channels) continue;
            const int64_t at = first + j * p.area;
            const float energy = local_energy(p, p.src + first, j);
            sum.add(p.diff_dst[at] * p.src[at] * powf(energy, -p.beta - 1.0f));
        }
        const float power = powf(local_energy(p, p.src + first, c), -p.beta);
        p.dst[i] = p.diff_dst[i] * power -
                   2.0f * p.beta * p.factor * p.src[i] * static_cast<float>(sum.total());
    }
}

// A NaN anywhere makes the sum, and so every result, a NaN.
MN_KERNEL(mn_softmax_forward, SoftmaxParams, MN_BARRIERS) {
    MN_SHARED(double, shared, kBlockThreads);
    MN_SHARED(float, largest_of, kBlockThreads);
    const float* src = p.src + blockIdx.x * p.features;
    float* dst = p.dst + blockIdx.x * p.features;
    const unsigned t = threadIdx.x;
    float largest = -INFINITY;
    for (int64_t f = t; f < p.features; f += blockDim.x) largest = fmaxf(largest, src[f]);
    largest_of[t] = largest;
    __syncthreads();
    for (unsigned half = kBlockThreads / 2; half > 0; half /= 2) {
        if (t < half) largest_of[t] = fmaxf(largest_of[t], largest_of[t + half]);
        __syncthreads();
    }
    largest = largest_of[0];
    double sum = 0;
    for (int64_t f = t; f < p.features; f += blockDim.x) sum += expf(src[f] - largest);
    sum = block_sum(sum, shared);
    const float log_sum = static_cast<float>(log(sum)), factor = static_cast<float>(1.0 / sum);
    for (int64_t f = t; f < p.features; f += blockDim.x) {
        const float centred = src[f] - largest;
        dst[f] = p.logarithm ? centred - log_sum : expf(centred) * factor;
    }
}

// softmax: y (g - sum of g y); logarithm: g - exp(y) (sum of g)
MN_KERNEL(mn_softmax_backward, SoftmaxParams, MN_BARRIERS) {
    MN_SHARED(double, shared, kBlockThreads);
    const int64_t first = blockIdx.x * p.features;
    double sum = 0;
    for (int64_t f = threadIdx.x; f < p.features; f += blockDim.x) {
        const double g = p.diff_dst[first + f];
        sum += p.logarithm ? g : g * p.result[first + f];
    }
    const float total = static_cast<float>(block_sum(sum, shared));
    for (int64_t f = threadIdx.x; f < p.features; f += blockDim.x) {
        const float g = p.diff_dst[first + f], y = p.result[first + f];
        p.dst[first + f] = p.logarithm ? g - expf(y) * total : y * (g - total);
    }
}

namespace {

// Philox4x32-10, with the same bits as graph/philox.h, which names the source.
__device__ __forceinline__ uint32_t philox(const uint32_t key[2], uint64_t index, uint32_t layer,
                                           uint32_t purpose) {
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t c0 = static_cast<uint32_t>(index >> 2), c1 = static_cast<uint32_t>(index >> 34);
    uint32_t c2 = layer, c3 = purpose;
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0;
        const uint64_t p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
        c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
        c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
        c1 = static_cast<uint32_t>(p1);
        c3 = static_cast<uint32_t>(p0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    switch (index & 3) {
        case 0:
            return c0;
        case 1:
            return c1;
        case 2:
            return c2;
        default:
            return c3;
    }
}

}  // namespace

MN_KERNEL(mn_dropout, DropoutParams, MN_NO_BARRIERS) {
    for (int64_t i = MN_FIRST; i < p.count; i += MN_STRIDE) {
        const uint64_t unit = static_cast<uint64_t>(i / p.unit_size);
        // In [0, 1), a multiple of 2^-24.
        const float number =
            static_cast<float>(philox(p.key, unit, p.layer, p.purpose) >> 8) / 16777216.0f;
        p.dst[i] = p.src[i] * (number < p.probability ? 0.0f : p.scale);
    }
}

MN_KERNEL(mn_prelu_forward, NormParams, MN_NO_BARRIERS) {
    for (int64_t i = MN_FIRST; i < p.images * p.channels * p.area; i += MN_STRIDE) {
        const float x = p.src[i];
        p.dst[i] = x > 0.0f ? x : x * p.weight[i / p.area % p.channels];
    }
}

MN_KERNEL(mn_prelu_backward, NormParams, MN_NO_BARRIERS) {
    for (int64_t i = MN_FIRST; i < p.images * p.channels * p.area; i += MN_STRIDE) {
        const float g = p.diff_dst[i];
        p.dst[i] = p.src[i] > 0.0f ? g : g * p.weight[i / p.area % p.channels];
    }
}

// A block a slope.
MN_KERNEL(mn_prelu_weight, NormParams, MN_BARRIERS) {
    MN_SHARED(double, shared, kBlockThreads);
    const int64_t c = blockIdx.x;
    double sum = 0;
    for (int64_t i = threadIdx.x; i < p.images * p.area; i += blockDim.x) {
        const int64_t at = (i / p.area * p.channels + c) * p.area + i % p.area;
        const double x = p.src[at];
        if (!(x > 0)) sum += x * p.diff_dst[at];
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0)
        p.weight_gradient[c] =
            (p.accumulate_weight ? p.weight_gradient[c] : 0.0f) + static_cast<float>(sum);
}
