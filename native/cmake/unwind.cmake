# libunwind for the Windows libraries, compiled from zig's own sources: mn_unwind.
#
# The libunwind that zig links by itself exports its functions from every DLL, and zig passes on none of the linker's
# options against that. These objects stand before it, so that nothing of it is taken.

execute_process(COMMAND "${MN_ZIG}" env
    WORKING_DIRECTORY "${PROJECT_BINARY_DIR}"
    OUTPUT_VARIABLE mn_zig_env
    COMMAND_ERROR_IS_FATAL ANY)
string(JSON mn_zig_lib GET "${mn_zig_env}" lib_dir)
cmake_path(ABSOLUTE_PATH mn_zig_lib BASE_DIRECTORY "${PROJECT_BINARY_DIR}" NORMALIZE)
set(mn_unwind_dir "${mn_zig_lib}/libunwind")
set(mn_unwind_cxx "${mn_unwind_dir}/src/libunwind.cpp" "${mn_unwind_dir}/src/Unwind-seh.cpp")
set(mn_unwind_c
    "${mn_unwind_dir}/src/UnwindLevel1.c"
    "${mn_unwind_dir}/src/UnwindLevel1-gcc-ext.c"
    "${mn_unwind_dir}/src/UnwindRegistersRestore.S"
    "${mn_unwind_dir}/src/UnwindRegistersSave.S")

enable_language(ASM)
add_library(mn_unwind OBJECT ${mn_unwind_cxx} ${mn_unwind_c})
target_include_directories(mn_unwind PRIVATE "${mn_unwind_dir}/include")
target_compile_definitions(mn_unwind PRIVATE _LIBUNWIND_HIDE_SYMBOLS _LIBUNWIND_IS_NATIVE_ONLY)
target_compile_options(mn_unwind PRIVATE
    -w -funwind-tables -fstrict-aliasing -fvisibility=hidden
    $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions> $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>)
