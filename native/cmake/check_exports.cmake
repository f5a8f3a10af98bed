# cmake -DNM= -DREADELF= -DLIBRARY= -DHEADER= -P check_exports.cmake
#
# The library exports what the header declares, no more and no less, and needs nothing but the C library.

cmake_minimum_required(VERSION 3.22)

file(READ "${HEADER}" text)
string(REGEX REPLACE "/\\*([^*]|\\*+[^*/])*\\*+/" "" text "${text}")
string(REGEX REPLACE "(//|#)[^\n]*" "" text "${text}")
string(REGEX MATCHALL "MN_API[^(;]*\\(" declarations "${text}")
set(declared "")
foreach(declaration IN LISTS declarations)
    string(REGEX REPLACE ".*[ *\n](mn_[a-z0-9_]+)[ \n]*\\($" "\\1" name "${declaration}")
    list(APPEND declared "${name}")
endforeach()

execute_process(COMMAND "${NM}" --dynamic --defined-only --format=posix "${LIBRARY}"
    OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" symbols "${symbols}")
set(exported "")
foreach(line IN LISTS symbols)
    string(REGEX REPLACE " .*" "" name "${line}")
    list(APPEND exported "${name}")
endforeach()

set(complaints "")
foreach(name IN LISTS declared)
    if(NOT name IN_LIST exported)
        string(APPEND complaints "  ${name} is declared but not exported\n")
    endif()
endforeach()
foreach(name IN LISTS exported)
    if(NOT name IN_LIST declared)
        string(APPEND complaints "  ${name} is exported but not declared\n")
    endif()
endforeach()

execute_process(COMMAND "${READELF}" --dynamic --wide "${LIBRARY}"
    OUTPUT_VARIABLE dynamic COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "\\(NEEDED\\)[^\n]*" needed "${dynamic}")
foreach(line IN LISTS needed)
    string(REGEX REPLACE ".*\\[(.*)\\]" "\\1" name "${line}")
    if(NOT name MATCHES "^(lib(c|m|dl|pthread)\\.|libc\\.musl|ld-linux)")
        string(APPEND complaints "  ${name} is needed, which not every machine has\n")
    endif()
endforeach()

if(complaints)
    message(FATAL_ERROR "${LIBRARY}:\n${complaints}")
endif()
list(LENGTH declared count)
if(count EQUAL 0)
    message(FATAL_ERROR "${HEADER} declares no function.")
endif()
message(STATUS "${count} functions exported, as declared")
