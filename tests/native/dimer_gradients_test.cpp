// Dimers with loss scales, clipping and skipped steps.
#include <math.h>

#include <set>

#include "support/dimer_reference.h"
#include "support/mixed_model.h"
#include "support/model_elements.h"

namespace nopt_test {
namespace {

struct Setting {
    double max_norm;
    double max_value;
    double loss_scale;
    bool skips;
};

// Scales that are powers of two and that are not, clipping that does and does not change anything, and all at once.
const Setting kSettings[] = {{0.0, 0.0, 1000.0, false}, {0.5, 0.0, 0.0, false}, {1e6, 0.0, 3.0, false},
                             {0.0, 0.02, 0.0, false},   {0.0, 0.0, 0.0, true},  {0.7, 0.005, 65536.0, true}};

const std::vector<int64_t> kCounts = {37, 0, 600, 1};

// Where the device decides, it has to count.
void set_options(Model& model, const nopt_grad_options& o) {
    NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, model.stream));
    NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &o));
}

void set_options(Model& model, const Setting& s) {
    set_options(model, grad_options(s.max_norm, s.max_value, s.loss_scale, s.skips));
}

nopt_step_state state_after_work(const Model& model) {
    model.synchronize();
    return model.state();
}

// Random gradients of a scaled loss.
std::vector<float> scaled_gradients(size_t count, uint64_t seed, double scale) {
    std::vector<float> values = random_values(count, seed);
    for (float& value : values) {
        value = static_cast<float>(scale * static_cast<double>(value));
    }
    return values;
}

// ---- beside the equations, in double ----

// One step of each kind, beside a reference that takes the library's own state before each and the gradients as they
// are: a bound covers one step's roundings.
class Follower {
public:
    Follower(const std::string& rule, nopt_dimer_scope scope, const nopt_dimer_options& o, const nopt_hyperparams& h,
             const Setting& setting)
        : model(rule, kCounts, scope), rule_(rule), options_(o), h_(h), setting_(setting) {
        scopes_ = spans(kCounts, scope);
        scale_ = setting.loss_scale > 0.0 ? setting.loss_scale : 1.0;
        set_tensor_options(model);
        set_options(model, setting);
        NOPT_EXPECT_OK(nopt_optimizer_get_roles(model.optimizer, &h_, &role_mask_));
    }

    void step(bool updates) {
        const std::vector<RuleElement<double>> before = elements_of(model);
        const Vector n = to_double(model.values(NOPT_ROLE_DIRECTION));
        const Vector g = new_gradient();
        expected_direction_ = n;
        direction_bound_.assign(n.size(), 0.0);
        if (updates) {
            NOPT_ASSERT_OK(model.displace(options_));
            const Vector g_n = new_gradient();
            Vector g_t;
            if (options_.angle != NOPT_DIMER_ANGLE_FIXED_RATE) {
                NOPT_ASSERT_OK(model.rotate(options_, h_));
                g_t = new_gradient();
            }
            turn(n, g, g_n, g_t);
        }
        NOPT_ASSERT_OK(model.dimer_step(options_, h_));
        ++step_;
        expect_direction(updates);
        expect_stepped(before, g);
    }

    DimerModel model;
    int clipped = 0;  // elements
    int compared = 0;
    int loose = 0;  // elements whose bound says little
    double coefficient = 1.0;
    std::set<int> senses;  // of the curvatures

private:
    // As the host writes them, and of the loss itself.
    Vector new_gradient() {
        const std::vector<float> values = scaled_gradients(638, ++seed_, scale_);
        model.set_values(NOPT_ROLE_GRAD, values);
        return scaled(to_double(values), 1.0 / scale_);
    }

