// Which moments an optimizer keeps of each parameter.

#pragma once

#include "mnistnative.h"

namespace mn {

struct Moments {
    bool first, second, third;

    explicit Moments(const mn_optimizer_desc& o) {
        const bool adam = o.kind == MN_OPTIMIZER_ADAM || o.kind == MN_OPTIMIZER_ADAMW;
        const bool rmsprop = o.kind == MN_OPTIMIZER_RMSPROP;
        first = adam || o.momentum != 0;
        second = adam || rmsprop;
        third = (adam && o.amsgrad) || (rmsprop && o.centered);
    }
};

}  // namespace mn
