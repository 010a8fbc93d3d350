# Compile options that every target of the library shares, on the interface target nativeopt_options.
#
# The floating-point options are part of the promise of equal bits everywhere: no contraction of a*b+c into a fused
# multiply-add, IEEE division and square root, no fast-math.

include(CheckCXXCompilerFlag)

add_library(nativeopt_options INTERFACE)
if(MSVC)
    target_compile_options(nativeopt_options INTERFACE
        $<$<COMPILE_LANGUAGE:CXX>:/fp:precise /W4 /permissive- /utf-8 $<$<BOOL:${NATIVEOPT_WERROR}>:/WX>>)
else()
    target_compile_options(nativeopt_options INTERFACE
        $<$<COMPILE_LANGUAGE:CXX>:
            -ffp-contract=off
            # Without it, sqrtf must be able to set errno, and no loop around it vectorises.
            -fno-math-errno
            # No result depends on the processor's exception flags, which nobody reads. Without it, GCC vectorises no loop
            # that computes what a comparison may not need: Adan and Sophia took four to five times as long for AVX2.
            $<$<CXX_COMPILER_ID:GNU>:-fno-trapping-math>
            # Lines for the symbols that are kept apart, the same wherever the sources lie.
            $<$<CONFIG:Release>:-g1> -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=
            -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wdouble-promotion
            $<$<BOOL:${NATIVEOPT_WERROR}>:-Werror>>)
endif()
set_property(TARGET nativeopt_options PROPERTY INTERFACE_POSITION_INDEPENDENT_CODE ON)

# nativeopt_cpu_isas(<out>): the instruction sets that the CPU kernels are compiled for, most portable first, as
# "name|compiler flag" (no flag for the baseline).
function(nativeopt_cpu_isas out)
    set(isas "baseline|")
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND NOT MSVC)
        foreach(isa IN ITEMS x86-64-v3 x86-64-v4)
            string(MAKE_C_IDENTIFIER "NATIVEOPT_HAS_MARCH_${isa}" has_flag)
            check_cxx_compiler_flag("-march=${isa}" ${has_flag})
            if(${has_flag})
                list(APPEND isas "${isa}|-march=${isa}")
            endif()
        endforeach()
    endif()
    set(${out} "${isas}" PARENT_SCOPE)
endfunction()
