# The plugin libmnistnative_cuda: kernels by nvcc, embedded; the rest is C++ on the driver's interface, whose
# libraries are opened at run time. Only headers of the toolkit are used. Defines the target mnistnative_cuda where it
# can be built.

if(MNISTNATIVE_CUDA STREQUAL "OFF" OR MNISTNATIVE_SANITIZE MATCHES "thread")
    return()
endif()
# NVIDIA has drivers for no other system.
if(MNISTNATIVE_CUDA STREQUAL "AUTO" AND NOT CMAKE_SYSTEM_NAME MATCHES "^(Linux|Windows)$")
    return()
endif()

include("${CMAKE_CURRENT_LIST_DIR}/find_cuda.cmake")
if(mn_cuda_missing)
    if(MNISTNATIVE_CUDA STREQUAL "ON")
        message(FATAL_ERROR "MNISTNATIVE_CUDA is ON, but ${mn_cuda_missing}.")
    endif()
    message(STATUS "No CUDA plugin: ${mn_cuda_missing}")
    return()
endif()
# As the driver counts versions.
string(REGEX MATCH "^([0-9]+)\\.([0-9]+)$" _ "${mn_cuda_version}")
math(EXPR mn_cuda_driver "${CMAKE_MATCH_1} * 1000 + ${CMAKE_MATCH_2} * 10")

# PTX for the oldest serves every later card; machine code saves compiling it when the device is opened.
if(mn_cuda_version VERSION_LESS 13)
    set(mn_cuda_oldest 70)
else()
    set(mn_cuda_oldest 75)
endif()
set(MNISTNATIVE_CUDA_ARCHITECTURES "75;86" CACHE STRING
    "Compute capabilities to make machine code for; all: of every desktop and server card that the toolkit knows")
set(mn_cuda_architectures ${MNISTNATIVE_CUDA_ARCHITECTURES})
if(mn_cuda_architectures STREQUAL "all")
    set(mn_cuda_architectures 70 75 80 86 89 90)
    if(mn_cuda_version VERSION_GREATER_EQUAL 12.8)
        list(APPEND mn_cuda_architectures 100 120)
    endif()
    if(mn_cuda_oldest GREATER 70)
        list(REMOVE_ITEM mn_cuda_architectures 70)
    endif()
endif()

set(mn_nvcc_options -std=c++17 -O3 --fatbin -Werror all-warnings
    -gencode arch=compute_${mn_cuda_oldest},code=compute_${mn_cuda_oldest})
foreach(architecture IN LISTS mn_cuda_architectures)
    list(APPEND mn_nvcc_options -gencode arch=compute_${architecture},code=sm_${architecture})
endforeach()
list(APPEND mn_nvcc_options "-I${CMAKE_CURRENT_SOURCE_DIR}" "-I${CMAKE_CURRENT_SOURCE_DIR}/include")

# Debian has the toolkit's headers among the system's, which a cross-compiler must not see.
set(mn_cuda_include "${MNISTNATIVE_CUDA_INCLUDE}")
if(CMAKE_CROSSCOMPILING AND EXISTS "${MNISTNATIVE_CUDA_INCLUDE}/stdlib.h")
    set(mn_cuda_include "${CMAKE_CURRENT_BINARY_DIR}/cuda/include")
    file(MAKE_DIRECTORY "${mn_cuda_include}")
    foreach(name cuda.h cublas_v2.h cublas_api.h cuComplex.h cuda_bf16.h cuda_bf16.hpp cuda_fp16.h cuda_fp16.hpp
            driver_types.h library_types.h vector_functions.h vector_functions.hpp vector_types.h crt nv)
        if(EXISTS "${MNISTNATIVE_CUDA_INCLUDE}/${name}")
            file(CREATE_LINK "${MNISTNATIVE_CUDA_INCLUDE}/${name}" "${mn_cuda_include}/${name}" SYMBOLIC)
        endif()
    endforeach()
endif()

