// What the CUDA backend keeps of a dimer, and its decisions: those of dimer/dimer.h over the sums of each scope.
#pragma once

#include <stdint.h>

#include <vector>

#include "cuda/launch.cuh"
#include "cuda/pieces.cuh"
#include "cuda/published.cuh"
#include "cuda/step_counter.cuh"
#include "cuda/sums.cuh"
#include "dimer/dimer.h"

namespace nopt {

struct CudaDimer final : DimerData {
    // The set's device is current.
    CudaDimer(const ParamSet& set, nopt_dimer_scope scope)
        : device(set.device),
          sums(set, scope == NOPT_DIMER_SCOPE_PER_TENSOR),
          scopes(constant_table(std::vector<DimerScope>(static_cast<size_t>(sums.scope_count), initial_scope()))),
          published(static_cast<size_t>(sums.scope_count), initial_scope()) {}

    const int device;
    CudaSums sums;
    DeviceArray<DimerScope> scopes;
    PublishedArray<DimerReading> published;
};

inline CudaDimer& dimer_of(const DimerPass& pass) { return static_cast<CudaDimer&>(pass.data); }

// What deciding takes beside the sums; passed by value. Where the device counts, `input.step` is counted from the step
// of group 0.
struct DecideTable {
    DimerScope* scopes;
    Published<DimerReading>* published;
    CounterTable counter;
    const int32_t* skip;  // not 0: nothing is decided; null: never
    DimerInput input;
    int32_t decision;  // a DimerDecision
};

// `empty` says that the scope has no elements here.
__device__ inline void decide_scope(const DecideTable& table, int64_t scope, const Sums& sums, bool empty) {
    DimerInput input = table.input;
    if (table.counter.clocks != nullptr) {
        input.step += table.counter.clocks[0].step;
        if (input.loss_scale == NOPT_LOSS_SCALE_ON_DEVICE) {
            input.loss_scale = table.counter.settings->loss_scale;
        }
    }
    DimerScope own = table.scopes[scope];
    decide(static_cast<DimerDecision>(table.decision), own, sums, input, empty);
    table.scopes[scope] = own;
    publish<DimerReading>(table.published[scope], own, own.version);
}

__global__ void __launch_bounds__(kThreadsPerBlock)
    decide_kernel(const __grid_constant__ DecideTable table, int64_t scope_count, const int64_t* first_chunk,
                  const Sums* sums) {
    if (table.skip != nullptr && *table.skip != 0) {
        return;
    }
    const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreadsPerBlock;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreadsPerBlock + threadIdx.x; i < scope_count; i += stride) {
        decide_scope(table, i, sums[i], first_chunk[i] == first_chunk[i + 1]);
    }
}

