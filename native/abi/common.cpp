// Versions, errors, logging and memory.

#include <cstdio>

#include "abi/guard.h"
#include "plan/device.h"

#ifndef MN_VERSION
#error "the build defines MN_VERSION"
#endif

namespace mn::abi {
namespace {

// Fixed in size, so that reporting a lack of memory needs none.
struct LastError {
    mn_error_info info = {sizeof(mn_error_info), MN_OK, MN_REASON_NONE, 0, 0, 0};
    char text[2048] = "";
};

thread_local LastError last_error;

}  // namespace

void keep_error(const mn_error_info& info, const char* text) noexcept {
    last_error.info = info;
    std::snprintf(last_error.text, sizeof last_error.text, "%s", text);
}

}  // namespace mn::abi

using namespace mn;
using namespace mn::abi;

int32_t mn_abi_version(void) {
    return MN_ABI_VERSION;
}

const char* mn_version(void) {
    return MN_VERSION;
}

const char* mn_last_error(void) {
    return last_error.text;
}

mn_status mn_last_error_info(mn_error_info* info_out) {
    const mn_error_info info = last_error.info;
    return guard([&] {
        require_size(info_out, "info_out");
        give(info_out, info);
    });
}

mn_status mn_set_log_callback(mn_log_callback callback, void* user) {
    return guard([&] { set_log_callback(callback, user); });
}

mn_status mn_memory_in_use(int64_t* bytes_out) {
    return guard([&] {
        require(bytes_out, "bytes_out");
        *bytes_out = memory_in_use();
    });
}
