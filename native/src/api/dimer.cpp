#include <inttypes.h>
#include <math.h>

#include "api/api.h"
#include "api/step.h"

using namespace nopt;

namespace {

// Where an update stands: along what the parameters are displaced.
enum Phase {
    kAtTheta,
    kAlongDirection,
    kAlongRotationDirection
};

}  // namespace

struct nopt_dimer {
    std::shared_ptr<OptimizerState> optimizer;
    std::unique_ptr<DimerData> data;
    int64_t scopes;
    Phase phase;
    bool grad_is_backed_up;      // of the update
    nopt_dimer_options options;  // that it began with
    int32_t maximize;            // as the update's rotations had it, or -1 before the first
    GradInput grads;             // ... and these
    int32_t summed_pass;         // the nopt_dimer_pass whose sums are there, or -1
    bool sums_have_norm;         // ... with g.g
};

namespace {

void check_enum(int32_t value, int32_t last, const char* field, const char* type) {
    if (value < 0 || value > last) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "options->%s is %d; it must be a %s, 0 to %d", field, value, type,
                    last);
    }
}

nopt_dimer_options read_options(const nopt_dimer_options* argument) {
    const nopt_dimer_options o = read_struct(argument, "options");
    check_enum(o.rotation, NOPT_DIMER_ROTATION_MAXIMUM_CURVATURE, "rotation", "nopt_dimer_rotation");
    check_enum(o.force, NOPT_DIMER_FORCE_PER_DISPLACEMENT, "force", "nopt_dimer_force");
    check_enum(o.angle, NOPT_DIMER_ANGLE_OPTIMAL, "angle", "nopt_dimer_angle");
    check_enum(o.correction, NOPT_DIMER_CORRECTION_ESCAPE, "correction", "nopt_dimer_correction");
    if (o.reserved != 0) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "options->reserved is %u; it must be 0", o.reserved);
    }
    // As a float it must not be 0 either, or nothing would be displaced.
    if (!(o.displacement >= double{FLT_MIN} && o.displacement <= double{FLT_MAX})) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                    "options->displacement is %g; it must be > 0, and finite and normal as a float", o.displacement);
    }
    check_at_least_0(o.rotation_rate, "options->rotation_rate");
    check_at_least_0(o.alpha, "options->alpha");
    return o;
}

void require_role(const ParamSet& set, nopt_role role, const char* why) {
    if (!set.bound(role)) {
        throw Error(NOPT_ERROR_MISSING_ROLE, "%s needs role %s; bind it with nopt_param_set_bind", why,
                    role_name(role));
    }
}

// A call on a dimer, checked as far as all calls are.
class Call {
public:
    Call(const nopt_dimer* dimer, void* stream) : dimer_(dimer), stream_(stream), set_(checked(dimer)), guard_(set_) {
        check_stream(set_.kind, stream);
        if (set_.displaced_by != nullptr && set_.displaced_by != dimer) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "another dimer has displaced the parameters; call its nopt_dimer_step or nopt_dimer_restore");
        }
    }

    ParamSet& set() { return set_; }

    // When all arguments are checked, before the first pass.
    void begin() { set_.backend.begin(set_, dimer_->optimizer->counter.get(), stream_); }

private:
    static ParamSet& checked(const nopt_dimer* dimer) {
        require_not_null(dimer, "dimer");
        return *dimer->optimizer->set;
    }

    const nopt_dimer* const dimer_;
    void* const stream_;
    ParamSet& set_;
    const UseGuard guard_;
};

void require_phase_theta(const nopt_dimer& dimer, const char* function) {
    if (dimer.phase != kAtTheta) {
        throw Error(NOPT_ERROR_INVALID_STATE,
                    "%s: the parameters are displaced; end the update with nopt_dimer_step or nopt_dimer_restore",
                    function);
    }
}

// Within an update, what its first displacement and rotations depended on must stay.
void require_same_update(const nopt_dimer& dimer, const nopt_dimer_options& o, uint32_t flags, const GradInput& grads) {
    if (dimer.phase == kAtTheta) {
        return;
    }
    const char* changed = o.angle != dimer.options.angle                 ? "options->angle"
                          : o.rotation != dimer.options.rotation         ? "options->rotation"
                          : o.displacement != dimer.options.displacement ? "options->displacement"
                                                                         : nullptr;
    const int32_t maximize = (flags & NOPT_FLAG_MAXIMIZE) != 0 ? 1 : 0;
    if (dimer.maximize >= 0) {
        changed = dimer.maximize != maximize                   ? "NOPT_FLAG_MAXIMIZE"
                  : dimer.grads.loss_scale != grads.loss_scale ? "nopt_grad_options.loss_scale"
                  : needs_sum(dimer.grads) != needs_sum(grads) ? "the need of nopt_grad_options for the norm"
                                                               : changed;
    }
    if (changed != nullptr) {
        throw Error(NOPT_ERROR_INVALID_STATE,
                    "%s differs from what the update began with; change it after nopt_dimer_step or nopt_dimer_restore",
                    changed);
    }
}

