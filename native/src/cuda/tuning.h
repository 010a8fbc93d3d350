// Constants of the CUDA kernels, and what they were chosen by. Not yet run on a GPU: the values are the usual ones for
// streaming kernels and wait for their measurement.
#pragma once

#include <stdint.h>

namespace nopt {

constexpr int kThreadsPerBlock = 256;

// Blocks of the kernels that are small, rare or light on registers: enough for 132 processors with 8 blocks each.
constexpr int64_t kMaxSmallBlocks = 1056;

// Pointer tables on their way to the device at one time; see StagingRing.
constexpr int kStagingSlots = 8;

}  // namespace nopt
