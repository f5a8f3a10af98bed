// Sets an environment variable of this process, or removes it where the value is null.

#pragma once

#include <stdlib.h>

namespace mn::test {

inline void set_environment(const char* name, const char* value) {
#if defined(_WIN32)
    _putenv_s(name, value == nullptr ? "" : value);  // an empty value removes
#else
    if (value == nullptr)
        unsetenv(name);
    else
        setenv(name, value, 1);
#endif
}

}  // namespace mn::test
