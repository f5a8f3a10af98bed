// Exceptions inside of a backend become an mnb_error at its interface. Each backend compiles its
// own copy: no C++ type crosses from one library to the other.

#pragma once

#include <cstdio>
#include <exception>
#include <new>

#include "backend/backend.h"
#include "graph/error.h"

namespace mn {

inline int32_t report(mnb_error* error, int32_t status, const char* text) {
    if (error != nullptr) {
        *error = mnb_error{};
        error->status = status;
        std::snprintf(error->text, sizeof error->text, "%s", text);
    }
    return status;
}

// Runs body(); the status of what it throws.
template <class Body>
int32_t guard(mnb_error* error, Body&& body) noexcept {
    try {
        body();
        return MN_OK;
    } catch (const Error& failure) {
        const mn_error_info& info = failure.info();
        report(error, info.status, failure.what());
        if (error != nullptr) {
            error->reason = info.reason;
            error->requested_bytes = info.requested_bytes;
            error->free_bytes = info.free_bytes;
        }
        return info.status;
    } catch (const std::bad_alloc&) {
        return report(error, MN_OUT_OF_MEMORY, "out of memory");
    } catch (const std::exception& failure) {
        return report(error, MN_INTERNAL, failure.what());
    } catch (...) {
        return report(error, MN_INTERNAL, "unknown failure in the backend");
    }
}

}  // namespace mn
