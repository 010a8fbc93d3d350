// Registering tensors and binding their buffers: what is refused, and that a refusal changes nothing.
#include <math.h>

#include "support/model.h"

namespace nopt_test {
namespace {

// The states of adam, which all models here have.
const nopt_role kExpAvg = state_role("adam", "exp_avg");
const nopt_role kExpAvgSq = state_role("adam", "exp_avg_sq");
const nopt_role kMaxExpAvgSq = state_role("adam", "max_exp_avg_sq");

nopt_status bind(Model& model, nopt_role role, std::vector<void*> pointers) {
    return nopt_param_set_bind(model.set, role, static_cast<int64_t>(pointers.size()), pointers.data());
}

// Makes a model, lets `refused` do its call to it, expects the status and the words, and that nothing has changed: the
// next step does what it would have done.
template <class Call>
void expect_refused(const std::vector<int64_t>& counts, nopt_status status, const char* words, Call refused) {
    Model model("adam", counts);
    Model twin("adam", counts);
    model.new_gradients();
    twin.new_gradients();
    const std::vector<float> before = model.all_values();
    EXPECT_EQ(status, refused(model));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), words)) << nopt_last_error_message();
    EXPECT_TRUE(same_bits(before, model.all_values()));
    NOPT_ASSERT_OK(model.step(defaults("adam")));
    NOPT_ASSERT_OK(twin.step(defaults("adam")));
    EXPECT_TRUE(same_bits(twin.all_values(), model.all_values()));
}

TEST(ParamSet, RefusesBadSizes) {
    nopt_param_set* set = nullptr;
    const int64_t negative[] = {3, -1};
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_param_set_create(NOPT_BACKEND_CPU, 0, 2, negative, nullptr, &set));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "element_counts[1] is -1"));
    const int64_t huge[] = {INT64_MAX / 64, 1};
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_param_set_create(NOPT_BACKEND_CPU, 0, 2, huge, nullptr, &set));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_param_set_create(NOPT_BACKEND_CPU, 0, -1, negative, nullptr, &set));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_param_set_create(NOPT_BACKEND_CPU, 0, 1, nullptr, nullptr, &set));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_param_set_create(NOPT_BACKEND_CPU, 0, 1, huge, nullptr, nullptr));
    const nopt_dtype unknown = static_cast<nopt_dtype>(nopt_dtype_count() + 1);
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_param_set_create(NOPT_BACKEND_CPU, 0, 1, huge, &unknown, &set));
    EXPECT_EQ(nullptr, set);
}

TEST(ParamSet, RefusesNull) {
    expect_refused({4, 0, 4}, NOPT_ERROR_INVALID_ARGUMENT, "pointers[2] of role STATE_0 is null", [](Model& model) {
        return bind(model, kExpAvg, {model.buffer(kExpAvg).tensor(0), nullptr, nullptr});
    });
}

TEST(ParamSet, TakesNullForNoElements) {
    Model model("adam", {4, 0});
    NOPT_ASSERT_OK(bind(model, NOPT_ROLE_GRAD, {model.buffer(NOPT_ROLE_GRAD).tensor(0), nullptr}));
    NOPT_ASSERT_OK(model.step(defaults("adam")));
}

TEST(ParamSet, RefusesMisalignment) {
    expect_refused({4}, NOPT_ERROR_INVALID_ARGUMENT, "not aligned", [](Model& model) {
        return bind(model, kExpAvg, {reinterpret_cast<char*>(model.buffer(kExpAvg).tensor(0)) + 2});
    });
}

TEST(ParamSet, RefusesAddressesPastTheEnd) {
    expect_refused({400}, NOPT_ERROR_INVALID_ARGUMENT, "passes the end", [](Model& model) {
        return bind(model, NOPT_ROLE_GRAD, {reinterpret_cast<void*>(UINTPTR_MAX - 31)});
    });
}

