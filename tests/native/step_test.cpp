// The step call itself: hyperparameters that it refuses, its state, resuming, and sets with nothing in them.
#include <math.h>

#include <functional>

#include "support/model.h"

namespace nopt_test {
namespace {

struct Bad {
    const char* rule;
    const char* words;
    std::function<void(nopt_hyperparams&)> spoil;
};

TEST(Step, RefusesBadHyperparametersAndWritesNothing) {
    std::vector<Bad> bad = {
        {"adam", "momentum", [](nopt_hyperparams& h) { h.momentum = 0.9; }},
        {"adam", "switching_rate", [](nopt_hyperparams& h) { h.switching_rate = 0.9; }},
        {"sgd", "beta1", [](nopt_hyperparams& h) { h.beta1 = 0.9; }},
        {"sgd", "beta2", [](nopt_hyperparams& h) { h.beta2 = 0.9; }},
        {"sgd", "eps", [](nopt_hyperparams& h) { h.eps = 0.9; }},
        {"sgd", "NOPT_FLAG_NESTEROV, which needs momentum", [](nopt_hyperparams& h) { h.flags = NOPT_FLAG_NESTEROV; }},
        {"sgd", "NOPT_FLAG_AMSGRAD", [](nopt_hyperparams& h) { h.flags = NOPT_FLAG_AMSGRAD; }},
        {"adam", "NOPT_FLAG_NESTEROV", [](nopt_hyperparams& h) { h.flags = NOPT_FLAG_NESTEROV; }},
        {"adam", "NOPT_FLAG_INVERSE_EPSILON", [](nopt_hyperparams& h) { h.flags = NOPT_FLAG_INVERSE_EPSILON; }},
        {"adam", "unknown flag (2147483648)", [](nopt_hyperparams& h) { h.flags = 1u << 31; }},
        {"adam", "beta1 is 1", [](nopt_hyperparams& h) { h.beta1 = 1.0; }},
        {"adam", "beta2 is 1", [](nopt_hyperparams& h) { h.beta2 = 1.0; }},
    };
    for (const double value : {-1e-9, static_cast<double>(NAN), static_cast<double>(INFINITY), 1e39}) {
        for (const char* rule : {"adam", "dualadam", "sgd"}) {
            bad.push_back({rule, "lr", [=](nopt_hyperparams& h) { h.lr = value; }});
            bad.push_back({rule, "weight_decay", [=](nopt_hyperparams& h) { h.weight_decay = value; }});
            bad.push_back({rule, "eps", [=](nopt_hyperparams& h) { h.eps = value; }});
            bad.push_back({rule, "beta1", [=](nopt_hyperparams& h) { h.beta1 = value; }});
            bad.push_back({rule, "beta2", [=](nopt_hyperparams& h) { h.beta2 = value; }});
            bad.push_back({rule, "momentum", [=](nopt_hyperparams& h) { h.momentum = value; }});
            bad.push_back({rule, "switching_rate", [=](nopt_hyperparams& h) { h.switching_rate = value; }});
        }
    }
    for (const Bad& one : bad) {
        Model model(one.rule, {5});
        model.new_gradients();
        const std::vector<float> before = model.all_values();
        nopt_hyperparams h = defaults(one.rule);
        one.spoil(h);
        const nopt_status status = model.step(h);
        EXPECT_TRUE(status == NOPT_ERROR_INVALID_ARGUMENT || status == NOPT_ERROR_UNSUPPORTED) << one.words << status;
        EXPECT_NE(nullptr, strstr(nopt_last_error_message(), one.words)) << nopt_last_error_message();
        EXPECT_TRUE(same_bits(before, model.all_values())) << one.words;
        EXPECT_EQ(0, model.state().step);
    }
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

TEST(Step, NamesTheRolesThatItNeeds) {
    const auto roles = [](const char* rule, const std::function<void(nopt_hyperparams&)>& change) {
        Model model(rule, {1});
        nopt_hyperparams h = defaults(rule);
        change(h);
        uint32_t mask = 0;
        EXPECT_EQ(NOPT_OK, nopt_optimizer_get_roles(model.optimizer, &h, &mask)) << nopt_last_error_message();
        return mask;
    };
    const uint32_t base = 1u << NOPT_ROLE_PARAM | 1u << NOPT_ROLE_GRAD;
    const uint32_t moments = base | 1u << NOPT_ROLE_EXP_AVG | 1u << NOPT_ROLE_EXP_AVG_SQ;
    const auto nothing = [](nopt_hyperparams&) {};
    EXPECT_EQ(moments, roles("adam", nothing));
    EXPECT_EQ(moments, roles("invadam", nothing));
    EXPECT_EQ(moments, roles("dualadam", nothing));
    EXPECT_EQ(moments | 1u << NOPT_ROLE_MAX_EXP_AVG_SQ,
              roles("dualadam", [](nopt_hyperparams& h) { h.flags = NOPT_FLAG_AMSGRAD; }));
    EXPECT_EQ(base, roles("sgd", nothing));
    EXPECT_EQ(base | 1u << NOPT_ROLE_MOMENTUM_BUFFER, roles("sgd", [](nopt_hyperparams& h) { h.momentum = 0.5; }));
}

TEST(Step, CountsAndMultipliesThroughTheBetas) {
    Model model("adam", {3});
    nopt_hyperparams h = defaults("adam");
    double product1 = 1.0;
    double product2 = 1.0;
    EXPECT_EQ(1.0, model.state().beta1_product);
    for (int step = 1; step <= 100; ++step) {
        h.beta1 = step % 2 == 0 ? 0.9 : 0.8;  // a schedule: the product is not a power
        NOPT_ASSERT_OK(model.step(h));
        product1 *= h.beta1;
        product2 *= h.beta2;
        EXPECT_EQ(step, model.state().step);
        EXPECT_EQ(product1, model.state().beta1_product);
        EXPECT_EQ(product2, model.state().beta2_product);
    }
}

TEST(Step, ResumesBitForBit) {
    for (const Case& one : all_cases()) {
        Model whole(one.rule.c_str(), {300, 1});
        for (int step = 0; step < 5; ++step) {
            whole.new_gradients();
            NOPT_ASSERT_OK(whole.step(one.hyperparams));
        }
        Model resumed(one.rule.c_str(), {300, 1});
        for (const nopt_role role : kRoles) {
            for (size_t t = 0; t < 2; ++t) {
                const int64_t count = whole.counts()[t];
                std::copy_n(whole.buffer(role).tensor(t), count, resumed.buffer(role).tensor(t));
            }
        }
        const nopt_step_state state = whole.state();
        NOPT_ASSERT_OK(nopt_optimizer_set_state(resumed.optimizer, &state));
        for (int step = 0; step < 5; ++step) {
            whole.new_gradients();
            std::copy_n(whole.buffer(NOPT_ROLE_GRAD).tensor(0), 300, resumed.buffer(NOPT_ROLE_GRAD).tensor(0));
            std::copy_n(whole.buffer(NOPT_ROLE_GRAD).tensor(1), 1, resumed.buffer(NOPT_ROLE_GRAD).tensor(1));
            NOPT_ASSERT_OK(whole.step(one.hyperparams));
            NOPT_ASSERT_OK(resumed.step(one.hyperparams));
        }
        EXPECT_TRUE(same_bits(whole.all_values(), resumed.all_values())) << one.name;
        EXPECT_EQ(10, resumed.state().step);
    }
}

TEST(Step, RefusesBadStates) {
    Model model("adam", {3});
    NOPT_ASSERT_OK(model.step(defaults("adam")));
    const nopt_step_state good = model.state();
    const std::function<void(nopt_step_state&)> spoils[] = {
        [](nopt_step_state& s) { s.step = -1; },           [](nopt_step_state& s) { s.reserved = 1; },
        [](nopt_step_state& s) { s.beta1_product = NAN; }, [](nopt_step_state& s) { s.beta1_product = -0.1; },
        [](nopt_step_state& s) { s.beta2_product = 1.1; }, [](nopt_step_state& s) { s.struct_size = 8; },
    };
    for (const auto& spoil : spoils) {
        nopt_step_state bad = good;
        spoil(bad);
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_set_state(model.optimizer, &bad));
        const nopt_step_state now = model.state();
        EXPECT_EQ(0, memcmp(&good, &now, sizeof good));
    }
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_set_state(model.optimizer, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_get_state(model.optimizer, nullptr));
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
    h.lr = 1.0;
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
    bad.beta1 = 1.0;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, model.step(bad));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, model.step(bad));
    NOPT_ASSERT_OK(model.step(h));
    model.unbind(NOPT_ROLE_EXP_AVG);
    EXPECT_EQ(NOPT_ERROR_MISSING_ROLE, model.step(h));
    EXPECT_EQ(NOPT_ERROR_MISSING_ROLE, model.step(h));
    model.bind(NOPT_ROLE_EXP_AVG);
    NOPT_ASSERT_OK(model.step(h));
    EXPECT_EQ(4, model.state().step);

    // A learning rate on the device is one of capturable optimizers only.
    nopt_hyperparams on_device = h;
    on_device.lr = NOPT_LR_ON_DEVICE;
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
