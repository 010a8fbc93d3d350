// Groups of hyperparameters in one step, against an optimizer for each group.
#include <memory>

#include "support/dimer_model.h"

namespace nopt_test {
namespace {

const std::vector<int64_t> kCounts = {5, 0, 300, 17, 1025, 1, 4097, 64, 20000};
const std::vector<int32_t> kGroups = {2, 0, 1, 0, 2, 1, 0, 1, 2};

// A group's tensors.
std::vector<size_t> members(int32_t group) {
    std::vector<size_t> result;
    for (size_t t = 0; t < kCounts.size(); ++t) {
        if (kGroups[t] == group) {
            result.push_back(t);
        }
    }
    return result;
}

// A model with the tensors of one group alone.
std::unique_ptr<Model> model_of(int32_t group, const std::string& rule) {
    std::vector<int64_t> counts;
    for (const size_t t : members(group)) {
        counts.push_back(kCounts[t]);
    }
    return std::make_unique<Model>(rule, counts);
}

// Three groups that differ in all that may differ.
std::vector<nopt_hyperparams> hyperparams_of(const Case& one) {
    nopt_hyperparams a = one.hyperparams;
    nopt_hyperparams b = a;
    b.flags ^= known_flags(one.rule, NOPT_FLAG_MAXIMIZE | NOPT_FLAG_DECOUPLED_WEIGHT_DECAY);
    nopt_hyperparams c = a;
    int turn = 0;
    for (const nopt_hyperparam_info& info : describe(one.rule).hyperparams) {
        double& changed = (info.index < 2 || turn++ % 2 == 1 ? b : c).values[info.index];
        if (info.is_integer == 0 && info.selects_states == 0) {
            changed = std::max(info.min, changed * 0.75 + (info.index == NOPT_HYPERPARAM_WEIGHT_DECAY ? 0.03 : 0.0));
        }
    }
    return {a, b, c};
}

void copy_tensor(Model& from, size_t from_tensor, Model& to, size_t to_tensor, nopt_role role) {
    std::copy_n(from.buffer(role).tensor(from_tensor), from.counts()[from_tensor], to.buffer(role).tensor(to_tensor));
}

void copy_group(Model& from, Model& to, int32_t group, nopt_role role) {
    const std::vector<size_t> own = members(group);
    for (size_t i = 0; i < own.size(); ++i) {
        copy_tensor(from, own[i], to, i, role);
    }
}

// Parameters and states of the group, in both.
void expect_equal(Model& together, Model& alone, int32_t group) {
    const std::vector<size_t> own = members(group);
    for (const nopt_role role : alone.roles()) {
        for (size_t i = 0; i < own.size(); ++i) {
            ASSERT_EQ(0, memcmp(together.buffer(role).tensor(own[i]), alone.buffer(role).tensor(i),
                                static_cast<size_t>(kCounts[own[i]]) * sizeof(float)))
                << "role " << role << ", tensor " << own[i] << ", group " << group;
        }
    }
}

void set_groups(Model& model, const std::vector<int32_t>& groups) {
    NOPT_ASSERT_OK(nopt_param_set_set_groups(model.set, model.tensor_count(), groups.data()));
}

class Groups : public testing::TestWithParam<Case> {};

TEST_P(Groups, AreAsManyOptimizersInOneStep) {
    const std::vector<nopt_hyperparams> h = hyperparams_of(GetParam());
    for (const bool capturable : {false, true}) {
        Model together(GetParam().rule, kCounts);
        set_groups(together, kGroups);
        NOPT_ASSERT_OK(nopt_optimizer_set_group_count(together.optimizer, 3));
        if (capturable) {
            NOPT_ASSERT_OK(nopt_optimizer_set_capturable(together.optimizer, 1, nullptr));
        }
        // Per-tensor options are within the groups.
        std::vector<double> lr_scale(kCounts.size(), 1.0);
        lr_scale[2] = 0.5;
        lr_scale[8] = 2.0;
        NOPT_ASSERT_OK(nopt_param_set_set_lr_scale(together.set, together.tensor_count(), lr_scale.data()));
        std::vector<std::unique_ptr<Model>> alone;
        for (int32_t g = 0; g < 3; ++g) {
            alone.push_back(model_of(g, GetParam().rule));
            copy_group(together, *alone.back(), g, NOPT_ROLE_PARAM);
            std::vector<double> own_scale;
            for (const size_t t : members(g)) {
                own_scale.push_back(lr_scale[t]);
            }
            NOPT_ASSERT_OK(
                nopt_param_set_set_lr_scale(alone.back()->set, alone.back()->tensor_count(), own_scale.data()));
        }
        for (int step = 0; step < 4; ++step) {
            together.new_gradients();
            NOPT_ASSERT_OK(together.step(h[0]));
            for (int32_t g = 0; g < 3; ++g) {
                Model& own = *alone[static_cast<size_t>(g)];
                for (const nopt_role role : own.reads()) {
                    copy_group(together, own, g, role);
                }
                NOPT_ASSERT_OK(own.step(h[static_cast<size_t>(g)]));
                expect_equal(together, own, g);
                ASSERT_FALSE(HasFatalFailure()) << "step " << step << ", capturable " << capturable;
                const nopt_step_state state = together.state(g);
                EXPECT_EQ(step + 1, state.step);
                EXPECT_TRUE(same_state(own.state(), state));
            }
        }
        EXPECT_TRUE(together.intact());
    }
}

INSTANTIATE_TEST_SUITE_P(Rules, Groups, testing::ValuesIn(all_cases()),
                         [](const testing::TestParamInfo<Case>& one) { return one.param.name; });

// A group that comes later begins at step 0 while the others go on; one that goes leaves them as they are.
TEST(GroupCounts, GroupsComeAndGo) {
    Model model("adam", kCounts);
    const nopt_hyperparams h = defaults("adam");
    const std::vector<nopt_hyperparams> three(3, h);
    for (int step = 0; step < 3; ++step) {
        model.new_gradients();
        NOPT_ASSERT_OK(model.step(h));
    }
    set_groups(model, kGroups);
    EXPECT_EQ(NOPT_ERROR_INVALID_STATE, model.step(h));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "tensor 0 is in group 2, but the optimizer has 1"));
    NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 3));
    EXPECT_EQ(3, model.state(0).step);
    EXPECT_EQ(0, model.state(2).step);
    EXPECT_TRUE(same_state(state_after("adam", h, 0), model.state(2)));
    // The second's tensors begin anew, and the third has a history of its own.
    const nopt_step_state begun = state_after("adam", h, 0);
    NOPT_ASSERT_OK(nopt_optimizer_set_group_state(model.optimizer, 1, &begun));
    nopt_step_state resumed = state_after("adam", h, 7);
    running(resumed, "adam", "beta1_product") = 0.25;
    NOPT_ASSERT_OK(nopt_optimizer_set_group_state(model.optimizer, 2, &resumed));
    for (const nopt_role role : model.states()) {
        for (const size_t t : members(1)) {
            std::fill_n(model.buffer(role).tensor(t), kCounts[t], 0.0f);
        }
    }
    std::unique_ptr<Model> fresh = model_of(1, "adam");
    copy_group(model, *fresh, 1, NOPT_ROLE_PARAM);
    for (int step = 0; step < 2; ++step) {
        model.new_gradients();
        NOPT_ASSERT_OK(model.step(three[0]));
        copy_group(model, *fresh, 1, NOPT_ROLE_GRAD);
        NOPT_ASSERT_OK(fresh->step(h));
        expect_equal(model, *fresh, 1);
        ASSERT_FALSE(HasFatalFailure()) << step;
    }
    EXPECT_EQ(5, model.state(0).step);
    EXPECT_EQ(2, model.state(1).step);
    EXPECT_EQ(9, model.state(2).step);
    // The last two go, and come again as new ones.
    NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 1));
    NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 2));
    EXPECT_EQ(5, model.state(0).step);
    EXPECT_EQ(0, model.state(1).step);
}

