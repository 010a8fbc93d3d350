#include "cpu/step.h"

#include "backend/cohorts.h"
#include "cpu/dimer.h"
#include "cpu/isa.h"
#include "cpu/tasks.h"
#include "cpu/tile.h"

namespace nopt {
namespace {

// The scalars of a cohort, kept from one tensor to the next: most tensors share them.
struct CohortScalars {
    alignas(16) unsigned char values[kMaxScalars];
    int32_t cohort = -1;

    const CommonScalars& common() const { return *reinterpret_cast<const CommonScalars*>(values); }
};

// What the parts of a step share.
struct Step {
    const ParamSet& set;
    const StepPlan& plan;
    const GradReading* const reading;  // null: gradients have no options
    const Rule& rule;
    const uint32_t states;  // that there are, by bit
    const ElementwiseKernel kernel;

    Step(const ParamSet& set_, const StepPlan& plan_, const GradReading* reading_)
        : set(set_),
          plan(plan_),
          reading(reading_),
          rule(rule_at(plan_.rule)),
          states(rule.info.variants[static_cast<int>(plan_.inputs[0].variant)]),
          kernel(selected_cpu_isa().kernels->elementwise[plan_.rule][plan_.inputs[0].variant]) {}

    int32_t cohort_of(size_t tensor) const { return plan.cohorts.is_one() ? 0 : plan.cohorts.of_tensor()[tensor]; }

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

    bool has_state(int i) const { return (states >> i & 1u) != 0; }
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
            plain.run_cohorts(args);
        }
    }

