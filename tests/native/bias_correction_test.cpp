// Bias correction by beta^t: what a step's beta makes of the step count, whatever the betas were before.
#include <math.h>

#include "support/model.h"
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

constexpr const char* kFlag = "bias_correction_by_power";

std::vector<std::string> rules_with_powers() {
    std::vector<std::string> rules;
    for (const std::string& rule : all_rules()) {
        if (has_flag(rule, kFlag)) {
            rules.push_back(rule);
        }
    }
    return rules;
}

// The name of the decay rate that a running scalar is made of: "beta1" of "beta1_product".
std::string rate_of(const nopt_running_info& running) {
    const std::string name = running.name;
    return name.substr(0, name.find("_product"));
}

nopt_hyperparams by_power(const std::string& rule) {
    nopt_hyperparams h = defaults(rule);
    h.flags |= flag(rule, kFlag);
    return h;
}

// A beta1 that moves as schedulers move it.
void move_beta1(nopt_hyperparams& h, const std::string& rule, int step) {
    value(h, rule, "beta1") = 0.95 - 0.1 * fabs(sin(0.3 * step));
}

class BiasCorrection : public testing::TestWithParam<std::string> {};

TEST_P(BiasCorrection, EqualsTheProductWhereBetaStays) {
    const std::string& rule = GetParam();
    const nopt_hyperparams powers = by_power(rule);
    const nopt_hyperparams products = defaults(rule);
    nopt_step_state product = state_after(rule, products, 0);
    nopt_step_state power = product;
    ASSERT_FALSE(describe(rule).running.empty());
    for (int t = 1; t <= 10000; ++t) {
        NOPT_ASSERT_OK(nopt_rule_advance(rule.c_str(), &products, 1, &product));
        NOPT_ASSERT_OK(nopt_rule_advance(rule.c_str(), &powers, 1, &power));
        ASSERT_EQ(product.step, power.step);
        for (const nopt_running_info& info : describe(rule).running) {
            const double expected = product.running[info.index];
            // (1e-300: what is less has lost digits.)
            ASSERT_NEAR(expected, power.running[info.index], 1e-12 * expected + 1e-300) << info.name << " at " << t;
        }
    }
    // All at once it is the same, bit for bit, for any number of steps.
    EXPECT_TRUE(same_state(power, state_after(rule, powers, 10000)));
    const int64_t most = int64_t{1} << 53;
    EXPECT_EQ(most, state_after(rule, powers, most).step);
}

// Every step against the equations, which take beta^t. The product would be wrong by much more than rounding.
TEST_P(BiasCorrection, FollowsAMovingBeta) {
    const std::string& rule = GetParam();
    Model model(rule, {64});
    nopt_hyperparams h = by_power(rule);
    nopt_step_state product = state_after(rule, h, 0);
    for (int t = 1; t <= 30; ++t) {
        move_beta1(h, rule, t);
        model.new_gradients();
        std::vector<RuleElement<Rounded>> elements(64);
        for (size_t i = 0; i < elements.size(); ++i) {
            elements[i].param = static_cast<double>(model.buffer(NOPT_ROLE_PARAM).tensor(0)[i]);
            elements[i].grad = static_cast<double>(model.buffer(NOPT_ROLE_GRAD).tensor(0)[i]);
            for (const nopt_role role : model.states()) {
                elements[i].at(role) = static_cast<double>(model.buffer(role).tensor(0)[i]);
            }
        }
        NOPT_ASSERT_OK(model.step(h));
        const RuleStep step(rule, h, t, lr(h), weight_decay(h));
        for (size_t i = 0; i < elements.size(); ++i) {
            step_reference(elements[i], step);
            const Rounded& theta = elements[i].param;
            ASSERT_NEAR(theta.value(), static_cast<double>(model.buffer(NOPT_ROLE_PARAM).tensor(0)[i]),
                        1.01 * theta.error() + 1e-44)
                << "element " << i << ", step " << t;
        }
        nopt_hyperparams without = h;
        without.flags &= ~flag(rule, kFlag);
        NOPT_ASSERT_OK(nopt_rule_advance(rule.c_str(), &without, 1, &product));
        const nopt_step_state state = model.state();
        for (const nopt_running_info& info : describe(rule).running) {
            const double rate = value(h, rule, rate_of(info).c_str());
            ASSERT_NEAR(pow(rate, t), state.running[info.index], 1e-14 * pow(rate, t)) << info.name << " at " << t;
        }
        const int32_t first = get(describe(rule).running, "beta1_product").index;
        EXPECT_TRUE(t == 1 || fabs(product.running[first] - state.running[first]) > 1e-3 * state.running[first]) << t;
    }
}

