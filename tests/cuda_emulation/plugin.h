// The plugin as it ships, on the stand-ins or, with MNISTNATIVE_TEST_CARD set, on a card.

#pragma once

#include <cstdlib>
#include <string>

#include "network.h"

namespace mn::test {

inline bool on_card() {
    return std::getenv("MNISTNATIVE_TEST_CARD") != nullptr;
}

// The libraries are looked for when a device is opened. "cublas": cuDNN is left alone; "measure":
// its algorithms are measured.
inline void choose_libraries(const std::string& tier = "cudnn") {
    if (!on_card()) setenv("MNISTNATIVE_CUDA_PATH", MN_STAND_INS, 1);
    setenv("MNISTNATIVE_CUDNN", tier == "cublas" ? "off" : tier == "measure" ? "measure" : "", 1);
}

inline mn_device_desc cuda_desc(int32_t index = 0) {
    mn_device_desc desc{};
    desc.struct_size = sizeof desc;
    desc.kind = MN_DEVICE_CUDA;
    desc.index = index;
    desc.plugin_path = MN_PLUGIN;
    return desc;
}

inline DeviceHandle open_cuda(const std::string& tier = "cudnn") {
    choose_libraries(tier);
    const mn_device_desc desc = cuda_desc();
    mn_device device = 0;
    check(mn_device_open(&desc, &device));
    return DeviceHandle(device);
}

}  // namespace mn::test
