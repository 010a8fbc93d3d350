// The dimer's decisions: what a scope's sums say about its direction, once for every backend. The passes over the
// elements are the backends'; this is the algebra between them, in double, on a handful of numbers.
//
// Names: g the gradient at theta, d = g2 - g rounded to float (exact wherever g2 is between g/2 and 2g), N the
// direction, T the unit vector that spans the plane of rotation with N (ROTATION_DIRECTION).
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
};

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
    float correction;   // g <- g - correction N
    int32_t displaces;  // whether the next displacement is along T, not N

    // Of an update to the best angle, for N / |N|: displaced along it, the gradient changes by slope N + force T.
    double slope;
    double force;
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

NOPT_HD bool is_finite(double x) { return x - x == 0.0; }

// What is smaller than this beside the squares that it is the difference of has no digits left. (Of two gradients in
// float, differences below 1e-6 of them have none either.)
constexpr double kCancelled = 1e-12;

// Keeps the direction.
NOPT_HD void refuse(DimerScope& s) {
    s.flags = NOPT_DIMER_STATUS_ROTATION_REFUSED;
    s.turns = 0;
    s.displaces = 0;
    s.correction = 0.0f;
    s.cosine = 1.0;
    s.sine = 0.0;
}

// How many times longer than the gradient the corrected one can be, N being a unit vector.
NOPT_HD double growth_of(const DimerInput& input) { return 1.0 + input.alpha; }

// Gradients, and so all of their sums, are those of the scaled loss; the curvature and what else the host is told are
// not. Only lengths need the scale: directions and angles are the same without.

// The correction along the direction as it is from now on, of the gradient as it is.
NOPT_HD void decide_correction(DimerScope& s, double grad_dot_direction, const DimerInput& input) {
    s.grad_dot_direction = grad_dot_direction / input.loss_scale;
    double correction = input.alpha * grad_dot_direction;
    if (input.escape != 0) {
        correction = s.curvature < 0.0 ? -correction : 0.0;
    }
    s.correction = static_cast<float>(correction);
    if (!is_finite(grad_dot_direction) || !is_finite(static_cast<double>(s.correction))) {
        s.correction = 0.0f;
        s.flags |= NOPT_DIMER_STATUS_CORRECTION_SKIPPED;
    }
}

NOPT_HD void decide_normalize(DimerScope& s, const Sums& sums) {
    const double norm = sqrt(sums.value[0]);
    s.flags = 0;
    s.turns = 1;
    s.along = 1.0 / norm;
    if (!(norm > 0.0) || !is_finite(norm)) {
        refuse(s);
    }
}

// v = N + kappa F = (1 - kappa a) N + kappa d; everything about it follows from the sums.
NOPT_HD void decide_rotate(DimerScope& s, const Sums& sums, const DimerInput& input) {
    const double a = sums.value[0];
    const double b = sums.value[1];
    const double n = sums.value[2];
    const double p = sums.value[3];
    const double q = sums.value[4];
    const double kappa = input.kappa * input.sign / input.loss_scale;
    const double k = 1.0 - kappa * a;
    // Where the terms cancel, the rate is far too large for the curvature, and the length would be noise.
    const double terms = k * k * n + kappa * kappa * b;
    const double length_sq = terms + 2.0 * kappa * k * a;
    const double length = length_sq > kCancelled * terms ? sqrt(length_sq) : 0.0;
    const double along = k / length;
    const double across = kappa / length;
    // N.v / |v|, for |N| = 1 but for rounding.
    const double cosine = k * (n / length) + kappa * (a / length);
    if (!(length > 0.0) || !is_finite(length) || !is_finite(along) || !is_finite(across) || !is_finite(b)) {
        refuse(s);
        s.grad_dot_direction = p / input.loss_scale;
        return;
    }
    s.flags = 0;
    s.turns = 1;
    s.displaces = 0;
    s.along = along;
    s.across = across;
    s.curvature = n > 0.0 ? input.sign * a / (input.displacement * input.loss_scale) : s.curvature;
    s.cosine = cosine;
    const double force_sq = b - 2.0 * a * a + a * a * n;
    s.sine = force_sq > 0.0 ? fabs(kappa) * sqrt(force_sq) / length : 0.0;
    decide_correction(s, (k * p + kappa * q) / length, input);
}

