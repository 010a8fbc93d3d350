// How a set is divided among the kernels: its pieces, and the tasks of its sums.
#pragma once

#include <stdint.h>

#include <algorithm>
#include <vector>

#include "cuda/pieces.cuh"
#include "cuda/tuning.h"
#include "numerics/sums.h"

namespace nopt {

// What a block sums up at one time: one chunk, each warp its kWarpLeaves leaves, or a chunk for each warp.
struct SumTask {
    int64_t first_chunk;
    int32_t chunk_count;
    int32_t reserved;
};

// In device memory; passed by value.
struct SumTable {
    const SumTask* tasks;
    const Piece* pieces;  // kWarpsPerBlock for each task
    int64_t count;        // of tasks
};

constexpr int kWarpLeaves = kChunkLeaves / kWarpsPerBlock;
constexpr int64_t kWarpSumElements = kWarpLeaves * kLeafElements;

// The pieces that the passes over elements take.
inline std::vector<Piece> make_pieces(const std::vector<int64_t>& counts, int64_t elements) {
    std::vector<Piece> pieces;
    for (size_t t = 0; t < counts.size(); ++t) {
        for (int64_t begin = 0; begin < counts[t]; begin += elements) {
            pieces.push_back(
                {begin, static_cast<int32_t>(t), static_cast<int32_t>(std::min(counts[t] - begin, elements))});
        }
    }
    return pieces;
}

// The size of pieces that spreads a set of this many elements.
inline int64_t piece_elements(int64_t total, int processors, const Tuning& tuning) {
    int64_t elements = tuning.piece_elements;
    while (elements > kMinPieceElements && total / elements < tuning.pieces_per_processor * processors) {
        elements /= 2;
    }
    return elements;
}

// What the sums take: chunks in the order of (tensor, chunk), a block for each, and a warp where several small ones
// follow each other.
struct SumPlan {
    std::vector<SumTask> tasks;
    std::vector<Piece> pieces;
    std::vector<int64_t> first_chunk;  // of each tensor, and the number of all
};

inline SumPlan make_sum_plan(const std::vector<int64_t>& counts) {
    SumPlan plan;
    int64_t chunk = 0;
    bool gathers = false;  // whether the last task takes more small chunks
    for (size_t t = 0; t < counts.size(); ++t) {
        const int32_t tensor = static_cast<int32_t>(t);
        plan.first_chunk.push_back(chunk);
        for (int64_t begin = 0; begin < counts[t]; begin += kChunkElements, ++chunk) {
            const int64_t count = std::min(counts[t] - begin, kChunkElements);
            const bool small = count <= kWarpSumElements;
            if (!small || !gathers || plan.tasks.back().chunk_count == kWarpsPerBlock) {
                plan.tasks.push_back({chunk, 0, 0});
                plan.pieces.resize(plan.tasks.size() * kWarpsPerBlock);
            }
            gathers = small;
            SumTask& task = plan.tasks.back();
            Piece* const own = &plan.pieces[plan.pieces.size() - kWarpsPerBlock] + task.chunk_count;
            ++task.chunk_count;
            for (int64_t at = 0, w = 0; at < count; at += kWarpSumElements, ++w) {
                own[w] = {begin + at, tensor, static_cast<int32_t>(std::min(count - at, kWarpSumElements))};
            }
        }
    }
    plan.first_chunk.push_back(chunk);
    return plan;
}

}  // namespace nopt