// Clipping sees the gradients of all groups, and a step that is skipped counts in none.
TEST(GroupCounts, GradientOptionsAreForAllGroupsTogether) {
    Model grouped("adam", kCounts);
    Model plain("adam", kCounts);
    plain.buffer(NOPT_ROLE_PARAM).set_values(grouped.buffer(NOPT_ROLE_PARAM).values());
    set_groups(grouped, kGroups);
    NOPT_ASSERT_OK(nopt_optimizer_set_group_count(grouped.optimizer, 3));
    const std::vector<nopt_hyperparams> same(3, defaults("adam"));
    nopt_grad_options options = {};
    options.struct_size = sizeof options;
    options.flags = NOPT_GRAD_CLIP_NORM | NOPT_GRAD_SKIP_NONFINITE;
    options.max_norm = 0.5;
    for (Model* const one : {&grouped, &plain}) {
        NOPT_ASSERT_OK(nopt_optimizer_set_capturable(one->optimizer, 1, nullptr));
        NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(one->optimizer, &options));
    }
    for (int step = 0; step < 3; ++step) {
        grouped.new_gradients();
        if (step == 1) {
            grouped.buffer(NOPT_ROLE_GRAD).tensor(4)[7] = INFINITY;
        }
        plain.buffer(NOPT_ROLE_GRAD).set_values(grouped.buffer(NOPT_ROLE_GRAD).values());
        NOPT_ASSERT_OK(grouped.step(same[0]));
        NOPT_ASSERT_OK(plain.step(same[0]));
        ASSERT_TRUE(same_bits(plain.all_values(), grouped.all_values())) << step;
    }
    for (int32_t g = 0; g < 3; ++g) {
        EXPECT_EQ(2, grouped.state(g).step);
    }
}

