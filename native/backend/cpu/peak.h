// What the processor can do at best, for profiles.

#pragma once

#include "backend/cpu/cpu.h"

namespace mn::cpu {

mnb_peak measure_peak(Device& device);

}  // namespace mn::cpu
