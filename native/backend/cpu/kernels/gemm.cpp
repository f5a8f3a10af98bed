// Register tiles: M rows x P panels of C stay in registers while k runs over the whole depth; a
// row's element of A is broadcast, a panel's row of B is a vector or a few. With 14 x 32 floats on
// AVX-512 (28 of 32 registers) a step of k is 28 multiply-adds for 16 loads; B streams past once a
// tile, at a rate that the second-level cache keeps up with, so nothing needs to be blocked for
// caches. Tiles of fewer rows are the same code: rows that 14 does not divide are split evenly.
//
// A register takes kProductTerms terms, then its sum moves to memory, where floats take
// kProductParts of them and doubles the rest (sums.h). How a sum falls into parts follows from its
// depth only.

#include "backend/cpu/kernels/gemm.h"

#include "backend/cpu/kernels/sums.h"

namespace mn::cpu::MN_ISA {

namespace {

#if MN_VEC_BYTES == 64
constexpr int kMostRows = 14;
constexpr int kMostPanels = 2;
#elif MN_VEC_BYTES == 32
constexpr int kMostRows = 6;
constexpr int kMostPanels = 1;
#elif defined(__aarch64__)
constexpr int kMostRows = 6;
constexpr int kMostPanels = 1;
#else
constexpr int kMostRows = 3;
constexpr int kMostPanels = 1;
#endif

// What the sums of a tile have come to.
template <int Count>
struct Parts {
    float floats[Count];
    double doubles[Count];
    int64_t parts = 0;  // in the floats
    bool settled = false;

