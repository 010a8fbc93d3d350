// The launches of one step.
#pragma once

#include "cuda/cohort_tables.cuh"
#include "cuda/decide.cuh"
#include "cuda/dimer_elements.cuh"
#include "cuda/grad_decision.cuh"
#include "cuda/grads.cuh"
#include "cuda/kernel_tables.cuh"
#include "cuda/prepare.cuh"
#include "cuda/set_tables.cuh"
#include "cuda/sources.cuh"
#include "cuda/step_counter.cuh"

namespace nopt {

inline GradDecision grad_decision(const StepPlan& plan) {
    GradDecision decision = {};
    if (plan.grads == nullptr) {
        return decision;
    }
    const CudaGrads& grads = static_cast<const CudaGrads&>(plan.grads->data);
    decision.input = plan.grads->input;
    decision.growth = plan.dimer == nullptr ? 1.0 : growth_of(plan.dimer->input);
    decision.reading = grads.reading.get();
    decision.published = grads.published.device;
    decision.skip = grads.skip.get();
    if (needs_sum(plan.grads->input)) {
        const CudaSums& sums = plan.dimer == nullptr ? grads.sums : dimer_of(*plan.dimer).sums;
        decision.sums = sums.sums.get();
        decision.scopes = plan.dimer == nullptr ? nullptr : dimer_of(*plan.dimer).scopes.get();
        decision.scope_count = sums.scope_count;
        decision.kind = plan.dimer == nullptr ? kSumsGradNorm : sums_for(plan.dimer->decision, plan.dimer->with_norm);
    }
    return decision;
}

// Decides about the gradients, counts the step if the device does, and returns the scalars of all cohorts.
inline CohortScalars prepare_scalars(CudaSet& data, const StepPlan& plan, const GradDecision& decision,
                                     cudaStream_t stream) {
    CudaOptimizer& optimizer = static_cast<CudaOptimizer&>(*plan.data);
    const Rule& rule = rule_at(plan.rule);
    const bool few = plan.cohorts.all().size() <= kFewCohorts;
    if (plan.counter == nullptr && plan.grads == nullptr && few) {
        return optimizer.scalars_by_host(rule, plan.inputs, plan.clocks, plan.cohorts);
    }
    const HostClocks host_clocks =
        plan.counter != nullptr ? HostClocks{} : optimizer.host_clocks(plan.clocks, data.staging, stream);
    launch(rule.info.name, kernels_of(plan.rule).prepare, 1, kThreadsPerBlock, stream,
           optimizer.inputs(plan.inputs, plan.clocks.group_count(), stream), decision, counter_table(plan.counter),
           host_clocks, optimizer.table());
    return optimizer.scalars_by_device();
}

inline UpdateTable update_table(const ParamSet& set, const StepPlan& plan, const int32_t* skip) {
    const CudaSet& data = set_data(set);
    const RuleInfo& info = rule_at(plan.rule).info;
    const StepInput& first = plan.inputs[0];
    const DimerPass* const dimer = plan.dimer;
    UpdateTable table = {};
    table.set = data.piece_table();
    table.theta = data.theta_table(set);
    table.theta.rounding = {first.rounding_seed, (first.flags & NOPT_FLAG_STOCHASTIC_ROUNDING) != 0 ? 1 : 0,
                            (first.flags & NOPT_FLAG_STOCHASTIC_ROUNDING_STATES) != 0 ? 1 : 0};
    const bool is_displaced = dimer != nullptr && dimer->decision != kDecideProject;
    table.theta_source = is_displaced ? data.table(set, NOPT_ROLE_PARAM_BACKUP) : table.theta.param;
    table.grad = data.table(set, dimer == nullptr ? NOPT_ROLE_GRAD : dimer->grad);
    const uint32_t states = info.variants[static_cast<int>(first.variant)];
    for (int s = 0; s < info.states.count; ++s) {
        table.states[s] = (states >> s & 1u) != 0 ? data.table(set, state_role(s)) : nullptr;
    }
    for (int n = 0; n < info.inputs.count; ++n) {
        table.inputs[n] = data.table(set, input_role(n));
    }
    table.skip = skip;
    return table;
}

// The device is current.
inline void launch_step(const ParamSet& set, const StepPlan& plan, cudaStream_t stream) {
    CudaSet& data = set_data(set);
    const DimerPass* const dimer = plan.dimer;
    const GradDecision decision = grad_decision(plan);
    const CohortScalars scalars = prepare_scalars(data, plan, decision, stream);
    if (dimer != nullptr && dimer->with_norm) {
        DecideTable table = decide_table(*dimer);
        table.skip = decision.skip;
        table.input.step -= plan.counter == nullptr ? 0 : 1;  // it is counted already
        decide_scopes(set, *dimer, table, stream);
    }
    if (!data.has_pieces()) {
        return;
    }
    if (plan.grads != nullptr && plan.grads->input.skips != 0 && dimer != nullptr &&
        dimer->decision != kDecideProject) {
        run_dimer_pass<RestoreElements>("restoring", set, nullptr, 0.0, stream, decision.skip);
    }
    const RuleKernels& kernels = kernels_of(plan.rule);
    const char* const name = rule_at(plan.rule).info.name;
    const UpdateTable table = update_table(set, plan, decision.skip);
    // A state of DYNAMIC8 may be one that this rule has not.
    const bool has_blocks = set.has_dynamic8 && kernels.blockwise_dimer != nullptr;
    if (dimer == nullptr) {
        const PlainKernel(&of_variants)[kMaxVariants] = has_blocks     ? kernels.blockwise
                                                        : set.is_mixed ? kernels.mixed
                                                                       : kernels.plain;
        data.launch_pieces(name, of_variants[plan.inputs[0].variant], stream, table, scalars);
    } else {
        const DimerKernel kernel = has_blocks     ? kernels.blockwise_dimer
                                   : set.is_mixed ? kernels.mixed_dimer
                                                  : kernels.dimer;
        data.launch_pieces(name, kernel, stream, table, dimer_table(set, dimer), scalars);
    }
}

}  // namespace nopt