// T = F / |F| for the unit vector N / |N|.
NOPT_HD void decide_plane(DimerScope& s, const Sums& sums, const DimerInput& input) {
    const double inverse_norm = 1.0 / sqrt(sums.value[2]);
    const double a = sums.value[0] * inverse_norm;
    const double b = sums.value[1];
    const double p = sums.value[3] * inverse_norm;
    const double q = sums.value[4];
    const double force_sq = b - a * a;
    if (!is_finite(inverse_norm) || !is_finite(force_sq) || !is_finite(p) || !is_finite(q)) {
        refuse(s);
        s.grad_dot_direction = sums.value[3] / input.loss_scale;
        return;
    }
    // Without a force N is an eigenvector: T is 0, and the angle will be 0.
    const double force = force_sq > kCancelled * b ? sqrt(force_sq) : 0.0;
    const double inverse_force = force > 0.0 ? 1.0 / force : 0.0;
    s.flags = 0;
    s.turns = 0;
    s.displaces = 1;
    s.t_along = -a * inverse_norm * inverse_force;
    s.t_turn = 0.0;
    s.t_across = inverse_force;
    s.slope = a;
    s.force = force;
    s.grad_dot_n = p;
    s.inverse_norm = inverse_norm;
}

// The angle phi of the smallest C(phi) = cos^2 c_n + 2 sin cos c_nt + sin^2 c_t, by square roots alone: sines differ
// in their last bits from one library to the next.
NOPT_HD void best_angle(double c_n, double c_nt, double c_t, double& cosine, double& sine) {
    const double half_difference = 0.5 * (c_n - c_t);
    const double radius = sqrt(half_difference * half_difference + c_nt * c_nt);
    cosine = 1.0;
    sine = 0.0;
    if (!(radius > 0.0)) {
        return;
    }
    const double cosine2 = -half_difference / radius;  // of 2 phi
    const double sine2 = -c_nt / radius;
    if (cosine2 >= 0.0) {
        cosine = sqrt(0.5 * (1.0 + cosine2));
        sine = 0.5 * sine2 / cosine;
    } else {
        const double magnitude = sqrt(0.5 * (1.0 - cosine2));
        cosine = 0.5 * fabs(sine2) / magnitude;
        sine = sine2 < 0.0 ? -magnitude : magnitude;
    }
}

