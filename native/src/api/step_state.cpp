#include "api/step_state.h"

#include <inttypes.h>

#include "api/api.h"
#include "api/hyperparams.h"

using namespace nopt;

namespace {

constexpr int64_t kMaxStep = Clocks::kMaxStep;

// Throws unless a tensor can be like this.
Clock read_clock(const RuleInfo& info, const nopt_step_state* argument, const char* name) {
    const nopt_step_state s = read_struct(argument, name);
    if (s.reserved != 0) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "%s->reserved is %u; it must be 0", name, s.reserved);
    }
    if (s.step < 0 || s.step > kMaxStep) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "%s->step is %" PRId64 "; it must be 0 to 2^53", name, s.step);
    }
    for (int i = 0; i < kMaxRunning; ++i) {
        const double value = s.running[i];
        if (i >= info.running.count) {
            if (value != 0.0) {
                throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                            "%s->running[%d] is %g, but rule \"%s\" has %d running scalars; leave it 0", name, i, value,
                            info.name, info.running.count);
            }
            continue;
        }
        const RunningInfo& running = info.running[i];
        if (s.step == 0 ? value != running.initial_value : !is_in(running.range, value)) {
            char range[96];
            char initial[96];
            snprintf(initial, sizeof initial, "%g", running.initial_value);
            throw Error(
                NOPT_ERROR_INVALID_ARGUMENT,
                "%s->running[%d] (%s) is %.17g at step %" PRId64 "; it must be %s, and nopt_rule_advance computes it",
                name, i, running.name, value, s.step, s.step == 0 ? initial : describe_range(running.range, range));
        }
    }
    Clock clock = {s.step, {}};
    memcpy(clock.running, s.running, sizeof clock.running);
    return clock;
}

nopt_step_state to_state(const Clock& clock) {
    nopt_step_state state = {};
    state.step = clock.step;
    memcpy(state.running, clock.running, sizeof state.running);
    return state;
}

void require_tensors(const ParamSet& set, int64_t tensor_count) {
    if (tensor_count != static_cast<int64_t>(set.counts.size())) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                    "tensor_count is %" PRId64 ", but the set was created with %zu tensors", tensor_count,
                    set.counts.size());
    }
}

}  // namespace

namespace nopt {

void require_group(const OptimizerState& optimizer, int32_t group) {
    if (group < 0 || group >= optimizer.group_count()) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                    "group is %d; the optimizer has %d, see nopt_optimizer_set_group_count", group,
                    optimizer.group_count());
    }
}

std::vector<Clock> clock_values(const OptimizerState& optimizer) {
    if (optimizer.counter == nullptr) {
        return optimizer.clocks.values();
    }
    std::vector<Clock> values = optimizer.counter->read_all(static_cast<size_t>(optimizer.clocks.count()));
    // What the device has not been told yet.
    for (const Clocks::Copy& copy : optimizer.clocks.copies()) {
        if (static_cast<size_t>(copy.to) < values.size()) {
            values[static_cast<size_t>(copy.to)] = values[static_cast<size_t>(copy.from)];
        }
    }
    return values;
}

}  // namespace nopt

extern "C" {

nopt_status nopt_rule_get_initial_state(const char* rule, nopt_step_state* state) {
    return guarded([&] { write_struct(state, to_state(initial_clock(named_rule(rule).info)), "state"); });
}

nopt_status nopt_rule_advance(const char* rule, const nopt_hyperparams* hyperparams, int64_t steps,
                              nopt_step_state* state) {
    return guarded([&] {
        const Rule& own = named_rule(rule);
        const nopt_hyperparams h = checked_hyperparams(own, hyperparams);
        Clock clock = read_clock(own.info, state, "state");
        if (steps < 0 || steps > kMaxStep - clock.step) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                        "steps is %" PRId64 "; it must be 0 or more, and state->step plus steps at most 2^53", steps);
        }
        StepInput input = {};
        memcpy(input.values, h.values, sizeof input.values);
        input.flags = h.flags;
        if (h.values[kLr] == NOPT_LR_ON_DEVICE) {
            input.values[kLr] = 0.0;  // unknown here; no step depends on what a running scalar makes of it
        }
        const int64_t end = clock.step + steps;
        const bool by_power = (h.flags & NOPT_FLAG_BIAS_CORRECTION_BY_POWER) != 0;
        if ((by_power || own.info.running_follow_from_count) && steps > 0) {
            clock.step = end - 1;  // the last step alone says what they are
        }
        while (clock.step < end) {
            const Clock before = clock;
            own.advance(input, clock);
            if (memcmp(before.running, clock.running, sizeof clock.running) == 0) {
                // A running scalar is a product: one that a step leaves as it is (0 or 1, most often) stays for good.
                clock.step = end;
            }
        }
        write_struct(state, to_state(clock), "state");
    });
}

nopt_status nopt_optimizer_get_state(const nopt_optimizer* optimizer, nopt_step_state* state) {
    return nopt_optimizer_get_group_state(optimizer, 0, state);
}

nopt_status nopt_optimizer_get_group_state(const nopt_optimizer* optimizer, int32_t group, nopt_step_state* state) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        const OptimizerState& own = *optimizer->state;
        const UseGuard guard(*own.set);
        require_group(own, group);
        write_struct(state, to_state(own.counter != nullptr ? own.counter->read(group) : own.clocks.at(group)),
                     "state");
    });
}

nopt_status nopt_optimizer_set_state(nopt_optimizer* optimizer, const nopt_step_state* state) {
    return nopt_optimizer_set_group_state(optimizer, 0, state);
}

nopt_status nopt_optimizer_set_group_state(nopt_optimizer* optimizer, int32_t group, const nopt_step_state* state) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        OptimizerState& own = *optimizer->state;
        const Clock clock = read_clock(own.rule_info().info, state, "state");
        const UseGuard guard(*own.set);
        require_group(own, group);
        own.clocks.follow(*own.set);
        change_clocks(own, [&](Clocks& clocks) { clocks.set_group(group, clock); });
    });
}

nopt_status nopt_optimizer_get_tensor_states(const nopt_optimizer* optimizer, int64_t tensor_count,
                                             nopt_step_state* states) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        const OptimizerState& own = *optimizer->state;
        const UseGuard guard(*own.set);
        require_tensors(*own.set, tensor_count);
        for (int64_t i = 0; i < tensor_count; ++i) {
            array_element(states, i, "states");
        }
        const std::vector<Clock> values = clock_values(own);
        for (int64_t i = 0; i < tensor_count; ++i) {
            const int clock = own.clocks.of_tensor(static_cast<size_t>(i));
            write_struct(array_element(states, i, "states"), to_state(values[static_cast<size_t>(clock)]), "states");
        }
    });
}

nopt_status nopt_optimizer_set_tensor_states(nopt_optimizer* optimizer, int64_t tensor_count,
                                             const nopt_step_state* states) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        OptimizerState& own = *optimizer->state;
        const UseGuard guard(*own.set);
        require_tensors(*own.set, tensor_count);
        std::vector<Clock> values;
        for (int64_t i = 0; i < tensor_count; ++i) {
            char name[32];
            snprintf(name, sizeof name, "states[%" PRId64 "]", i);
            values.push_back(read_clock(own.rule_info().info, array_element(states, i, "states"), name));
        }
        own.clocks.follow(*own.set);
        change_clocks(own, [&](Clocks& clocks) { clocks.set_tensors(values); });
    });
}

}  // extern "C"