TEST(GroupCounts, LearningRatesOnTheDeviceAreOfEachGroup) {
    Model on_device("sgd", kCounts);
    Model by_value("sgd", kCounts);
    std::vector<nopt_hyperparams> h(3, defaults("sgd"));
    for (Model* const one : {&on_device, &by_value}) {
        set_groups(*one, kGroups);
        NOPT_ASSERT_OK(nopt_optimizer_set_group_count(one->optimizer, 3));
    }
    by_value.buffer(NOPT_ROLE_PARAM).set_values(on_device.buffer(NOPT_ROLE_PARAM).values());
    NOPT_ASSERT_OK(nopt_optimizer_set_capturable(on_device.optimizer, 1, nullptr));
    for (int32_t g = 0; g < 3; ++g) {
        lr(h[static_cast<size_t>(g)]) = 0.1 * (g + 1);
        if (g < 2) {
            NOPT_ASSERT_OK(nopt_optimizer_set_group_lr(on_device.optimizer, g, 0.1 * (g + 1), nullptr));
        }
    }
    std::vector<nopt_hyperparams> without = h;
    for (nopt_hyperparams& one : without) {
        lr(one) = NOPT_LR_ON_DEVICE;
    }
    on_device.new_gradients();
    EXPECT_EQ(NOPT_ERROR_INVALID_STATE, on_device.step(without[0]));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "hyperparams[2]: lr is NOPT_LR_ON_DEVICE"));
    NOPT_ASSERT_OK(nopt_optimizer_set_group_lr(on_device.optimizer, 2, lr(h[2]), nullptr));
    by_value.buffer(NOPT_ROLE_GRAD).set_values(on_device.buffer(NOPT_ROLE_GRAD).values());
    NOPT_ASSERT_OK(on_device.step(without[0]));
    NOPT_ASSERT_OK(by_value.step(h[0]));
    EXPECT_TRUE(same_bits(by_value.all_values(), on_device.all_values()));
}

