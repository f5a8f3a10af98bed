# cmake -DNM= -DREADELF= -DCUOBJDUMP= -DLIBRARY= -DCORE= -DCODES=compute_70,sm_75
#       -DKERNEL_FILES=9 -P check_cuda_plugin.cmake
#
# The plugin exports its one function, needs nothing but the C library (NVIDIA's are opened at run time), no newer one
# than the core does, and holds every kernel file for each of CODES.

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

function(newest_glibc result file)
    execute_process(COMMAND "${READELF}" --version-info --wide "${file}"
        OUTPUT_VARIABLE versions COMMAND_ERROR_IS_FATAL ANY)
    string(REGEX MATCHALL "GLIBC_[0-9.]+" versions "${versions}")
    list(TRANSFORM versions REPLACE "GLIBC_" "")
    list(SORT versions COMPARE NATURAL ORDER DESCENDING)
    list(APPEND versions 0)
    list(GET versions 0 newest)
    set(${result} ${newest} PARENT_SCOPE)
endfunction()

newest_glibc(plugin_glibc "${LIBRARY}")
newest_glibc(core_glibc "${CORE}")
if(plugin_glibc VERSION_GREATER core_glibc)
    message(FATAL_ERROR "${LIBRARY} needs glibc ${plugin_glibc}, but ${CORE} only ${core_glibc}")
endif()

if(NOT EXISTS "${CUOBJDUMP}")
    message(FATAL_ERROR "cuobjdump, a part of the CUDA toolkit that lists device code, was not found.")
endif()
execute_process(COMMAND "${CUOBJDUMP}" --list-elf --list-ptx "${LIBRARY}"
    OUTPUT_VARIABLE listing COMMAND_ERROR_IS_FATAL ANY)
set(expected "")
string(REPLACE "," ";" CODES "${CODES}")
foreach(code IN LISTS CODES)
    # PTX for compute_70 is listed as sm_70.ptx.
    string(REPLACE "sm_" "" architecture "${code}")
    set(suffix cubin)
    if(code MATCHES "^compute_(.*)")
        set(architecture "${CMAKE_MATCH_1}")
        set(suffix ptx)
    endif()
    list(APPEND expected "sm_${architecture}.${suffix}")
endforeach()
string(REGEX MATCHALL "sm_[0-9a-z]+\\.(cubin|ptx)" held "${listing}")
set(kinds ${held})
list(REMOVE_DUPLICATES kinds)
list(SORT kinds)
list(SORT expected)
if(NOT kinds STREQUAL expected)
    message(FATAL_ERROR "${LIBRARY} should hold ${expected}, holds ${kinds}:\n${listing}")
endif()
list(LENGTH held images)
list(LENGTH expected kinds)
math(EXPR files "${images} / ${kinds}")
math(EXPR whole "${files} * ${kinds}")
if(NOT files EQUAL KERNEL_FILES OR NOT whole EQUAL images)
    message(FATAL_ERROR
        "${LIBRARY} should hold ${KERNEL_FILES} kernel files for each of ${expected}, holds ${images} images:\n${listing}")
endif()
message(STATUS "${files} kernel files for each of ${expected}; glibc ${plugin_glibc}")
