// What every function of the C ABI goes through: no exception leaves, the text of a failure is
// kept for the thread, the caller's floating-point mode is put aside, structs are taken by their
// size.

#pragma once

#include <cstring>
#include <new>

#include "graph/error.h"
#include "graph/float_mode.h"

namespace mn::abi {

void keep_error(const mn_error_info& info, const char* text) noexcept;

template <typename Body>
mn_status guard(Body&& body) noexcept {
    const FloatMode mode(FloatMode::kCompute);
    mn_error_info info = {sizeof info, MN_INTERNAL, MN_REASON_NONE, 0, 0, 0};
    try {
        body();
        return MN_OK;
    } catch (const Error& error) {
        info = error.info();
        keep_error(info, error.what());
    } catch (const std::bad_alloc&) {
        info.status = MN_OUT_OF_MEMORY;
        keep_error(info, "out of host memory");
    } catch (const std::exception& error) {
        keep_error(info, error.what());
    } catch (...) {
        keep_error(info, "unknown failure");
    }
    return info.status;
}

template <typename T>
void require(const T* pointer, const char* name) {
    if (!pointer) fail(MN_INVALID_ARGUMENT, name, " must not be null");
}

template <typename T>
void require_size(const T* value, const char* name) {
    require(value, name);
    if (value->struct_size != sizeof(T))
        fail(MN_INVALID_ARGUMENT, name, "->struct_size must be ", sizeof(T), ", got ",
             value->struct_size);
}

// A copy of a struct that the caller gives.
template <typename T>
T take(const T* value, const char* name) {
    require_size(value, name);
    return *value;
}

// Flags that this library does not know are refused, not ignored.
inline void require_flags(uint32_t flags, uint32_t known, const char* name) {
    if (flags & ~known)
        fail(MN_INVALID_ARGUMENT, name, " has bits that are no flag: ", flags & ~known);
}

// Fills a struct of the caller's, which says how large it is.
template <typename T>
void give(T* out, const T& value) {
    *out = value;
    out->struct_size = sizeof(T);
}

inline void copy_name(char (&to)[MN_NAME_CAPACITY], const std::string& from) {
    std::memset(to, 0, sizeof to);
    std::memcpy(to, from.data(), from.size() < sizeof to ? from.size() : sizeof to - 1);
}

}  // namespace mn::abi
