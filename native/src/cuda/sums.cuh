// The sums of chunks, in the order of numerics/sums.h: of each chunk by a block, or by a warp where chunks are small.
// Nothing depends on which block is first.
#pragma once

#include <stdint.h>

#include <utility>

#include "cuda/cells.cuh"
#include "cuda/partition.h"
#include "cuda/set_tables.cuh"
#include "numerics/sum_kinds.h"

namespace nopt {

// What a pass reads; all in device memory, passed by value. What its kind of sums does not read may be null.
struct SumInput {
    TypeTable types;
    RoleTable grad;
    RoleTable displaced;
    RoleTable direction;
    RoleTable rotation_direction;
    RoleTable grad_change;
};

// One element of each buffer.
struct SumValues {
    float grad, displaced, direction, rotation, change;
};

// The values at one place of the buffers that the kind of sum reads; the rest is 0 and costs nothing.
template <int Kind, bool kMixed>
struct SumSource {
    static constexpr bool kNorm = Kind == kSumsProjectNorm || Kind == kSumsRotateNorm || Kind == kSumsPlaneNorm;
    static constexpr bool kProject = Kind == kSumsProject || Kind == kSumsProjectNorm;
    static constexpr bool kRotate = Kind == kSumsRotate || Kind == kSumsRotateNorm;
    static constexpr bool kPlane = Kind == kSumsPlane || Kind == kSumsPlaneNorm;
    static constexpr bool kChange = Kind == kSumsConjugate;
    static constexpr int kOwnSums = kChange ? 8 : kPlane ? 7 : Kind == kSumsOptimize ? 6 : kRotate ? 5 : 1;
    static constexpr int kSums = kOwnSums + (kNorm ? 1 : 0);
    static constexpr bool kGrad = sums_read_grad(static_cast<SumKind>(Kind));
    static constexpr bool kDirection = Kind != kSumsGradNorm;
    static constexpr bool kDisplaced = sums_read_displaced(static_cast<SumKind>(Kind));
    static constexpr bool kRotation = Kind >= kSumsOptimize;

    Cells<kMixed> grad;
    Cells<kMixed> displaced;
    Cells<false> direction;
    Cells<false> rotation_direction;
    Cells<false> grad_change;

    __device__ SumSource(const SumInput& table, const Piece& piece) {
        if (kDirection) {
            direction = Cells<false>(table.direction, nullptr, NOPT_ROLE_DIRECTION, piece);
        }
        if (kGrad) {
            grad = Cells<kMixed>(table.grad, table.types, NOPT_ROLE_GRAD, piece);
        }
        if (kDisplaced) {
            displaced = Cells<kMixed>(table.displaced, table.types, NOPT_ROLE_GRAD, piece);
        }
        if (kRotation) {
            rotation_direction = Cells<false>(table.rotation_direction, nullptr, NOPT_ROLE_ROTATION_DIRECTION, piece);
        }
        if (kChange) {
            grad_change = Cells<false>(table.grad_change, nullptr, NOPT_ROLE_GRAD_CHANGE, piece);
        }
    }

    __device__ bool aligned() const {
        return grad.misalignment() == 0 && displaced.misalignment() == 0 && direction.misalignment() == 0 &&
               rotation_direction.misalignment() == 0 && grad_change.misalignment() == 0;
    }

    // The elements from i on; 0 from `count` on, which adds nothing.
    template <bool kWhole, class AnyCells>
    __device__ typename AnyCells::template Fetched<Pack> fetch(const AnyCells& cells, int i, int count) const {
        if (kWhole || i + kPack <= count) {
            return cells.template fetch<Pack>(i);
        }
        return cells.fetch_some(i, count - i);
    }

    // The bits of a pack.
    struct Fetched {
        typename Cells<kMixed>::template Fetched<Pack> grad;
        typename Cells<kMixed>::template Fetched<Pack> displaced;
        Pack direction;
        Pack rotation;
        Pack change;
    };