    void turn(const Vector& n, const Vector& g, const Vector& g_n, const Vector& g_t) {
        const bool maximize = (h_.flags & NOPT_FLAG_MAXIMIZE) != 0;
        turns_.clear();
        curvature_bound_.clear();
        for (const Span& span : scopes_) {
            const Vector own = span.of(n);
            const Vector d = combined(1.0, span.of(g_n), -1.0, span.of(g));
            Vector bound(own.size());
            if (options_.angle == NOPT_DIMER_ANGLE_FIXED_RATE) {
                turns_.push_back(turn_by_rate(options_, maximize, own, span.of(g), span.of(g_n)));
                // As in dimer_equations_test.cpp: d is rounded once, N' once. The gradients are as exact as without a
                // scale, since both are given in float.
                const Turned& turned = turns_.back();
                const double rate = options_.rotation_rate;
                for (size_t i = 0; i < own.size(); ++i) {
                    bound[i] = 1.1 * kHalfUlp *
                               ((1.0 + rate * norm(d) / turned.length) * fabs(turned.direction[i]) +
                                (rate * fabs(d[i]) + rate * norm(d) * fabs(own[i])) / turned.length);
                }
                curvature_bound_.push_back(1.2 * kHalfUlp * norm(d) / options_.displacement);
            } else {
                const Vector t = options_.angle == NOPT_DIMER_ANGLE_OPTIMAL
                                     ? plane(own, d)
                                     : span.of(to_double(model.values(NOPT_ROLE_ROTATION_DIRECTION)));
                const Vector d_t = combined(1.0, span.of(g_t), -1.0, span.of(g));
                turns_.push_back(turn_to_best_angle(options_, maximize, own, t, d, d_t));
                // T is rounded to float and with it what is measured along it; gradients at random make a plane whose
                // curvatures differ by about the force, so that the angle is as exact as they are, some roundings.
                const double force = norm(combined(1.0, d, -dot(d, own), own));
                const double angle = force > 0.0 ? 8.0 * kHalfUlp * (norm(d) + norm(d_t)) / force : 0.0;
                for (size_t i = 0; i < own.size(); ++i) {
                    bound[i] = (8.0 * kHalfUlp + angle) * (fabs(own[i]) + fabs(t[i])) +
                               (force > 0.0 ? 4.0 * kHalfUlp * fabs(d[i]) / force : 0.0);
                }
                curvature_bound_.push_back(8.0 * kHalfUlp * (norm(d) + norm(d_t)) / options_.displacement);
            }
            span.put(expected_direction_, turns_.back().direction);
            span.put(direction_bound_, bound);
        }
    }

    void expect_direction(bool turned) {
        const std::vector<float> direction = model.values(NOPT_ROLE_DIRECTION);
        for (size_t i = 0; i < direction.size(); ++i) {
            ASSERT_NEAR(expected_direction_[i], static_cast<double>(direction[i]), direction_bound_[i] + 1e-44) << i;
        }
        for (size_t s = 0; turned && s < scopes_.size(); ++s) {
            if (scopes_[s].begin < scopes_[s].end) {
                const double curvature = model.status(static_cast<int64_t>(s)).curvature;
                EXPECT_NEAR(turns_[s].curvature, curvature, curvature_bound_[s]) << "scope " << s;
                senses.insert(curvature < 0.0 ? -1 : 1);
            }
        }
    }

    void expect_stepped(const std::vector<RuleElement<double>>& before, const Vector& g) {
        const nopt_grad_status status = status_of(model.optimizer, model.stream);
        coefficient = 1.0;
        if (setting_.max_norm > 0.0 || setting_.skips) {
            EXPECT_NEAR(norm(g), status.norm, 1e-12 * status.norm);
        }
        if (setting_.max_norm > 0.0) {
            coefficient = fmin(1.0, setting_.max_norm / (status.norm + 1e-6));
        }
        EXPECT_EQ(coefficient, status.clip_coefficient);
        EXPECT_EQ(0u, status.skipped);

        // What the rule gets: the corrected gradient, then clipped.
        Vector corrected_grad = g;
        Vector bound(g.size());
        for (size_t s = 0; s < scopes_.size(); ++s) {
            const Span& span = scopes_[s];
            const nopt_dimer_status own = model.status(static_cast<int64_t>(s));
            if (span.begin == span.end) {
                continue;
            }
            EXPECT_EQ(0u, own.flags);
            EXPECT_EQ(step_, own.step);
            const Vector n = span.of(expected_direction_);
            const Vector part = span.of(g);
            const double along = dot(part, n);
            const double along_bound = norm(part) * norm(span.of(direction_bound_)) + 1e-12 * norm(part);
            EXPECT_NEAR(along, own.grad_dot_direction, along_bound);
            const Vector expected = corrected(options_, own.curvature, n, part);
            span.put(corrected_grad, expected);
            for (size_t i = 0; i < n.size(); ++i) {
                // The correction's factor, its product, the difference; the coefficient and the product with it.
                bound[span.begin + i] =
                    1.1 * kHalfUlp * (2.0 * options_.alpha * fabs(along * n[i]) + 3.0 * fabs(expected[i])) +
                    options_.alpha * (along_bound * fabs(n[i]) + fabs(along) * direction_bound_[span.begin + i]);
            }
        }
        const std::vector<RuleElement<double>> got = elements_of(model);
        const double limit = setting_.max_value > 0.0 ? static_cast<double>(static_cast<float>(setting_.max_value))
                                                      : static_cast<double>(INFINITY);
        const auto clip = [&](double grad) { return fmax(-limit, fmin(limit, coefficient * grad)); };
        for (size_t i = 0; i < g.size(); ++i) {
            const size_t tensor = i < 37 ? 0 : i < 637 ? 2 : 3;
            clipped += fabs(coefficient * corrected_grad[i]) > limit ? 1 : 0;
            const RuleStep step(rule_, h_, step_, lr(h_) * lr_scale_of(tensor),
                                weight_decay_of(tensor, weight_decay(h_)));
            const StepBounds expected(before[i], clip(corrected_grad[i]), clip(corrected_grad[i] - bound[i]),
                                      clip(corrected_grad[i] + bound[i]), step);
            for (const nopt_role role : model.written()) {
                if ((role_mask_ >> role & 1u) == 0) {
                    continue;
                }
                const double now = expected.value(role);
                ASSERT_NEAR(now, got[i].at(role), expected.bound(role))
                    << "role " << role << " element " << i << " step " << step_;
                loose += expected.bound(role) > 1e-5 * (1.0 + fabs(now)) ? 1 : 0;
                ++compared;
            }
        }
    }

