// A model with a dimer around its optimizer and all of the dimer's roles bound, for tests.
#pragma once

#include <stdio.h>

#include "support/dimer_reference.h"
#include "support/model.h"
#include "support/rounded.h"

namespace nopt_test {

inline constexpr nopt_dimer_scope kScopes[] = {NOPT_DIMER_SCOPE_GLOBAL, NOPT_DIMER_SCOPE_PER_TENSOR};
inline constexpr nopt_dimer_angle kAngles[] = {NOPT_DIMER_ANGLE_FIXED_RATE, NOPT_DIMER_ANGLE_OPTIMAL,
                                               NOPT_DIMER_ANGLE_CONJUGATE};
inline constexpr nopt_dimer_angle kBestAngles[] = {NOPT_DIMER_ANGLE_OPTIMAL, NOPT_DIMER_ANGLE_CONJUGATE};
inline constexpr uint32_t kRefused = NOPT_DIMER_STATUS_ROTATION_REFUSED;
inline constexpr uint32_t kSkipped = NOPT_DIMER_STATUS_CORRECTION_SKIPPED;

inline const char* name_of(nopt_dimer_angle angle) {
    return angle == NOPT_DIMER_ANGLE_CONJUGATE ? "conjugate" : angle == NOPT_DIMER_ANGLE_OPTIMAL ? "optimal" : "fixed";
}

inline nopt_dimer_options dimer_defaults() {
    nopt_dimer_options o = {};
    o.struct_size = sizeof o;
    EXPECT_EQ(NOPT_OK, nopt_dimer_get_defaults(&o)) << nopt_last_error_message();
    return o;
}

class DimerModel : public Model {
public:
    DimerModel(const std::string& rule, std::vector<int64_t> counts, nopt_dimer_scope scope = NOPT_DIMER_SCOPE_GLOBAL,
               int64_t misalign = 0, uint64_t seed = 1)
        : Model(rule, std::move(counts), misalign, seed, true) {
        NOPT_EXPECT_OK(nopt_dimer_create(optimizer, scope, &dimer));
        NOPT_EXPECT_OK(work([&] { return nopt_dimer_init_direction(dimer, seed, 0, stream); }));
        NOPT_EXPECT_OK(work([&] { return nopt_dimer_normalize_direction(dimer, stream); }));
    }
    ~DimerModel() { nopt_dimer_destroy(dimer); }

    nopt_status displace(const nopt_dimer_options& o) {
        return work([&] { return nopt_dimer_displace(dimer, &o, stream); });
    }
    nopt_status rotate(const nopt_dimer_options& o, const nopt_hyperparams& h) {
        return work([&] { return nopt_dimer_rotate(dimer, &o, &h, stream); });
    }
    nopt_status dimer_step(const nopt_dimer_options& o, const nopt_hyperparams& h) {
        return work([&] { return nopt_dimer_step(dimer, &o, &h, stream); });
    }
    nopt_status restore() {
        return work([&] { return nopt_dimer_restore(dimer, stream); });
    }

    int64_t scope_count() const {
        int64_t count = -1;
        NOPT_EXPECT_OK(nopt_dimer_get_scope_count(dimer, &count));
        return count;
    }

    nopt_dimer_status status(int64_t scope = 0) const {
        nopt_dimer_status s = {};
        s.struct_size = sizeof s;
        synchronize();
        NOPT_EXPECT_OK(nopt_dimer_get_status(dimer, scope, &s));
        return s;
    }

    std::vector<nopt_dimer_status> statuses() const {
        std::vector<nopt_dimer_status> all;
        for (int64_t scope = 0; scope < scope_count(); ++scope) {
            all.push_back(status(scope));
        }
        return all;
    }

