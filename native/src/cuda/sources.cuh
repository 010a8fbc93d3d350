// Where an update finds theta and the gradient that the rule sees.
#pragma once

#include <stdint.h>

#include "cuda/cells.cuh"
#include "cuda/dimer_elements.cuh"
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

// Theta and the gradient are in their buffers, of float32.
struct PlainSource {
    using Table = NoDimer;
    static constexpr bool kIsMixed = false;
    static constexpr bool kIsShared = false;

    Theta<false> theta;
    Cells<false> grad;

    __device__ PlainSource(const UpdateTable& table, const Table&, const Piece& piece)
        : theta(table.theta, table.theta_source, piece), grad(table.grad, nullptr, NOPT_ROLE_GRAD, piece) {}

    template <class Wide>
    __device__ bool aligned_like(int off) const {
        return theta.template aligned_like<Wide>(off) && grad.misalignment<Wide>() == off;
    }

    template <class Values>
    __device__ void load(int i, Values& p, Values& g, Values&) const {
        p = theta.template load<Values>(i);
        g = grad.load<Values>(i);
    }

    template <class Values>
    __device__ void store(int, const Values&) const {}
};

// What a dimer makes of the buffers, or the buffers themselves where the table has no scopes. Which of the dimer's
// buffers are read is the same for a whole piece.
template <bool kMixed>
struct DimerSource {
    using Table = DimerTable;
    static constexpr bool kIsMixed = kMixed;
    static constexpr bool kIsShared = true;  // a warp's, by its threads

    Theta<kMixed> theta;
    Cells<kMixed> grad;
    Cells<false> direction;  // null without a dimer
    Cells<kMixed> other;     // what N turns with: the displaced gradient or T; null if N stays
    bool turns_with_t;
    double along;
    double across;
    float correction;

    __device__ DimerSource(const UpdateTable& table, const DimerTable& dimer, const Piece& piece)
        : theta(table.theta, table.theta_source, piece),
          grad(table.grad, table.theta.types, NOPT_ROLE_GRAD, piece),
          turns_with_t(dimer.decision != kDecideRotate),
          along(0.0),
          across(0.0),
          correction(0.0f) {
        if (dimer.scopes == nullptr) {
            return;
        }
        const DimerScope& scope = scope_of(dimer, piece);
        along = scope.along;
        across = scope.across;
        correction = scope.correction;
        direction = Cells<false>(dimer.direction, nullptr, NOPT_ROLE_DIRECTION, piece);
        if (dimer.decision != kDecideProject && scope.turns != 0) {
            other = turns_with_t ? Cells<kMixed>(dimer.rotation_direction, table.theta.types,
                                                 NOPT_ROLE_ROTATION_DIRECTION, piece)
                                 : Cells<kMixed>(dimer.displaced, table.theta.types, NOPT_ROLE_GRAD, piece);
        }
    }

    __device__ bool turns() const { return other.at != nullptr; }

    template <class Wide>
    __device__ bool aligned_like(int off) const {
        return theta.template aligned_like<Wide>(off) && grad.template misalignment<Wide>() == off &&
               (direction.at == nullptr || direction.misalignment<Wide>() == off) &&
               (other.at == nullptr || other.template misalignment<Wide>() == off);
    }

    // `n` gets the direction as it is from now on.
    template <class Values>
    __device__ void load(int i, Values& p, Values& g, Values& n) const {
        p = theta.template load<Values>(i);
        g = grad.template load<Values>(i);
        if (!turns() && correction == 0.0f) {
            return;
        }
        n = direction.load<Values>(i);
        if (turns()) {
            Values x = other.template load<Values>(i);
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

    // Comes after all loads of the element, so that none of them has to wait for it.
    template <class Values>
    __device__ void store(int i, const Values& n) const {
        if (turns()) {
            direction.store<Values>(i, n);
        }
    }
};

}  // namespace nopt