    template <bool kWhole>
    __device__ Fetched fetch_pack(int i, int count) const {
        Fetched fetched = {};
        if (kDirection) {
            fetched.direction = fetch<kWhole>(direction, i, count);
        }
        if (kGrad) {
            fetched.grad = fetch<kWhole>(grad, i, count);
        }
        if (kDisplaced) {
            fetched.displaced = fetch<kWhole>(displaced, i, count);
        }
        if (kRotation) {
            fetched.rotation = fetch<kWhole>(rotation_direction, i, count);
        }
        if (kChange) {
            fetched.change = fetch<kWhole>(grad_change, i, count);
        }
        return fetched;
    }

    // Adds a pack to its lanes.
    __device__ void add_pack(const Fetched& fetched, double (&lanes)[kPack][kSums]) const {
        const Pack g = kGrad ? grad.template values<Pack>(fetched.grad) : Pack{};
        const Pack d = kDisplaced ? displaced.template values<Pack>(fetched.displaced) : Pack{};
#pragma unroll
        for (int k = 0; k < kPack; ++k) {
            add({g.v[k], d.v[k], fetched.direction.v[k], fetched.rotation.v[k], fetched.change.v[k]}, lanes[k]);
        }
    }

    // Whether all gradients that are read have 16 bits, for a loop that is compiled for them.
    __device__ bool is_half() const {
        bool half = false;
        if constexpr (kMixed) {
            half = (!kGrad || is_of_type(grad.dtype, kHalfType)) &&
                   (!kDisplaced || is_of_type(displaced.dtype, kHalfType));
        }
        return half;
    }
    template <int kType>
    __device__ SumSource typed() const {
        SumSource source = *this;
        source.grad = grad.template typed<kType>();
        source.displaced = displaced.template typed<kType>();
        return source;
    }

    // Adds one element to one lane.
    __device__ void add_one(int i, double (&sum)[kSums]) const {
        add({kGrad ? one(grad, i) : 0.0f, kDisplaced ? one(displaced, i) : 0.0f, kDirection ? one(direction, i) : 0.0f,
             kRotation ? one(rotation_direction, i) : 0.0f, kChange ? one(grad_change, i) : 0.0f},
            sum);
    }

    template <class AnyCells>
    __device__ static float one(const AnyCells& cells, int i) {
        return cells.template load<Single>(i).v[0];
    }

