# cmake -DNM= -DREADELF= -DISA=avx2 -DOBJECTS="a.o,b.o" -P check_isa_objects.cmake
#
# Kernels are compiled once an instruction set. The linker keeps one copy of a function that several objects define,
# so a function outside the set's own namespace could end up as its AVX-512 copy for every processor. Hence every
# symbol that such an object shows to others lies in mn::cpu::<set>. Static initialisers would run before the
# processor was asked what it can do.

cmake_minimum_required(VERSION 3.22)

string(LENGTH "${ISA}" length)
# Functions and variables, their guards, type information and tables, all nested in the namespace.
set(own "^_Z(TV|TI|TS|TT|GV|GR|Z)*N[KVrRO]*2mn3cpu${length}${ISA}")

string(REPLACE "," ";" OBJECTS "${OBJECTS}")
set(count 0)
set(complaints "")
foreach(object IN LISTS OBJECTS)
    cmake_path(GET object FILENAME name)
    execute_process(COMMAND "${NM}" --defined-only --extern-only --format=posix "${object}"
        OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
    string(REGEX MATCHALL "[^\n]+" symbols "${symbols}")
    foreach(line IN LISTS symbols)
        string(REGEX REPLACE " .*" "" symbol "${line}")
        math(EXPR count "${count} + 1")
        if(NOT symbol MATCHES "${own}")
            string(APPEND complaints "  ${name}: ${symbol} is not in mn::cpu::${ISA}\n")
        endif()
    endforeach()

    execute_process(COMMAND "${READELF}" --section-headers --wide "${object}"
        OUTPUT_VARIABLE sections COMMAND_ERROR_IS_FATAL ANY)
    if(sections MATCHES "\\.(init_array|ctors|preinit_array)")
        string(APPEND complaints "  ${name}: has a static initialiser\n")
    endif()
endforeach()

if(complaints)
    message(FATAL_ERROR "Objects of the instruction set ${ISA} (use c++filt to read the names):\n${complaints}")
endif()
if(count EQUAL 0)
    message(FATAL_ERROR "The objects of the instruction set ${ISA} define no symbol at all.")
endif()
message(STATUS "${count} symbols, all in mn::cpu::${ISA}")
