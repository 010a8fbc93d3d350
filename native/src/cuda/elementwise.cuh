// The update kernels where every element stands for itself: one launch for all tensors, whatever their number, sizes
// and alignments.
#pragma once

#include <stdint.h>

#include "cuda/pieces.cuh"
#include "cuda/scalars.cuh"
#include "cuda/sources.cuh"

namespace nopt {

// Instead of a variant's index: the states that there are, are those of the table.
constexpr int kAnyVariant = -1;

template <class Rule, int kVariant>
__device__ inline uint32_t states_of(const UpdateTable& table) {
    if constexpr (kVariant != kAnyVariant) {
        constexpr uint32_t kStates = Rule::variants[kVariant];
        return kStates;
    } else {
        uint32_t states = 0;
#pragma unroll
        for (int s = 0; s < RuleShape<Rule>::kStates; ++s) {
            states |= table.states[s] != nullptr ? 1u << s : 0u;
        }
        return states;
    }
}

// A rule's inputs from the begin of a piece on. Which of them there are is the same for the whole piece.
template <class Rule, bool kMixed>
struct Inputs {
    static constexpr int kCount = RuleShape<Rule>::kInputs;

    Cells<kMixed> cells[kCount > 0 ? kCount : 1];

    __device__ Inputs(const UpdateTable& table, const Piece& piece) {
#pragma unroll
        for (int n = 0; n < kCount; ++n) {
            cells[n] = optional_cells<kMixed>(table.inputs[n], table.theta.types, input_role(n), piece);
        }
    }

    // By bit.
    __device__ uint32_t present() const {
        uint32_t inputs = 0;
#pragma unroll
        for (int n = 0; n < kCount; ++n) {
            inputs |= cells[n].at != nullptr ? 1u << n : 0u;
        }
        return inputs;
    }

    template <class Wide>
    __device__ bool aligned_like(int off) const {
        bool aligned = true;
#pragma unroll
        for (int n = 0; n < kCount; ++n) {
            aligned = aligned && (cells[n].at == nullptr || cells[n].template misalignment<Wide>() == off);
        }
        return aligned;
    }

    template <class Values>
    __device__ void load(int i, Values (&values)[kMaxInputs]) const {
#pragma unroll
        for (int n = 0; n < kCount; ++n) {
            if (cells[n].at != nullptr) {
                values[n] = cells[n].template load<Values>(i);
            }
        }
    }
};

// Updates the elements of a piece, one or some at a time.
template <class Rule, int kVariant, class Source>
struct Update {
    using Shape = RuleShape<Rule>;
    using Buffer = Cells<Source::kIsMixed>;

    Source source;
    Buffer states[Shape::kStates > 0 ? Shape::kStates : 1];
    Inputs<Rule, Source::kIsMixed> inputs;
    Present present;
    typename Rule::Scalars scalars;

    __device__ Update(const UpdateTable& table, const typename Source::Table& dimer, const CohortScalars& cohorts,
                      const Piece& piece)
        : source(table, dimer, piece),
          inputs(table, piece),
          present{states_of<Rule, kVariant>(table), inputs.present()},
          scalars(scalars_of<Rule>(cohorts, piece.tensor)) {
        source.theta.rounding.set_step(scalars.step);
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            if (present.state(s)) {
                states[s] = Buffer(table.states[s], table.theta.types, state_role(s), piece);
            }
        }
    }

    template <class Wide>
    __device__ bool aligned_like(int off) const {
        bool aligned = source.template aligned_like<Wide>(off) && inputs.template aligned_like<Wide>(off);
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            aligned = aligned && (!present.state(s) || states[s].template misalignment<Wide>() == off);
        }
        return aligned;
    }

    template <class Values>
    __device__ void operator()(int i) const {
        Values p;
        Values g;
        Values direction = {};
        source.load(i, p, g, direction);
        Values own[kMaxStates] = {};
        Values given[kMaxInputs] = {};
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            if (present.state(s)) {
                own[s] = states[s].template load<Values>(i);
            }
        }
        inputs.load(i, given);
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            Element e = {};
            e.param = p.v[k];
            e.grad = g.v[k];
#pragma unroll
            for (int s = 0; s < Shape::kStates; ++s) {
                e.state[s] = own[s].v[k];
            }
#pragma unroll
            for (int n = 0; n < Shape::kInputs; ++n) {
                e.input[n] = given[n].v[k];
            }
            Rule::update(e, present, scalars);
            p.v[k] = e.param;
#pragma unroll
            for (int s = 0; s < Shape::kStates; ++s) {
                own[s].v[k] = e.state[s];
            }
        }
        source.theta.store(i, p);
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            if (present.state(s)) {
                source.theta.rounding.store_state(states[s], s, i, own[s]);
            }
        }
        source.store(i, direction);
    }
};

template <class Rule, int kVariant, class Source>
__device__ inline void update_pieces(const UpdateTable& table, const typename Source::Table& dimer,
                                     const CohortScalars& cohorts) {
    using Wide = WideOf<Source::kIsMixed>;
    if (table.skip != nullptr && *table.skip != 0) {
        return;
    }
    for_each_piece(table.set, [&](const Piece& piece) {
        if (table.grad[piece.tensor] == nullptr) {
            return;  // frozen
        }
        using Elements = Update<Rule, kVariant, Source>;
        const auto run = [&](const Elements& elements) {
            const int off = elements.source.theta.template offset<Wide>();
            for_each_element<Wide>(piece.count, off, elements.template aligned_like<Wide>(off), elements);
        };
        if constexpr (Source::kIsShared) {
            __shared__ SharedByWarps<Elements> shared;
            run(shared.make(table, dimer, cohorts, piece));
        } else {
            run(Elements(table, dimer, cohorts, piece));
        }
    });
}

// Updates float32 alone, in one variant, without a dimer. Most steps are this, so that nothing is asked here that is
// known when the kernel is compiled.
template <class Rule, int kVariant>
__global__ void __launch_bounds__(kThreadsPerBlock)
    update_kernel(const __grid_constant__ UpdateTable table, const __grid_constant__ CohortScalars cohorts) {
    update_pieces<Rule, kVariant, PlainSource>(table, {}, cohorts);
}

// Updates float32 alone, with a dimer. (The 1 of __launch_bounds__ lets a thread have as many registers as the compiler
// asks for. Without it nvcc 11.8 spills some of them to reach the next number of blocks on a processor.)
template <class Rule>
__global__ void __launch_bounds__(kThreadsPerBlock, 1)
    dimer_update_kernel(const __grid_constant__ UpdateTable table, const __grid_constant__ DimerTable dimer,
                        const __grid_constant__ CohortScalars cohorts) {
    update_pieces<Rule, kAnyVariant, DimerSource<false>>(table, dimer, cohorts);
}

// Updates elements of any type that stand for themselves, with and without a dimer.
template <class Rule>
__global__ void __launch_bounds__(kThreadsPerBlock, 1)
    mixed_update_kernel(const __grid_constant__ UpdateTable table, const __grid_constant__ DimerTable dimer,
                        const __grid_constant__ CohortScalars cohorts) {
    update_pieces<Rule, kAnyVariant, DimerSource<true>>(table, dimer, cohorts);
}

}  // namespace nopt
