# Builds the native library for the .NET projects: cmake -DNATIVEOPT_DIRECTORY=... -P build_for_dotnet.cmake
#
#   NATIVEOPT_DIRECTORY     where the build tree (build/) and the library go
#   NATIVEOPT_RID           the platform to build for, as .NET names it: this machine's, or linux-arm64
#   NATIVEOPT_LIBRARY_NAME  the library's file name
#   NATIVEOPT_CUDA          AUTO, ON or OFF
#   NATIVEOPT_CUDA_ARCHITECTURES
#                           the GPUs to compile for, divided by spaces; nothing: those of the last build, at first native
#   NATIVEOPT_BUILD_TESTS   ON builds the native tests too
#
# Quiet on success but for one line on CUDA. On failure it prints the log and leaves "CODE: what to do" in error.txt, for
# MSBuild to show as the one build error.
cmake_minimum_required(VERSION 3.22)

get_filename_component(source "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
set(build "${NATIVEOPT_DIRECTORY}/build")
file(MAKE_DIRECTORY "${build}")

function(fail code text log)
    file(WRITE "${NATIVEOPT_DIRECTORY}/error.txt" "${code}: ${text}")
    message("${log}")
    message(FATAL_ERROR "${code}: ${text}")
endfunction()

# Two dotnet processes may build at once; the second finds everything done.
file(LOCK "${NATIVEOPT_DIRECTORY}/build.lock" TIMEOUT 1800 RESULT_VARIABLE locked)
if(NOT locked EQUAL 0)
    fail(NOPT1004 "cannot lock ${NATIVEOPT_DIRECTORY}/build.lock (${locked}); is another build hanging?" "")
endif()
file(REMOVE "${NATIVEOPT_DIRECTORY}/error.txt")

# A build tree that was copied or moved here, or whose sources were, holds paths of the other place.
if(EXISTS "${build}/CMakeCache.txt")
    load_cache("${build}" READ_WITH_PREFIX other_ CMAKE_HOME_DIRECTORY CMAKE_CACHEFILE_DIR)
    file(REAL_PATH "${other_CMAKE_HOME_DIRECTORY}" other_source)
    file(REAL_PATH "${other_CMAKE_CACHEFILE_DIR}" other_build)
    file(REAL_PATH "${source}" this_source)
    file(REAL_PATH "${build}" this_build)
    if(NOT other_source STREQUAL this_source OR NOT other_build STREQUAL this_build)
        file(REMOVE_RECURSE "${build}")
        file(MAKE_DIRECTORY "${build}")
    endif()
endif()

set(generator "")
if(NOT EXISTS "${build}/CMakeCache.txt")
    find_program(ninja NAMES ninja ninja-build)
    if(ninja)
        set(generator -G Ninja)
    endif()
endif()

# Another processor than this machine's needs a cross compiler, which has no CUDA.
set(toolchain "")
cmake_host_system_information(RESULT processor QUERY OS_PLATFORM)
if(NATIVEOPT_RID STREQUAL "linux-arm64" AND NOT processor MATCHES "^(aarch64|arm64)$")
    set(toolchain "-DCMAKE_TOOLCHAIN_FILE=${source}/cmake/linux-arm64.cmake")
    set(NATIVEOPT_CUDA OFF)
endif()

set(architectures "")
if(NATIVEOPT_CUDA_ARCHITECTURES)
    string(REGEX REPLACE "[ ;]+" "\\\\;" architectures "${NATIVEOPT_CUDA_ARCHITECTURES}") # one argument
    set(architectures "-DCMAKE_CUDA_ARCHITECTURES=${architectures}")
endif()
execute_process(
    COMMAND "${CMAKE_COMMAND}" -S "${source}" -B "${build}" ${generator} ${toolchain} -DCMAKE_BUILD_TYPE=Release
            -DNATIVEOPT_CUDA=${NATIVEOPT_CUDA} ${architectures} -DNATIVEOPT_TESTS=ON
    RESULT_VARIABLE result OUTPUT_VARIABLE log ERROR_VARIABLE log)
if(NOT result EQUAL 0)
    # A failed first configuration would otherwise be remembered after the compiler was installed.
    file(REMOVE "${build}/CMakeCache.txt")
    if(log MATCHES "No CMAKE_CXX_COMPILER could be found|is not able to compile a simple test program"
       OR log MATCHES "CMAKE_MAKE_PROGRAM is not set")
        fail(NOPT1002 "no working C++ compiler (and build tool) was found, and the native library needs one. Install it (Debian, Ubuntu: apt-get install g++ make; macOS: xcode-select --install; Windows: the C++ workload of the Visual Studio Build Tools), or bring a prebuilt library and pass -p:NativeOptSkipNativeBuild=true." "${log}")
    endif()
    fail(NOPT1003 "configuring the native library failed; CMake's messages are above." "${log}")
endif()
if(log MATCHES "NativeOpt: (CUDA backend [^\n]*)")
    message("NativeOpt: ${CMAKE_MATCH_1}")
    file(WRITE "${NATIVEOPT_DIRECTORY}/cuda.txt" "${CMAKE_MATCH_1}")
endif()

set(targets nativeopt_stripped)
if(NATIVEOPT_BUILD_TESTS)
    list(APPEND targets nativeopt_all_tests)
endif()
execute_process(
    COMMAND "${CMAKE_COMMAND}" --build "${build}" --config Release --parallel --target ${targets}
    RESULT_VARIABLE result OUTPUT_VARIABLE log ERROR_VARIABLE log)
if(NOT result EQUAL 0)
    fail(NOPT1003 "compiling the native library failed; the compiler's messages are above." "${log}")
endif()

# Renamed into place, so that a process which runs the old library keeps it whole.
file(GLOB built "${build}/native/stripped/*")
foreach(file IN LISTS built)
    get_filename_component(name "${file}" NAME)
    file(COPY_FILE "${file}" "${NATIVEOPT_DIRECTORY}/${name}.new")
    file(RENAME "${NATIVEOPT_DIRECTORY}/${name}.new" "${NATIVEOPT_DIRECTORY}/${name}")
endforeach()
file(TOUCH "${NATIVEOPT_DIRECTORY}/${NATIVEOPT_LIBRARY_NAME}")
