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

// The states and inputs that there are, of which the kernel knows the states unless it is compiled for any variant.
template <class Rule, int kVariant>
struct PresentOf {
    uint32_t states;
    uint32_t inputs;

    __device__ PresentOf(const UpdateTable& table, uint32_t inputs_) : states(0), inputs(inputs_) {
#pragma unroll
        for (int s = 0; s < RuleShape<Rule>::kStates; ++s) {
            states |= table.states[s] != nullptr ? 1u << s : 0u;
        }
    }
    __device__ Present get() const {
        if constexpr (kVariant != kAnyVariant) {
            constexpr uint32_t kStates = Rule::variants[kVariant];
            return {kStates, inputs};
        } else {
            return {states, inputs};
        }
    }
    __device__ bool state(int s) const { return get().state(s); }
};

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

    __device__ bool aligned_like(int off) const {
        bool aligned = true;
#pragma unroll
        for (int n = 0; n < kCount; ++n) {
            aligned = aligned && (cells[n].at == nullptr || cells[n].misalignment() == off);
        }
        return aligned;
    }

    template <class Values>
    using Fetched = typename Cells<kMixed>::template Fetched<Values>[kCount > 0 ? kCount : 1];

    template <class Values>
    __device__ void fetch(int i, Fetched<Values>& fetched) const {
#pragma unroll
        for (int n = 0; n < kCount; ++n) {
            if (cells[n].at != nullptr) {
                fetched[n] = cells[n].template fetch<Values>(i);
            }
        }
    }
    // Of input `n`; 0 if there is none.
    template <class Values>
    __device__ Values values(const Fetched<Values>& fetched, int n) const {
        return cells[n].at != nullptr ? cells[n].template values<Values>(fetched[n]) : Values{};
    }
};

// Updates some elements, one after another. What changes the gradients is asked once for all of them, and the scalars
// are read once.
template <class Rule, class Values, int Room>
__device__ inline void update_values(Values& p, Values& g, Values (&states)[Room], const Values (&inputs)[kMaxInputs],
                                     const Present& present, const typename Rule::Scalars& shared_scalars) {
    using Shape = RuleShape<Rule>;
    typename Rule::Scalars scalars = shared_scalars;
    if (scalars.adjusts_grad) {
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            g.v[k] = adjusted_grad(g.v[k], scalars);
        }
    }
    if (scalars.l2) {
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            g.v[k] = l2_grad(g.v[k], p.v[k], scalars);
        }
    }
    scalars.adjusts_grad = 0;
    scalars.l2 = 0;
#pragma unroll
    for (int k = 0; k < Values::kCount; ++k) {
        Element e = {};
        e.param = p.v[k];
        e.grad = g.v[k];
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            e.state[s] = states[s].v[k];
        }
#pragma unroll
        for (int n = 0; n < Shape::kInputs; ++n) {
            e.input[n] = inputs[n].v[k];
        }
        Rule::update(e, present, scalars);
        p.v[k] = e.param;
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            states[s].v[k] = e.state[s];
        }
    }
}

// Updates the elements of a piece, one or some at a time.
template <class Rule, int kVariant, class Source>
struct Update {
    using Shape = RuleShape<Rule>;
    using Buffer = Cells<Source::kIsMixed>;
    using Given = Inputs<Rule, Source::kIsMixed>;
    using Room = RandomRoom<Source::kIsMixed ? 1 + Shape::kStates : 0>;
    static constexpr int kStates = Shape::kStates > 0 ? Shape::kStates : 1;

    Source source;
    Buffer states[kStates];
    Given inputs;
    PresentOf<Rule, kVariant> present;
    typename Rule::Scalars scalars;

    __device__ Update(const UpdateTable& table, const typename Source::Table& dimer, const CohortScalars& cohorts,
                      const Piece& piece)
        : source(table, dimer, piece),
          inputs(table, piece),
          present(table, inputs.present()),
          scalars(scalars_of<Rule>(cohorts, piece.tensor)) {
        source.theta.rounding.set_step(scalars.step);
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            if (present.state(s)) {
                states[s] = Buffer(table.states[s], table.theta.types, state_role(s), piece);
            }
        }
    }

    __device__ bool aligned_like(int off) const {
        bool aligned = source.aligned_like(off) && inputs.aligned_like(off);
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            aligned = aligned && (!present.state(s) || states[s].misalignment() == off);
        }
        return aligned;
    }

    template <class Values, int kParams, int kStateType>
    __device__ void update(int i, Room& room) const {
        const auto& own_source = source.template typed<kParams>();
        typename Source::template Fetched<Values> fetched = {};
        typename Buffer::template Fetched<Values> fetched_states[kStates] = {};
        typename Given::template Fetched<Values> fetched_inputs = {};
        own_source.fetch(i, fetched);
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            if (present.state(s)) {
                fetched_states[s] = states[s].template typed<kStateType>().template fetch<Values>(i);
            }
        }
        inputs.template fetch<Values>(i, fetched_inputs);
        const RandomBits random = own_source.theta.rounding.draw(i, Values::kCount, present.get().states, room);
        Values p;
        Values g;
        Values direction = {};
        own_source.values(fetched, p, g, direction);
        Values own[kStates] = {};
        Values given[kMaxInputs] = {};
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            if (present.state(s)) {
                own[s] = states[s].template typed<kStateType>().template values<Values>(fetched_states[s]);
            }
        }
