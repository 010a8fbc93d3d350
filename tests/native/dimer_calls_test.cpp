// Wrong calls of the dimer, and what is left of its interface.
#include <float.h>
#include <math.h>

#include <utility>

#include "support/dimer_model.h"

namespace nopt_test {
namespace {

enum Stage {
    kAtTheta,
    kDisplaced,
    kInThePlane
};

using DimerCall = std::function<nopt_status(DimerModel&, const nopt_dimer_options&, const nopt_hyperparams&)>;

// Brings a model to a stage of an update, lets `refused` do its call, expects the status and the words, and that
// nothing has changed: the step ends as it would have.
void expect_refused(Stage stage, nopt_dimer_angle angle, nopt_status expected, const char* words,
                    const DimerCall& refused) {
    SCOPED_TRACE("stage " + std::to_string(stage) + ", angle " + std::to_string(angle) + ": " + words);
    nopt_dimer_options o = dimer_defaults();
    o.angle = angle;
    const nopt_hyperparams h = defaults("adam");
    DimerModel model("adam", {40, 0, 3}, NOPT_DIMER_SCOPE_PER_TENSOR);
    DimerModel twin("adam", {40, 0, 3}, NOPT_DIMER_SCOPE_PER_TENSOR);
    for (DimerModel* one : {&model, &twin}) {
        one->new_gradients();
        if (stage != kAtTheta) {
            NOPT_ASSERT_OK(one->displace(o));
            one->new_gradients();
        }
        if (stage == kInThePlane) {
            NOPT_ASSERT_OK(one->rotate(o, h));
            one->new_gradients();
        }
    }
    const std::vector<float> before = model.all_values();
    const std::vector<nopt_dimer_status> statuses = model.statuses();
    EXPECT_EQ(expected, refused(model, o, h));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), words)) << nopt_last_error_message();
    EXPECT_TRUE(same_bits(before, model.all_values()));
    EXPECT_TRUE(same_bits(statuses, model.statuses()));
    EXPECT_EQ(0, model.state().step);
    EXPECT_TRUE(same_state(state_after("adam", h, 0), model.state()));
    for (DimerModel* one : {&model, &twin}) {
        if (stage == kDisplaced && angle != NOPT_DIMER_ANGLE_FIXED_RATE) {
            NOPT_ASSERT_OK(one->rotate(o, h));
            one->new_gradients();
        }
        NOPT_ASSERT_OK(one->dimer_step(o, h));
    }
    EXPECT_TRUE(same_bits(twin.all_values(), model.all_values()));
    EXPECT_TRUE(same_bits(twin.statuses(), model.statuses()));
    EXPECT_EQ(1, model.state().step);
}

const DimerCall kDisplace = [](DimerModel& model, const nopt_dimer_options& o, const nopt_hyperparams&) {
    return model.displace(o);
};
const DimerCall kRotate = [](DimerModel& model, const nopt_dimer_options& o, const nopt_hyperparams& h) {
    return model.rotate(o, h);
};
const DimerCall kStep = [](DimerModel& model, const nopt_dimer_options& o, const nopt_hyperparams& h) {
    return model.dimer_step(o, h);
};
const DimerCall kRestore = [](DimerModel& model, const nopt_dimer_options&, const nopt_hyperparams&) {
    return model.restore();
};
const DimerCall kSum = [](DimerModel& model, const nopt_dimer_options&, const nopt_hyperparams&) {
    return nopt_dimer_sum(model.dimer, NOPT_DIMER_PASS_STEP, nullptr);
};
const DimerCall kInit = [](DimerModel& model, const nopt_dimer_options&, const nopt_hyperparams&) {
    return nopt_dimer_init_direction(model.dimer, 1, 0, nullptr);
};
const DimerCall kNormalize = [](DimerModel& model, const nopt_dimer_options&, const nopt_hyperparams&) {
    return nopt_dimer_normalize_direction(model.dimer, nullptr);
};

// A call with the options changed.
DimerCall with(const DimerCall& call, const std::function<void(nopt_dimer_options&)>& change) {
    return [=](DimerModel& model, const nopt_dimer_options& o, const nopt_hyperparams& h) {
        nopt_dimer_options changed = o;
        change(changed);
        return call(model, changed, h);
    };
}

// A call with a role unbound.
DimerCall without(nopt_role role, const DimerCall& call) {
    return [=](DimerModel& model, const nopt_dimer_options& o, const nopt_hyperparams& h) {
        model.unbind(role);
        const nopt_status status = call(model, o, h);
        const std::string text = nopt_last_error_message();
        model.bind(role);
        EXPECT_EQ(text, nopt_last_error_message());
        return status;
    };
}

