// Step states: how they advance, and those that no tensor can have, which are refused and change nothing.
#include <math.h>

#include <functional>
#include <limits>

#include "support/rules.h"
#include "support/model.h"

namespace nopt_test {
namespace {

constexpr int64_t kMaxStep = int64_t{1} << 53;

TEST(StepState, BeginsWithTheInitialValues) {
    for (const std::string& rule : all_rules()) {
        const nopt_step_state state = state_after(rule, defaults(rule), 0);
        EXPECT_EQ(sizeof state, state.struct_size);
        EXPECT_EQ(0, state.step);
        for (int i = 0; i < NOPT_MAX_RUNNING; ++i) {
            const std::vector<nopt_running_info>& running = describe(rule).running;
            const size_t index = static_cast<size_t>(i);
            EXPECT_EQ(index < running.size() ? running[index].initial_value : 0.0, state.running[i]) << rule << i;
        }
        Model model(rule, {3});
        EXPECT_TRUE(same_state(state, model.state()));
    }
}

// As steps do, at once or one by one, with whatever options.
TEST(StepState, AdvancesAsStepsDo) {
    for (const Case& one : all_cases()) {
        Model model(one.rule, {3});
        nopt_step_state by_ones = state_after(one.rule, one.hyperparams, 0);
        for (int step = 1; step <= 20; ++step) {
            NOPT_ASSERT_OK(model.step(one.hyperparams));
            NOPT_ASSERT_OK(nopt_rule_advance(one.rule.c_str(), &one.hyperparams, 1, &by_ones));
            ASSERT_TRUE(same_state(by_ones, model.state())) << one.name << " " << step;
            ASSERT_TRUE(same_state(by_ones, state_after(one.rule, one.hyperparams, step))) << one.name << " " << step;
        }
    }
}

TEST(StepState, ManyStepsEndInProductsOfZero) {
    const nopt_step_state state = state_after("adam", defaults("adam"), kMaxStep);
    EXPECT_EQ(kMaxStep, state.step);
    for (const nopt_running_info& info : describe("adam").running) {
        EXPECT_LT(state.running[info.index], 1e-300) << info.name;
    }
}

TEST(StepState, AdvanceChecksItsArguments) {
    const nopt_hyperparams h = defaults("adam");
    nopt_step_state state = state_after("adam", h, 3);
    const nopt_step_state before = state;
    const auto refused = [&](const char* words, nopt_status status) {
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, status) << words;
        EXPECT_NE(nullptr, strstr(nopt_last_error_message(), words)) << nopt_last_error_message();
        EXPECT_EQ(0, memcmp(&before, &state, sizeof state)) << words;
    };
    refused("steps is -1", nopt_rule_advance("adam", &h, -1, &state));
    refused("steps is 9007199254740990", nopt_rule_advance("adam", &h, kMaxStep - 2, &state));
    refused("steps is 9223372036854775807", nopt_rule_advance("adam", &h, INT64_MAX, &state));
    refused("rule is \"adamx\"", nopt_rule_advance("adamx", &h, 1, &state));
    refused("rule is null", nopt_rule_advance(nullptr, &h, 1, &state));
    refused("hyperparams is null", nopt_rule_advance("adam", nullptr, 1, &state));
    refused("state is null", nopt_rule_advance("adam", &h, 1, nullptr));
    refused("rule is null", nopt_rule_get_initial_state(nullptr, &state));
    refused("state is null", nopt_rule_get_initial_state("adam", nullptr));
    nopt_hyperparams bad = h;
    value(bad, "adam", "beta1") = 1.0;
    refused("beta1 is 1", nopt_rule_advance("adam", &bad, 1, &state));
    state.struct_size = 8;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_rule_advance("adam", &h, 1, &state));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_rule_get_initial_state("adam", &state));
}

// What follows from the count is there at once, also where a step leaves it as it was for a while.
TEST(StepState, RunningScalarsThatFollowFromTheCountAreThoseOfTheLastStep) {
    nopt_hyperparams h = defaults("asgd");
    value(h, "asgd", "lambd") = 0.0;
    value(h, "asgd", "t0") = 2.0;
    const int32_t mu = get(describe("asgd").running, "mu").index;
    EXPECT_EQ(1.0 / 100.0, state_after("asgd", h, 102).running[mu]);
    EXPECT_EQ(int64_t{1} << 53, state_after("asgd", h, int64_t{1} << 53).step);
}

