# What every native target is compiled with. Defines the interface target mn_options.

if(NOT CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    message(FATAL_ERROR
        "The kernels are written on the vector extensions of GCC and Clang; found ${CMAKE_CXX_COMPILER_ID}. "
        "On Windows use clang or MinGW-w64, for example: cmake --preset release -DCMAKE_CXX_COMPILER=clang++.")
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set(mn_oldest_compiler 10)
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "AppleClang")
    set(mn_oldest_compiler 14)
else()
    set(mn_oldest_compiler 12)
endif()
if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS mn_oldest_compiler)
    message(FATAL_ERROR
        "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} is too old: "
        "version ${mn_oldest_compiler} or newer is needed (Debian 12 has g++ 12).")
endif()
if(NOT CMAKE_SIZEOF_VOID_P EQUAL 8)
    message(FATAL_ERROR "Only 64-bit targets are supported.")
endif()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set(MN_PROCESSOR x86_64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|ARM64|arm64)$")
    set(MN_PROCESSOR aarch64)
else()
    message(FATAL_ERROR "Processor ${CMAKE_SYSTEM_PROCESSOR} is not supported: x86-64 or aarch64 is needed.")
endif()

find_package(Threads REQUIRED)

add_library(mn_options INTERFACE)
target_include_directories(mn_options INTERFACE
    "${PROJECT_SOURCE_DIR}/native/include" "${PROJECT_SOURCE_DIR}/native")
target_compile_features(mn_options INTERFACE cxx_std_17 c_std_99)
target_compile_options(mn_options INTERFACE
    -Wall -Wextra -Werror
    -fvisibility=hidden -ffunction-sections -fdata-sections
    $<$<COMPILE_LANGUAGE:CXX>:-fvisibility-inlines-hidden>)
target_link_libraries(mn_options INTERFACE Threads::Threads ${CMAKE_DL_LIBS})
if(NOT MSVC AND NOT APPLE AND NOT WIN32)
    target_link_libraries(mn_options INTERFACE m)
endif()

if(MNISTNATIVE_LIBFUZZER)
    if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
        message(FATAL_ERROR "libFuzzer comes with clang; the compiler is ${CMAKE_CXX_COMPILER_ID}.")
    endif()
    target_compile_options(mn_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

if(MNISTNATIVE_SANITIZE)
    set(mn_sanitize_flags -fsanitize=${MNISTNATIVE_SANITIZE} -fno-omit-frame-pointer)
    if(MNISTNATIVE_SANITIZE MATCHES "undefined")
        list(APPEND mn_sanitize_flags -fno-sanitize-recover=all)
    endif()
    target_compile_options(mn_options INTERFACE ${mn_sanitize_flags})
    target_link_options(mn_options INTERFACE ${mn_sanitize_flags})
endif()
