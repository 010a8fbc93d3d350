// The dimer against its equations, in double and step by step.
#include <math.h>

#include <map>
#include <set>
#include <utility>

#include "support/dimer_model.h"
#include "support/dimer_reference.h"
#include "support/model_elements.h"

namespace nopt_test {
namespace {

// The tensor of each element.
std::vector<size_t> tensors_of(const std::vector<int64_t>& counts) {
    std::vector<size_t> result;
    for (size_t t = 0; t < counts.size(); ++t) {
        result.insert(result.end(), static_cast<size_t>(counts[t]), t);
    }
    return result;
}

// PARAM is the backed up parameters plus the displacement along a role's vector, two float roundings apart.
void expect_displaced(DimerModel& model, const Vector& theta, nopt_role along, double displacement) {
    const std::vector<float> direction = model.values(along);
    const std::vector<float> param = model.values(NOPT_ROLE_PARAM);
    for (size_t i = 0; i < param.size(); ++i) {
        const double step = displacement * static_cast<double>(direction[i]);
        const double expected = theta[i] + step;
        ASSERT_NEAR(expected, static_cast<double>(param[i]),
                    kHalfUlp * 1.01 * (2.0 * fabs(step) + fabs(expected)) + 1e-44)
            << "element " << i;
    }
}

// Follows a library model one step at a time: before each turn and each step the reference takes the library's own
// state, so that a bound covers one step's roundings and nothing that was fed back.
class Follower {
public:
    Follower(const Case& one, const std::vector<int64_t>& counts, nopt_dimer_scope scope, const nopt_dimer_options& o)
        : one_(one), model(one.rule, counts, scope, 0, 7), options(o), loss(counts, 0.5, 0.3, 3) {
        scopes_ = spans(counts, scope);
        tensor_ = tensors_of(counts);
        set_tensor_options(model);
        NOPT_EXPECT_OK(nopt_optimizer_get_roles(model.optimizer, &one.hyperparams, &role_mask_));
    }

    // `rotations`: beside that of the step; negative: no update.
    void step(const nopt_hyperparams& h, int rotations) {
        evaluate(loss, model);
        before_ = elements_of(model);
        Vector theta;
        for (const RuleElement<double>& element : before_) {
            theta.push_back(element.param);
        }
        gradient_ = to_double(model.values(NOPT_ROLE_GRAD));
        relative_turn_.assign(scopes_.size(), 0.0);
        direction_bound_.assign(theta.size(), 0.0);
        direction_before_ = to_double(model.values(NOPT_ROLE_DIRECTION));
        expected_direction_ = direction_before_;
        const std::vector<nopt_dimer_status> old = model.statuses();
        measured_ = measured_ || rotations >= 0;
        for (int turn = 0; turn <= rotations; ++turn) {
            if (turn == 0) {
                NOPT_ASSERT_OK(model.displace(options));
                EXPECT_TRUE(same_bits(to_float(gradient_), model.values(NOPT_ROLE_GRAD_BACKUP)));
                EXPECT_TRUE(same_bits(to_float(theta), model.values(NOPT_ROLE_PARAM_BACKUP)));
            } else {
                NOPT_ASSERT_OK(model.rotate(options, h));
                expect_turned();
                direction_before_ = to_double(model.values(NOPT_ROLE_DIRECTION));
            }
            expect_displaced(model, theta, NOPT_ROLE_DIRECTION, options.displacement);
            evaluate(loss, model);
            turn_by(h, to_double(model.values(NOPT_ROLE_GRAD)));
        }
        NOPT_ASSERT_OK(model.dimer_step(options, h));
        ++step_;
        if (rotations >= 0) {
            expect_turned();
        } else {
            EXPECT_TRUE(same_bits(to_float(direction_before_), model.values(NOPT_ROLE_DIRECTION)));
            for (size_t s = 0; s < scopes_.size(); ++s) {
                const nopt_dimer_status now = model.status(static_cast<int64_t>(s));
                EXPECT_EQ(0, memcmp(&old[s].curvature, &now.curvature, sizeof(double)));  // NaN at first
                EXPECT_EQ(old[s].angle, now.angle);
            }
        }
        expect_stepped(h);
    }