    const std::string rule_;
    const nopt_dimer_options options_;
    const nopt_hyperparams h_;
    const Setting setting_;
    std::vector<Span> scopes_;
    double scale_ = 1.0;
    uint64_t seed_ = 100;
    int64_t step_ = 0;
    uint32_t role_mask_ = 0;
    Vector expected_direction_;
    Vector direction_bound_;
    std::vector<Turned> turns_;
    Vector curvature_bound_;
};

class DimerGradients : public testing::TestWithParam<std::string> {};

TEST_P(DimerGradients, FollowTheEquations) {
    std::set<int> senses;
    for (const nopt_dimer_scope scope : kScopes) {
        for (const nopt_dimer_angle angle : kAngles) {
            for (int i = 0; i < 4; ++i) {
                nopt_dimer_options o = dimer_defaults();
                o.angle = angle;
                o.correction = i % 2;
                o.rotation = i / 2;
                o.rotation_rate = 0.2;
                o.displacement = 0.25;
                nopt_hyperparams h = test_hyperparams(GetParam());
                lr(h) = 0.01;
                weight_decay(h) = 0.05;
                h.flags = i == 1 || i == 2 ? known_flags(GetParam(), NOPT_FLAG_MAXIMIZE) : 0;
                for (const Setting& setting : kSettings) {
                    SCOPED_TRACE(name_of(scope, o) + " norm " + std::to_string(setting.max_norm) + " value " +
                                 std::to_string(setting.max_value) + " scale " + std::to_string(setting.loss_scale));
                    Follower follower(GetParam(), scope, o, h, setting);
                    for (const bool updates : {false, true, false}) {
                        follower.step(updates);
                        if (HasFatalFailure()) {
                            return;
                        }
                    }
                    EXPECT_TRUE(follower.model.intact());
                    // A few, where two large numbers cancel; more in Adagrad's sum, to which the whole square is added.
                    EXPECT_LT(follower.loose, 0.03 * follower.compared);
                    EXPECT_EQ(setting.max_norm > 0.0 && setting.max_norm < 1.0, follower.coefficient < 1.0);
                    EXPECT_EQ(setting.max_value > 0.0, follower.clipped > 100);
                    EXPECT_EQ(setting.max_value > 0.0, follower.clipped > 0);
                    senses.insert(follower.senses.begin(), follower.senses.end());
                }
            }
        }
    }
    EXPECT_EQ(2u, senses.size()) << "not both signs of the curvature were met";
}

INSTANTIATE_TEST_SUITE_P(Rules, DimerGradients, testing::ValuesIn(all_rules()),
                         [](const testing::TestParamInfo<std::string>& one) { return one.param; });

// ---- exact ----

// Some steps of every kind; `scale` is that of the gradients.
void run_steps(DimerModel& model, const nopt_dimer_options& o, const nopt_hyperparams& h, double scale, int steps = 6) {
    size_t count = 0;
    for (const int64_t one : model.counts()) {
        count += static_cast<size_t>(one);
    }
    uint64_t seed = 1;
    const auto new_gradient = [&] { model.set_values(NOPT_ROLE_GRAD, scaled_gradients(count, ++seed, scale)); };
    for (int step = 0; step < steps; ++step) {
        new_gradient();
        if (step % 2 == 0) {
            NOPT_ASSERT_OK(model.displace(o));
            new_gradient();
            for (int i = step % 4 == 0 ? 1 : 2; i > (o.angle == NOPT_DIMER_ANGLE_FIXED_RATE ? 1 : 0); --i) {
                NOPT_ASSERT_OK(model.rotate(o, h));
                new_gradient();
            }
        }
        NOPT_ASSERT_OK(model.dimer_step(o, h));
    }
}

// A power of two changes no bit of anything, the status included.
TEST(DimerGradients, ALossScaleIsDividedOut) {
    for (const nopt_dimer_scope scope : kScopes) {
        for (const nopt_dimer_angle angle : kAngles) {
            for (const int32_t correction : {NOPT_DIMER_CORRECTION_PUBLISHED, NOPT_DIMER_CORRECTION_ESCAPE}) {
                nopt_dimer_options o = dimer_defaults();
                o.angle = angle;
                o.correction = correction;
                o.rotation_rate = 0.1;
                const nopt_hyperparams h = defaults("adam");
                DimerModel plain("adam", kCounts, scope);
                run_steps(plain, o, h, 1.0);
                for (const double scale : {4096.0, 0.125, NOPT_LOSS_SCALE_ON_DEVICE}) {
                    DimerModel model("adam", kCounts, scope);
                    set_options(model, grad_options(0.0, 0.0, scale, scale == 4096.0));
                    NOPT_ASSERT_OK(nopt_optimizer_set_loss_scale(model.optimizer, 64.0, nullptr));
                    run_steps(model, o, h, scale == NOPT_LOSS_SCALE_ON_DEVICE ? 64.0 : scale);
                    for (const nopt_role role : plain.kept()) {
                        ASSERT_TRUE(same_bits(plain.values(role), model.values(role)))
                            << name_of(scope, o) << " " << scale << " " << role;
                    }
                    ASSERT_TRUE(same_bits(plain.statuses(), model.statuses())) << name_of(scope, o) << " " << scale;
                    EXPECT_EQ(6, state_after_work(model).step);
                }
            }
        }
    }
}

