# cmake -DFILE= -DMOST_BYTES= -P check_size.cmake
#
# A file that ships has a budget.

cmake_minimum_required(VERSION 3.22)

file(SIZE "${FILE}" bytes)
if(bytes GREATER MOST_BYTES)
    # MSBuild makes errors of lines of this form.
    message("${FILE} : error MN0003: has ${bytes} bytes, and ${MOST_BYTES} are the most that it may have.")
    message(FATAL_ERROR "A file is over its budget.")
endif()
