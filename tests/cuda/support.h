// What the tests of the CUDA backend share.
#pragma once

#include <cuda_runtime.h>

#include <functional>

#include "support/dimer_model.h"

#define NOPT_ASSERT_CUDA(call) ASSERT_EQ(cudaSuccess, (call)) << cudaGetErrorString(cudaGetLastError())

namespace nopt_test {

// Makes models on a backend for a scope.
class OnBackend {
public:
    explicit OnBackend(nopt_backend backend) : previous_(test_backend) { test_backend = backend; }
    ~OnBackend() { test_backend = previous_; }

private:
    const nopt_backend previous_;
};

// A stream of its own.
class Stream {
public:
    Stream() { NOPT_EXPECT_OK(nopt_stream_create(NOPT_BACKEND_CUDA, 0, &stream_)); }
    ~Stream() { NOPT_EXPECT_OK(nopt_stream_destroy(NOPT_BACKEND_CUDA, 0, stream_)); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    operator void*() const { return stream_; }
    cudaStream_t cuda() const { return static_cast<cudaStream_t>(stream_); }

private:
    void* stream_ = nullptr;
};

// Learning-rate scales and weight decays in this number of combinations.
inline void set_groups(Model& model, int count) {
    std::vector<double> lr_scale, weight_decay;
    for (size_t i = 0; i < model.counts().size(); ++i) {
        const int group = static_cast<int>(i) % count;
        lr_scale.push_back(1.0 + 0.25 * (group / 2));
        weight_decay.push_back(group % 2 == 0 ? NOPT_INHERIT : 0.02);
    }
    NOPT_EXPECT_OK(nopt_param_set_set_lr_scale(model.set, model.tensor_count(), lr_scale.data()));
    NOPT_EXPECT_OK(nopt_param_set_set_weight_decay(model.set, model.tensor_count(), weight_decay.data()));
}

}  // namespace nopt_test