// Options that change nothing change no bit: what decides comes in another order then.
TEST(DimerGradients, OptionsWithoutEffectChangeNoBit) {
    const std::vector<int64_t> counts = {16385, 3, 0, 700};
    for (const nopt_dimer_scope scope : kScopes) {
        for (const nopt_dimer_angle angle : kAngles) {
            nopt_dimer_options o = dimer_defaults();
            o.angle = angle;
            const nopt_hyperparams h = defaults("dualadam");
            DimerModel plain("dualadam", counts, scope);
            DimerModel model("dualadam", counts, scope);
            set_options(model, grad_options(1e9, 1e9, 0.0, true));
            run_steps(plain, o, h, 1.0);
            run_steps(model, o, h, 1.0);
            EXPECT_TRUE(same_bits(plain.all_values(), model.all_values())) << scope << angle;
            EXPECT_TRUE(same_bits(plain.statuses(), model.statuses())) << scope << angle;
        }
    }
}

// The norm is the optimizer's own, bit for bit where the scope is that of all tensors.
TEST(DimerGradients, TheNormIsThatOfThePlainStep) {
    const std::vector<int64_t> counts = {513, 40000, 0, 1, 16384};
    const nopt_hyperparams h = defaults("sgd");
    Model plain("sgd", counts);
    set_options(plain, grad_options(0.25, 0.0, 3.0, true));
    plain.new_gradients();
    NOPT_ASSERT_OK(plain.step(h));
    const nopt_grad_status expected = status_of(plain.optimizer);
    EXPECT_LT(expected.clip_coefficient, 1.0);
    for (const nopt_dimer_scope scope : kScopes) {
        for (const nopt_dimer_angle angle : kAngles) {
            for (int rotations = -1; rotations < 3; ++rotations) {
                nopt_dimer_options o = dimer_defaults();
                o.angle = angle;
                if (rotations == 0 && angle != NOPT_DIMER_ANGLE_FIXED_RATE) {
                    continue;
                }
                DimerModel model("sgd", counts, scope);
                set_options(model, grad_options(0.25, 0.0, 3.0, true));
                model.set_values(NOPT_ROLE_GRAD, plain.buffer(NOPT_ROLE_GRAD).values());
                if (rotations >= 0) {
                    NOPT_ASSERT_OK(model.displace(o));
                    for (int i = 0; i < rotations; ++i) {
                        model.set_values(NOPT_ROLE_GRAD, random_values(56898, static_cast<uint64_t>(i) + 3));
                        NOPT_ASSERT_OK(model.rotate(o, h));
                    }
                    model.set_values(NOPT_ROLE_GRAD, random_values(56898, 9));
                }
                NOPT_ASSERT_OK(model.dimer_step(o, h));
                const nopt_grad_status status = status_of(model.optimizer);
                if (scope == NOPT_DIMER_SCOPE_GLOBAL) {
                    EXPECT_EQ(expected.norm, status.norm) << angle << rotations;
                } else {
                    EXPECT_NEAR(expected.norm, status.norm, 1e-13 * expected.norm) << angle << rotations;
                }
            }
        }
    }
}

// ---- skipped steps ----

// What must not change; the rest is scratch, or the gradients.
std::vector<uint8_t> kept_bytes(MixedModel& model) {
    model.read();
    std::vector<uint8_t> all;
    std::vector<nopt_role> roles = {NOPT_ROLE_PARAM, NOPT_ROLE_DIRECTION, NOPT_ROLE_MASTER_PARAM,
                                    NOPT_ROLE_PARAM_REMAINDER};
    roles.insert(roles.end(), model.states().begin(), model.states().end());
    for (const nopt_role role : roles) {
        all.insert(all.end(), model.buffer(role).bytes().begin(), model.buffer(role).bytes().end());
    }
    return all;
}

std::vector<nopt_dimer_status> statuses_of(nopt_dimer* dimer) {
    int64_t count = 0;
    NOPT_EXPECT_OK(nopt_dimer_get_scope_count(dimer, &count));
    std::vector<nopt_dimer_status> all(static_cast<size_t>(count));
    for (size_t i = 0; i < all.size(); ++i) {
        all[i].struct_size = sizeof all[i];
        NOPT_EXPECT_OK(nopt_dimer_get_status(dimer, static_cast<int64_t>(i), &all[i]));
    }
    return all;
}

