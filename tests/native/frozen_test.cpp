// Tensors without a gradient: neither they nor their states move. clocks_test.cpp says what becomes of their steps.
#include "support/mixed_model.h"

namespace nopt_test {
namespace {

// Beside a model in which all move, the others move alike.
TEST(Frozen, TensorsWithoutAGradientStay) {
    const std::vector<int64_t> counts = {5, 20000, 0, 1, 700, 3};
    for (const Case& one : all_cases()) {
        Model moving(one.rule, counts);
        Model model(one.rule, counts);
        for (int step = 0; step < 3; ++step) {
            moving.new_gradients();
            model.new_gradients();
            const std::vector<bool> frozen = {step != 2, false, true, step == 1, true, false};
            model.freeze(frozen);
            std::vector<std::vector<float>> before;
            for (const nopt_role role : model.roles()) {
                before.push_back(model.buffer(role).values());
            }
            NOPT_ASSERT_OK(moving.step(one.hyperparams));
            NOPT_ASSERT_OK(model.step(one.hyperparams));
            size_t r = 0;
            for (const nopt_role role : model.roles()) {
                const std::vector<float> after = model.buffer(role).values();
                const std::vector<float> moved = moving.buffer(role).values();
                size_t at = 0;
                for (size_t t = 0; t < counts.size(); ++t) {
                    const size_t end = at + static_cast<size_t>(counts[t]);
                    const bool never_frozen = t == 1 || t == 5;
                    for (; at < end; ++at) {
                        if (frozen[t]) {
                            ASSERT_EQ(before[r][at], after[at]) << one.name << " " << role << " " << t;
                        } else if (never_frozen) {
                            ASSERT_EQ(moved[at], after[at]) << one.name << " " << role << " " << t;
                        }
                    }
                }
                ++r;
            }
            EXPECT_EQ(step + 1, model.state().step);  // the group's own
        }
        EXPECT_TRUE(model.intact());
    }
}

// The same for elements of 16 bits.
TEST(Frozen, MixedTensorsStayToo) {
    MixedModel model("adam", all_mixes());
    Random random(3);
    model.fill_params(random);
    model.fill(NOPT_ROLE_GRAD, random);
    const std::vector<uint8_t> before = model.all_bytes();
    const std::vector<void*> none(model.counts().size(), nullptr);
    const int64_t count = static_cast<int64_t>(none.size());
    NOPT_ASSERT_OK(nopt_param_set_bind(model.set, NOPT_ROLE_GRAD, count, none.data()));
    const nopt_hyperparams h = defaults("adam");
    NOPT_ASSERT_OK(nopt_optimizer_step(model.optimizer, &h, nullptr));
    EXPECT_EQ(before, model.all_bytes());
}

TEST(Frozen, DimersNeedAllGradients) {
    DimerModel model("adam", {4, 4});
    model.unbind(NOPT_ROLE_GRAD_DISPLACED);
    model.new_gradients();
    model.freeze({false, true});
    const std::vector<float> before = model.all_values();
    const nopt_dimer_options o = dimer_defaults();
    EXPECT_EQ(NOPT_ERROR_UNSUPPORTED, model.dimer_step(o, defaults("adam")));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "tensor 1 has no GRAD")) << nopt_last_error_message();
    EXPECT_EQ(NOPT_ERROR_UNSUPPORTED, model.displace(o));
    EXPECT_TRUE(same_bits(before, model.all_values()));
}

}  // namespace
}  // namespace nopt_test
