# The plugin libmnistnative_cuda: kernels by nvcc, embedded; the rest is C++ on the driver's interface, whose
# libraries are opened at run time. Only headers of the toolkit are used. Defines the target mnistnative_cuda where it
# can be built.

if(MNISTNATIVE_CUDA STREQUAL "OFF" OR MNISTNATIVE_SANITIZE MATCHES "thread")
    return()
endif()
# A toolkit that is found would be that of the computer that compiles.
if(MNISTNATIVE_CUDA STREQUAL "AUTO" AND CMAKE_CROSSCOMPILING)
    return()
endif()

find_program(MNISTNATIVE_NVCC nvcc
    HINTS ENV CUDA_PATH ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES bin
    DOC "The CUDA compiler")
if(MNISTNATIVE_NVCC)
    cmake_path(GET MNISTNATIVE_NVCC PARENT_PATH mn_cuda_bin)
    cmake_path(GET mn_cuda_bin PARENT_PATH mn_cuda_root)
    find_path(MNISTNATIVE_CUDA_INCLUDE cublas_v2.h
        HINTS "${mn_cuda_root}/include" "${mn_cuda_root}/targets/x86_64-linux/include" /usr/local/cuda/include
        DOC "Folder of cuda.h and cublas_v2.h")
endif()
if(NOT MNISTNATIVE_NVCC OR NOT MNISTNATIVE_CUDA_INCLUDE)
    if(MNISTNATIVE_CUDA STREQUAL "ON")
        message(FATAL_ERROR "MNISTNATIVE_CUDA is ON, but no CUDA toolkit (nvcc, cuda.h, cublas_v2.h) was found. "
            "MNISTNATIVE_NVCC names the compiler. On Debian: apt-get install nvidia-cuda-toolkit (non-free).")
    endif()
    return()
endif()

execute_process(COMMAND "${MNISTNATIVE_NVCC}" --version OUTPUT_VARIABLE mn_nvcc_version)
if(NOT mn_nvcc_version MATCHES "release ([0-9]+)\\.([0-9]+)")
    message(FATAL_ERROR "${MNISTNATIVE_NVCC} --version says no version: ${mn_nvcc_version}")
endif()
set(mn_cuda_version "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}")
math(EXPR mn_cuda_driver "${CMAKE_MATCH_1} * 1000 + ${CMAKE_MATCH_2} * 10")
if(mn_cuda_version VERSION_LESS 11.8)
    if(MNISTNATIVE_CUDA STREQUAL "ON")
        message(FATAL_ERROR "CUDA toolkit ${mn_cuda_version} is too old: 11.8 or newer is needed.")
    endif()
    message(STATUS "No CUDA plugin: toolkit ${mn_cuda_version} is older than 11.8")
    return()
endif()

# PTX for the oldest serves every later card; machine code saves compiling it when the device is opened.
if(mn_cuda_version VERSION_LESS 13)
    set(mn_cuda_oldest 70)
else()
    set(mn_cuda_oldest 75)
endif()
set(MNISTNATIVE_CUDA_ARCHITECTURES "75;86" CACHE STRING
    "Compute capabilities to make machine code for; releases take 70;75;80;86;89;90")

set(mn_nvcc_options -std=c++17 -O3 --fatbin -Werror all-warnings
    -gencode arch=compute_${mn_cuda_oldest},code=compute_${mn_cuda_oldest})
foreach(architecture IN LISTS MNISTNATIVE_CUDA_ARCHITECTURES)
    list(APPEND mn_nvcc_options -gencode arch=compute_${architecture},code=sm_${architecture})
endforeach()
list(APPEND mn_nvcc_options "-I${CMAKE_CURRENT_SOURCE_DIR}" "-I${CMAKE_CURRENT_SOURCE_DIR}/include")

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
    "${mn_cuda_folder}/images.cpp")
target_link_libraries(mnistnative_cuda PRIVATE mn_options)
target_include_directories(mnistnative_cuda SYSTEM PRIVATE "${MNISTNATIVE_CUDA_INCLUDE}")
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
