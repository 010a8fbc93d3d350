// The step count belongs to the tensor: one that has no gradient in a step has not stepped.
#include <math.h>

#include <memory>
#include <utility>

#include "support/mixed_model.h"

namespace nopt_test {
namespace {

void copy_tensor(Model& from, size_t from_tensor, Model& to, size_t to_tensor, const std::vector<nopt_role>& roles) {
    for (const nopt_role role : roles) {
        std::copy_n(from.buffer(role).tensor(from_tensor), from.counts()[from_tensor],
                    to.buffer(role).tensor(to_tensor));
    }
}

// Whether a tensor of one model has the bits of a tensor of another in all that steps write.
testing::AssertionResult same_tensor(Model& a, size_t tensor_a, Model& b, size_t tensor_b) {
    for (const nopt_role role : a.written()) {
        const size_t bytes = static_cast<size_t>(a.counts()[tensor_a]) * sizeof(float);
        if (bytes != 0 && memcmp(a.buffer(role).tensor(tensor_a), b.buffer(role).tensor(tensor_b), bytes) != 0) {
            return testing::AssertionFailure() << "role " << role << " of tensors " << tensor_a << ", " << tensor_b;
        }
    }
    return testing::AssertionSuccess();
}

void set_capturable(Model& model, bool capturable) {
    NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, capturable ? 1 : 0, model.stream));
}

std::vector<int64_t> steps_of(const Model& model) {
    model.synchronize();
    std::vector<int64_t> steps;
    for (const nopt_step_state& state : model.tensor_states()) {
        steps.push_back(state.step);
    }
    return steps;
}

// The reason for all of this: with a constant gradient each of Adam's steps is lr long. By the count of the others, the
// first steps of a late tensor would be two to five times as long.
TEST(Clocks, LateGradientsTakeStepsOfTheLearningRate) {
    for (const bool capturable : {false, true}) {
        Model model("adam", {4, 4});
        set_capturable(model, capturable);
        nopt_hyperparams h = defaults("adam");
        lr(h) = 1e-3;
        for (size_t t = 0; t < 2; ++t) {
            std::fill_n(model.buffer(NOPT_ROLE_PARAM).tensor(t), 4, 0.0f);
            std::fill_n(model.buffer(NOPT_ROLE_GRAD).tensor(t), 4, t == 0 ? 0.5f : -0.25f);
        }
        model.freeze({false, true});
        for (int step = 1; step < 1000; ++step) {
            NOPT_ASSERT_OK(model.step(h));
        }
        EXPECT_EQ((std::vector<int64_t>{999, 0}), steps_of(model));
        model.bind(NOPT_ROLE_GRAD);
        for (int step = 1000; step < 1100; ++step) {
            float before[2];
            for (size_t t = 0; t < 2; ++t) {
                before[t] = model.buffer(NOPT_ROLE_PARAM).tensor(t)[3];
            }
            NOPT_ASSERT_OK(model.step(h));
            for (size_t t = 0; t < 2; ++t) {
                const float after = model.buffer(NOPT_ROLE_PARAM).tensor(t)[3];
                const double moved = static_cast<double>(after) - static_cast<double>(before[t]);
                // Half an ulp of the parameter, and what (1 - beta2) loses in float of the moments.
                const double accuracy = kHalfUlp * fabs(static_cast<double>(after)) + 1e-3 * 2e-5;
                EXPECT_NEAR(t == 0 ? -1e-3 : 1e-3, moved, accuracy) << "tensor " << t << " step " << step;
            }
        }
        EXPECT_EQ((std::vector<int64_t>{1099, 100}), steps_of(model));
        EXPECT_EQ(1099, model.state().step);
    }
}

// ---- each tensor beside an optimizer of its own ----

