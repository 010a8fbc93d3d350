// The step call itself: hyperparameters that it refuses, its state, resuming, and sets with nothing in them.
#include <float.h>
#include <math.h>

#include <functional>

#include "support/model.h"

namespace nopt_test {
namespace {

// A step with these hyperparameters is refused with these words, and nothing changes.
void expect_refused(const std::string& rule, const nopt_hyperparams& h, nopt_status expected,
                    const std::string& words) {
    Model model(rule, {5});
    model.new_gradients();
    const std::vector<float> before = model.all_values();
    EXPECT_EQ(expected, model.step(h)) << rule << ": " << words;
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), words.c_str()))
        << nopt_last_error_message() << "\nshould have: " << words;
    EXPECT_TRUE(same_bits(before, model.all_values())) << words;
    EXPECT_EQ(0, model.state().step);
}

// Every hyperparameter of every rule, out of its range and just within.
TEST(Step, RefusesHyperparametersOutOfRangeAndWritesNothing) {
    constexpr nopt_status kInvalid = NOPT_ERROR_INVALID_ARGUMENT;
    for (const std::string& rule : all_rules()) {
        for (const nopt_hyperparam_info& info : describe(rule).hyperparams) {
            nopt_hyperparams h = test_hyperparams(rule);
            double& value = h.values[info.index];
            const double infinity = static_cast<double>(INFINITY);
            std::vector<double> bad = {nextafter(info.min, -infinity), static_cast<double>(NAN), infinity, -infinity,
                                       info.max_is_excluded != 0 ? info.max : nextafter(info.max, infinity)};
            if (info.is_integer != 0) {
                bad.push_back(info.min + 0.5);
            }
            if (info.max == static_cast<double>(FLT_MAX)) {
                // What floats have as 0, or without all digits.
                bad.insert(bad.end(), {1e-300, 1e-46, nextafter(static_cast<double>(FLT_MIN), 0.0)});
            }
            for (const double one : bad) {
                value = one;
                expect_refused(rule, h, kInvalid, std::string(info.name) + " is ");
            }
            for (const double one : {info.min, info.is_integer != 0        ? info.max
                                               : info.max_is_excluded != 0 ? nextafter(info.max, info.min)
                                                                           : info.max}) {
                value = one;
                Model model(rule, {5});
                EXPECT_EQ(NOPT_OK, model.step(h))
                    << rule << " " << info.name << " " << one << nopt_last_error_message();
            }
        }
    }
}

// The largest and the smallest values that are allowed, all at once: what steps make of them in float is finite.
TEST(Step, TheBoundsOfHyperparametersLeadToFiniteSteps) {
    for (const std::string& rule : all_rules()) {
        for (const uint32_t flags : {0u, static_cast<uint32_t>(NOPT_FLAG_DECOUPLED_WEIGHT_DECAY)}) {
            for (const double beta : {0.0, nextafter(1.0, 0.0)}) {
                nopt_hyperparams h = defaults(rule);
                h.flags = known_flags(rule, flags);
                for (const nopt_hyperparam_info& info : describe(rule).hyperparams) {
                    const bool is_decay_rate = info.max_is_excluded != 0 && info.max == 1.0;
                    h.values[info.index] = is_decay_rate ? beta : h.values[info.index];
                }
                lr(h) = describe(rule).hyperparams[NOPT_HYPERPARAM_LR].max;
                weight_decay(h) = describe(rule).hyperparams[NOPT_HYPERPARAM_WEIGHT_DECAY].max;
                Model model(rule, {40});
                model.buffer(NOPT_ROLE_PARAM).fill(1e-20f);
                model.buffer(NOPT_ROLE_GRAD).fill(0.0f);
                for (const nopt_role role : model.inputs()) {
                    model.buffer(role).fill(1.0f);
                }
                NOPT_ASSERT_OK(model.step(h));
                EXPECT_TRUE(isfinite(*model.buffer(NOPT_ROLE_PARAM).tensor(0))) << rule << " " << flags << " " << beta;
            }
        }
    }
}

