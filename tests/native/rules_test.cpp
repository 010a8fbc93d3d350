// Every rule and option against its equations, written a second time in support/rules.
#include <math.h>

#include "support/model.h"
#include "support/model_elements.h"

namespace nopt_test {
namespace {

class Rules : public testing::TestWithParam<Case> {};

TEST_P(Rules, FollowTheEquations) {
    const Case& one = GetParam();
    constexpr int kSteps = 40;
    const std::vector<int64_t> counts = {37, 0, 128, 1};
    const double lr_scale[] = {1.0, 1.0, 0.25, 3.0};
    const double own_decay[] = {NOPT_INHERIT, NOPT_INHERIT, 0.1, 0.0};
    Model model(one.rule, counts, 0, 7);
    NOPT_ASSERT_OK(nopt_param_set_set_lr_scale(model.set, model.tensor_count(), lr_scale));
    NOPT_ASSERT_OK(nopt_param_set_set_weight_decay(model.set, model.tensor_count(), own_decay));

    // The reference never looks at the library again, so that its errors are those of all steps so far.
    std::vector<std::vector<RuleElement<Rounded>>> references;
    for (size_t t = 0; t < counts.size(); ++t) {
        references.emplace_back();
        for (const RuleElement<double>& start : elements_of(model, t)) {
            references[t].push_back(element_as<Rounded>(start));
        }
    }

    nopt_hyperparams h = one.hyperparams;
    double moved = 0.0;
    int compared = 0;
    int loose = 0;  // parameters whose bound says little
    for (int step = 1; step <= kSteps; ++step) {
        lr(h) = lr(one.hyperparams) * (1.0 + 0.1 * (step % 4));  // a schedule
        model.new_gradients();
        // Inputs are there in every third step, the first included, and null for a tensor in every sixth.
        for (const nopt_role role : model.inputs()) {
            std::vector<void*> pointers = model.buffer(role).pointers();
            pointers[2] = step % 6 == 1 ? nullptr : pointers[2];
            NOPT_ASSERT_OK(
                nopt_param_set_bind(model.set, role, model.tensor_count(), step % 3 == 1 ? pointers.data() : nullptr));
        }
        NOPT_ASSERT_OK(model.step(h));
        for (size_t t = 0; t < counts.size(); ++t) {
            const double decay = own_decay[t] == NOPT_INHERIT ? weight_decay(h) : own_decay[t];
            const RuleStep reference_step(one.rule, h, step, lr(h) * lr_scale[t], decay);
            const std::vector<RuleElement<double>> now = elements_of(model, t);
            for (size_t i = 0; i < now.size(); ++i) {
                RuleElement<Rounded>& reference = references[t][i];
                const double before = reference.param.value();
                take_reads(reference, now[i]);
                for (const nopt_role role : model.inputs()) {
                    reference.has_input[role - NOPT_ROLE_INPUT] = step % 3 == 1 && !(t == 2 && step % 6 == 1);
                }
                step_reference(reference, reference_step);
                const Rounded& expected = reference.param;
                moved = fmax(moved, fabs(expected.value() - before));
                ++compared;
                loose += expected.error() > step * (fabs(expected.value()) * 1.2e-7 + 1e-6) ? 1 : 0;
                ASSERT_NEAR(expected.value(), now[i].param, 1.01 * expected.error() + 1e-44)
                    << "tensor " << t << " element " << i << " step " << step;
            }
        }
    }
    EXPECT_GT(moved, 1e-4) << "the steps are too small for this test to see anything";
    EXPECT_LT(loose, 0.05 * compared) << "the bounds are too wide for this test to see anything";
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
    EXPECT_FLOAT_EQ(0.025f, *model.buffer(state_role("adam", "exp_avg")).tensor(0));
    EXPECT_FLOAT_EQ(6.25e-5f, *model.buffer(state_role("adam", "exp_avg_sq")).tensor(0));
}

TEST(Rules, FirstInvAdamStepIsTheSquaredGradient) {
    Model model("invadam", {1});
    *model.buffer(NOPT_ROLE_PARAM).tensor(0) = 1.0f;
    *model.buffer(NOPT_ROLE_GRAD).tensor(0) = 0.5f;
    nopt_hyperparams h = defaults("invadam");
    lr(h) = 1.0;
    NOPT_ASSERT_OK(model.step(h));
    EXPECT_FLOAT_EQ(0.75f, *model.buffer(NOPT_ROLE_PARAM).tensor(0));
}

TEST(Rules, DualAdamIsAdamFromTheEndOfTheSwitch) {
    nopt_hyperparams dual = defaults("dualadam");
    EXPECT_DOUBLE_EQ(8e-5, value(dual, "dualadam", "switching_rate"));
    value(dual, "dualadam", "switching_rate") = 0.1;
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
    lr(h) = 1e-5;
    weight_decay(h) = 1e-2;
    for (int i = 0; i < 10; ++i) {
        NOPT_ASSERT_OK(model.step(h));
    }
    EXPECT_NEAR(1e6 * (1.0 - 10e-7), static_cast<double>(*model.buffer(NOPT_ROLE_PARAM).tensor(0)), 0.32);
}

// The first parameter after a step from 1 with these gradients, one after the other.
float param_after(const nopt_hyperparams& h, const std::string& rule, const std::vector<float>& grads) {
    Model model(rule, {40});
    model.buffer(NOPT_ROLE_PARAM).fill(1.0f);
    for (const float grad : grads) {
        model.buffer(NOPT_ROLE_GRAD).fill(grad);
        NOPT_EXPECT_OK(model.step(h));
    }
    return *model.buffer(NOPT_ROLE_PARAM).tensor(0);
}

// g^2 overflows, so that InvAdam's part is 0 times infinity; with eps 0, Adam's part is 0 times 0 / 0.
TEST(Rules, APartOfDualAdamWithoutWeightDoesNotCount) {
    nopt_hyperparams h = defaults("dualadam");
    value(h, "dualadam", "switching_rate") = 1.0;
    EXPECT_EQ(1.0f, param_after(h, "dualadam", {1e20f, 1e20f}));
    EXPECT_EQ(1.0f, param_after(defaults("adam"), "adam", {1e20f, 1e20f}));
    value(h, "dualadam", "switching_rate") = 0.5;  // the second step has no inverse part
    EXPECT_EQ(param_after(h, "dualadam", {1.0f}), param_after(h, "dualadam", {1.0f, 1e20f}));

    value(h, "dualadam", "switching_rate") = 0.0;
    value(h, "dualadam", "eps") = 0.0;
    EXPECT_EQ(1.0f, param_after(h, "dualadam", {0.0f}));
    EXPECT_EQ(param_after(defaults("invadam"), "invadam", {0.0f, 0.5f}), param_after(h, "dualadam", {0.0f, 0.5f}));
    // With no learning rate neither part has a weight.
    lr(h) = 0.0;
    EXPECT_EQ(1.0f, param_after(h, "dualadam", {0.0f, 1e20f}));
}

// A difference of two gradients that overflows has no part in the update with a beta2 of 0, and neither has a decay of
// 0 where the update is infinite.
TEST(Rules, APartOfAdanWithoutWeightDoesNotCount) {
    nopt_hyperparams h = defaults("adan");
    value(h, "adan", "beta2") = 0.0;
    // The squares overflow, so that the update is 0.
    EXPECT_EQ(1.0f, param_after(h, "adan", {3e38f, -3e38f}));
    h = defaults("adan");
    value(h, "adan", "eps") = 0.0;
    EXPECT_EQ(-INFINITY, param_after(h, "adan", {1e-30f}));  // the square underflows
}

TEST(Rules, NansInOneElementStayThere) {
    for (const Case& one : all_cases()) {
        Model model(one.rule, {100});
        Model clean(one.rule, {100});
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
