// The dimer in double, step by step as the papers have it, and losses to run it on.
#pragma once

#include <math.h>

#include <functional>
#include <vector>

#include "support/model.h"

namespace nopt_test {

using Vector = std::vector<double>;

inline Vector to_double(const std::vector<float>& values) { return Vector(values.begin(), values.end()); }
inline std::vector<float> to_float(const Vector& values) { return std::vector<float>(values.begin(), values.end()); }

inline double dot(const Vector& a, const Vector& b) {
    double sum = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

inline double norm(const Vector& a) { return sqrt(dot(a, a)); }

// x a + y b
inline Vector combined(double x, const Vector& a, double y, const Vector& b) {
    Vector result(a.size());
    for (size_t i = 0; i < a.size(); ++i) {
        result[i] = x * a[i] + y * b[i];
    }
    return result;
}

inline Vector scaled(const Vector& a, double x) { return combined(x, a, 0.0, a); }

// The elements of one scope.
struct Span {
    size_t begin;
    size_t end;

    Vector of(const Vector& all) const {
        return Vector(all.begin() + static_cast<int64_t>(begin), all.begin() + static_cast<int64_t>(end));
    }
    void put(Vector& all, const Vector& part) const {
        std::copy(part.begin(), part.end(), all.begin() + static_cast<int64_t>(begin));
    }
};

inline std::vector<Span> spans(const std::vector<int64_t>& counts, nopt_dimer_scope scope) {
    std::vector<Span> result;
    size_t at = 0;
    for (const int64_t count : counts) {
        result.push_back({at, at + static_cast<size_t>(count)});
        at += static_cast<size_t>(count);
    }
    if (scope == NOPT_DIMER_SCOPE_GLOBAL) {
        result = {{0, at}};
    }
    return result;
}

// sum of h_i (x_i - c_i)^2 / 2 + (coupling / 2) (u.x)^2 + (wave / 2) sin(2 x_i): minima, maxima and saddles in turn.
struct Loss {
    Loss(const std::vector<int64_t>& counts, double coupling_, double wave_, uint64_t seed)
        : coupling(coupling_), wave(wave_) {
        Random random(seed);
        const auto uniform = [&] { return static_cast<double>(random.next() >> 11) * 0x1p-53; };
        for (size_t t = 0; t < counts.size(); ++t) {
            for (int64_t i = 0; i < counts[t]; ++i) {
                // The first tensor mostly curves down, the others up.
                curvature.push_back(t == 0 ? -2.0 + 2.5 * uniform() : -0.3 + 3.0 * uniform());
                centre.push_back(0.3 * uniform() - 0.15);
                u.push_back(uniform() - 0.5);
            }
        }
        if (!u.empty()) {
            u = scaled(u, 1.0 / norm(u));
        }
    }

    Vector gradient(const Vector& x) const {
        const double ux = coupling * dot(u, x);
        Vector g(x.size());
        for (size_t i = 0; i < x.size(); ++i) {
            g[i] = curvature[i] * (x[i] - centre[i]) + ux * u[i] + wave * cos(2.0 * x[i]);
        }
        return g;
    }

    double coupling;
    double wave;
    Vector curvature;
    Vector centre;
    Vector u;
};

// Writes the gradient at PARAM to a role, as a host would.
template <class AnyLoss, class AnyModel>
void evaluate(const AnyLoss& loss, AnyModel& model, nopt_role role = NOPT_ROLE_GRAD) {
    model.buffer(role).set_values(to_float(loss.gradient(to_double(model.buffer(NOPT_ROLE_PARAM).values()))));
}

// What a turn comes to, for one scope.
struct Turned {
    Vector direction;
    double curvature = 0.0;  // of the loss, or of its negative
    double angle = 0.0;
    double length = 1.0;  // of the turned direction before it was normalized
};

// The angle between two directions, exact for small ones too.
inline double angle_between(const Vector& a, const Vector& b) {
    const double along = dot(a, b) / dot(a, a);
    return atan2(norm(combined(1.0, b, -along, a)), along * norm(a));
}

// One rotation by a rate: g and g2 are the gradients at theta and at theta + displacement N.
inline Turned turn_by_rate(const nopt_dimer_options& o, bool maximize, const Vector& direction, const Vector& g,
                           const Vector& g2) {
    const double sign = maximize ? -1.0 : 1.0;
    const Vector difference = combined(sign, g2, -sign, g);
    const double a = dot(difference, direction);
    Vector force = combined(1.0, difference, -a, direction);
    if (o.force == NOPT_DIMER_FORCE_PER_DISPLACEMENT) {
        force = scaled(force, 1.0 / o.displacement);
    }
    const double rate = o.rotation == NOPT_DIMER_ROTATION_MAXIMUM_CURVATURE ? o.rotation_rate : -o.rotation_rate;
    const Vector v = combined(1.0, direction, rate, force);
    return {scaled(v, 1.0 / norm(v)), a / o.displacement, angle_between(direction, v), norm(v)};
}

// The unit vector along the force on N; 0 where there is none.
inline Vector plane(const Vector& direction, const Vector& difference) {
    const Vector force = combined(1.0, difference, -dot(difference, direction), direction);
    const double length = norm(force);
    return length > 1e-12 * norm(difference) ? scaled(force, 1.0 / length) : Vector(direction.size(), 0.0);
}

// One rotation to the best angle: differences of the gradients displaced along N and T to that at theta.
inline Turned turn_to_best_angle(const nopt_dimer_options& o, bool maximize, const Vector& direction, const Vector& t,
                                 const Vector& difference_n, const Vector& difference_t) {
    const double sign = maximize ? -1.0 : 1.0;
    const double c_n = sign * dot(difference_n, direction) / o.displacement;
    const double c_t = sign * dot(difference_t, t) / o.displacement;
    const double c_nt = sign * 0.5 * (dot(difference_n, t) + dot(difference_t, direction)) / o.displacement;
    const double sense = o.rotation == NOPT_DIMER_ROTATION_MAXIMUM_CURVATURE ? -1.0 : 1.0;
    const auto curvature = [&](double phi) {
        return cos(phi) * cos(phi) * c_n + 2.0 * sin(phi) * cos(phi) * c_nt + sin(phi) * sin(phi) * c_t;
    };
    // All half turns in steps of pi / 1000, then thirds of what is left around the best of them.
    double best = 0.0;
    for (int i = -499; i <= 500; ++i) {
        const double phi = M_PI * i / 1000;
        best = sense * curvature(phi) < sense * curvature(best) ? phi : best;
    }
    double low = best - M_PI / 1000;
    double high = best + M_PI / 1000;
    for (int i = 0; i < 60; ++i) {
        const double a = low + (high - low) / 3;
        const double b = high - (high - low) / 3;
        if (sense * curvature(a) < sense * curvature(b)) {
            high = b;
        } else {
            low = a;
        }
    }
    const double phi = norm(t) > 0.0 ? 0.5 * (low + high) : 0.0;
    return {combined(cos(phi), direction, sin(phi), t), curvature(phi), fabs(phi), 1.0};
}

// The planes that conjugate directions turn in, for one scope, from turn to turn.
class ConjugateSearch {
public:
    // The unit vector that spans the plane with N: the force, and of the last turn's way what keeps both conjugate.
    Vector plane_of(const Vector& direction, const Vector& difference) const {
        const Vector alone = plane(direction, difference);
        if (way_.empty() || norm(alone) == 0.0) {
            return alone;
        }
        const Vector force = combined(1.0, difference, -dot(difference, direction), direction);
        const Vector way = combined(1.0, way_, -dot(way_, direction), direction);
        const Vector search = combined(1.0, force, take_ / norm(way), way);
        return dot(search, force) > 0.0 ? scaled(search, 1.0 / norm(search)) : alone;
    }

    // After a turn from N in the plane with T: the way went along the plane's tangent at the new N. The differences are
    // those of the gradients displaced along N and T.
    void turned(const Vector& now, const Vector& direction, const Vector& t, const Vector& difference_n,
                const Vector& difference_t) {
        const double cosine = dot(now, direction);
        const double sine = dot(now, t);
        way_ = combined(-sine, direction, cosine, t);
        const Vector difference_way = combined(-sine, difference_n, cosine, difference_t);
        const Vector difference = combined(cosine, difference_n, sine, difference_t);
        const Vector force = combined(1.0, difference, -dot(difference, now), now);
        // Conjugate for H - C: (force + take way) . (H - C) way = 0.
        take_ = -dot(force, difference_way) / (dot(way_, difference_way) - dot(now, difference));
    }

private:
    Vector way_;
    double take_ = 0.0;
};

// g as the rule gets it.
inline Vector corrected(const nopt_dimer_options& o, double curvature, const Vector& direction, const Vector& g) {
    const double along = dot(g, direction);
    if (o.correction == NOPT_DIMER_CORRECTION_PUBLISHED) {
        return combined(1.0, g, -o.alpha * along, direction);
    }
    return curvature < 0.0 ? combined(1.0, g, o.alpha * along, direction) : g;
}

}  // namespace nopt_test
