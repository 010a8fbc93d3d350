// What a dimer's decisions take and leave: their kinds, the input of a call, and a scope between two passes. In the
// names of dimer.h.
#pragma once

#include <math.h>
#include <stdint.h>

#include "numerics/sum_kinds.h"
#include "rules/rule.h"

namespace nopt {

// What a scope's sums are for.
enum DimerDecision {
    kDecideNormalize,      // divide N by its norm
    kDecideProject,        // correct along N as it is
    kDecideRotate,         // turn N by the rate
    kDecidePlane,          // find T
    kDecideOptimize,       // turn N to the best angle
    kDecideOptimizeAgain,  // turn N to the best angle and find the next T
    // The same with conjugate directions:
    kDecideConjugatePlane,
    kDecideConjugate,
    kDecideConjugateAgain,
};

NOPT_HD constexpr bool is_conjugate(DimerDecision decision) { return decision >= kDecideConjugatePlane; }

// The sums that a decision needs; `with_norm` says that g.g is needed, too. An update to the best angle has it from its
// first pass, that of the plane.
constexpr SumKind sums_for(DimerDecision decision, bool with_norm) {
    switch (decision) {
        case kDecideNormalize:
            return kSumsNorm;
        case kDecideProject:
            return with_norm ? kSumsProjectNorm : kSumsProject;
        case kDecideRotate:
        case kDecidePlane:
            return with_norm ? kSumsRotateNorm : kSumsRotate;
        case kDecideConjugatePlane:
            return with_norm ? kSumsPlaneNorm : kSumsPlane;
        case kDecideConjugate:
        case kDecideConjugateAgain:
            return kSumsConjugate;
        default:
            return kSumsOptimize;
    }
}

// One call, the same for all scopes.
struct DimerInput {
    double displacement;
    double kappa;  // what multiplies the force on N: the rate with the sense of rotation, perhaps over the displacement
    double alpha;
    double sign;             // -1 where the loss is maximized: the dimer then follows its negative
    double loss_scale;       // of both gradients; or NOPT_LOSS_SCALE_ON_DEVICE
    int32_t toward_maximum;  // of the loss or its negative
    int32_t escape;
    int64_t step;
};

// What a scope tells the host; see nopt_dimer_status.
struct DimerReading {
    double curvature;
    double grad_dot_direction;
    double cosine;  // of the last rotation
    double sine;    // of the last rotation, not negative
    // The next search direction is F + conjugation (T - (T.N) N), over the displacement and the loss scale; 0: T is not
    // read.
    double conjugation;
    int64_t step;
    uint32_t flags;  // nopt_dimer_status_flag
};

// A scope between two passes and between two calls.
struct DimerScope : DimerReading {
    uint64_t version;  // counts the decisions

    // What the pass over the elements does.
    int32_t turns;  // whether N changes
    // N <- along N + across X, where X is d or, to the best angle, T
    double along;
    double across;
    // T <- t_along N + t_turn T + t_across d
    double t_along;
    double t_turn;
    double t_across;
    // ... + t_change A; then A <- change_along A + change_across d
    double t_change;
    double change_along;
    double change_across;
    float correction;   // g <- g - correction N
    int32_t displaces;  // whether the next displacement is along T, not N

    // Of an update to the best angle, for N / |N|: displaced along it, the gradient changes by slope N + force T.
    // With conjugate directions T has other parts, and force is the length of what T is the unit vector of.
    double slope;
    double force;
    double change_square;  // A.A
    double grad_dot_n;
    double inverse_norm;  // 1 / |N|
    double grad_square;   // g.g, if its options need it
};

// Before anything was measured.
inline DimerScope initial_scope() {
    DimerScope s = {};
    s.curvature = NAN;
    s.cosine = 1.0;
    return s;
}

}  // namespace nopt
