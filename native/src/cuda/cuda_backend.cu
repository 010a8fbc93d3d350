#include <vector>

#include "backend/optimizer_state.h"
#include "cuda/decide.cuh"
#include "cuda/devices.cuh"
#include "cuda/dimer_elements.cuh"
#include "cuda/grads.cuh"
#include "cuda/set_tables.cuh"
#include "cuda/step.cuh"
#include "cuda/step_counter.cuh"

namespace nopt {
namespace {

class CudaBackend final : public CudaDevices {
public:
    std::unique_ptr<BackendData> create_data(const ParamSet& set) override {
        const DeviceGuard guard(set.device);
        return std::make_unique<CudaSet>(set);
    }

    std::unique_ptr<OptimizerData> create_optimizer(const ParamSet& set) override {
        const DeviceGuard guard(set.device);
        return std::make_unique<CudaOptimizer>(set);
    }

    std::unique_ptr<StepCounter> create_step_counter(const ParamSet& set, const std::vector<double>& lr,
                                                     double loss_scale) override {
        const DeviceGuard guard(set.device);
        return std::make_unique<CudaStepCounter>(set, lr, loss_scale);
    }

    void upload(OptimizerState& optimizer, void* stream_pointer) override {
        const ParamSet& set = *optimizer.set;
        const DeviceGuard guard(set.device);
        const cudaStream_t stream = static_cast<cudaStream_t>(stream_pointer);
        CudaSet& data = set_data(set);
        CudaOptimizer& tables = static_cast<CudaOptimizer&>(*optimizer.data);
        CudaStepCounter* const counter = static_cast<CudaStepCounter*>(optimizer.counter.get());
        if (counter == nullptr) {
            optimizer.clocks.forget_copies();  // the host has made them
        }
        if (data.is_current(set) && tables.is_current(optimizer.cohorts) &&
            (counter == nullptr || counter->is_current(optimizer.clocks))) {
            return;
        }
        if (is_capturing(stream)) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "stream is being captured, and addresses or options of the set, or which tensors have a "
                        "gradient, have changed since the last step; call nopt_optimizer_upload before the capture");
        }
        data.refresh(set, stream);
        tables.refresh(optimizer.cohorts, data.staging, stream);
        if (counter != nullptr) {
            counter->refresh(optimizer.clocks, data.staging, stream);
        }
    }

    void begin(OptimizerState& optimizer, void* stream) override {
        const DeviceGuard guard(optimizer.set->device);
        if (optimizer.counter == nullptr && is_capturing(static_cast<cudaStream_t>(stream))) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "stream is being captured, and the host counts this optimizer's steps; call "
                        "nopt_optimizer_set_capturable before the capture");
        }
        upload(optimizer, stream);
    }

    bool step(ParamSet& set, const StepPlan& plan, void* stream) override {
        const DeviceGuard guard(set.device);
        launch_step(set, plan, static_cast<cudaStream_t>(stream));
        return true;
    }

    std::unique_ptr<GradData> create_grads(const ParamSet& set) override {
        const DeviceGuard guard(set.device);
        return std::make_unique<CudaGrads>(set);
    }

    void sum_grads(ParamSet& set, GradData& grads, void* stream_pointer) override {
        const DeviceGuard guard(set.device);
        const cudaStream_t stream = static_cast<cudaStream_t>(stream_pointer);
        CudaSums& sums = static_cast<CudaGrads&>(grads).sums;
        sum_chunks(set, kSumsGradNorm, NOPT_ROLE_GRAD, NOPT_ROLE_GRAD, sums, stream);
        sum_scopes(set, sums, {}, stream);
    }

    std::unique_ptr<DimerData> create_dimer(const ParamSet& set, nopt_dimer_scope scope) override {
        const DeviceGuard guard(set.device);
        return std::make_unique<CudaDimer>(set, scope);
    }

    Sums* dimer_sums(DimerData& data) override { return static_cast<CudaDimer&>(data).sums.sums.get(); }

    void dimer_sum(ParamSet& set, const DimerPass& pass, bool decides, void* stream_pointer) override {
        const DeviceGuard guard(set.device);
        const cudaStream_t stream = static_cast<cudaStream_t>(stream_pointer);
        CudaSums& sums = dimer_of(pass).sums;
        sum_chunks(set, sums_for(pass.decision, pass.with_norm), pass.grad, pass.displaced, sums, stream);
        sum_scopes(set, sums, decides ? decide_table(pass) : DecideTable{}, stream);
    }

    void dimer_decide(ParamSet& set, const DimerPass& pass, void* stream) override {
        const DeviceGuard guard(set.device);
        decide_scopes(set, pass, decide_table(pass), static_cast<cudaStream_t>(stream));
    }

    void dimer_randomize(ParamSet& set, uint64_t seed, uint64_t first_element, void* stream) override {
        const DeviceGuard guard(set.device);
        CudaSet& data = set_data(set);
        if (data.has_pieces()) {
            data.launch_pieces("drawing a direction", &randomize_kernel, static_cast<cudaStream_t>(stream),
                               dimer_table(set, nullptr), data.first_element(), seed, first_element);
        }
    }

    void dimer_scale(ParamSet& set, const DimerPass& pass, void* stream) override {
        const DeviceGuard guard(set.device);
        run_dimer_pass<ScaleElements>("scaling", set, &pass, 0.0, static_cast<cudaStream_t>(stream));
    }

    void dimer_displace(ParamSet& set, double displacement, void* stream) override {
        const DeviceGuard guard(set.device);
        run_dimer_pass<DisplaceElements>("displacing", set, nullptr, displacement, static_cast<cudaStream_t>(stream));
    }

    void dimer_turn(ParamSet& set, const DimerPass& pass, void* stream) override {
        const DeviceGuard guard(set.device);
        run_dimer_pass<TurnElements>("rotating", set, &pass, pass.input.displacement,
                                     static_cast<cudaStream_t>(stream));
    }

    void dimer_restore(ParamSet& set, void* stream) override {
        const DeviceGuard guard(set.device);
        run_dimer_pass<RestoreElements>("restoring", set, nullptr, 0.0, static_cast<cudaStream_t>(stream));
    }

    DimerReading dimer_read(DimerData& data, int64_t scope) override {
        return read_published(static_cast<CudaDimer&>(data).published.host[scope]);
    }

    void dimer_set(DimerData& data, double DimerReading::*field, const double* values, void* stream) override {
        CudaDimer& dimer = static_cast<CudaDimer&>(data);
        const DeviceGuard guard(dimer.device);
        set_readings(dimer, field, values, static_cast<cudaStream_t>(stream));
    }
};

}  // namespace

Backend& cuda_backend() {
    static CudaBackend instance;
    return instance;
}

}  // namespace nopt
