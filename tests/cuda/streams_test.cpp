// Streams and devices: work is queued where the caller says, and nowhere else.
#include "support.h"

namespace nopt_test {
namespace {

const std::vector<int64_t> kCounts = {300, 0, 5000, 1};

// Steps whose gradients are still being written by earlier work of the same stream.
void queue_steps(Model& model, int steps) {
    const nopt_hyperparams h = defaults("adam");
    const std::vector<void*> grads = model.buffer(NOPT_ROLE_GRAD).pointers();
    for (int step = 0; step < steps; ++step) {
        NOPT_EXPECT_OK(model.work([&] {
            for (size_t t = 0; t < grads.size(); ++t) {
                const double value = 0.01 * (step + 1) * static_cast<double>(t + 1);
                EXPECT_EQ(NOPT_OK, nopt_memory_fill(model.backend, 0, grads[t], model.counts()[t], NOPT_DTYPE_FLOAT32,
                                                    value, model.stream));
            }
            return nopt_optimizer_step(model.optimizer, &h, model.stream);
        }));
    }
}

std::vector<float> expected(int steps, int rounds = 1) {
    const OnBackend on(NOPT_BACKEND_CPU);
    Model model("adam", kCounts);
    for (int round = 0; round < rounds; ++round) {
        queue_steps(model, steps);
    }
    return model.all_values();
}

TEST(CudaStreams, TwoStreamsRace) {
    Stream first, second;
    Model a("adam", kCounts);
    Model b("adam", kCounts);
    a.stream = first;
    b.stream = second;
    for (int round = 0; round < 5; ++round) {
        queue_steps(a, 1);
        queue_steps(b, 2);
    }
    EXPECT_TRUE(same_bits(expected(2, 5), b.all_values()));
    EXPECT_TRUE(same_bits(expected(1, 5), a.all_values()));
}

TEST(CudaStreams, DefaultStreamsByName) {
    const std::vector<float> values = expected(3);
    for (void* const stream : {static_cast<void*>(nullptr), NOPT_STREAM_LEGACY, NOPT_STREAM_PER_THREAD}) {
        Model model("adam", kCounts);
        model.stream = stream;
        queue_steps(model, 3);
        EXPECT_TRUE(same_bits(values, model.all_values())) << stream;
    }
}

// The caller orders two streams by an event; one set then goes on from the first to the second.
TEST(CudaStreams, ASetMayGoFromStreamToStream) {
    Stream first, second;
    cudaEvent_t event = nullptr;
    NOPT_ASSERT_CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    Model model("adam", kCounts);
    model.stream = first;
    queue_steps(model, 2);
    NOPT_ASSERT_CUDA(cudaEventRecord(event, first.cuda()));
    NOPT_ASSERT_CUDA(cudaStreamWaitEvent(second.cuda(), event, 0));
    model.stream = second;
    queue_steps(model, 2);
    EXPECT_TRUE(same_bits(expected(2, 2), model.all_values()));
    NOPT_ASSERT_CUDA(cudaEventDestroy(event));
}

// A step queues and returns: what a stream holds back is not there yet, and nothing else has run.
TEST(CudaStreams, NothingIsReadBeforeItsTime) {
    Stream stream;
    Model model("adam", kCounts);
    model.stream = stream;
    queue_steps(model, 12);
    EXPECT_EQ(12, model.state().step);
    EXPECT_TRUE(same_bits(expected(12), model.all_values()));
}

TEST(CudaDevices, TheCallersDeviceStays) {
    int32_t devices = 0;
    NOPT_ASSERT_OK(nopt_device_count(NOPT_BACKEND_CUDA, &devices));
    if (devices < 2) {
        GTEST_SKIP() << "needs two devices";
    }
    const auto device = [] {
        int now = -1;
        EXPECT_EQ(cudaSuccess, cudaGetDevice(&now));
        return now;
    };
    const int64_t count = 100;
    void* memory[2][4] = {};
    nopt_param_set* sets[2] = {};
    nopt_optimizer* optimizers[2] = {};
    const nopt_role roles[] = {NOPT_ROLE_PARAM, NOPT_ROLE_GRAD, state_role("adam", "exp_avg"),
                               state_role("adam", "exp_avg_sq")};
    for (int32_t d = 1; d >= 0; --d) {
        NOPT_ASSERT_OK(nopt_param_set_create(NOPT_BACKEND_CUDA, d, 1, &count, nullptr, &sets[d]));
        for (int r = 0; r < 4; ++r) {
            NOPT_ASSERT_OK(nopt_memory_alloc(NOPT_BACKEND_CUDA, d, count * 4, &memory[d][r]));
            NOPT_ASSERT_OK(nopt_memory_fill(NOPT_BACKEND_CUDA, d, memory[d][r], count, NOPT_DTYPE_FLOAT32,
                                            r < 2 ? 1.0 : 0.0, nullptr));
            NOPT_ASSERT_OK(nopt_param_set_bind(sets[d], roles[r], 1, &memory[d][r]));
        }
        NOPT_ASSERT_OK(nopt_optimizer_create(sets[d], "adam", &optimizers[d]));
        EXPECT_EQ(0, device());
    }
    // Each set takes memory of its own device only.
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_param_set_bind(sets[0], NOPT_ROLE_GRAD, 1, &memory[1][1]));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "device 0")) << nopt_last_error_message();

    const nopt_hyperparams h = defaults("adam");
    for (int current = 0; current < 2; ++current) {
        NOPT_ASSERT_CUDA(cudaSetDevice(current));
        for (int32_t d = 0; d < 2; ++d) {
            NOPT_ASSERT_OK(nopt_optimizer_step(optimizers[d], &h, nullptr));
            EXPECT_EQ(current, device());
        }
    }
    NOPT_ASSERT_CUDA(cudaSetDevice(0));
    std::vector<float> values[2] = {std::vector<float>(count), std::vector<float>(count)};
    for (int32_t d = 0; d < 2; ++d) {
        NOPT_ASSERT_OK(nopt_memory_copy(NOPT_BACKEND_CUDA, d, values[d].data(), memory[d][0], count * 4, nullptr));
        NOPT_ASSERT_OK(nopt_stream_synchronize(NOPT_BACKEND_CUDA, d, nullptr));
        EXPECT_NEAR(1.0 - 2e-3, values[d][0], 1e-6);
        NOPT_ASSERT_OK(nopt_optimizer_destroy(optimizers[d]));
        NOPT_ASSERT_OK(nopt_param_set_destroy(sets[d]));
        for (void* const one : memory[d]) {
            NOPT_ASSERT_OK(nopt_memory_free(NOPT_BACKEND_CUDA, d, one));
        }
    }
    EXPECT_TRUE(same_bits(values[0], values[1]));
    EXPECT_EQ(0, device());
}

}  // namespace
}  // namespace nopt_test