const std::vector<int64_t> kCounts = {5, 700, 0, 1, 1030, 3, 64};
const std::vector<int32_t> kGroups = {0, 1, 0, 1, 0, 0, 1};
const std::vector<double> kLrScale = {1.0, 0.5, 1.0, 1.0, 1.0, 0.5, 1.0};
const std::vector<double> kWeightDecay = {NOPT_INHERIT, NOPT_INHERIT, 0.1, NOPT_INHERIT, 0.02, 0.0, NOPT_INHERIT};

// Models with one tensor each, with the same numbers.
class Alone {
public:
    Alone(Model& together, const std::string& rule) : together_(together) {
        for (size_t t = 0; t < together.counts().size(); ++t) {
            models_.push_back(std::make_unique<Model>(rule, std::vector<int64_t>{together.counts()[t]}));
            Model& own = *models_.back();
            copy_tensor(together, t, own, 0, {NOPT_ROLE_PARAM});
            NOPT_EXPECT_OK(nopt_param_set_set_lr_scale(own.set, 1, &kLrScale[t]));
            NOPT_EXPECT_OK(nopt_param_set_set_weight_decay(own.set, 1, &kWeightDecay[t]));
        }
    }

    // A step of a tensor, with the gradient that it has in the other model.
    void step(size_t tensor, const nopt_hyperparams& h) {
        Model& own = *models_[tensor];
        copy_tensor(together_, tensor, own, 0, own.reads());
        NOPT_EXPECT_OK(own.step(h));
    }

    testing::AssertionResult is_same() {
        together_.synchronize();
        const std::vector<nopt_step_state> states = together_.tensor_states();
        for (size_t t = 0; t < models_.size(); ++t) {
            const testing::AssertionResult same = same_tensor(together_, t, *models_[t], 0);
            if (!same) {
                return same;
            }
            if (!same_state(models_[t]->state(), states[t])) {
                return testing::AssertionFailure()
                       << "tensor " << t << " is at step " << states[t].step << ", not " << models_[t]->state().step;
            }
        }
        return testing::AssertionSuccess();
    }

private:
    Model& together_;
    std::vector<std::unique_ptr<Model>> models_;
};

// Gradients come and go: tensor 0 always has one, 1 comes late, 3 goes for good, 4 and 5 take turns, 6 has one now and
// then. A tensor without elements has nothing to be without, and steps always.
std::vector<bool> frozen_at(int step) {
    return {false, step < 4, step % 2 == 0, step >= 3, step % 2 == 0, step % 2 == 1, step % 5 != 3};
}

bool steps_at(size_t tensor, int step) { return kCounts[tensor] == 0 || !frozen_at(step)[tensor]; }

void set_up_groups(Model& model) {
    NOPT_ASSERT_OK(nopt_param_set_set_groups(model.set, model.tensor_count(), kGroups.data()));
    NOPT_ASSERT_OK(nopt_param_set_set_lr_scale(model.set, model.tensor_count(), kLrScale.data()));
    NOPT_ASSERT_OK(nopt_param_set_set_weight_decay(model.set, model.tensor_count(), kWeightDecay.data()));
    NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 2));
}

// Two groups that differ; the second's learning rate is another one in each step.
std::vector<nopt_hyperparams> hyperparams_of(const Case& one, int step) {
    std::vector<nopt_hyperparams> h = {one.hyperparams, one.hyperparams};
    lr(h[1]) *= 0.5 + 0.1 * step;
    return h;
}

class ClockRules : public testing::TestWithParam<Case> {
protected:
    // Where the device counts, it has the learning rates, too.
    void step(Model& model, std::vector<nopt_hyperparams> h, bool capturable) {
        for (size_t g = 0; capturable && g < h.size(); ++g) {
            NOPT_ASSERT_OK(nopt_optimizer_set_group_lr(model.optimizer, static_cast<int32_t>(g), lr(h[g]), nullptr));
            lr(h[g]) = NOPT_LR_ON_DEVICE;
        }
        NOPT_ASSERT_OK(model.step(h[0]));
    }
};

