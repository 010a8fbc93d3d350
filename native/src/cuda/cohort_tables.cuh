// What the CUDA backend keeps on the device for an optimizer: its cohorts, and the inputs of its groups.
#pragma once

#include <stdint.h>

#include <algorithm>
#include <vector>

#include "backend/cohorts.h"
#include "cuda/prepare.cuh"
#include "cuda/scalars.cuh"
#include "cuda/staging.h"

namespace nopt {

// Some inputs on their way to device memory, passed by value.
struct SomeInputs {
    int32_t first;
    int32_t count;
    StepInput inputs[kInputsPerLaunch];
};

// One warp.
__global__ void write_inputs_kernel(const __grid_constant__ SomeInputs some, StepInput* all) {
    const int i = static_cast<int>(threadIdx.x);
    if (i < some.count) {
        all[some.first + i] = some.inputs[i];
    }
}
static_assert(kInputsPerLaunch <= kWarpThreads, "a thread writes an input");

// Tables that graphs know are where they are from the beginning, with room for as many cohorts as there can be.
class CudaOptimizer final : public OptimizerData {
public:
    // The set's device is current.
    explicit CudaOptimizer(const ParamSet& set)
        : device_(set.device),
          tensors_(set.counts.size()),
          count_(device_array<int32_t>(1)),
          cohorts_(device_array<Cohort>(std::max<size_t>(tensors_, 1))),
          of_tensor_(device_array<int32_t>(tensors_)),
          scalars_(device_array<unsigned char>(std::max<size_t>(tensors_, 1) * kMaxScalars)) {}

    void set_group_count(int count) override {
        const DeviceGuard guard(device_);
        if (count > kFewGroups && count > inputs_room_) {
            inputs_ = device_array<StepInput>(static_cast<size_t>(count));
            inputs_room_ = count;
        }
        clocks_.reset();
    }

    bool is_current(const Cohorts& cohorts) const { return version_ == cohorts.version(); }

    // Uploads what changed, in stream order.
    void refresh(const Cohorts& cohorts, StagingRing& staging, cudaStream_t stream) {
        if (is_current(cohorts)) {
            return;
        }
        const int32_t count = static_cast<int32_t>(cohorts.all().size());
        staging.upload(count_.get(), &count, 1, stream);
        staging.upload(cohorts_.get(), cohorts.all(), stream);
        staging.upload(of_tensor_.get(), cohorts.is_one() ? std::vector<int32_t>(tensors_, 0) : cohorts.of_tensor(),
                       stream);
        version_ = cohorts.version();
    }

    // What the host computes travels with the launch.
    CohortScalars scalars_by_host(const Rule& rule, const StepInput* inputs, const Clocks& clocks,
                                  const Cohorts& cohorts) const {
        CohortScalars scalars = {};
        scalars.cohort_of_tensor = cohorts.is_one() ? nullptr : of_tensor_.get();
        for (size_t c = 0; c < cohorts.all().size(); ++c) {
            const Cohort& cohort = cohorts.all()[c];
            const StepInput& input = inputs[cohort.group];
            rule.scalars(input, clocks.next(cohort.clock), cohort.lr_scale, weight_decay_of(cohort.weight_decay, input),
                         scalars.few[c]);
        }
        return scalars;
    }

    // What prepare_kernel computes is in device memory.
    CohortScalars scalars_by_device() const {
        CohortScalars scalars = {};
        scalars.cohort_of_tensor = of_tensor_.get();
        scalars.many = scalars_.get();
        return scalars;
    }
    CohortTable table() const { return {count_.get(), cohorts_.get(), scalars_.get()}; }

    // The inputs of all groups. Where there are many, launches write them, which can be captured: so a graph has those
    // of its capture, and what it replays is overwritten by the next step.
    GroupInputs inputs(const StepInput* inputs, int count, cudaStream_t stream) const {
        GroupInputs table = {};
        if (count <= kFewGroups) {
            std::copy_n(inputs, count, table.few);
            return table;
        }
        for (int first = 0; first < count; first += kInputsPerLaunch) {
            SomeInputs some = {};
            some.first = first;
            some.count = std::min(count - first, kInputsPerLaunch);
            std::copy_n(inputs + first, some.count, some.inputs);
            launch("writing the groups' inputs", &write_inputs_kernel, 1, kWarpThreads, stream, some, inputs_.get());
        }
        table.all = inputs_.get();
        return table;
    }

    // The clocks of a step that the host counts. No stream is being captured.
    HostClocks host_clocks(const Clocks& clocks, StagingRing& staging, cudaStream_t stream) {
        HostClocks host = {};
        if (clocks.count() <= kFewGroups) {
            for (int c = 0; c < clocks.count(); ++c) {
                host.few[c] = clocks.next(c);
            }
            return host;
        }
        if (clocks_ == nullptr) {
            clocks_ = device_array<Clock>(Clocks::capacity(static_cast<size_t>(clocks.group_count()), tensors_));
        }
        next_.clear();
        for (int c = 0; c < clocks.count(); ++c) {
            next_.push_back(clocks.next(c));
        }
        staging.upload(clocks_.get(), next_, stream);
        host.all = clocks_.get();
        return host;
    }

private:
    const int device_;
    const size_t tensors_;
    std::vector<Clock> next_;     // room for host_clocks
    DeviceArray<int32_t> count_;  // one
    DeviceArray<Cohort> cohorts_;
    DeviceArray<int32_t> of_tensor_;
    DeviceArray<unsigned char> scalars_;
    DeviceArray<Clock> clocks_;      // of steps that the host counts; null: not yet needed
    DeviceArray<StepInput> inputs_;  // of each group; null: there have always been few
    int inputs_room_ = 0;
    uint64_t version_ = 0;
};

}  // namespace nopt