    // A product of two floats is exact in double: fused or not, each addition rounds once.
    __device__ static void add(const SumValues& values, double (&sum)[kSums]) {
        const double g = static_cast<double>(values.grad);
        const double d = static_cast<double>(gradient_difference(values.displaced, values.grad));
        const double n = static_cast<double>(values.direction);
        const double t = static_cast<double>(values.rotation);
        if constexpr (Kind == kSumsNorm) {
            sum[0] = fma(n, n, sum[0]);
        } else if constexpr (Kind == kSumsGradNorm) {
            sum[0] = fma(g, g, sum[0]);
        } else if constexpr (kProject) {
            sum[0] = fma(g, n, sum[0]);
            if constexpr (kNorm) {
                sum[kProjectGradSquare] = fma(g, g, sum[kProjectGradSquare]);
            }
        } else {
            sum[0] = fma(d, n, sum[0]);
            sum[1] = fma(d, d, sum[1]);
            if constexpr (kRotate) {
                sum[2] = fma(n, n, sum[2]);
                sum[3] = fma(g, n, sum[3]);
                sum[4] = fma(g, d, sum[4]);
                if constexpr (kNorm) {
                    sum[kRotateGradSquare] = fma(g, g, sum[kRotateGradSquare]);
                }
            } else if constexpr (kPlane) {
                sum[2] = fma(n, n, sum[2]);
                sum[3] = fma(g, n, sum[3]);
                sum[4] = fma(n, t, sum[4]);
                sum[5] = fma(t, t, sum[5]);
                sum[6] = fma(d, t, sum[6]);
                if constexpr (kNorm) {
                    sum[kPlaneGradSquare] = fma(g, g, sum[kPlaneGradSquare]);
                }
            } else {
                sum[2] = fma(d, t, sum[2]);
                sum[3] = fma(g, t, sum[3]);
                sum[4] = fma(t, t, sum[4]);
                sum[5] = fma(n, t, sum[5]);
                if constexpr (kChange) {
                    const double a = static_cast<double>(values.change);
                    sum[6] = fma(d, a, sum[6]);
                    sum[7] = fma(a, t, sum[7]);
                }
            }
        }
    }
};

// Adds the rows of a whole piece, some at a time, whose loads are on their way together.
template <int kType, int kRows, class Source>
__device__ inline void add_rows(const Source& source, int begin, double (&lanes)[kPack][Source::kSums]) {
    constexpr int kTogether = Source::kSums >= 6 ? 2 : 4;  // so that two blocks find room on a processor
    static_assert(kRows % kTogether == 0, "no row is read beyond the piece");
    const Source typed = source.template typed<kType>();
#pragma unroll 1
    for (int row = 0; row < kRows; row += kTogether) {
        typename Source::Fetched fetched[kTogether];
#pragma unroll
        for (int r = 0; r < kTogether; ++r) {
            fetched[r] = typed.template fetch_pack<true>(begin + (row + r) * kLanes, kWarpSumElements);
        }
#pragma unroll
        for (int r = 0; r < kTogether; ++r) {
            typed.add_pack(fetched[r], lanes);
        }
    }
}

// Sums up the elements of a piece; the first thread of the warp gets the sums.
template <class Source>
__device__ inline void sum_piece(const Source& source, int count, double (&sums)[Source::kSums]) {
    constexpr int kSums = Source::kSums;
    constexpr int kLeafThreads = kLanes / 4;  // that share a leaf where accesses are wide: four lanes each
    constexpr int kRows = static_cast<int>(kLeafElements) / kLanes;
    static_assert(kWarpThreads / kLeafThreads == kWarpLeaves && kWarpThreads == kLanes, "a warp sums up a piece");
    const int lane = lane_of_warp();
    if (source.aligned()) {
        const int begin = lane / kLeafThreads * static_cast<int>(kLeafElements) + lane % kLeafThreads * 4;
        double lanes[kPack][kSums] = {};
        if (count == kWarpSumElements) {
            if (source.is_half()) {
                add_rows<kHalfType, kRows>(source, begin, lanes);
            } else {
                add_rows<kAnyType, kRows>(source, begin, lanes);
            }
        } else {
#pragma unroll 1
            for (int row = 0; row < kRows; ++row) {
                source.add_pack(source.template fetch_pack<false>(begin + row * kLanes, count), lanes);
            }
        }
#pragma unroll
        for (int s = 0; s < kSums; ++s) {
            const double own = (lanes[0][s] + lanes[1][s]) + (lanes[2][s] + lanes[3][s]);
            sums[s] = tree_of_threads<kWarpThreads>(own);
        }
        return;
    }
    // One leaf after another, a thread for each lane; thread l keeps leaf l.
    double leaves[kSums] = {};
    for (int leaf = 0; leaf < kWarpLeaves; ++leaf) {
        const int begin = leaf * static_cast<int>(kLeafElements) + lane;
        double own[kSums] = {};
        for (int row = 0; row < kRows; ++row) {
            const int i = begin + row * kLanes;
            if (i < count) {
                source.add_one(i, own);
            }
        }
#pragma unroll
        for (int s = 0; s < kSums; ++s) {
            const double sum = tree_of_threads<kWarpThreads>(own[s]);
            leaves[s] = lane == leaf ? sum : leaves[s];
        }
    }
#pragma unroll
    for (int s = 0; s < kSums; ++s) {
        sums[s] = tree_of_threads<kWarpLeaves>(leaves[s]);
    }
}

template <int Kind, bool kMixed>
__global__ void __launch_bounds__(kThreadsPerBlock)
    sums_kernel(const __grid_constant__ SumInput table, const __grid_constant__ SumTable sum_table, Sums* chunk_sums) {
    using Source = SumSource<Kind, kMixed>;
    constexpr int kSums = Source::kSums;
    __shared__ double shares[kSums][kWarpsPerBlock];
    const int warp = warp_of_block();
    const int lane = lane_of_warp();

    for (int64_t t = blockIdx.x; t < sum_table.count; t += gridDim.x) {
        const SumTask task = sum_table.tasks[t];
        const Piece piece = sum_table.pieces[t * kWarpsPerBlock + warp];
        double sums[kSums] = {};
        const bool frozen = Kind == kSumsGradNorm && table.grad[piece.tensor] == nullptr;
        if (piece.count > 0 && !frozen) {
            sum_piece(Source(table, piece), piece.count, sums);
        }
        if (task.chunk_count > 1) {
            if (lane == 0 && piece.count > 0) {
#pragma unroll
                for (int s = 0; s < kMaxSums; ++s) {
                    chunk_sums[task.first_chunk + warp].value[s] = s < kSums ? sums[s < kSums ? s : 0] : 0.0;
                }
            }
            continue;
        }
        if (lane == 0) {
#pragma unroll
            for (int s = 0; s < kSums; ++s) {
                shares[s][warp] = sums[s];
            }
        }
        __syncthreads();
        if (warp == 0) {
#pragma unroll
            for (int s = 0; s < kMaxSums; ++s) {
                double sum = 0.0;
                if (s < kSums) {
                    sum = tree_of_threads<kWarpsPerBlock>(shares[s < kSums ? s : 0][lane % kWarpsPerBlock]);
                }
                if (lane == 0) {
                    chunk_sums[task.first_chunk].value[s] = sum;
                }
            }
        }
        __syncthreads();
    }
}

using SumsKernel = void (*)(SumInput, SumTable, Sums*);

template <bool kMixed, int... Kinds>
SumsKernel sums_kernel_of(SumKind kind, std::integer_sequence<int, Kinds...>) {
    // The dimer's directions are float32 in any set.
    static constexpr SumsKernel kKernels[] = {&sums_kernel < Kinds,
                                              kMixed && sums_read_grad(static_cast<SumKind>(Kinds)) > ...};
    return kKernels[kind];
}

// The sums of a dimer's scopes, or of all tensors.
struct CudaSums {
    // The set's device is current.
    CudaSums(const ParamSet& set, bool per_tensor_)
        : per_tensor(per_tensor_), scope_count(per_tensor ? static_cast<int64_t>(set.counts.size()) : 1) {
        const CudaSet& data = set_data(set);
        const int64_t chunks = data.first_chunk.back();
        chunk_sums = device_array<Sums>(static_cast<size_t>(chunks));
        sums = device_array<Sums>(static_cast<size_t>(scope_count));
        first_chunk = constant_table(per_tensor ? data.first_chunk : std::vector<int64_t>{0, chunks});
    }