TEST_P(ClockRules, EachTensorStepsAsIfItWereAlone) {
    for (const bool capturable : {false, true}) {
        Model model(GetParam().rule, kCounts);
        set_up_groups(model);
        set_capturable(model, capturable);
        Alone alone(model, GetParam().rule);
        for (int i = 0; i < 12; ++i) {
            const std::vector<nopt_hyperparams> h = hyperparams_of(GetParam(), i);
            model.new_gradients();
            model.freeze(frozen_at(i));
            step(model, h, capturable);
            for (size_t t = 0; t < kCounts.size(); ++t) {
                if (steps_at(t, i)) {
                    alone.step(t, h[static_cast<size_t>(kGroups[t])]);
                }
            }
            ASSERT_TRUE(alone.is_same()) << "step " << i << ", capturable " << capturable;
            EXPECT_EQ(i + 1, model.state(0).step);
            EXPECT_EQ(i + 1, model.state(1).step);
        }
        EXPECT_TRUE(model.intact());
        // The counts go from the device to the host, and back.
        set_capturable(model, !capturable);
        ASSERT_TRUE(alone.is_same()) << "capturable " << capturable;
    }
}

// A run that goes on from what was read has the same bits.
TEST_P(ClockRules, ResumesBitForBit) {
    for (const bool capturable : {false, true}) {
        Model whole(GetParam().rule, kCounts);
        set_up_groups(whole);
        set_capturable(whole, capturable);
        for (int i = 0; i < 6; ++i) {
            whole.new_gradients();
            whole.freeze(frozen_at(i));
            step(whole, hyperparams_of(GetParam(), i), capturable);
        }
        whole.synchronize();
        const std::vector<nopt_step_state> tensors = whole.tensor_states();
        Model resumed(GetParam().rule, kCounts);
        set_up_groups(resumed);
        set_capturable(resumed, capturable);
        resumed.take(whole, whole.written());
        for (int32_t g = 0; g < 2; ++g) {
            const nopt_step_state state = whole.state(g);
            NOPT_ASSERT_OK(nopt_optimizer_set_group_state(resumed.optimizer, g, &state));
        }
        NOPT_ASSERT_OK(nopt_optimizer_set_tensor_states(resumed.optimizer, resumed.tensor_count(), tensors.data()));
        const std::vector<nopt_step_state> set = resumed.tensor_states();
        for (size_t t = 0; t < tensors.size(); ++t) {
            EXPECT_TRUE(same_state(tensors[t], set[t])) << t;
        }
        for (int i = 6; i < 12; ++i) {
            whole.new_gradients();
            resumed.take(whole, whole.reads());
            for (Model* const one : {&whole, &resumed}) {
                one->freeze(frozen_at(i));
                step(*one, hyperparams_of(GetParam(), i), capturable);
            }
            ASSERT_TRUE(same_bits(whole.all_values(), resumed.all_values())) << "step " << i;
        }
        whole.synchronize();
        resumed.synchronize();
        for (int32_t g = 0; g < 2; ++g) {
            EXPECT_TRUE(same_state(whole.state(g), resumed.state(g)));
        }
        EXPECT_EQ(steps_of(whole), steps_of(resumed));
    }
}

INSTANTIATE_TEST_SUITE_P(Rules, ClockRules, testing::ValuesIn(all_cases()),
                         [](const testing::TestParamInfo<Case>& one) { return one.param.name; });

// ---- which tensor has which count ----

TEST(Clocks, AlternatingExpertsCountTheirOwnSteps) {
    for (const bool capturable : {false, true}) {
        Model model("adam", {8, 8, 8});
        set_capturable(model, capturable);
        const nopt_hyperparams h = defaults("adam");
        for (int step = 0; step < 30; ++step) {
            model.new_gradients();
            model.freeze({false, step % 3 == 0, step % 3 != 0});
            NOPT_ASSERT_OK(model.step(h));
        }
        EXPECT_EQ((std::vector<int64_t>{30, 20, 10}), steps_of(model));
        const std::vector<nopt_step_state> states = model.tensor_states();
        EXPECT_TRUE(same_state(state_after("adam", h, 20), states[1]));
        EXPECT_TRUE(same_state(state_after("adam", h, 10), states[2]));
    }
}

