#include "api/api.h"
#include "api/hyperparams.h"
#include "api/step.h"
#include "api/step_state.h"

#include <math.h>

#include <algorithm>

using namespace nopt;

extern "C" {

nopt_status nopt_optimizer_create(nopt_param_set* set, const char* rule, nopt_optimizer** optimizer) {
    return guarded([&] {
        require_not_null(set, "set");
        require_not_null(optimizer, "optimizer");
        int index;
        named_rule(rule, &index);
        const UseGuard guard(*set->set);
        *optimizer = new nopt_optimizer{std::make_shared<OptimizerState>(set->set, index)};
    });
}

nopt_status nopt_optimizer_destroy(nopt_optimizer* optimizer) {
    return guarded([&] { delete optimizer; });
}

nopt_status nopt_optimizer_get_roles(const nopt_optimizer* optimizer, const nopt_hyperparams* hyperparams,
                                     uint32_t* role_mask) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        require_not_null(role_mask, "role_mask");
        const OptimizerState& own = *optimizer->state;
        const UseGuard guard(*own.set);
        const nopt_hyperparams h = read_hyperparams(own, hyperparams, 0);
        *role_mask = 1u << NOPT_ROLE_PARAM | 1u << NOPT_ROLE_GRAD |
                     own.rule_info().states_of(h.flags, h.values) << NOPT_ROLE_STATE;
    });
}

nopt_status nopt_optimizer_set_group_count(nopt_optimizer* optimizer, int32_t group_count) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        if (group_count < 1) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "group_count is %d; it must be 1 or more", group_count);
        }
        OptimizerState& own = *optimizer->state;
        ParamSet& set = *own.set;
        const UseGuard guard(set);
        if (group_count == own.group_count()) {
            return;
        }
        // All that may lack memory comes first.
        const size_t groups = static_cast<size_t>(group_count);
        own.checked.reserve(groups);
        own.inputs.reserve(groups);
        if (own.data != nullptr) {
            own.data->set_group_count(group_count);
        }
        std::vector<double> lr = own.lr;
        lr.resize(groups, kNoLr);
        std::unique_ptr<StepCounter> counter;
        if (own.counter != nullptr) {
            counter = set.backend.create_step_counter(set, lr, own.loss_scale);
        }
        own.clocks.follow(set);
        if (counter != nullptr) {
            own.clocks.set_values(clock_values(own));
        }
        own.clocks.set_group_count(set, group_count);
        if (counter != nullptr) {
            own.clocks.forget_copies();
            counter->write_all(own.clocks.values());
            own.counter = std::move(counter);
        }
        own.checked.resize(groups);
        own.inputs.resize(groups);
        own.lr.swap(lr);
        own.checked_version = OptimizerState::kUnchecked;
    });
}

nopt_status nopt_optimizer_set_capturable(nopt_optimizer* optimizer, int32_t capturable, void* stream) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        if (capturable != 0 && capturable != 1) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "capturable is %d; it must be 0 or 1", capturable);
        }
        OptimizerState& own = *optimizer->state;
        ParamSet& set = *own.set;
        const UseGuard guard(set);
        check_stream(set.kind, stream);
        if (own.capturable == (capturable != 0)) {
            return;
        }
        set.backend.stream_synchronize(set.device, stream);
        if (capturable != 0) {
            own.counter = set.backend.create_step_counter(set, std::vector<double>(own.lr.size(), kNoLr), 1.0);
            if (own.counter != nullptr) {
                own.counter->write_all(own.clocks.values());
            }
        } else if (own.counter != nullptr) {
            own.clocks.set_values(clock_values(own));
            own.counter.reset();
        }
        own.clocks.forget_copies();
        own.clocks.set_counted_by_device(own.counter != nullptr);
        own.capturable = capturable != 0;
        own.checked_version = OptimizerState::kUnchecked;
        std::fill(own.lr.begin(), own.lr.end(), kNoLr);
        own.has_loss_scale = false;
    });
}

nopt_status nopt_optimizer_upload(nopt_optimizer* optimizer, void* stream) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        OptimizerState& own = *optimizer->state;
        const UseGuard guard(*own.set);
        check_stream(own.set->kind, stream);
        follow_set(own);
        own.set->backend.upload(own, stream);
    });
}

nopt_status nopt_optimizer_set_lr(nopt_optimizer* optimizer, double lr, void* stream) {
    return nopt_optimizer_set_group_lr(optimizer, 0, lr, stream);
}

nopt_status nopt_optimizer_set_group_lr(nopt_optimizer* optimizer, int32_t group, double lr, void* stream) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        OptimizerState& own = *optimizer->state;
        check_hyperparam(own.rule_info().info.hyperparams[kLr], lr);
        const UseGuard guard(*own.set);
        require_group(own, group);
        check_stream(own.set->kind, stream);
        if (!own.capturable) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "nopt_optimizer_set_lr: the optimizer is not capturable; call nopt_optimizer_set_capturable "
                        "first, or pass the learning rate with each step");
        }
        require_learning_rates(own, group, lr);
        if (own.counter != nullptr) {
            own.counter->set_lr(group, lr, stream);
        }
        own.lr[static_cast<size_t>(group)] = lr;
    });
}

}  // extern "C"
