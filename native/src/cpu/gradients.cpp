#include "cpu/gradients.h"

#include "backend/param_set.h"
#include "cpu/dimer.h"
#include "cpu/step.h"
#include "cpu/sums.h"
#include "cpu/tasks.h"

namespace nopt {
namespace {

struct CpuGrads final : GradData {
    double* sum() override { return &sums.value[0]; }
    GradReading read() const override { return reading; }

    std::vector<Sums> chunk_sums;
    Sums sums = {};
    GradReading reading = kNoGradReading;
};

}  // namespace

std::unique_ptr<GradData> make_cpu_grads(const ParamSet& set) {
    auto grads = std::make_unique<CpuGrads>();
    grads->chunk_sums.resize(static_cast<size_t>(cpu_data(set).chunk_count()));
    return grads;
}

void cpu_sum_grads(const ParamSet& set, GradData& data) {
    CpuGrads& grads = static_cast<CpuGrads&>(data);
    sum_chunks(set, kSumsGradNorm, NOPT_ROLE_GRAD, NOPT_ROLE_GRAD, grads.chunk_sums);
    grads.sums = tree_of_chunks(grads.chunk_sums.data(), static_cast<int64_t>(grads.chunk_sums.size()));
}

bool cpu_step_with_grads(ParamSet& set, const StepPlan& plan) {
    CpuGrads& grads = static_cast<CpuGrads&>(plan.grads->data);
    double sum = grads.sums.value[0];
    double probe = sum;
    const bool dimer_has_sum = plan.dimer != nullptr && plan.dimer->with_norm;
    if (dimer_has_sum) {
        sum_scopes(*plan.dimer, sum, probe);
    }
    const double growth = plan.dimer == nullptr ? 1.0 : growth_of(plan.dimer->input);
    if (!decide_gradients(plan.grads->input, sum, probe, growth, grads.reading)) {
        if (plan.dimer != nullptr && plan.dimer->decision != kDecideProject) {
            cpu_dimer_restore(set);
        }
        return false;
    }
    if (dimer_has_sum) {
        cpu_dimer_decide(set, *plan.dimer);
    }
    return cpu_step(set, plan, &grads.reading);
}

}  // namespace nopt