TEST(Clocks, TensorsWithoutElementsStepWithTheirGroup) {
    Model model("adam", {0, 4, 0});
    model.freeze({true, true, false});
    NOPT_ASSERT_OK(model.step(defaults("adam")));
    EXPECT_EQ((std::vector<int64_t>{1, 0, 1}), steps_of(model));
}

// A step in which no tensor has a gradient is a step of the group all the same.
TEST(Clocks, AllTensorsMayBeFrozen) {
    Model model("adam", {4, 3});
    model.new_gradients();
    const std::vector<float> before = model.all_values();
    model.freeze({true, true});
    NOPT_ASSERT_OK(model.step(defaults("adam")));
    EXPECT_TRUE(same_bits(before, model.all_values()));
    EXPECT_EQ((std::vector<int64_t>{0, 0}), steps_of(model));
    EXPECT_EQ(1, model.state().step);
}

TEST(Clocks, SettingAGroupSetsItsTensorsAndSettingTensorsLeavesTheGroups) {
    for (const bool capturable : {false, true}) {
        Model model("adam", {4, 3, 2});
        const nopt_hyperparams h = defaults("adam");
        const std::vector<nopt_hyperparams> both(2, h);
        const std::vector<int32_t> groups = {0, 1, 0};
        NOPT_ASSERT_OK(nopt_param_set_set_groups(model.set, 3, groups.data()));
        NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 2));
        set_capturable(model, capturable);
        model.freeze({false, false, true});
        NOPT_ASSERT_OK(model.step(both[0]));
        NOPT_ASSERT_OK(model.step(both[0]));
        EXPECT_EQ((std::vector<int64_t>{2, 2, 0}), steps_of(model));
        const nopt_step_state seven = state_after("adam", h, 7);
        NOPT_ASSERT_OK(nopt_optimizer_set_group_state(model.optimizer, 0, &seven));
        EXPECT_EQ((std::vector<int64_t>{7, 2, 7}), steps_of(model));
        EXPECT_EQ(7, model.state(0).step);
        EXPECT_EQ(2, model.state(1).step);
        const std::vector<nopt_step_state> own = {state_after("adam", h, 3), state_after("adam", h, 4),
                                                  state_after("adam", h, 7)};
        NOPT_ASSERT_OK(nopt_optimizer_set_tensor_states(model.optimizer, 3, own.data()));
        EXPECT_EQ((std::vector<int64_t>{3, 4, 7}), steps_of(model));
        EXPECT_EQ(7, model.state(0).step);
        EXPECT_EQ(2, model.state(1).step);
        NOPT_ASSERT_OK(model.step(both[0]));  // the third is frozen still
        EXPECT_EQ((std::vector<int64_t>{4, 5, 7}), steps_of(model));
        model.bind(NOPT_ROLE_GRAD);
        NOPT_ASSERT_OK(model.step(both[0]));
        EXPECT_EQ((std::vector<int64_t>{5, 6, 8}), steps_of(model));
        EXPECT_EQ(9, model.state(0).step);
        EXPECT_EQ(4, model.state(1).step);
    }
}

// Tensors that are at the same count again have the same bits as ones that never parted.
TEST(Clocks, TensorsThatMeetAgainStepAlike) {
    Model parted("adam", {40, 40});
    Model plain("adam", {40, 40});
    const nopt_hyperparams h = defaults("adam");
    parted.new_gradients();
    plain.take(parted, parted.roles());
    parted.freeze({true, false});
    NOPT_ASSERT_OK(parted.step(h));
    parted.freeze({false, true});
    NOPT_ASSERT_OK(parted.step(h));
    NOPT_ASSERT_OK(plain.step(h));
    parted.bind(NOPT_ROLE_GRAD);
    for (int step = 0; step < 3; ++step) {
        parted.new_gradients();
        plain.take(parted, parted.reads());
        NOPT_ASSERT_OK(parted.step(h));
        NOPT_ASSERT_OK(plain.step(h));
        EXPECT_TRUE(same_bits(plain.all_values(), parted.all_values())) << step;
    }
    EXPECT_EQ(steps_of(plain), steps_of(parted));
}