TEST(ParamSet, RefusesOverlap) {
    const std::vector<int64_t> counts = {40, 40};
    // A gradient that is the parameter, ones that share its last or first element, one inside it.
    for (const int offset : {0, 39, -39, 10}) {
        expect_refused(counts, NOPT_ERROR_OVERLAP, "GRAD of tensor 0 overlaps PARAM of tensor 0", [=](Model& model) {
            return bind(model, NOPT_ROLE_GRAD,
                        {model.buffer(NOPT_ROLE_PARAM).tensor(0) + offset, model.buffer(NOPT_ROLE_GRAD).tensor(1)});
        });
    }
    // Two tensors of a written role; two written roles; a written role onto a gradient.
    expect_refused(counts, NOPT_ERROR_OVERLAP, "STATE_0 of tensor 0 overlaps STATE_0 of tensor 1", [](Model& model) {
        float* exp_avg = model.buffer(kExpAvg).tensor(0);
        return bind(model, kExpAvg, {exp_avg, exp_avg + 20});
    });
    expect_refused(counts, NOPT_ERROR_OVERLAP, "STATE_1", [](Model& model) {
        return bind(model, kExpAvgSq, {model.buffer(kExpAvg).tensor(1), model.buffer(kExpAvgSq).tensor(1)});
    });
    expect_refused(counts, NOPT_ERROR_OVERLAP, "GRAD of tensor 1 overlaps STATE_0 of tensor 0", [](Model& model) {
        return bind(model, kExpAvg, {model.buffer(NOPT_ROLE_GRAD).tensor(1), model.buffer(kExpAvg).tensor(1)});
    });
}

// A dimer's roles are written, but for the gradient at displaced parameters.
TEST(ParamSet, RefusesOverlapOfTheDimersRoles) {
    const std::vector<int64_t> counts = {40, 40};
    for (const nopt_role role : dimer_roles()) {
        if (role == NOPT_ROLE_GRAD_DISPLACED) {
            continue;
        }
        for (const nopt_role onto : {NOPT_ROLE_PARAM, NOPT_ROLE_GRAD, kExpAvg}) {
            std::vector<float> own(40);
            expect_refused(counts, NOPT_ERROR_OVERLAP, "overlaps", [&](Model& model) {
                return bind(model, role, {own.data(), model.buffer(onto).tensor(0) + 39});
            });
        }
        expect_refused(counts, NOPT_ERROR_OVERLAP, "overlaps", [&](Model& model) {
            float* memory = model.buffer(kMaxExpAvgSq).tensor(0);
            model.unbind(kMaxExpAvgSq);
            return bind(model, role, {memory, memory + 39});
        });
    }
    expect_refused(counts, NOPT_ERROR_OVERLAP, "GRAD_DISPLACED of tensor 1 overlaps PARAM of tensor 0",
                   [](Model& model) {
                       return bind(model, NOPT_ROLE_GRAD_DISPLACED,
                                   {model.buffer(NOPT_ROLE_GRAD).tensor(0), model.buffer(NOPT_ROLE_PARAM).tensor(0)});
                   });
}

TEST(ParamSet, GradientsMayShareMemoryWithDisplacedOnes) {
    Model model("adam", {8, 8});
    NOPT_ASSERT_OK(bind(model, NOPT_ROLE_GRAD_DISPLACED, model.buffer(NOPT_ROLE_GRAD).pointers()));
    // Both move; a written role still finds the one that is in its way.
    EXPECT_EQ(NOPT_ERROR_OVERLAP, bind(model, NOPT_ROLE_DIRECTION, model.buffer(NOPT_ROLE_GRAD).pointers()));
    std::vector<float> other(16);
    NOPT_ASSERT_OK(bind(model, NOPT_ROLE_GRAD, {other.data(), other.data() + 8}));
    EXPECT_EQ(NOPT_ERROR_OVERLAP, bind(model, NOPT_ROLE_DIRECTION, model.buffer(NOPT_ROLE_GRAD).pointers()));
    NOPT_ASSERT_OK(bind(model, NOPT_ROLE_GRAD_DISPLACED, {other.data() + 8, other.data()}));
    NOPT_ASSERT_OK(bind(model, NOPT_ROLE_DIRECTION, model.buffer(NOPT_ROLE_GRAD).pointers()));
    NOPT_ASSERT_OK(model.step(defaults("adam")));
}

// The check remembers the gap that the last gradient was in; gradients that hop between gaps are checked all the same.
TEST(ParamSet, RefusesOverlapAmongManyGradients) {
    const std::vector<int64_t> counts(50, 8);
    for (const size_t spoiled : {0u, 1u, 25u, 49u}) {
        expect_refused(counts, NOPT_ERROR_OVERLAP, "overlaps PARAM of tensor 3", [=](Model& model) {
            std::vector<void*> grads = model.buffer(NOPT_ROLE_GRAD).pointers();
            std::swap(grads[7], grads[40]);
            grads[spoiled] = model.buffer(NOPT_ROLE_PARAM).tensor(3) + 7;
            return bind(model, NOPT_ROLE_GRAD, grads);
        });
    }
}