file(GLOB mn_cuda_kernels CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/backend/cuda/kernels/*.cu")
file(GLOB mn_cuda_kernel_headers CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/backend/cuda/kernels/*.h")
file(GLOB_RECURSE mn_cuda_sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/backend/cuda/*.cpp")

set(mn_cuda_folder "${CMAKE_CURRENT_BINARY_DIR}/cuda")
file(MAKE_DIRECTORY "${mn_cuda_folder}")
set(mn_cuda_images)
foreach(source IN LISTS mn_cuda_kernels)
    cmake_path(GET source STEM name)
    set(image "${mn_cuda_folder}/${name}.fatbin")
    add_custom_command(OUTPUT "${image}"
        COMMAND "${MNISTNATIVE_NVCC}" ${mn_nvcc_options} -o "${image}" "${source}"
        DEPENDS "${source}" ${mn_cuda_kernel_headers}
            "${CMAKE_CURRENT_SOURCE_DIR}/include/mnistnative.h" "${CMAKE_CURRENT_SOURCE_DIR}/backend/backend.h"
        COMMENT "nvcc ${name}.cu"
        VERBATIM)
    list(APPEND mn_cuda_images "${image}")
endforeach()
list(JOIN mn_cuda_images "," mn_cuda_image_list)
add_custom_command(OUTPUT "${mn_cuda_folder}/images.cpp"
    COMMAND "${CMAKE_COMMAND}" "-DOUTPUT=${mn_cuda_folder}/images.cpp" "-DFILES=${mn_cuda_image_list}"
        -P "${CMAKE_CURRENT_SOURCE_DIR}/cmake/embed.cmake"
    DEPENDS ${mn_cuda_images} "${CMAKE_CURRENT_SOURCE_DIR}/cmake/embed.cmake"
    COMMENT "Embedding the kernels"
    VERBATIM)

# The text of errors is the one thing that plugin and core both compile.
add_library(mnistnative_cuda MODULE ${mn_cuda_sources} "${CMAKE_CURRENT_SOURCE_DIR}/graph/error.cpp"
    "${CMAKE_CURRENT_SOURCE_DIR}/library/no_demangler.cpp" "${mn_cuda_folder}/images.cpp")
target_link_libraries(mnistnative_cuda PRIVATE mn_options)
target_include_directories(mnistnative_cuda SYSTEM PRIVATE "${mn_cuda_include}")
# Not needed; where it is found, the project's declarations are compared with it.
if(NOT CMAKE_CROSSCOMPILING)
    find_path(MNISTNATIVE_CUDNN_INCLUDE cudnn.h
        HINTS "${MNISTNATIVE_CUDA_INCLUDE}" ENV CUDNN_PATH ENV CUDNN_HOME PATH_SUFFIXES include
        DOC "Folder of cudnn.h")
    mark_as_advanced(MNISTNATIVE_CUDNN_INCLUDE)
    if(MNISTNATIVE_CUDNN_INCLUDE)
        target_include_directories(mnistnative_cuda SYSTEM PRIVATE "${MNISTNATIVE_CUDNN_INCLUDE}")
    endif()
endif()
target_compile_definitions(mnistnative_cuda PRIVATE
    MN_BUILDING_LIBRARY
    MN_CUDA_OLDEST=${mn_cuda_oldest}
    MN_CUDA_DRIVER=${mn_cuda_driver})
set_target_properties(mnistnative_cuda PROPERTIES PREFIX "lib")
foreach(kind RUNTIME LIBRARY)
    set_target_properties(mnistnative_cuda PROPERTIES ${kind}_OUTPUT_DIRECTORY "$<1:${PROJECT_BINARY_DIR}>")
endforeach()
if(WIN32)
    target_link_options(mnistnative_cuda PRIVATE -static)
else()
    set(mn_cuda_exports "${CMAKE_CURRENT_SOURCE_DIR}/cmake/cuda_exports.map")
    set_property(TARGET mnistnative_cuda APPEND PROPERTY LINK_DEPENDS "${mn_cuda_exports}")
    target_link_options(mnistnative_cuda PRIVATE "-Wl,--version-script=${mn_cuda_exports}" -Wl,--gc-sections)
    if(NOT MNISTNATIVE_SANITIZE)
        target_link_options(mnistnative_cuda PRIVATE -Wl,--no-undefined -static-libstdc++ -static-libgcc)
    endif()
endif()
target_link_options(mnistnative_cuda PRIVATE $<$<CONFIG:Release>:-s>)

# For the test of what the plugin holds.
find_program(MNISTNATIVE_CUOBJDUMP cuobjdump HINTS "${mn_cuda_bin}" DOC "Lists the device code of a library")
list(TRANSFORM mn_cuda_architectures PREPEND "sm_" OUTPUT_VARIABLE mn_cuda_codes)
set(mn_cuda_codes "compute_${mn_cuda_oldest}" ${mn_cuda_codes} PARENT_SCOPE)
list(LENGTH mn_cuda_kernels mn_cuda_kernel_count)
set(mn_cuda_kernel_count ${mn_cuda_kernel_count} PARENT_SCOPE)
