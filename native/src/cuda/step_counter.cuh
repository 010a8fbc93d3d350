// The clocks of a capturable optimizer, on the device.
#pragma once

#include <stdint.h>

#include <algorithm>
#include <vector>

#include "backend/clocks.h"
#include "cuda/counter_table.cuh"
#include "cuda/launch.cuh"
#include "cuda/published.cuh"
#include "cuda/staging.h"

namespace nopt {

// Some copies of one clock to another, passed by value.
struct ClockCopies {
    static constexpr int kMost = 128;

    int32_t count;
    Clocks::Copy copies[kMost];
};

// One thread, as a copy may be of what an earlier one wrote.
__global__ void copy_clocks_kernel(const __grid_constant__ ClockCopies copies, Clock* clocks) {
    for (int i = 0; i < copies.count; ++i) {
        clocks[copies.copies[i].to] = clocks[copies.copies[i].from];
    }
}

// One thread.
__global__ void set_lr_kernel(double* lr_of_groups, int group, double lr) { lr_of_groups[group] = lr; }
__global__ void set_loss_scale_kernel(CounterSettings* settings, double loss_scale) {
    settings->loss_scale = loss_scale;
}

class CudaStepCounter final : public StepCounter {
public:
    // The set's device is current. `lr`: of each group.
    CudaStepCounter(const ParamSet& set, const std::vector<double>& lr, double loss_scale)
        : group_count_(lr.size()),
          clocks_(constant_table(std::vector<Clock>(Clocks::capacity(lr.size(), set.counts.size()), Clock{}))),
          advanced_by_(constant_table(std::vector<int32_t>(Clocks::capacity(lr.size(), set.counts.size()), -1))),
          settings_(constant_table(std::vector<CounterSettings>{{loss_scale, 0}})),
          lr_(constant_table(lr)),
          published_(lr.size(), Clock{}),
          device_(set.device) {}

    Clock read(int group) const override { return read_published(published_.host[group]); }

    std::vector<Clock> read_all(size_t count) const override {
        const DeviceGuard guard(device_);
        check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
        std::vector<Clock> clocks(count);
        check_cuda(cudaMemcpy(clocks.data(), clocks_.get(), count * sizeof(Clock), cudaMemcpyDeviceToHost),
                   "reading the step counts");
        return clocks;
    }

    void write_all(const std::vector<Clock>& clocks) override {
        const DeviceGuard guard(device_);
        check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
        check_cuda(cudaMemcpy(clocks_.get(), clocks.data(), clocks.size() * sizeof(Clock), cudaMemcpyHostToDevice),
                   "writing the step counts");
        for (size_t g = 0; g < group_count_; ++g) {
            const uint64_t version = static_cast<uint64_t>(clocks[g].step);
            published_.host[g] = {version, clocks[g], version};
        }
    }

    void set_lr(int group, double lr, void* stream) override {
        const DeviceGuard guard(device_);
        launch("setting the learning rate", &set_lr_kernel, 1, 1, static_cast<cudaStream_t>(stream), lr_.get(), group,
               lr);
    }

    void set_loss_scale(double loss_scale, void* stream) override {
        const DeviceGuard guard(device_);
        launch("setting the loss scale", &set_loss_scale_kernel, 1, 1, static_cast<cudaStream_t>(stream),
               settings_.get(), loss_scale);
    }

    bool is_current(const Clocks& clocks) const {
        return clocks.copies().empty() && advance_version_ == clocks.advance_version();
    }

    // Uploads what changed, in stream order.
    void refresh(Clocks& clocks, StagingRing& staging, cudaStream_t stream) {
        const std::vector<Clocks::Copy>& copies = clocks.copies();
        for (size_t at = 0; at < copies.size(); at += ClockCopies::kMost) {
            ClockCopies some = {};
            some.count = static_cast<int32_t>(std::min<size_t>(copies.size() - at, ClockCopies::kMost));
            std::copy_n(copies.begin() + static_cast<std::ptrdiff_t>(at), some.count, some.copies);
            launch("copying step counts", &copy_clocks_kernel, 1, 1, stream, some, clocks_.get());
        }
        clocks.forget_copies();
        if (advance_version_ != clocks.advance_version()) {
            std::vector<int32_t> advanced_by;
            for (int c = 0; c < clocks.count(); ++c) {
                advanced_by.push_back(clocks.advances(c) ? clocks.group_of(c) : -1);
            }
            const int32_t count = clocks.count();
            staging.upload(advanced_by_.get(), advanced_by, stream);
            staging.upload(&settings_[0].clock_count, &count, 1, stream);
            advance_version_ = clocks.advance_version();
        }
    }

    CounterTable table() const {
        return {clocks_.get(), advanced_by_.get(), settings_.get(),
                lr_.get(),     published_.device,  static_cast<int32_t>(group_count_)};
    }

private:
    const size_t group_count_;
    DeviceArray<Clock> clocks_;
    DeviceArray<int32_t> advanced_by_;
    DeviceArray<CounterSettings> settings_;  // one
    DeviceArray<double> lr_;
    PublishedArray<Clock> published_;
    uint64_t advance_version_ = 0;
    const int device_;
};

inline CounterTable counter_table(const StepCounter* counter) {
    return counter == nullptr ? CounterTable{} : static_cast<const CudaStepCounter*>(counter)->table();
}

}  // namespace nopt
