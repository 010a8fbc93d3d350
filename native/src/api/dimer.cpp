// A dimer: its direction, and what it tells. See dimer_update.cpp for its steps.
#include <inttypes.h>
#include <math.h>

#include "api/dimer_call.h"

using namespace nopt;

namespace {

// One value for each scope.
void require_values(const nopt_dimer& dimer, int64_t count, const double* values, const char* name) {
    if (count != dimer.scopes) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "count is %" PRId64 ", but the dimer has %" PRId64 " scopes", count,
                    dimer.scopes);
    }
    if (count > 0) {
        require_not_null(values, name);
    }
}

}  // namespace

extern "C" {

nopt_status nopt_dimer_create(nopt_optimizer* optimizer, nopt_dimer_scope scope, nopt_dimer** dimer) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        require_not_null(dimer, "dimer");
        const int value = static_cast<int>(scope);
        if (value != NOPT_DIMER_SCOPE_GLOBAL && value != NOPT_DIMER_SCOPE_PER_TENSOR) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "scope is %d; it must be a nopt_dimer_scope, 0 or 1", value);
        }
        ParamSet& set = *optimizer->state->set;
        const UseGuard guard(set);
        auto created = std::make_unique<nopt_dimer>();
        created->optimizer = optimizer->state;
        created->data = set.backend.create_dimer(set, scope);
        created->scopes = scope == NOPT_DIMER_SCOPE_GLOBAL ? 1 : static_cast<int64_t>(set.counts.size());
        created->phase = kAtTheta;
        created->summed_pass = -1;
        *dimer = created.release();
    });
}

nopt_status nopt_dimer_destroy(nopt_dimer* dimer) {
    return guarded([&] {
        if (dimer == nullptr) {
            return;
        }
        // The set outlives the guard: its reference goes with the dimer.
        const std::shared_ptr<ParamSet> set = dimer->optimizer->set;
        const UseGuard guard(*set);
        if (set->displaced_by == dimer) {
            set->displaced_by = nullptr;
        }
        delete dimer;
    });
}

nopt_status nopt_dimer_get_defaults(nopt_dimer_options* options) {
    return guarded([&] {
        nopt_dimer_options value = {};
        value.displacement = 1e-2;
        value.rotation_rate = 1e-3;
        value.alpha = 5.0;
        write_struct(options, value, "options");
    });
}

nopt_status nopt_dimer_get_scope_count(const nopt_dimer* dimer, int64_t* count) {
    return guarded([&] {
        require_not_null(dimer, "dimer");
        require_not_null(count, "count");
        *count = dimer->scopes;
    });
}

nopt_status nopt_dimer_init_direction(nopt_dimer* dimer, uint64_t seed, int64_t first_element, void* stream) {
    return guarded([&] {
        DimerCallGuard call(dimer, stream);
        require_phase_theta(*dimer, "nopt_dimer_init_direction");
        if (first_element < 0) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "first_element is %" PRId64 "; it must be 0 or more",
                        first_element);
        }
        require_role(call.set(), NOPT_ROLE_DIRECTION, "the dimer");
        call.begin();
        dimer->summed_pass = -1;
        if (call.set().total > 0) {
            call.set().backend.dimer_randomize(call.set(), seed, static_cast<uint64_t>(first_element), stream);
        }
    });
}

nopt_status nopt_dimer_normalize_direction(nopt_dimer* dimer, void* stream) {
    return guarded([&] {
        DimerCallGuard call(dimer, stream);
        require_phase_theta(*dimer, "nopt_dimer_normalize_direction");
        require_role(call.set(), NOPT_ROLE_DIRECTION, "the dimer");
        const DimerPass pass =
            make_pass(*dimer, kDecideNormalize, nullptr, 0, kNoGradInput, dimer->optimizer->steps_taken());
        call.begin();
        sum_and_decide(*dimer, call.set(), pass, NOPT_DIMER_PASS_NORMALIZE, true, stream);
        call.set().backend.dimer_scale(call.set(), pass, stream);
    });
}

nopt_status nopt_dimer_get_sums(nopt_dimer* dimer, double** sums, int64_t* count) {
    return guarded([&] {
        require_not_null(dimer, "dimer");
        require_not_null(sums, "sums");
        require_not_null(count, "count");
        *sums = dimer->scopes == 0 ? nullptr : dimer->optimizer->set->backend.dimer_sums(*dimer->data)->value;
        *count = dimer->scopes * kMaxSums;
    });
}

nopt_status nopt_dimer_get_status(const nopt_dimer* dimer, int64_t scope, nopt_dimer_status* status) {
    return guarded([&] {
        require_not_null(dimer, "dimer");
        if (scope < 0 || scope >= dimer->scopes) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "scope is %" PRId64 "; the dimer has %" PRId64 " scopes", scope,
                        dimer->scopes);
        }
        const UseGuard guard(*dimer->optimizer->set);
        const DimerReading s = dimer->optimizer->set->backend.dimer_read(*dimer->data, scope);
        nopt_dimer_status value = {};
        value.flags = s.flags;
        value.step = s.step;
        value.curvature = s.curvature;
        value.grad_dot_direction = s.grad_dot_direction;
        value.angle = atan2(s.sine, s.cosine);
        value.conjugation = s.conjugation;
        write_struct(status, value, "status");
    });
}

nopt_status nopt_dimer_set_curvature(nopt_dimer* dimer, int64_t count, const double* curvature, void* stream) {
    return guarded([&] {
        DimerCallGuard call(dimer, stream);
        require_phase_theta(*dimer, "nopt_dimer_set_curvature");
        require_values(*dimer, count, curvature, "curvature");
        for (int64_t i = 0; i < count; ++i) {
            if (isinf(curvature[i])) {
                throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                            "curvature[%" PRId64 "] is infinite; it must be finite, or NaN for none", i);
            }
        }
        call.set().backend.dimer_set(*dimer->data, &DimerReading::curvature, curvature, stream);
    });
}

nopt_status nopt_dimer_set_conjugation(nopt_dimer* dimer, int64_t count, const double* conjugation, void* stream) {
    return guarded([&] {
        DimerCallGuard call(dimer, stream);
        require_phase_theta(*dimer, "nopt_dimer_set_conjugation");
        require_values(*dimer, count, conjugation, "conjugation");
        for (int64_t i = 0; i < count; ++i) {
            if (!isfinite(conjugation[i])) {
                throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                            "conjugation[%" PRId64 "] is %g; it must be finite, and 0 where the search begins anew", i,
                            conjugation[i]);
            }
        }
        call.set().backend.dimer_set(*dimer->data, &DimerReading::conjugation, conjugation, stream);
    });
}

nopt_status nopt_dimer_get_roles(const nopt_dimer* dimer, const nopt_dimer_options* options, uint32_t* role_mask) {
    return guarded([&] {
        require_not_null(dimer, "dimer");
        require_not_null(role_mask, "role_mask");
        const nopt_dimer_options o = read_dimer_options(options);
        uint32_t mask = 1u << NOPT_ROLE_DIRECTION | 1u << NOPT_ROLE_PARAM_BACKUP;
        if (o.angle != NOPT_DIMER_ANGLE_FIXED_RATE) {
            mask |= 1u << NOPT_ROLE_ROTATION_DIRECTION;
        }
        if (o.angle == NOPT_DIMER_ANGLE_CONJUGATE) {
            mask |= 1u << NOPT_ROLE_GRAD_CHANGE;
        }
        *role_mask = mask;
    });
}

}  // extern "C"