TEST(DimerErrors, OptionsAreChecked) {
    struct Bad {
        const char* words;
        std::function<void(nopt_dimer_options&)> spoil;
    };
    std::vector<Bad> bad = {
        {"options->reserved is 1", [](nopt_dimer_options& o) { o.reserved = 1; }},
        {"options->struct_size is 40", [](nopt_dimer_options& o) { o.struct_size = 40; }},
        {"options->struct_size is 0", [](nopt_dimer_options& o) { o.struct_size = 0; }},
    };
    for (const int32_t value : {-1, 2, INT32_MAX, INT32_MIN}) {
        bad.push_back({"options->rotation is", [=](nopt_dimer_options& o) { o.rotation = value; }});
        bad.push_back({"options->force is", [=](nopt_dimer_options& o) { o.force = value; }});
        bad.push_back({"options->angle is", [=](nopt_dimer_options& o) { o.angle = value == 2 ? 3 : value; }});
        bad.push_back({"options->correction is", [=](nopt_dimer_options& o) { o.correction = value; }});
    }
    const double nan = static_cast<double>(NAN);
    const double infinity = static_cast<double>(INFINITY);
    for (const double value : {0.0, -1.0, -0.01, nan, infinity, 1e-50, 1e39}) {
        bad.push_back({"options->displacement is", [=](nopt_dimer_options& o) { o.displacement = value; }});
    }
    for (const double value : {-1e-9, nan, infinity, -infinity, 1e39}) {
        bad.push_back({"options->rotation_rate is", [=](nopt_dimer_options& o) { o.rotation_rate = value; }});
        bad.push_back({"options->alpha is", [=](nopt_dimer_options& o) { o.alpha = value; }});
    }
    for (const Bad& one : bad) {
        for (const nopt_dimer_angle angle : kAngles) {
            expect_refused(kAtTheta, angle, NOPT_ERROR_INVALID_ARGUMENT, one.words, with(kDisplace, one.spoil));
            expect_refused(kAtTheta, angle, NOPT_ERROR_INVALID_ARGUMENT, one.words, with(kStep, one.spoil));
            const Stage stage = angle != NOPT_DIMER_ANGLE_FIXED_RATE ? kInThePlane : kDisplaced;
            expect_refused(stage, angle, NOPT_ERROR_INVALID_ARGUMENT, one.words, with(kRotate, one.spoil));
            expect_refused(stage, angle, NOPT_ERROR_INVALID_ARGUMENT, one.words, with(kStep, one.spoil));
        }
        DimerModel model("adam", {3});
        nopt_dimer_options o = dimer_defaults();
        one.spoil(o);
        uint32_t mask = 77;
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_dimer_get_roles(model.dimer, &o, &mask));
        EXPECT_EQ(77u, mask);
    }
    // The least and the most that there is.
    for (const double value : {static_cast<double>(FLT_MIN), static_cast<double>(FLT_MAX)}) {
        DimerModel model("adam", {3});
        nopt_dimer_options o = dimer_defaults();
        o.displacement = value;
        NOPT_EXPECT_OK(model.displace(o));
        NOPT_EXPECT_OK(model.restore());
    }
}

TEST(DimerErrors, NewerOptionsAreNotIgnored) {
    struct Newer {
        nopt_dimer_options base;
        double later;
    } newer = {dimer_defaults(), 0.5};
    newer.base.struct_size = sizeof newer;
    DimerModel model("adam", {3});
    model.new_gradients();
    const nopt_hyperparams h = defaults("adam");
    const std::vector<float> before = model.all_values();
    EXPECT_EQ(NOPT_ERROR_UNSUPPORTED, nopt_dimer_displace(model.dimer, &newer.base, nullptr));
    EXPECT_EQ(NOPT_ERROR_UNSUPPORTED, nopt_dimer_step(model.dimer, &newer.base, &h, nullptr));
    EXPECT_TRUE(same_bits(before, model.all_values()));
    newer.later = 0.0;
    NOPT_EXPECT_OK(nopt_dimer_step(model.dimer, &newer.base, &h, nullptr));
}

TEST(DimerErrors, HyperparametersAreChecked) {
    struct Bad {
        const char* words;
        nopt_status status;
        std::function<void(nopt_hyperparams&)> spoil;
    };
    const Bad bad[] = {
        {"lr is", NOPT_ERROR_INVALID_ARGUMENT, [](nopt_hyperparams& h) { lr(h) = -1.0; }},
        {"lr is", NOPT_ERROR_INVALID_ARGUMENT, [](nopt_hyperparams& h) { lr(h) = static_cast<double>(NAN); }},
        {"beta1 is", NOPT_ERROR_INVALID_ARGUMENT, [](nopt_hyperparams& h) { value(h, "adam", "beta1") = 1.0; }},
        {"values[5]", NOPT_ERROR_UNSUPPORTED, [](nopt_hyperparams& h) { h.values[5] = 0.9; }},
        {"unknown flag", NOPT_ERROR_UNSUPPORTED, [](nopt_hyperparams& h) { h.flags = 1u << 31; }},
        {"struct_size", NOPT_ERROR_INVALID_ARGUMENT, [](nopt_hyperparams& h) { h.struct_size = 8; }},
    };
    for (const Bad& one : bad) {
        for (const DimerCall& call : {kRotate, kStep}) {
            for (const nopt_dimer_angle angle : kAngles) {
                const DimerCall spoiled = [&](DimerModel& model, const nopt_dimer_options& o,
                                              const nopt_hyperparams& h) {
                    nopt_hyperparams changed = h;
                    one.spoil(changed);
                    return call(model, o, changed);
                };
                expect_refused(angle != NOPT_DIMER_ANGLE_FIXED_RATE ? kInThePlane : kDisplaced, angle, one.status,
                               one.words, spoiled);
            }
        }
    }
}

