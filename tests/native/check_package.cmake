# Installs the build, then configures, builds and runs a C program that knows only find_package(NativeOpt).
# cmake -DBUILD=... -DCONFIG=... -DGENERATOR=... -DWORK=... -DFLAGS=... -DTOOLCHAIN=... -DCONSUMER=... -P check_package.cmake

function(run)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE log ERROR_VARIABLE log)
    if(NOT result EQUAL 0)
        message(FATAL_ERROR "${ARGN} failed:\n${log}")
    endif()
endfunction()

file(REMOVE_RECURSE "${WORK}")
run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${WORK}/prefix" --config "${CONFIG}")
set(options "-DCMAKE_PREFIX_PATH=${WORK}/prefix")
if(WORK MATCHES ",")
    # CMake writes the folder of an imported library after -Wl,-rpath, which divides it at commas.
    list(APPEND options -DCMAKE_SKIP_BUILD_RPATH=ON)
    file(GLOB libraries "${WORK}/prefix/lib*")
    set(ENV{LD_LIBRARY_PATH} "${libraries}")
endif()
run("${CMAKE_COMMAND}" -S "${CONSUMER}" -B "${WORK}/build" -G "${GENERATOR}" ${options}
    "-DCMAKE_C_FLAGS=${FLAGS}" "-DCMAKE_TOOLCHAIN_FILE=${TOOLCHAIN}" "-DCMAKE_BUILD_TYPE=${CONFIG}")
run("${CMAKE_COMMAND}" --build "${WORK}/build" --config "${CONFIG}")
run("${CMAKE_CTEST_COMMAND}" --test-dir "${WORK}/build" -C "${CONFIG}" --output-on-failure --no-tests=error)
