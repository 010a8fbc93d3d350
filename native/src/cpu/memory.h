// Memory of the CPU backend.
#pragma once

#include <stdint.h>

namespace nopt {

// Aligned to a cache line. Throws if there is no memory.
void* cpu_alloc(int64_t bytes);
void cpu_free(void* memory);

// Writes the low `bytes` (1, 2 or 4) of `bits` so many times.
void cpu_fill(void* destination, int64_t count, int bytes, uint32_t bits);

}  // namespace nopt