TEST(GroupCounts, DimersGoAroundAllGroups) {
    DimerModel grouped("adam", kCounts, NOPT_DIMER_SCOPE_GLOBAL);
    DimerModel plain("adam", kCounts, NOPT_DIMER_SCOPE_GLOBAL);
    NOPT_ASSERT_OK(nopt_param_set_set_groups(grouped.set, grouped.tensor_count(), kGroups.data()));
    NOPT_ASSERT_OK(nopt_optimizer_set_group_count(grouped.optimizer, 3));
    std::vector<nopt_hyperparams> same(3, defaults("adam"));
    const nopt_dimer_options o = dimer_defaults();
    plain.buffer(NOPT_ROLE_PARAM).set_values(grouped.buffer(NOPT_ROLE_PARAM).values());
    for (int step = 0; step < 3; ++step) {
        for (int gradient = 0; gradient < (step == 1 ? 2 : 1); ++gradient) {
            grouped.new_gradients();
            plain.buffer(NOPT_ROLE_GRAD).set_values(grouped.buffer(NOPT_ROLE_GRAD).values());
            if (step == 1 && gradient == 0) {
                NOPT_ASSERT_OK(grouped.displace(o));
                NOPT_ASSERT_OK(plain.displace(o));
            }
        }
        NOPT_ASSERT_OK(grouped.dimer_step(o, same[0]));
        NOPT_ASSERT_OK(plain.dimer_step(o, same[0]));
        ASSERT_TRUE(same_bits(plain.all_values(), grouped.all_values())) << step;
    }
    same[1].flags = NOPT_FLAG_MAXIMIZE;
    EXPECT_EQ(NOPT_ERROR_UNSUPPORTED, grouped.dimer_step(o, same[0]));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "hyperparams[1] and hyperparams[0] differ in"));
    EXPECT_EQ(3, grouped.state(2).step);
}

TEST(GroupCounts, WhatDoesNotFitIsRefusedAndNothingChanges) {
    Model model("adam", kCounts);
    set_groups(model, kGroups);
    NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 3));
    model.new_gradients();
    const std::vector<float> before = model.all_values();
    std::vector<nopt_hyperparams> h(3, defaults("adam"));
    const auto refused = [&](nopt_status expected, const char* words, nopt_status status) {
        EXPECT_EQ(expected, status);
        EXPECT_NE(nullptr, strstr(nopt_last_error_message(), words)) << nopt_last_error_message();
        EXPECT_TRUE(same_bits(before, model.all_values()));
        EXPECT_EQ(0, model.state(0).step);
    };
    value(h[1], "adam", "beta2") = 1.5;
    refused(NOPT_ERROR_INVALID_ARGUMENT, "hyperparams[1]: beta2 is 1.5", model.step(h[0]));
    value(h[1], "adam", "beta2") = 0.9;
    h[2].flags = flag("adam", "amsgrad");
    refused(NOPT_ERROR_UNSUPPORTED, "hyperparams[2] needs other states", model.step(h[0]));
    h[2].flags = 0;
    h[2].struct_size = sizeof h[2] - 8;
    refused(NOPT_ERROR_INVALID_ARGUMENT, "hyperparams[2].struct_size is", model.step(h[0]));
    h[2].struct_size = sizeof h[2];

    nopt_step_state state = model.state(0);
    refused(NOPT_ERROR_INVALID_ARGUMENT, "group is 3", nopt_optimizer_get_group_state(model.optimizer, 3, &state));
    refused(NOPT_ERROR_INVALID_ARGUMENT, "group is -1", nopt_optimizer_set_group_state(model.optimizer, -1, &state));
    refused(NOPT_ERROR_INVALID_ARGUMENT, "group is 3", nopt_optimizer_set_group_lr(model.optimizer, 3, 0.1, nullptr));
    refused(NOPT_ERROR_INVALID_ARGUMENT, "group_count is 0", nopt_optimizer_set_group_count(model.optimizer, 0));
    refused(NOPT_ERROR_INVALID_ARGUMENT, "group_count is -2", nopt_optimizer_set_group_count(model.optimizer, -2));
    std::vector<int32_t> groups = kGroups;
    groups[3] = -1;
    refused(NOPT_ERROR_INVALID_ARGUMENT, "group[3] is -1",
            nopt_param_set_set_groups(model.set, model.tensor_count(), groups.data()));
    refused(NOPT_ERROR_INVALID_ARGUMENT, "tensor_count is 2", nopt_param_set_set_groups(model.set, 2, groups.data()));
    refused(NOPT_ERROR_INVALID_ARGUMENT, "set is null", nopt_param_set_set_groups(nullptr, 9, groups.data()));
    NOPT_ASSERT_OK(model.step(h[0]));
    EXPECT_EQ(1, model.state(2).step);
}

