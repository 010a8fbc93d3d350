#include "cpu/step.h"

#include "backend/cohorts.h"
#include "cpu/dimer.h"
#include "cpu/isa.h"
#include "cpu/tasks.h"
#include "cpu/tile.h"

namespace nopt {
namespace {

// The scalars of a cohort.
struct CohortScalars {
    alignas(16) unsigned char values[kMaxScalars];
};

// What the parts of a step share.
struct Step {
    const ParamSet& set;
    const StepPlan& plan;
    const GradReading* const reading;  // null: gradients have no options
    const Rule& rule;
    const ElementwiseKernel kernel;

    Step(const ParamSet& set_, const StepPlan& plan_, const GradReading* reading_)
        : set(set_),
          plan(plan_),
          reading(reading_),
          rule(rule_at(plan_.rule)),
          kernel(selected_cpu_isa().kernels->elementwise[plan_.rule][plan_.inputs[0].variant]) {}

    void write_scalars(int32_t cohort, void* out) const {
        const Cohort& own = plan.cohorts.all()[static_cast<size_t>(cohort)];
        const StepInput& input = plan.inputs[own.group];
        if (reading == nullptr) {
            write_scalars(own, input, out);
        } else {
            StepInput with_grads = input;
            apply_gradients(plan.grads->input, *reading, with_grads);
            write_scalars(own, with_grads, out);
        }
    }

    void write_scalars(const Cohort& own, const StepInput& input, void* out) const {
        rule.scalars(input, plan.clocks.next(own.clock), own.lr_scale, weight_decay_of(own.weight_decay, input), out);
    }
};

// Where the buffers of plain steps are. An optimizer keeps this until a buffer changes: to find it anew takes as long
// as the step of a few dozen elements.
struct CpuOptimizer final : OptimizerData {
    ElementwiseBuffers buffers = {};
    uint64_t version = UINT64_MAX;  // of the set when they were found
};

const ElementwiseBuffers& plain_buffers(const Step& step) {
    CpuOptimizer& own = static_cast<CpuOptimizer&>(*step.plan.data);
    const ParamSet& set = step.set;
    if (own.version != set.version) {
        own.buffers.param = set.pointers[NOPT_ROLE_PARAM].data();
        own.buffers.param_source = own.buffers.param;
        own.buffers.grad = set.pointers[NOPT_ROLE_GRAD].data();
        for (int i = 0; i < step.rule.info.states.count; ++i) {
            own.buffers.states[i] = set.pointers[state_role(i)].data();
        }
        for (int i = 0; i < step.rule.info.inputs.count; ++i) {
            const std::vector<void*>& input = set.pointers[input_role(i)];
            own.buffers.inputs[i] = input.empty() ? nullptr : input.data();
        }
        own.buffers.counts = set.counts.data();
        own.version = set.version;
    }
    return own.buffers;
}

// One kernel(args) for tensors of a task in a row that are of one cohort.
template <class Args, class Kernel>
void run_cohorts(const Step& step, const Args& task, const Kernel& kernel) {
    const int32_t* const of_tensor = step.plan.cohorts.of_tensor().data();
    CohortScalars own;
    Args args = task;
    args.scalars = own.values;
    for (int64_t t = task.first; t <= task.last; ++t) {
        if (t < task.last && of_tensor[t + 1] == of_tensor[t]) {
            continue;
        }
        step.write_scalars(of_tensor[t], own.values);
        args.last = t;
        args.end = t == task.last ? task.end : step.set.counts[static_cast<size_t>(t)];
        kernel(args);
        args.first = t + 1;
        args.begin = 0;
    }
}

// A step on float32 buffers: a task at a time, in one call of the kernel unless its tensors are of several cohorts.
struct PlainStep {
    const Step& step;
    const ElementwiseBuffers& buffers;
    const void* scalars;  // of all tensors; null: there are several cohorts

    static void run_task(void* context, int64_t task) {
        const PlainStep& plain = *static_cast<const PlainStep*>(context);
        const TaskStart* const starts = &cpu_data(plain.step.set).starts[static_cast<size_t>(task)];
        const ElementwiseArgs args = {plain.buffers,     starts[0].tensor,  starts[1].tensor,
                                      starts[0].element, starts[1].element, plain.scalars};
        if (args.scalars != nullptr) {
            plain.step.kernel(args);
        } else {
            run_cohorts(plain.step, args, plain.step.kernel);
        }
    }
};

void plain_step(const Step& step) {
    alignas(16) unsigned char scalars[kMaxScalars];
    const bool is_one = step.plan.cohorts.is_one();
    if (is_one) {
        step.write_scalars(0, scalars);
    }
    PlainStep plain = {step, plain_buffers(step), is_one ? scalars : nullptr};
    parallel_for(cpu_data(step.set).task_count(), &PlainStep::run_task, &plain);
}

// Turns N in other ways than by the rate.
struct DimerTurns {
    const ParamSet& set;
    const DimerPass& dimer;
    const CpuIsa& isa;