TEST(DimerErrors, NullsAndStreamsAreRefused) {
    DimerModel model("adam", {5, 3});
    model.new_gradients();
    const nopt_dimer_options o = dimer_defaults();
    const nopt_hyperparams h = defaults("adam");
    const std::vector<float> before = model.all_values();
    const nopt_status bad = NOPT_ERROR_INVALID_ARGUMENT;
    int something = 0;
    void* const stream = &something;
    const double curvature = 1.0;
    nopt_dimer* created = nullptr;
    int64_t count = 0;
    uint32_t mask = 0;
    double* sums = nullptr;
    nopt_dimer_status status = {};
    status.struct_size = sizeof status;

    EXPECT_EQ(bad, nopt_dimer_create(nullptr, NOPT_DIMER_SCOPE_GLOBAL, &created));
    EXPECT_EQ(bad, nopt_dimer_create(model.optimizer, NOPT_DIMER_SCOPE_GLOBAL, nullptr));
    for (const int wrong : {-1, 2}) {
        EXPECT_EQ(bad, nopt_dimer_create(model.optimizer, static_cast<nopt_dimer_scope>(wrong), &created));
        EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "scope is")) << nopt_last_error_message();
    }
    EXPECT_EQ(nullptr, created);
    EXPECT_EQ(NOPT_OK, nopt_dimer_destroy(nullptr));
    EXPECT_EQ(bad, nopt_dimer_get_defaults(nullptr));
    nopt_dimer_options small = {};
    small.struct_size = sizeof small - 8;
    EXPECT_EQ(bad, nopt_dimer_get_defaults(&small));
    EXPECT_EQ(bad, nopt_dimer_get_scope_count(nullptr, &count));
    EXPECT_EQ(bad, nopt_dimer_get_scope_count(model.dimer, nullptr));

    EXPECT_EQ(bad, nopt_dimer_init_direction(nullptr, 1, 0, nullptr));
    EXPECT_EQ(bad, nopt_dimer_init_direction(model.dimer, 1, -1, nullptr));
    EXPECT_EQ(bad, nopt_dimer_init_direction(model.dimer, 1, 0, stream));
    EXPECT_EQ(bad, nopt_dimer_normalize_direction(nullptr, nullptr));
    EXPECT_EQ(bad, nopt_dimer_normalize_direction(model.dimer, stream));

    EXPECT_EQ(bad, nopt_dimer_displace(nullptr, &o, nullptr));
    EXPECT_EQ(bad, nopt_dimer_displace(model.dimer, nullptr, nullptr));
    EXPECT_EQ(bad, nopt_dimer_displace(model.dimer, &o, stream));
    EXPECT_EQ(bad, nopt_dimer_step(nullptr, &o, &h, nullptr));
    EXPECT_EQ(bad, nopt_dimer_step(model.dimer, nullptr, &h, nullptr));
    EXPECT_EQ(bad, nopt_dimer_step(model.dimer, &o, nullptr, nullptr));
    EXPECT_EQ(bad, nopt_dimer_step(model.dimer, &o, &h, stream));
    EXPECT_EQ(bad, nopt_dimer_sum(nullptr, NOPT_DIMER_PASS_STEP, nullptr));
    EXPECT_EQ(bad, nopt_dimer_sum(model.dimer, static_cast<nopt_dimer_pass>(2), nullptr));
    EXPECT_EQ(bad, nopt_dimer_sum(model.dimer, static_cast<nopt_dimer_pass>(-1), nullptr));
    EXPECT_EQ(bad, nopt_dimer_sum(model.dimer, NOPT_DIMER_PASS_STEP, stream));
    EXPECT_EQ(bad, nopt_dimer_get_sums(nullptr, &sums, &count));
    EXPECT_EQ(bad, nopt_dimer_get_sums(model.dimer, nullptr, &count));
    EXPECT_EQ(bad, nopt_dimer_get_sums(model.dimer, &sums, nullptr));
    EXPECT_EQ(bad, nopt_dimer_get_status(nullptr, 0, &status));
    EXPECT_EQ(bad, nopt_dimer_get_status(model.dimer, 0, nullptr));
    EXPECT_EQ(bad, nopt_dimer_get_status(model.dimer, 1, &status));
    EXPECT_EQ(bad, nopt_dimer_get_status(model.dimer, -1, &status));
    status.struct_size = 32;
    EXPECT_EQ(bad, nopt_dimer_get_status(model.dimer, 0, &status));
    EXPECT_EQ(bad, nopt_dimer_set_curvature(nullptr, 1, &curvature, nullptr));
    EXPECT_EQ(bad, nopt_dimer_set_curvature(model.dimer, 1, nullptr, nullptr));
    EXPECT_EQ(bad, nopt_dimer_set_curvature(model.dimer, 1, &curvature, stream));
    EXPECT_EQ(bad, nopt_dimer_set_conjugation(nullptr, 1, &curvature, nullptr));
    EXPECT_EQ(bad, nopt_dimer_set_conjugation(model.dimer, 1, nullptr, nullptr));
    EXPECT_EQ(bad, nopt_dimer_set_conjugation(model.dimer, 1, &curvature, stream));
    EXPECT_EQ(bad, nopt_dimer_get_roles(nullptr, &o, &mask));
    EXPECT_EQ(bad, nopt_dimer_get_roles(model.dimer, nullptr, &mask));
    EXPECT_EQ(bad, nopt_dimer_get_roles(model.dimer, &o, nullptr));
    EXPECT_TRUE(same_bits(before, model.all_values()));
    EXPECT_EQ(0, model.state().step);
    EXPECT_TRUE(isnan(model.status().curvature));

    NOPT_ASSERT_OK(model.displace(o));
    const std::vector<float> displaced = model.all_values();
    EXPECT_EQ(bad, nopt_dimer_rotate(nullptr, &o, &h, nullptr));
    EXPECT_EQ(bad, nopt_dimer_rotate(model.dimer, nullptr, &h, nullptr));
    EXPECT_EQ(bad, nopt_dimer_rotate(model.dimer, &o, nullptr, nullptr));
    EXPECT_EQ(bad, nopt_dimer_rotate(model.dimer, &o, &h, stream));
    EXPECT_EQ(bad, nopt_dimer_restore(nullptr, nullptr));
    EXPECT_EQ(bad, nopt_dimer_restore(model.dimer, stream));
    EXPECT_TRUE(same_bits(displaced, model.all_values()));
    NOPT_EXPECT_OK(model.restore());
}