enum Where {
    kInGrad,            // of a step without an update
    kInGradOfAnUpdate,  //
    kInDisplaced        // the last gradient of an update
};

// A model whose tensors have elements of several types, and gradients that may have one bad number.
class Skipper {
public:
    Skipper(const std::vector<Mix>& mixes, nopt_dimer_scope scope, nopt_dimer_angle angle)
        : model("adam", mixes, 0, scope), o(dimer_defaults()), h(defaults("adam")) {
        o.angle = angle;
        Random random(7);
        model.fill_params(random);
        NOPT_EXPECT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, nullptr));
        const nopt_grad_options options = grad_options(1.0, 0.0, 128.0, true);
        NOPT_EXPECT_OK(nopt_optimizer_set_grad_options(model.optimizer, &options));
        NOPT_EXPECT_OK(nopt_dimer_init_direction(model.dimer, 5, 0, nullptr));
        NOPT_EXPECT_OK(nopt_dimer_normalize_direction(model.dimer, nullptr));
    }

    // `spoil` is called with the gradient that is to hold something bad.
    void step(Where where, uint64_t seed, const std::function<void(TypedBuffer&)>& spoil) {
        Random random(seed);
        TypedBuffer& grad = model.buffer(NOPT_ROLE_GRAD);
        const auto new_gradient = [&](bool bad) {
            model.fill(NOPT_ROLE_GRAD, random);
            if (bad) {
                spoil(grad);
                grad.write();
            }
        };
        new_gradient(where != kInDisplaced);
        if (where != kInGrad) {
            NOPT_ASSERT_OK(nopt_dimer_displace(model.dimer, &o, nullptr));
            if (o.angle != NOPT_DIMER_ANGLE_FIXED_RATE) {
                new_gradient(false);
                NOPT_ASSERT_OK(nopt_dimer_rotate(model.dimer, &o, &h, nullptr));
            }
            new_gradient(where == kInDisplaced);
        }
        NOPT_ASSERT_OK(nopt_stream_synchronize(test_backend, 0, nullptr));
        before_step = statuses_of(model.dimer);
        NOPT_ASSERT_OK(nopt_dimer_step(model.dimer, &o, &h, nullptr));
        NOPT_ASSERT_OK(nopt_stream_synchronize(test_backend, 0, nullptr));
    }

    MixedModel model;
    nopt_dimer_options o;
    nopt_hyperparams h;
    std::vector<nopt_dimer_status> before_step;
};

class SkippedSteps : public testing::TestWithParam<std::tuple<nopt_dimer_scope, nopt_dimer_angle>> {};

// Wherever a bad number is: not a byte changes, and later steps are as if this one had not been.
TEST_P(SkippedSteps, ChangeNothing) {
    // All of float32, which takes other kernels, and of every type.
    const std::vector<Mix> floats = {{0, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32},
                                     {1, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32},
                                     {16384 + 3, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32},
                                     {70, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32}};
    for (const std::vector<Mix>& mixes : {floats, all_mixes()}) {
        Skipper skipper(mixes, std::get<0>(GetParam()), std::get<1>(GetParam()));
        Skipper twin(mixes, std::get<0>(GetParam()), std::get<1>(GetParam()));
        // So that there are curvatures and states to be kept.
        for (Skipper* const one : {&skipper, &twin}) {
            one->step(kInDisplaced, 50, [](TypedBuffer&) {});
        }
        EXPECT_TRUE(kept_bytes(twin.model) == kept_bytes(skipper.model));
        const std::vector<uint8_t> before = kept_bytes(skipper.model);
        const std::vector<nopt_dimer_status> statuses = statuses_of(skipper.model.dimer);
        int64_t skipped = 0;
        for (const Where where : {kInGrad, kInGradOfAnUpdate, kInDisplaced}) {
            for (size_t t = 0; t < mixes.size(); ++t) {
                std::set<int64_t> places = {0, mixes[t].count / 2, mixes[t].count - 1};
                for (const int64_t at : places) {
                    if (mixes[t].count == 0) {
                        continue;
                    }
                    const float bad = skipped % 3 == 0 ? NAN : skipped % 3 == 1 ? INFINITY : -INFINITY;
                    skipper.step(where, 60 + static_cast<uint64_t>(skipped),
                                 [&](TypedBuffer& grad) { grad.set_bits(t, at, encoded(bad, grad.type(t))); });
                    ++skipped;
                    const std::string trace = std::to_string(where) + ": " + std::to_string(bad) + " in tensor " +
                                              std::to_string(t) + " at " + std::to_string(at);
                    ASSERT_TRUE(before == kept_bytes(skipper.model)) << trace;
                    const std::vector<nopt_dimer_status> now = statuses_of(skipper.model.dimer);
                    ASSERT_TRUE(same_bits(skipper.before_step, now)) << trace;
                    for (size_t s = 0; s < now.size(); ++s) {
                        // A rotation of the update may have been refused, which says so and leaves this alone.
                        ASSERT_EQ(0, memcmp(&statuses[s].curvature, &now[s].curvature, sizeof(double))) << trace;
                    }
                    const nopt_grad_status status = status_of(skipper.model.optimizer);
                    ASSERT_EQ(1u, status.skipped) << trace;
                    ASSERT_EQ(skipped, status.skipped_steps) << trace;
                }
            }
        }
        nopt_step_state state = {};
        state.struct_size = sizeof state;
        NOPT_ASSERT_OK(nopt_optimizer_get_state(skipper.model.optimizer, &state));
        EXPECT_EQ(1, state.step);
        // The updates that were skipped have used up the search of conjugate directions: it begins anew.
        const std::vector<double> anew(statuses.size(), 0.0);
        NOPT_ASSERT_OK(
            nopt_dimer_set_conjugation(twin.model.dimer, static_cast<int64_t>(anew.size()), anew.data(), nullptr));
        for (const Where where : {kInDisplaced, kInGrad, kInDisplaced}) {
            for (Skipper* const one : {&skipper, &twin}) {
                one->step(where, 1000 + where, [](TypedBuffer&) {});
            }
            EXPECT_EQ(0u, status_of(skipper.model.optimizer).skipped);
            EXPECT_TRUE(kept_bytes(twin.model) == kept_bytes(skipper.model));
            EXPECT_TRUE(same_bits(statuses_of(twin.model.dimer), statuses_of(skipper.model.dimer)));
        }
        EXPECT_FALSE(before == kept_bytes(skipper.model));
    }
}