TEST(ParamSet, NeighboursAndSharedGradientsAreNoOverlap) {
    Model model("adam", {8, 8});
    std::vector<float> slab(48);
    float* at = slab.data();
    NOPT_ASSERT_OK(bind(model, NOPT_ROLE_PARAM, {at + 8, at}));
    NOPT_ASSERT_OK(bind(model, kExpAvg, {at + 16, at + 24}));
    NOPT_ASSERT_OK(bind(model, NOPT_ROLE_GRAD, {at + 32, at + 36}));
    // A role may move onto its own old place, and swap its tensors.
    NOPT_ASSERT_OK(bind(model, NOPT_ROLE_PARAM, {at, at + 8}));
    NOPT_ASSERT_OK(model.step(defaults("adam")));
}

TEST(ParamSet, RefusesForeignRolesAndCounts) {
    expect_refused({4}, NOPT_ERROR_INVALID_ARGUMENT, "role is 77",
                   [](Model& model) { return bind(model, static_cast<nopt_role>(77), {nullptr}); });
    expect_refused({4}, NOPT_ERROR_INVALID_ARGUMENT, "role is 13",
                   [](Model& model) { return bind(model, static_cast<nopt_role>(13), {nullptr}); });
    expect_refused({4}, NOPT_ERROR_INVALID_ARGUMENT, "role is -1",
                   [](Model& model) { return bind(model, static_cast<nopt_role>(-1), {nullptr}); });
    expect_refused({4}, NOPT_ERROR_INVALID_ARGUMENT, "tensor_count is 2", [](Model& model) {
        return bind(model, NOPT_ROLE_GRAD, {nullptr, nullptr});
    });
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_param_set_bind(nullptr, NOPT_ROLE_GRAD, 0, nullptr));
}

TEST(ParamSet, RefusesBadTensorOptions) {
    for (const double bad : {-0.5, static_cast<double>(NAN), static_cast<double>(INFINITY), 1e300}) {
        const double values[] = {1.0, bad};
        expect_refused({4, 4}, NOPT_ERROR_INVALID_ARGUMENT, "lr_scale[1]",
                       [&](Model& model) { return nopt_param_set_set_lr_scale(model.set, 2, values); });
        expect_refused({4, 4}, NOPT_ERROR_INVALID_ARGUMENT, "weight_decay[1]",
                       [&](Model& model) { return nopt_param_set_set_weight_decay(model.set, 2, values); });
    }
    const double inherit[] = {1.0, NOPT_INHERIT};
    expect_refused({4, 4}, NOPT_ERROR_INVALID_ARGUMENT, "lr_scale[1]",
                   [&](Model& model) { return nopt_param_set_set_lr_scale(model.set, 2, inherit); });
}

TEST(ParamSet, UnboundRolesAreMissed) {
    Model model("adam", {4});
    const std::vector<float> before = model.all_values();
    NOPT_ASSERT_OK(nopt_param_set_bind(model.set, kExpAvgSq, 1, nullptr));
    EXPECT_EQ(NOPT_ERROR_MISSING_ROLE, model.step(defaults("adam")));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "exp_avg_sq"));
    EXPECT_TRUE(same_bits(before, model.all_values()));
    EXPECT_EQ(0, model.state().step);
    model.bind(kExpAvgSq);
    NOPT_ASSERT_OK(model.step(defaults("adam")));
    // What the options do not need may be missing.
    NOPT_ASSERT_OK(nopt_param_set_bind(model.set, kMaxExpAvgSq, 1, nullptr));
    NOPT_ASSERT_OK(model.step(defaults("adam")));
    nopt_hyperparams amsgrad = defaults("adam");
    amsgrad.flags = flag("adam", "amsgrad");
    EXPECT_EQ(NOPT_ERROR_MISSING_ROLE, model.step(amsgrad));
}

TEST(ParamSet, OutlivesItsHandleUnderAnOptimizer) {
    Model model("adam", {4});
    NOPT_ASSERT_OK(nopt_param_set_destroy(model.set));
    model.set = nullptr;
    NOPT_ASSERT_OK(model.step(defaults("adam")));
    EXPECT_EQ(1, model.state().step);
}

}  // namespace
}  // namespace nopt_test