    // Rare, and out of the way of the registers.
    __attribute__((noinline)) void settle() {
        mn::cpu::MN_ISA::settle(floats, doubles, Count, settled);
        settled = true;
        parts = 0;
    }
    __attribute__((noinline)) void finish() { mn::cpu::MN_ISA::finish(floats, doubles, Count); }
};

template <int M, int P, bool ContiguousK>
void tile(const Product& p) {
    constexpr int N = P * kPanelVecs;
    // Copies, since a store to C might change `p` for all the compiler knows.
    float* const c = p.c;
    const int64_t c_row = p.c_row, c_panel = p.c_panel, b_k = p.b_k, b_panel = p.b_panel;
    const int64_t a_row = ContiguousK ? p.a_row : 1;
    const int64_t a_k = ContiguousK ? 1 : p.a_k;
    // A tap's share of the depth, in even pieces.
    const int64_t inner = p.inner;
    const int64_t piece = ceil_div(inner, max_of(ceil_div(inner, kProductTerms), 1));
    Vec sum[M][N];
    MN_UNROLL
    for (int n = 0; n < N; n++) {
        const Vec start = p.bias ? load(p.bias + n * kLanes) : Vec{};
        MN_UNROLL
        for (int m = 0; m < M; m++) sum[m][n] = start;
    }
    Parts<M * N * kLanes> earlier;
    int64_t terms = 0;  // in the registers
    const float* ahead = p.a + M * a_row;
    for (int64_t t = 0; t < p.tap_count; t++) {
        // A pointer for every third row: the others are one or two strides away, which an address
        // can say; one for each would not fit the registers.
        const float* a[(M + 2) / 3];
        MN_UNROLL
        for (int i = 0; i < (M + 2) / 3; i++) a[i] = p.a + p.taps[t] + 3 * i * a_row;
        const float* b = p.b + t * p.b_tap;
        for (int64_t left = inner; left > 0;) {
            const int64_t some = min_of(piece, left);
            if (terms + some > kProductTerms) {
                if (earlier.parts == kProductParts) earlier.settle();
                const bool first = earlier.parts++ == 0;
                MN_UNROLL
                for (int m = 0; m < M; m++) {
                    MN_UNROLL
                    for (int n = 0; n < N; n++) {
                        float* at = earlier.floats + (m * N + n) * kLanes;
                        store(at, first ? sum[m][n] : load(at) + sum[m][n]);
                        sum[m][n] = Vec{};
                    }
                }
                terms = 0;
            }
            terms += some;
            left -= some;
            for (int64_t k = some; k > 0; k--) {
                if (ContiguousK) {
                    __builtin_prefetch(ahead);
                    ahead += 16;
                }
                Vec row[N];
                MN_UNROLL
                for (int n = 0; n < N; n++) {
                    row[n] = load(b + n / kPanelVecs * b_panel + n % kPanelVecs * kLanes);
                }
                MN_UNROLL
                for (int m = 0; m < M; m++) {
                    const Vec x = splat(a[m / 3][m % 3 * a_row]);
                    MN_UNROLL
                    for (int n = 0; n < N; n++) sum[m][n] += x * row[n];
                }
                MN_UNROLL
                for (int i = 0; i < (M + 2) / 3; i++) a[i] += a_k;
                b += b_k;
            }
        }
    }
    if (earlier.settled) earlier.finish();
    if (earlier.parts > 0) {
        MN_UNROLL
        for (int m = 0; m < M; m++) {
            MN_UNROLL
            for (int n = 0; n < N; n++) sum[m][n] += load(earlier.floats + (m * N + n) * kLanes);
        }
    }
    if (p.accumulate) {
        MN_UNROLL
        for (int m = 0; m < M; m++) {
            MN_UNROLL
            for (int n = 0; n < N; n++) {
                sum[m][n] +=
                    load(c + m * c_row + n / kPanelVecs * c_panel + n % kPanelVecs * kLanes);
            }
        }
    }
    if (p.relu) {
        MN_UNROLL
        for (int m = 0; m < M; m++) {
            MN_UNROLL
            for (int n = 0; n < N; n++) sum[m][n] = relu(sum[m][n]);
        }
    }
    if (p.stream) {
        MN_UNROLL
        for (int m = 0; m < M; m++) {
            MN_UNROLL
            for (int n = 0; n < N; n++) {
                stream(c + m * c_row + n / kPanelVecs * c_panel + n % kPanelVecs * kLanes,
                       sum[m][n]);
            }
        }
        return;
    }
    MN_UNROLL
    for (int m = 0; m < M; m++) {
        MN_UNROLL
        for (int n = 0; n < N; n++) {
            store(c + m * c_row + n / kPanelVecs * c_panel + n % kPanelVecs * kLanes, sum[m][n]);
        }
    }
}

using TileFunction = void (*)(const Product&);

#define MN_TILES(P, K) \
    { tile<1, P, K>, tile<2, P, K>, tile<3, P, K>, MN_MORE_TILES(P, K) }
#if MN_VEC_BYTES == 64
#define MN_MORE_TILES(P, K)                                                                   \
    tile<4, P, K>, tile<5, P, K>, tile<6, P, K>, tile<7, P, K>, tile<8, P, K>, tile<9, P, K>, \
        tile<10, P, K>, tile<11, P, K>, tile<12, P, K>, tile<13, P, K>, tile<14, P, K>
#elif MN_VEC_BYTES == 32 || defined(__aarch64__)
#define MN_MORE_TILES(P, K) tile<4, P, K>, tile<5, P, K>, tile<6, P, K>
#else
#define MN_MORE_TILES(P, K)
#endif

// [k contiguous][panels - 1][rows - 1]
constexpr TileFunction kTiles[2][kMostPanels][kMostRows] = {
#if MN_VEC_BYTES == 64
    {MN_TILES(1, false), MN_TILES(2, false)},
    {MN_TILES(1, true), MN_TILES(2, true)},
#else
    {MN_TILES(1, false)},
    {MN_TILES(1, true)},
#endif
};

// A row or two (one image through a linear layer) are bound by how fast B comes, so more panels are
// read at once.
constexpr int kWideRows = 2;
constexpr int kWidePanels = kPanelVecs == 1 ? 4 : 2;
constexpr TileFunction kWideTiles[2][kWideRows] = {
    {tile<1, kWidePanels, false>, tile<2, kWidePanels, false>},
    {tile<1, kWidePanels, true>, tile<2, kWidePanels, true>},
};

// A last panel of which C has only some columns: computed aside, then copied.
void narrow_tile(Product p, int m, TileFunction function) {
    float aside[kMostRows * kPanel * kMostPanels];
    const int64_t wide = round_up(p.columns, kPanel);
    float* c = p.c;
    if (p.accumulate) {
        for (int r = 0; r < m; r++) {
            for (int64_t j = 0; j < p.columns; j++) {
                aside[r * wide + j] = c[r * p.c_row + j / kPanel * p.c_panel + j % kPanel];
            }
            for (int64_t j = p.columns; j < wide; j++) aside[r * wide + j] = 0.0f;
        }
    }
    const int64_t c_row = p.c_row, c_panel = p.c_panel;
    p.c = aside;
    p.stream = false;
    p.c_row = wide;
    p.c_panel = kPanel;
    function(p);
    for (int r = 0; r < m; r++) {
        for (int64_t j = 0; j < p.columns; j++) {
            c[r * c_row + j / kPanel * c_panel + j % kPanel] = aside[r * wide + j];
        }
    }
}

}  // namespace

void multiply(const Product& product) {
    const int64_t rows = product.rows;
    if (rows <= 0) return;
    const int64_t tiles = ceil_div(rows, kMostRows);
    const int64_t least = rows / tiles, more = rows % tiles;
    const int contiguous = product.a_k == 1;
    const bool few = rows <= kWideRows;
    int64_t j = 0;
    while (j < product.columns) {
        const bool wide = few && product.columns - j >= kWidePanels * kPanel;
        Product p = product;
        p.columns = min_of(product.columns - j, (wide ? kWidePanels : kMostPanels) * kPanel);
        p.b += j / kPanel * p.b_panel;
        p.c += j / kPanel * p.c_panel;
        if (p.bias) p.bias += j;
        j += p.columns;
        if (wide) {
            kWideTiles[contiguous][rows - 1](p);
            continue;
        }
        const int panels = static_cast<int>(ceil_div(p.columns, kPanel));
        for (int64_t i = 0; i < tiles; i++) {
            const int m = static_cast<int>(least + (i < more));
            const TileFunction function = kTiles[contiguous][panels - 1][m - 1];
            if (p.columns % kPanel) {
                narrow_tile(p, m, function);
            } else {
                function(p);
            }
            p.a += m * p.a_row;
            p.c += m * p.c_row;
        }
    }
}

}  // namespace mn::cpu::MN_ISA