TEST(Clocks, ATensorKeepsItsCountInAnotherGroup) {
    for (const bool capturable : {false, true}) {
        Model model("adam", {40, 30, 20});
        Model twin("adam", {40, 30, 20});
        const std::vector<nopt_hyperparams> h(2, defaults("adam"));
        for (Model* const one : {&model, &twin}) {
            NOPT_ASSERT_OK(nopt_optimizer_set_group_count(one->optimizer, 2));
            set_capturable(*one, capturable);
        }
        const auto step = [&](const std::vector<bool>& frozen) {
            for (Model* const one : {&model, &twin}) {
                one->new_gradients();
                one->freeze(frozen);
                NOPT_ASSERT_OK(one->step(h[0]));
            }
        };
        step({false, false, true});
        step({false, false, true});
        EXPECT_EQ((std::vector<int64_t>{2, 2, 0}), steps_of(model));
        // Tensors 1 and 2 go to a group that has taken as many steps, whose hyperparameters are the same: nothing
        // changes but where they are counted.
        const std::vector<int32_t> groups = {0, 1, 1};
        NOPT_ASSERT_OK(nopt_param_set_set_groups(model.set, 3, groups.data()));
        EXPECT_EQ((std::vector<int64_t>{2, 2, 0}), steps_of(model));
        step({false, false, false});
        EXPECT_EQ((std::vector<int64_t>{3, 3, 1}), steps_of(model));
        EXPECT_TRUE(same_bits(twin.all_values(), model.all_values()));
        // And back, one of them to a group that has taken other steps than it has.
        NOPT_ASSERT_OK(nopt_param_set_set_groups(model.set, 3, nullptr));
        step({false, true, false});
        EXPECT_EQ((std::vector<int64_t>{4, 3, 2}), steps_of(model));
        EXPECT_EQ(steps_of(twin), steps_of(model));
        EXPECT_TRUE(same_bits(twin.all_values(), model.all_values()));
        EXPECT_EQ(4, model.state(0).step);
        EXPECT_EQ(4, model.state(1).step);
    }
}

// A group that goes takes no tensor's count with it, and one that comes gives none.
TEST(Clocks, GroupsThatGoAndComeLeaveTheTensorsCounts) {
    for (const bool capturable : {false, true}) {
        Model model("adam", {2, 2, 2});
        set_capturable(model, capturable);
        const int32_t groups[] = {0, 1, 1};
        NOPT_ASSERT_OK(nopt_param_set_set_groups(model.set, 3, groups));
        NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 2));
        const std::vector<nopt_hyperparams> both(2, defaults("adam"));
        const auto step = [&] {
            return model.work([&] { return nopt_optimizer_step(model.optimizer, both.data(), model.stream); });
        };
        model.new_gradients();
        NOPT_ASSERT_OK(step());
        model.freeze({false, false, true});
        NOPT_ASSERT_OK(step());
        model.bind(NOPT_ROLE_GRAD);
        const std::vector<int64_t> counts = {2, 2, 1};
        EXPECT_EQ(counts, steps_of(model));
        NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 1));
        EXPECT_EQ(counts, steps_of(model));
        NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 2));
        EXPECT_EQ(counts, steps_of(model));
        nopt_step_state group = {};
        group.struct_size = sizeof group;
        NOPT_ASSERT_OK(nopt_optimizer_get_group_state(model.optimizer, 1, &group));
        EXPECT_EQ(0, group.step);
        NOPT_ASSERT_OK(step());
        EXPECT_EQ((std::vector<int64_t>{3, 3, 2}), steps_of(model));
    }
}