// ---- many groups ----

constexpr int32_t kKinds = 7;  // of hyperparameters

std::vector<nopt_hyperparams> hyperparams_of_kinds(double scale) {
    std::vector<nopt_hyperparams> all;
    for (int32_t kind = 0; kind < kKinds; ++kind) {
        nopt_hyperparams h = defaults("adam");
        lr(h) = scale * (1 + kind);
        weight_decay(h) = 0.01 * kind;
        value(h, "adam", "beta1") = 0.9 - 0.05 * kind;
        h.flags = (kind % 2 == 0 ? 0u : static_cast<uint32_t>(NOPT_FLAG_DECOUPLED_WEIGHT_DECAY)) |
                  (kind % 3 == 0 ? 0u : static_cast<uint32_t>(NOPT_FLAG_MAXIMIZE)) |
                  (kind < 4 ? 0u : static_cast<uint32_t>(NOPT_FLAG_BIAS_CORRECTION_BY_POWER));
        all.push_back(h);
    }
    return all;
}

std::vector<nopt_hyperparams> repeated(const std::vector<nopt_hyperparams>& kinds, int32_t groups) {
    std::vector<nopt_hyperparams> all;
    for (int32_t g = 0; g < groups; ++g) {
        all.push_back(kinds[static_cast<size_t>(g % kKinds)]);
    }
    return all;
}

struct Many {
    const char* name;
    int32_t groups;
    bool capturable;
    bool clips;
};

std::ostream& operator<<(std::ostream& out, const Many& many) { return out << many.name; }

const Many kMany[] = {
    {"sixteen", 16, false, true},
    {"seventeen", 17, false, true},
    {"thirty_one_capturable", 31, true, false},
    {"a_hundred", 100, false, false},
    {"a_hundred_clipped", 100, false, true},
    {"a_hundred_capturable", 100, true, true},
    {"a_thousand", 1000, false, false},
    {"a_thousand_capturable", 1000, true, false},
};

class ManyGroups : public testing::TestWithParam<Many> {
protected:
    ManyGroups() {
        const int32_t groups = GetParam().groups;
        for (int32_t t = 0; t < groups + 5; ++t) {
            counts.push_back(t % 9 == 4 ? 0 : 1 + t % 37);
            many.push_back(t * 13 % groups);  // every group has tensors: 13 divides none of these numbers
            few.push_back(many.back() % kKinds);
        }
    }

    std::unique_ptr<Model> model_of(const std::vector<int32_t>& groups, int32_t group_count) const {
        auto model = std::make_unique<Model>("adam", counts);
        set_groups(*model, groups);
        NOPT_EXPECT_OK(nopt_optimizer_set_group_count(model->optimizer, group_count));
        if (GetParam().clips) {
            const nopt_grad_options options = grad_options(0.5, 0.25, 2.0, GetParam().capturable);
            NOPT_EXPECT_OK(nopt_optimizer_set_grad_options(model->optimizer, &options));
        }
        NOPT_EXPECT_OK(nopt_optimizer_set_capturable(model->optimizer, GetParam().capturable ? 1 : 0, nullptr));
        return model;
    }

    // Gradients of which some come late, in some groups all of them.
    std::vector<bool> frozen(int step) const {
        std::vector<bool> result;
        for (size_t t = 0; t < counts.size(); ++t) {
            result.push_back(step < 5 && (many[t] % 10 == 3 || static_cast<int>(t % 5) == step));
        }
        return result;
    }

