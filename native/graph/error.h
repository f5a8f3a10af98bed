#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <type_traits>
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

// Not a stream, which would bring locales into the library: a quarter of its size.
void append(std::string& text, double part);  // six digits, as %g
inline void append(std::string& text, std::string_view part) {
    text += part;
}
inline void append(std::string& text, char part) {
    text += part;
}
template <typename Integer, typename = std::enable_if_t<std::is_integral_v<Integer>>>
void append(std::string& text, Integer part) {
    text += std::to_string(part);
}

// The parts written one after the other.
template <typename... Parts>
std::string text(const Parts&... parts) {
    std::string result;
    (append(result, parts), ...);
    return result;
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
