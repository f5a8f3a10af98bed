#include "backend/registry.h"

#include "backend/cpu/cpu_backend.h"
#include "graph/error.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#include <unistd.h>
#endif

namespace mn {
namespace {

[[noreturn]] void refuse(int32_t reason, const std::string& text) {
    Error error(MN_DEVICE_UNAVAILABLE, "[device cuda] " + text);
    error.info().reason = reason;
    throw error;
}

// The plugin's function, or null with what the system says about it. A library that was loaded
// before is loaded once; none is ever unloaded.
#if defined(_WIN32)
// Paths are UTF-8, whatever code page the process has.
std::wstring wide(const char* path) {
    const int size = MultiByteToWideChar(CP_UTF8, 0, path, -1, nullptr, 0);
    std::wstring result(size > 0 ? size : 1, L'\0');
    MultiByteToWideChar(CP_UTF8, 0, path, -1, result.data(), size);
    return result;
}
void* open_plugin(const char* path, std::string& failure) {
    void* library = reinterpret_cast<void*>(LoadLibraryExW(wide(path).c_str(), nullptr, 0));
    if (!library) failure = text("error ", GetLastError());
    return library;
}
void* find_init(void* library) {
    return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), MNB_PLUGIN_INIT));
}
bool file_exists(const char* path) {
    return GetFileAttributesW(wide(path).c_str()) != INVALID_FILE_ATTRIBUTES;
}
#else
void* open_plugin(const char* path, std::string& failure) {
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char* said = dlerror();
        failure = said ? said : "unknown failure";
    }
    return library;
}
void* find_init(void* library) {
    return dlsym(library, MNB_PLUGIN_INIT);
}
bool file_exists(const char* path) {
    return access(path, F_OK) == 0;
}
#endif

const mnb_backend& load_plugin(const char* path) {
    if (!path || !*path) refuse(MN_REASON_NO_PLUGIN, "the path of the plugin library is not given");
    if (!file_exists(path)) refuse(MN_REASON_NO_PLUGIN, text("there is no plugin \"", path, "\""));
    std::string failure;
    void* library = open_plugin(path, failure);
    if (!library)
        refuse(MN_REASON_PLUGIN_MISMATCH,
               text("the plugin \"", path, "\" does not load: ", failure));
    const auto init = reinterpret_cast<mnb_plugin_init_function>(find_init(library));
    if (!init)
        refuse(MN_REASON_PLUGIN_MISMATCH,
               text("\"", path, "\" is no plugin: it has no function ", MNB_PLUGIN_INIT));
    const mnb_backend* backend = init(MNB_VERSION);
    if (!backend || backend->version != MNB_VERSION || backend->struct_size != sizeof(mnb_backend))
        refuse(
            MN_REASON_PLUGIN_MISMATCH,
            text("the plugin \"", path, "\" is of another version than the library, which needs ",
                 "version ", MNB_VERSION, " of the interface"));
    return *backend;
}

}  // namespace

const mnb_backend& find_backend(const mn_device_desc& desc) {
    switch (desc.kind) {
        case MN_DEVICE_CPU:
            return *cpu_backend();
        case MN_DEVICE_CUDA:
            return load_plugin(desc.plugin_path);
        default:
            fail(MN_INVALID_ARGUMENT, "[device] there is no kind ", desc.kind);
    }
}

}  // namespace mn
