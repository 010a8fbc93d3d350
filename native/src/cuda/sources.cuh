// Where an update finds theta and the gradient that the rule sees.
#pragma once

#include <stdint.h>

#include "cuda/cells.cuh"
#include "cuda/dimer_table.cuh"
#include "cuda/theta.cuh"

namespace nopt {

// What an update needs beside the scalars; all in device memory, passed by value.
struct UpdateTable {
    PieceTable set;
    ThetaTable theta;
    RoleTable theta_source;  // PARAM, or its backup where a dimer has displaced it
    RoleTable grad;
    RoleTable states[kMaxStates];  // null: the variant has none
    RoleTable inputs[kMaxInputs];  // null: there is none. An address may be null, too.
    const int32_t* skip;           // not 0: nothing is done; null: never
};

struct NoDimer {};

// Theta and the gradient are in their buffers.
template <bool kMixed>
struct PlainSource {
    using Table = NoDimer;
    static constexpr bool kIsMixed = kMixed;
    static constexpr bool kIsShared = kMixed;  // by the threads of a warp
    static constexpr bool kIsTyped = kMixed;   // has loops for the most common types

    Theta<kMixed> theta;
    Cells<kMixed> grad;

    __device__ PlainSource(const UpdateTable& table, const Table&, const Piece& piece)
        : theta(table.theta, table.theta_source, piece), grad(table.grad, table.theta.types, NOPT_ROLE_GRAD, piece) {}

    __device__ bool aligned_like(int off) const { return theta.aligned_like(off) && grad.misalignment() == off; }

    template <class Values>
    struct Fetched {
        typename Theta<kMixed>::template Fetched<Values> p;
        typename Cells<kMixed>::template Fetched<Values> g;
    };

    template <class Values>
    __device__ void fetch(int i, Fetched<Values>& fetched) const {
        fetched.p = theta.template fetch<Values>(i);
        fetched.g = grad.template fetch<Values>(i);
    }
    template <class Values>
    __device__ void values(const Fetched<Values>& fetched, Values& p, Values& g, Values&) const {
        p = theta.values(fetched.p);
        g = grad.values(fetched.g);
    }
    // Whether parameters and gradients are of this type, without a master, and nothing is rounded at random.
    __device__ bool is_of(int type) const {
        return is_of_type(theta.param.dtype, type) && is_of_type(grad.dtype, type) && !theta.has_master() &&
               !theta.rounding.is_random();
    }
    // The same, if they are, for a loop that is compiled for it.
    template <int kType>
    __device__ PlainSource typed() const {
        PlainSource source = *this;
        if constexpr (kType != kAnyType) {
            source.theta.param = theta.param.template typed<kType>();
            source.theta.source = theta.source.template typed<kType>();
            source.theta.beside = theta.beside.template typed<kHalfType>();
            source.theta.beside.at = kType == kHalfType ? theta.beside.at : nullptr;
            source.theta.rounding.table.params = 0;
            source.theta.rounding.table.states = 0;
            source.grad = grad.template typed<kType>();
        }
        return source;
    }

    template <class Values>
    __device__ void store(int, const Values&) const {}
};

// What a dimer makes of the buffers. Which of its own are read is the same for a whole piece.
template <bool kMixed>
struct DimerSource {
    using Table = DimerTable;
    static constexpr bool kIsMixed = kMixed;
    static constexpr bool kIsShared = true;
    static constexpr bool kIsTyped = false;

    Theta<kMixed> theta;
    Cells<kMixed> grad;
    Cells<false> direction;
    Cells<kMixed> other;  // what N turns with: the displaced gradient or T; null if N stays
    bool turns_with_t;
    double along;
    double across;
    float correction;

    __device__ DimerSource(const UpdateTable& table, const DimerTable& dimer, const Piece& piece)
        : theta(table.theta, table.theta_source, piece),
          grad(table.grad, table.theta.types, NOPT_ROLE_GRAD, piece),
          direction(dimer.direction, nullptr, NOPT_ROLE_DIRECTION, piece),
          turns_with_t(dimer.decision != kDecideRotate) {
        const DimerScope& scope = scope_of(dimer, piece);
        along = scope.along;
        across = scope.across;
        correction = scope.correction;
        if (dimer.decision != kDecideProject && scope.turns != 0) {
            other = turns_with_t ? Cells<kMixed>(dimer.rotation_direction, table.theta.types,
                                                 NOPT_ROLE_ROTATION_DIRECTION, piece)
                                 : Cells<kMixed>(dimer.displaced, table.theta.types, NOPT_ROLE_GRAD, piece);
        }
    }

    __device__ bool turns() const { return other.at != nullptr; }

    __device__ bool aligned_like(int off) const {
        return theta.aligned_like(off) && grad.misalignment() == off && direction.misalignment() == off &&
               (other.at == nullptr || other.misalignment() == off);
    }

    template <class Values>
    struct Fetched {
        typename Theta<kMixed>::template Fetched<Values> p;
        typename Cells<kMixed>::template Fetched<Values> g;
        typename Cells<kMixed>::template Fetched<Values> x;
        Values n;
    };

    template <class Values>
    __device__ void fetch(int i, Fetched<Values>& fetched) const {
        fetched.p = theta.template fetch<Values>(i);
        fetched.g = grad.template fetch<Values>(i);
        if (turns() || correction != 0.0f) {
            fetched.n = direction.fetch<Values>(i);
        }
        if (turns()) {
            fetched.x = other.template fetch<Values>(i);
        }
    }

    // `n` gets the direction as it is from now on.
    template <class Values>
    __device__ void values(const Fetched<Values>& fetched, Values& p, Values& g, Values& n) const {
        p = theta.values(fetched.p);
        g = grad.values(fetched.g);
        if (!turns() && correction == 0.0f) {
            return;
        }
        n = fetched.n;
        if (turns()) {
            Values x = other.values(fetched.x);
            if (!turns_with_t) {
#pragma unroll
                for (int k = 0; k < Values::kCount; ++k) {
                    x.v[k] = gradient_difference(x.v[k], g.v[k]);
                }
            }
#pragma unroll
            for (int k = 0; k < Values::kCount; ++k) {
                n.v[k] = turned(along, n.v[k], across, x.v[k]);
            }
        }
        if (correction != 0.0f) {
#pragma unroll
            for (int k = 0; k < Values::kCount; ++k) {
                g.v[k] = corrected(g.v[k], correction, n.v[k]);
            }
        }
    }

    template <int kType>
    __device__ const DimerSource& typed() const {
        return *this;
    }

    // Comes after all loads of the element, so that none of them has to wait for it.
    template <class Values>
    __device__ void store(int i, const Values& n) const {
        if (turns()) {
            direction.store(i, n);
        }
    }
};

}  // namespace nopt
