#include "backend/cuda/library.h"

#include <cstdlib>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#include <link.h>
#endif

namespace mn::cuda {
namespace {

#if defined(_WIN32)
void* open_library(const char* path) {
    return reinterpret_cast<void*>(LoadLibraryA(path));
}

std::string path_of(void* handle, const std::string& name) {
    wchar_t wide[MAX_PATH];
    const DWORD size = GetModuleFileNameW(static_cast<HMODULE>(handle), wide, MAX_PATH);
    if (size == 0 || size == MAX_PATH) return name;
    // What is shown to users is UTF-8.
    char path[3 * MAX_PATH];
    const int bytes = WideCharToMultiByte(CP_UTF8, 0, wide, static_cast<int>(size), path,
                                          sizeof path, nullptr, nullptr);
    return std::string(path, static_cast<size_t>(bytes));
}

std::string last_failure() {
    return "error " + std::to_string(GetLastError());
}
#else
void* open_library(const char* path) {
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

std::string path_of(void* handle, const std::string& name) {
    link_map* map = nullptr;
    if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map && map->l_name && *map->l_name)
        return map->l_name;
    return name;
}

std::string last_failure() {
    const char* text = dlerror();
    return text ? text : "unknown failure";
}
#endif

}  // namespace

Library::Library(std::initializer_list<const char*> names) {
    const char* folder = std::getenv("MNISTNATIVE_CUDA_PATH");
    for (const char* name : names) {
        const std::string file = folder && *folder ? std::string(folder) + "/" + name : name;
        handle_ = open_library(file.c_str());
        if (handle_) {
            path_ = path_of(handle_, file);
            return;
        }
        failure_ += (failure_.empty() ? "" : ", ") + last_failure();
    }
}

Library::~Library() {
#if defined(_WIN32)
    if (handle_) FreeLibrary(static_cast<HMODULE>(handle_));
#else
    if (handle_) dlclose(handle_);
#endif
}

void* Library::symbol(const char* name) const {
#if defined(_WIN32)
    return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(handle_), name));
#else
    return dlsym(handle_, name);
#endif
}

}  // namespace mn::cuda
