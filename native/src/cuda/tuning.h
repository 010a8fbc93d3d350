// Constants of the CUDA kernels, and what they were chosen by. Not yet run on a GPU: the values are the usual ones for
// streaming kernels and wait for their measurement.
#pragma once

namespace nopt {

constexpr int kThreadsPerBlock = 256;

// Elements of one tensor that a block takes at a time: 16 rounds of 16-byte accesses of a block, so that the lookup of
// a chunk's tensor is a small part of the work, and even a tensor of a million elements gives 64 blocks.
constexpr int kChunkElements = 16384;

// Pointer tables on their way to the device at one time; see StagingRing.
constexpr int kStagingSlots = 8;

}  // namespace nopt
