// For the kernel files, which are compiled once for each instruction set, NOPT_CPU_ISA being its identifier.
#pragma once

#define NOPT_JOIN_(a, b) a##b
#define NOPT_JOIN(a, b) NOPT_JOIN_(a, b)

// The buffers of a call are disjoint (nopt_param_set_bind checks it): no run-time test for overlap is needed.
#if defined(__clang__)
#define NOPT_INDEPENDENT_ITERATIONS _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define NOPT_INDEPENDENT_ITERATIONS _Pragma("GCC ivdep")
#else
#define NOPT_INDEPENDENT_ITERATIONS
#endif

// Begins to read a line of memory; of no effect on results, also past the end of an array.
#if defined(__GNUC__)
#define NOPT_PREFETCH(address) __builtin_prefetch(address)
#else
#define NOPT_PREFETCH(address) static_cast<void>(address)
#endif
