// The plugin, on the stand-ins or, with MNISTNATIVE_TEST_CARD set, on a card.
// MNISTNATIVE_CUDA_PLUGIN names another one than that of this build: the one that is packed.

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
    const char* plugin = std::getenv("MNISTNATIVE_CUDA_PLUGIN");
    desc.plugin_path = plugin && *plugin ? plugin : MN_PLUGIN;
    return desc;
}

inline DeviceHandle open_cuda(const std::string& tier = "cudnn") {
    choose_libraries(tier);
    const mn_device_desc desc = cuda_desc();
    mn_device device = 0;
    check(mn_device_open(&desc, &device));
    return DeviceHandle(device);
}

// Sets a variable of the environment for the life of the object.
class Environment {
public:
    Environment(const char* name, const char* value) : name_(name) {
        if (const char* old = std::getenv(name)) old_ = old;
        setenv(name, value, 1);
    }
    ~Environment() { old_.empty() ? unsetenv(name_) : setenv(name_, old_.c_str(), 1); }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;

private:
    const char* name_;
    std::string old_;
};

}  // namespace mn::test