    // One call for tensors in a row that are of one cohort.
    void run_cohorts(const ElementwiseArgs& task) const {
        const int64_t last = task.last;
        const int64_t end = task.end;
        const int32_t* const of_tensor = step.plan.cohorts.of_tensor().data();
        CohortScalars own;
        ElementwiseArgs args = task;
        args.scalars = own.values;
        for (int64_t t = args.first; t <= last; ++t) {
            if (t < last && of_tensor[t + 1] == of_tensor[t]) {
                continue;
            }
            step.write_scalars(of_tensor[t], own.values);
            args.last = t;
            args.end = t == last ? end : step.set.counts[static_cast<size_t>(t)];
            step.kernel(args);
            args.first = t + 1;
            args.begin = 0;
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

// Room for what a tile's kernels take.
struct TileRooms {
    TileRoom grad;
    TileRoom displaced;
    TileRoom corrected;
    TileRoom theta;
    TileRoom param;
    TileRoom states[kMaxStates];
    TileRoom inputs[kMaxInputs];
};

// A step with a dimer, or where some elements have 16 or 8 bits: a tile at a time.
struct TiledStep {
    using PerTask = CohortScalars;

    const Step& step;
    const DimerKernels& dimer_kernels;
    const ConvertKernels& convert;

    void operator()(PerTask& own, size_t tensor, int64_t begin, int64_t end, int64_t) const {
        const ParamSet& set = step.set;
        if (set.pointers[NOPT_ROLE_GRAD][tensor] == nullptr) {
            return;  // frozen
        }
        const int32_t cohort = step.cohort_of(tensor);
        if (own.cohort != cohort) {
            step.write_scalars(cohort, own.values);
            own.cohort = cohort;
        }
        for (int64_t at = begin; at < end; at += kTileElements) {
            const int64_t count = end - at < kTileElements ? end - at : kTileElements;
            if (set.is_mixed) {
                mixed_tile(own, tensor, at, count);
            } else {
                float32_tile(own, tensor, at, count);
            }
        }
    }

    // With a dimer, all buffers being float32.
    void float32_tile(const PerTask& own, size_t tensor, int64_t at, int64_t count) const {
        const ParamSet& set = step.set;
        const DimerPass& dimer = *step.plan.dimer;
        const bool turns = dimer.decision != kDecideProject;
        TileRoom corrected_room;
        const DimerArgs args = dimer_args(set, dimer.grad, dimer.displaced, tensor, at, count);
        const float* const grad = turn_and_project(args, scope_of(dimer, tensor), turns, corrected_room);
        float* states[kMaxStates];
        const float* inputs[kMaxInputs];
        for (int i = 0; i < step.rule.info.states.count; ++i) {
            states[i] = elements(set, state_role(i), tensor, at);
        }
        for (int i = 0; i < step.rule.info.inputs.count; ++i) {
            inputs[i] =
                set.pointer(input_role(i), tensor) == nullptr ? nullptr : elements(set, input_role(i), tensor, at);
        }
        update(own, count, args.param, turns ? args.param_backup : args.param, grad, states, inputs);
    }

    // Where some elements have 16 or 8 bits.
    void mixed_tile(const PerTask& own, size_t tensor, int64_t at, int64_t count) const {
        const ParamSet& set = step.set;
        const RuleInfo& info = step.rule.info;
        const DimerPass* const dimer = step.plan.dimer;
        const bool turns = dimer != nullptr && dimer->decision != kDecideProject;
        TileRooms rooms;
        const Tile tile(set, convert, tensor, at, count);
        const float* grad = tile.read(dimer == nullptr ? NOPT_ROLE_GRAD : dimer->grad, rooms.grad);
        if (dimer != nullptr) {
            DimerArgs args = dimer_args(set, dimer->grad, dimer->displaced, tensor, at, count);
            args.grad = grad;
            args.displaced = turns ? tile.read(dimer->displaced, rooms.displaced) : nullptr;
            grad = turn_and_project(args, scope_of(*dimer, tensor), turns, rooms.corrected);
        }
        float* const theta = tile.read_theta(turns ? NOPT_ROLE_PARAM_BACKUP : NOPT_ROLE_PARAM, rooms.theta);
        float* const param = tile.written_theta(theta, rooms.param);
        float* states[kMaxStates] = {};
        const float* inputs[kMaxInputs];
        bool has_blocks = false;
        for (int i = 0; i < info.states.count; ++i) {
            if (step.has_state(i)) {
                states[i] = tile.read_state(state_role(i), info.states[i].sign, rooms.states[i]);
                has_blocks = has_blocks || set.dtype(state_role(i), tensor) == NOPT_DTYPE_DYNAMIC8;
            }
        }
        for (int i = 0; i < info.inputs.count; ++i) {
            inputs[i] = tile.read(input_role(i), rooms.inputs[i]);
        }
        update(own, count, param, theta, grad, states, inputs);
        if (has_blocks) {
            convert.restart_elements(states, count);
        }
        const StepInput& input = step.plan.inputs[0];
        tile.write_back_theta(param, input, own.common().step);
        for (int i = 0; i < info.states.count; ++i) {
            if (step.has_state(i)) {
                tile.write_back_state(i, info.states[i].sign, states[i], rooms.states[i], input, own.common().step);
            }
        }
    }

    // The gradient that the rule sees.
    const float* turn_and_project(const DimerArgs& args, const DimerScope& scope, bool turns,
                                  TileRoom& corrected_room) const {
        if (turns) {
            dimer_kernels.turn(args, scope, step.plan.dimer->decision);
        }
        if (scope.correction == 0.0f) {
            return args.grad;
        }
        dimer_kernels.project(args, scope.correction, corrected_room);
        return corrected_room;
    }

    // Runs the kernel on a tile: tables of one address each.
    void update(const PerTask& own, int64_t count, float* param, const float* source, const float* grad,
                float* const (&states)[kMaxStates], const float* const (&inputs)[kMaxInputs]) const {
        void* const param_table = param;
        const void* const source_table = source;
        const void* const grad_table = grad;
        void* state_table[kMaxStates];
        const void* input_table[kMaxInputs];
        ElementwiseBuffers buffers;
        buffers.param = &param_table;
        buffers.param_source = &source_table;
        buffers.grad = &grad_table;
        for (int i = 0; i < step.rule.info.states.count; ++i) {
            state_table[i] = states[i];
            buffers.states[i] = &state_table[i];
        }
        for (int i = 0; i < step.rule.info.inputs.count; ++i) {
            input_table[i] = inputs[i];
            buffers.inputs[i] = &input_table[i];
        }
        buffers.counts = nullptr;
        step.kernel({buffers, 0, 0, 0, count, own.values});
    }
};

void tiled_step(const Step& step) {
    const CpuIsa& isa = selected_cpu_isa();
    for_each_part(step.set, TiledStep{step, *isa.dimer, *isa.convert});
}

}  // namespace

std::unique_ptr<OptimizerData> make_cpu_optimizer() { return std::make_unique<CpuOptimizer>(); }

bool cpu_step(const ParamSet& set, const StepPlan& plan, const GradReading* reading) {
    const Step step(set, plan, reading);
    if (plan.dimer == nullptr && !set.is_mixed) {
        plain_step(step);
    } else {
        tiled_step(step);
    }
    return true;
}

}  // namespace nopt
