#include "graph/error.h"

#include <algorithm>
#include <cstdio>

namespace mn {

void append(std::string& text, double part) {
    char digits[32];
    const int length = std::snprintf(digits, sizeof digits, "%g", part);
    // The host may have set a locale with a decimal comma.
    std::replace(digits, digits + length, ',', '.');
    text.append(digits, static_cast<size_t>(length));
}

}  // namespace mn
