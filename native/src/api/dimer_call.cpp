#include "api/dimer_call.h"

namespace nopt {
namespace {

void check_enum(int32_t value, int32_t last, const char* field, const char* type) {
    if (value < 0 || value > last) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "options->%s is %d; it must be a %s, 0 to %d", field, value, type,
                    last);
    }
}

}  // namespace

nopt_dimer_options read_dimer_options(const nopt_dimer_options* argument) {
    const nopt_dimer_options o = read_struct(argument, "options");
    check_enum(o.rotation, NOPT_DIMER_ROTATION_MAXIMUM_CURVATURE, "rotation", "nopt_dimer_rotation");
    check_enum(o.force, NOPT_DIMER_FORCE_PER_DISPLACEMENT, "force", "nopt_dimer_force");
    check_enum(o.angle, NOPT_DIMER_ANGLE_CONJUGATE, "angle", "nopt_dimer_angle");
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

void require_all_gradients(const ParamSet& set) {
    for (size_t i = 0; set.has_frozen && i < set.counts.size(); ++i) {
        if (set.counts[i] > 0 && set.pointer(NOPT_ROLE_GRAD, i) == nullptr) {
            throw Error(NOPT_ERROR_UNSUPPORTED,
                        "tensor %zu has no GRAD, and a dimer needs the gradients of all; bind one, of zeros if need be",
                        i);
        }
    }
}

DimerTransition transition_of(const nopt_dimer& dimer, DimerCall call, int32_t angle, const char* function) {
    const DimerTransition transition = dimer_transition(dimer.phase, call, angle);
    if (transition.refusal != nullptr) {
        throw Error(NOPT_ERROR_INVALID_STATE, "%s: %s", function, transition.refusal);
    }
    return transition;
}

void require_phase_theta(const nopt_dimer& dimer, const char* function) {
    transition_of(dimer, kCallDisplace, NOPT_DIMER_ANGLE_FIXED_RATE, function);
}

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

}  // namespace nopt
