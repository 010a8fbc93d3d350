// The update kernels: one launch for all tensors, whatever their number, sizes and alignments.
#pragma once

#include <stdint.h>

#include "cuda/pieces.cuh"
#include "cuda/scalars.cuh"
#include "dimer/dimer.h"
#include "rules/registry.h"

namespace nopt {

// What an update needs beside the scalars; all in device memory, passed by value.
struct ElementwiseTable {
    PieceTable set;
    float* const* param;               // per tensor
    const float* const* grad;          // per tensor
    float* const* states[kMaxStates];  // per tensor, in the rule's order
};

// Where theta and the gradient that the rule sees come from: a piece of the buffers themselves.
struct PlainSource {
    struct Table {};

    const float* param;
    const float* grad;

    __device__ PlainSource(const ElementwiseTable& table, const Table&, const Piece& piece)
        : param(table.param[piece.tensor] + piece.begin), grad(table.grad[piece.tensor] + piece.begin) {}

    __device__ bool aligned_like(int off) const { return misalignment(grad) == off; }

    template <class Values>
    __device__ void load(int i, Values& p, Values& g) {
        p = values_at<Values>(param, i);
        g = values_at<Values>(grad, i);
    }

    template <class Values>
    __device__ void store(int) {}
};

// ... or what a dimer makes of them. Which of its buffers are read is the same for a whole piece.
struct DimerSource {
    using Table = DimerTable;

    const float* param;
    const float* grad;
    const float* other;  // what N turns with: the displaced gradient, or T; null if it stays
    float* direction;
    bool difference;
    double along;
    double across;
    float correction;
    Pack turned_direction;

    __device__ DimerSource(const ElementwiseTable& table, const DimerTable& dimer, const Piece& piece) {
        const DimerScope& scope = dimer.scopes[dimer.per_tensor != 0 ? piece.tensor : 0];
        const bool projects = dimer.decision == kDecideProject;
        difference = dimer.decision == kDecideRotate;
        along = scope.along;
        across = scope.across;
        correction = scope.correction;
        param = (projects ? table.param : dimer.param_backup)[piece.tensor] + piece.begin;
        grad = dimer.grad[piece.tensor] + piece.begin;
        direction = dimer.direction[piece.tensor] + piece.begin;
        other = nullptr;
        if (!projects && scope.turns != 0) {
            other = (difference ? dimer.displaced : dimer.rotation_direction)[piece.tensor] + piece.begin;
        }
    }

    __device__ bool aligned_like(int off) const {
        return misalignment(param) == off && misalignment(grad) == off && misalignment(direction) == off &&
               (other == nullptr || misalignment(other) == off);
    }

    template <class Values>
    __device__ void load(int i, Values& p, Values& g) {
        p = values_at<Values>(param, i);
        g = values_at<Values>(grad, i);
        if (other == nullptr && correction == 0.0f) {
            return;
        }
        Values n = values_at<Values>(direction, i);
        if (other != nullptr) {
            const Values x = values_at<Values>(other, i);
#pragma unroll
            for (int k = 0; k < Values::kCount; ++k) {
                n.v[k] = turned(along, n.v[k], across, difference ? gradient_difference(x.v[k], g.v[k]) : x.v[k]);
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
        if (other != nullptr) {
            Values n;
#pragma unroll
            for (int k = 0; k < Values::kCount; ++k) {
                n.v[k] = turned_direction.v[k];
            }
            values_at<Values>(direction, i) = n;
        }
    }
};

// The elements of a piece, one or four at a time.
template <class Rule, int Variant, class Source>
struct Update {
    static constexpr int kStates = Rule::states(Variant).count;

    Source source;
    float* param;
    float* states[kMaxStates];
    typename Rule::Scalars scalars;

    template <class Values>
    __device__ void operator()(int i) {
        Values p;
        Values g;
        source.load(i, p, g);
        Values own[kMaxStates];
#pragma unroll
        for (int s = 0; s < kStates; ++s) {
            own[s] = values_at<Values>(states[s], i);
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
        values_at<Values>(param, i) = p;
#pragma unroll
        for (int s = 0; s < kStates; ++s) {
            values_at<Values>(states[s], i) = own[s];
        }
        source.template store<Values>(i);
    }
};

template <class Rule, int Variant, class Source>
__global__ void __launch_bounds__(kThreadsPerBlock)
    update_kernel(const __grid_constant__ ElementwiseTable table,
                  const __grid_constant__ typename Source::Table source_table,
                  const __grid_constant__ GroupScalars groups) {
    using Elements = Update<Rule, Variant, Source>;
    for_each_piece(table.set, [&](const Piece& piece) {
        float* const param = table.param[piece.tensor] + piece.begin;
        Elements elements = {Source(table, source_table, piece), param, {}, scalars_of<Rule>(groups, piece.tensor)};
        const int off = misalignment(param);
        bool wide = elements.source.aligned_like(off);
#pragma unroll
        for (int s = 0; s < Elements::kStates; ++s) {
            elements.states[s] = table.states[s][piece.tensor] + piece.begin;
            wide = wide && misalignment(elements.states[s]) == off;
        }
        for_each_element(piece.count, off, wide, elements);
    });
}

__global__ void __launch_bounds__(kThreadsPerBlock) fill_kernel(float* destination, int64_t count, float value) {
    const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreadsPerBlock;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreadsPerBlock + threadIdx.x; i < count; i += stride) {
        destination[i] = value;
    }
}

}  // namespace nopt
