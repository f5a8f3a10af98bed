// 3 x 3 convolution of an image of one channel with a 2 x 2 max pooling behind it: the first layer
// of most small networks. Everything between the pixels and the pooled result stays in registers:
// the filters of a block of channels, and the four sums of a window. The gradient by the weights
// likewise: nine sums, and the window's gradient spread over the four places where it may belong.
// Where weights or pixels are not finite, sums are made directly (conv_direct.h).

#include "backend/cpu/kernels/conv_direct.h"
#include "backend/cpu/kernels/image.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/sums.h"

namespace mn::cpu::MN_ISA {

namespace {

// Vectors of channels at a time: 9 weights and 4 sums each.
#if MN_VEC_BYTES == 64 || defined(__aarch64__)
constexpr int kVecs = 2;
#else
constexpr int kVecs = 1;
#endif

template <int N, bool Saves>
void forward_block(const ConvForward& op, const float* strip, int64_t width, int64_t row0,
                   int64_t row1, int64_t n, int64_t o) {
    const ConvShape& s = op.shape;
    Vec w[9][N], bias[N];
    const float* weights = op.weights + o / kPanel * 9 * kPanel + o % kPanel;
    MN_UNROLL
    for (int v = 0; v < N; v++) {
        // A block of two vectors may be one panel or two.
        const int64_t at = (o % kPanel + v * kLanes) / kPanel * 9 * kPanel +
                           (o % kPanel + v * kLanes) % kPanel - o % kPanel;
        MN_UNROLL
        for (int t = 0; t < 9; t++) w[t][v] = load(weights + at + t * kPanel);
        bias[v] = op.bias ? load(op.bias + o + v * kLanes) : Vec{};
    }
    const IntVec number[4] = {splat_int(0), splat_int(1), splat_int(2), splat_int(3)};
    for (int64_t y = row0; y < row1; y++) {
        const float* in = strip + 2 * (y - row0) * width;
        int64_t at = (n * s.pool.oh + y) * s.pool.ow * s.oc + o;
        int64_t arg_at = n * op.saved_image + y * s.pool.ow * s.oc + o;
        for (int64_t x = 0; x < s.pool.ow; x++, in += 2, at += s.oc, arg_at += s.oc) {
            Vec sum[4][N];
            MN_UNROLL
            for (int q = 0; q < 4; q++) {
                MN_UNROLL
                for (int v = 0; v < N; v++) sum[q][v] = bias[v];
            }
            MN_UNROLL
            for (int i = 0; i < 16; i++) {
                const Vec pixel = splat(in[i / 4 * width + i % 4]);
                MN_UNROLL
                for (int q = 0; q < 4; q++) {
                    const int ky = i / 4 - q / 2, kx = i % 4 - q % 2;
                    if (ky < 0 || ky > 2 || kx < 0 || kx > 2) continue;
                    MN_UNROLL
                    for (int v = 0; v < N; v++) sum[q][v] += pixel * w[3 * ky + kx][v];
                }
            }
            MN_UNROLL
            for (int v = 0; v < N; v++) {
                Vec best = sum[0][v];
                IntVec best_at = number[0];
                MN_UNROLL
                for (int q = 1; q < 4; q++) {
                    const IntVec wins = (sum[q][v] > best) | (sum[q][v] != sum[q][v]);
                    best = wins ? sum[q][v] : best;
                    if (Saves) best_at = wins ? number[q] : best_at;
                }
                store(op.dst + at + v * kLanes, s.relu ? relu(best) : best);
                if (Saves) store_bytes(op.saved + arg_at + v * kLanes, best_at);
            }
        }
    }
}

// The same where some weights are not finite.
void forward_directly(const ConvForward& op, int64_t row0, int64_t row1, int64_t n) {
    const ConvShape& s = op.shape;
    for (int64_t p = row0 * s.pool.ow; p < row1 * s.pool.ow; p++) {
        for (int64_t o = 0; o < s.oc; o += kLanes) {
            Vec r[4], best = {};
            IntVec best_at = {};
            for (int q = 0; q < 4; q++) r[q] = splat(__builtin_nanf(""));
            redo_results(op, n, p / s.pool.ow * 2, p % s.pool.ow * 2, 2, o, r);
            for (int q = 0; q < 4; q++) {
                const Vec v = r[q] + (op.bias ? load(op.bias + o) : Vec{});
                const IntVec wins = (v > best) | (v != v) | splat_int(q == 0 ? -1 : 0);
                best = wins ? v : best;
                best_at = wins ? splat_int(q) : best_at;
            }
            store(op.dst + (n * s.pool.oh * s.pool.ow + p) * s.oc + o, s.relu ? relu(best) : best);
            if (op.saved) store_bytes(op.saved + n * op.saved_image + p * s.oc + o, best_at);
        }
    }
}

// sum[t] += gradient * the pixel that tap t saw where the window was won.
#if MN_VEC_BYTES == 64
// The 16 pixels of a window fit a vector, so each lane can pick its own.
template <int N>
MN_INLINE void add_window(const float* in, int64_t width, const Vec (&g)[N], const IntVec (&won)[N],
                          Vec (&sum)[9][N]) {
    const __m256 above = _mm256_loadu2_m128(in + width, in);
    const __m256 below = _mm256_loadu2_m128(in + 3 * width, in + 2 * width);
    const __m512 pixels = _mm512_insertf32x8(_mm512_castps256_ps512(above), below, 1);
    MN_UNROLL
    for (int v = 0; v < N; v++) {
        const IntVec corner = won[v] + (won[v] & 2);  // 0, 1, 4, 5
        MN_UNROLL
        for (int t = 0; t < 9; t++) {
            const IntVec place = corner + (t / 3 * 4 + t % 3);
            const __m512 seen =
                _mm512_maskz_permutexvar_ps(0xffff, reinterpret_cast<__m512i>(place), pixels);
            sum[t][v] += g[v] * reinterpret_cast<Vec>(seen);
        }
    }
}
#else
template <int N>
MN_INLINE void add_window(const float* in, int64_t width, const Vec (&g)[N], const IntVec (&won)[N],
                          Vec (&sum)[9][N]) {
    Vec at[4][N];
    MN_UNROLL
    for (int v = 0; v < N; v++) {
        MN_UNROLL
        for (int q = 0; q < 4; q++) at[q][v] = won[v] == splat_int(q) ? g[v] : Vec{};
    }
    MN_UNROLL
    for (int i = 0; i < 16; i++) {
        const Vec pixel = splat(in[i / 4 * width + i % 4]);
        MN_UNROLL
        for (int q = 0; q < 4; q++) {
            const int ky = i / 4 - q / 2, kx = i % 4 - q % 2;
            if (ky < 0 || ky > 2 || kx < 0 || kx > 2) continue;
            MN_UNROLL
            for (int v = 0; v < N; v++) sum[3 * ky + kx][v] += pixel * at[q][v];
        }
    }
}
#endif

// Adds the sums of channels from o on to the filters, and clears them.
template <int N>
MN_INLINE void add_filters(Vec (&sum)[9][N], int64_t o, double* weights) {
    MN_UNROLL
    for (int v = 0; v < N; v++) {
        const int64_t c = o + v * kLanes;
        double* filters = weights + c / kPanel * 9 * kPanel + c % kPanel;
        MN_UNROLL
        for (int t = 0; t < 9; t++) {
            add_wide(filters + t * kPanel, sum[t][v]);
            sum[t][v] = Vec{};
        }
    }
}

template <int N>
void diff_weights_block(const ConvBackward& op, const float* strip, int64_t width, int64_t n,
                        int64_t o, double* weights, double* bias) {
    const ConvShape& s = op.shape;
    Vec sum[9][N] = {};
    int64_t terms = 0;  // in the sums of products
    const int64_t windows = s.pool.oh * s.pool.ow;
    const float* gradient = op.diff_dst + n * windows * s.oc + o;
    const float* value = op.dst + n * windows * s.oc + o;
    const uint8_t* arg = op.saved + n * op.saved_image + o;
    for (int64_t y = 0; y < s.pool.oh; y++) {
        const float* in = strip + 2 * y * width;
        for (int64_t x = 0; x < s.pool.ow; x += kSumTerms) {
            const int64_t some = min_of(s.pool.ow - x, kSumTerms);
            if (terms + some > kProductTerms) {
                add_filters(sum, o, weights);
                terms = 0;
            }
            terms += some;
            Vec bias_sum[N] = {};
            for (int64_t i = 0; i < some; i++, in += 2) {
                Vec g[N];
                IntVec won[N];
                MN_UNROLL
                for (int v = 0; v < N; v++) {
                    g[v] = load(gradient + v * kLanes);
                    if (s.relu) g[v] = load(value + v * kLanes) <= Vec{} ? Vec{} : g[v];
                    bias_sum[v] += g[v];
                    won[v] = load_bytes(arg + v * kLanes);
                }
                gradient += s.oc, value += s.oc, arg += s.oc;
                add_window(in, width, g, won, sum);
            }
            MN_UNROLL
            for (int v = 0; v < N; v++) add_wide(bias + o + v * kLanes, bias_sum[v]);
        }
    }
    add_filters(sum, o, weights);
}

}  // namespace

void f32_conv2d_image_forward(const ConvForward& op, int64_t task, float* scratch) {
    const ConvShape& s = op.shape;
    const int64_t n = task / op.row_tasks;
    const int64_t row0 = task % op.row_tasks * op.rows_per_task;
    const int64_t row1 = min_of(row0 + op.rows_per_task, s.pool.oh);
    if (op.not_finite) {
        forward_directly(op, row0, row1, n);
        return;
    }
    const int64_t width = 2 * s.pool.ow + 2;
    copy_with_border({op.src + n * s.ih * s.iw, s.ih, s.iw, 1, 1}, 1, 2 * row0 - s.pt,
                     2 * row1 + 2 - s.pt, -s.pl, width - s.pl, scratch);
    const auto several = op.saved ? forward_block<kVecs, true> : forward_block<kVecs, false>;
    const auto one = op.saved ? forward_block<1, true> : forward_block<1, false>;
    int64_t o = 0;
    for (; o + kVecs * kLanes <= s.oc; o += kVecs * kLanes)
        several(op, scratch, width, row0, row1, n, o);
    for (; o < s.oc; o += kLanes) one(op, scratch, width, row0, row1, n, o);
}

void f32_conv2d_image_diff_weights(const ConvBackward& op, int64_t chunk, float* scratch) {
    const ConvShape& s = op.shape;
    const int64_t width = 2 * s.pool.ow + 2;
    double* weights = op.chunk_sums + chunk * op.chunk_weights_stride;
    double* bias = op.chunk_bias + chunk * op.chunk_bias_stride;
    memset(weights, 0, sizeof(double) * op.chunk_weights_stride);
    memset(bias, 0, sizeof(double) * op.chunk_bias_stride);
    const int64_t end = min_of((chunk + 1) * op.images_per_chunk, op.count);
    Vec seen = {};
    for (int64_t n = chunk * op.images_per_chunk; n < end; n++) {
        copy_with_border({op.src + n * s.ih * s.iw, s.ih, s.iw, 1, 1}, 1, -s.pt,
                         2 * s.pool.oh + 2 - s.pt, -s.pl, width - s.pl, scratch);
        seen = look_at(op.src + n * s.ih * s.iw, s.ih * s.iw, seen);
        int64_t o = 0;
        for (; o + kVecs * kLanes <= s.oc; o += kVecs * kLanes)
            diff_weights_block<kVecs>(op, scratch, width, n, o, weights, bias);
        for (; o < s.oc; o += kLanes)
            diff_weights_block<1>(op, scratch, width, n, o, weights, bias);
    }
    // Gradients of zero, which no window has, times what is not finite would be NaNs.
    const bool finite = all_finite(seen);
    float* floats = op.chunk_weights + chunk * op.chunk_weights_stride;
    for (int64_t i = 0; i < op.chunk_weights_stride; i++)
        floats[i] = finite ? static_cast<float>(weights[i]) : __builtin_nanf("");
}

}  // namespace mn::cpu::MN_ISA
