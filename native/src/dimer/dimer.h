// The dimer's decisions: what a scope's sums say about its direction, once for every backend. The passes over the
// elements are the backends'; this is the algebra between them, in double, on a handful of numbers.
//
// Names: g the gradient at theta, d = g2 - g rounded to float (exact wherever g2 is between g/2 and 2g), N the
// direction, T the unit vector that spans the plane of rotation with N (ROTATION_DIRECTION), A the change of the
// gradient along N, d or what extrapolation makes of it (GRAD_CHANGE).
#pragma once

#include <math.h>
#include <stdint.h>

#include "dimer/scope.h"

namespace nopt {

NOPT_HD bool is_finite(double x) { return x - x == 0.0; }

// What is smaller than this beside the squares that it is the difference of has no digits left. (Of two gradients in
// float, differences below 1e-6 of them have none either.)
constexpr double kCancelled = 1e-12;

// Of a T that turned onto N, less than this has too few digits left of what it had across.
constexpr double kLeastAcross = 1e-3;

// Keeps the direction.
NOPT_HD void refuse(DimerScope& s) {
    s.flags = NOPT_DIMER_STATUS_ROTATION_REFUSED;
    s.turns = 0;
    s.displaces = 0;
    s.correction = 0.0f;
    s.cosine = 1.0;
    s.sine = 0.0;
    s.conjugation = 0.0;
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
    s.conjugation = 0.0;
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
    s.conjugation = 0.0;
    decide_correction(s, (k * p + kappa * q) / length, input);
}

// With the last T there: T = S / |S| for S = F + c (T - (T.N) N), unless that leads away from F. F is a.a less than d.
NOPT_HD void conjugate_plane(DimerScope& s, const Sums& sums, double a, double force_sq, const DimerInput& input) {
    const double c = s.conjugation * input.displacement * input.loss_scale;
    s.conjugation = 0.0;  // until a turn in the plane has told the next
    if (c == 0.0 || !(s.force > 0.0)) {
        return;
    }
    const double n_t = sums.value[4] * s.inverse_norm;
    const double t_t = sums.value[5];
    const double force_t = sums.value[6] - a * n_t;
    const double along_force = force_sq + c * force_t;  // S.F
    const double terms = force_sq + c * c * (t_t - n_t * n_t);
    const double length_sq = terms + 2.0 * c * force_t;
    if (!(along_force > 0.0) || !(length_sq > kCancelled * terms) || !is_finite(length_sq)) {
        return;
    }
    const double inverse_length = 1.0 / sqrt(length_sq);
    s.t_along = -(a + c * n_t) * s.inverse_norm * inverse_length;
    s.t_turn = c * inverse_length;
    s.t_across = inverse_length;
    s.force = sqrt(length_sq);
}

// T = F / |F| for the unit vector N / |N|, or a direction that is conjugate to the last.
NOPT_HD void decide_plane(DimerScope& s, const Sums& sums, const DimerInput& input, bool conjugate) {
    const double inverse_norm = 1.0 / sqrt(sums.value[2]);
    const double a = sums.value[0] * inverse_norm;
    const double b = sums.value[1];
    const double p = sums.value[3] * inverse_norm;
    const double q = conjugate ? p : sums.value[4];
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
    s.change_square = b;
    s.grad_dot_n = p;
    s.inverse_norm = inverse_norm;
    if (conjugate) {
        conjugate_plane(s, sums, a, force_sq, input);
    } else {
        s.conjugation = 0.0;
    }
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

// A turn in the plane with conjugate directions: N <- u N + w T; x N + y T is at right angles to that.
struct ConjugateTurn {
    double u, w, x, y;
    double slope_n;  // A.N
    double slope;    // along the new N
    double gap;      // what the slope at right angles is more than that
};

// How much of x N + y T the next search direction takes, so that the Hessian makes both conjugate, and with `again`
// that direction, and A along the new N.
NOPT_HD void conjugate_next(DimerScope& s, const ConjugateTurn& t, const Sums& sums, const DimerInput& input,
                            bool again, bool is_plane) {
    const double d_n = sums.value[0] * s.inverse_norm;
    const double d_d = sums.value[1];
    const double d_t = sums.value[2];
    const double t_t = sums.value[4];
    const double n_t = sums.value[5] * s.inverse_norm;
    const double d_a = sums.value[6];
    const double a_t = sums.value[7];
    // With N, T and E for the new N, the old T and x N + y T: the change of the gradient is u A + w d along N, and
    // x A + y d along E.
    const double change_e = t.x * (t.u * t.slope_n + t.w * a_t) + t.y * (t.u * d_n + t.w * d_t);  // N.(x A + y d)
    const double product = t.u * t.x * s.change_square + (t.u * t.y + t.w * t.x) * d_a + t.w * t.y * d_d;
    double take = -(product - t.slope * change_e) / t.gap;
    take = is_plane && is_finite(take) ? take : 0.0;
    if (!again) {
        // T is what is left of E: T - (T.N) N = e_t E.
        const double e_t = t.x * n_t + t.y * t_t;
        const double conjugation = take / (e_t * input.displacement * input.loss_scale);
        s.conjugation = fabs(e_t) > kLeastAcross && is_finite(conjugation) ? conjugation : 0.0;
        return;
    }
    const double change_sq = t.u * t.u * s.change_square + 2.0 * t.u * t.w * d_a + t.w * t.w * d_d;
    const double force_sq = change_sq - t.slope * t.slope;
    const bool has_force = is_plane && force_sq > kCancelled * change_sq;
    const double force_e = t.u * (t.x * t.slope_n + t.y * a_t) + t.w * (t.x * d_n + t.y * d_t);  // F.E
    const double terms = force_sq + take * take;
    if (!(force_sq + take * force_e > 0.0) || !(terms + 2.0 * take * force_e > kCancelled * terms)) {
        take = 0.0;  // the search begins anew
    }
    const double length_sq = force_sq + take * take + 2.0 * take * force_e;
    const double inverse_length = has_force ? 1.0 / sqrt(length_sq) : 0.0;
    s.displaces = 1;
    s.t_along = (take * t.x - t.slope * t.u) * s.inverse_norm * inverse_length;
    s.t_turn = (take * t.y - t.slope * t.w) * inverse_length;
    s.t_change = t.u * inverse_length;
    s.t_across = t.w * inverse_length;
    s.change_along = t.u;
    s.change_across = t.w;
    s.force = has_force ? sqrt(length_sq) : 0.0;
    s.change_square = change_sq;
}

// With the gradient displaced along T, the curvature in the whole plane is known. `again`: the gradient along the new N
// follows by linear extrapolation, and from it the next T, without another evaluation (Kastner & Sherwood 2008).
//
// Where the force was small beside d, T is made of rounding in part: its length is not 1, and it is not at right angles
// to N. Both are measured, and the plane is taken as it is; where little of T is left, N has converged and stays.
NOPT_HD void decide_optimize(DimerScope& s, const Sums& sums, const DimerInput& input, bool again, bool conjugate) {
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
    // E = (T - n_t N) / rest completes N to axes of the plane. Displaced along N the gradient changes by A, which is
    // slope N + force T unless directions are conjugate (then A.N is the same, and A.T is summed up), along E by (d -
    // n_t A) / rest.
    const double rest_sq = t_t - n_t * n_t;
    const bool is_plane = t_t > 0.25 && t_t < 4.0 && rest_sq > 0.5 * t_t;
    const double inverse_rest = is_plane ? 1.0 / sqrt(rest_sq) : 0.0;
    const double slope_n = is_plane ? s.slope + s.force * n_t : s.slope;
    const double force_e = (conjugate ? sums.value[7] - n_t * slope_n : s.force * rest_sq) * inverse_rest;
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
    s.conjugation = 0.0;
    if (conjugate) {
        const double x = -sine - cosine * n_t * inverse_rest;
        const double y = cosine * inverse_rest;
        conjugate_next(s, {u, w, x, y, slope_n, slope, slope_n + slope_e - 2.0 * slope}, sums, input, again, is_plane);
    } else if (again) {
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
    if (decision == kDecidePlane || decision == kDecideConjugatePlane) {
        // (No index that is known when it runs: on the device the sums would take local memory.)
        const double square_of_plane = sums.value[kRotateGradSquare];
        const double square_of_others = sums.value[kPlaneGradSquare];
        s.grad_square = decision == kDecidePlane ? square_of_plane : square_of_others;
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
        case kDecideConjugatePlane:
            decide_plane(s, sums, input, is_conjugate(decision));
            break;
        case kDecideOptimize:
        case kDecideOptimizeAgain:
        case kDecideConjugate:
        case kDecideConjugateAgain:
            decide_optimize(s, sums, input, decision == kDecideOptimizeAgain || decision == kDecideConjugateAgain,
                            is_conjugate(decision));
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

// ... with conjugate directions.
NOPT_HD float next_plane(const DimerScope& s, float n, float t, float a, float d) {
    return static_cast<float>(s.t_along * static_cast<double>(n) + s.t_turn * static_cast<double>(t) +
                              s.t_change * static_cast<double>(a) + s.t_across * static_cast<double>(d));
}

NOPT_HD float first_plane(const DimerScope& s, float n, float t, float d) {
    return s.t_turn != 0.0 ? next_plane(s, n, t, d) : turned(s.t_along, n, s.t_across, d);
}

NOPT_HD float corrected(float grad, float correction, float direction) { return grad - correction * direction; }

NOPT_HD float displaced_param(float param, float displacement, float direction) {
    return param + displacement * direction;
}

NOPT_HD float scaled(float direction, double factor) {
    return static_cast<float>(static_cast<double>(direction) * factor);
}

}  // namespace nopt
