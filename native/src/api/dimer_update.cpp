// An update of a dimer: displacement, rotations, the step that ends it.
#include "api/dimer_call.h"
#include "api/hyperparams.h"

using namespace nopt;

namespace {

// After a call of an update.
void enter(nopt_dimer& dimer, ParamSet& set, DimerPhase phase) {
    dimer.phase = phase;
    set.displaced_by = phase == kAtTheta ? nullptr : &dimer;
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

// Those that are the same for all groups of hyperparameters.
uint32_t read_flags(const OptimizerState& optimizer, const nopt_hyperparams* hyperparams) {
    const uint32_t flags = read_hyperparams(optimizer, hyperparams, 0).flags;
    for (int g = 1; g < optimizer.group_count(); ++g) {
        if (((read_hyperparams(optimizer, hyperparams, g).flags ^ flags) & NOPT_FLAG_MAXIMIZE) != 0) {
            throw Error(NOPT_ERROR_UNSUPPORTED,
                        "hyperparams[%d] and hyperparams[0] differ in NOPT_FLAG_MAXIMIZE; a dimer follows one loss, so "
                        "that it must be the same for all groups",
                        g);
        }
    }
    return flags;
}

void require_roles_of_angle(const ParamSet& set, int32_t angle) {
    if (angle != NOPT_DIMER_ANGLE_FIXED_RATE) {
        require_role(set, NOPT_ROLE_ROTATION_DIRECTION, "a dimer whose angle is not of fixed rate");
    }
    if (angle == NOPT_DIMER_ANGLE_CONJUGATE) {
        require_role(set, NOPT_ROLE_GRAD_CHANGE, "a dimer with conjugate directions");
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
        require_roles_of_angle(set,
                               is_conjugate(pass.decision) ? NOPT_DIMER_ANGLE_CONJUGATE : NOPT_DIMER_ANGLE_OPTIMAL);
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

}  // namespace

extern "C" {

nopt_status nopt_dimer_displace(nopt_dimer* dimer, const nopt_dimer_options* options, void* stream) {
    return guarded([&] {
        DimerCallGuard call(dimer, stream);
        ParamSet& set = call.set();
        const nopt_dimer_options o = read_dimer_options(options);
        const DimerTransition transition = transition_of(*dimer, kCallDisplace, o.angle, "nopt_dimer_displace");
        for (const nopt_role role : {NOPT_ROLE_PARAM, NOPT_ROLE_DIRECTION, NOPT_ROLE_PARAM_BACKUP}) {
            require_role(set, role, "the dimer");
        }
        require_roles_of_angle(set, o.angle);
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
        dimer->grad_is_backed_up = backs_up_grad;
        dimer->options = o;
        dimer->maximize = -1;
        enter(*dimer, set, transition.next);
    });
}

nopt_status nopt_dimer_rotate(nopt_dimer* dimer, const nopt_dimer_options* options, const nopt_hyperparams* hyperparams,
                              void* stream) {
    return guarded([&] {
        DimerCallGuard call(dimer, stream);
        ParamSet& set = call.set();
        const nopt_dimer_options o = read_dimer_options(options);
        const uint32_t flags = read_flags(*dimer->optimizer, hyperparams);
        const DimerTransition transition = transition_of(*dimer, kCallRotate, o.angle, "nopt_dimer_rotate");
        const GradInput grads = prepare_grads(*dimer->optimizer);
        require_same_update(*dimer, o, flags, grads);
        const DimerPass pass =
            make_pass(*dimer, transition.decision, &o, flags, grads, dimer->optimizer->steps_taken() + 1);
        require_roles(set, pass);
        require_norm_in_sums(*dimer, pass);
        call.begin();
        sum_and_decide(*dimer, set, pass, NOPT_DIMER_PASS_STEP, true, stream);
        if (set.total > 0) {
            set.backend.dimer_turn(set, pass, stream);
        }
        enter(*dimer, set, transition.next);
        dimer->maximize = (flags & NOPT_FLAG_MAXIMIZE) != 0 ? 1 : 0;
        dimer->grads = grads;
    });
}

nopt_status nopt_dimer_step(nopt_dimer* dimer, const nopt_dimer_options* options, const nopt_hyperparams* hyperparams,
                            void* stream) {
    return guarded([&] {
        DimerCallGuard call(dimer, stream);
        ParamSet& set = call.set();
        const nopt_dimer_options o = read_dimer_options(options);
        const GradInput grads = prepare_step(*dimer->optimizer, hyperparams);
        const uint32_t flags = read_flags(*dimer->optimizer, hyperparams);
        if (dimer->optimizer->grads_are_summed) {
            throw Error(
                NOPT_ERROR_INVALID_STATE,
                "nopt_dimer_step: nopt_optimizer_sum_grads is for steps of the optimizer itself, a dimer's norm "
                "is in the sums of nopt_dimer_sum; set nopt_grad_options to null and anew");
        }
        require_same_update(*dimer, o, flags, grads);
        const DimerTransition transition = transition_of(*dimer, kCallStep, o.angle, "nopt_dimer_step");
        const DimerPass pass =
            make_pass(*dimer, transition.decision, &o, flags, grads, dimer->optimizer->steps_taken() + 1);
        require_roles(set, pass);
        require_norm_in_sums(*dimer, pass);
        call.begin();
        // Where the norm is needed, the step decides on all gradients first, and on the scopes only if it is taken.
        sum_and_decide(*dimer, set, pass, NOPT_DIMER_PASS_STEP, !pass.with_norm, stream);
        run_step(*dimer->optimizer, grads, &pass, stream);
        enter(*dimer, set, transition.next);
    });
}

nopt_status nopt_dimer_restore(nopt_dimer* dimer, void* stream) {
    return guarded([&] {
        DimerCallGuard call(dimer, stream);
        ParamSet& set = call.set();
        const DimerTransition transition =
            transition_of(*dimer, kCallRestore, dimer->options.angle, "nopt_dimer_restore");
        require_role(set, NOPT_ROLE_PARAM, "the dimer");
        require_role(set, NOPT_ROLE_PARAM_BACKUP, "the dimer");
        call.begin();
        dimer->summed_pass = -1;
        if (set.total > 0) {
            set.backend.dimer_restore(set, stream);
        }
        enter(*dimer, set, transition.next);
    });
}

nopt_status nopt_dimer_sum(nopt_dimer* dimer, nopt_dimer_pass pass, void* stream) {
    return guarded([&] {
        DimerCallGuard call(dimer, stream);
        const int value = static_cast<int>(pass);
        if (value != NOPT_DIMER_PASS_NORMALIZE && value != NOPT_DIMER_PASS_STEP) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "pass is %d; it must be a nopt_dimer_pass, 0 or 1", value);
        }
        DimerDecision decision = kDecideNormalize;
        if (pass == NOPT_DIMER_PASS_STEP) {
            decision = dimer_sums_decision(dimer->phase, dimer->options.angle);
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

}  // extern "C"
