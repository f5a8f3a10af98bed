// Cases of activations, softmax, normalisation and dropout.

#include "op_cases.h"

namespace mn::test {

std::vector<OpCase> norm_cases() {
    return {};
}

}  // namespace mn::test
