// The CPU backend: everything is done when a function returns, on the threads of the pool.
#include <stdio.h>
#include <string.h>

#if !defined(_WIN32)
#include <unistd.h>
#endif

#include "backend/param_set.h"
#include "cpu/dimer.h"
#include "cpu/gradients.h"
#include "cpu/isa.h"
#include "cpu/memory.h"
#include "cpu/step.h"
#include "cpu/tasks.h"

namespace nopt {
namespace {

class CpuBackend final : public Backend {
public:
    int device_count() override { return 1; }

    void device_info(int, nopt_device_info& info) override {
        info.processor_count = num_threads();
#if !defined(_WIN32)
        info.memory_bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<int64_t>(sysconf(_SC_PAGESIZE));
#endif
        snprintf(info.name, sizeof info.name, "CPU (%s)", selected_cpu_isa().name);
    }

    void* alloc(int, int64_t bytes) override { return cpu_alloc(bytes); }
    void free(int, void* memory) override { cpu_free(memory); }
    void copy(int, void* destination, const void* source, int64_t bytes, void*) override {
        memcpy(destination, source, static_cast<size_t>(bytes));
    }
    void fill(int, void* destination, int64_t count, int bytes, uint32_t bits, void*) override {
        cpu_fill(destination, count, bytes, bits);
    }

    void* stream_create(int) override { return nullptr; }
    void stream_destroy(int, void*) override {}
    void stream_synchronize(int, void*) override {}
    void check_pointer(int, const void*, const char*, int64_t) override {}

    std::unique_ptr<BackendData> create_data(const ParamSet& set) override { return make_tasks(set.counts); }

    std::unique_ptr<OptimizerData> create_optimizer(const ParamSet&) override { return make_cpu_optimizer(); }

    bool step(ParamSet& set, const StepPlan& plan, void*) override {
        return plan.grads == nullptr ? cpu_step(set, plan, nullptr) : cpu_step_with_grads(set, plan);
    }

    std::unique_ptr<GradData> create_grads(const ParamSet& set) override { return make_cpu_grads(set); }
    void sum_grads(ParamSet& set, GradData& grads, void*) override { cpu_sum_grads(set, grads); }

    std::unique_ptr<DimerData> create_dimer(const ParamSet& set, nopt_dimer_scope scope) override {
        return make_dimer(set, scope);
    }
    Sums* dimer_sums(DimerData& data) override { return static_cast<CpuDimer&>(data).sums.data(); }
    void dimer_sum(ParamSet& set, const DimerPass& pass, bool decides, void*) override {
        cpu_dimer_sum(set, pass);
        if (decides) {
            cpu_dimer_decide(set, pass);
        }
    }
    void dimer_decide(ParamSet& set, const DimerPass& pass, void*) override { cpu_dimer_decide(set, pass); }
    void dimer_randomize(ParamSet& set, uint64_t seed, uint64_t first_element, void*) override {
        cpu_dimer_randomize(set, seed, first_element);
    }
    void dimer_scale(ParamSet& set, const DimerPass& pass, void*) override { cpu_dimer_scale(set, pass); }
    void dimer_displace(ParamSet& set, double displacement, void*) override { cpu_dimer_displace(set, displacement); }
    void dimer_turn(ParamSet& set, const DimerPass& pass, void*) override { cpu_dimer_turn(set, pass); }
    void dimer_restore(ParamSet& set, void*) override { cpu_dimer_restore(set); }
    DimerReading dimer_read(DimerData& data, int64_t scope) override {
        return static_cast<CpuDimer&>(data).scopes[static_cast<size_t>(scope)];
    }
    void dimer_set(DimerData& data, double DimerReading::*field, const double* values, void*) override {
        for (DimerScope& scope : static_cast<CpuDimer&>(data).scopes) {
            scope.*field = *values++;
        }
    }
};

}  // namespace

Backend& cpu_backend() {
    static CpuBackend instance;
    return instance;
}

}  // namespace nopt
