# Decides whether the CUDA backend is compiled in, says so in one line, and enables CMake's CUDA language if it is.
# Sets NATIVEOPT_HAS_CUDA.

set(NATIVEOPT_HAS_CUDA OFF)

# Machine code for the GPUs that are common (compute capability 8.0, 8.6, 8.9 and 9.0); PTX of 7.5, the oldest that the
# kernels run on, from which the driver compiles for all others, older and newer.
set(nativeopt_default_cuda_architectures 75-virtual 80-real 86-real 89-real 90-real)

if(NOT NATIVEOPT_CUDA MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "NATIVEOPT_CUDA is '${NATIVEOPT_CUDA}'; it must be AUTO, ON or OFF.")
elseif(NATIVEOPT_CUDA STREQUAL "OFF")
    message(STATUS "NativeOpt: CUDA backend left out (NATIVEOPT_CUDA=OFF)")
elseif("${PROJECT_SOURCE_DIR}${PROJECT_BINARY_DIR}" MATCHES ",")
    # nvcc divides the names of include folders at commas, and has no way to quote them.
    if(NATIVEOPT_CUDA STREQUAL "ON")
        message(FATAL_ERROR "NATIVEOPT_CUDA=ON, but nvcc cannot work in a folder with a comma in its path. Move the sources and "
                            "the build folder, or use NATIVEOPT_CUDA=AUTO or OFF.")
    endif()
    message(STATUS "NativeOpt: CUDA backend left out (nvcc cannot work in a folder with a comma in its path)")
else()
    include(CheckLanguage)
    if(NOT CMAKE_CUDA_COMPILER)
        unset(CMAKE_CUDA_COMPILER CACHE) # look again: the toolkit may have been installed since
    endif()
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
        set(NATIVEOPT_HAS_CUDA ON)
        if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
            set(CMAKE_CUDA_ARCHITECTURES ${nativeopt_default_cuda_architectures})
        endif()
        set(CMAKE_CUDA_STANDARD 17)
        set(CMAKE_CUDA_STANDARD_REQUIRED ON)
        set(CMAKE_CUDA_EXTENSIONS OFF)
        enable_language(CUDA)
        message(STATUS "NativeOpt: CUDA backend compiled in (nvcc ${CMAKE_CUDA_COMPILER_VERSION}, "
                       "architectures ${CMAKE_CUDA_ARCHITECTURES})")
    elseif(NATIVEOPT_CUDA STREQUAL "ON")
        message(FATAL_ERROR "NATIVEOPT_CUDA=ON, but no working nvcc was found. Install the CUDA toolkit (11.8 or newer), "
                            "set CMAKE_CUDA_COMPILER to nvcc's path, or use NATIVEOPT_CUDA=AUTO or OFF.")
    else()
        message(STATUS "NativeOpt: CUDA backend left out (no nvcc found; set NATIVEOPT_CUDA=ON to require it)")
    endif()
endif()