// The tree over the chunks of each scope, in place, and the decision, if there is a table of it. A group of threads for
// each scope: the block of kScopeThreads for one that has all tensors, a warp for each of many.
template <int kThreads>
__global__ void __launch_bounds__(kThreads == kWarpThreads ? kThreadsPerBlock : kThreads)
    scope_sums_kernel(const __grid_constant__ DecideTable table, int64_t scope_count, const int64_t* first_chunk,
                      Sums* chunk_sums, Sums* sums) {
    constexpr bool kIsWarp = kThreads == kWarpThreads;
    constexpr int kGroups = kIsWarp ? kWarpsPerBlock : 1;  // in a block
    constexpr int kWarps = kThreads / kWarpThreads;        // in a group
    constexpr int kValues = 8;                             // of a thread, whose loads are on their way together
    __shared__ double shares[kMaxSums][kWarps];
    const int thread = kIsWarp ? lane_of_warp() : static_cast<int>(threadIdx.x);
    const int group = kIsWarp ? warp_of_block() : 0;

    for (int64_t scope = static_cast<int64_t>(blockIdx.x) * kGroups + group; scope < scope_count;
         scope += static_cast<int64_t>(gridDim.x) * kGroups) {
        Sums* const chunks = chunk_sums + first_chunk[scope];
        int64_t count = first_chunk[scope + 1] - first_chunk[scope];
        const bool empty = count == 0;
        while (count > 1) {
            // Whole subtrees become one value each, which are the chunks of the next turn.
            int64_t subtrees = 0;
            for (int64_t begin = 0; begin < count; begin += kThreads * kValues) {
                double values[kMaxSums];
#pragma unroll
                for (int s = 0; s < kMaxSums; ++s) {
                    double own[kValues];
#pragma unroll
                    for (int k = 0; k < kValues; ++k) {
                        const int64_t i = begin + thread * kValues + k;
                        own[k] = i < count ? chunks[i].value[s] : 0.0;
                    }
                    const double sum =
                        ((own[0] + own[1]) + (own[2] + own[3])) + ((own[4] + own[5]) + (own[6] + own[7]));
                    values[s] = tree_of_threads<kWarpThreads>(sum);
                }
                if (!kIsWarp) {
                    if (lane_of_warp() == 0) {
#pragma unroll
                        for (int s = 0; s < kMaxSums; ++s) {
                            shares[s][warp_of_block()] = values[s];
                        }
                    }
                    __syncthreads();
                    if (warp_of_block() == 0) {
#pragma unroll
                        for (int s = 0; s < kMaxSums; ++s) {
                            values[s] = tree_of_threads<kWarps>(shares[s][lane_of_warp() % kWarps]);
                        }
                    }
                    __syncthreads();
                } else {
                    __syncwarp();  // all have read the chunk that is written now, which may be of an earlier turn
                }
                if (thread == 0) {
#pragma unroll
                    for (int s = 0; s < kMaxSums; ++s) {
                        chunks[subtrees].value[s] = values[s];
                    }
                }
                ++subtrees;
            }
            count = subtrees;
            if (kIsWarp) {
                __syncwarp();
            } else {
                __syncthreads();
            }
        }
        if (thread == 0) {
            Sums own = {};
            if (!empty) {
                own = chunks[0];
            }
            sums[scope] = own;
            if (table.scopes != nullptr) {
                decide_scope(table, scope, own, empty);
            }
        }
    }
}

inline DecideTable decide_table(const DimerPass& pass) {
    CudaDimer& dimer = dimer_of(pass);
    return {dimer.scopes.get(), dimer.published.device, counter_table(pass.counter), nullptr,
            pass.input,         int32_t{pass.decision}};
}

// Adds up the chunks of each scope, and decides unless the table has no scopes. The device is current.
inline void sum_scopes(const ParamSet& set, CudaSums& sums, const DecideTable& table, cudaStream_t stream) {
    if (sums.scope_count == 0) {
        return;
    }
    const bool is_one = !sums.per_tensor;
    const auto kernel = is_one ? &scope_sums_kernel<kScopeThreads> : &scope_sums_kernel<kWarpThreads>;
    const int64_t blocks = is_one ? 1 : set_data(set).waves.grid(kernel, blocks_for(sums.scope_count, kWarpsPerBlock));
    launch("summing up", kernel, blocks, is_one ? kScopeThreads : kThreadsPerBlock, stream, table, sums.scope_count,
           sums.first_chunk.get(), sums.chunk_sums.get(), sums.sums.get());
}

// Sets what each scope reads, and waits for it. The device is current.
inline void set_readings(CudaDimer& dimer, double DimerReading::*field, const double* values, cudaStream_t stream) {
    std::vector<DimerScope> scopes(static_cast<size_t>(dimer.sums.scope_count));
    const size_t bytes = scopes.size() * sizeof(DimerScope);
    check_cuda(cudaMemcpyAsync(scopes.data(), dimer.scopes.get(), bytes, cudaMemcpyDeviceToHost, stream),
               "reading the scopes");
    check_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    for (size_t i = 0; i < scopes.size(); ++i) {
        scopes[i].*field = values[i];
        dimer.published.host[i].value.*field = values[i];
    }
    check_cuda(cudaMemcpyAsync(dimer.scopes.get(), scopes.data(), bytes, cudaMemcpyHostToDevice, stream),
               "writing the scopes");
    check_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

// Decides by sums that are there. The device is current.
inline void decide_scopes(const ParamSet& set, const DimerPass& pass, const DecideTable& table, cudaStream_t stream) {
    const CudaSums& sums = dimer_of(pass).sums;
    if (sums.scope_count > 0) {
        launch("deciding", &decide_kernel,
               set_data(set).waves.grid(&decide_kernel, blocks_for(sums.scope_count, kThreadsPerBlock)),
               kThreadsPerBlock, stream, table, sums.scope_count, sums.first_chunk.get(), sums.sums.get());
    }
}

}  // namespace nopt