#pragma unroll
        for (int n = 0; n < Shape::kInputs; ++n) {
            given[n] = inputs.template values<Values>(fetched_inputs, n);
        }
        update_values<Rule>(p, g, own, given, present.get(), scalars);
        own_source.theta.store(i, p, random);
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            if (present.state(s)) {
                own_source.theta.rounding.store_state(states[s].template typed<kStateType>(), s, i, own[s], random);
            }
        }
        own_source.store(i, direction);
    }

    // Whether a loop for these types does.
    __device__ bool is_of(int params, int type) const {
        bool all = source.is_of(params);
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            all = all && (!present.state(s) || is_of_type(states[s].dtype, type));
        }
        return all;
    }

    template <int kParams, int kStateType>
    __device__ void update_packs(const Packs& packs, Room& room) const {
        packs.for_each_pack([&](int i) { update<Pack, kParams, kStateType>(i, room); });
    }

    // Updates the elements of the piece, by loops of their own for the most common types.
    __device__ void update_all(int count, Room& room) const {
        const int off = source.theta.offset();
        const Packs packs(count, off, aligned_like(off));
        packs.for_each_single([&](int i) { update<Single, kAnyType, kAnyType>(i, room); });
        if constexpr (Source::kIsTyped) {
            if (is_of(kHalfType, NOPT_DTYPE_FLOAT32)) {
                update_packs<kHalfType, NOPT_DTYPE_FLOAT32>(packs, room);
                return;
            }
            if constexpr (Shape::kHas16Bits) {
                if (is_of(kHalfType, kHalfType)) {
                    update_packs<kHalfType, kHalfType>(packs, room);
                    return;
                }
            }
        }
        update_packs<kAnyType, kAnyType>(packs, room);
    }
};

template <class Rule, int kVariant, class Source>
__device__ inline void update_pieces(const UpdateTable& table, const typename Source::Table& dimer,
                                     const CohortScalars& cohorts) {
    using Elements = Update<Rule, kVariant, Source>;
    __shared__ typename Elements::Room room;
    if (table.skip != nullptr && *table.skip != 0) {
        return;
    }
    for_each_piece(table.set, [&](const Piece& piece) {
        if (table.grad[piece.tensor] == nullptr) {
            return;  // frozen
        }
        if constexpr (Source::kIsShared) {
            __shared__ SharedByWarps<Elements> shared;
            shared.make(table, dimer, cohorts, piece).update_all(piece.count, room);
        } else {
            Elements(table, dimer, cohorts, piece).update_all(piece.count, room);
        }
    });
}

// Updates float32 alone, in one variant, without a dimer. Most steps are this, so that nothing is asked here that is
// known when the kernel is compiled. (The 1 of __launch_bounds__ lets a thread have as many registers as the compiler
// asks for. Without it nvcc 11.8 spills some of them to reach the next number of blocks on a processor.)
template <class Rule, int kVariant>
__global__ void __launch_bounds__(kPassThreads, 1)
    update_kernel(const __grid_constant__ UpdateTable table, const __grid_constant__ CohortScalars cohorts) {
    update_pieces<Rule, kVariant, PlainSource<false>>(table, {}, cohorts);
}

// Updates float32 alone, with a dimer.
template <class Rule>
__global__ void __launch_bounds__(kPassThreads, 1)
    dimer_update_kernel(const __grid_constant__ UpdateTable table, const __grid_constant__ DimerTable dimer,
                        const __grid_constant__ CohortScalars cohorts) {
    update_pieces<Rule, kAnyVariant, DimerSource<false>>(table, dimer, cohorts);
}

// Updates elements of any type that stand for themselves.
template <class Rule, int kVariant>
__global__ void __launch_bounds__(kPassThreads, 1)
    mixed_update_kernel(const __grid_constant__ UpdateTable table, const __grid_constant__ CohortScalars cohorts) {
    update_pieces<Rule, kVariant, PlainSource<true>>(table, {}, cohorts);
}

// The same with a dimer.
template <class Rule>
__global__ void __launch_bounds__(kPassThreads, 1)
    mixed_dimer_update_kernel(const __grid_constant__ UpdateTable table, const __grid_constant__ DimerTable dimer,
                              const __grid_constant__ CohortScalars cohorts) {
    update_pieces<Rule, kAnyVariant, DimerSource<true>>(table, dimer, cohorts);
}

}  // namespace nopt