// A schedule may take a learning rate and a weight decay down to any number; as floats they vanish as their effect
// does.
TEST(Step, SmallLearningRatesAndDecaysVanish) {
    for (const std::string& rule : all_rules()) {
        bool steps_by_state = false;  // the learning rate is only what a state begins at
        for (const nopt_state_info& state : describe(rule).states) {
            steps_by_state = steps_by_state || state.initial_hyperparam == NOPT_HYPERPARAM_LR;
        }
        if (steps_by_state) {
            continue;
        }
        nopt_hyperparams h = defaults(rule);
        lr(h) = 1e-50;
        weight_decay(h) = 1e-50;
        Model model(rule, {40});
        model.new_gradients();
        const std::vector<float> before = model.buffer(NOPT_ROLE_PARAM).values();
        NOPT_ASSERT_OK(model.step(h));
        EXPECT_TRUE(same_bits(before, model.buffer(NOPT_ROLE_PARAM).values())) << rule;
    }
}

// The learning rate of a tensor is a product. It is refused where it is made, with both factors.
TEST(Step, RefusesLearningRatesOfTensorsThatAreTooLarge) {
    const double lr_scale[] = {1.0, 1e30, 1.0};
    nopt_hyperparams h = defaults("adam");
    lr(h) = 1e10;
    Model model("adam", {4, 4, 4});
    model.new_gradients();
    NOPT_ASSERT_OK(nopt_param_set_set_lr_scale(model.set, 3, lr_scale));
    const std::vector<float> before = model.all_values();
    const char* const words = "lr is 1e+10 and lr_scale[1] is 1e+30; their product";
    const auto refused = [&](nopt_status status, const std::string& expected) {
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, status);
        EXPECT_NE(nullptr, strstr(nopt_last_error_message(), expected.c_str())) << nopt_last_error_message();
        EXPECT_TRUE(same_bits(before, model.all_values()));
        EXPECT_EQ(0, model.state().step);
    };
    refused(model.step(h), words);

    // On the device.
    NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, nullptr));
    refused(nopt_optimizer_set_lr(model.optimizer, 1e10, nullptr), words);
    refused(nopt_optimizer_set_lr(model.optimizer, 1e23, nullptr), "lr is 1e+23; it must be in [0, 1e+22]");
    NOPT_ASSERT_OK(nopt_optimizer_set_lr(model.optimizer, 1e-10, nullptr));
    h.values[NOPT_HYPERPARAM_LR] = NOPT_LR_ON_DEVICE;
    NOPT_ASSERT_OK(nopt_param_set_set_lr_scale(model.set, 3, std::vector<double>{1.0, 1e38, 1.0}.data()));
    refused(model.step(h), "lr is 1e-10 and lr_scale[1] is 1e+38; their product");
    NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, 0, nullptr));

    // In a group that has another learning rate, and once the factors are gone.
    const int32_t group[] = {0, 1, 0};
    NOPT_ASSERT_OK(nopt_param_set_set_lr_scale(model.set, 3, lr_scale));
    NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 2));
    NOPT_ASSERT_OK(nopt_param_set_set_groups(model.set, 3, group));
    nopt_hyperparams both[] = {defaults("adam"), defaults("adam")};
    lr(both[0]) = 1e10;
    lr(both[1]) = 1e-7;
    refused(nopt_optimizer_step(model.optimizer, both, nullptr),
            "hyperparams[1]: lr is 1e-07 and lr_scale[1] is 1e+30; their product");
    lr(both[1]) = 1e-30;
    NOPT_ASSERT_OK(nopt_optimizer_step(model.optimizer, both, nullptr));
    NOPT_ASSERT_OK(nopt_param_set_set_lr_scale(model.set, 3, nullptr));
    lr(both[1]) = 1e22;
    NOPT_ASSERT_OK(nopt_optimizer_step(model.optimizer, both, nullptr));
}

