// Activations, softmax, normalisation and dropout in double precision.

#include "double_forward.h"

namespace mn::test {

bool norm_double_forward(const OpCase&, const DoubleOperands&, bool, Doubles&) {
    return false;
}

}  // namespace mn::test