    const Case& one_;
    DimerModel model;
    nopt_dimer_options options;
    Loss loss;
    double turned = 0.0;  // the largest angle seen
    double moved = 0.0;   // the largest change of a parameter
    int loose = 0;        // elements whose bound is so wide that they say little
    int compared = 0;
    std::set<int> senses;  // of the curvatures that corrections went by: -1, 1

private:
    // What float32 does to a turn by rate: d is rounded once, and with it a and |v|; N' is rounded once. With r the
    // length of rate d beside that of v, element by element.
    void turn_by(const nopt_hyperparams& h, const Vector& displaced) {
        const bool maximize = (h.flags & NOPT_FLAG_MAXIMIZE) != 0;
        turns_.clear();
        const double rate =
            options.rotation_rate / (options.force == NOPT_DIMER_FORCE_PER_DISPLACEMENT ? options.displacement : 1.0);
        for (size_t s = 0; s < scopes_.size(); ++s) {
            const Span& span = scopes_[s];
            const Vector n = span.of(direction_before_);
            const Vector g = span.of(gradient_);
            const Vector g2 = span.of(displaced);
            turns_.push_back(turn_by_rate(options, maximize, n, g, g2));
            if (n.empty()) {
                continue;
            }
            const Vector d = combined(1.0, g2, -1.0, g);
            const double d_norm = norm(d);
            const double r = rate * d_norm / turns_[s].length;
            relative_turn_[s] = r;
            difference_norm_[s] = d_norm;
            Vector bound(n.size());
            for (size_t i = 0; i < n.size(); ++i) {
                bound[i] = 1.1 * kHalfUlp *
                           ((1.0 + r) * fabs(turns_[s].direction[i]) +
                            (rate * fabs(d[i]) + rate * d_norm * fabs(n[i])) / turns_[s].length);
            }
            span.put(direction_bound_, bound);
            span.put(expected_direction_, turns_[s].direction);
        }
    }

    void expect_turned() {
        const std::vector<float> direction = model.values(NOPT_ROLE_DIRECTION);
        for (size_t i = 0; i < direction.size(); ++i) {
            ASSERT_NEAR(expected_direction_[i], static_cast<double>(direction[i]), direction_bound_[i] + 1e-44)
                << "element " << i << " step " << step_;
        }
        for (size_t s = 0; s < scopes_.size(); ++s) {
            const nopt_dimer_status status = model.status(static_cast<int64_t>(s));
            if (scopes_[s].begin == scopes_[s].end) {
                continue;
            }
            EXPECT_EQ(0u, status.flags);
            const Turned& expected = turns_[s];
            // |N| is 1 to a rounding or two.
            EXPECT_NEAR(expected.curvature, status.curvature,
                        1.1 * kHalfUlp * difference_norm_[s] * 1.001 / options.displacement);
            EXPECT_NEAR(expected.angle, status.angle, 3e-7 * (relative_turn_[s] + expected.angle) + 1e-12);
            turned = fmax(turned, expected.angle);
        }
    }

