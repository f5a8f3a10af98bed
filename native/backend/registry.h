// Which backend serves a kind of device.

#pragma once

#include "backend/backend.h"

namespace mn {

// The CPU's, or that of the plugin that `desc` names, which is loaded and stays loaded. Throws
// MN_DEVICE_UNAVAILABLE with a reason if there is none.
const mnb_backend& find_backend(const mn_device_desc& desc);

}  // namespace mn
