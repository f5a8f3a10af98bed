// What softmax and the losses that contain one share.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace mn::cpu::reference {

// Largest value of a row and sum of exp(x - largest). A NaN anywhere makes the sum a NaN.
struct Exponentials {
    double largest, sum;

    template <class Read>
    Exponentials(int64_t count, Read&& read) : largest(read(0)), sum(0) {
        for (int64_t f = 1; f < count; ++f) largest = std::max(largest, read(f));
        for (int64_t f = 0; f < count; ++f) sum += std::exp(read(f) - largest);
    }
};

}  // namespace mn::cpu::reference
