// Constants of the CUDA kernels, and what they were chosen by. Not yet run on a GPU: the values are reasoned, and wait
// for their measurement.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace nopt {

// Kernels are compiled for these.
constexpr int kThreadsPerBlock = 256;
constexpr int kWarpThreads = 32;
constexpr int kWarpsPerBlock = kThreadsPerBlock / kWarpThreads;
// Of the passes over elements: kernels of 65 to 128 registers find room for up to 4 warps more on a processor than in
// larger blocks.
#ifndef NOPT_TUNE_PASS_THREADS
#define NOPT_TUNE_PASS_THREADS 128
#endif
constexpr int kPassThreads = NOPT_TUNE_PASS_THREADS;
constexpr int kPassWarps = kPassThreads / kWarpThreads;
constexpr int kScopeThreads = 512;  // of the one block that adds up the chunks of all tensors; 1024 would spill

// 1 marks elements as the first to leave the caches when these need room (ld.global.cs, st.global.cs), since a launch
// reads and writes each once. A definition on the command line takes the place of this one. Not yet measured.
#ifndef NOPT_TUNE_STREAMS
#define NOPT_TUNE_STREAMS 0
#endif
// A definition on the command line takes the place of these, too. See Tuning.
#ifndef NOPT_TUNE_PIECE_ELEMENTS
#define NOPT_TUNE_PIECE_ELEMENTS 2048
#endif
#ifndef NOPT_TUNE_WAVES
#define NOPT_TUNE_WAVES 1
#endif

// What differs from one GPU to the next.
struct Tuning {
    int compute_capability;  // 10 major + minor; from here on

    // Elements of a piece, the share of a warp: as many as this, and fewer (down to kMinPieceElements) where a set
    // would have less than this number of pieces for each processor. Large pieces make short tables, small ones spread
    // a small set over all processors: 64 warps are resident on most, and two rounds even out.
    int64_t piece_elements;
    int64_t pieces_per_processor;

    // Grids of the passes over elements are at most this number of waves.
    int64_t waves;
};

constexpr int64_t kMinPieceElements = 256;  // two accesses of 16 bytes for each thread of a warp

constexpr Tuning kTunings[] = {
    {0, NOPT_TUNE_PIECE_ELEMENTS, 128, NOPT_TUNE_WAVES},  // not yet measured
};

constexpr const Tuning& tuning_for(int compute_capability) {
    const Tuning* found = &kTunings[0];
    for (const Tuning& one : kTunings) {
        if (one.compute_capability <= compute_capability) {
            found = &one;
        }
    }
    return *found;
}

// The scalars of so many cohorts travel with the launch itself (kMaxScalars bytes each, of 4 KiB that a launch may
// carry); those of more cohorts are computed on the device by a launch before.
constexpr int kFewCohorts = 16;

// The inputs and the clocks of so many groups travel with the launch that computes those scalars; more of them are
// written to device memory by launches before, which carry so many inputs each.
constexpr int kFewGroups = 16;
constexpr int kInputsPerLaunch = 30;

// Tables on their way to the device at one time, and the least bytes that one of them has; see StagingRing.
constexpr int kStagingSlots = 8;
constexpr size_t kMinStagingBytes = 4096;

}  // namespace nopt
