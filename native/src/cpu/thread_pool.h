// The threads of the CPU backend: created once, shared by all parameter sets of the process, without locks.
#pragma once

#include <stdint.h>

namespace nopt {

// Runs body(context, i) for every i in [0, count), on the calling thread and up to num_threads() - 1 others, and
// returns when all are done. Each i runs once, in no promised order; the body must not throw. When another thread is
// running a job already, the caller does all of its own work.
void run_parallel(int64_t count, void (*body)(void* context, int64_t index), void* context);

// The same; a single one does not come near the pool.
inline void parallel_for(int64_t count, void (*body)(void* context, int64_t index), void* context) {
    if (count > 1) {
        run_parallel(count, body, context);
    } else if (count == 1) {
        body(context, 0);
    }
}

// The bound on threads, the calling one included. At first use: NATIVEOPT_NUM_THREADS, or what processors() grants.
int num_threads();
void set_num_threads(int count);

}  // namespace nopt
