// A model with a dimer around its optimizer and all of the dimer's roles bound, for tests.
#pragma once

#include "support/model.h"

namespace nopt_test {

inline nopt_dimer_options dimer_defaults() {
    nopt_dimer_options o = {};
    o.struct_size = sizeof o;
    EXPECT_EQ(NOPT_OK, nopt_dimer_get_defaults(&o)) << nopt_last_error_message();
    return o;
}

class DimerModel : public Model {
public:
    DimerModel(const char* rule, std::vector<int64_t> counts, nopt_dimer_scope scope = NOPT_DIMER_SCOPE_GLOBAL,
               int64_t misalign = 0, uint64_t seed = 1)
        : Model(rule, std::move(counts), misalign, seed, true) {
        NOPT_EXPECT_OK(nopt_dimer_create(optimizer, scope, &dimer));
        NOPT_EXPECT_OK(nopt_dimer_init_direction(dimer, seed, 0, nullptr));
        NOPT_EXPECT_OK(nopt_dimer_normalize_direction(dimer, nullptr));
    }
    ~DimerModel() { nopt_dimer_destroy(dimer); }

    nopt_status displace(const nopt_dimer_options& o) { return nopt_dimer_displace(dimer, &o, nullptr); }
    nopt_status rotate(const nopt_dimer_options& o, const nopt_hyperparams& h) {
        return nopt_dimer_rotate(dimer, &o, &h, nullptr);
    }
    nopt_status dimer_step(const nopt_dimer_options& o, const nopt_hyperparams& h) {
        return nopt_dimer_step(dimer, &o, &h, nullptr);
    }
    nopt_status restore() { return nopt_dimer_restore(dimer, nullptr); }

    int64_t scope_count() const {
        int64_t count = -1;
        NOPT_EXPECT_OK(nopt_dimer_get_scope_count(dimer, &count));
        return count;
    }

    nopt_dimer_status status(int64_t scope = 0) const {
        nopt_dimer_status s = {};
        s.struct_size = sizeof s;
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

    std::vector<float> values(nopt_role role) { return buffer(role).values(); }
    void set_values(nopt_role role, const std::vector<float>& values) { buffer(role).set_values(values); }

    nopt_dimer* dimer = nullptr;
};

inline bool same_bits(const std::vector<nopt_dimer_status>& a, const std::vector<nopt_dimer_status>& b) {
    return a.size() == b.size() && (a.empty() || memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0);
}

}  // namespace nopt_test