// What a rule does not have must be 0: values past its last one, and flags.
TEST(Step, RefusesWhatTheRuleDoesNotHave) {
    for (const std::string& rule : all_rules()) {
        const nopt_rule_info& info = describe(rule).info;
        for (int32_t i = info.hyperparam_count; i < NOPT_MAX_HYPERPARAMS; ++i) {
            nopt_hyperparams h = defaults(rule);
            h.values[i] = 1.0;
            expect_refused(rule, h, NOPT_ERROR_UNSUPPORTED,
                           "values[" + std::to_string(i) + "] is 1, but rule \"" + rule + "\" has " +
                               std::to_string(info.hyperparam_count) + " hyperparameters; leave it 0");
        }
        for (uint32_t one = 1; one != 0; one <<= 1) {
            if ((info.flags & one) == 0) {
                nopt_hyperparams h = defaults(rule);
                h.flags |= one;
                expect_refused(rule, h, NOPT_ERROR_UNSUPPORTED, "(" + std::to_string(one) + "), which rule \"" + rule);
            }
        }
        for (const nopt_flag_info& one : describe(rule).flags) {
            if (one.needed_hyperparam >= 0) {
                nopt_hyperparams h = defaults(rule);
                h.flags = one.flag;
                h.values[one.needed_hyperparam] = 0.0;
                expect_refused(rule, h, NOPT_ERROR_INVALID_ARGUMENT,
                               std::string("flags has ") + one.name + ", which needs " +
                                   describe(rule).hyperparams[static_cast<size_t>(one.needed_hyperparam)].name);
            }
        }
    }
}

TEST(Step, SaysWhatIsWrongWithAHyperparameter) {
    nopt_hyperparams h = defaults("adam");
    value(h, "adam", "beta1") = 1.5;
    expect_refused("adam", h, NOPT_ERROR_INVALID_ARGUMENT, "beta1 is 1.5; it must be in [0, 1)");
    h = defaults("adam");
    lr(h) = -2.0;
    expect_refused("adam", h, NOPT_ERROR_INVALID_ARGUMENT, "lr is -2; it must be in [0, 1e+22]");
    h = defaults("sgd");
    weight_decay(h) = 1e39;
    expect_refused("sgd", h, NOPT_ERROR_INVALID_ARGUMENT, "weight_decay is 1e+39; it must be in [0, 1e+16]");
    h = defaults("sgd");
    h.flags = flag("sgd", "nesterov");
    expect_refused("sgd", h, NOPT_ERROR_INVALID_ARGUMENT, "flags has nesterov, which needs momentum > 0");
    value(h, "sgd", "momentum") = 0.9;
    value(h, "sgd", "dampening") = 0.5;
    expect_refused("sgd", h, NOPT_ERROR_INVALID_ARGUMENT, "flags has nesterov, which needs dampening = 0");
    h = defaults("adam");
    h.flags = 1u << 31;
    expect_refused("adam", h, NOPT_ERROR_UNSUPPORTED, "an unknown flag (2147483648)");
}

TEST(Step, RefusesNullsStreamsAndUnknownRules) {
    Model model("adam", {5});
    nopt_hyperparams h = defaults("adam");
    int something = 0;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_step(nullptr, &h, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_step(model.optimizer, nullptr, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_step(model.optimizer, &h, &something));
    nopt_optimizer* optimizer = nullptr;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_create(model.set, "adamx", &optimizer));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_create(model.set, nullptr, &optimizer));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_create(nullptr, "adam", &optimizer));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_create(model.set, "adam", nullptr));
    EXPECT_EQ(nullptr, optimizer);
    EXPECT_EQ(NOPT_OK, nopt_optimizer_destroy(nullptr));
    EXPECT_EQ(NOPT_OK, nopt_param_set_destroy(nullptr));
}

