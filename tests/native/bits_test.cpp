// The same bits at every instruction set and thread count.
#include <map>
#include <utility>

#include "support/model.h"

namespace nopt_test {
namespace {

const std::vector<int64_t> kAwkward = {0, 1, 3, 5, 55, 4097, 65537, 0, 100003, 0};

// Gradients of several steps, made once for all cases: making them would be most of the tests' time.
std::vector<GuardedBuffer>& gradients(const std::vector<int64_t>& counts, int64_t misalign) {
    static std::map<std::pair<std::vector<int64_t>, int64_t>, std::vector<GuardedBuffer>> made;
    std::vector<GuardedBuffer>& steps = made[{counts, misalign}];
    Random random(99);
    while (steps.size() < 4) {
        steps.emplace_back(counts, misalign);
        steps.back().fill(random);
    }
    return steps;
}

// 50 steps with other gradients, at other addresses, from step to step; the bits of every buffer at the end.
std::vector<float> run(const Case& one, const std::vector<int64_t>& counts, int64_t misalign) {
    Model model(one.rule, counts, misalign);
    std::vector<double> lr_scale;
    std::vector<double> weight_decay;
    for (size_t i = 0; i < counts.size(); ++i) {
        lr_scale.push_back(i % 3 == 0 ? 1.0 : 0.5 + 0.01 * static_cast<double>(i % 7));
        weight_decay.push_back(i % 2 == 0 ? NOPT_INHERIT : 0.02);
    }
    NOPT_EXPECT_OK(nopt_param_set_set_lr_scale(model.set, model.tensor_count(), lr_scale.data()));
    NOPT_EXPECT_OK(nopt_param_set_set_weight_decay(model.set, model.tensor_count(), weight_decay.data()));
    std::vector<GuardedBuffer>& steps = gradients(counts, misalign);
    for (size_t step = 0; step < 50; ++step) {
        const std::vector<void*> grad = steps[step % steps.size()].pointers();
        NOPT_EXPECT_OK(nopt_param_set_bind(model.set, NOPT_ROLE_GRAD, model.tensor_count(), grad.data()));
        EXPECT_EQ(NOPT_OK, model.step(one.hyperparams)) << nopt_last_error_message();
    }
    EXPECT_TRUE(model.intact()) << "a step wrote outside its tensors";
    return model.all_values();
}

class Bits : public testing::TestWithParam<Case> {
protected:
    // Leaves the process as it was found.
    void SetUp() override { NOPT_ASSERT_OK(nopt_cpu_get_num_threads(&threads_)); }
    void TearDown() override {
        NOPT_ASSERT_OK(nopt_cpu_set_isa(runnable_isas().back().c_str()));
        NOPT_ASSERT_OK(nopt_cpu_set_num_threads(threads_));
    }

    void expect_same_everywhere(const std::vector<int64_t>& counts, int64_t misalign) {
        std::vector<float> expected;
        for (const std::string& isa : runnable_isas()) {
            for (const int32_t threads : {1, 2, 5}) {
                NOPT_ASSERT_OK(nopt_cpu_set_isa(isa.c_str()));
                NOPT_ASSERT_OK(nopt_cpu_set_num_threads(threads));
                const std::vector<float> got = run(GetParam(), counts, misalign);
                if (expected.empty()) {
                    expected = got;
                    continue;
                }
                ASSERT_TRUE(same_bits(expected, got)) << isa << ", " << threads << " threads";
            }
        }
    }

private:
    int32_t threads_ = 0;
};

TEST_P(Bits, AwkwardSizes) { expect_same_everywhere(kAwkward, 0); }

TEST_P(Bits, MisalignedByOneElement) { expect_same_everywhere(kAwkward, 1); }

// Several blocks of work.
TEST_P(Bits, ManyScalars) { expect_same_everywhere(std::vector<int64_t>(2100, 1), 0); }

INSTANTIATE_TEST_SUITE_P(Rules, Bits, testing::ValuesIn(all_cases()),
                         [](const testing::TestParamInfo<Case>& one) { return one.param.name; });

// Which instruction sets the tests above could not compare here, counted as skipped so that it is seen.
TEST(Bits, EveryInstructionSetRuns) {
    const size_t runnable = runnable_isas().size();
    ASSERT_GE(runnable, 1u);
    std::string missing;
    for (int32_t i = 0; i < nopt_cpu_isa_count(); ++i) {
        nopt_cpu_isa_info info = {};
        info.struct_size = sizeof info;
        NOPT_ASSERT_OK(nopt_cpu_isa_get_info(i, &info));
        if (info.supported == 0) {
            missing += std::string(" ") + info.name;
            EXPECT_EQ(NOPT_ERROR_UNAVAILABLE, nopt_cpu_set_isa(info.name));
        }
    }
    if (!missing.empty()) {
        GTEST_SKIP() << "this processor cannot run:" << missing;
    }
}

// A part of a tensor's elements gets the same bits at whatever place and alignment it stands.
TEST(Bits, BodyAndTailAgree) {
    for (const Case& one : all_cases()) {
        constexpr int64_t kCount = 67;
        Model whole(one.rule, {kCount});
        whole.new_gradients();
        for (int64_t at = 0; at < 20; ++at) {
            Model part(one.rule, {kCount - at}, at % 5);
            for (const nopt_role role : part.roles()) {
                std::copy_n(whole.buffer(role).tensor(0) + at, kCount - at, part.buffer(role).tensor(0));
            }
            Model full(one.rule, {kCount});
            full.new_gradients();
            NOPT_ASSERT_OK(full.step(one.hyperparams));
            NOPT_ASSERT_OK(part.step(one.hyperparams));
            const float* expected = full.buffer(NOPT_ROLE_PARAM).tensor(0) + at;
            ASSERT_EQ(0, memcmp(expected, part.buffer(NOPT_ROLE_PARAM).tensor(0),
                                static_cast<size_t>(kCount - at) * sizeof(float)))
                << one.name << " at " << at;
        }
    }
}

}  // namespace
}  // namespace nopt_test