TEST(DimerErrors, MissingRolesAreNamed) {
    const nopt_status missing = NOPT_ERROR_MISSING_ROLE;
    const nopt_dimer_angle fixed = NOPT_DIMER_ANGLE_FIXED_RATE;
    const nopt_dimer_angle optimal = NOPT_DIMER_ANGLE_OPTIMAL;
    expect_refused(kAtTheta, fixed, missing, "DIRECTION", without(NOPT_ROLE_DIRECTION, kInit));
    expect_refused(kAtTheta, fixed, missing, "DIRECTION", without(NOPT_ROLE_DIRECTION, kNormalize));
    expect_refused(
        kAtTheta, fixed, missing, "DIRECTION",
        without(NOPT_ROLE_DIRECTION, [](DimerModel& model, const nopt_dimer_options&, const nopt_hyperparams&) {
            return nopt_dimer_sum(model.dimer, NOPT_DIMER_PASS_NORMALIZE, nullptr);
        }));

    expect_refused(kAtTheta, fixed, missing, "PARAM", without(NOPT_ROLE_PARAM, kDisplace));
    expect_refused(kAtTheta, fixed, missing, "GRAD", without(NOPT_ROLE_GRAD, kDisplace));
    expect_refused(kAtTheta, fixed, missing, "DIRECTION", without(NOPT_ROLE_DIRECTION, kDisplace));
    expect_refused(kAtTheta, fixed, missing, "PARAM_BACKUP", without(NOPT_ROLE_PARAM_BACKUP, kDisplace));

    expect_refused(kAtTheta, fixed, missing, "PARAM", without(NOPT_ROLE_PARAM, kStep));
    expect_refused(kAtTheta, fixed, missing, "GRAD", without(NOPT_ROLE_GRAD, kStep));
    expect_refused(kAtTheta, fixed, missing, "DIRECTION", without(NOPT_ROLE_DIRECTION, kStep));
    expect_refused(kAtTheta, fixed, missing, "exp_avg_sq", without(state_role("adam", "exp_avg_sq"), kStep));
    expect_refused(kAtTheta, fixed, missing, "GRAD", without(NOPT_ROLE_GRAD, kSum));
    expect_refused(kAtTheta, fixed, missing, "DIRECTION", without(NOPT_ROLE_DIRECTION, kSum));

    // What the host may bind anew in an update, since gradients move; all else is held, see below.
    for (const auto& [stage, angle] :
         {std::pair<Stage, nopt_dimer_angle>{kDisplaced, fixed}, {kDisplaced, optimal}, {kInThePlane, optimal}}) {
        expect_refused(stage, angle, missing, "GRAD", without(NOPT_ROLE_GRAD, kRotate));
        expect_refused(stage, angle, missing, "GRAD", without(NOPT_ROLE_GRAD, kSum));
        expect_refused(stage, angle, missing, "PARAM", without(NOPT_ROLE_PARAM, kRestore));
        if (stage == kInThePlane || angle == fixed) {
            expect_refused(stage, angle, missing, "GRAD", without(NOPT_ROLE_GRAD, kStep));
            expect_refused(stage, angle, missing, "PARAM", without(NOPT_ROLE_PARAM, kStep));
        }
    }
}

TEST(DimerErrors, RotationsNeedTheParameters) {
    for (const auto& [stage, angle] : {std::pair<Stage, nopt_dimer_angle>{kDisplaced, NOPT_DIMER_ANGLE_FIXED_RATE},
                                       {kDisplaced, NOPT_DIMER_ANGLE_OPTIMAL},
                                       {kInThePlane, NOPT_DIMER_ANGLE_OPTIMAL},
                                       {kInThePlane, NOPT_DIMER_ANGLE_CONJUGATE}}) {
        expect_refused(stage, angle, NOPT_ERROR_MISSING_ROLE, "PARAM", without(NOPT_ROLE_PARAM, kRotate));
    }
}

