// The update kernels: one launch for all tensors, whatever their number, sizes and alignments.
#pragma once

#include <stdint.h>

#include "cuda/dimer.cuh"
#include "cuda/pieces.cuh"
#include "cuda/scalars.cuh"
#include "cuda/theta.cuh"
#include "dimer/dimer.h"
#include "rules/registry.h"

namespace nopt {

// What an update needs beside the scalars; all in device memory, passed by value.
struct ElementwiseTable {
    PieceTable set;
    ThetaTable theta;
    RoleTable grad;
    RoleTable states[kMaxStates];  // in the rule's order
    const int32_t* skip;           // not 0: nothing is done; null: never
};

struct NoTable {};

// Where theta and the gradient that the rule sees come from: a piece of the buffers themselves.
template <bool kHalves>
struct PlainSource {
    using Table = NoTable;
    static constexpr int kMinBlocks = 0;
    static constexpr bool kHasHalves = kHalves;

    Theta<kHalves> theta;
    Cells<kHalves> grad;

    __device__ PlainSource(const ElementwiseTable& table, const Table&, const Piece& piece)
        : theta(table.theta, table.theta.param, piece), grad(table.grad, table.theta.types, NOPT_ROLE_GRAD, piece) {}

    template <class Wide>
    __device__ bool aligned_like(int off) const {
        return theta.template aligned_like<Wide>(off) && grad.template misalignment<Wide>() == off;
    }

    template <class Values>
    __device__ void load(int i, Values& p, Values& g) {
        p = theta.template load<Values>(i);
        g = grad.template load<Values>(i);
    }

    template <class Values>
    __device__ void store(int) {}
};

// ... or what a dimer makes of them. Which of its buffers are read is the same for a whole piece.
template <bool kHalves>
struct DimerSource {
    using Table = DimerTable;
    static constexpr int kMinBlocks = 1;
    static constexpr bool kHasHalves = kHalves;

    Theta<kHalves> theta;
    Cells<kHalves> grad;
    Cells<kHalves> displaced;  // null if N stays, or turns with T
    Cells<false> rotation;     // T; null if N stays, or turns with the difference of the gradients
    Cells<false> direction;
    double along;
    double across;
    float correction;
    Pack8 turned_direction;

    __device__ DimerSource(const ElementwiseTable& table, const DimerTable& dimer, const Piece& piece)
        : theta(table.theta, dimer.decision == kDecideProject ? table.theta.param : dimer.param_backup, piece),
          grad(dimer.grad, table.theta.types, NOPT_ROLE_GRAD, piece),
          direction(dimer.direction, nullptr, NOPT_ROLE_DIRECTION, piece) {
        const DimerScope& scope = dimer.scopes[dimer.per_tensor != 0 ? piece.tensor : 0];
        along = scope.along;
        across = scope.across;
        correction = scope.correction;
        if (dimer.decision != kDecideProject && scope.turns != 0) {
            if (dimer.decision == kDecideRotate) {
                displaced = Cells<kHalves>(dimer.displaced, table.theta.types, NOPT_ROLE_GRAD, piece);
            } else {
                rotation = Cells<false>(dimer.rotation_direction, nullptr, NOPT_ROLE_ROTATION_DIRECTION, piece);
            }
        }
    }

    __device__ bool turns() const { return displaced.at != nullptr || rotation.at != nullptr; }

    template <class Wide>
    __device__ bool aligned_like(int off) const {
        return theta.template aligned_like<Wide>(off) && grad.template misalignment<Wide>() == off &&
               direction.misalignment<Wide>() == off &&
               (displaced.at == nullptr || displaced.template misalignment<Wide>() == off) &&
               (rotation.at == nullptr || rotation.misalignment<Wide>() == off);
    }