// A learning rate that only the device knows leads to no state that is refused afterwards.
TEST(StepState, AdvanceWithoutALearningRateGivesAPossibleState) {
    for (const std::string& rule : all_rules()) {
        nopt_hyperparams h = defaults(rule);
        lr(h) = NOPT_LR_ON_DEVICE;
        nopt_step_state state = state_after(rule, h, 3);
        SCOPED_TRACE(rule);
        NOPT_EXPECT_OK(nopt_rule_advance(rule.c_str(), &h, 1, &state));
    }
}

struct Impossible {
    const char* name;
    int64_t step;
    std::function<void(nopt_step_state&)> spoil;
};

// Everything of one scalar that cannot be, at step 0 and later.
std::vector<Impossible> impossible_states(const std::string& rule, const nopt_hyperparams& h) {
    std::vector<Impossible> all;
    const double nan = static_cast<double>(NAN);
    const double infinity = static_cast<double>(INFINITY);
    for (const int64_t step : {0, 7}) {
        for (const nopt_running_info& info : describe(rule).running) {
            std::vector<double> values = {nan, -infinity, infinity};
            // A product of decay rates begins at 1, and is less from the first step on. Others may be any number.
            if (std::string(info.name).find("_product") != std::string::npos) {
                const double other = step == 0 ? state_after(rule, h, 7).running[info.index] : info.initial_value;
                values.insert(values.end(), {-1e-300, 1.5, other});
            }
            for (const double value : values) {
                const int32_t i = info.index;
                all.push_back({info.name, step, [=](nopt_step_state& s) { s.running[i] = value; }});
            }
        }
        for (int i = describe(rule).info.running_count; i < NOPT_MAX_RUNNING; ++i) {
            for (const double value : {1.0, nan, 1e-300}) {
                all.push_back(
                    {"a scalar past the rule's last", step, [=](nopt_step_state& s) { s.running[i] = value; }});
            }
        }
        all.push_back({"reserved", step, [](nopt_step_state& s) { s.reserved = 1; }});
        all.push_back({"struct_size", step, [](nopt_step_state& s) { s.struct_size = 8; }});
        for (const int64_t count : {int64_t{-1}, std::numeric_limits<int64_t>::min(), kMaxStep + 1, INT64_MAX}) {
            all.push_back({"step", step, [=](nopt_step_state& s) { s.step = count; }});
        }
    }
    return all;
}

TEST(StepState, ImpossibleOnesAreRefusedAndNothingChanges) {
    for (const bool capturable : {false, true}) {
        for (const std::string& rule : all_rules()) {
            const nopt_hyperparams h = test_hyperparams(rule);
            Model model(rule, {3, 2});
            NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, capturable ? 1 : 0, nullptr));
            model.new_gradients();
            NOPT_ASSERT_OK(model.step(h));
            model.freeze({false, true});
            NOPT_ASSERT_OK(model.step(h));
            model.synchronize();
            const nopt_step_state good = model.state();
            const std::vector<nopt_step_state> tensors = model.tensor_states();
            for (const Impossible& one : impossible_states(rule, h)) {
                nopt_step_state bad = state_after(rule, h, one.step);
                one.spoil(bad);
                std::vector<nopt_step_state> states = tensors;
                states[1] = bad;
                EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_set_state(model.optimizer, &bad))
                    << rule << " " << one.name << " at " << one.step;
                EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_set_group_state(model.optimizer, 0, &bad))
                    << rule << " " << one.name << " at " << one.step;
                EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT,
                          nopt_optimizer_set_tensor_states(model.optimizer, 2, states.data()))
                    << rule << " " << one.name << " at " << one.step;
                EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_rule_advance(rule.c_str(), &h, 1, &bad))
                    << rule << " " << one.name << " at " << one.step;
                ASSERT_TRUE(same_state(good, model.state())) << rule << " " << one.name;
                const std::vector<nopt_step_state> now = model.tensor_states();
                ASSERT_TRUE(same_state(tensors[0], now[0]) && same_state(tensors[1], now[1])) << rule << one.name;
            }
        }
    }
}