    void expect_stepped(const nopt_hyperparams& h) {
        Vector g = gradient_;
        Vector g_bound(g.size());
        for (size_t s = 0; s < scopes_.size(); ++s) {
            const Span& span = scopes_[s];
            const nopt_dimer_status status = model.status(static_cast<int64_t>(s));
            EXPECT_EQ(step_, status.step);
            if (span.begin == span.end) {
                continue;
            }
            const Vector n = span.of(expected_direction_);
            const Vector own = span.of(gradient_);
            const double along = dot(own, n);
            const double along_bound = norm(own) * (4e-7 * relative_turn_[s] + 1e-12);
            EXPECT_NEAR(along, status.grad_dot_direction, along_bound);
            const bool escape = options.correction == NOPT_DIMER_CORRECTION_ESCAPE;
            if (escape && measured_) {
                // So near to 0 that the reference might decide otherwise: another seed is needed.
                EXPECT_GT(fabs(status.curvature), 1e-6 * difference_norm_[s] / options.displacement);
                senses.insert(status.curvature < 0.0 ? -1 : 1);
            }
            const Vector expected = corrected(options, status.curvature, n, own);
            span.put(g, expected);
            const double alpha = escape && !(status.curvature < 0.0) ? 0.0 : options.alpha;
            for (size_t i = 0; i < n.size(); ++i) {
                // Roundings of the factor, of N, of the product and of the difference.
                g_bound[span.begin + i] =
                    1.1 * kHalfUlp * (3.0 * alpha * fabs(along * n[i]) + fabs(expected[i])) +
                    alpha * (along_bound * fabs(n[i]) + fabs(along) * direction_bound_[span.begin + i]);
            }
        }
        const std::vector<RuleElement<double>> got = elements_of(model);
        for (size_t i = 0; i < g.size(); ++i) {
            const RuleStep step(one_.rule, h, step_, lr(h) * lr_scale_of(tensor_[i]),
                                weight_decay_of(tensor_[i], weight_decay(h)));
            const StepBounds expected(before_[i], g[i], g_bound[i], step);
            for (const nopt_role role : model.written()) {
                if ((role_mask_ >> role & 1u) == 0) {
                    continue;
                }
                const double old = before_[i].at(role);
                const double now = expected.value(role);
                const double bound = expected.bound(role);
                ASSERT_NEAR(now, got[i].at(role), bound) << "role " << role << " element " << i << " step " << step_;
                if (role == NOPT_ROLE_PARAM) {
                    moved = fmax(moved, fabs(now - old));
                    loose += bound > 1e-6 ? 1 : 0;
                    ++compared;
                }
            }
        }
    }

    std::vector<Span> scopes_;
    std::vector<size_t> tensor_;
    uint32_t role_mask_ = 0;
    int64_t step_ = 0;
    bool measured_ = false;  // the curvatures

