#include "backend/cpu/kernels/sums.h"

namespace mn::cpu::MN_ISA {

void settle(const float* parts, double* whole, int64_t count, bool add) {
    for (int64_t i = 0; i < count; i++)
        whole[i] = (add ? whole[i] : 0.0) + static_cast<double>(parts[i]);
}

void finish(float* parts, const double* whole, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        parts[i] = static_cast<float>(whole[i] + static_cast<double>(parts[i]));
}

bool Addends::begin(int64_t more) {
    if (doubles && parts > 0 && parts + more > kProductParts) {
        for (int64_t i = 0; i < rows; i++) {
            for (int64_t j = 0; j < pieces; j++) {
                const int64_t at = i * row + j * piece;
                settle(floats + at, doubles + at, count, settled);
            }
        }
        settled = true;
        parts = 0;
    }
    const bool first = parts == 0;
    parts += more;
    return first;
}

void Addends::finish() {
    for (int64_t i = 0; settled && i < rows; i++) {
        for (int64_t j = 0; j < pieces; j++) {
            const int64_t at = i * row + j * piece;
            mn::cpu::MN_ISA::finish(floats + at, doubles + at, count);
        }
    }
}

void add_pixels(const float* values, int64_t pixel, int64_t pixels, int64_t channels,
                double* sums) {
    for (int64_t first = 0; first < pixels; first += kSumTerms, values += kSumTerms * pixel) {
        const int64_t some = min_of(kSumTerms, pixels - first);
        int64_t c = 0;
        for (; c + kLanes <= channels; c += kLanes) {
            Vec sum = {};
            for (int64_t i = 0; i < some; i++) sum += load(values + i * pixel + c);
            add_wide(sums + c, sum);
        }
        for (; c < channels; c++) {
            double sum = 0;
            for (int64_t i = 0; i < some; i++) sum += static_cast<double>(values[i * pixel + c]);
            sums[c] += sum;
        }
    }
}

}  // namespace mn::cpu::MN_ISA
