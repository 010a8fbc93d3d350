// What the CUDA backend keeps of the gradients' options.
#pragma once

#include <stdint.h>

#include <vector>

#include "cuda/grad_decision.cuh"
#include "cuda/published.cuh"
#include "cuda/sums.cuh"
#include "numerics/gradients.h"

namespace nopt {

struct CudaGrads final : GradData {
    // The set's device is current.
    explicit CudaGrads(const ParamSet& set)
        : sums(set, false),
          reading(constant_table(std::vector<GradReading>{kNoGradReading})),
          skip(constant_table(std::vector<int32_t>{0})),
          published(1, kNoGradReading) {}

    double* sum() override { return &sums.sums.get()->value[0]; }
    GradReading read() const override { return read_published(published.host[0]); }

    CudaSums sums;  // of all tensors
    DeviceArray<GradReading> reading;
    DeviceArray<int32_t> skip;
    PublishedArray<GradReading> published;
};

}  // namespace nopt
