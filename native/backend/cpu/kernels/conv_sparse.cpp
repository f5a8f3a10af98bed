// Gradients of a convolution behind which a max pooling is fused. Of each window only the element
// that won has a gradient, and none where the activation was off, so with 2 x 2 windows at most a
// quarter of the multiplications of the dense gradients is left. Both kernels walk over what is not
// zero; a non-zero gradient is multiplied with whole vectors.
//
// - by the weights: for one output channel, the windows' gradients become a list of (place in the
//   source, gradient). A row of the filter, which lies as one piece in the source (NHWC), stays in
//   registers while the list is walked. Filters are summed as [o][kernel row][kernel column x ic]
//   and brought into panels when the chunks are added up.
// - by the source, for 3 x 3 kernels and 2 x 2 windows: the channels of a window that won in its
//   upper row reach a patch of 3 x 4 source pixels, those of the lower row one a pixel below. The
//   patch stays in registers while bit masks are walked that say which channels won where.

#include "backend/cpu/kernels/image.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/sums.h"
#include "backend/cpu/kernels/transpose.h"

namespace mn::cpu::MN_ISA {

namespace {

struct Entry {
    int32_t offset;
    float gradient;
};

constexpr int64_t kMostVecs = 12;

// row[v] += sum over the entries of gradient * source[offset + v]
template <int N>
void add_entries(const Entry* entries, int64_t count, const float* source, float* row) {
    for (int64_t first = 0; first < count; first += kProductTerms) {
        const int64_t end = min_of(first + kProductTerms, count);
        Vec sum[N] = {};
        for (int64_t i = first; i < end; i++) {
            const float* from = source + entries[i].offset;
            const Vec g = splat(entries[i].gradient);
            MN_UNROLL
            for (int v = 0; v < N; v++) sum[v] += g * load(from + v * kLanes);
        }
        MN_UNROLL
        for (int v = 0; v < N; v++) store(row + v * kLanes, load(row + v * kLanes) + sum[v]);
    }
}

using AddEntries = void (*)(const Entry*, int64_t, const float*, float*);
constexpr AddEntries kAddEntries[kMostVecs] = {add_entries<1>,  add_entries<2>,  add_entries<3>,
                                               add_entries<4>,  add_entries<5>,  add_entries<6>,
                                               add_entries<7>,  add_entries<8>,  add_entries<9>,
                                               add_entries<10>, add_entries<11>, add_entries<12>};

struct Windows {
    int64_t row0, row1;  // rows of windows
    int64_t y0;          // first row of the convolution that they cover
    int64_t width;       // of the source strip
};

constexpr int64_t kChannels = 32;  // output channels that are masked together

// Gradients of the windows for channels [o, o + count), zero where the activation was off, as
// [window][kChannels].
void mask_gradients(const ConvBackward& op, int64_t n, int64_t o, int64_t count, const Windows& w,
                    float* masked) {
    const ConvShape& s = op.shape;
    const int64_t columns = s.pool.ow;
    for (int64_t p = w.row0 * columns; p < w.row1 * columns; p++, masked += kChannels) {
        const int64_t at = (n * s.pool.oh * columns + p) * s.oc + o;
        int64_t c = 0;
        for (; c + kLanes <= count; c += kLanes) {
            Vec g = load(op.diff_dst + at + c);
            if (s.relu) g = load(op.dst + at + c) <= Vec{} ? Vec{} : g;
            store(masked + c, g);
        }
        for (; c < count; c++)
            masked[c] = s.relu && op.dst[at + c] <= 0.0f ? 0.0f : op.diff_dst[at + c];
    }
}

// What is not zero of one channel, with its place in the source strip. Without branches: half of
// the gradients may be zero, in no order.
int64_t list_entries(const ConvShape& s, const Windows& w, const float* masked, const uint8_t* arg,
                     const int32_t* arg_offset, Entry* entries) {
    const PoolShape& pool = s.pool;
    const int32_t step = static_cast<int32_t>(pool.sw * s.sw * s.ic);
    int64_t count = 0;
    for (int64_t y = w.row0; y < w.row1; y++) {
        int32_t offset = static_cast<int32_t>(
            ((y * pool.sh - pool.ph - w.y0) * s.sh * w.width - pool.pw * s.sw) * s.ic);
        for (int64_t x = 0; x < pool.ow; x++, offset += step) {
            uint32_t bits;
            memcpy(&bits, masked, sizeof bits);
            entries[count].offset = offset + arg_offset[*arg];
            memcpy(&entries[count].gradient, &bits, sizeof bits);
            count += (bits << 1) != 0;  // neither 0 nor -0
            masked += kChannels;
            arg += s.oc;
        }
    }
    return count;
}

}  // namespace

void f32_conv2d_sparse_diff_weights(const ConvBackward& op, int64_t task, float* scratch) {
    const ConvShape& s = op.shape;
    const PoolShape& pool = s.pool;
    const int64_t chunk = task / op.column_tasks;
    const int64_t o0 = task % op.column_tasks * op.columns_per_task;
    const int64_t o1 = min_of(o0 + op.columns_per_task, s.oc);
    Windows w;
    w.width = (s.ow - 1) * s.sw + (s.kw - 1) * s.dw + 1;
    int32_t arg_offset[256];
    for (int64_t q = 0; q < pool.kh * pool.kw; q++) {
        arg_offset[q] =
            static_cast<int32_t>((q / pool.kw * s.sh * w.width + q % pool.kw * s.sw) * s.ic);
    }
    float* masked = scratch + op.strip_floats;
    Entry* entries = reinterpret_cast<Entry*>(masked + op.rows_per_strip * pool.ow * kChannels);
    // Pieces of a filter that lie together: a row of it, or with dilation a pixel.
    const int64_t pieces = s.dw == 1 ? s.kh : s.kh * s.kw;
    const int64_t piece = s.dw == 1 ? s.kw * s.ic : s.ic;
    const int64_t piece_floats = round_up(piece, kPanel);
    const int64_t vecs = ceil_div(piece, kLanes);
    const int64_t passes = ceil_div(vecs, kMostVecs);
    float* filters = op.chunk_weights + chunk * op.chunk_weights_stride;
    double* bias = op.chunk_bias + chunk * op.chunk_bias_stride;
    memset(bias + o0, 0, sizeof(double) * (round_up(o1, kPanel) - o0));
    Addends sums = {};
    sums.floats = filters + o0 * pieces * piece_floats;
    if (op.chunk_sums) sums.doubles = op.chunk_sums + (sums.floats - op.chunk_weights);
    sums.rows = sums.pieces = 1;
    sums.count = (o1 - o0) * pieces * piece_floats;
    const int64_t end = min_of((chunk + 1) * op.images_per_chunk, op.count);
    for (int64_t n = chunk * op.images_per_chunk; n < end; n++) {
        for (w.row0 = 0; w.row0 < pool.oh; w.row0 = w.row1) {
            w.row1 = min_of(w.row0 + op.rows_per_strip, pool.oh);
            w.y0 = max_of(w.row0 * pool.sh - pool.ph, 0);
            const int64_t y1 = min_of((w.row1 - 1) * pool.sh - pool.ph + pool.kh, s.oh);
            copy_with_border({op.src + n * s.ih * s.iw * s.ic, s.ih, s.iw, s.ic, s.ic}, s.ic,
                             w.y0 * s.sh - s.pt, (y1 - 1) * s.sh - s.pt + (s.kh - 1) * s.dh + 1,
                             -s.pl, w.width - s.pl, scratch);
            mask_gradients(op, n, o0, o1 - o0, w, masked);
            const int64_t windows = (w.row1 - w.row0) * pool.ow;
            add_pixels(masked, kChannels, windows, o1 - o0, bias + o0);
            if (sums.begin(ceil_div(windows, kProductTerms)))
                memset(sums.floats, 0, sizeof(float) * sums.count);
            const uint8_t* arg = op.saved + n * op.saved_image + w.row0 * pool.ow * s.oc;
            for (int64_t o = o0; o < o1; o++) {
                const int64_t count =
                    list_entries(s, w, masked + o - o0, arg + o, arg_offset, entries);
                float* filter = filters + o * pieces * piece_floats;
                for (int64_t i = 0; i < pieces; i++, filter += piece_floats) {
                    const int64_t tap = s.dw == 1 ? i * s.dh * w.width
                                                  : i / s.kw * s.dh * w.width + i % s.kw * s.dw;
                    const float* source = scratch + tap * s.ic;
                    for (int64_t p = 0, v = 0; p < passes; p++) {
                        const int64_t part = vecs / passes + (p < vecs % passes);
                        kAddEntries[part - 1](entries, count, source + v * kLanes,
                                              filter + v * kLanes);
                        v += part;
                    }
                }
            }
        }
    }
    sums.finish();
}

void f32_conv2d_sparse_sum_filters(const ConvBackward& op, int64_t chunks, int64_t panel,
                                   float* diff_weights, int64_t accumulate) {
    const ConvShape& s = op.shape;
    const int64_t pieces = s.dw == 1 ? s.kh : s.kh * s.kw;
    const int64_t piece = s.dw == 1 ? s.kw * s.ic : s.ic;
    const int64_t piece_floats = round_up(piece, kPanel);
    const int64_t outputs = min_of(kPanel, s.oc - panel * kPanel);
    float sums[kPanel * kPanel], turned[kPanel * kPanel];
    for (int64_t i = 0; i < pieces; i++) {
        for (int64_t at = 0; at < piece; at += kPanel) {
            for (int64_t o = 0; o < outputs; o++) {
                const float* from =
                    op.chunk_weights + ((panel * kPanel + o) * pieces + i) * piece_floats + at;
                for (int64_t c = 0; c < kPanel; c += kLanes)
                    store(sums + o * kPanel + c, sum_of(from + c, chunks, op.chunk_weights_stride));
            }
            transpose_panel(sums, kPanel, outputs, kPanel, turned, kPanel);
            float* to = diff_weights + ((panel * pieces + i) * piece + at) * kPanel;
            for (int64_t j = 0; j < min_of(kPanel, piece - at) * kPanel; j += kLanes) {
                const Vec v = load(turned + j);
                store(to + j, accumulate ? load(to + j) + v : v);
            }
        }
    }
}

namespace {

typedef uint64_t Masks[4];  // for each element of a window, which of 64 channels won there

// One bit a channel: bytes of `code` that are q.
MN_INLINE uint64_t equal_bytes(const uint8_t* code, uint64_t q) {
    uint64_t result = 0;
    MN_UNROLL
    for (int i = 0; i < 8; i++) {
        uint64_t bytes;
        memcpy(&bytes, code + 8 * i, 8);
        bytes ^= q * 0x0101010101010101u;
        // Codes are below 128: bit 7 of the sum is set where a byte is not zero.
        const uint64_t zero = ~(bytes + 0x7f7f7f7f7f7f7f7fu) & 0x8080808080808080u;
        // Gathers the bits, byte i to bit i of the top byte.
        result |= ((zero >> 7) * 0x0102040810204080u >> 56) << (8 * i);
    }
    return result;
}

// Masks of the windows of rows [row0, row1), channels from c0 on.
void find_winners(const ConvBackward& op, int64_t n, int64_t row0, int64_t row1, int64_t c0,
                  Masks* masks) {
    const ConvShape& s = op.shape;
    const int64_t columns = s.pool.ow, channels = min_of(64, s.oc - c0);
    for (int64_t p = row0 * columns; p < row1 * columns; p++, masks++) {
        const int64_t at = (n * s.pool.oh * columns + p) * s.oc + c0;
        const uint8_t* arg = op.saved + n * op.saved_image + p * s.oc + c0;
        const float* gradient = op.diff_dst + at;
        const float* value = op.dst + at;
        uint8_t code[64];
        int64_t c = 0;
        for (; c + kLanes <= channels; c += kLanes) {
            IntVec off = load(gradient + c) == Vec{};
            if (s.relu) off |= load(value + c) <= Vec{};
            store_bytes(code + c, off ? splat_int(4) : load_bytes(arg + c));
        }
        for (; c < channels; c++) {
            const bool off = gradient[c] == 0.0f || (s.relu && value[c] <= 0.0f);
            code[c] = off ? 4 : arg[c];
        }
        for (; c < 64; c++) code[c] = 4;
        for (uint64_t q = 0; q < 4; q++) (*masks)[q] = equal_bytes(code, q);
    }
}

// Adds to patch column q .. q + 2 what the channels of `mask` give.
template <int Q>
MN_INLINE void add_winners(uint64_t mask, const float* gradient, const float* weights,
                           Vec (&patch)[3][4]) {
    while (mask) {
        const int64_t o = __builtin_ctzll(mask);
        mask &= mask - 1;
        const Vec g = splat(gradient[o]);
        const float* w = weights + o * 9 * kLanes;
        MN_UNROLL
        for (int y = 0; y < 3; y++) {
            MN_UNROLL
            for (int x = 0; x < 3; x++) patch[y][Q + x] += g * load(w + (3 * y + x) * kLanes);
        }
    }
}

}  // namespace

void f32_conv2d_sparse_diff_src(const ConvBackward& op, int64_t task, float* scratch) {
    const ConvShape& s = op.shape;
    const int64_t n = task / op.row_tasks;
    const int64_t y0 = task % op.row_tasks * op.rows_per_task;
    const int64_t y1 = min_of(y0 + op.rows_per_task, s.ih);
    // Windows that reach these rows: window row p reaches rows 2 p - pt to 2 p - pt + 3.
    const int64_t row0 = max_of(floor_div(y0 + s.pt - 3, 2) + ((y0 + s.pt - 3) & 1), 0);
    const int64_t row1 = min_of(floor_div(y1 - 1 + s.pt, 2) + 1, s.pool.oh);
    const int64_t width = 2 * s.pool.ow + 2, rows = max_of(2 * (row1 - row0) + 2, 0);
    const int64_t count = max_of(row1 - row0, 0) * s.pool.ow;
    const int64_t blocks = ceil_div(s.oc, 64);
    float* image = scratch;
    Masks* masks = reinterpret_cast<Masks*>(scratch + op.strip_floats);
    for (int64_t b = 0; b < blocks; b++) find_winners(op, n, row0, row1, 64 * b, masks + b * count);
    const float* gradients = op.diff_dst + (n * s.pool.oh + row0) * s.pool.ow * s.oc;

    for (int64_t c = 0; c < s.ic; c += kLanes) {
        memset(image, 0, sizeof(float) * rows * width * kLanes);
        for (int64_t b = 0; b < blocks; b++) {
            const float* weights = op.packed + (c / kLanes * s.oc + 64 * b) * 9 * kLanes;
            const Masks* mask = masks + b * count;
            const float* gradient = gradients + 64 * b;
            for (int64_t y = 0; y < row1 - row0; y++) {
                for (int64_t x = 0; x < s.pool.ow; x++, mask++, gradient += s.oc) {
                    for (int64_t half = 0; half < 2; half++) {
                        Vec patch[3][4] = {};
                        add_winners<0>((*mask)[2 * half], gradient, weights, patch);
                        add_winners<1>((*mask)[2 * half + 1], gradient, weights, patch);
                        float* to = image + ((2 * y + half) * width + 2 * x) * kLanes;
                        MN_UNROLL
                        for (int i = 0; i < 12; i++) {
                            float* at = to + (i / 4 * width + i % 4) * kLanes;
                            store(at, load(at) + patch[i / 4][i % 4]);
                        }
                    }
                }
            }
        }
        const int64_t lanes = min_of(kLanes, s.ic - c);
        for (int64_t y = y0; y < y1; y++) {
            const int64_t from_y = y + s.pt - 2 * row0;
            float* to = op.diff_src + ((n * s.ih + y) * s.iw) * s.ic + c;
            for (int64_t x = 0; x < s.iw; x++, to += s.ic) {
                const int64_t from_x = x + s.pl;
                const bool reached = from_y >= 0 && from_y < rows && from_x < width;
                const Vec v = reached ? load(image + (from_y * width + from_x) * kLanes) : Vec{};
                if (lanes == kLanes) {
                    store(to, v);
                } else {
                    for (int64_t i = 0; i < lanes; i++) to[i] = v[i];
                }
            }
        }
    }
}

void f32_conv2d_sparse_pack(const ConvShape& s, const float* weights, int64_t panel,
                            float* packed) {
    for (int64_t o = 0; o < s.oc; o += kPanel) {
        const int64_t outputs = min_of(kPanel, s.oc - o);
        const int64_t inputs = min_of(kPanel, s.ic - panel * kPanel);
        for (int64_t t = 0; t < 9; t++) {
            float turned[kPanel * kPanel];
            transpose_panel(weights + ((o / kPanel * 9 + t) * s.ic + panel * kPanel) * kPanel,
                            kPanel, inputs, outputs, turned, kPanel);
            for (int64_t c = 0; c < kPanel && panel * kPanel + c < s.ic; c += kLanes) {
                const int64_t block = (panel * kPanel + c) / kLanes;
                for (int64_t i = 0; i < outputs; i++) {
                    store(packed + ((block * s.oc + o + i) * 9 + t) * kLanes,
                          load(turned + i * kPanel + c));
                }
            }
        }
    }
}

}  // namespace mn::cpu::MN_ISA
