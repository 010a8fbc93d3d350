// Every rule and option against its equations in double, written here a second time.
#include <math.h>

#include "support/model.h"
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

class Rules : public testing::TestWithParam<Case> {};

TEST_P(Rules, FollowTheEquations) {
    const Case& one = GetParam();
    constexpr int kSteps = 40;
    const std::vector<int64_t> counts = {37, 0, 128, 1};
    const double lr_scale[] = {1.0, 1.0, 0.25, 3.0};
    const double weight_decay[] = {NOPT_INHERIT, NOPT_INHERIT, 0.1, 0.0};
    Model model(one.rule.c_str(), counts, 0, 7);
    NOPT_ASSERT_OK(nopt_param_set_set_lr_scale(model.set, model.tensor_count(), lr_scale));
    NOPT_ASSERT_OK(nopt_param_set_set_weight_decay(model.set, model.tensor_count(), weight_decay));

    std::vector<std::vector<RuleReference>> references(counts.size());
    for (size_t t = 0; t < counts.size(); ++t) {
        for (int64_t i = 0; i < counts[t]; ++i) {
            references[t].push_back({static_cast<double>(model.buffer(NOPT_ROLE_PARAM).tensor(t)[i])});
        }
    }

    nopt_hyperparams h = one.hyperparams;
    double moved = 0.0;
    for (int step = 1; step <= kSteps; ++step) {
        h.lr = one.hyperparams.lr * (1.0 + 0.1 * (step % 4));  // a schedule
        model.new_gradients();
        NOPT_ASSERT_OK(model.step(h));
        for (size_t t = 0; t < counts.size(); ++t) {
            const double own_decay = weight_decay[t] == NOPT_INHERIT ? h.weight_decay : weight_decay[t];
            for (int64_t i = 0; i < counts[t]; ++i) {
                RuleReference& reference = references[t][static_cast<size_t>(i)];
                const double before = reference.param;
                const float grad = model.buffer(NOPT_ROLE_GRAD).tensor(t)[i];
                reference.step(one.rule, h, static_cast<double>(grad), step, h.lr * lr_scale[t], own_decay);
                moved = fmax(moved, fabs(reference.param - before));
                // Rounding of the parameter at each step (half of 2^-23), of the update (a dozen roundings of 2^-24
                // on at most |before - after|), summed over the steps with room for the moments' own error.
                const double bound =
                    step * (fabs(reference.param) * 1.2e-7 + fabs(reference.param - before) * 2e-6 + 3e-8);
                ASSERT_NEAR(reference.param, static_cast<double>(model.buffer(NOPT_ROLE_PARAM).tensor(t)[i]), bound)
                    << "tensor " << t << " element " << i << " step " << step;
            }
        }
    }
    EXPECT_GT(moved, 1e-4) << "the steps are too small for this test to see anything";
    EXPECT_EQ(kSteps, model.state().step);
    EXPECT_TRUE(model.intact());
}

INSTANTIATE_TEST_SUITE_P(Rules, Rules, testing::ValuesIn(all_cases()),
                         [](const testing::TestParamInfo<Case>& one) { return one.param.name; });

// The published constants of the equations: each step's size in closed form.
TEST(Rules, FirstAdamStepIsTheLearningRate) {
    Model model("adam", {1});
    *model.buffer(NOPT_ROLE_PARAM).tensor(0) = 1.0f;
    *model.buffer(NOPT_ROLE_GRAD).tensor(0) = 0.25f;
    NOPT_ASSERT_OK(model.step(defaults("adam")));
    EXPECT_FLOAT_EQ(1.0f - 1e-3f, *model.buffer(NOPT_ROLE_PARAM).tensor(0));
    EXPECT_FLOAT_EQ(0.025f, *model.buffer(NOPT_ROLE_EXP_AVG).tensor(0));
    EXPECT_FLOAT_EQ(6.25e-5f, *model.buffer(NOPT_ROLE_EXP_AVG_SQ).tensor(0));
}

TEST(Rules, FirstInvAdamStepIsTheSquaredGradient) {
    Model model("invadam", {1});
    *model.buffer(NOPT_ROLE_PARAM).tensor(0) = 1.0f;
    *model.buffer(NOPT_ROLE_GRAD).tensor(0) = 0.5f;
    nopt_hyperparams h = defaults("invadam");
    h.lr = 1.0;
    NOPT_ASSERT_OK(model.step(h));
    EXPECT_FLOAT_EQ(0.75f, *model.buffer(NOPT_ROLE_PARAM).tensor(0));
}

TEST(Rules, DualAdamIsAdamFromTheEndOfTheSwitch) {
    nopt_hyperparams dual = defaults("dualadam");
    EXPECT_DOUBLE_EQ(8e-5, dual.switching_rate);
    dual.switching_rate = 0.1;
    nopt_hyperparams adam = defaults("adam");
    Model a("dualadam", {129});
    Model b("adam", {129});
    for (int step = 1; step <= 30; ++step) {
        a.new_gradients();
        b.new_gradients();
        // From step 10 on the inverse part has no weight: the same parameters must get the same update.
        const std::vector<float> param = a.buffer(NOPT_ROLE_PARAM).values();
        std::copy(param.begin(), param.end(), b.buffer(NOPT_ROLE_PARAM).tensor(0));
        NOPT_ASSERT_OK(a.step(dual));
        NOPT_ASSERT_OK(b.step(adam));
        const bool equal = same_bits(a.buffer(NOPT_ROLE_PARAM).values(), b.buffer(NOPT_ROLE_PARAM).values());
        EXPECT_EQ(step >= 10, equal) << step;
    }
}

// torch rounds 1 - lr * weight_decay to float, which would be 1 - 1.19e-7 here.
TEST(Rules, SmallDecoupledDecayIsNotLost) {
    Model model("adam", {1});
    *model.buffer(NOPT_ROLE_PARAM).tensor(0) = 1e6f;
    *model.buffer(NOPT_ROLE_GRAD).tensor(0) = 1.0f;
    nopt_hyperparams h = defaults("adam");
    h.flags = NOPT_FLAG_DECOUPLED_WEIGHT_DECAY;
    h.lr = 1e-5;
    h.weight_decay = 1e-2;
    for (int i = 0; i < 10; ++i) {
        NOPT_ASSERT_OK(model.step(h));
    }
    EXPECT_NEAR(1e6 * (1.0 - 10e-7), static_cast<double>(*model.buffer(NOPT_ROLE_PARAM).tensor(0)), 0.32);
}

TEST(Rules, NansInOneElementStayThere) {
    for (const Case& one : all_cases()) {
        Model model(one.rule.c_str(), {100});
        Model clean(one.rule.c_str(), {100});
        for (int step = 0; step < 3; ++step) {
            model.new_gradients();
            clean.new_gradients();
            if (step == 0) {
                model.buffer(NOPT_ROLE_GRAD).tensor(0)[33] = NAN;
            }
            NOPT_ASSERT_OK(model.step(one.hyperparams));
            NOPT_ASSERT_OK(clean.step(one.hyperparams));
        }
        for (int i = 0; i < 100; ++i) {
            const float got = model.buffer(NOPT_ROLE_PARAM).tensor(0)[i];
            EXPECT_EQ(i == 33, static_cast<bool>(isnan(got))) << one.name << " " << i;
            if (i != 33) {
                EXPECT_EQ(clean.buffer(NOPT_ROLE_PARAM).tensor(0)[i], got) << one.name << " " << i;
            }
        }
    }
}

}  // namespace
}  // namespace nopt_test
