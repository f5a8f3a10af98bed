// The CPU as a backend.

#pragma once

#include "backend/backend.h"

namespace mn {

const mnb_backend* cpu_backend();

}  // namespace mn