// The states of a step are those whose flag is set and whose hyperparameter is above its bound.
TEST(Step, NamesTheRolesThatItNeeds) {
    for (const Case& one : all_cases()) {
        const nopt_hyperparams& h = one.hyperparams;
        uint32_t expected = 1u << NOPT_ROLE_PARAM | 1u << NOPT_ROLE_GRAD;
        for (const nopt_state_info& state : describe(one.rule).states) {
            const bool has_flag = (h.flags & state.needed_flag) == state.needed_flag;
            const bool is_above = state.needed_hyperparam < 0 || h.values[state.needed_hyperparam] > state.needed_above;
            expected |= has_flag && is_above ? 1u << state.role : 0u;
        }
        Model model(one.rule, {1});
        uint32_t mask = 0;
        NOPT_EXPECT_OK(nopt_optimizer_get_roles(model.optimizer, &h, &mask));
        EXPECT_EQ(expected, mask) << one.name;
        // These are enough, and each of them is needed.
        for (const nopt_role role : model.roles()) {
            if ((mask >> role & 1u) == 0) {
                model.unbind(role);
            }
        }
        EXPECT_EQ(NOPT_OK, model.step(h)) << one.name << nopt_last_error_message();
        for (const nopt_role role : model.roles()) {
            if ((mask >> role & 1u) != 0) {
                model.unbind(role);
                EXPECT_EQ(NOPT_ERROR_MISSING_ROLE, model.step(h)) << one.name << ", role " << role;
                model.bind(role);
            }
        }
        EXPECT_EQ(1, model.state().step);
    }
}

TEST(Step, NamesTheStatesOfTheKnownRules) {
    const auto roles = [](const char* rule, const nopt_hyperparams& h) {
        Model model(rule, {1});
        uint32_t mask = 0;
        NOPT_EXPECT_OK(nopt_optimizer_get_roles(model.optimizer, &h, &mask));
        return mask & ~(1u << NOPT_ROLE_PARAM | 1u << NOPT_ROLE_GRAD);
    };
    const uint32_t moments = 1u << state_role("adam", "exp_avg") | 1u << state_role("adam", "exp_avg_sq");
    EXPECT_EQ(moments, roles("adam", defaults("adam")));
    nopt_hyperparams h = defaults("dualadam");
    h.flags = flag("dualadam", "amsgrad");
    EXPECT_EQ(moments | 1u << state_role("dualadam", "max_exp_avg_sq"), roles("dualadam", h));
    h = defaults("sgd");
    EXPECT_EQ(0u, roles("sgd", h));
    value(h, "sgd", "momentum") = 0.5;
    EXPECT_EQ(1u << state_role("sgd", "momentum_buffer"), roles("sgd", h));
}

TEST(Step, CountsAndMultipliesThroughTheBetas) {
    Model model("adam", {3});
    nopt_hyperparams h = defaults("adam");
    double product1 = 1.0;
    double product2 = 1.0;
    nopt_step_state advanced = state_after("adam", h, 0);
    EXPECT_TRUE(same_state(advanced, model.state()));
    for (int step = 1; step <= 100; ++step) {
        double& beta1 = value(h, "adam", "beta1");
        beta1 = step % 2 == 0 ? 0.9 : 0.8;  // a schedule: the product is not a power
        NOPT_ASSERT_OK(model.step(h));
        product1 *= beta1;
        product2 *= value(h, "adam", "beta2");
        nopt_step_state state = model.state();
        EXPECT_EQ(step, state.step);
        EXPECT_EQ(product1, running(state, "adam", "beta1_product"));
        EXPECT_EQ(product2, running(state, "adam", "beta2_product"));
        NOPT_ASSERT_OK(nopt_rule_advance("adam", &h, 1, &advanced));
        EXPECT_TRUE(same_state(advanced, state)) << step;
    }
}

TEST(Step, ResumesBitForBit) {
    for (const Case& one : all_cases()) {
        Model whole(one.rule, {300, 1});
        for (int step = 0; step < 5; ++step) {
            whole.new_gradients();
            NOPT_ASSERT_OK(whole.step(one.hyperparams));
        }
        Model resumed(one.rule, {300, 1});
        resumed.take(whole, whole.roles());
        const nopt_step_state state = whole.state();
        NOPT_ASSERT_OK(nopt_optimizer_set_state(resumed.optimizer, &state));
        for (int step = 0; step < 5; ++step) {
            whole.new_gradients();
            resumed.take(whole, whole.reads());
            NOPT_ASSERT_OK(whole.step(one.hyperparams));
            NOPT_ASSERT_OK(resumed.step(one.hyperparams));
        }
        EXPECT_TRUE(same_bits(whole.all_values(), resumed.all_values())) << one.name;
        EXPECT_EQ(10, resumed.state().step);
    }
}

