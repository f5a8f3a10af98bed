#pragma once

#include <exception>
#include <sstream>
#include <string>
#include <utility>

#include "mnistnative.h"

namespace mn {

// A failure on its way to the C ABI, which makes a status and a text of it.
class Error : public std::exception {
public:
    Error(mn_status status, std::string text) : text_(std::move(text)) { info_.status = status; }

    const char* what() const noexcept override { return text_.c_str(); }
    mn_error_info& info() { return info_; }
    const mn_error_info& info() const { return info_; }

private:
    std::string text_;
    mn_error_info info_ = {sizeof(mn_error_info), MN_INTERNAL, MN_REASON_NONE, 0, 0, 0};
};

// The parts written one after the other.
template <typename... Parts>
std::string text(const Parts&... parts) {
    std::ostringstream stream;
    (stream << ... << parts);
    return stream.str();
}

template <typename... Parts>
[[noreturn]] void fail(mn_status status, const Parts&... parts) {
    throw Error(status, text(parts...));
}

// "1x28x28"
inline std::string text_of(const mn_shape& shape) {
    std::string result;
    for (int i = 0; i < shape.rank; i++) result += (i ? "x" : "") + std::to_string(shape.dims[i]);
    return result;
}

}  // namespace mn