    std::vector<int64_t> counts;
    std::vector<int32_t> many;
    std::vector<int32_t> few;
};

// Each does what the one does that its hyperparameters are from.
TEST_P(ManyGroups, StepAsFewWithTheSameHyperparameters) {
    const int32_t groups = GetParam().groups;
    std::unique_ptr<Model> together = model_of(many, groups);
    std::unique_ptr<Model> apart = model_of(few, kKinds);
    for (int step = 0; step < 7; ++step) {
        const std::vector<nopt_hyperparams> kinds = hyperparams_of_kinds(1e-3 * (1 + step));
        const std::vector<nopt_hyperparams> all = repeated(kinds, groups);
        for (Model* const one : {together.get(), apart.get()}) {
            one->new_gradients();
            one->freeze(frozen(step));
            NOPT_ASSERT_OK(one->step(one == together.get() ? all[0] : kinds[0]));
        }
        ASSERT_TRUE(same_bits(apart->all_values(), together->all_values())) << step;
    }
    together->synchronize();
    apart->synchronize();
    const std::vector<nopt_step_state> expected = apart->tensor_states();
    const std::vector<nopt_step_state> actual = together->tensor_states();
    std::vector<int64_t> steps;
    for (size_t t = 0; t < counts.size(); ++t) {
        ASSERT_TRUE(same_state(expected[t], actual[t])) << t;
        steps.push_back(actual[t].step);
    }
    // (Nothing at all has no gradient to be without.)
    EXPECT_EQ(2, *std::min_element(steps.begin(), steps.end()));
    EXPECT_EQ(7, *std::max_element(steps.begin(), steps.end()));
    for (int32_t g = 0; g < groups; ++g) {
        ASSERT_TRUE(same_state(apart->state(g % kKinds), together->state(g))) << g;
    }
    EXPECT_TRUE(together->intact());
}

TEST_P(ManyGroups, HaveLearningRatesOnTheDevice) {
    const int32_t groups = GetParam().groups;
    std::unique_ptr<Model> on_device = model_of(many, groups);
    std::unique_ptr<Model> by_value = model_of(many, groups);
    NOPT_ASSERT_OK(nopt_optimizer_set_capturable(on_device->optimizer, 1, nullptr));
    std::vector<nopt_hyperparams> h = repeated(hyperparams_of_kinds(1e-2), groups);
    std::vector<nopt_hyperparams> without = h;
    for (int32_t g = 0; g < groups; ++g) {
        const size_t group = static_cast<size_t>(g);
        lr(h[group]) = 1e-3 * (g + 1);
        lr(without[group]) = NOPT_LR_ON_DEVICE;
        NOPT_ASSERT_OK(nopt_optimizer_set_group_lr(on_device->optimizer, g, lr(h[group]), nullptr));
    }
    for (int step = 0; step < 2; ++step) {
        on_device->new_gradients();
        by_value->new_gradients();
        NOPT_ASSERT_OK(on_device->step(without[0]));
        NOPT_ASSERT_OK(by_value->step(h[0]));
    }
    EXPECT_TRUE(same_bits(by_value->all_values(), on_device->all_values()));
    // The rates of groups that stay are kept when others come.
    NOPT_ASSERT_OK(nopt_optimizer_set_group_count(on_device->optimizer, groups + 1));
    NOPT_ASSERT_OK(nopt_optimizer_set_group_count(by_value->optimizer, groups + 1));
    h.push_back(h[0]);
    without.push_back(without[0]);
    EXPECT_EQ(NOPT_ERROR_INVALID_STATE, on_device->step(without[0]));
    NOPT_ASSERT_OK(nopt_optimizer_set_group_lr(on_device->optimizer, groups, 0.5, nullptr));
    NOPT_ASSERT_OK(on_device->step(without[0]));
    NOPT_ASSERT_OK(by_value->step(h[0]));
    EXPECT_TRUE(same_bits(by_value->all_values(), on_device->all_values()));
}