    const bool per_tensor;
    const int64_t scope_count;
    DeviceArray<Sums> chunk_sums;
    DeviceArray<Sums> sums;            // of each scope
    DeviceArray<int64_t> first_chunk;  // of each scope, and the number of all
};

// Fills the sums of the chunks, of the gradients in two roles. The device is current.
inline void sum_chunks(const ParamSet& set, SumKind kind, nopt_role grad, nopt_role displaced, CudaSums& sums,
                       cudaStream_t stream) {
    CudaSet& data = set_data(set);
    const SumTable table = data.sum_table();
    const SumInput input = {data.theta_table(set).types,
                            data.table(set, grad),
                            data.table(set, displaced),
                            data.table(set, NOPT_ROLE_DIRECTION),
                            data.table(set, NOPT_ROLE_ROTATION_DIRECTION),
                            data.table(set, NOPT_ROLE_GRAD_CHANGE)};
    if (table.count > 0) {
        constexpr auto kKinds = std::make_integer_sequence<int, kSumKindCount>();
        const SumsKernel kernel =
            set.is_mixed ? sums_kernel_of<true>(kind, kKinds) : sums_kernel_of<false>(kind, kKinds);
        launch("summing up", kernel, data.waves.grid(kernel, table.count), kThreadsPerBlock, stream, input, table,
               sums.chunk_sums.get());
    }
}

}  // namespace nopt
