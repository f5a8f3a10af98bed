# Toolchain file: cross-compiles with zig, which brings headers and libraries of every target. MN_ZIG_TARGET is zig's
# name of the target, as in the presets: x86_64-linux-gnu.2.17.

if(NOT MN_ZIG_TARGET)
    message(FATAL_ERROR "Set MN_ZIG_TARGET, or use one of the presets: cmake --preset linux-x64")
endif()
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES MN_ZIG_TARGET)

include("${CMAKE_CURRENT_LIST_DIR}/fetch_zig.cmake")

string(REGEX MATCH "^([^-]+)-([^-.]+)" _ "${MN_ZIG_TARGET}")
set(CMAKE_SYSTEM_PROCESSOR ${CMAKE_MATCH_1})
if(CMAKE_MATCH_2 STREQUAL "linux")
    set(CMAKE_SYSTEM_NAME Linux)
elseif(CMAKE_MATCH_2 STREQUAL "windows")
    set(CMAKE_SYSTEM_NAME Windows)
elseif(CMAKE_MATCH_2 STREQUAL "macos")
    set(CMAKE_SYSTEM_NAME Darwin)
    # CMake finds these out from what the linker prints, which zig's has no option for.
    foreach(language C CXX)
        set(CMAKE_${language}_ABI_COMPILED TRUE)
        set(CMAKE_${language}_SIZEOF_DATA_PTR 8)
    endforeach()
else()
    message(FATAL_ERROR "MN_ZIG_TARGET: no such system: ${MN_ZIG_TARGET}")
endif()

set(CMAKE_C_COMPILER "${MN_ZIG}" cc -target ${MN_ZIG_TARGET})
set(CMAKE_CXX_COMPILER "${MN_ZIG}" c++ -target ${MN_ZIG_TARGET})
set(CMAKE_ASM_COMPILER "${MN_ZIG}" cc -target ${MN_ZIG_TARGET})
# zig has a cache of its own, and ccache does not know its command line.
set(CMAKE_C_COMPILER_LAUNCHER "" CACHE STRING "")
set(CMAKE_CXX_COMPILER_LAUNCHER "" CACHE STRING "")

# The archiver is a verb of zig too, but CMake wants the name of a file.
foreach(tool ar ranlib)
    cmake_path(SET wrapper NORMALIZE "${CMAKE_CURRENT_LIST_DIR}/../../artifacts/zig/bin/${tool}")
    file(CONFIGURE OUTPUT "${wrapper}" CONTENT "#!/bin/sh\nexec \"${MN_ZIG}\" ${tool} \"$@\"\n")
    file(CHMOD "${wrapper}" PERMISSIONS
        OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
    string(TOUPPER "${tool}" variable)
    set(CMAKE_${variable} "${wrapper}" CACHE FILEPATH "")
endforeach()

# Nothing of the build machine gets in.
set(CMAKE_FIND_ROOT_PATH "${CMAKE_CURRENT_LIST_DIR}")
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
