// Elements of 16 bits: the same bits at every instruction set and thread count.
#include "support/mixed_model.h"

namespace nopt_test {
namespace {

std::vector<uint8_t> run(const char* rule, const std::vector<Mix>& mixes, int64_t misalign) {
    MixedModel model(rule, mixes, misalign, NOPT_DIMER_SCOPE_GLOBAL);
    NOPT_EXPECT_OK(nopt_dimer_init_direction(model.dimer, 1, 0, nullptr));
    NOPT_EXPECT_OK(nopt_dimer_normalize_direction(model.dimer, nullptr));
    Random random(3);
    model.fill_params(random);
    nopt_hyperparams h = defaults(rule);
    h.flags = NOPT_FLAG_STOCHASTIC_ROUNDING | NOPT_FLAG_STOCHASTIC_ROUNDING_STATES | flag(rule, "amsgrad");
    h.rounding_seed = 11;
    const nopt_dimer_options o = dimer_defaults();
    for (int step = 0; step < 3; ++step) {
        model.fill(NOPT_ROLE_GRAD, random);
        if (step == 1) {
            NOPT_EXPECT_OK(nopt_dimer_displace(model.dimer, &o, nullptr));
            model.fill(NOPT_ROLE_GRAD, random);
        }
        NOPT_EXPECT_OK(step == 0 ? nopt_optimizer_step(model.optimizer, &h, nullptr)
                                 : nopt_dimer_step(model.dimer, &o, &h, nullptr));
    }
    return model.all_bytes();
}

TEST(MixedBits, AreTheSameEverywhere) {
    std::vector<Mix> mixes = all_mixes();
    mixes[2].count = 70001;  // more than a thread takes at a time
    mixes[7].count = 33333;
    mixes[12].count = 16385;
    int32_t threads_before = 0;
    NOPT_ASSERT_OK(nopt_cpu_get_num_threads(&threads_before));
    for (const char* rule : {"adam", "dualadam"}) {
        for (const int64_t misalign : {0, 1}) {
            std::vector<uint8_t> expected;
            for (const std::string& isa : runnable_isas()) {
                for (const int32_t threads : {1, 2, 5}) {
                    NOPT_ASSERT_OK(nopt_cpu_set_isa(isa.c_str()));
                    NOPT_ASSERT_OK(nopt_cpu_set_num_threads(threads));
                    const std::vector<uint8_t> got = run(rule, mixes, misalign);
                    if (expected.empty()) {
                        expected = got;
                    }
                    ASSERT_TRUE(expected == got) << rule << ", " << isa << ", " << threads << " threads";
                }
            }
        }
    }
    NOPT_ASSERT_OK(nopt_cpu_set_isa(runnable_isas().back().c_str()));
    NOPT_ASSERT_OK(nopt_cpu_set_num_threads(threads_before));
}

}  // namespace
}  // namespace nopt_test
