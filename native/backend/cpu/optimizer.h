// The optimizers' arithmetic, elementwise over all parameters.

#pragma once

#include "backend/cpu/cpu.h"

namespace mn::cpu {

void update(Device& device, const mn_optimizer_desc& optimizer, const mnb_update* params,
            int param_count, const mnb_update_options& options);

}  // namespace mn::cpu