TEST(Step, EmptySetsAreOrdinary) {
    for (const std::vector<int64_t>& counts : {std::vector<int64_t>{}, {0}, {0, 0, 0}}) {
        Model model("dualadam", counts);
        NOPT_ASSERT_OK(model.step(defaults("dualadam")));
        EXPECT_EQ(1, model.state().step);
        EXPECT_TRUE(model.intact());
    }
    nopt_param_set* set = nullptr;
    NOPT_ASSERT_OK(nopt_param_set_create(NOPT_BACKEND_CPU, 0, 0, nullptr, nullptr, &set));
    nopt_optimizer* optimizer = nullptr;
    NOPT_ASSERT_OK(nopt_optimizer_create(set, "sgd", &optimizer));
    const nopt_hyperparams h = defaults("sgd");
    NOPT_EXPECT_OK(nopt_optimizer_step(optimizer, &h, nullptr));
    NOPT_EXPECT_OK(nopt_optimizer_destroy(optimizer));
    NOPT_EXPECT_OK(nopt_param_set_destroy(set));
}

TEST(Step, ChangedAddressesAreFollowed) {
    Model model("sgd", {2});
    std::vector<float> other = {4.0f, 8.0f};
    void* pointer = other.data();
    NOPT_ASSERT_OK(nopt_param_set_bind(model.set, NOPT_ROLE_GRAD, 1, &pointer));
    nopt_hyperparams h = defaults("sgd");
    lr(h) = 1.0;
    const float before = model.buffer(NOPT_ROLE_PARAM).tensor(0)[1];
    NOPT_ASSERT_OK(model.step(h));
    EXPECT_EQ(before - 8.0f, model.buffer(NOPT_ROLE_PARAM).tensor(0)[1]);
}

// Steps like the last one are not checked again; others are.
TEST(Step, ChecksWhatHasChanged) {
    Model model("adam", {5});
    const nopt_hyperparams h = defaults("adam");
    model.new_gradients();
    NOPT_ASSERT_OK(model.step(h));
    NOPT_ASSERT_OK(model.step(h));
    nopt_hyperparams bad = h;
    value(bad, "adam", "beta1") = 1.0;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, model.step(bad));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, model.step(bad));
    NOPT_ASSERT_OK(model.step(h));
    model.unbind(state_role("adam", "exp_avg"));
    EXPECT_EQ(NOPT_ERROR_MISSING_ROLE, model.step(h));
    EXPECT_EQ(NOPT_ERROR_MISSING_ROLE, model.step(h));
    model.bind(state_role("adam", "exp_avg"));
    NOPT_ASSERT_OK(model.step(h));
    EXPECT_EQ(4, model.state().step);

    // A learning rate on the device is one of capturable optimizers only.
    nopt_hyperparams on_device = h;
    lr(on_device) = NOPT_LR_ON_DEVICE;
    NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, nullptr));
    NOPT_ASSERT_OK(nopt_optimizer_set_lr(model.optimizer, 1e-3, nullptr));
    NOPT_ASSERT_OK(model.step(on_device));
    const float before = model.buffer(NOPT_ROLE_PARAM).tensor(0)[0];
    NOPT_ASSERT_OK(nopt_optimizer_set_lr(model.optimizer, 0.0, nullptr));
    NOPT_ASSERT_OK(model.step(on_device));
    EXPECT_EQ(before, model.buffer(NOPT_ROLE_PARAM).tensor(0)[0]);
    NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, 0, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, model.step(on_device));
    NOPT_ASSERT_OK(model.step(h));

    // A group that was not there, and one that is gone.
    NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 2));
    const nopt_hyperparams groups[] = {h, bad};
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_step(model.optimizer, groups, nullptr));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "hyperparams[1]")) << nopt_last_error_message();
    EXPECT_EQ(7, model.state().step);
    const int32_t group = 1;
    NOPT_ASSERT_OK(nopt_param_set_set_groups(model.set, 1, &group));
    const nopt_hyperparams both[] = {h, h};
    NOPT_ASSERT_OK(nopt_optimizer_step(model.optimizer, both, nullptr));
    NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 1));
    EXPECT_EQ(NOPT_ERROR_INVALID_STATE, model.step(h));
}

}  // namespace
}  // namespace nopt_test