// Of the next rotate or step. `options` may be null where only the kind of sums matters.
DimerPass make_pass(const nopt_dimer& dimer, DimerDecision decision, const nopt_dimer_options* o, uint32_t flags,
                    const GradInput& grads, int64_t step) {
    DimerPass pass = {
        *dimer.data,     decision, {}, NOPT_ROLE_GRAD, NOPT_ROLE_GRAD_DISPLACED, dimer.optimizer->counter.get(),
        needs_sum(grads)};
    if (dimer.phase != kAtTheta && dimer.grad_is_backed_up) {
        pass.grad = NOPT_ROLE_GRAD_BACKUP;
        pass.displaced = NOPT_ROLE_GRAD;
    }
    pass.input.step = step;
    pass.input.loss_scale = grads.loss_scale;
    if (o != nullptr) {
        pass.input.displacement = o->displacement;
        pass.input.toward_maximum = o->rotation == NOPT_DIMER_ROTATION_MAXIMUM_CURVATURE;
        pass.input.kappa = (pass.input.toward_maximum ? o->rotation_rate : -o->rotation_rate) /
                           (o->force == NOPT_DIMER_FORCE_PER_DISPLACEMENT ? o->displacement : 1.0);
        pass.input.alpha = o->alpha;
        pass.input.escape = o->correction == NOPT_DIMER_CORRECTION_ESCAPE;
        pass.input.sign = (flags & NOPT_FLAG_MAXIMIZE) != 0 ? -1.0 : 1.0;
    }
    return pass;
}

// Those that are the same for all groups of hyperparameters.
uint32_t read_flags(const OptimizerState& optimizer, const nopt_hyperparams* hyperparams) {
    const uint32_t flags = read_hyperparams(optimizer, hyperparams, 0).flags;
    for (int g = 1; g < optimizer.group_count; ++g) {
        if (((read_hyperparams(optimizer, hyperparams, g).flags ^ flags) & NOPT_FLAG_MAXIMIZE) != 0) {
            throw Error(NOPT_ERROR_UNSUPPORTED,
                        "hyperparams[%d] and hyperparams[0] differ in NOPT_FLAG_MAXIMIZE; a dimer follows one loss, so "
                        "that it must be the same for all groups",
                        g);
        }
    }
    return flags;
}

void require_all_gradients(const ParamSet& set) {
    for (size_t i = 0; set.has_frozen && i < set.counts.size(); ++i) {
        if (set.counts[i] > 0 && set.pointer(NOPT_ROLE_GRAD, i) == nullptr) {
            throw Error(NOPT_ERROR_UNSUPPORTED,
                        "tensor %zu has no GRAD, and a dimer needs the gradients of all; bind one, of zeros if need be",
                        i);
        }
    }
}

void require_roles(const ParamSet& set, const DimerPass& pass) {
    const char* const why = "the dimer";
    require_role(set, NOPT_ROLE_DIRECTION, why);
    require_role(set, pass.grad, why);
    require_all_gradients(set);
    if (pass.decision != kDecideProject) {
        require_role(set, NOPT_ROLE_PARAM, why);
        require_role(set, NOPT_ROLE_PARAM_BACKUP, why);
        if (!set.bound(pass.displaced)) {
            throw Error(NOPT_ERROR_MISSING_ROLE,
                        "a dimer's update needs role GRAD_DISPLACED, the gradient at the displaced parameters, or role "
                        "GRAD_BACKUP bound before nopt_dimer_displace; bind one with nopt_param_set_bind");
        }
    }
    if (pass.decision != kDecideProject && pass.decision != kDecideRotate) {
        require_role(set, NOPT_ROLE_ROTATION_DIRECTION, "the dimer's optimal angle");
    }
}

// Sums that the host has added up over ranks are not to be replaced by this rank's own.
void require_norm_in_sums(const nopt_dimer& dimer, const DimerPass& pass) {
    if (pass.with_norm && dimer.summed_pass == NOPT_DIMER_PASS_STEP && !dimer.sums_have_norm) {
        throw Error(NOPT_ERROR_INVALID_STATE,
                    "nopt_dimer_sum came before nopt_grad_options that need the norm, and has left it out; call it "
                    "again");
    }
}

