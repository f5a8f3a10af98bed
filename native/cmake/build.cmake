# Configures (when needed) and builds one preset; for native.csproj, build.sh and build.ps1:
#
#   cmake -DPRESET=release -DTARGETS=mnistnative -P native/cmake/build.cmake
#
# Silent when all is well; two processes that build the same preset wait for each other. TARGETS is separated by
# commas; empty means all. STRIP=ON also makes a copy of the library without debug information, in the folder
# artifacts/native/stripped.

cmake_minimum_required(VERSION 3.22)

cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH native_dir)
cmake_path(GET native_dir PARENT_PATH source_dir)
set(binary_dir "${source_dir}/artifacts/native/${PRESET}")
set(stamp "${binary_dir}/configured.stamp")

file(MAKE_DIRECTORY "${source_dir}/artifacts/native")
file(LOCK "${source_dir}/artifacts/native/${PRESET}.lock" GUARD PROCESS TIMEOUT 3600)

function(run what)
    execute_process(
        COMMAND ${ARGN}
        WORKING_DIRECTORY "${source_dir}"
        RESULT_VARIABLE result
        OUTPUT_VARIABLE output
        ERROR_VARIABLE output)
    if(result EQUAL 0)
        return()
    endif()
    # MSBuild makes errors of lines of the form "origin : error code: text".
    if(output MATCHES "No CMAKE_C(XX)?_COMPILER could be found|unable to find a build program")
        message("native : error MN0002: A C++ compiler or make, which build the native library, was not found. "
            "On Debian and Ubuntu: apt-get install cmake make g++ libgtest-dev")
    else()
        message("${output}")
    endif()
    message(FATAL_ERROR "The native library could not be ${what}.")
endfunction()

# A build folder that was copied along with its checkout names the old place.
if(EXISTS "${binary_dir}/CMakeCache.txt")
    file(STRINGS "${binary_dir}/CMakeCache.txt" home REGEX "^CMAKE_HOME_DIRECTORY:")
    if(NOT home STREQUAL "CMAKE_HOME_DIRECTORY:INTERNAL=${source_dir}")
        file(REMOVE_RECURSE "${binary_dir}")
    endif()
endif()

# CMake keeps the compiler that a build folder was configured with, and with it the platform's version: where the
# presets or the cross-compiler are others, the folder is made anew.
set(settings "")
foreach(file "${source_dir}/CMakePresets.json" "${native_dir}/cmake/zig.cmake" "${native_dir}/cmake/fetch_zig.cmake")
    file(SHA256 "${file}" hash)
    string(APPEND settings "${hash}\n")
endforeach()
set(configured "")
if(EXISTS "${stamp}")
    file(READ "${stamp}" configured)
endif()
if(EXISTS "${stamp}" AND NOT configured STREQUAL settings)
    file(REMOVE_RECURSE "${binary_dir}")
endif()

# What was looked for in vain may have been installed since.
set(missing "")
if(EXISTS "${stamp}")
    file(STRINGS "${binary_dir}/CMakeCache.txt" missing
        REGEX "^(GTest_DIR|MNISTNATIVE_(NVCC|CUDA_INCLUDE)):.*-NOTFOUND$")
endif()
if(missing OR NOT EXISTS "${stamp}")
    run("configured" "${CMAKE_COMMAND}" --preset ${PRESET})
    file(WRITE "${stamp}" "${settings}")
endif()

cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
set(arguments --build --preset ${PRESET} --parallel ${cores})
if(TARGETS)
    string(REPLACE "," ";" TARGETS "${TARGETS}")
    list(APPEND arguments --target ${TARGETS})
endif()
run("built" "${CMAKE_COMMAND}" ${arguments})

if(STRIP)
    run("stripped" "${CMAKE_COMMAND}" --install "${binary_dir}" --config RelWithDebInfo
        --component library --strip --prefix "${source_dir}/artifacts/native/stripped")
endif()
