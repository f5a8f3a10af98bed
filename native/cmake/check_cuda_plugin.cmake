# cmake -DNM= -DREADELF= -DLIBRARY= -P check_cuda_plugin.cmake
#
# The plugin exports its one function and needs nothing but the C library: NVIDIA's are opened at run time.

cmake_minimum_required(VERSION 3.22)

execute_process(COMMAND "${NM}" --dynamic --defined-only --format=posix "${LIBRARY}"
    OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" symbols "${symbols}")
list(TRANSFORM symbols REPLACE " .*" "")
if(NOT symbols STREQUAL "mnb_plugin_init")
    message(FATAL_ERROR "${LIBRARY} must export mnb_plugin_init and nothing else, exports: ${symbols}")
endif()

execute_process(COMMAND "${READELF}" --dynamic --wide "${LIBRARY}"
    OUTPUT_VARIABLE dynamic COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "\\(NEEDED\\)[^\n]*" needed "${dynamic}")
foreach(line IN LISTS needed)
    string(REGEX REPLACE ".*\\[(.*)\\]" "\\1" name "${line}")
    if(NOT name MATCHES "^(lib(c|m|dl|pthread)\\.|libc\\.musl|ld-linux)")
        message(FATAL_ERROR "${LIBRARY} needs ${name}, which not every machine has")
    endif()
endforeach()