TEST(StepState, SaysWhatIsImpossible) {
    Model model("adam", {3, 2});
    const nopt_hyperparams h = defaults("adam");
    nopt_step_state state = state_after("adam", h, 0);
    state.step = 5;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_set_state(model.optimizer, &state));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "state->running[0] (beta1_product) is 1 at step 5"))
        << nopt_last_error_message();
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "nopt_rule_advance")) << nopt_last_error_message();
    std::vector<nopt_step_state> states(2, state_after("adam", h, 5));
    states[1].running[1] = -0.5;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_set_tensor_states(model.optimizer, 2, states.data()));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "states[1]->running[1] (beta2_product) is -0.5"))
        << nopt_last_error_message();
}

TEST(StepState, ArgumentsAreChecked) {
    Model model("adam", {3, 2});
    std::vector<nopt_step_state> states = model.tensor_states();
    const nopt_status bad = NOPT_ERROR_INVALID_ARGUMENT;
    EXPECT_EQ(bad, nopt_optimizer_set_state(model.optimizer, nullptr));
    EXPECT_EQ(bad, nopt_optimizer_set_state(nullptr, states.data()));
    EXPECT_EQ(bad, nopt_optimizer_get_state(model.optimizer, nullptr));
    EXPECT_EQ(bad, nopt_optimizer_get_state(nullptr, states.data()));
    EXPECT_EQ(bad, nopt_optimizer_get_tensor_states(nullptr, 2, states.data()));
    EXPECT_EQ(bad, nopt_optimizer_get_tensor_states(model.optimizer, 2, nullptr));
    EXPECT_EQ(bad, nopt_optimizer_get_tensor_states(model.optimizer, 1, states.data()));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "tensor_count is 1")) << nopt_last_error_message();
    EXPECT_EQ(bad, nopt_optimizer_set_tensor_states(nullptr, 2, states.data()));
    EXPECT_EQ(bad, nopt_optimizer_set_tensor_states(model.optimizer, 2, nullptr));
    EXPECT_EQ(bad, nopt_optimizer_set_tensor_states(model.optimizer, 3, states.data()));
    states[1].struct_size = sizeof states[1] + 8;
    EXPECT_EQ(bad, nopt_optimizer_get_tensor_states(model.optimizer, 2, states.data()));
    EXPECT_EQ(bad, nopt_optimizer_set_tensor_states(model.optimizer, 2, states.data()));
    Model none("adam", {});
    NOPT_EXPECT_OK(nopt_optimizer_get_tensor_states(none.optimizer, 0, nullptr));
    NOPT_EXPECT_OK(nopt_optimizer_set_tensor_states(none.optimizer, 0, nullptr));
}

// Callers of a newer version have larger structs, one after another.
TEST(StepState, TensorStatesMayBeLarger) {
    struct Newer {
        nopt_step_state base;
        double later;
    };
    Model model("adam", {3, 2});
    model.freeze({false, true});
    NOPT_ASSERT_OK(model.step(defaults("adam")));
    Newer states[2] = {};
    for (Newer& one : states) {
        one.base.struct_size = sizeof one;
        one.later = 3.0;
    }
    NOPT_ASSERT_OK(nopt_optimizer_get_tensor_states(model.optimizer, 2, &states[0].base));
    for (int t = 0; t < 2; ++t) {
        EXPECT_EQ(sizeof states[t], states[t].base.struct_size);
        EXPECT_EQ(1 - t, states[t].base.step);
        EXPECT_EQ(0.0, states[t].later);
    }
    NOPT_EXPECT_OK(nopt_optimizer_set_tensor_states(model.optimizer, 2, &states[0].base));
    states[1].later = 1.0;
    EXPECT_EQ(NOPT_ERROR_UNSUPPORTED, nopt_optimizer_set_tensor_states(model.optimizer, 2, &states[0].base));
}

}  // namespace
}  // namespace nopt_test
