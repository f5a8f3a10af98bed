// Batch normalisation: the four passes over memory, which bound it. A pass holds the coefficients
// or sums of a few panels of channels in registers and goes over the pixels. Sums are taken in
// double: the variance is the small difference of two of them.

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/sums.h"
#include "backend/cpu/kernels/vec.h"

namespace mn::cpu::MN_ISA {

namespace {

// Panels at a time, as many as the registers hold.
#if MN_VEC_BYTES == 64
constexpr int kPanels = 4;
#else
constexpr int kPanels = 1;
#endif
// Forward, channels take turns after a few pixels, so that memory is read about as it lies.
// Backward two or three streams are enough for the prefetcher, and turns cost more than they bring.
constexpr int64_t kTurnPixels = 16;
// Floats hold the sums of a few pixels' gradients, whose rounding is that of the values themselves:
// gradients have no common offset, and that of x is taken off.
constexpr int64_t kFloatPixels = kSumTerms;

template <bool Stream>
MN_INLINE void put(float* p, Vec v) {
    if (Stream)
        stream(p, v);
    else
        store(p, v);
}

template <int Panels>
void sum_sources(const BatchNormPass& op, int64_t c) {
    constexpr int N = Panels * kPanel / kHalfLanes;
    Wide first[N], second[N];
    MN_UNROLL
    for (int n = 0; n < N; n++) {
        first[n] = load_wide(op.first_sum + c + n * kHalfLanes);
        second[n] = load_wide(op.second_sum + c + n * kHalfLanes);
    }
    const float* src = op.src + op.first_pixel * op.channels + c;
    for (int64_t i = op.first_pixel; i < op.last_pixel; i++, src += op.channels) {
        MN_UNROLL
        for (int n = 0; n < N; n++) {
            const Wide x = __builtin_convertvector(load_half(src + n * kHalfLanes), Wide);
            first[n] += x;
            second[n] += x * x;
        }
    }
    MN_UNROLL
    for (int n = 0; n < N; n++) {
        store_wide(op.first_sum + c + n * kHalfLanes, first[n]);
        store_wide(op.second_sum + c + n * kHalfLanes, second[n]);
    }
}

template <int Panels, bool Stream>
void scale(const BatchNormPass& op, int64_t c) {
    constexpr int N = Panels * kPanelVecs;
    Vec mean[N], factor[N], shift[N];
    MN_UNROLL
    for (int n = 0; n < N; n++) {
        mean[n] = load(op.mean + c + n * kLanes);
        factor[n] = load(op.factor + c + n * kLanes);
        shift[n] = load(op.shift + c + n * kLanes);
    }
    const bool with_relu = op.relu;
    const int64_t channels = op.channels;
    const float* src = op.src + op.first_pixel * channels + c;
    float* dst = op.dst + op.first_pixel * channels + c;
    for (int64_t i = op.last_pixel - op.first_pixel; i > 0; i--, src += channels, dst += channels) {
        MN_UNROLL
        for (int n = 0; n < N; n++) {
            const Vec y = (load(src + n * kLanes) - mean[n]) * factor[n] + shift[n];
            put<Stream>(dst + n * kLanes, with_relu ? relu(y) : y);
        }
    }
}

template <int Panels, bool Relu>
void sum_gradients(const BatchNormPass& op, int64_t c) {
    constexpr int N = Panels * kPanelVecs;
    Vec mean[N], factor[N], shift[N];
    MN_UNROLL
    for (int n = 0; n < N; n++) {
        mean[n] = load(op.mean + c + n * kLanes);
        factor[n] = load(op.factor + c + n * kLanes);
        shift[n] = load(op.shift + c + n * kLanes);
    }
    const float* src = op.src + op.first_pixel * op.channels + c;
    const float* diff_dst = op.diff_dst + op.first_pixel * op.channels + c;
    for (int64_t start = op.first_pixel; start < op.last_pixel; start += kFloatPixels) {
        Vec first[N] = {}, second[N] = {};
        const int64_t end = min_of(start + kFloatPixels, op.last_pixel);
        for (int64_t i = start; i < end; i++) {
            MN_UNROLL
            for (int n = 0; n < N; n++) {
                const Vec x = load(src + n * kLanes) - mean[n];
                Vec g = load(diff_dst + n * kLanes);
                // The result is computed again, so that the forward pass need not keep it.
                if (Relu) g = x * factor[n] + shift[n] <= Vec{} ? Vec{} : g;
                first[n] += g;
                second[n] += g * x;
            }
            src += op.channels, diff_dst += op.channels;
        }
        MN_UNROLL
        for (int n = 0; n < N; n++) {
            add_wide(op.first_sum + c + n * kLanes, first[n]);
            add_wide(op.second_sum + c + n * kLanes, second[n]);
        }
    }
}

template <int Panels, bool Relu, bool Stream>
void write_diff_src(const BatchNormPass& op, int64_t c) {
    constexpr int N = Panels * kPanelVecs;
    Vec mean[N], factor[N], shift[N], slope[N], diff_shift[N];
    MN_UNROLL
    for (int n = 0; n < N; n++) {
        mean[n] = load(op.mean + c + n * kLanes);
        factor[n] = load(op.factor + c + n * kLanes);
        shift[n] = load(op.shift + c + n * kLanes);
        slope[n] = load(op.slope + c + n * kLanes);
        diff_shift[n] = load(op.diff_shift + c + n * kLanes);
    }
    const int64_t channels = op.channels, first = op.first_pixel * channels + c;
    const float *src = op.src + first, *diff_dst = op.diff_dst + first;
    float* diff_src = op.diff_src + first;
    for (int64_t i = op.last_pixel - op.first_pixel; i > 0; i--) {
        MN_UNROLL
        for (int n = 0; n < N; n++) {
            const Vec x = load(src + n * kLanes) - mean[n];
            Vec g = load(diff_dst + n * kLanes);
            if (Relu) g = x * factor[n] + shift[n] <= Vec{} ? Vec{} : g;
            put<Stream>(diff_src + n * kLanes, factor[n] * g + (slope[n] * x + diff_shift[n]));
        }
        src += channels, diff_dst += channels, diff_src += channels;
    }
}

// Calls the first for as many panels as it takes at once, then the second panel by panel.
void over_channels(const BatchNormPass& op, void (*several)(const BatchNormPass&, int64_t),
                   void (*one)(const BatchNormPass&, int64_t)) {
    int64_t c = op.first_channel;
    for (; c + kPanels * kPanel <= op.last_channel; c += kPanels * kPanel) several(op, c);
    for (; c < op.last_channel; c += kPanel) one(op, c);
}

void in_turns(const BatchNormPass& op, void (*several)(const BatchNormPass&, int64_t),
              void (*one)(const BatchNormPass&, int64_t)) {
    BatchNormPass turn = op;
    for (int64_t i = op.first_pixel; i < op.last_pixel; i += kTurnPixels) {
        turn.first_pixel = i, turn.last_pixel = min_of(i + kTurnPixels, op.last_pixel);
        over_channels(turn, several, one);
    }
}

void clear_sums(const BatchNormPass& op) {
    for (int64_t c = op.first_channel; c < op.last_channel; c++)
        op.first_sum[c] = op.second_sum[c] = 0;
}

template <bool Stream>
void over_diff_src(const BatchNormPass& op) {
    if (op.relu)
        over_channels(op, write_diff_src<kPanels, true, Stream>, write_diff_src<1, true, Stream>);
    else
        over_channels(op, write_diff_src<kPanels, false, Stream>, write_diff_src<1, false, Stream>);
}

}  // namespace

void f32_batch_norm_sum_sources(const BatchNormPass& op) {
    clear_sums(op);
    in_turns(op, sum_sources<kPanels>, sum_sources<1>);
}

void f32_batch_norm_scale(const BatchNormPass& op) {
    if (op.stream) {
        in_turns(op, scale<kPanels, true>, scale<1, true>);
        stream_end();
    } else {
        in_turns(op, scale<kPanels, false>, scale<1, false>);
    }
}

void f32_batch_norm_sum_gradients(const BatchNormPass& op) {
    clear_sums(op);
    if (op.relu)
        over_channels(op, sum_gradients<kPanels, true>, sum_gradients<1, true>);
    else
        over_channels(op, sum_gradients<kPanels, false>, sum_gradients<1, false>);
}

void f32_batch_norm_diff_src(const BatchNormPass& op) {
    if (op.stream) {
        over_diff_src<true>(op);
        stream_end();
    } else {
        over_diff_src<false>(op);
    }
}

}  // namespace mn::cpu::MN_ISA