    static void turn_part(const void* context, int64_t tensor, int64_t begin, int64_t count) {
        static_cast<const DimerTurns*>(context)->turn(static_cast<size_t>(tensor), begin, count);
    }

    void turn(size_t tensor, int64_t begin, int64_t count) const {
        const Tile tile(set, *isa.convert, tensor, begin, count);
        TileRoom grad, displaced;
        DimerArgs args = dimer_args(set, dimer.grad, dimer.displaced, tensor, begin, count);
        args.grad = tile.read(dimer.grad, grad);
        args.displaced = tile.read(dimer.displaced, displaced);
        isa.dimer->turn(args, scope_of(dimer, tensor), dimer.decision);
    }
};

RoleBuffers role_buffers(const ParamSet& set, nopt_role role) {
    const std::vector<void*>& addresses = set.pointers[role];
    return {addresses.empty() ? nullptr : addresses.data(), set.dtypes(role)};
}

// Small tensors in a row, all float32: a dimer's corrected gradients come to lie side by side, and one call of the
// plain kernel steps them all, as the mixed one takes longer for each tensor. (1000 tensors of 100, AVX-512, one
// thread, Adam with a dimer that keeps its direction: 94 us, 139 with mixed kernels, 47 without a dimer.)
class SmallTensors {
public:
    static constexpr int64_t kLargest = 1024;  // elements of one

    SmallTensors(const Step& step, const CpuIsa& isa, const MixedArgs& args)
        : step_(step), isa_(isa), args_(args), dimer_(*step.plan.dimer) {}

    bool has_room_for(int64_t count) const { return tensors_ < kTensors && elements_ + count <= kElements; }

    // The tensor after the last one.
    void add(int64_t tensor) {
        const size_t t = static_cast<size_t>(tensor);
        if (tensors_ == 0) {
            first_ = tensor;
        }
        grads_[tensors_++] = step_.set.pointers[NOPT_ROLE_GRAD][t] == nullptr ? nullptr : corrected(t);
    }

    void flush() {
        if (tensors_ == 0) {
            return;
        }
        ElementwiseBuffers buffers = {};
        buffers.param = args_.buffers.param.addresses + first_;
        buffers.param_source = args_.buffers.source.addresses + first_;
        buffers.grad = grads_;
        for (int i = 0; i < step_.rule.info.states.count; ++i) {
            void* const* const state = args_.buffers.states[i].addresses;
            buffers.states[i] = state == nullptr ? nullptr : state + first_;
        }
        for (int i = 0; i < step_.rule.info.inputs.count; ++i) {
            void* const* const input = args_.buffers.inputs[i].addresses;
            buffers.inputs[i] = input == nullptr ? nullptr : input + first_;
        }
        buffers.counts = args_.buffers.counts + first_;
        step_.kernel({buffers, 0, tensors_ - 1, 0, buffers.counts[tensors_ - 1], args_.scalars});
        tensors_ = 0;
        elements_ = 0;
    }

private:
    static constexpr int64_t kElements = 4096;
    static constexpr int64_t kTensors = 128;

    const float* corrected(size_t tensor) {
        const int64_t count = step_.set.counts[tensor];
        const DimerScope& scope = scope_of(dimer_, tensor);
        const DimerArgs args = dimer_args(step_.set, dimer_.grad, dimer_.displaced, tensor, 0, count);
        if (dimer_.decision != kDecideProject) {
            isa_.dimer->turn(args, scope, dimer_.decision);
        }
        if (scope.correction == 0.0f) {
            return args.grad;
        }
        float* const own = room_ + elements_;
        elements_ += count;
        isa_.dimer->project(args, scope.correction, own);
        return own;
    }

    const Step& step_;
    const CpuIsa& isa_;
    const MixedArgs& args_;
    const DimerPass& dimer_;
    int64_t first_ = 0;
    int64_t tensors_ = 0;
    int64_t elements_ = 0;
    const void* grads_[kTensors];
    float room_[kElements];
};

// A step with a dimer, or where some elements have 16 or 8 bits.
struct MixedStep {
    const Step& step;
    const CpuIsa& isa;
    const MixedKernel kernel;
    const void* scalars;  // of all tensors; null: there are several cohorts
    const MixedDimer* dimer;
    MixedBuffers buffers = {};