// With the gradient displaced along T, the curvature in the whole plane is known. `again`: the gradient along the new N
// follows by linear extrapolation, and from it the next T, without another evaluation (Kastner & Sherwood 2008).
//
// Where the force was small beside d, T is made of rounding in part: its length is not 1, and it is not at right angles
// to N. Both are measured, and the plane is taken as it is; where little of T is left, N has converged and stays.
NOPT_HD void decide_optimize(DimerScope& s, const Sums& sums, const DimerInput& input, bool again) {
    if ((s.flags & NOPT_DIMER_STATUS_ROTATION_REFUSED) != 0) {
        refuse(s);
        return;
    }
    const double d_n = sums.value[0] * s.inverse_norm;  // with N / |N| throughout
    const double d_d = sums.value[1];
    const double d_t = sums.value[2];
    const double g_t = sums.value[3];
    const double t_t = sums.value[4];
    const double n_t = sums.value[5] * s.inverse_norm;
    if (!is_finite(d_n) || !is_finite(d_d) || !is_finite(d_t) || !is_finite(g_t) || !is_finite(t_t)) {
        refuse(s);
        return;
    }
    // E = (T - n_t N) / rest completes N to axes of the plane. Displaced along N the gradient changes by
    // slope N + force T, along E by (d - n_t (slope N + force T)) / rest.
    const double rest_sq = t_t - n_t * n_t;
    const bool is_plane = t_t > 0.25 && t_t < 4.0 && rest_sq > 0.5 * t_t;
    const double inverse_rest = is_plane ? 1.0 / sqrt(rest_sq) : 0.0;
    const double slope_n = is_plane ? s.slope + s.force * n_t : s.slope;
    const double force_e = s.force * rest_sq * inverse_rest;
    const double mixed_e = (d_n - n_t * slope_n) * inverse_rest;
    const double slope_e = ((d_t - n_t * d_n) * inverse_rest - n_t * force_e) * inverse_rest;
    const double mixed = 0.5 * (force_e + mixed_e);  // two measurements of the same
    double cosine = 1.0;
    double sine = 0.0;
    if (is_plane) {
        const double sense = input.sign * (input.toward_maximum != 0 ? -1.0 : 1.0);
        best_angle(sense * slope_n, sense * mixed, sense * slope_e, cosine, sine);
    }
    // The new N = cosine N + sine E = u N + w T.
    const double u = cosine - sine * n_t * inverse_rest;
    const double w = sine * inverse_rest;
    const double slope = cosine * cosine * slope_n + 2.0 * cosine * sine * mixed + sine * sine * slope_e;
    if (!is_finite(slope)) {
        refuse(s);
        return;
    }
    s.flags = 0;
    s.turns = 1;
    s.along = u * s.inverse_norm;
    s.across = w;
    s.curvature = input.sign * slope / (input.displacement * input.loss_scale);
    s.cosine = cosine;
    s.sine = fabs(sine);
    if (again) {
        // Along the new N the gradient changes by u (slope N + force T) + w d.
        const double n_sq = s.slope * s.slope + 2.0 * s.slope * s.force * n_t + s.force * s.force * t_t;
        const double norm_sq = u * u * n_sq + 2.0 * u * w * (s.slope * d_n + s.force * d_t) + w * w * d_d;
        const double force_sq = norm_sq - slope * slope;
        const double force = is_plane && force_sq > kCancelled * norm_sq ? sqrt(force_sq) : 0.0;
        const double inverse_force = force > 0.0 ? 1.0 / force : 0.0;
        s.displaces = 1;
        s.t_along = u * (s.slope - slope) * s.inverse_norm * inverse_force;
        s.t_turn = (u * s.force - w * slope) * inverse_force;
        s.t_across = w * inverse_force;
        s.force = force;
    }
    s.slope = slope;
    s.grad_dot_n = u * s.grad_dot_n + w * g_t;
    s.inverse_norm = 1.0;
    decide_correction(s, s.grad_dot_n, input);
}

// `empty`: the scope has no elements here, and nothing to decide.
NOPT_HD void decide(DimerDecision decision, DimerScope& s, const Sums& sums, const DimerInput& input, bool empty) {
    s.step = input.step;
    ++s.version;
    if (decision == kDecidePlane) {
        s.grad_square = sums.value[kRotateGradSquare];
    }
    if (empty) {
        return;
    }
    switch (decision) {
        case kDecideNormalize:
            decide_normalize(s, sums);
            break;
        case kDecideProject:
            s.flags = 0;
            s.turns = 0;
            decide_correction(s, sums.value[0], input);
            break;
        case kDecideRotate:
            decide_rotate(s, sums, input);
            break;
        case kDecidePlane:
            decide_plane(s, sums, input);
            break;
        case kDecideOptimize:
        case kDecideOptimizeAgain:
            decide_optimize(s, sums, input, decision == kDecideOptimizeAgain);
            break;
    }
}

// ---- one element, in every pass of every backend ----

NOPT_HD float gradient_difference(float displaced, float grad) { return displaced - grad; }

// In double: far from convergence the two terms are large and nearly cancel.
NOPT_HD float turned(double along, float n, double across, float x) {
    return static_cast<float>(along * static_cast<double>(n) + across * static_cast<double>(x));
}

NOPT_HD float next_plane(const DimerScope& s, float n, float t, float d) {
    return static_cast<float>(s.t_along * static_cast<double>(n) + s.t_turn * static_cast<double>(t) +
                              s.t_across * static_cast<double>(d));
}

NOPT_HD float corrected(float grad, float correction, float direction) { return grad - correction * direction; }

NOPT_HD float displaced_param(float param, float displacement, float direction) {
    return param + displacement * direction;
}

NOPT_HD float scaled(float direction, double factor) {
    return static_cast<float>(static_cast<double>(direction) * factor);
}

}  // namespace nopt