TEST(DimerErrors, BestAnglesNeedTheirBuffers) {
    for (const auto& [angle, role] :
         {std::pair<nopt_dimer_angle, nopt_role>{NOPT_DIMER_ANGLE_OPTIMAL, NOPT_ROLE_ROTATION_DIRECTION},
          {NOPT_DIMER_ANGLE_CONJUGATE, NOPT_ROLE_ROTATION_DIRECTION},
          {NOPT_DIMER_ANGLE_CONJUGATE, NOPT_ROLE_GRAD_CHANGE}}) {
        DimerModel model("adam", {40});
        nopt_dimer_options o = dimer_defaults();
        o.angle = angle;
        const nopt_hyperparams h = defaults("adam");
        model.unbind(role);
        model.new_gradients();
        const std::vector<float> theta = model.values(NOPT_ROLE_PARAM);
        EXPECT_EQ(NOPT_ERROR_MISSING_ROLE, model.displace(o));
        EXPECT_NE(nullptr, strstr(nopt_last_error_message(),
                                  role == NOPT_ROLE_GRAD_CHANGE ? "GRAD_CHANGE" : "ROTATION_DIRECTION"))
            << nopt_last_error_message();
        EXPECT_TRUE(same_bits(theta, model.values(NOPT_ROLE_PARAM)));
        model.bind(role);
        NOPT_ASSERT_OK(model.displace(o));
        NOPT_ASSERT_OK(model.rotate(o, h));
        NOPT_ASSERT_OK(model.dimer_step(o, h));
    }
}

// Buffers that hold what ends the update cannot be taken away within it.
TEST(DimerErrors, HeldRolesStayBound) {
    for (const nopt_role role : {NOPT_ROLE_DIRECTION, NOPT_ROLE_PARAM_BACKUP, NOPT_ROLE_GRAD_BACKUP,
                                 NOPT_ROLE_ROTATION_DIRECTION, NOPT_ROLE_GRAD_CHANGE}) {
        for (const bool elsewhere : {false, true}) {
            const DimerCall rebind = [=](DimerModel& model, const nopt_dimer_options&, const nopt_hyperparams&) {
                GuardedBuffer other(model.counts(), 0);
                const std::vector<void*> pointers = other.pointers();
                return nopt_param_set_bind(model.set, role, model.tensor_count(),
                                           elsewhere ? pointers.data() : nullptr);
            };
            expect_refused(kDisplaced, NOPT_DIMER_ANGLE_FIXED_RATE, NOPT_ERROR_INVALID_STATE, "nopt_dimer_restore",
                           rebind);
            expect_refused(kInThePlane, NOPT_DIMER_ANGLE_OPTIMAL, NOPT_ERROR_INVALID_STATE, "nopt_dimer_restore",
                           rebind);
        }
    }
}

// A host without GRAD_BACKUP has to say where the other gradients are.
TEST(DimerErrors, DisplacedGradientsMustBeSomewhere) {
    DimerModel model("adam", {40});
    const nopt_dimer_options o = dimer_defaults();
    const nopt_hyperparams h = defaults("adam");
    model.new_gradients();
    model.unbind(NOPT_ROLE_GRAD_BACKUP);
    model.unbind(NOPT_ROLE_GRAD_DISPLACED);
    NOPT_ASSERT_OK(model.displace(o));
    const std::vector<float> before = model.all_values();
    for (const DimerCall& call : {kRotate, kStep, kSum}) {
        EXPECT_EQ(NOPT_ERROR_MISSING_ROLE, call(model, o, h));
        EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "GRAD_DISPLACED")) << nopt_last_error_message();
        EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "GRAD_BACKUP")) << nopt_last_error_message();
    }
    // Bound too late, it would hold nothing.
    const std::vector<void*> late = model.buffer(NOPT_ROLE_GRAD_BACKUP).pointers();
    EXPECT_EQ(NOPT_ERROR_INVALID_STATE, nopt_param_set_bind(model.set, NOPT_ROLE_GRAD_BACKUP, 1, late.data()));
    EXPECT_TRUE(same_bits(before, model.all_values()));
    model.bind(NOPT_ROLE_GRAD_DISPLACED);
    NOPT_EXPECT_OK(model.dimer_step(o, h));
}