INSTANTIATE_TEST_SUITE_P(Dimers, SkippedSteps, testing::Combine(testing::ValuesIn(kScopes), testing::ValuesIn(kAngles)),
                         [](const testing::TestParamInfo<std::tuple<nopt_dimer_scope, nopt_dimer_angle>>& one) {
                             return std::string(std::get<0>(one.param) == NOPT_DIMER_SCOPE_GLOBAL ? "global"
                                                                                                  : "per_tensor") +
                                    "_" + name_of(std::get<1>(one.param));
                         });

// Both gradients held at once, and a rotation before the bad one: the direction stays as that has turned it.
TEST(DimerGradients, ASkippedStepKeepsWhatRotationsTurned) {
    nopt_dimer_options o = dimer_defaults();
    o.rotation_rate = 0.3;
    const nopt_hyperparams h = defaults("adam");
    DimerModel model("adam", kCounts);
    model.unbind(NOPT_ROLE_GRAD_BACKUP);
    set_options(model, grad_options(0.0, 0.0, 0.0, true));
    model.new_gradients();
    const std::vector<float> theta = model.values(NOPT_ROLE_PARAM);
    const std::vector<float> first = model.values(NOPT_ROLE_DIRECTION);
    NOPT_ASSERT_OK(model.displace(o));
    model.set_values(NOPT_ROLE_GRAD_DISPLACED, random_values(638, 4));
    NOPT_ASSERT_OK(model.rotate(o, h));
    const std::vector<float> turned = model.values(NOPT_ROLE_DIRECTION);
    EXPECT_FALSE(same_bits(first, turned));
    const std::vector<nopt_dimer_status> statuses = model.statuses();
    model.buffer(NOPT_ROLE_GRAD_DISPLACED).tensor(2)[599] = INFINITY;
    NOPT_ASSERT_OK(model.dimer_step(o, h));
    EXPECT_EQ(1u, status_of(model.optimizer).skipped);
    EXPECT_TRUE(same_bits(theta, model.values(NOPT_ROLE_PARAM)));
    EXPECT_TRUE(same_bits(turned, model.values(NOPT_ROLE_DIRECTION)));
    EXPECT_TRUE(same_bits(statuses, model.statuses()));
    EXPECT_EQ(0, state_after_work(model).step);
    // The update has ended.
    EXPECT_EQ(NOPT_ERROR_INVALID_STATE, model.restore());
    NOPT_ASSERT_OK(model.dimer_step(o, h));
    EXPECT_EQ(1, state_after_work(model).step);
}

