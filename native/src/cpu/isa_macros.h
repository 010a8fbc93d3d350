// For the kernel files, which are compiled once for each instruction set, NOPT_CPU_ISA being its identifier.
#pragma once

#define NOPT_JOIN_(a, b) a##b
#define NOPT_JOIN(a, b) NOPT_JOIN_(a, b)

// The buffers of a call are disjoint (nopt_param_set_bind checks it): no run-time test for overlap is needed. Two
// registers at a time, as clang does by itself. (Zen 3, GCC 12, one thread in the first cache: SGD on 4,096 elements
// took 0.25 us instead of 0.37; Adam, which waits for its divisions, the same; four at a time were no better than two.)
#if defined(__clang__)
#define NOPT_INDEPENDENT_ITERATIONS _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define NOPT_INDEPENDENT_ITERATIONS _Pragma("GCC ivdep") _Pragma("GCC unroll 2")
#else
#define NOPT_INDEPENDENT_ITERATIONS
#endif

// The loops over the elements of a pack (cpu/pack.h). Unrolled before they are vectorised, GCC 12 would not vectorise
// those of 8 elements at all.
#if defined(__clang__)
#define NOPT_INDEPENDENT_LANES _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define NOPT_INDEPENDENT_LANES _Pragma("GCC ivdep") _Pragma("GCC unroll 1")
#else
#define NOPT_INDEPENDENT_LANES
#endif

// Begins to read a line of memory; of no effect on results, also past the end of an array.
#if defined(__GNUC__)
#define NOPT_PREFETCH(address) __builtin_prefetch(address)
#else
#define NOPT_PREFETCH(address) static_cast<void>(address)
#endif