// Host and device count alike, whatever is set in between, with tensors that fall behind.
TEST_P(BiasCorrection, HasTheSameBitsWhereTheDeviceCounts) {
    const std::string& rule = GetParam();
    Model by_host(rule, {700, 3, 40});
    Model by_device(rule, {700, 3, 40});
    NOPT_ASSERT_OK(nopt_optimizer_set_capturable(by_device.optimizer, 1, nullptr));
    nopt_hyperparams h = by_power(rule);
    for (int t = 1; t <= 12; ++t) {
        move_beta1(h, rule, t);
        for (Model* const model : {&by_host, &by_device}) {
            model->new_gradients();
            model->freeze({false, t % 3 == 0, t < 5});
            NOPT_ASSERT_OK(model->step(h));
        }
        by_device.synchronize();
        ASSERT_TRUE(same_bits(by_host.all_values(), by_device.all_values())) << t;
        const std::vector<nopt_step_state> expected = by_host.tensor_states();
        const std::vector<nopt_step_state> actual = by_device.tensor_states();
        for (size_t i = 0; i < expected.size(); ++i) {
            ASSERT_TRUE(same_state(expected[i], actual[i])) << i << " at " << t;
        }
    }
    EXPECT_EQ(12, by_host.tensor_states()[0].step);
    EXPECT_EQ(8, by_host.tensor_states()[1].step);
    EXPECT_EQ(8, by_host.tensor_states()[2].step);
}

// A run that was resumed goes on from the count alone.
TEST_P(BiasCorrection, NeedsTheCountAlone) {
    const std::string& rule = GetParam();
    for (const int capturable : {0, 1}) {
        const nopt_hyperparams h = by_power(rule);
        Model model(rule, {5, 3});
        Model resumed(rule, {5, 3});
        NOPT_ASSERT_OK(nopt_optimizer_set_capturable(resumed.optimizer, capturable, nullptr));
        for (int t = 0; t < 6; ++t) {
            model.new_gradients();
            resumed.new_gradients();
            NOPT_ASSERT_OK(model.step(h));
        }
        nopt_step_state state = model.state();
        for (const nopt_running_info& info : describe(rule).running) {
            state.running[info.index] = 0.123;
        }
        NOPT_ASSERT_OK(nopt_optimizer_set_state(resumed.optimizer, &state));
        EXPECT_TRUE(same_state(state, resumed.state()));
        for (const nopt_role role : model.written()) {
            resumed.buffer(role).set_values(model.buffer(role).values());
        }
        NOPT_ASSERT_OK(model.step(h));
        NOPT_ASSERT_OK(resumed.step(h));
        resumed.synchronize();
        EXPECT_TRUE(same_state(model.state(), resumed.state()));
        EXPECT_TRUE(same_bits(model.all_values(), resumed.all_values()));
    }
}

INSTANTIATE_TEST_SUITE_P(Rules, BiasCorrection, testing::ValuesIn(rules_with_powers()),
                         [](const testing::TestParamInfo<std::string>& one) { return one.param; });

// Every rule whose running scalars are products of decay rates has the flag, and no other one.
// All running scalars of such a rule are products of one of its decay rates.
TEST(BiasCorrectionFlag, BelongsToRulesWithProducts) {
    for (const std::string& rule : all_rules()) {
        const RuleDescription& description = describe(rule);
        bool has_products = !description.running.empty();
        for (const nopt_running_info& running : description.running) {
            has_products = has_products && find(description.hyperparams, rate_of(running).c_str()) != nullptr;
        }
        EXPECT_EQ(has_products, has_flag(rule, kFlag)) << rule;
    }
    EXPECT_TRUE(has_flag("adam", kFlag));
    EXPECT_FALSE(has_flag("nadam", kFlag));
}

// A group may take powers beside one that takes products.
TEST(BiasCorrectionFlag, GroupsMayDiffer) {
    const int32_t groups[] = {0, 1};
    Model model("adam", {4, 4});
    NOPT_ASSERT_OK(nopt_param_set_set_groups(model.set, 2, groups));
    NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 2));
    nopt_hyperparams h[2] = {defaults("adam"), by_power("adam")};
    for (int t = 1; t <= 3; ++t) {
        move_beta1(h[0], "adam", t);
        move_beta1(h[1], "adam", t);
        model.new_gradients();
        NOPT_ASSERT_OK(model.work([&] { return nopt_optimizer_step(model.optimizer, h, nullptr); }));
    }
    const int32_t first = get(describe("adam").running, "beta1_product").index;
    double product = 1.0;
    for (int t = 1; t <= 3; ++t) {
        move_beta1(h[0], "adam", t);
        product *= value(h[0], "adam", "beta1");
    }
    EXPECT_EQ(product, model.state(0).running[first]);
    const double beta1 = value(h[1], "adam", "beta1");
    EXPECT_EQ(beta1 * (beta1 * beta1), model.state(1).running[first]);
}

}  // namespace
}  // namespace nopt_test