// A count that no file could hold exactly is not reached.
TEST(Clocks, NoStepPassesTheLargestCount) {
    Model model("sgd", {3});
    model.new_gradients();
    nopt_step_state state = model.state();
    state.step = (int64_t{1} << 53) - 1;
    NOPT_ASSERT_OK(nopt_optimizer_set_state(model.optimizer, &state));
    NOPT_ASSERT_OK(model.step(defaults("sgd")));
    EXPECT_EQ(int64_t{1} << 53, model.state().step);
    const std::vector<float> before = model.all_values();
    EXPECT_EQ(NOPT_ERROR_INVALID_STATE, model.step(defaults("sgd")));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "2^53")) << nopt_last_error_message();
    EXPECT_TRUE(same_bits(before, model.all_values()));
    EXPECT_EQ(int64_t{1} << 53, model.state().step);
}

// The same for a tensor that has taken more steps than its group.
TEST(Clocks, NoStepOfATensorPassesTheLargestCount) {
    Model model("sgd", {3, 3});
    model.new_gradients();
    std::vector<nopt_step_state> states = model.tensor_states();
    states[1].step = int64_t{1} << 53;
    NOPT_ASSERT_OK(nopt_optimizer_set_tensor_states(model.optimizer, 2, states.data()));
    const std::vector<float> before = model.all_values();
    EXPECT_EQ(NOPT_ERROR_INVALID_STATE, model.step(defaults("sgd")));
    EXPECT_TRUE(same_bits(before, model.all_values()));
    EXPECT_EQ((std::vector<int64_t>{0, int64_t{1} << 53}), steps_of(model));
    // Where it has no gradient, it takes no step either.
    model.freeze({false, true});
    NOPT_EXPECT_OK(model.step(defaults("sgd")));
}

// What was checked once is checked again if any of it has changed, the values behind the rule's own included.
TEST(Clocks, ValuesPastTheRulesOwnAreRefusedAfterAStep) {
    Model model("adam", {3});
    model.new_gradients();
    nopt_hyperparams h = defaults("adam");
    NOPT_ASSERT_OK(model.step(h));
    h.values[NOPT_MAX_HYPERPARAMS - 1] = 5.0;
    EXPECT_EQ(NOPT_ERROR_UNSUPPORTED, model.step(h));
}

// A step that is skipped for its gradients counts for no tensor.
TEST(Clocks, SkippedStepsDoNotCount) {
    Model model("adam", {40, 30, 20});
    set_capturable(model, true);
    const nopt_grad_options options = grad_options(1.0, 0.0, 0.0, true);
    NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &options));
    const nopt_hyperparams h = defaults("adam");
    for (int step = 0; step < 6; ++step) {
        model.new_gradients();
        if (step % 2 == 1) {
            model.buffer(NOPT_ROLE_GRAD).tensor(0)[5] = NAN;
        }
        // What a frozen tensor's buffer holds is not looked at.
        model.buffer(NOPT_ROLE_GRAD).tensor(2)[5] = NAN;
        model.freeze({false, step < 2, true});
        NOPT_ASSERT_OK(model.step(h));
    }
    EXPECT_EQ((std::vector<int64_t>{3, 2, 0}), steps_of(model));
    EXPECT_EQ(3, model.state().step);
    EXPECT_EQ(3, status_of(model.optimizer).skipped_steps);
    const std::vector<nopt_step_state> states = model.tensor_states();
    EXPECT_TRUE(same_state(state_after("adam", h, 2), states[1]));
    EXPECT_TRUE(same_state(state_after("adam", h, 0), states[2]));
}