    template <class Values>
    __device__ void load(int i, Values& p, Values& g) {
        p = theta.template load<Values>(i);
        g = grad.template load<Values>(i);
        if (!turns() && correction == 0.0f) {
            return;
        }
        Values n = direction.load<Values>(i);
        if (turns()) {
            Values x;
            if (rotation.at != nullptr) {
                x = rotation.load<Values>(i);
            } else {
                x = displaced.template load<Values>(i);
#pragma unroll
                for (int k = 0; k < Values::kCount; ++k) {
                    x.v[k] = gradient_difference(x.v[k], g.v[k]);
                }
            }
#pragma unroll
            for (int k = 0; k < Values::kCount; ++k) {
                n.v[k] = turned(along, n.v[k], across, x.v[k]);
                turned_direction.v[k] = n.v[k];
            }
        }
        if (correction != 0.0f) {
#pragma unroll
            for (int k = 0; k < Values::kCount; ++k) {
                g.v[k] = corrected(g.v[k], correction, n.v[k]);
            }
        }
    }

    // After all loads of the element, so that none of them has to wait for it.
    template <class Values>
    __device__ void store(int i) {
        if (turns()) {
            Values n;
#pragma unroll
            for (int k = 0; k < Values::kCount; ++k) {
                n.v[k] = turned_direction.v[k];
            }
            direction.store<Values>(i, n);
        }
    }
};

// A source's kMinBlocks is the second number of __launch_bounds__. 0 leaves the registers to the compiler; with 1 it
// does not spill some of them to reach the next number of blocks on a processor (nvcc 11.8).

// The elements of a piece, one or some at a time.
template <class Rule, int Variant, class Source>
struct Update {
    static constexpr int kStates = Rule::states(Variant).count;

    Source source;
    Cells<Source::kHasHalves> states[kMaxStates];
    typename Rule::Scalars scalars;

    template <class Values>
    __device__ void operator()(int i) {
        Values p;
        Values g;
        source.load(i, p, g);
        Values own[kMaxStates];
#pragma unroll
        for (int s = 0; s < kStates; ++s) {
            own[s] = states[s].template load<Values>(i);
        }
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            float state[kMaxStates] = {};
#pragma unroll
            for (int s = 0; s < kStates; ++s) {
                state[s] = own[s].v[k];
            }
            Rule::template update<Variant>(p.v[k], g.v[k], state, scalars);
#pragma unroll
            for (int s = 0; s < kStates; ++s) {
                own[s].v[k] = state[s];
            }
        }
        source.theta.store(i, p);
#pragma unroll
        for (int s = 0; s < kStates; ++s) {
            states[s].store(i, own[s]);
        }
        source.template store<Values>(i);
    }
};

template <class Rule, int Variant, class Source>
__global__ void __launch_bounds__(kThreadsPerBlock, Source::kMinBlocks)
    update_kernel(const __grid_constant__ ElementwiseTable table,
                  const __grid_constant__ typename Source::Table source_table,
                  const __grid_constant__ GroupScalars groups) {
    using Wide = WideOf<Source::kHasHalves>;
    using Elements = Update<Rule, Variant, Source>;
    if (table.skip != nullptr && *table.skip != 0) {
        return;
    }
    for_each_piece(table.set, [&](const Piece& piece) {
        if (table.grad[piece.tensor] == nullptr) {
            return;  // frozen
        }
        Elements elements = {Source(table, source_table, piece), {}, scalars_of<Rule>(groups, piece.tensor)};
        const int off = elements.source.theta.template offset<Wide>();
        bool wide = elements.source.template aligned_like<Wide>(off);
#pragma unroll
        for (int s = 0; s < Elements::kStates; ++s) {
            elements.states[s] =
                Cells<Source::kHasHalves>(table.states[s], table.theta.types, Rule::states(Variant).roles[s], piece);
            wide = wide && elements.states[s].template misalignment<Wide>() == off;
        }
        for_each_element<Wide>(piece.count, off, wide, elements);
    });
}

template <class Element>
__global__ void __launch_bounds__(kThreadsPerBlock) fill_kernel(Element* destination, int64_t count, Element value) {
    const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreadsPerBlock;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreadsPerBlock + threadIdx.x; i < count; i += stride) {
        destination[i] = value;
    }
}

}  // namespace nopt
