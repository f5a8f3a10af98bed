#include "backend/registry.h"

#include "backend/cpu/cpu_backend.h"
#include "graph/error.h"

namespace mn {

const mnb_backend& find_backend(const mn_device_desc& desc) {
    switch (desc.kind) {
        case MN_DEVICE_CPU:
            return *cpu_backend();
        case MN_DEVICE_CUDA: {
            Error error(MN_DEVICE_UNAVAILABLE,
                        "[device cuda] this version of the library has no CUDA backend");
            error.info().reason = MN_REASON_NO_PLUGIN;
            throw error;
        }
        default:
            fail(MN_INVALID_ARGUMENT, "[device] there is no kind ", desc.kind);
    }
}

}  // namespace mn