TEST(DimerErrors, CallsOutOfTurnAreRefused) {
    const nopt_status state = NOPT_ERROR_INVALID_STATE;
    const nopt_dimer_angle fixed = NOPT_DIMER_ANGLE_FIXED_RATE;
    const nopt_dimer_angle optimal = NOPT_DIMER_ANGLE_OPTIMAL;
    const auto set_angle = [](nopt_dimer_angle angle) { return [angle](nopt_dimer_options& o) { o.angle = angle; }; };
    const DimerCall base_step = [](DimerModel& model, const nopt_dimer_options&, const nopt_hyperparams& h) {
        return model.step(h);
    };
    const DimerCall other_optimizer = [](DimerModel& model, const nopt_dimer_options&, const nopt_hyperparams&) {
        nopt_optimizer* other = nullptr;
        EXPECT_EQ(NOPT_OK, nopt_optimizer_create(model.set, "sgd", &other));
        const nopt_hyperparams h = defaults("sgd");
        const nopt_status status = nopt_optimizer_step(other, &h, nullptr);
        const std::string text = nopt_last_error_message();
        EXPECT_EQ(NOPT_OK, nopt_optimizer_destroy(other));
        EXPECT_EQ(text, nopt_last_error_message());
        return status;
    };
    const DimerCall set_curvature = [](DimerModel& model, const nopt_dimer_options&, const nopt_hyperparams&) {
        const double curvature[] = {1.0, 1.0, 1.0};
        return nopt_dimer_set_curvature(model.dimer, 3, curvature, nullptr);
    };
    const DimerCall sum_norm = [](DimerModel& model, const nopt_dimer_options&, const nopt_hyperparams&) {
        return nopt_dimer_sum(model.dimer, NOPT_DIMER_PASS_NORMALIZE, nullptr);
    };
    const DimerCall set_conjugation = [](DimerModel& model, const nopt_dimer_options&, const nopt_hyperparams&) {
        const double conjugation[] = {1.0, 2.0, 3.0};
        return nopt_dimer_set_conjugation(model.dimer, 3, conjugation, nullptr);
    };
    for (const nopt_dimer_angle angle : kAngles) {
        expect_refused(kAtTheta, angle, state, "not displaced", kRotate);
        expect_refused(kAtTheta, angle, state, "not displaced", kRestore);
    }
    for (const auto& [stage, angle] :
         {std::pair<Stage, nopt_dimer_angle>{kDisplaced, fixed}, {kDisplaced, optimal}, {kInThePlane, optimal}}) {
        expect_refused(stage, angle, state, "displaced", kDisplace);
        expect_refused(stage, angle, state, "displaced", kInit);
        expect_refused(stage, angle, state, "displaced", kNormalize);
        expect_refused(stage, angle, state, "displaced", sum_norm);
        expect_refused(stage, angle, state, "displaced", set_curvature);
        expect_refused(stage, angle, state, "displaced", set_conjugation);
        expect_refused(stage, angle, state, "displaced", base_step);
        expect_refused(stage, angle, state, "displaced", other_optimizer);
    }
    expect_refused(kDisplaced, optimal, state, "nopt_dimer_rotate", kStep);
    for (const DimerCall& call : {kRotate, kStep}) {
        const auto set_rotation = [](nopt_dimer_options& o) { o.rotation = NOPT_DIMER_ROTATION_MAXIMUM_CURVATURE; };
        const auto set_displacement = [](nopt_dimer_options& o) { o.displacement *= 2.0; };
        const DimerCall maximizing = [call](DimerModel& model, const nopt_dimer_options& o, nopt_hyperparams h) {
            h.flags |= NOPT_FLAG_MAXIMIZE;
            return call(model, o, h);
        };
        expect_refused(kDisplaced, fixed, state, "options->angle", with(call, set_angle(optimal)));
        expect_refused(kInThePlane, optimal, state, "options->angle", with(call, set_angle(fixed)));
        expect_refused(kDisplaced, fixed, state, "options->rotation", with(call, set_rotation));
        expect_refused(kInThePlane, optimal, state, "options->displacement", with(call, set_displacement));
        expect_refused(kInThePlane, optimal, state, "MAXIMIZE", maximizing);
    }
}

TEST(DimerErrors, CurvaturesAndConjugationsAreChecked) {
    const auto set = [](std::vector<double> values) {
        return [values](DimerModel& model, const nopt_dimer_options&, const nopt_hyperparams&) {
            return nopt_dimer_set_curvature(model.dimer, static_cast<int64_t>(values.size()), values.data(), nullptr);
        };
    };
    const auto set_conjugation = [](std::vector<double> values) {
        return [values](DimerModel& model, const nopt_dimer_options&, const nopt_hyperparams&) {
            return nopt_dimer_set_conjugation(model.dimer, static_cast<int64_t>(values.size()), values.data(), nullptr);
        };
    };
    const nopt_dimer_angle angle = NOPT_DIMER_ANGLE_FIXED_RATE;
    const double infinity = static_cast<double>(INFINITY);
    const double nan = static_cast<double>(NAN);
    expect_refused(kAtTheta, angle, NOPT_ERROR_INVALID_ARGUMENT, "count is 2", set_conjugation({1.0, 2.0}));
    expect_refused(kAtTheta, angle, NOPT_ERROR_INVALID_ARGUMENT, "conjugation[1]", set_conjugation({1.0, nan, 3.0}));
    expect_refused(kAtTheta, angle, NOPT_ERROR_INVALID_ARGUMENT, "conjugation[2]",
                   set_conjugation({1.0, 2.0, infinity}));
    expect_refused(kAtTheta, angle, NOPT_ERROR_INVALID_ARGUMENT, "count is 2", set({1.0, 2.0}));
    expect_refused(kAtTheta, angle, NOPT_ERROR_INVALID_ARGUMENT, "count is 4", set({1.0, 2.0, 3.0, 4.0}));
    expect_refused(kAtTheta, angle, NOPT_ERROR_INVALID_ARGUMENT, "count is 0", set({}));
    expect_refused(kAtTheta, angle, NOPT_ERROR_INVALID_ARGUMENT, "curvature[2]", set({1.0, 2.0, infinity}));
    expect_refused(kAtTheta, angle, NOPT_ERROR_INVALID_ARGUMENT, "curvature[0]", set({-infinity, 2.0, 3.0}));
}