    // Of all scopes, as the last pass left them.
    std::vector<double> sums() const {
        double* from = nullptr;
        int64_t count = 0;
        NOPT_EXPECT_OK(nopt_dimer_get_sums(dimer, &from, &count));
        std::vector<double> all(static_cast<size_t>(count));
        NOPT_EXPECT_OK(nopt_memory_copy(backend, 0, all.data(), from, count * 8, stream));
        synchronize();
        return all;
    }

    // What is kept from step to step.
    std::vector<nopt_role> kept() const {
        std::vector<nopt_role> roles = written();
        roles.push_back(NOPT_ROLE_DIRECTION);
        roles.push_back(NOPT_ROLE_ROTATION_DIRECTION);
        return roles;
    }

    std::vector<float> values(nopt_role role) { return buffer(role).values(); }
    void set_values(nopt_role role, const std::vector<float>& values) { buffer(role).set_values(values); }

    nopt_dimer* dimer = nullptr;
};

inline bool same_bits(const std::vector<nopt_dimer_status>& a, const std::vector<nopt_dimer_status>& b) {
    return a.size() == b.size() && (a.empty() || memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0);
}

inline bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
    return a.size() == b.size() && (a.empty() || memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0);
}

// Per-tensor options that the tests with a reference use.
inline double lr_scale_of(size_t tensor) { return tensor == 2 ? 0.25 : tensor == 3 ? 3.0 : 1.0; }

inline double weight_decay_of(size_t tensor, double own) { return tensor == 2 ? 0.1 : tensor == 3 ? 0.0 : own; }

inline void set_tensor_options(Model& model) {
    std::vector<double> lr_scale;
    std::vector<double> weight_decay;
    for (size_t t = 0; t < model.counts().size(); ++t) {
        lr_scale.push_back(lr_scale_of(t));
        weight_decay.push_back(weight_decay_of(t, NOPT_INHERIT));
    }
    NOPT_ASSERT_OK(nopt_param_set_set_lr_scale(model.set, model.tensor_count(), lr_scale.data()));
    NOPT_ASSERT_OK(nopt_param_set_set_weight_decay(model.set, model.tensor_count(), weight_decay.data()));
}

inline std::string name_of(nopt_dimer_scope scope, const nopt_dimer_options& o) {
    char text[96];
    snprintf(text, sizeof text, "scope %d rotation %d force %d angle %d correction %d", static_cast<int>(scope),
             o.rotation, o.force, o.angle, o.correction);
    return text;
}

// The library's calls of one step with `turn_count` turns; 0 is a step without an update. Returns how many gradients it
// took.
template <class AnyLoss>
int library_step(DimerModel& model, const AnyLoss& loss, const nopt_dimer_options& o, const nopt_hyperparams& h,
                 int turn_count) {
    int gradients = 1;
    evaluate(loss, model);
    if (turn_count > 0) {
        NOPT_EXPECT_OK(model.displace(o));
        evaluate(loss, model);
        ++gradients;
        const int rotations = o.angle != NOPT_DIMER_ANGLE_FIXED_RATE ? turn_count : turn_count - 1;
        for (int i = 0; i < rotations; ++i) {
            NOPT_EXPECT_OK(model.rotate(o, h));
            evaluate(loss, model);
            ++gradients;
        }
    }
    NOPT_EXPECT_OK(model.dimer_step(o, h));
    return gradients;
}

inline double largest_difference(const Vector& a, const std::vector<float>& b) {
    double largest = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
        largest = fmax(largest, fabs(a[i] - static_cast<double>(b[i])));
    }
    return largest;
}

// Parameters near 0, so that displaced ones round little.
inline void shrink_params(DimerModel& model, double factor) {
    model.set_values(NOPT_ROLE_PARAM, to_float(scaled(to_double(model.values(NOPT_ROLE_PARAM)), factor)));
}

inline std::vector<float> random_values(size_t count, uint64_t seed) {
    Random random(seed);
    std::vector<float> values(count);
    for (float& value : values) {
        value = random.value();
    }
    return values;
}

}  // namespace nopt_test