// A scale below 1 and the correction make finite gradients infinite: g itself, the displaced one, or what is along N.
TEST(DimerGradients, AGradientThatOverflowsIsSkipped) {
    struct Large {
        double loss_scale;
        float grad;
        float displaced;  // 0: no update
        bool skips;
    };
    const Large all[] = {{1e-3, 3e38f, 0.0f, true},  {1e-3, 3e38f, 1.0f, true},  {1e-3, 1.0f, 3e38f, true},
                         {1e-3, 1e35f, 0.0f, true},  {1e-3, 5e34f, 0.0f, false}, {1e-3, 5e34f, 4e34f, false},
                         {1.0, 1e38f, 0.0f, true},   {1e10, 1e38f, 0.0f, true},  {1.0, 5e37f, 0.0f, false},
                         {1.0, 5e37f, 4e37f, false}, {1e10, 5e37f, 0.0f, false}};
    const nopt_hyperparams h = defaults("sgd");
    for (const nopt_dimer_scope scope : kScopes) {
        for (const double max_norm : {0.0, 1.0}) {
            for (const Large& one : all) {
                nopt_dimer_options o = dimer_defaults();  // alpha is 5
                o.correction = NOPT_DIMER_CORRECTION_PUBLISHED;
                DimerModel model("sgd", {37, 0, 600}, scope);
                set_options(model, grad_options(max_norm, 0.0, one.loss_scale, true));
                const std::vector<float> theta = model.values(NOPT_ROLE_PARAM);
                std::vector<float> grads(637, 0.0f);
                grads[40] = one.grad;
                model.set_values(NOPT_ROLE_GRAD, grads);
                if (one.displaced != 0.0f) {
                    NOPT_ASSERT_OK(model.displace(o));
                    grads[40] = one.displaced;
                    model.set_values(NOPT_ROLE_GRAD, grads);
                }
                NOPT_ASSERT_OK(model.dimer_step(o, h));
                EXPECT_EQ(one.skips ? 1u : 0u, status_of(model.optimizer).skipped)
                    << one.loss_scale << " " << one.grad << " " << one.displaced;
                const std::vector<float> after = model.values(NOPT_ROLE_PARAM);
                EXPECT_EQ(one.skips, same_bits(theta, after));
                for (const float param : after) {
                    ASSERT_TRUE(isfinite(param)) << one.loss_scale << " " << one.grad << " " << one.displaced;
                }
            }
        }
    }
}

// A rotation refuses a bad gradient as ever; the step goes by its own.
TEST(DimerGradients, ARefusedRotationIsNoReasonToSkip) {
    nopt_dimer_options o = dimer_defaults();
    const nopt_hyperparams h = defaults("adam");
    DimerModel model("adam", kCounts);
    set_options(model, grad_options(0.0, 0.0, 0.0, true));
    model.new_gradients();
    const std::vector<float> first = model.values(NOPT_ROLE_DIRECTION);
    NOPT_ASSERT_OK(model.displace(o));
    model.new_gradients();
    model.buffer(NOPT_ROLE_GRAD).tensor(0)[0] = NAN;
    NOPT_ASSERT_OK(model.rotate(o, h));
    EXPECT_EQ(kRefused, model.status().flags);
    EXPECT_TRUE(same_bits(first, model.values(NOPT_ROLE_DIRECTION)));
    model.new_gradients();
    NOPT_ASSERT_OK(model.dimer_step(o, h));
    EXPECT_EQ(0u, status_of(model.optimizer).skipped);
    EXPECT_EQ(0u, model.status().flags);
    EXPECT_EQ(1, state_after_work(model).step);
}

// ---- sums over ranks, and wrong calls ----

// A rank without elements of a tensor clips by the same norm.
TEST(DimerGradients, ARankWithoutElementsHasTheNorm) {
    for (const nopt_dimer_scope scope : kScopes) {
        for (const nopt_dimer_angle angle : kAngles) {
            nopt_dimer_options o = dimer_defaults();
            o.angle = angle;
            const nopt_hyperparams h = defaults("sgd");
            DimerModel whole("sgd", {3000, 20}, scope);
            DimerModel some("sgd", {3000, 0}, scope);
            DimerModel rest("sgd", {0, 20}, scope);
            DimerModel* const all[] = {&whole, &some, &rest};
            const std::vector<float> n = whole.values(NOPT_ROLE_DIRECTION);
            some.set_values(NOPT_ROLE_DIRECTION, {n.begin(), n.begin() + 3000});
            rest.set_values(NOPT_ROLE_DIRECTION, {n.begin() + 3000, n.end()});
            const auto new_gradients = [&](uint64_t seed) {
                const std::vector<float> g = random_values(3020, seed);
                whole.set_values(NOPT_ROLE_GRAD, g);
                some.set_values(NOPT_ROLE_GRAD, {g.begin(), g.begin() + 3000});
                rest.set_values(NOPT_ROLE_GRAD, {g.begin() + 3000, g.end()});
            };
            const auto each = [&](const std::function<nopt_status(DimerModel&)>& call) {
                for (DimerModel* const model : all) {
                    NOPT_ASSERT_OK(call(*model));
                }
            };
            const auto add_up = [&] {
                Vector total;
                for (DimerModel* const model : {&some, &rest}) {
                    NOPT_ASSERT_OK(
                        model->work([&] { return nopt_dimer_sum(model->dimer, NOPT_DIMER_PASS_STEP, nullptr); }));
                    const std::vector<double> sums = model->sums();
                    total = total.empty() ? sums : combined(1.0, total, 1.0, sums);
                }
                for (DimerModel* const model : {&some, &rest}) {
                    double* to = nullptr;
                    int64_t count = 0;
                    NOPT_ASSERT_OK(nopt_dimer_get_sums(model->dimer, &to, &count));
                    NOPT_ASSERT_OK(nopt_memory_copy(test_backend, 0, to, total.data(), count * 8, nullptr));
                    NOPT_ASSERT_OK(nopt_stream_synchronize(test_backend, 0, nullptr));
                }
            };
            for (DimerModel* const model : all) {
                set_options(*model, grad_options(0.1, 0.0, 4.0, true));
            }
            for (int step = 0; step < 2; ++step) {
                new_gradients(3 + static_cast<uint64_t>(step) * 10);
                if (step == 1) {
                    each([&](DimerModel& model) { return model.displace(o); });
                    new_gradients(4);
                    if (angle != NOPT_DIMER_ANGLE_FIXED_RATE) {
                        add_up();
                        each([&](DimerModel& model) { return model.rotate(o, h); });
                        new_gradients(5);
                    }
                }
                add_up();
                each([&](DimerModel& model) { return model.dimer_step(o, h); });
                const nopt_grad_status expected = status_of(whole.optimizer);
                EXPECT_LT(expected.clip_coefficient, 1.0);
                for (DimerModel* const model : {&some, &rest}) {
                    EXPECT_EQ(expected.norm, status_of(model->optimizer).norm) << scope << angle << step;
                }
                // Bad numbers on one rank skip the step of all.
                new_gradients(6);
                some.buffer(NOPT_ROLE_GRAD).tensor(0)[5] = NAN;
                add_up();
                NOPT_ASSERT_OK(some.dimer_step(o, h));
                NOPT_ASSERT_OK(rest.dimer_step(o, h));
                EXPECT_EQ(1u, status_of(some.optimizer).skipped);
                EXPECT_EQ(1u, status_of(rest.optimizer).skipped);
            }
        }
    }
}