INSTANTIATE_TEST_SUITE_P(Groups, ManyGroups, testing::ValuesIn(kMany),
                         [](const testing::TestParamInfo<Many>& one) { return one.param.name; });

// A tensor keeps its step count, and its place in a clock of its own, while its group is not there.
TEST(GroupCounts, TensorsOfGroupsThatGoKeepTheirCounts) {
    for (const int capturable : {0, 1}) {
        Model model("adam", kCounts);
        std::vector<int32_t> groups = kGroups;
        for (int32_t& group : groups) {
            group *= 20;
        }
        set_groups(model, groups);
        NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, capturable, nullptr));
        NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 41));
        const std::vector<nopt_hyperparams> h(50, defaults("adam"));
        for (int step = 0; step < 3; ++step) {
            model.new_gradients();
            model.freeze({step == 1, false, false, false, false, false, false, false, false});
            NOPT_ASSERT_OK(model.step(h[0]));
        }
        model.synchronize();
        const std::vector<nopt_step_state> before = model.tensor_states();
        EXPECT_EQ(2, before[0].step);
        EXPECT_EQ(3, before[4].step);
        const auto expect_kept = [&](int64_t more) {
            const std::vector<nopt_step_state> now = model.tensor_states();
            for (size_t t = 0; t < kCounts.size(); ++t) {
                const nopt_step_state expected = state_after("adam", h[0], before[t].step + more);
                ASSERT_TRUE(same_state(expected, now[t])) << t << " after " << more << ", " << capturable;
            }
        };
        // Without groups 20 and 40 there is no step, and nothing to upload.
        NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 20));
        expect_kept(0);
        const char* const lacks = "tensor 0 is in group 40, but the optimizer has 20";
        const std::vector<float> values = model.all_values();
        EXPECT_EQ(NOPT_ERROR_INVALID_STATE, model.step(h[0]));
        EXPECT_NE(nullptr, strstr(nopt_last_error_message(), lacks)) << nopt_last_error_message();
        EXPECT_EQ(NOPT_ERROR_INVALID_STATE, nopt_optimizer_upload(model.optimizer, nullptr));
        EXPECT_NE(nullptr, strstr(nopt_last_error_message(), lacks)) << nopt_last_error_message();
        EXPECT_TRUE(same_bits(values, model.all_values()));
        expect_kept(0);
        // They come again as new ones, and their tensors go on.
        NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 50));
        EXPECT_EQ(0, model.state(40).step);
        expect_kept(0);
        NOPT_ASSERT_OK(model.step(h[0]));
        model.synchronize();
        expect_kept(1);
        EXPECT_EQ(1, model.state(40).step);
        EXPECT_EQ(4, model.state(0).step);
        // They go again, and their tensors go to another group.
        NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 1));
        NOPT_ASSERT_OK(nopt_param_set_set_groups(model.set, model.tensor_count(), nullptr));
        NOPT_ASSERT_OK(model.step(h[0]));
        model.synchronize();
        expect_kept(2);
        EXPECT_EQ(5, model.state(0).step);
        // What is set while a group is not there is kept as well.
        set_groups(model, groups);
        std::vector<nopt_step_state> set = model.tensor_states();
        for (size_t t = 0; t < set.size(); ++t) {
            set[t] = state_after("adam", h[0], static_cast<int64_t>(10 + t % 3));
        }
        NOPT_ASSERT_OK(nopt_optimizer_set_tensor_states(model.optimizer, model.tensor_count(), set.data()));
        NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, 41));
        const std::vector<nopt_step_state> now = model.tensor_states();
        for (size_t t = 0; t < set.size(); ++t) {
            EXPECT_TRUE(same_state(set[t], now[t])) << t;
        }
        NOPT_ASSERT_OK(model.step(h[0]));
        model.synchronize();
        EXPECT_EQ(set[8].step + 1, model.tensor_states()[8].step);
    }
}

}  // namespace
}  // namespace nopt_test