    // Of the step in progress.
    std::vector<RuleElement<double>> before_;
    Vector gradient_;
    Vector direction_before_;
    Vector expected_direction_;
    Vector direction_bound_;
    std::vector<Turned> turns_;
    std::map<size_t, double> difference_norm_;
    Vector relative_turn_;
};

void follow(const Case& one, const std::vector<int64_t>& counts, nopt_dimer_scope scope, const nopt_dimer_options& o,
            int steps) {
    Follower follower(one, counts, scope, o);
    nopt_hyperparams h = one.hyperparams;
    for (int step = 1; step <= steps; ++step) {
        lr(h) = lr(one.hyperparams) * (1.0 + 0.1 * (step % 4));
        // Cached first: the direction as it was set up. Then updates of one and of two turns.
        follower.step(h, step % 3 != 2 ? -1 : step == 5 ? 1 : 0);
        if (testing::Test::HasFatalFailure()) {
            return;
        }
    }
    EXPECT_GT(follower.turned, 0.05) << "the dimer hardly turns, so this test sees little of it";
    EXPECT_GT(follower.moved, 1e-4) << "the steps are too small for this test to see anything";
    EXPECT_LT(follower.loose, 0.02 * follower.compared);
    if (o.correction == NOPT_DIMER_CORRECTION_ESCAPE && scope == NOPT_DIMER_SCOPE_PER_TENSOR) {
        EXPECT_EQ(2u, follower.senses.size()) << "not both signs of the curvature were met";
    }
    EXPECT_TRUE(follower.model.intact());
}

std::vector<nopt_dimer_options> option_matrix() {
    std::vector<nopt_dimer_options> result;
    for (int i = 0; i < 8; ++i) {
        nopt_dimer_options o = dimer_defaults();
        o.rotation = i & 1;
        o.force = i >> 1 & 1;
        o.correction = i >> 2;
        o.displacement = 0.05;
        o.rotation_rate = o.force == NOPT_DIMER_FORCE_DIFFERENCE ? 4.0 : 0.25;
        result.push_back(o);
    }
    return result;
}

class DimerRules : public testing::TestWithParam<Case> {};

TEST_P(DimerRules, FollowTheEquations) {
    for (const nopt_dimer_scope scope : kScopes) {
        for (const nopt_dimer_options& o : option_matrix()) {
            SCOPED_TRACE(name_of(scope, o));
            follow(GetParam(), {37, 0, 600, 1}, scope, o, 5);
            if (HasFatalFailure()) {
                return;
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Rules, DimerRules, testing::ValuesIn(all_cases()),
                         [](const testing::TestParamInfo<Case>& one) { return one.param.name; });

TEST(Dimer, FollowsTheEquationsOverSeveralChunks) {
    const Case adam = {"adam", "adam", defaults("adam")};
    for (const nopt_dimer_scope scope : kScopes) {
        nopt_dimer_options o = option_matrix()[0];
        o.rotation_rate = 10.0;
        follow(adam, {20000, 33}, scope, o, 5);
    }
}

// All of it in double, from the library's own start, never looking at the library again.
class FreeRun {
public:
    FreeRun(DimerModel& model, const std::string& rule, nopt_dimer_scope scope,
            std::function<Vector(const Vector&)> gradient)
        : rule_(rule), gradient_(std::move(gradient)) {
        scopes_ = spans(model.counts(), scope);
        tensor_ = tensors_of(model.counts());
        elements_ = elements_of(model);
        direction = to_double(model.values(NOPT_ROLE_DIRECTION));
        for (const Span& span : scopes_) {  // of length 1 but for the rounding to float
            const Vector n = span.of(direction);
            span.put(direction, scaled(n, n.empty() ? 0.0 : 1.0 / norm(n)));
        }
        turns.resize(scopes_.size());
        searches_.resize(scopes_.size());
    }

    Vector param() const {
        Vector result;
        for (const RuleElement<double>& element : elements_) {
            result.push_back(element.param);
        }
        return result;
    }

    // `turn_count`: 0 is a step without an update.
    void step(const nopt_dimer_options& o, const nopt_hyperparams& h, int turn_count) {
        ++step_;
        const bool maximize = (h.flags & NOPT_FLAG_MAXIMIZE) != 0;
        const Vector theta = param();
        const Vector g = gradient_(theta);
        for (int turn = 0; turn < turn_count; ++turn) {
            const Vector g_n = gradient_(combined(1.0, theta, o.displacement, direction));
            Vector t(theta.size(), 0.0);
            for (size_t s = 0; s < scopes_.size(); ++s) {
                const Span& span = scopes_[s];
                const Vector difference = combined(1.0, span.of(g_n), -1.0, span.of(g));
                span.put(t, o.angle == NOPT_DIMER_ANGLE_CONJUGATE
                                ? searches_[s].plane_of(span.of(direction), difference)
                                : plane(span.of(direction), difference));
            }
            const Vector g_t = gradient_(combined(1.0, theta, o.displacement, t));
            for (size_t s = 0; s < scopes_.size(); ++s) {
                const Span& span = scopes_[s];
                const Vector own = span.of(g);
                turns[s] = o.angle == NOPT_DIMER_ANGLE_FIXED_RATE
                               ? turn_by_rate(o, maximize, span.of(direction), own, span.of(g_n))
                               : turn_to_best_angle(o, maximize, span.of(direction), span.of(t),
                                                    combined(1.0, span.of(g_n), -1.0, own),
                                                    combined(1.0, span.of(g_t), -1.0, own));
                if (o.angle == NOPT_DIMER_ANGLE_CONJUGATE) {
                    searches_[s].turned(turns[s].direction, span.of(direction), span.of(t),
                                        combined(1.0, span.of(g_n), -1.0, own), combined(1.0, span.of(g_t), -1.0, own));
                }
            }
            for (size_t s = 0; s < scopes_.size(); ++s) {
                scopes_[s].put(direction, turns[s].direction);
            }
        }
        grad_dot_direction.clear();
        Vector g_mod = g;
        for (size_t s = 0; s < scopes_.size(); ++s) {
            const Span& span = scopes_[s];
            grad_dot_direction.push_back(dot(span.of(g), span.of(direction)));
            span.put(g_mod, corrected(o, turns[s].curvature, span.of(direction), span.of(g)));
        }
        for (size_t i = 0; i < elements_.size(); ++i) {
            elements_[i].grad = g_mod[i];
            step_reference(elements_[i], RuleStep(rule_, h, step_, lr(h) * lr_scale_of(tensor_[i]),
                                                  weight_decay_of(tensor_[i], weight_decay(h))));
        }
    }

    Vector direction;
    std::vector<Turned> turns;
    Vector grad_dot_direction;

private:
    std::string rule_;
    std::function<Vector(const Vector&)> gradient_;
    std::vector<Span> scopes_;
    std::vector<size_t> tensor_;
    std::vector<ConjugateSearch> searches_;
    std::vector<RuleElement<double>> elements_;
    int step_ = 0;
};

void expect_near(const FreeRun& reference, DimerModel& model, double bound, double curvature_bound) {
    EXPECT_LT(largest_difference(reference.param(), model.values(NOPT_ROLE_PARAM)), bound);
    EXPECT_LT(largest_difference(reference.direction, model.values(NOPT_ROLE_DIRECTION)), bound);
    for (size_t s = 0; s < reference.turns.size(); ++s) {
        const nopt_dimer_status status = model.status(static_cast<int64_t>(s));
        const bool empty = reference.turns[s].direction.empty();
        EXPECT_EQ(0u, status.flags) << s;
        if (!empty) {
            EXPECT_NEAR(reference.turns[s].curvature, status.curvature, curvature_bound) << s;
            EXPECT_NEAR(reference.turns[s].angle, status.angle, bound) << s;
            EXPECT_NEAR(reference.grad_dot_direction[s], status.grad_dot_direction, 10 * bound) << s;
        }
    }
}

// Every turn of an update against the lowest point of C(phi), found by trying angles. On a quadratic the extrapolated
// gradients of all turns after the first are the true ones.
TEST(Dimer, TurnsToTheBestAngle) {
    const std::vector<int64_t> counts = {37, 0, 200, 1};
    for (const nopt_dimer_scope scope : kScopes) {
        for (const nopt_dimer_rotation rotation :
             {NOPT_DIMER_ROTATION_MINIMUM_CURVATURE, NOPT_DIMER_ROTATION_MAXIMUM_CURVATURE}) {
            for (const uint32_t flags : {0u, static_cast<uint32_t>(NOPT_FLAG_MAXIMIZE)}) {
                for (int run = 0; run < 6; ++run) {
                    const int turns = 1 + run / 2;
                    nopt_dimer_options o = dimer_defaults();
                    o.rotation = rotation;
                    o.angle = kBestAngles[run % 2];
                    o.displacement = 1.0;
                    SCOPED_TRACE(name_of(scope, o) + " flags " + std::to_string(flags) + " turns " +
                                 std::to_string(turns));
                    nopt_hyperparams h = defaults("sgd");
                    h.flags = flags;
                    // Tensors turn at once: a scope's curvature is its own only where they are not coupled.
                    const Loss loss(counts, scope == NOPT_DIMER_SCOPE_GLOBAL ? 0.5 : 0.0, 0.0, 5);
                    DimerModel model("sgd", counts, scope);
                    set_tensor_options(model);
                    shrink_params(model, 0.1);
                    FreeRun reference(model, "sgd", scope, [&](const Vector& x) { return loss.gradient(x); });
                    reference.step(o, h, turns);
                    EXPECT_EQ(2 + turns, library_step(model, loss, o, h, turns));
                    EXPECT_EQ(1, model.status().step);
                    EXPECT_GT(model.status().angle, 0.05);
                    // A displacement of 1 makes differences of the gradients' own size, 1e-7 exact; the angle is as
                    // exact as the curvatures are, over how much they differ, which is about 1 in all cases.
                    expect_near(reference, model, 1e-6, 2e-6);
                    EXPECT_TRUE(model.intact());
                }
            }
        }
    }
}

// ... and where the curvature changes along the way, as far as one turn goes.
TEST(Dimer, TurnsToTheBestAngleOfAnyLoss) {
    const std::vector<int64_t> counts = {37, 0, 700, 1};
    for (const nopt_dimer_scope scope : kScopes) {
        nopt_dimer_options o = dimer_defaults();
        o.angle = NOPT_DIMER_ANGLE_OPTIMAL;
        o.displacement = 1.0;
        const Loss loss(counts, 0.5, 0.3, 6);
        DimerModel model("adam", counts, scope);
        set_tensor_options(model);
        shrink_params(model, 0.1);
        nopt_hyperparams h = defaults("adam");
        value(h, "adam", "eps") = 0.1;  // so that a small gradient's error stays small
        FreeRun reference(model, "adam", scope, [&](const Vector& x) { return loss.gradient(x); });
        reference.step(o, h, 1);
        library_step(model, loss, o, h, 1);
        expect_near(reference, model, 1e-6, 2e-6);
    }
}

// Many steps with nothing brought back into line on the way.
TEST(Dimer, RunsAlongsideItsReference) {
    const std::vector<int64_t> counts = {37, 0, 200, 1};
    for (const nopt_dimer_scope scope : kScopes) {
        for (const nopt_dimer_angle angle : kAngles) {
            for (const std::string rule : {"sgd", "adam", "dualadam"}) {
                nopt_dimer_options o = dimer_defaults();
                o.angle = angle;
                o.displacement = 0.5;
                o.force = NOPT_DIMER_FORCE_PER_DISPLACEMENT;
                o.rotation_rate = 0.1;
                o.alpha = 1.5;
                SCOPED_TRACE(rule + " " + name_of(scope, o));
                nopt_hyperparams h = defaults(rule);
                lr(h) = rule == "sgd" ? 0.002 : 0.01;
                value(h, rule, rule == "sgd" ? "momentum" : "eps") = rule == "sgd" ? 0.9 : 0.1;
                const Loss loss(counts, 0.5, 0.3, 8);
                DimerModel model(rule, counts, scope);
                set_tensor_options(model);
                shrink_params(model, 0.3);
                FreeRun reference(model, rule, scope, [&](const Vector& x) { return loss.gradient(x); });
                const Vector start = reference.param();
                for (int step = 0; step < 40; ++step) {
                    reference.step(o, h, step % 5 == 0 ? 1 : 0);
                    library_step(model, loss, o, h, step % 5 == 0 ? 1 : 0);
                }
                const double distance = norm(combined(1.0, reference.param(), -1.0, start));
                EXPECT_GT(distance, 0.1);
                // 40 roundings of numbers below 1, 6e-8 each, and the same from 8 turns; the loss curves so little
                // that a difference grows by less than a tenth from step to step.
                EXPECT_LT(largest_difference(reference.param(), model.values(NOPT_ROLE_PARAM)), 2e-6);
                EXPECT_LT(largest_difference(reference.direction, model.values(NOPT_ROLE_DIRECTION)), 2e-6);
            }
        }
    }
}

}  // namespace
}  // namespace nopt_test