TEST(DimerErrors, OneDimerAtATimeDisplaces) {
    DimerModel model("adam", {40});
    nopt_dimer* other = nullptr;
    NOPT_ASSERT_OK(nopt_dimer_create(model.optimizer, NOPT_DIMER_SCOPE_GLOBAL, &other));
    const nopt_dimer_options o = dimer_defaults();
    const nopt_hyperparams h = defaults("adam");
    model.new_gradients();
    NOPT_ASSERT_OK(model.displace(o));
    model.new_gradients();
    const std::vector<float> before = model.all_values();
    const double curvature = 1.0;
    const nopt_status state = NOPT_ERROR_INVALID_STATE;
    EXPECT_EQ(state, nopt_dimer_displace(other, &o, nullptr));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "another dimer")) << nopt_last_error_message();
    EXPECT_EQ(state, nopt_dimer_rotate(other, &o, &h, nullptr));
    EXPECT_EQ(state, nopt_dimer_step(other, &o, &h, nullptr));
    EXPECT_EQ(state, nopt_dimer_restore(other, nullptr));
    EXPECT_EQ(state, nopt_dimer_init_direction(other, 1, 0, nullptr));
    EXPECT_EQ(state, nopt_dimer_normalize_direction(other, nullptr));
    EXPECT_EQ(state, nopt_dimer_sum(other, NOPT_DIMER_PASS_STEP, nullptr));
    EXPECT_EQ(state, nopt_dimer_set_curvature(other, 1, &curvature, nullptr));
    EXPECT_EQ(state, nopt_dimer_set_conjugation(other, 1, &curvature, nullptr));
    EXPECT_TRUE(same_bits(before, model.all_values()));
    EXPECT_EQ(0, model.state().step);
    // It may go; what the first has displaced stays so.
    NOPT_ASSERT_OK(nopt_dimer_destroy(other));
    EXPECT_EQ(state, model.step(h));
    NOPT_ASSERT_OK(model.dimer_step(o, h));
    NOPT_ASSERT_OK(model.step(h));
}

// ---- what is left of the interface ----

TEST(Dimer, DefaultsAreThePapers) {
    const nopt_dimer_options o = dimer_defaults();
    EXPECT_EQ(sizeof o, o.struct_size);
    EXPECT_EQ(NOPT_DIMER_ROTATION_MINIMUM_CURVATURE, o.rotation);
    EXPECT_EQ(NOPT_DIMER_FORCE_DIFFERENCE, o.force);
    EXPECT_EQ(NOPT_DIMER_ANGLE_FIXED_RATE, o.angle);
    EXPECT_EQ(NOPT_DIMER_CORRECTION_PUBLISHED, o.correction);
    EXPECT_EQ(1e-2, o.displacement);
    EXPECT_EQ(1e-3, o.rotation_rate);
    EXPECT_EQ(5.0, o.alpha);
}

TEST(Dimer, NamesTheRolesThatItNeeds) {
    DimerModel model("adam", {3});
    nopt_dimer_options o = dimer_defaults();
    uint32_t mask = 0;
    NOPT_ASSERT_OK(nopt_dimer_get_roles(model.dimer, &o, &mask));
    EXPECT_EQ(1u << NOPT_ROLE_DIRECTION | 1u << NOPT_ROLE_PARAM_BACKUP, mask);
    o.angle = NOPT_DIMER_ANGLE_OPTIMAL;
    NOPT_ASSERT_OK(nopt_dimer_get_roles(model.dimer, &o, &mask));
    EXPECT_EQ(1u << NOPT_ROLE_DIRECTION | 1u << NOPT_ROLE_PARAM_BACKUP | 1u << NOPT_ROLE_ROTATION_DIRECTION, mask);
    const uint32_t optimal_mask = mask;
    o.angle = NOPT_DIMER_ANGLE_CONJUGATE;
    NOPT_ASSERT_OK(nopt_dimer_get_roles(model.dimer, &o, &mask));
    EXPECT_EQ(optimal_mask | 1u << NOPT_ROLE_GRAD_CHANGE, mask);
    // These are enough.
    for (const nopt_role role : dimer_roles()) {
        if ((mask >> role & 1u) == 0 && role != NOPT_ROLE_GRAD_BACKUP) {
            model.unbind(role);
        }
    }
    const nopt_hyperparams h = defaults("adam");
    NOPT_EXPECT_OK(model.displace(o));
    NOPT_EXPECT_OK(model.rotate(o, h));
    NOPT_EXPECT_OK(model.dimer_step(o, h));
    // A step alone needs the direction only.
    model.unbind(NOPT_ROLE_GRAD_BACKUP);
    model.unbind(NOPT_ROLE_PARAM_BACKUP);
    model.unbind(NOPT_ROLE_ROTATION_DIRECTION);
    model.unbind(NOPT_ROLE_GRAD_CHANGE);
    NOPT_EXPECT_OK(model.dimer_step(o, h));
}

TEST(Dimer, StatusBelongsToAStep) {
    const nopt_hyperparams h = defaults("adam");
    nopt_dimer_options o = dimer_defaults();
    DimerModel model("adam", {40, 3});
    nopt_dimer_status status = model.status();
    EXPECT_EQ(sizeof status, status.struct_size);
    EXPECT_EQ(0u, status.flags);
    EXPECT_EQ(0, status.step);
    EXPECT_TRUE(isnan(status.curvature));
    EXPECT_EQ(0.0, status.angle);
    model.new_gradients();
    NOPT_ASSERT_OK(model.dimer_step(o, h));
    EXPECT_EQ(1, model.status().step);
    NOPT_ASSERT_OK(model.step(h));  // the rule's own: the dimer takes no part
    EXPECT_EQ(1, model.status().step);
    NOPT_ASSERT_OK(model.displace(o));
    model.new_gradients();
    NOPT_ASSERT_OK(model.rotate(o, h));
    EXPECT_EQ(3, model.status().step);
    EXPECT_EQ(2, model.state().step);
    EXPECT_FALSE(isnan(model.status().curvature));
    NOPT_ASSERT_OK(model.dimer_step(o, h));
    EXPECT_EQ(3, model.status().step);
    EXPECT_EQ(3, model.state().step);
    // Reading does not change it.
    EXPECT_TRUE(same_bits(model.statuses(), model.statuses()));
}

