// Long sums. A float that takes n terms of one sign may lose n / 2 units in its last place, so a
// float takes a bounded number of terms; what it holds then is added to a double.

#pragma once

#include "backend/cpu/kernels/table.h"
#include "backend/cpu/kernels/vec.h"

namespace mn::cpu::MN_ISA {

// Terms of one float where the sum should be right to 2e-6. Sums of products, kProductTerms of
// them, to 1e-5.
constexpr int64_t kSumTerms = 32;

// Floats are read half a vector at a time, which is a whole vector of doubles.
typedef float Half __attribute__((vector_size(MN_VEC_BYTES / 2)));
typedef float LooseHalf __attribute__((vector_size(MN_VEC_BYTES / 2), aligned(4), may_alias));
typedef double Wide __attribute__((vector_size(MN_VEC_BYTES)));
typedef double LooseWide __attribute__((vector_size(MN_VEC_BYTES), aligned(8), may_alias));
constexpr int kHalfLanes = kLanes / 2;

MN_INLINE Half load_half(const float* p) {
    return *reinterpret_cast<const LooseHalf*>(p);
}
MN_INLINE Wide widen(const float* p) {
    return __builtin_convertvector(load_half(p), Wide);
}
MN_INLINE void store_narrow(float* p, Wide v) {
    *reinterpret_cast<LooseHalf*>(p) = __builtin_convertvector(v, Half);
}
MN_INLINE Wide load_wide(const double* p) {
    return *reinterpret_cast<const LooseWide*>(p);
}
MN_INLINE void store_wide(double* p, Wide v) {
    *reinterpret_cast<LooseWide*>(p) = v;
}
// p[i] += v[i]
MN_INLINE void add_wide(double* p, Vec v) {
    float floats[kLanes];
    store(floats, v);
    for (int i = 0; i < kLanes; i += kHalfLanes)
        store_wide(p + i, load_wide(p + i) + widen(floats + i));
}

// The sum of `count` vectors that lie `stride` apart.
MN_INLINE Vec sum_of(const float* p, int64_t count, int64_t stride) {
    Wide low = {}, high = {};
    for (int64_t i = 0; i < count; i++, p += stride) {
        low += widen(p);
        high += widen(p + kHalfLanes);
    }
    float sum[kLanes];
    store_narrow(sum, low);
    store_narrow(sum + kHalfLanes, high);
    return load(sum);
}

// The sum of a vector's worth of any number of terms.
class LongSum {
public:
    MN_INLINE void add(Vec term) {
        part_ += term;
        if (++terms_ == kSumTerms) settle();
    }
    // The sum, divided.
    MN_INLINE Vec over(double divisor) {
        settle();
        float result[kLanes];
        for (int i = 0; i < kLanes; i += kHalfLanes)
            store_narrow(result + i, load_wide(whole_ + i) / divisor);
        return load(result);
    }

private:
    MN_INLINE void settle() {
        add_wide(whole_, part_);
        part_ = Vec{};
        terms_ = 0;
    }

    double whole_[kLanes] = {};
    Vec part_ = {};
    int64_t terms_ = 0;
};

// whole (+)= parts
void settle(const float* parts, double* whole, int64_t count, bool add);
// parts = whole + parts
void finish(float* parts, const double* whole, int64_t count);

// Floats to which sums of products are added, kProductParts of them; then they move to doubles and
// begin anew. They lie as `rows` times `pieces` pieces of `count`.
struct Addends {
    float* floats;
    double* doubles;  // laid out alike; null: the sums are few
    int64_t rows, row, pieces, piece, count;
    int64_t parts;  // in the floats
    bool settled;   // the doubles hold something

    // Before an addition of so many sums: whether the floats begin anew.
    bool begin(int64_t more = 1);
    // The floats become what there is in all.
    void finish();
};

// sums[c] += the sum over i < pixels of values[i * pixel + c], c < channels
void add_pixels(const float* values, int64_t pixel, int64_t pixels, int64_t channels, double* sums);

}  // namespace mn::cpu::MN_ISA
