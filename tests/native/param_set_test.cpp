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

nopt_status bind_roles(Model& model, const std::vector<nopt_role>& roles,
                       const std::vector<std::vector<void*>>& pointers) {
    std::vector<void* const*> arrays;
    for (const std::vector<void*>& one : pointers) {
        arrays.push_back(one.empty() ? nullptr : one.data());
    }
    return nopt_param_set_bind_roles(model.set, model.tensor_count(), static_cast<int32_t>(roles.size()), roles.data(),
                                     arrays.data());
}

// Takes a step of new gradients.
nopt_status step_once(Model& model) {
    model.new_gradients();
    return model.step(defaults("adam"));
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
    const double decays[] = {1e16, 1.1e16};
    expect_refused({4, 4}, NOPT_ERROR_INVALID_ARGUMENT, "weight_decay[1] is 1.1e+16; it must be in [0, 1e+16]",
                   [&](Model& model) { return nopt_param_set_set_weight_decay(model.set, 2, decays); });
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

// What calls in a row refuse: each state's new addresses are the other's old ones.
TEST(ParamSet, RolesChangePlacesInOneCall) {
    Model model("adam", {40, 3});
    Model twin("adam", {40, 3});
    NOPT_ASSERT_OK(step_once(model));
    NOPT_ASSERT_OK(step_once(twin));
    const std::vector<float> exp_avg = model.buffer(kExpAvg).values();
    const std::vector<float> exp_avg_sq = model.buffer(kExpAvgSq).values();
    EXPECT_EQ(NOPT_ERROR_OVERLAP, bind(model, kExpAvg, model.buffer(kExpAvgSq).pointers()));
    NOPT_ASSERT_OK(bind_roles(model, {kExpAvgSq, kExpAvg},
                              {model.buffer(kExpAvg).pointers(), model.buffer(kExpAvgSq).pointers()}));
    model.buffer(kExpAvg).set_values(exp_avg_sq);
    model.buffer(kExpAvgSq).set_values(exp_avg);
    NOPT_ASSERT_OK(step_once(model));
    NOPT_ASSERT_OK(step_once(twin));
    EXPECT_TRUE(same_bits(twin.buffer(NOPT_ROLE_PARAM).values(), model.buffer(NOPT_ROLE_PARAM).values()));
    EXPECT_TRUE(same_bits(twin.buffer(kExpAvg).values(), model.buffer(kExpAvgSq).values()));
    EXPECT_TRUE(same_bits(twin.buffer(kExpAvgSq).values(), model.buffer(kExpAvg).values()));
}

// A role that is only read may take the place of one that is written, if that one leaves it.
TEST(ParamSet, ReadAndWrittenRolesChangePlacesInOneCall) {
    Model model("adam", {8, 8});
    const std::vector<void*> param = model.buffer(NOPT_ROLE_PARAM).pointers();
    const std::vector<void*> grad = model.buffer(NOPT_ROLE_GRAD).pointers();
    EXPECT_EQ(NOPT_ERROR_OVERLAP, bind(model, NOPT_ROLE_GRAD, param));
    NOPT_ASSERT_OK(bind_roles(model, {NOPT_ROLE_GRAD, NOPT_ROLE_PARAM}, {param, grad}));
    NOPT_ASSERT_OK(model.step(defaults("adam")));
    // In the same call one role goes, and another takes its place.
    NOPT_ASSERT_OK(bind_roles(model, {kMaxExpAvgSq, NOPT_ROLE_DIRECTION}, {{}, model.buffer(kMaxExpAvgSq).pointers()}));
    EXPECT_EQ(NOPT_ERROR_OVERLAP, bind(model, kMaxExpAvgSq, model.buffer(kMaxExpAvgSq).pointers()));
}

TEST(ParamSet, UnboundRolesMayChangeTheirTypes) {
    Model model("adam", {8, 8});
    const nopt_dtype types[] = {NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_FLOAT32};
    EXPECT_EQ(NOPT_ERROR_INVALID_STATE, nopt_param_set_set_dtypes(model.set, kExpAvg, 2, types));
    NOPT_ASSERT_OK(bind_roles(model, {kExpAvg, kExpAvgSq}, {{}, {}}));
    EXPECT_EQ(NOPT_ERROR_MISSING_ROLE, model.step(defaults("adam")));
    NOPT_ASSERT_OK(nopt_param_set_set_dtypes(model.set, kExpAvg, 2, types));
    NOPT_ASSERT_OK(nopt_param_set_set_dtypes(model.set, kExpAvgSq, 2, types));
    // Half of the room is enough for 16 bits: the second moments lie in the other half.
    std::vector<uint16_t> halves(16);
    NOPT_ASSERT_OK(bind_roles(
        model, {kExpAvg, kExpAvgSq},
        {{halves.data(), model.buffer(kExpAvg).tensor(1)}, {halves.data() + 8, model.buffer(kExpAvgSq).tensor(1)}}));
    NOPT_ASSERT_OK(step_once(model));
    EXPECT_EQ(0, std::count(halves.begin(), halves.end(), uint16_t{0}));
}

// One bad role keeps all of them from being bound: the step in expect_refused uses the old buffers.
TEST(ParamSet, BindRolesIsAllOrNothing) {
    const std::vector<int64_t> counts = {8, 8};
    std::vector<float> room(64);
    const auto at = [&](size_t first) { return std::vector<void*>{&room[first], &room[first + 8]}; };
    expect_refused(counts, NOPT_ERROR_INVALID_ARGUMENT, "pointers[1] of role STATE_1 is null", [&](Model& model) {
        return bind_roles(model, {kExpAvg, kExpAvgSq}, {at(0), {&room[16], nullptr}});
    });
    expect_refused(counts, NOPT_ERROR_INVALID_ARGUMENT, "pointers[0] of role STATE_1 is not aligned",
                   [&](Model& model) {
                       return bind_roles(model, {NOPT_ROLE_GRAD, kExpAvgSq},
                                         {at(0), {reinterpret_cast<char*>(&room[16]) + 2, &room[32]}});
                   });
    expect_refused(counts, NOPT_ERROR_OVERLAP, "STATE_0 of tensor 0 overlaps STATE_1 of tensor 0", [&](Model& model) {
        return bind_roles(model, {kExpAvgSq, kExpAvg}, {at(4), at(0)});
    });
    expect_refused(counts, NOPT_ERROR_OVERLAP, "GRAD of tensor 0 overlaps STATE_0 of tensor 1", [&](Model& model) {
        return bind_roles(model, {NOPT_ROLE_GRAD, kExpAvg}, {at(8), at(0)});
    });
    // A role that stays is in the way as well.
    expect_refused(counts, NOPT_ERROR_OVERLAP, "overlaps", [&](Model& model) {
        return bind_roles(model, {kExpAvg, kExpAvgSq}, {model.buffer(NOPT_ROLE_PARAM).pointers(), at(0)});
    });
    expect_refused(counts, NOPT_ERROR_INVALID_ARGUMENT, "roles[2] is STATE_0, and so is roles[0]", [&](Model& model) {
        return bind_roles(model, {kExpAvg, NOPT_ROLE_GRAD, kExpAvg}, {at(0), at(16), at(32)});
    });
    expect_refused(counts, NOPT_ERROR_INVALID_ARGUMENT, "role is 77", [&](Model& model) {
        return bind_roles(model, {kExpAvg, static_cast<nopt_role>(77)}, {at(0), at(16)});
    });
    expect_refused(counts, NOPT_ERROR_INVALID_ARGUMENT, "role_count is -1",
                   [&](Model& model) { return nopt_param_set_bind_roles(model.set, 2, -1, nullptr, nullptr); });
    expect_refused(counts, NOPT_ERROR_INVALID_ARGUMENT, "role_count is 33", [&](Model& model) {
        return bind_roles(model, std::vector<nopt_role>(33, kExpAvg), std::vector<std::vector<void*>>(33, at(0)));
    });
    expect_refused(counts, NOPT_ERROR_INVALID_ARGUMENT, "tensor_count is 3",
                   [&](Model& model) { return nopt_param_set_bind_roles(model.set, 3, 0, nullptr, nullptr); });
    expect_refused(counts, NOPT_ERROR_INVALID_ARGUMENT, "roles is null",
                   [&](Model& model) { return nopt_param_set_bind_roles(model.set, 2, 1, nullptr, nullptr); });
    expect_refused(counts, NOPT_ERROR_INVALID_ARGUMENT, "pointers is null",
                   [&](Model& model) { return nopt_param_set_bind_roles(model.set, 2, 1, &kExpAvg, nullptr); });
    Model model("adam", counts);
    NOPT_ASSERT_OK(nopt_param_set_bind_roles(model.set, 2, 0, nullptr, nullptr));
    NOPT_ASSERT_OK(step_once(model));
}

// A 16-bit tensor goes from a master to a remainder in one call, and has to give up the one for the other.
TEST(ParamSet, MasterAndRemainderChangePlacesInOneCall) {
    const int64_t count = 8;
    const nopt_dtype type = NOPT_DTYPE_BFLOAT16;
    nopt_param_set* set = nullptr;
    NOPT_ASSERT_OK(nopt_param_set_create(NOPT_BACKEND_CPU, 0, 1, &count, &type, &set));
    std::vector<float> master(8);
    std::vector<uint16_t> remainder(8);
    void* const masters[] = {master.data()};
    void* const remainders[] = {remainder.data()};
    NOPT_ASSERT_OK(nopt_param_set_bind(set, NOPT_ROLE_MASTER_PARAM, 1, masters));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_param_set_bind(set, NOPT_ROLE_PARAM_REMAINDER, 1, remainders));
    const nopt_role roles[] = {NOPT_ROLE_PARAM_REMAINDER, NOPT_ROLE_MASTER_PARAM};
    void* const* const both[] = {remainders, masters};
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_param_set_bind_roles(set, 1, 2, roles, both));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "a tensor has one of them")) << nopt_last_error_message();
    void* const* const one[] = {remainders, nullptr};
    NOPT_ASSERT_OK(nopt_param_set_bind_roles(set, 1, 2, roles, one));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_param_set_bind(set, NOPT_ROLE_MASTER_PARAM, 1, masters));
    NOPT_ASSERT_OK(nopt_param_set_destroy(set));
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
