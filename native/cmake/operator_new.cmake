# The operators new and delete for the macOS libraries, compiled from zig's own sources: mn_operator_new.
#
# A program may replace them, so the C++ library that zig links exports its own, and its linker has no option against
# that. These hidden ones stand before it, so that nothing of it is taken.

execute_process(COMMAND "${MN_ZIG}" env
    WORKING_DIRECTORY "${PROJECT_BINARY_DIR}"
    OUTPUT_VARIABLE mn_zig_env
    COMMAND_ERROR_IS_FATAL ANY)
if(NOT mn_zig_env MATCHES "lib_dir = \"([^\"]+)\"")
    message(FATAL_ERROR "zig env names no lib_dir: ${mn_zig_env}")
endif()
cmake_path(ABSOLUTE_PATH CMAKE_MATCH_1 BASE_DIRECTORY "${PROJECT_BINARY_DIR}" NORMALIZE OUTPUT_VARIABLE mn_zig_lib)

add_library(mn_operator_new OBJECT "${mn_zig_lib}/libcxxabi/src/stdlib_new_delete.cpp")
target_include_directories(mn_operator_new PRIVATE "${mn_zig_lib}/libcxxabi/include" "${mn_zig_lib}/libcxx/src")
target_compile_definitions(mn_operator_new PRIVATE
    _LIBCPP_BUILDING_LIBRARY _LIBCXXABI_BUILDING_LIBRARY _LIBCPP_DISABLE_VISIBILITY_ANNOTATIONS)
target_compile_options(mn_operator_new PRIVATE
    -w -fvisibility=hidden -fvisibility-global-new-delete=force-hidden)
