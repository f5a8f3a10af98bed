// Softmax and cross-entropy of one image's class scores.

#include "backend/cpu/kernels/exponential.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/vec.h"

namespace mn::cpu::MN_ISA {

namespace {

typedef double WideVec __attribute__((vector_size(2 * MN_VEC_BYTES)));

// What is left of a row of scores; the lanes behind its end get the value `rest`.
MN_INLINE Vec load_end(const float* p, int64_t count, float rest) {
    float lanes[kLanes];
    for (int64_t i = 0; i < kLanes; i++) lanes[i] = i < count ? p[i] : rest;
    return load(lanes);
}

// Calls visit(vector, first class, classes in it) for the whole row.
template <class Visit>
MN_INLINE void for_vectors(const float* p, int64_t count, float rest, Visit&& visit) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) visit(load(p + i), i, int64_t{kLanes});
    if (i < count) visit(load_end(p + i, count - i, rest), i, count - i);
}

}  // namespace

void f32_class_scores(ClassScores& op) {
    const float* x = op.scores;
    Vec largest = splat(x[0]);
    IntVec nan = {};
    for_vectors(x, op.classes, x[0], [&](Vec v, int64_t, int64_t) {
        largest = v > largest ? v : largest;
        nan |= v != v;
    });
    op.largest = largest[0];
    bool has_nan = false;
    for (int i = 0; i < kLanes; i++) {
        if (largest[i] > op.largest) op.largest = largest[i];
        has_nan = has_nan || nan[i] != 0;
    }

    IntVec earlier = {};
    for_vectors(x, op.target, __builtin_nanf(""),
                [&](Vec v, int64_t, int64_t) { earlier |= v == splat(op.largest); });
    bool leads = !has_nan && x[op.target] == op.largest;
    for (int i = 0; i < kLanes; i++) leads = leads && earlier[i] == 0;
    op.leads = leads;

    WideVec sums = {};
    for_vectors(x, op.classes, -__builtin_inff(), [&](Vec v, int64_t first, int64_t count) {
        const Vec e = exp(v - splat(op.largest));
        sums += __builtin_convertvector(e, WideVec);
        if (!op.exponentials) return;
        if (count == kLanes)
            store(op.exponentials + first, e);
        else
            for (int64_t i = 0; i < count; i++) op.exponentials[first + i] = e[i];
    });
    op.sum = 0;
    for (int i = 0; i < kLanes; i++) op.sum += sums[i];
}

void f32_class_gradients(float* values, int64_t classes, float scale, float share,
                         const float* weights) {
    int64_t c = 0;
    for (; c + kLanes <= classes; c += kLanes) {
        const Vec taken = weights ? load(weights + c) * splat(share) : splat(share);
        store(values + c, load(values + c) * splat(scale) - taken);
    }
    for (; c < classes; c++) values[c] = values[c] * scale - (weights ? weights[c] * share : share);
}

}  // namespace mn::cpu::MN_ISA