// The first pass, or what is left of it.
void sum_and_decide(nopt_dimer& dimer, ParamSet& set, const DimerPass& pass, nopt_dimer_pass kind, bool decides,
                    void* stream) {
    const bool has_sums = dimer.summed_pass == kind;
    dimer.summed_pass = -1;
    if (!has_sums) {
        set.backend.dimer_sum(set, pass, decides, stream);
    } else if (decides) {
        set.backend.dimer_decide(set, pass, stream);
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
        Call call(dimer, stream);
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
        Call call(dimer, stream);
        require_phase_theta(*dimer, "nopt_dimer_normalize_direction");
        require_role(call.set(), NOPT_ROLE_DIRECTION, "the dimer");
        const DimerPass pass =
            make_pass(*dimer, kDecideNormalize, nullptr, 0, kNoGradInput, dimer->optimizer->steps_taken());
        call.begin();
        sum_and_decide(*dimer, call.set(), pass, NOPT_DIMER_PASS_NORMALIZE, true, stream);
        call.set().backend.dimer_scale(call.set(), pass, stream);
    });
}

nopt_status nopt_dimer_displace(nopt_dimer* dimer, const nopt_dimer_options* options, void* stream) {
    return guarded([&] {
        Call call(dimer, stream);
        ParamSet& set = call.set();
        require_phase_theta(*dimer, "nopt_dimer_displace");
        const nopt_dimer_options o = read_options(options);
        for (const nopt_role role : {NOPT_ROLE_PARAM, NOPT_ROLE_DIRECTION, NOPT_ROLE_PARAM_BACKUP}) {
            require_role(set, role, "the dimer");
        }
        if (o.angle == NOPT_DIMER_ANGLE_OPTIMAL) {
            require_role(set, NOPT_ROLE_ROTATION_DIRECTION, "the dimer's optimal angle");
        }
        const bool backs_up_grad = set.bound(NOPT_ROLE_GRAD_BACKUP);
        if (backs_up_grad) {
            require_role(set, NOPT_ROLE_GRAD, "the dimer");
            require_all_gradients(set);
        }
        call.begin();
        dimer->summed_pass = -1;
        if (set.total > 0) {
            set.backend.dimer_displace(set, o.displacement, stream);
        }
        dimer->phase = kAlongDirection;
        dimer->grad_is_backed_up = backs_up_grad;
        dimer->options = o;
        dimer->maximize = -1;
        set.displaced_by = dimer;
    });
}

nopt_status nopt_dimer_rotate(nopt_dimer* dimer, const nopt_dimer_options* options, const nopt_hyperparams* hyperparams,
                              void* stream) {
    return guarded([&] {
        Call call(dimer, stream);
        ParamSet& set = call.set();
        const nopt_dimer_options o = read_options(options);
        const uint32_t flags = read_flags(*dimer->optimizer, hyperparams);
        if (dimer->phase == kAtTheta) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "nopt_dimer_rotate: the parameters are not displaced; call nopt_dimer_displace first");
        }
        const GradInput grads = prepare_grads(*dimer->optimizer);
        require_same_update(*dimer, o, flags, grads);
        const bool optimal = o.angle == NOPT_DIMER_ANGLE_OPTIMAL;
        const DimerDecision decision = !optimal                          ? kDecideRotate
                                       : dimer->phase == kAlongDirection ? kDecidePlane
                                                                         : kDecideOptimizeAgain;
        const DimerPass pass = make_pass(*dimer, decision, &o, flags, grads, dimer->optimizer->steps_taken() + 1);
        require_roles(set, pass);
        require_norm_in_sums(*dimer, pass);
        call.begin();
        sum_and_decide(*dimer, set, pass, NOPT_DIMER_PASS_STEP, true, stream);
        if (set.total > 0) {
            set.backend.dimer_turn(set, pass, stream);
        }
        dimer->phase = optimal ? kAlongRotationDirection : kAlongDirection;
        dimer->maximize = (flags & NOPT_FLAG_MAXIMIZE) != 0 ? 1 : 0;
        dimer->grads = grads;
    });
}

