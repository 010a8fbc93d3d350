// A tensor with more elements than 31 bits count.
#include "support.h"

namespace nopt_test {
namespace {

TEST(CudaLarge, MoreElementsThan31BitsCount) {
    const int64_t count = (int64_t{1} << 31) + 5;
    const int64_t bytes = (count + 1) * 4;  // one more, that nothing writes
    size_t free_bytes = 0;
    size_t all_bytes = 0;
    NOPT_ASSERT_CUDA(cudaMemGetInfo(&free_bytes, &all_bytes));
    if (free_bytes < 3 * static_cast<size_t>(bytes) + (size_t{1} << 30)) {
        GTEST_SKIP() << "needs 27 GiB of free device memory";
    }
    const nopt_role roles[] = {NOPT_ROLE_PARAM, NOPT_ROLE_GRAD, NOPT_ROLE_DIRECTION};
    const double values[] = {1.0, 2.0, 3.0};
    void* memory[3] = {};
    nopt_param_set* set = nullptr;
    NOPT_ASSERT_OK(nopt_param_set_create(NOPT_BACKEND_CUDA, 0, 1, &count, nullptr, &set));
    for (int i = 0; i < 3; ++i) {
        NOPT_ASSERT_OK(nopt_memory_alloc(NOPT_BACKEND_CUDA, 0, bytes, &memory[i]));
        NOPT_ASSERT_OK(
            nopt_memory_fill(NOPT_BACKEND_CUDA, 0, memory[i], count + 1, NOPT_DTYPE_FLOAT32, values[i], nullptr));
        NOPT_ASSERT_OK(nopt_param_set_bind(set, roles[i], 1, &memory[i]));
    }
    nopt_optimizer* optimizer = nullptr;
    NOPT_ASSERT_OK(nopt_optimizer_create(set, "sgd", &optimizer));
    nopt_dimer* dimer = nullptr;
    NOPT_ASSERT_OK(nopt_dimer_create(optimizer, NOPT_DIMER_SCOPE_GLOBAL, &dimer));
    nopt_hyperparams h = defaults("sgd");
    lr(h) = 0.25;
    NOPT_ASSERT_OK(nopt_optimizer_step(optimizer, &h, nullptr));
    NOPT_ASSERT_OK(nopt_dimer_sum(dimer, NOPT_DIMER_PASS_STEP, nullptr));

    const auto at = [&](int role, int64_t i) {
        float value = NAN;
        NOPT_EXPECT_OK(
            nopt_memory_copy(NOPT_BACKEND_CUDA, 0, &value, static_cast<float*>(memory[role]) + i, 4, nullptr));
        NOPT_EXPECT_OK(nopt_stream_synchronize(NOPT_BACKEND_CUDA, 0, nullptr));
        return value;
    };
    for (const int64_t i : {int64_t{0}, count / 2, count - 6, count - 5, count - 1}) {
        EXPECT_EQ(0.5f, at(0, i)) << i;
    }
    EXPECT_EQ(1.0f, at(0, count));
    double* sums = nullptr;
    int64_t sum_count = 0;
    NOPT_ASSERT_OK(nopt_dimer_get_sums(dimer, &sums, &sum_count));
    double sum = 0.0;
    NOPT_ASSERT_OK(nopt_memory_copy(NOPT_BACKEND_CUDA, 0, &sum, sums, 8, nullptr));
    NOPT_ASSERT_OK(nopt_stream_synchronize(NOPT_BACKEND_CUDA, 0, nullptr));
    EXPECT_EQ(6.0 * static_cast<double>(count), sum);

    NOPT_ASSERT_OK(nopt_dimer_destroy(dimer));
    NOPT_ASSERT_OK(nopt_optimizer_destroy(optimizer));
    NOPT_ASSERT_OK(nopt_param_set_destroy(set));
    for (void* const one : memory) {
        NOPT_ASSERT_OK(nopt_memory_free(NOPT_BACKEND_CUDA, 0, one));
    }
}

}  // namespace
}  // namespace nopt_test