TEST(DimerGradients, WrongCallsAreRefused) {
    nopt_dimer_options o = dimer_defaults();
    o.angle = NOPT_DIMER_ANGLE_OPTIMAL;
    const nopt_hyperparams h = defaults("adam");
    DimerModel model("adam", kCounts);
    DimerModel twin("adam", kCounts);
    const nopt_grad_options good = grad_options(0.5, 0.0, 8.0, true);
    for (DimerModel* const one : {&model, &twin}) {
        set_options(*one, good);
        one->new_gradients();
    }
    const auto refused = [&](const char* words, nopt_status status) {
        EXPECT_EQ(NOPT_ERROR_INVALID_STATE, status);
        EXPECT_NE(nullptr, strstr(nopt_last_error_message(), words)) << nopt_last_error_message();
    };

    // The sums of a step of the optimizer itself.
    NOPT_ASSERT_OK(model.work([&] { return nopt_optimizer_sum_grads(model.optimizer, nullptr); }));
    refused("nopt_optimizer_sum_grads", model.dimer_step(o, h));
    NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, nullptr));

    // Sums without the norm.
    NOPT_ASSERT_OK(model.work([&] { return nopt_dimer_sum(model.dimer, NOPT_DIMER_PASS_STEP, nullptr); }));
    NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &good));
    refused("nopt_dimer_sum came before", model.dimer_step(o, h));
    NOPT_ASSERT_OK(model.work([&] { return nopt_dimer_sum(model.dimer, NOPT_DIMER_PASS_STEP, nullptr); }));

    // What an update's rotations went by.
    for (DimerModel* const one : {&model, &twin}) {
        NOPT_ASSERT_OK(one->displace(o));
        one->new_gradients();
        NOPT_ASSERT_OK(one->rotate(o, h));
        one->new_gradients();
    }
    nopt_grad_options other = grad_options(0.5, 0.0, 16.0, true);
    NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &other));
    refused("loss_scale differs", model.rotate(o, h));
    refused("loss_scale differs", model.dimer_step(o, h));
    other = grad_options(0.0, 0.0, 8.0, false);
    NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &other));
    refused("for the norm differs", model.dimer_step(o, h));
    NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &good));

    // Nothing has changed by all that.
    for (DimerModel* const one : {&model, &twin}) {
        NOPT_ASSERT_OK(one->dimer_step(o, h));
    }
    EXPECT_TRUE(same_bits(twin.all_values(), model.all_values()));
    EXPECT_TRUE(same_bits(twin.statuses(), model.statuses()));
    EXPECT_EQ(1, state_after_work(model).step);

    // Where the device decides it has to count; the CPU does not mind.
    NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, 0, nullptr));
    if (test_backend == NOPT_BACKEND_CUDA) {
        refused("nopt_optimizer_set_capturable", model.dimer_step(o, h));
        NOPT_ASSERT_OK(model.displace(o));
        refused("nopt_optimizer_set_capturable", model.rotate(o, h));
    } else {
        NOPT_EXPECT_OK(model.dimer_step(o, h));
    }
}

}  // namespace
}  // namespace nopt_test
