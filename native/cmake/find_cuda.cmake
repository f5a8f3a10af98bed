# Looks for a CUDA toolkit. Sets MNISTNATIVE_NVCC, MNISTNATIVE_CUDA_INCLUDE and mn_cuda_version, and mn_cuda_missing to
# what is wrong, or to nothing. As a script, cmake -P find_cuda.cmake, it says that and fails.

find_program(MNISTNATIVE_NVCC nvcc
    HINTS ENV CUDA_PATH ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES bin
    DOC "The CUDA compiler")
set(mn_cuda_missing "")
if(MNISTNATIVE_NVCC)
    cmake_path(GET MNISTNATIVE_NVCC PARENT_PATH mn_cuda_bin)
    cmake_path(GET mn_cuda_bin PARENT_PATH mn_cuda_root)
    find_path(MNISTNATIVE_CUDA_INCLUDE cublas_v2.h
        HINTS "${mn_cuda_root}/include" "${mn_cuda_root}/targets/x86_64-linux/include"
        PATHS /usr/local/cuda/include /usr/include
        DOC "Folder of cuda.h and cublas_v2.h"
        NO_CMAKE_FIND_ROOT_PATH)
endif()
if(NOT MNISTNATIVE_NVCC OR NOT MNISTNATIVE_CUDA_INCLUDE)
    set(mn_cuda_missing "no CUDA toolkit (nvcc, cuda.h, cublas_v2.h) was found; CUDA_PATH can name its folder, \
and on Debian it comes by: apt-get install nvidia-cuda-toolkit (non-free)")
else()
    execute_process(COMMAND "${MNISTNATIVE_NVCC}" --version OUTPUT_VARIABLE mn_nvcc_version)
    if(NOT mn_nvcc_version MATCHES "release ([0-9]+)\\.([0-9]+)")
        message(FATAL_ERROR "${MNISTNATIVE_NVCC} --version says no version: ${mn_nvcc_version}")
    endif()
    set(mn_cuda_version "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}")
    if(mn_cuda_version VERSION_LESS 11.8)
        set(mn_cuda_missing "CUDA toolkit ${mn_cuda_version} is too old: 11.8 or newer is needed")
    endif()
endif()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE AND mn_cuda_missing)
    message(FATAL_ERROR "${mn_cuda_missing}.")
endif()
