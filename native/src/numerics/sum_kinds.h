// What a pass of sums adds up, in the order of numerics/sums.h. With g the gradient, g2 the one at the displaced
// parameters, d = g2 - g, N the dimer's direction, T the one that spans the plane of rotation with it, A the change of
// g along N.
#pragma once

#include "numerics/sums.h"

namespace nopt {

enum SumKind {
    kSumsGradNorm,     // g.g
    kSumsNorm,         // N.N
    kSumsProject,      // g.N
    kSumsProjectNorm,  // g.N, g.g
    kSumsRotate,       // d.N, d.d, N.N, g.N, g.d          of the gradient displaced along N
    kSumsRotateNorm,   // d.N, d.d, N.N, g.N, g.d, g.g
    kSumsOptimize,     // d.N, d.d, d.T, g.T, T.T, N.T     of the gradient displaced along T
    // With conjugate directions:
    kSumsPlane,      // d.N, d.d, N.N, g.N, N.T, T.T, d.T        of the gradient displaced along N, T being the last
    kSumsPlaneNorm,  // d.N, d.d, N.N, g.N, N.T, T.T, d.T, g.g
    kSumsConjugate,  // d.N, d.d, d.T, g.T, T.T, N.T, d.A, A.T   of the gradient displaced along T
    kSumKindCount
};

// Where some of them are.
constexpr int kDifferenceSquare = 1;   // d.d, where there is a d
constexpr int kProjectGradSquare = 1;  // g.g of kSumsProjectNorm
constexpr int kRotateGradSquare = 5;   // g.g of kSumsRotateNorm
constexpr int kPlaneGradSquare = 7;    // g.g of kSumsPlaneNorm

NOPT_HD constexpr bool sums_read_grad(SumKind kind) { return kind != kSumsNorm; }
NOPT_HD constexpr bool sums_read_displaced(SumKind kind) { return kind >= kSumsRotate; }

// What a scope adds to the sum of the squares of all gradients. `kept` is what an earlier pass of the same update
// found, for sums without it.
NOPT_HD double grad_square(SumKind kind, const Sums& sums, double kept) {
    switch (kind) {
        case kSumsGradNorm:
            return sums.value[0];
        case kSumsProjectNorm:
            return sums.value[kProjectGradSquare];
        case kSumsRotateNorm:
            return sums.value[kRotateGradSquare];
        case kSumsPlaneNorm:
            return sums.value[kPlaneGradSquare];
        default:
            return kept;
    }
}

// Is finite if and only if all that the pass read of gradients is, the differences to displaced ones included.
NOPT_HD double finite_probe(SumKind kind, const Sums& sums, double kept) {
    return grad_square(kind, sums, kept) + (sums_read_displaced(kind) ? sums.value[kDifferenceSquare] : 0.0);
}

}  // namespace nopt
