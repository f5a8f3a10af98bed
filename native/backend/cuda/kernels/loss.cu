// Losses: each image reports a row, and the rows are added up in their order.

#include "backend/backend.h"
#include "backend/cuda/kernels/kernel.h"

using namespace mn::cuda;

namespace {

// The largest of the block's values, and what a comparison with a NaN leaves.
__device__ __forceinline__ double block_largest(double value, double* shared) {
    const int t = static_cast<int>(threadIdx.x);
    __syncthreads();
    shared[t] = value;
    __syncthreads();
    for (int half = kBlockThreads / 2; half > 0; half /= 2) {
        if (t < half && shared[t + half] > shared[t]) shared[t] = shared[t + half];
        __syncthreads();
    }
    return shared[0];
}

}  // namespace

// Cross-entropy (1 - s) w_y (-log p_y) + s / C sum_c w_c (-log p_c), or NLL -w_y x_y.
MN_KERNEL(mn_label_loss, LabelLossParams, MN_BARRIERS) {
    MN_SHARED(double, shared, kBlockThreads);
    const int64_t n = blockIdx.x;
    const int32_t target = p.labels[p.indices ? p.indices[n] : n];
    const float* x = p.src + n * p.classes;
    float* diff = p.diff_src ? p.diff_src + n * p.classes : nullptr;
    if (p.ignores && target == p.ignore_index) {
        for (int64_t f = threadIdx.x; diff && f < p.classes; f += blockDim.x) diff[f] = 0.0f;
        if (threadIdx.x == 0) {
            p.rows[n].loss = p.rows[n].weight = 0;
            p.rows[n].correct = 0;
        }
        return;
    }
    // A row with a NaN has no largest value; of equals the first is taken.
    double largest = -INFINITY, nans = 0, before = 0;
    for (int64_t f = threadIdx.x; f < p.classes; f += blockDim.x) {
        const double v = x[f];
        if (v != v) nans += 1;
        if (v > largest) largest = v;
        if (f < target ? x[f] >= x[target] : x[f] > x[target]) before += 1;
    }
    largest = block_largest(largest, shared);
    nans = block_sum(nans, shared);
    before = block_sum(before, shared);
    const double weight = p.class_weights ? p.class_weights[target] : 1.0;
    double loss;
    if (p.nll) {
        loss = -weight * x[target];
        for (int64_t f = threadIdx.x; diff && f < p.classes; f += blockDim.x)
            diff[f] = f == target ? static_cast<float>(-*p.factor * weight) : 0.0f;
    } else {
        double sum = 0;
        for (int64_t f = threadIdx.x; f < p.classes; f += blockDim.x) sum += exp(x[f] - largest);
        sum = block_sum(sum, shared);
        const double log_sum = log(sum) + largest;
        const double hard = (1.0 - p.smoothing) * weight;
        const double soft = p.smoothing / static_cast<double>(p.classes);
        double smooth = 0;
        // Without smoothing, an infinite score of another class must not meet a factor of 0.
        for (int64_t f = threadIdx.x; soft != 0 && f < p.classes; f += blockDim.x)
            smooth += soft * (p.class_weights ? p.class_weights[f] : 1.0) * (log_sum - x[f]);
        loss = hard * (log_sum - x[target]) + block_sum(smooth, shared);
        for (int64_t f = threadIdx.x; diff && f < p.classes; f += blockDim.x) {
            const double share = exp(x[f] - largest) / sum;
            const double w = p.class_weights ? p.class_weights[f] : 1.0;
            const double g =
                hard * (share - (f == target ? 1.0 : 0.0)) + soft * (p.weight_sum * share - w);
            diff[f] = static_cast<float>(*p.factor * g);
        }
    }
    if (threadIdx.x == 0) {
        p.rows[n].loss = loss;
        p.rows[n].weight = weight;
        p.rows[n].correct = nans == 0 && before == 0;
    }
}

MN_KERNEL(mn_target_loss, TargetLossParams, MN_BARRIERS) {
    MN_SHARED(double, shared, kBlockThreads);
    const int64_t first = static_cast<int64_t>(blockIdx.x) * p.features;
    double sum = 0;
    for (int64_t f = threadIdx.x; f < p.features; f += blockDim.x) {
        const double x = p.src[first + f], t = p.targets[first + f], d = x - t;
        double loss, gradient;
        switch (p.kind) {
            case MN_LOSS_MSE:
                loss = d * d;
                gradient = 2 * d;
                break;
            case MN_LOSS_L1:
                loss = fabs(d);
                gradient = d > 0 ? 1 : d < 0 ? -1 : d;  // 0 at 0, and a NaN stays a NaN
                break;
            case MN_LOSS_HUBER:
                if (d > p.delta) {
                    loss = p.delta * (d - p.delta / 2);
                    gradient = p.delta;
                } else if (d < -p.delta) {
                    loss = p.delta * (-d - p.delta / 2);
                    gradient = -p.delta;
                } else {
                    loss = d * d / 2;
                    gradient = d;
                }
                break;
            case MN_LOSS_BCE_WITH_LOGITS: {
                const double e = exp(-fabs(x));  // of a number that is not positive: no overflow
                const double sigmoid = x < 0 ? e / (1 + e) : 1 / (1 + e);
                // How much of x counts; where it is none, an infinite x must not make a NaN of it.
                const double part = x > 0 ? 1 - t : -t;
                loss = (part == 0 ? 0 : x * part) + log1p(e);
                gradient = sigmoid - t;
                break;
            }
            default:  // the gradient comes with the batch
                loss = x * t;
                gradient = t;
                break;
        }
        sum += loss;
        if (p.diff_src) p.diff_src[first + f] = static_cast<float>(*p.factor * gradient);
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) {
        p.rows[blockIdx.x].loss = sum;
        p.rows[blockIdx.x].weight = 1;
        p.rows[blockIdx.x].correct = 0;
    }
}

// One block.
MN_KERNEL(mn_loss_total, LossTotalParams, MN_BARRIERS) {
    MN_SHARED(double, shared, kBlockThreads);
    double loss = 0, weight = 0, correct = 0;
    for (int64_t n = threadIdx.x; n < p.images; n += blockDim.x) {
        loss += p.rows[n].loss;
        weight += p.rows[n].weight;
        correct += static_cast<double>(p.rows[n].correct);
    }
    loss = block_sum(loss, shared);
    weight = block_sum(weight, shared);
    correct = block_sum(correct, shared);
    if (threadIdx.x == 0) {
        mnb_loss_result* result = static_cast<mnb_loss_result*>(p.result);
        result->numerator = loss;
        result->denominator = p.denominator < 0 ? weight : p.denominator;
        result->correct = static_cast<int64_t>(correct);
    }
}
