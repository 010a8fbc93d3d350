# Decides whether the CUDA backend is compiled in, says so in one line, and enables CMake's CUDA language if it is.
# Sets NATIVEOPT_HAS_CUDA.
#
# CMAKE_CUDA_ARCHITECTURES says which GPUs to compile for; beside what CMake knows it may be
#
#   native    those that nvidia-smi lists here (the default); without one of them compute capability 8.0, and its PTX, from
#             which the driver compiles for all later ones
#   package   all that are common, for a library that goes to other machines

set(NATIVEOPT_HAS_CUDA OFF)

# nativeopt_cuda_package_architectures(<out> <known to nvcc>...): machine code for GPUs that are common. The driver compiles
# from PTX for all others: from that of 7.5, the oldest that the kernels run on, for older ones, and from that of 8.0, which
# has conversions of bfloat16, for newer ones.
function(nativeopt_cuda_package_architectures out)
    set(architectures 75-virtual 80 86-real 89-real 90-real)
    foreach(newer IN ITEMS 100 120)
        if(newer IN_LIST ARGN)
            list(APPEND architectures ${newer}-real)
        endif()
    endforeach()
    set(${out} "${architectures}" PARENT_SCOPE)
endfunction()

# nativeopt_cuda_native_architectures(<out> <known to nvcc>...): those of this machine's GPUs, or nothing. For a GPU that is
# newer than nvcc, the newest PTX, which CMake's own "native" (of 3.24) does not do.
function(nativeopt_cuda_native_architectures out)
    find_program(NATIVEOPT_NVIDIA_SMI nvidia-smi)
    mark_as_advanced(NATIVEOPT_NVIDIA_SMI)
    set(architectures "")
    if(NATIVEOPT_NVIDIA_SMI)
        execute_process(COMMAND "${NATIVEOPT_NVIDIA_SMI}" --query-gpu=compute_cap --format=csv,noheader
            OUTPUT_VARIABLE capabilities ERROR_QUIET)
        string(REGEX MATCHALL "[0-9]+\\.[0-9]" capabilities "${capabilities}")
        foreach(capability IN LISTS capabilities)
            string(REPLACE "." "" architecture "${capability}")
            if(architecture LESS 75)
                message(STATUS "NativeOpt: a GPU of compute capability ${capability} is left out; the kernels need 7.5")
            elseif(architecture IN_LIST ARGN)
                list(APPEND architectures ${architecture}-real)
            else()
                list(GET ARGN -1 newest)
                list(APPEND architectures ${newest}-virtual)
            endif()
        endforeach()
        list(REMOVE_DUPLICATES architectures)
    endif()
    set(${out} "${architectures}" PARENT_SCOPE)
endfunction()

# nativeopt_cuda_architectures(<out> <reason>): CMAKE_CUDA_ARCHITECTURES as CMake understands it, and what it is for.
function(nativeopt_cuda_architectures out reason)
    set(asked native)
    if(DEFINED CMAKE_CUDA_ARCHITECTURES)
        set(asked "${CMAKE_CUDA_ARCHITECTURES}")
    endif()
    execute_process(COMMAND "${CMAKE_CUDA_COMPILER}" --list-gpu-code OUTPUT_VARIABLE known ERROR_QUIET)
    string(REGEX MATCHALL "sm_[0-9]+" known "${known}")
    list(TRANSFORM known REPLACE "sm_" "")
    list(SORT known COMPARE NATURAL)
    set(for "architectures")
    if(asked STREQUAL "package")
        nativeopt_cuda_package_architectures(asked ${known})
    elseif(asked STREQUAL "native")
        nativeopt_cuda_native_architectures(asked ${known})
        set(for "for the GPUs here:")
        if(NOT asked)
            set(asked 80)
            set(for "no GPU here:")
        endif()
    elseif(NOT asked MATCHES "^(all|all-major|OFF|[0-9]+[af]?(-real|-virtual)?(;[0-9]+[af]?(-real|-virtual)?)*)$")
        message(FATAL_ERROR "CMAKE_CUDA_ARCHITECTURES is '${asked}'; it must be native, package, or a list of compute "
                            "capabilities without their points, such as 80;90-real.")
    endif()
    set(${out} "${asked}" PARENT_SCOPE)
    set(${reason} "${for}" PARENT_SCOPE)
endfunction()

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
        nativeopt_cuda_architectures(CMAKE_CUDA_ARCHITECTURES nativeopt_for)
        set(CMAKE_CUDA_STANDARD 17)
        set(CMAKE_CUDA_STANDARD_REQUIRED ON)
        set(CMAKE_CUDA_EXTENSIONS OFF)
        enable_language(CUDA)
        message(STATUS "NativeOpt: CUDA backend compiled in (nvcc ${CMAKE_CUDA_COMPILER_VERSION}, "
                       "${nativeopt_for} ${CMAKE_CUDA_ARCHITECTURES})")
    elseif(NATIVEOPT_CUDA STREQUAL "ON")
        message(FATAL_ERROR "NATIVEOPT_CUDA=ON, but no working nvcc was found. Install the CUDA toolkit (11.8 or newer), "
                            "set CMAKE_CUDA_COMPILER to nvcc's path, or use NATIVEOPT_CUDA=AUTO or OFF.")
    else()
        message(STATUS "NativeOpt: CUDA backend left out (no nvcc found; set NATIVEOPT_CUDA=ON to require it)")
    endif()
endif()
