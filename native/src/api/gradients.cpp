// Options of the gradients: loss scale, clipping, skipped steps.
#include <math.h>

#include "api/api.h"
#include "api/step.h"

using namespace nopt;

namespace {

// A scale must be one that a float32 loss can be multiplied with. With bounds below the normal floats nothing would be
// left of gradients.
void check_normal(double value, double largest, const char* name) {
    if (!(value >= double{FLT_MIN} && value <= largest)) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "%s is %g; it must be in [%g, %g]", name, value, double{FLT_MIN},
                    largest);
    }
}

void check_bound(bool used, double value, double largest, const char* name, const char* flag) {
    if (used) {
        check_normal(value, largest, name);
    } else if (value != 0.0) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "%s is %g, but flags has no %s; leave it 0", name, value, flag);
    }
}

GradInput read_grad_options(const nopt_grad_options* options) {
    const nopt_grad_options o = read_struct(options, "options");
    constexpr uint32_t kKnown = NOPT_GRAD_CLIP_NORM | NOPT_GRAD_CLIP_VALUE | NOPT_GRAD_SKIP_NONFINITE;
    if ((o.flags & ~kKnown) != 0) {
        throw Error(NOPT_ERROR_UNSUPPORTED, "options->flags is %u; it must be a sum of nopt_grad_flag values", o.flags);
    }
    check_bound((o.flags & NOPT_GRAD_CLIP_NORM) != 0, o.max_norm, DBL_MAX, "options->max_norm", "NOPT_GRAD_CLIP_NORM");
    check_bound((o.flags & NOPT_GRAD_CLIP_VALUE) != 0, o.max_value, FLT_MAX, "options->max_value",
                "NOPT_GRAD_CLIP_VALUE");
    if (o.loss_scale != NOPT_LOSS_SCALE_ON_DEVICE && o.loss_scale != 0.0) {
        check_normal(o.loss_scale, FLT_MAX, "options->loss_scale");
    }
    return {o.max_norm, o.max_value, o.loss_scale == 0.0 ? 1.0 : o.loss_scale,
            (o.flags & NOPT_GRAD_SKIP_NONFINITE) != 0 ? 1 : 0};
}

}  // namespace

extern "C" {

nopt_status nopt_optimizer_set_loss_scale(nopt_optimizer* optimizer, double loss_scale, void* stream) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        check_normal(loss_scale, FLT_MAX, "loss_scale");
        OptimizerState& own = *optimizer->state;
        const UseGuard guard(*own.set);
        check_stream(own.set->kind, stream);
        if (!own.capturable) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "nopt_optimizer_set_loss_scale: the optimizer is not capturable; call "
                        "nopt_optimizer_set_capturable first, or set nopt_grad_options.loss_scale");
        }
        if (own.counter != nullptr) {
            own.counter->set_loss_scale(loss_scale, stream);
        }
        own.loss_scale = loss_scale;
        own.has_loss_scale = true;
    });
}

nopt_status nopt_optimizer_set_grad_options(nopt_optimizer* optimizer, const nopt_grad_options* options) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        OptimizerState& own = *optimizer->state;
        const UseGuard guard(*own.set);
        if (options == nullptr) {
            own.grads.reset();
            own.grad_input = kNoGradInput;
            own.grads_are_summed = false;
            return;
        }
        const GradInput input = read_grad_options(options);
        if (own.grads == nullptr) {
            own.grads = own.set->backend.create_grads(*own.set);
        }
        own.grad_input = input;
    });
}

nopt_status nopt_optimizer_sum_grads(nopt_optimizer* optimizer, void* stream) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        OptimizerState& own = *optimizer->state;
        ParamSet& set = *own.set;
        const UseGuard guard(set);
        check_stream(set.kind, stream);
        if (own.grads == nullptr || !needs_sum(own.grad_input)) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "nopt_optimizer_sum_grads: the options need no sum; call nopt_optimizer_set_grad_options with "
                        "NOPT_GRAD_CLIP_NORM or NOPT_GRAD_SKIP_NONFINITE first");
        }
        if (!set.bound(NOPT_ROLE_GRAD)) {
            throw Error(NOPT_ERROR_MISSING_ROLE, "role GRAD is not bound; bind it with nopt_param_set_bind");
        }
        begin_passes(own, stream);
        set.backend.sum_grads(set, *own.grads, stream);
        own.grads_are_summed = true;
    });
}

nopt_status nopt_optimizer_get_grad_sum(nopt_optimizer* optimizer, double** sum) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        require_not_null(sum, "sum");
        const OptimizerState& own = *optimizer->state;
        const UseGuard guard(*own.set);
        if (own.grads == nullptr) {
            throw Error(
                NOPT_ERROR_INVALID_STATE,
                "nopt_optimizer_get_grad_sum: there are no options; call nopt_optimizer_set_grad_options first");
        }
        *sum = own.grads->sum();
    });
}

nopt_status nopt_optimizer_get_grad_status(const nopt_optimizer* optimizer, nopt_grad_status* status) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        const OptimizerState& own = *optimizer->state;
        const UseGuard guard(*own.set);
        nopt_grad_status value = {};
        value.clip_coefficient = 1.0;
        if (own.grads != nullptr) {
            const GradReading reading = own.grads->read();
            value.skipped = static_cast<uint32_t>(reading.skipped);
            value.skipped_steps = reading.skipped_steps;
            value.norm = reading.norm;
            value.clip_coefficient = reading.clip_coefficient;
        }
        write_struct(status, value, "status");
    });
}

}  // extern "C"