// With the state buffers, the direction, the curvatures and the optimizer's scalars, a run resumes bit for bit.
TEST(Dimer, ResumesBitForBit) {
    for (int run = 0; run < 4; ++run) {
        const nopt_dimer_scope scope = kScopes[run % 2];
        nopt_dimer_options o = dimer_defaults();
        o.angle = run < 2 ? NOPT_DIMER_ANGLE_FIXED_RATE : NOPT_DIMER_ANGLE_CONJUGATE;
        o.correction = NOPT_DIMER_CORRECTION_ESCAPE;
        o.rotation_rate = 1.0;
        const nopt_hyperparams h = defaults("dualadam");
        DimerModel whole("dualadam", {40, 0, 700, 3}, scope);
        const auto steps = [&](DimerModel& model, uint64_t seed) {
            for (uint64_t step = 0; step < 6; ++step) {
                model.set_values(NOPT_ROLE_GRAD, random_values(743, seed + 2 * step));
                if (step % 3 == 2) {
                    NOPT_ASSERT_OK(model.displace(o));
                    model.set_values(NOPT_ROLE_GRAD, random_values(743, seed + 2 * step + 1));
                    if (o.angle != NOPT_DIMER_ANGLE_FIXED_RATE) {
                        NOPT_ASSERT_OK(model.rotate(o, h));
                        model.set_values(NOPT_ROLE_GRAD, random_values(743, seed + 2 * step + 50));
                    }
                }
                NOPT_ASSERT_OK(model.dimer_step(o, h));
            }
        };
        steps(whole, 100);
        DimerModel resumed("dualadam", {40, 0, 700, 3}, scope, 0, 77);
        for (const nopt_role role : whole.kept()) {
            resumed.set_values(role, whole.values(role));
        }
        const nopt_step_state state = whole.state();
        NOPT_ASSERT_OK(nopt_optimizer_set_state(resumed.optimizer, &state));
        std::vector<double> curvature;
        std::vector<double> conjugation;
        for (const nopt_dimer_status& status : whole.statuses()) {
            curvature.push_back(status.curvature);
            conjugation.push_back(status.conjugation);
        }
        EXPECT_EQ(o.angle == NOPT_DIMER_ANGLE_CONJUGATE, conjugation.front() != 0.0);
        NOPT_ASSERT_OK(nopt_dimer_set_conjugation(resumed.dimer, resumed.scope_count(), conjugation.data(), nullptr));
        NOPT_ASSERT_OK(nopt_dimer_set_curvature(resumed.dimer, resumed.scope_count(), curvature.data(), nullptr));
        steps(whole, 200);
        steps(resumed, 200);
        for (const nopt_role role : whole.kept()) {
            EXPECT_TRUE(same_bits(whole.values(role), resumed.values(role))) << role;
        }
        EXPECT_TRUE(same_bits(whole.statuses(), resumed.statuses()));
    }
}

TEST(Dimer, OutlivesTheHandlesUnderIt) {
    DimerModel model("adam", {40});
    DimerModel twin("adam", {40});
    const nopt_dimer_options o = dimer_defaults();
    const nopt_hyperparams h = defaults("adam");
    NOPT_ASSERT_OK(nopt_optimizer_destroy(model.optimizer));
    NOPT_ASSERT_OK(nopt_param_set_destroy(model.set));
    model.optimizer = nullptr;
    model.set = nullptr;
    for (DimerModel* one : {&model, &twin}) {
        one->new_gradients();
        NOPT_ASSERT_OK(one->displace(o));
        one->new_gradients();
        NOPT_ASSERT_OK(one->dimer_step(o, h));
    }
    EXPECT_TRUE(same_bits(twin.all_values(), model.all_values()));
}

// A dimer that goes in the middle of an update leaves the parameters displaced and the set free.
TEST(Dimer, DestroyedWhileDisplaced) {
    DimerModel model("adam", {40});
    model.new_gradients();
    const nopt_dimer_options o = dimer_defaults();
    const nopt_hyperparams h = defaults("adam");
    NOPT_ASSERT_OK(model.displace(o));
    const std::vector<float> displaced = model.values(NOPT_ROLE_PARAM);
    NOPT_ASSERT_OK(nopt_dimer_destroy(model.dimer));
    model.dimer = nullptr;
    EXPECT_TRUE(same_bits(displaced, model.values(NOPT_ROLE_PARAM)));
    NOPT_EXPECT_OK(model.step(h));
    NOPT_ASSERT_OK(nopt_dimer_create(model.optimizer, NOPT_DIMER_SCOPE_GLOBAL, &model.dimer));
    NOPT_EXPECT_OK(model.displace(o));
    NOPT_EXPECT_OK(model.restore());
}

}  // namespace
}  // namespace nopt_test