nopt_status nopt_dimer_step(nopt_dimer* dimer, const nopt_dimer_options* options, const nopt_hyperparams* hyperparams,
                            void* stream) {
    return guarded([&] {
        Call call(dimer, stream);
        ParamSet& set = call.set();
        const nopt_dimer_options o = read_options(options);
        const PreparedStep step = prepare_step(*dimer->optimizer, hyperparams);
        const uint32_t flags = read_flags(*dimer->optimizer, hyperparams);
        if (dimer->optimizer->grads_are_summed) {
            throw Error(
                NOPT_ERROR_INVALID_STATE,
                "nopt_dimer_step: nopt_optimizer_sum_grads is for steps of the optimizer itself, a dimer's norm "
                "is in the sums of nopt_dimer_sum; set nopt_grad_options to null and anew");
        }
        require_same_update(*dimer, o, flags, step.grads);
        const bool optimal = o.angle == NOPT_DIMER_ANGLE_OPTIMAL;
        if (dimer->phase == kAlongDirection && optimal) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "nopt_dimer_step: the optimal angle needs nopt_dimer_rotate, and another gradient, first");
        }
        const DimerDecision decision = dimer->phase == kAtTheta ? kDecideProject
                                       : optimal                ? kDecideOptimize
                                                                : kDecideRotate;
        const DimerPass pass = make_pass(*dimer, decision, &o, flags, step.grads, dimer->optimizer->steps_taken() + 1);
        require_roles(set, pass);
        require_norm_in_sums(*dimer, pass);
        call.begin();
        // Where the norm is needed, the step decides on all gradients first, and on the scopes only if it is taken.
        sum_and_decide(*dimer, set, pass, NOPT_DIMER_PASS_STEP, !pass.with_norm, stream);
        run_step(*dimer->optimizer, step, &pass, stream);
        dimer->phase = kAtTheta;
        set.displaced_by = nullptr;
    });
}

nopt_status nopt_dimer_restore(nopt_dimer* dimer, void* stream) {
    return guarded([&] {
        Call call(dimer, stream);
        ParamSet& set = call.set();
        if (dimer->phase == kAtTheta) {
            throw Error(NOPT_ERROR_INVALID_STATE, "nopt_dimer_restore: the parameters are not displaced");
        }
        require_role(set, NOPT_ROLE_PARAM, "the dimer");
        require_role(set, NOPT_ROLE_PARAM_BACKUP, "the dimer");
        call.begin();
        dimer->summed_pass = -1;
        if (set.total > 0) {
            set.backend.dimer_restore(set, stream);
        }
        dimer->phase = kAtTheta;
        set.displaced_by = nullptr;
    });
}

nopt_status nopt_dimer_sum(nopt_dimer* dimer, nopt_dimer_pass pass, void* stream) {
    return guarded([&] {
        Call call(dimer, stream);
        const int value = static_cast<int>(pass);
        if (value != NOPT_DIMER_PASS_NORMALIZE && value != NOPT_DIMER_PASS_STEP) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "pass is %d; it must be a nopt_dimer_pass, 0 or 1", value);
        }
        DimerDecision decision = kDecideNormalize;
        if (pass == NOPT_DIMER_PASS_STEP) {
            decision = dimer->phase == kAtTheta          ? kDecideProject
                       : dimer->phase == kAlongDirection ? kDecideRotate
                                                         : kDecideOptimize;
        } else {
            require_phase_theta(*dimer, "nopt_dimer_sum of NOPT_DIMER_PASS_NORMALIZE");
        }
        const DimerPass sums =
            make_pass(*dimer, decision, nullptr, 0, dimer->optimizer->grad_input, dimer->optimizer->steps_taken());
        if (decision == kDecideNormalize) {
            require_role(call.set(), NOPT_ROLE_DIRECTION, "the dimer");
        } else {
            require_roles(call.set(), sums);
        }
        call.begin();
        dimer->summed_pass = -1;
        call.set().backend.dimer_sum(call.set(), sums, false, stream);
        dimer->summed_pass = pass;
        dimer->sums_have_norm = sums.with_norm;
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
        write_struct(status, value, "status");
    });
}

nopt_status nopt_dimer_set_curvature(nopt_dimer* dimer, int64_t count, const double* curvature, void* stream) {
    return guarded([&] {
        Call call(dimer, stream);
        require_phase_theta(*dimer, "nopt_dimer_set_curvature");
        if (count != dimer->scopes) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "count is %" PRId64 ", but the dimer has %" PRId64 " scopes",
                        count, dimer->scopes);
        }
        if (count > 0) {
            require_not_null(curvature, "curvature");
            for (int64_t i = 0; i < count; ++i) {
                if (isinf(curvature[i])) {
                    throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                                "curvature[%" PRId64 "] is infinite; it must be finite, or NaN for none", i);
                }
            }
            call.set().backend.dimer_set_curvature(*dimer->data, curvature, stream);
        }
    });
}

nopt_status nopt_dimer_get_roles(const nopt_dimer* dimer, const nopt_dimer_options* options, uint32_t* role_mask) {
    return guarded([&] {
        require_not_null(dimer, "dimer");
        require_not_null(role_mask, "role_mask");
        const nopt_dimer_options o = read_options(options);
        uint32_t mask = 1u << NOPT_ROLE_DIRECTION | 1u << NOPT_ROLE_PARAM_BACKUP;
        if (o.angle == NOPT_DIMER_ANGLE_OPTIMAL) {
            mask |= 1u << NOPT_ROLE_ROTATION_DIRECTION;
        }
        *role_mask = mask;
    });
}

}  // extern "C"