    static void run_task(void* context, int64_t task) {
        const MixedStep& mixed = *static_cast<const MixedStep*>(context);
        const TaskStart* const starts = &cpu_data(mixed.step.set).starts[static_cast<size_t>(task)];
        const StepInput& input = mixed.step.plan.inputs[0];  // all groups round alike
        const MixedArgs args = {
            mixed.buffers,      starts[0].tensor, starts[1].tensor, starts[0].element,
            starts[1].element,  mixed.scalars,    mixed.dimer,      input.flags & kStochasticRounding,
            input.rounding_seed};
        if (args.scalars != nullptr) {
            mixed.run(args);
        } else {
            run_cohorts(mixed.step, args, [&](const MixedArgs& cohort) { mixed.run(cohort); });
        }
    }

    void run(const MixedArgs& args) const {
        if (step.set.is_mixed || args.first == args.last) {
            kernel(args);
            return;
        }
        SmallTensors small(step, isa, args);
        for (int64_t t = args.first; t <= args.last; ++t) {
            const int64_t begin = t == args.first ? args.begin : 0;
            const int64_t end = t == args.last ? args.end : buffers.counts[t];
            if (begin != 0 || end != buffers.counts[t] || end > SmallTensors::kLargest) {
                small.flush();
                MixedArgs one = args;
                one.first = one.last = t;
                one.begin = begin;
                one.end = end;
                kernel(one);
                continue;
            }
            if (!small.has_room_for(end)) {
                small.flush();
            }
            small.add(t);
        }
        small.flush();
    }
};

void mixed_step(const Step& step) {
    const ParamSet& set = step.set;
    const DimerPass* const dimer = step.plan.dimer;
    const CpuIsa& isa = selected_cpu_isa();
    const bool turns = dimer != nullptr && dimer->decision != kDecideProject;
    alignas(16) unsigned char scalars[kMaxScalars];
    const bool is_one = step.plan.cohorts.is_one();
    if (is_one) {
        step.write_scalars(0, scalars);
    }
    MixedStep mixed = {step, isa, isa.mixed->elementwise[step.plan.rule][step.plan.inputs[0].variant],
                       is_one ? scalars : nullptr, nullptr};
    mixed.buffers.param = role_buffers(set, NOPT_ROLE_PARAM);
    mixed.buffers.source = turns ? role_buffers(set, NOPT_ROLE_PARAM_BACKUP) : mixed.buffers.param;
    mixed.buffers.master = role_buffers(set, NOPT_ROLE_MASTER_PARAM);
    mixed.buffers.remainder = role_buffers(set, NOPT_ROLE_PARAM_REMAINDER);
    mixed.buffers.given = role_buffers(set, NOPT_ROLE_GRAD);
    mixed.buffers.grad = dimer == nullptr ? mixed.buffers.given : role_buffers(set, dimer->grad);
    for (int i = 0; i < step.rule.info.states.count; ++i) {
        mixed.buffers.states[i] = role_buffers(set, state_role(i));
    }
    for (int i = 0; i < step.rule.info.inputs.count; ++i) {
        mixed.buffers.inputs[i] = role_buffers(set, input_role(i));
    }
    mixed.buffers.counts = set.counts.data();
    if (dimer == nullptr) {
        parallel_for(cpu_data(set).task_count(), &MixedStep::run_task, &mixed);
        return;
    }
    const DimerTurns turns_otherwise = {set, *dimer, isa};
    const CpuDimer& data = cpu_dimer(*dimer);
    const bool rotates = dimer->decision == kDecideRotate;
    const MixedDimer mixed_dimer = {turns ? role_buffers(set, dimer->displaced) : RoleBuffers{},
                                    role_buffers(set, NOPT_ROLE_DIRECTION),
                                    data.scopes.data(),
                                    data.per_tensor,
                                    rotates,
                                    turns && !rotates ? &DimerTurns::turn_part : nullptr,
                                    &turns_otherwise};
    mixed.dimer = &mixed_dimer;
    parallel_for(cpu_data(set).task_count(), &MixedStep::run_task, &mixed);
}

}  // namespace

std::unique_ptr<OptimizerData> make_cpu_optimizer() { return std::make_unique<CpuOptimizer>(); }

bool cpu_step(const ParamSet& set, const StepPlan& plan, const GradReading* reading) {
    const Step step(set, plan, reading);
    if (plan.dimer == nullptr && !set.is_mixed) {
        plain_step(step);
    } else {
        mixed_step(step);
    }
    return true;
}

}  // namespace nopt