// The random numbers of stochastic rounding are those of the tensor's step: a late tensor draws what it would have
// drawn from the start.
TEST(Clocks, StochasticRoundingGoesByTheTensorsStep) {
    const std::vector<Mix> mixes(3, {2000, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_BFLOAT16});
    nopt_hyperparams h = defaults("adam");
    h.flags = NOPT_FLAG_STOCHASTIC_ROUNDING | NOPT_FLAG_STOCHASTIC_ROUNDING_STATES;
    h.rounding_seed = 77;
    for (const bool capturable : {false, true}) {
        MixedModel late("adam", mixes);
        MixedModel early("adam", mixes);
        Random random(4);
        late.fill_params(random);
        late.fill(NOPT_ROLE_GRAD, random);
        for (const nopt_role role : {NOPT_ROLE_PARAM, NOPT_ROLE_GRAD}) {
            late.for_all([&](size_t t, int64_t i) { early.buffer(role).set_bits(t, i, late.buffer(role).bits(t, i)); });
            early.buffer(role).write();
        }
        for (MixedModel* const one : {&late, &early}) {
            NOPT_ASSERT_OK(nopt_optimizer_set_capturable(one->optimizer, capturable ? 1 : 0, nullptr));
        }
        std::vector<void*> gradients = late.buffer(NOPT_ROLE_GRAD).pointers();
        void* const own = std::exchange(gradients[1], nullptr);
        NOPT_ASSERT_OK(nopt_param_set_bind(late.set, NOPT_ROLE_GRAD, 3, gradients.data()));
        for (int step = 0; step < 3; ++step) {
            NOPT_ASSERT_OK(nopt_optimizer_step(late.optimizer, &h, nullptr));
        }
        gradients[1] = own;
        NOPT_ASSERT_OK(nopt_param_set_bind(late.set, NOPT_ROLE_GRAD, 3, gradients.data()));
        for (int step = 1; step <= 3; ++step) {
            NOPT_ASSERT_OK(nopt_optimizer_step(late.optimizer, &h, nullptr));
            NOPT_ASSERT_OK(nopt_optimizer_step(early.optimizer, &h, nullptr));
            late.read();
            early.read();
            for (const nopt_role role : {NOPT_ROLE_PARAM, state_role("adam", "exp_avg_sq")}) {
                int64_t differences[3] = {};
                late.for_all([&](size_t t, int64_t i) {
                    differences[t] += late.buffer(role).bits(t, i) != early.buffer(role).bits(t, i);
                });
                EXPECT_EQ(0, differences[1]) << role << ", step " << step << ", capturable " << capturable;
                EXPECT_GT(differences[0], 0) << role;  // which is three steps ahead
            }
        }
    }
}

// A dimer needs all gradients, but not that tensors have had them in all steps so far.
TEST(Clocks, DimersGoAroundTensorsWhoseCountsDiffer) {
    for (const nopt_dimer_scope scope : kScopes) {
        for (const bool capturable : {false, true}) {
            DimerModel model("adam", {40, 700, 0, 3}, scope);
            Model plain("adam", {40, 700, 0, 3});
            const nopt_hyperparams h = defaults("adam");
            nopt_dimer_options o = dimer_defaults();
            o.alpha = 0.0;  // the rule's own step, then, from the gradient as it is
            for (Model* const one : {static_cast<Model*>(&model), &plain}) {
                set_capturable(*one, capturable);
            }
            plain.take(model, model.written());
            for (int step = 0; step < 6; ++step) {
                model.new_gradients();
                plain.take(model, model.reads());
                const std::vector<bool> frozen = {false, step < 2, false, step == 1};
                model.freeze(frozen);
                plain.freeze(frozen);
                if (step < 2) {
                    NOPT_ASSERT_OK(model.step(h));
                } else {
                    if (step == 4) {
                        NOPT_ASSERT_OK(model.displace(o));
                        model.new_gradients();
                    }
                    NOPT_ASSERT_OK(model.dimer_step(o, h));
                    EXPECT_EQ(step + 1, model.status().step);
                }
                NOPT_ASSERT_OK(plain.step(h));
                ASSERT_TRUE(same_bits(plain.values_of(plain.written()), model.values_of(plain.written())))
                    << "step " << step << ", scope " << scope << ", capturable " << capturable;
            }
            EXPECT_EQ((std::vector<int64_t>{6, 4, 6, 5}), steps_of(model));
            EXPECT_TRUE(model.intact());
        }
    }
}

}  // namespace
}  // namespace nopt_test
