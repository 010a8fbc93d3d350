// The dimer: against its equations in double, on quadratics with known eigenvalues, the same bits everywhere, and what
// it makes of degenerate input and of wrong calls.
#include <float.h>
#include <math.h>
#include <stdio.h>

#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <utility>

#include "numerics/philox.h"
#include "support/dimer_model.h"
#include "support/dimer_reference.h"
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

constexpr nopt_dimer_scope kScopes[] = {NOPT_DIMER_SCOPE_GLOBAL, NOPT_DIMER_SCOPE_PER_TENSOR};
constexpr nopt_dimer_angle kAngles[] = {NOPT_DIMER_ANGLE_FIXED_RATE, NOPT_DIMER_ANGLE_OPTIMAL};
constexpr uint32_t kRefused = NOPT_DIMER_STATUS_ROTATION_REFUSED;
constexpr uint32_t kSkipped = NOPT_DIMER_STATUS_CORRECTION_SKIPPED;
constexpr double kHalfUlp = 0x1p-24;  // of a float, relative

// ---- against the equations ----

// Per-tensor options that the tests with a reference use.
double lr_scale_of(size_t tensor) { return tensor == 2 ? 0.25 : tensor == 3 ? 3.0 : 1.0; }
double weight_decay_of(size_t tensor, double own) { return tensor == 2 ? 0.1 : tensor == 3 ? 0.0 : own; }

void set_tensor_options(Model& model) {
    std::vector<double> lr_scale;
    std::vector<double> weight_decay;
    for (size_t t = 0; t < model.counts().size(); ++t) {
        lr_scale.push_back(lr_scale_of(t));
        weight_decay.push_back(weight_decay_of(t, NOPT_INHERIT));
    }
    NOPT_ASSERT_OK(nopt_param_set_set_lr_scale(model.set, model.tensor_count(), lr_scale.data()));
    NOPT_ASSERT_OK(nopt_param_set_set_weight_decay(model.set, model.tensor_count(), weight_decay.data()));
}

// The tensor of each element.
std::vector<size_t> tensors_of(const std::vector<int64_t>& counts) {
    std::vector<size_t> result;
    for (size_t t = 0; t < counts.size(); ++t) {
        result.insert(result.end(), static_cast<size_t>(counts[t]), t);
    }
    return result;
}

struct Field {
    nopt_role role;
    double RuleReference::*value;
};
constexpr Field kFields[] = {{NOPT_ROLE_PARAM, &RuleReference::param},
                             {NOPT_ROLE_EXP_AVG, &RuleReference::exp_avg},
                             {NOPT_ROLE_EXP_AVG_SQ, &RuleReference::exp_avg_sq},
                             {NOPT_ROLE_MAX_EXP_AVG_SQ, &RuleReference::max_exp_avg_sq},
                             {NOPT_ROLE_MOMENTUM_BUFFER, &RuleReference::momentum_buffer}};

std::vector<RuleReference> rule_states(Model& model) {
    std::vector<RuleReference> result(model.buffer(NOPT_ROLE_PARAM).values().size());
    for (const Field& field : kFields) {
        const std::vector<float> values = model.buffer(field.role).values();
        for (size_t i = 0; i < result.size(); ++i) {
            result[i].*field.value = static_cast<double>(values[i]);
        }
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
        : one_(one), model(one.rule.c_str(), counts, scope, 0, 7), options(o), loss(counts, 0.5, 0.3, 3) {
        scopes_ = spans(counts, scope);
        tensor_ = tensors_of(counts);
        set_tensor_options(model);
        NOPT_EXPECT_OK(nopt_optimizer_get_roles(model.optimizer, &one.hyperparams, &role_mask_));
    }

    // `rotations`: beside that of the step; negative: no update.
    void step(const nopt_hyperparams& h, int rotations) {
        evaluate(loss, model);
        before_ = rule_states(model);
        Vector theta;
        for (const RuleReference& element : before_) {
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
        std::map<nopt_role, std::vector<float>> got;
        for (const Field& field : kFields) {
            got[field.role] = model.values(field.role);
        }
        for (size_t i = 0; i < g.size(); ++i) {
            const double lr = h.lr * lr_scale_of(tensor_[i]);
            const double decay = weight_decay_of(tensor_[i], h.weight_decay);
            RuleReference expected[3] = {before_[i], before_[i], before_[i]};
            for (int k = 0; k < 3; ++k) {
                expected[k].step(one_.rule, h, g[i] + (k - 1) * g_bound[i], static_cast<int>(step_), lr, decay);
            }
            for (const Field& field : kFields) {
                if ((role_mask_ >> field.role & 1u) == 0) {
                    continue;
                }
                const double old = before_[i].*field.value;
                const double now = expected[1].*field.value;
                // What the uncertain gradient can do, twice, since the rule is not linear in it.
                const double spread =
                    2.0 * fmax(fabs(expected[0].*field.value - now), fabs(expected[2].*field.value - now));
                // The roundings of the rule itself, as in the tests of the rules.
                const double bound = field.role == NOPT_ROLE_PARAM
                                         ? spread + fabs(now) * 1.2e-7 + fabs(now - old) * 2e-6 + 3e-8
                                         : spread + 3e-7 * (fabs(old) + fabs(now) + fabs(g[i]));
                ASSERT_NEAR(now, static_cast<double>(got[field.role][i]), bound)
                    << "role " << field.role << " element " << i << " step " << step_;
                if (field.role == NOPT_ROLE_PARAM) {
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
    std::vector<RuleReference> before_;
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
        h.lr = one.hyperparams.lr * (1.0 + 0.1 * (step % 4));
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

std::string name_of(nopt_dimer_scope scope, const nopt_dimer_options& o) {
    char text[96];
    snprintf(text, sizeof text, "scope %d rotation %d force %d angle %d correction %d", static_cast<int>(scope),
             o.rotation, o.force, o.angle, o.correction);
    return text;
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
        states_ = rule_states(model);
        direction = to_double(model.values(NOPT_ROLE_DIRECTION));
        for (const Span& span : scopes_) {  // of length 1 but for the rounding to float
            const Vector n = span.of(direction);
            span.put(direction, scaled(n, n.empty() ? 0.0 : 1.0 / norm(n)));
        }
        turns.resize(scopes_.size());
    }

    Vector param() const {
        Vector result;
        for (const RuleReference& element : states_) {
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
            for (const Span& span : scopes_) {
                span.put(t, plane(span.of(direction), combined(1.0, span.of(g_n), -1.0, span.of(g))));
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
        for (size_t i = 0; i < states_.size(); ++i) {
            states_[i].step(rule_, h, g_mod[i], step_, h.lr * lr_scale_of(tensor_[i]),
                            weight_decay_of(tensor_[i], h.weight_decay));
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
    std::vector<RuleReference> states_;
    int step_ = 0;
};

// The library's calls of one step with `turn_count` turns; 0 is a step without an update. Returns how many gradients it
// took.
template <class AnyLoss>
int library_step(DimerModel& model, const AnyLoss& loss, const nopt_dimer_options& o, const nopt_hyperparams& h,
                 int turn_count) {
    int gradients = 1;
    evaluate(loss, model);
    if (turn_count > 0) {
        NOPT_EXPECT_OK(model.displace(o));
        evaluate(loss, model);
        ++gradients;
        const int rotations = o.angle == NOPT_DIMER_ANGLE_OPTIMAL ? turn_count : turn_count - 1;
        for (int i = 0; i < rotations; ++i) {
            NOPT_EXPECT_OK(model.rotate(o, h));
            evaluate(loss, model);
            ++gradients;
        }
    }
    NOPT_EXPECT_OK(model.dimer_step(o, h));
    return gradients;
}

double largest_difference(const Vector& a, const std::vector<float>& b) {
    double largest = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
        largest = fmax(largest, fabs(a[i] - static_cast<double>(b[i])));
    }
    return largest;
}

// Parameters near 0, so that displaced ones round little.
void shrink_params(DimerModel& model, double factor) {
    model.set_values(NOPT_ROLE_PARAM, to_float(scaled(to_double(model.values(NOPT_ROLE_PARAM)), factor)));
}

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
                for (int turns = 1; turns <= 3; ++turns) {
                    nopt_dimer_options o = dimer_defaults();
                    o.rotation = rotation;
                    o.angle = NOPT_DIMER_ANGLE_OPTIMAL;
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
        h.eps = 0.1;  // so that a small gradient's error stays small
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
                nopt_hyperparams h = defaults(rule.c_str());
                h.lr = rule == "sgd" ? 0.002 : 0.01;
                h.momentum = rule == "sgd" ? 0.9 : 0.0;
                h.eps = rule == "sgd" ? 0.0 : 0.1;
                const Loss loss(counts, 0.5, 0.3, 8);
                DimerModel model(rule.c_str(), counts, scope);
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

// ---- quadratics with known eigenvalues ----

// H = Q diag(-1 ... 10) Q^T with a random orthogonal Q.
class Quadratic {
public:
    static constexpr int kSize = 200;

    explicit Quadratic(uint64_t seed) {
        Random random(seed);
        std::vector<Vector> q;
        for (int k = 0; k < kSize; ++k) {
            Vector v(kSize);
            for (double& x : v) {
                x = static_cast<double>(random.value());
            }
            for (int pass = 0; pass < 2; ++pass) {  // Gram-Schmidt; the second pass takes out what the first left
                for (const Vector& other : q) {
                    v = combined(1.0, v, -dot(v, other), other);
                }
            }
            q.push_back(scaled(v, 1.0 / norm(v)));
        }
        hessian_.assign(kSize, Vector(kSize, 0.0));
        for (int k = 0; k < kSize; ++k) {
            const double eigenvalue = -1.0 + 11.0 * k / (kSize - 1);
            for (size_t i = 0; i < kSize; ++i) {
                const double factor = eigenvalue * q[static_cast<size_t>(k)][i];
                for (size_t j = 0; j < kSize; ++j) {
                    hessian_[i][j] += factor * q[static_cast<size_t>(k)][j];
                }
            }
        }
        smallest = q.front();
        largest = q.back();
    }

    Vector gradient(const Vector& x) const {
        Vector g;
        for (const Vector& row : hessian_) {
            g.push_back(dot(row, x));
        }
        return g;
    }

    Vector smallest;  // eigenvectors
    Vector largest;

private:
    std::vector<Vector> hessian_;
};

// A model that stands still near 0: the learning rate is 0, and only the direction moves.
class Standing {
public:
    explicit Standing(uint64_t seed)
        : model("sgd", {Quadratic::kSize}, NOPT_DIMER_SCOPE_GLOBAL, 0, seed), h(defaults("sgd")) {
        shrink_params(model, 1e-3);
        h.lr = 0.0;
    }

    double alignment(const Vector& eigenvector) {
        return fabs(dot(to_double(model.values(NOPT_ROLE_DIRECTION)), eigenvector));
    }

    DimerModel model;
    nopt_hyperparams h;
};

struct Found {
    int turns;      // until the direction was the eigenvector, |N.q| >= 0.99
    int gradients;  // that these took, of one update at one place
    double curvature;
};

// Turns within one update until the direction is there.
Found turn_until_aligned(const Quadratic& quadratic, uint64_t seed, const nopt_dimer_options& o) {
    constexpr int kMost = 2000;
    Standing standing(seed);
    DimerModel& model = standing.model;
    const Vector& target = o.rotation == NOPT_DIMER_ROTATION_MAXIMUM_CURVATURE ? quadratic.largest : quadratic.smallest;
    evaluate(quadratic, model);
    NOPT_EXPECT_OK(model.displace(o));
    evaluate(quadratic, model);
    int gradients = 2;
    if (o.angle == NOPT_DIMER_ANGLE_OPTIMAL) {  // the plane
        NOPT_EXPECT_OK(model.rotate(o, standing.h));
        evaluate(quadratic, model);
        ++gradients;
    }
    for (int turn = 1; turn <= kMost; ++turn) {
        NOPT_EXPECT_OK(model.rotate(o, standing.h));
        evaluate(quadratic, model);
        if (standing.alignment(target) >= 0.99) {
            // The fixed rate measures before it turns: once more, for the curvature of what it turned to.
            NOPT_EXPECT_OK(model.dimer_step(o, standing.h));
            return {turn, gradients, model.status().curvature};
        }
        ++gradients;
    }
    ADD_FAILURE() << "not there after " << kMost << " turns: " << standing.alignment(target);
    return {0, 0, 0.0};
}

TEST(DimerQuadratic, FindsTheEigenvector) {
    for (const uint64_t seed : {11u, 12u, 13u}) {
        const Quadratic quadratic(seed);
        for (const bool maximum : {false, true}) {
            int gradients[2];
            for (const nopt_dimer_angle angle : kAngles) {
                nopt_dimer_options o = dimer_defaults();
                o.rotation = maximum ? NOPT_DIMER_ROTATION_MAXIMUM_CURVATURE : NOPT_DIMER_ROTATION_MINIMUM_CURVATURE;
                o.force = NOPT_DIMER_FORCE_PER_DISPLACEMENT;
                o.angle = angle;
                o.rotation_rate = 0.1;
                const Found found = turn_until_aligned(quadratic, seed, o);
                gradients[angle] = found.gradients;
                const double expected = maximum ? 10.0 : -1.0;
                EXPECT_NEAR(expected, found.curvature, 0.01 * fabs(expected));
                const std::string name = std::string(angle == NOPT_DIMER_ANGLE_OPTIMAL ? "optimal" : "fixed") +
                                         (maximum ? "_maximum_" : "_minimum_") + std::to_string(seed);
                RecordProperty("gradients_" + name, found.gradients);
                printf("%s: %d turns, %d gradients, curvature %.4f\n", name.c_str(), found.turns, found.gradients,
                       found.curvature);
            }
            // The best angle is never the slower one here.
            EXPECT_LE(gradients[NOPT_DIMER_ANGLE_OPTIMAL], gradients[NOPT_DIMER_ANGLE_FIXED_RATE]);
        }
    }
}

// One turn for each step, as training has it.
TEST(DimerQuadratic, FindsTheEigenvectorFromStepToStep) {
    for (const uint64_t seed : {11u, 12u, 13u}) {
        const Quadratic quadratic(seed);
        for (const nopt_dimer_angle angle : kAngles) {
            nopt_dimer_options o = dimer_defaults();
            o.force = NOPT_DIMER_FORCE_PER_DISPLACEMENT;
            o.angle = angle;
            o.rotation_rate = 0.1;
            Standing standing(seed);
            const std::vector<float> theta = standing.model.values(NOPT_ROLE_PARAM);
            int gradients = 0;
            int steps = 0;
            while (standing.alignment(quadratic.smallest) < 0.99 && steps < 2000) {
                gradients += library_step(standing.model, quadratic, o, standing.h, 1);
                ++steps;
            }
            EXPECT_GE(standing.alignment(quadratic.smallest), 0.99);
            library_step(standing.model, quadratic, o, standing.h, 1);
            EXPECT_NEAR(-1.0, standing.model.status().curvature, 0.01);
            EXPECT_NEAR(1.0, norm(to_double(standing.model.values(NOPT_ROLE_DIRECTION))), 1e-6);
            EXPECT_TRUE(same_bits(theta, standing.model.values(NOPT_ROLE_PARAM)));
            const std::string name =
                std::string(angle == NOPT_DIMER_ANGLE_OPTIMAL ? "optimal_" : "fixed_") + std::to_string(seed);
            RecordProperty("step_gradients_" + name, gradients);
            printf("%s: %d steps, %d gradients\n", name.c_str(), steps, gradients);
        }
    }
}

// The published force is in proportion to the displacement; at the published rate it turns very little.
TEST(DimerQuadratic, PublishedForceHardlyTurns) {
    for (const uint64_t seed : {11u, 12u, 13u}) {
        const Quadratic quadratic(seed);
        Standing standing(seed);
        const nopt_dimer_options o = dimer_defaults();
        const Vector start = to_double(standing.model.values(NOPT_ROLE_DIRECTION));
        ASSERT_LT(standing.alignment(quadratic.smallest), 0.3);
        for (int step = 0; step < 200; ++step) {
            library_step(standing.model, quadratic, o, standing.h, 1);
        }
        EXPECT_LT(standing.alignment(quadratic.smallest), 0.5);
        // 200 turns of 1e-3 * 1e-2 * |H N|, at most 10, are at most 0.02; it does turn, though.
        const double angle = angle_between(start, to_double(standing.model.values(NOPT_ROLE_DIRECTION)));
        EXPECT_LT(angle, 0.02);
        EXPECT_GT(angle, 1e-3);
    }
}

// The direction once found stays found, and stays of length 1: the force is then nothing but rounding.
TEST(DimerQuadratic, KeepsTheEigenvector) {
    const Quadratic quadratic(11);
    for (const nopt_dimer_angle angle : kAngles) {
        for (const bool maximum : {false, true}) {
            nopt_dimer_options o = dimer_defaults();
            o.rotation = maximum ? NOPT_DIMER_ROTATION_MAXIMUM_CURVATURE : NOPT_DIMER_ROTATION_MINIMUM_CURVATURE;
            o.force = NOPT_DIMER_FORCE_PER_DISPLACEMENT;
            o.angle = angle;
            o.rotation_rate = 0.1;
            SCOPED_TRACE(name_of(NOPT_DIMER_SCOPE_GLOBAL, o));
            const Vector& target = maximum ? quadratic.largest : quadratic.smallest;
            Standing standing(11);
            standing.model.set_values(NOPT_ROLE_DIRECTION, to_float(target));
            for (int step = 0; step < 50; ++step) {
                library_step(standing.model, quadratic, o, standing.h, 1 + step % 3);
                EXPECT_NEAR(1.0, norm(to_double(standing.model.values(NOPT_ROLE_DIRECTION))), 1e-6);
                EXPECT_NEAR(1.0, standing.alignment(target), 1e-6);
                EXPECT_NEAR(maximum ? 10.0 : -1.0, standing.model.status().curvature, 1e-4);
            }
        }
    }
}

// Where the loss curves alike in all directions there is no force, and every direction is as good.
TEST(DimerQuadratic, KeepsTheDirectionWithoutAForce) {
    struct Bowl {
        double curvature;
        Vector gradient(const Vector& x) const { return scaled(x, curvature); }
    };
    for (const nopt_dimer_angle angle : kAngles) {
        for (const double curvature : {1.0, 2.0, 3.7, 0.1, -1.3}) {
            for (const int64_t size : {1, 2, 7, 1000}) {
                for (int turns = 1; turns <= 3; ++turns) {
                    nopt_dimer_options o = dimer_defaults();
                    o.angle = angle;
                    o.rotation_rate = 1.0;
                    DimerModel model("sgd", {size});
                    nopt_hyperparams h = defaults("sgd");
                    h.lr = 0.0;
                    model.set_values(NOPT_ROLE_PARAM, std::vector<float>(static_cast<size_t>(size), 0.0f));
                    const Vector start = to_double(model.values(NOPT_ROLE_DIRECTION));
                    library_step(model, Bowl{curvature}, o, h, turns);
                    const Vector now = to_double(model.values(NOPT_ROLE_DIRECTION));
                    SCOPED_TRACE(name_of(NOPT_DIMER_SCOPE_GLOBAL, o) + " curvature " + std::to_string(curvature) +
                                 " size " + std::to_string(size) + " turns " + std::to_string(turns));
                    EXPECT_EQ(0u, model.status().flags);
                    EXPECT_NEAR(1.0, norm(now), 1e-6);
                    EXPECT_NEAR(curvature, model.status().curvature, 1e-6 * fabs(curvature));
                }
            }
        }
    }
}

// ---- the same bits everywhere ----

struct BitsRun {
    std::vector<float> values;
    std::vector<nopt_dimer_status> statuses;
};

// Gradients made once for all runs.
std::vector<GuardedBuffer>& bits_gradients(const std::vector<int64_t>& counts, int64_t misalign) {
    static std::map<std::pair<std::vector<int64_t>, int64_t>, std::vector<GuardedBuffer>> made;
    std::vector<GuardedBuffer>& gradients = made[{counts, misalign}];
    Random random(99);
    while (gradients.size() < 5) {
        gradients.emplace_back(counts, misalign);
        gradients.back().fill(random);
    }
    return gradients;
}

// Six steps: updates of one and of two turns, and cached ones, with every option at some time.
BitsRun run_bits(const char* rule, const std::vector<int64_t>& counts, nopt_dimer_scope scope, nopt_dimer_angle angle,
                 int64_t misalign) {
    DimerModel model(rule, counts, scope, misalign);
    set_tensor_options(model);
    std::vector<GuardedBuffer>& gradients = bits_gradients(counts, misalign);
    size_t next = 0;
    const auto new_gradient = [&] {
        const std::vector<void*> pointers = gradients[next++ % gradients.size()].pointers();
        NOPT_EXPECT_OK(nopt_param_set_bind(model.set, NOPT_ROLE_GRAD, model.tensor_count(), pointers.data()));
    };
    const nopt_hyperparams h = defaults(rule);
    nopt_dimer_options o = dimer_defaults();
    o.angle = angle;
    o.rotation_rate = 0.3;
    BitsRun result;
    for (int step = 0; step < 6; ++step) {
        o.correction = step % 2 == 0 ? NOPT_DIMER_CORRECTION_PUBLISHED : NOPT_DIMER_CORRECTION_ESCAPE;
        o.force = step < 3 ? NOPT_DIMER_FORCE_DIFFERENCE : NOPT_DIMER_FORCE_PER_DISPLACEMENT;
        o.rotation = step < 4 ? NOPT_DIMER_ROTATION_MINIMUM_CURVATURE : NOPT_DIMER_ROTATION_MAXIMUM_CURVATURE;
        new_gradient();
        if (step % 2 == 0) {
            NOPT_EXPECT_OK(model.displace(o));
            new_gradient();
            for (int rotations = (angle == NOPT_DIMER_ANGLE_OPTIMAL) + (step == 2); rotations > 0; --rotations) {
                NOPT_EXPECT_OK(model.rotate(o, h));
                new_gradient();
            }
        }
        NOPT_EXPECT_OK(model.dimer_step(o, h));
        const std::vector<nopt_dimer_status> statuses = model.statuses();
        result.statuses.insert(result.statuses.end(), statuses.begin(), statuses.end());
    }
    EXPECT_TRUE(model.intact()) << "the dimer wrote outside its tensors";
    result.values = model.all_values();
    return result;
}

class DimerBits : public testing::TestWithParam<const char*> {
protected:
    // Leaves the process as it was found.
    void SetUp() override { NOPT_ASSERT_OK(nopt_cpu_get_num_threads(&threads_)); }
    void TearDown() override {
        NOPT_ASSERT_OK(nopt_cpu_set_isa(runnable_isas().back().c_str()));
        NOPT_ASSERT_OK(nopt_cpu_set_num_threads(threads_));
    }

    void expect_same_everywhere(const std::vector<int64_t>& counts, int64_t misalign) {
        for (const nopt_dimer_scope scope : kScopes) {
            for (const nopt_dimer_angle angle : kAngles) {
                BitsRun expected;
                for (const std::string& isa : runnable_isas()) {
                    for (const int32_t threads : {1, 2, 5}) {
                        NOPT_ASSERT_OK(nopt_cpu_set_isa(isa.c_str()));
                        NOPT_ASSERT_OK(nopt_cpu_set_num_threads(threads));
                        const BitsRun got = run_bits(GetParam(), counts, scope, angle, misalign);
                        if (expected.values.empty()) {
                            expected = got;
                            continue;
                        }
                        ASSERT_TRUE(same_bits(expected.values, got.values))
                            << isa << ", " << threads << " threads, scope " << scope << ", angle " << angle;
                        ASSERT_TRUE(same_bits(expected.statuses, got.statuses))
                            << isa << ", " << threads << " threads, scope " << scope << ", angle " << angle;
                    }
                }
            }
        }
    }

private:
    int32_t threads_ = 0;
};

const std::vector<int64_t> kAwkward = {0, 1, 3, 5, 55, 4097, 16384, 16385, 65537, 0, 100003, 0};

TEST_P(DimerBits, AwkwardSizes) { expect_same_everywhere(kAwkward, 0); }

TEST_P(DimerBits, MisalignedByOneElement) { expect_same_everywhere(kAwkward, 1); }

TEST_P(DimerBits, ManyScalars) { expect_same_everywhere(std::vector<int64_t>(3000, 1), 0); }

INSTANTIATE_TEST_SUITE_P(Rules, DimerBits, testing::Values("adam", "invadam", "dualadam", "sgd"),
                         [](const testing::TestParamInfo<const char*>& one) { return std::string(one.param); });

// Alignment changes no bit either.
TEST(DimerBits, AlignmentIsNoMatter) {
    for (const nopt_dimer_angle angle : kAngles) {
        const BitsRun aligned = run_bits("adam", {55, 16385, 3}, NOPT_DIMER_SCOPE_GLOBAL, angle, 0);
        for (const int64_t misalign : {1, 2, 3, 7}) {
            const BitsRun other = run_bits("adam", {55, 16385, 3}, NOPT_DIMER_SCOPE_GLOBAL, angle, misalign);
            EXPECT_TRUE(same_bits(aligned.values, other.values)) << misalign;
            EXPECT_TRUE(same_bits(aligned.statuses, other.statuses)) << misalign;
        }
    }
}

// A tensor's scope has the bits that it has alone.
TEST(DimerBits, TensorsAreAloneInTheirScopes) {
    const std::vector<int64_t> counts = {700, 33000, 5};
    for (const nopt_dimer_angle angle : kAngles) {
        nopt_dimer_options o = dimer_defaults();
        o.angle = angle;
        o.rotation_rate = 1.0;
        const nopt_hyperparams h = defaults("adam");
        DimerModel all("adam", counts, NOPT_DIMER_SCOPE_PER_TENSOR);
        std::vector<std::unique_ptr<DimerModel>> alone;
        for (size_t t = 0; t < counts.size(); ++t) {
            alone.push_back(std::make_unique<DimerModel>("adam", std::vector<int64_t>{counts[t]}));
            for (const nopt_role role : {NOPT_ROLE_PARAM, NOPT_ROLE_DIRECTION}) {
                std::copy_n(all.buffer(role).tensor(t), counts[t], alone[t]->buffer(role).tensor(0));
            }
        }
        const auto new_gradients = [&] {
            all.new_gradients();
            for (size_t t = 0; t < counts.size(); ++t) {
                std::copy_n(all.buffer(NOPT_ROLE_GRAD).tensor(t), counts[t],
                            alone[t]->buffer(NOPT_ROLE_GRAD).tensor(0));
            }
        };
        const auto on_each = [&](const std::function<nopt_status(DimerModel&)>& call) {
            NOPT_ASSERT_OK(call(all));
            for (const auto& one : alone) {
                NOPT_ASSERT_OK(call(*one));
            }
        };
        for (int step = 0; step < 3; ++step) {
            new_gradients();
            if (step != 1) {
                on_each([&](DimerModel& model) { return model.displace(o); });
                new_gradients();
                if (angle == NOPT_DIMER_ANGLE_OPTIMAL) {
                    on_each([&](DimerModel& model) { return model.rotate(o, h); });
                    new_gradients();
                }
            }
            on_each([&](DimerModel& model) { return model.dimer_step(o, h); });
            for (size_t t = 0; t < counts.size(); ++t) {
                for (const nopt_role role : {NOPT_ROLE_PARAM, NOPT_ROLE_DIRECTION, NOPT_ROLE_EXP_AVG_SQ}) {
                    EXPECT_EQ(0, memcmp(all.buffer(role).tensor(t), alone[t]->buffer(role).tensor(0),
                                        static_cast<size_t>(counts[t]) * sizeof(float)));
                }
                EXPECT_TRUE(same_bits(alone[t]->statuses(), {all.status(static_cast<int64_t>(t))}));
            }
        }
    }
}

// ---- giving an update up ----

// Every kind of number there is, in a tensor longer than a tile.
std::vector<float> strange_values(size_t count) {
    Random random(17);
    std::vector<float> values;
    for (size_t i = 0; i < count; ++i) {
        values.push_back(random.value());
    }
    uint32_t nans[] = {0x7fc00000u, 0xffc12345u, 0x7f800001u};
    size_t at = 0;
    for (const float one : {3e38f, -3e38f, 1e-45f, -1e-40f, 0.0f, -0.0f, INFINITY, -INFINITY, 1e-30f}) {
        values[at += 7] = one;
    }
    for (const uint32_t nan : nans) {
        memcpy(&values[at += 7], &nan, sizeof nan);
    }
    return values;
}

TEST(Dimer, RestoresEveryBit) {
    for (const nopt_dimer_angle angle : kAngles) {
        for (int rotations = 0; rotations <= 2; ++rotations) {
            nopt_dimer_options o = dimer_defaults();
            o.angle = angle;
            o.displacement = 1e38;  // overflows where theta is large
            const nopt_hyperparams h = defaults("adam");
            DimerModel model("adam", {2000, 0, 3});
            model.set_values(NOPT_ROLE_PARAM, strange_values(2003));
            const std::vector<float> before = model.values(NOPT_ROLE_PARAM);
            NOPT_ASSERT_OK(model.displace(o));
            EXPECT_FALSE(same_bits(before, model.values(NOPT_ROLE_PARAM)));
            for (int i = 0; i < rotations; ++i) {
                model.new_gradients();
                NOPT_ASSERT_OK(model.rotate(o, h));
            }
            model.new_gradients();
            const std::vector<float> gradients = model.values(NOPT_ROLE_GRAD);
            NOPT_ASSERT_OK(model.restore());
            EXPECT_TRUE(same_bits(before, model.values(NOPT_ROLE_PARAM))) << angle << " " << rotations;
            EXPECT_TRUE(same_bits(gradients, model.values(NOPT_ROLE_GRAD)));
            EXPECT_EQ(0, model.state().step);
            EXPECT_TRUE(model.intact());
        }
    }
}

// A step after an update was given up is the step without it, and one that ends an update starts from theta.
TEST(Dimer, StepsAfterARestoreAreWhatTheyWouldHaveBeen) {
    const nopt_dimer_options o = dimer_defaults();
    const nopt_hyperparams h = defaults("adam");
    DimerModel model("adam", {2000, 0, 3});
    DimerModel twin("adam", {2000, 0, 3});
    for (int step = 0; step < 3; ++step) {
        model.new_gradients();
        twin.new_gradients();
        const std::vector<float> g = model.values(NOPT_ROLE_GRAD);
        NOPT_ASSERT_OK(model.displace(o));
        model.set_values(NOPT_ROLE_GRAD, std::vector<float>(2003, 7.0f));
        NOPT_ASSERT_OK(model.restore());
        model.set_values(NOPT_ROLE_GRAD, g);
        NOPT_ASSERT_OK(step == 1 ? model.step(h) : model.dimer_step(o, h));
        NOPT_ASSERT_OK(step == 1 ? twin.step(h) : twin.dimer_step(o, h));
        for (const nopt_role role : {NOPT_ROLE_PARAM, NOPT_ROLE_EXP_AVG, NOPT_ROLE_EXP_AVG_SQ, NOPT_ROLE_DIRECTION}) {
            EXPECT_TRUE(same_bits(twin.values(role), model.values(role))) << role;
        }
        EXPECT_TRUE(same_bits(twin.statuses(), model.statuses()));
    }
    // Without a correction, an update's step is the rule's own from theta.
    nopt_dimer_options uncorrected = o;
    uncorrected.alpha = 0.0;
    Model plain("adam", {2000, 0, 3});
    for (const nopt_role role : kRoles) {
        plain.buffer(role).set_values(model.values(role));
    }
    const nopt_step_state state = model.state();
    NOPT_ASSERT_OK(nopt_optimizer_set_state(plain.optimizer, &state));
    NOPT_ASSERT_OK(model.displace(uncorrected));
    model.new_gradients();
    NOPT_ASSERT_OK(model.dimer_step(uncorrected, h));
    NOPT_ASSERT_OK(plain.step(h));
    for (const nopt_role role : {NOPT_ROLE_PARAM, NOPT_ROLE_EXP_AVG, NOPT_ROLE_EXP_AVG_SQ}) {
        EXPECT_TRUE(same_bits(plain.buffer(role).values(), model.values(role))) << role;
    }
}

// ---- degenerate input ----

std::vector<float> random_values(size_t count, uint64_t seed) {
    Random random(seed);
    std::vector<float> values(count);
    for (float& value : values) {
        value = random.value();
    }
    return values;
}

// NaNs may differ in their payload.
bool same_numbers(const std::vector<float>& a, const std::vector<float>& b) {
    for (size_t i = 0; i < a.size(); ++i) {
        if (memcmp(&a[i], &b[i], sizeof a[i]) != 0 && !(isnan(a[i]) && isnan(b[i]))) {
            return false;
        }
    }
    return a.size() == b.size();
}

bool any_nan(const std::vector<float>& values) {
    return std::any_of(values.begin(), values.end(), [](float value) { return isnan(value); });
}

// A dimer's model beside the same model without a dimer.
class Beside {
public:
    static constexpr size_t kCount = 743;

    explicit Beside(nopt_dimer_angle angle, nopt_dimer_scope scope = NOPT_DIMER_SCOPE_GLOBAL)
        : model("adam", {40, 700, 0, 3}, scope),
          o(dimer_defaults()),
          h(defaults("adam")),
          plain_("adam", {40, 700, 0, 3}) {
        o.angle = angle;
        o.rotation_rate = 1.0;
        o.alpha = 1.5;
    }

    // Both take a step from the dimer's present state, the dimer's with an update unless `displaced` is empty: one
    // gradient for each displacement.
    void step(const std::vector<float>& g, const std::vector<std::vector<float>>& displaced) {
        for (const nopt_role role : kRoles) {
            plain_.buffer(role).set_values(model.values(role));
        }
        const nopt_step_state state = model.state();
        NOPT_ASSERT_OK(nopt_optimizer_set_state(plain_.optimizer, &state));
        plain_.buffer(NOPT_ROLE_GRAD).set_values(g);
        NOPT_ASSERT_OK(plain_.step(h));

        model.set_values(NOPT_ROLE_GRAD, g);
        if (!displaced.empty()) {
            NOPT_ASSERT_OK(model.displace(o));
        }
        for (size_t i = 0; i < displaced.size(); ++i) {
            if (i > 0) {
                NOPT_ASSERT_OK(model.rotate(o, h));
            }
            model.set_values(NOPT_ROLE_GRAD, displaced[i]);
        }
        NOPT_ASSERT_OK(model.dimer_step(o, h));
        EXPECT_EQ(state.step + 1, model.status().step);
        EXPECT_TRUE(model.intact());
    }

    // As many gradients as the angle needs; of a global scope.
    void healthy_update(uint64_t seed) {
        const std::vector<float> before = model.values(NOPT_ROLE_DIRECTION);
        std::vector<std::vector<float>> displaced = {random_values(kCount, seed + 1)};
        if (o.angle == NOPT_DIMER_ANGLE_OPTIMAL) {
            displaced.push_back(random_values(kCount, seed + 2));
        }
        step(random_values(kCount, seed), displaced);
        EXPECT_EQ(0u, model.status().flags);
        EXPECT_FALSE(isnan(model.status().curvature));
        EXPECT_GT(model.status().angle, 0.0);
        EXPECT_NEAR(1.0, norm(to_double(model.values(NOPT_ROLE_DIRECTION))), 1e-6);
        EXPECT_FALSE(same_bits(before, model.values(NOPT_ROLE_DIRECTION)));
        EXPECT_FALSE(stepped_like_plain());
    }

    bool stepped_like_plain() {
        return same_numbers(plain_.buffer(NOPT_ROLE_PARAM).values(), model.values(NOPT_ROLE_PARAM)) &&
               same_numbers(plain_.buffer(NOPT_ROLE_EXP_AVG).values(), model.values(NOPT_ROLE_EXP_AVG)) &&
               same_numbers(plain_.buffer(NOPT_ROLE_EXP_AVG_SQ).values(), model.values(NOPT_ROLE_EXP_AVG_SQ));
    }

    DimerModel model;
    nopt_dimer_options o;
    nopt_hyperparams h;

private:
    Model plain_;
};

struct BadGradient {
    const char* name;
    float at_theta;  // if it spoils that gradient too
    float displaced;
    bool spoils_theta;
};

const BadGradient kBadGradients[] = {
    {"infinite g2", 0.0f, INFINITY, false}, {"-infinite g2", 0.0f, -INFINITY, false},
    {"NaN g2", 0.0f, NAN, false},           {"NaN g", NAN, 0.0f, true},
    {"infinite g", INFINITY, 0.0f, true},   {"infinite g and g2", INFINITY, INFINITY, true},
    {"NaN g and g2", NAN, NAN, true},       {"a difference that overflows", -3e38f, 3e38f, true},
};

// The update is refused: the step is the rule's own, the direction and its curvature stay; the next one works.
TEST(DimerDegenerate, BadGradientsAreRefused) {
    constexpr size_t kPlace = 41;
    for (const nopt_dimer_angle angle : kAngles) {
        for (const BadGradient& bad : kBadGradients) {
            for (int bad_one = 0; bad_one < (angle == NOPT_DIMER_ANGLE_OPTIMAL ? 2 : 1); ++bad_one) {
                SCOPED_TRACE(std::string(bad.name) + " angle " + std::to_string(angle) + " gradient " +
                             std::to_string(bad_one));
                Beside beside(angle);
                beside.healthy_update(1);
                const nopt_dimer_status old = beside.model.status();
                const std::vector<float> direction = beside.model.values(NOPT_ROLE_DIRECTION);

                std::vector<float> g = random_values(Beside::kCount, 10);
                std::vector<std::vector<float>> displaced = {random_values(Beside::kCount, 11)};
                if (angle == NOPT_DIMER_ANGLE_OPTIMAL) {
                    displaced.push_back(random_values(Beside::kCount, 12));
                }
                if (bad.spoils_theta) {
                    g[kPlace] = bad.at_theta;
                }
                displaced[static_cast<size_t>(bad_one)][kPlace] = bad.displaced;
                beside.step(g, displaced);

                const nopt_dimer_status status = beside.model.status();
                EXPECT_EQ(kRefused, status.flags);
                EXPECT_EQ(old.curvature, status.curvature);
                EXPECT_EQ(0.0, status.angle);
                EXPECT_TRUE(same_bits(direction, beside.model.values(NOPT_ROLE_DIRECTION)));
                EXPECT_TRUE(beside.stepped_like_plain());
                const std::vector<float> param = beside.model.values(NOPT_ROLE_PARAM);
                for (size_t i = 0; i < param.size(); ++i) {
                    EXPECT_TRUE(i == kPlace || isfinite(param[i])) << i;
                }

                // A cached step between, then as if nothing had been.
                beside.step(random_values(Beside::kCount, 20), {});
                EXPECT_EQ(0u, beside.model.status().flags);
                EXPECT_FALSE(beside.stepped_like_plain());
                beside.healthy_update(30);
            }
        }
    }
}

// With several turns in one update, a bad gradient costs the turn that it was for.
TEST(DimerDegenerate, BadGradientsBetweenTurns) {
    const std::vector<float> g = random_values(Beside::kCount, 10);
    const std::vector<float> good = random_values(Beside::kCount, 11);
    std::vector<float> bad = random_values(Beside::kCount, 12);
    bad[5] = NAN;

    Beside fixed(NOPT_DIMER_ANGLE_FIXED_RATE);
    fixed.step(g, {bad, good});  // the second turn is a healthy one
    EXPECT_EQ(0u, fixed.model.status().flags);
    Beside once(NOPT_DIMER_ANGLE_FIXED_RATE);
    once.step(g, {good});
    EXPECT_TRUE(same_bits(once.model.values(NOPT_ROLE_DIRECTION), fixed.model.values(NOPT_ROLE_DIRECTION)));
    EXPECT_TRUE(same_bits(once.model.values(NOPT_ROLE_PARAM), fixed.model.values(NOPT_ROLE_PARAM)));

    for (const nopt_dimer_angle angle : kAngles) {
        Beside turned(angle);
        const std::vector<float> start = turned.model.values(NOPT_ROLE_DIRECTION);
        if (angle == NOPT_DIMER_ANGLE_OPTIMAL) {
            turned.step(g, {good, random_values(Beside::kCount, 13), bad});
        } else {
            turned.step(g, {good, bad});
        }
        EXPECT_EQ(kRefused, turned.model.status().flags) << angle;
        EXPECT_FALSE(isnan(turned.model.status().curvature)) << "the first turn measured it";
        EXPECT_FALSE(same_bits(start, turned.model.values(NOPT_ROLE_DIRECTION)));
        EXPECT_NEAR(1.0, norm(to_double(turned.model.values(NOPT_ROLE_DIRECTION))), 1e-6);
        EXPECT_TRUE(turned.stepped_like_plain());
        turned.healthy_update(40);
    }

    // The plane of the best angle is lost with its gradient, and so is the update.
    Beside optimal(NOPT_DIMER_ANGLE_OPTIMAL);
    const std::vector<float> start = optimal.model.values(NOPT_ROLE_DIRECTION);
    optimal.step(g, {bad, good, good});
    EXPECT_EQ(kRefused, optimal.model.status().flags);
    EXPECT_TRUE(same_bits(start, optimal.model.values(NOPT_ROLE_DIRECTION)));
    EXPECT_TRUE(optimal.stepped_like_plain());
    optimal.healthy_update(50);
}

TEST(DimerDegenerate, ZeroGradientHasNothingToCorrect) {
    for (const nopt_dimer_angle angle : kAngles) {
        Beside beside(angle);
        beside.healthy_update(1);
        const std::vector<float> zero(Beside::kCount, 0.0f);
        beside.step(zero, {});
        EXPECT_EQ(0u, beside.model.status().flags);
        EXPECT_EQ(0.0, beside.model.status().grad_dot_direction);
        EXPECT_TRUE(beside.stepped_like_plain());
        // An update turns all the same.
        const std::vector<float> start = beside.model.values(NOPT_ROLE_DIRECTION);
        beside.step(zero, {random_values(Beside::kCount, 2), random_values(Beside::kCount, 3)});
        EXPECT_EQ(0u, beside.model.status().flags);
        EXPECT_EQ(0.0, beside.model.status().grad_dot_direction);
        EXPECT_FALSE(same_bits(start, beside.model.values(NOPT_ROLE_DIRECTION)));
        EXPECT_TRUE(beside.stepped_like_plain());
    }
}

// A host that never recomputes the gradient, or a loss that is linear: no force, no curvature, no turn.
TEST(DimerDegenerate, EqualGradientsKeepTheDirection) {
    for (const nopt_dimer_angle angle : kAngles) {
        Beside beside(angle);
        beside.healthy_update(1);
        const Vector start = to_double(beside.model.values(NOPT_ROLE_DIRECTION));
        const std::vector<float> g = random_values(Beside::kCount, 2);
        beside.step(g, {g, g});
        const nopt_dimer_status status = beside.model.status();
        EXPECT_EQ(0u, status.flags);
        EXPECT_EQ(0.0, status.curvature);
        EXPECT_NEAR(0.0, status.angle, 1e-7);
        // Brought to length 1 again, at most.
        EXPECT_LT(largest_difference(start, beside.model.values(NOPT_ROLE_DIRECTION)), 1e-7);
        EXPECT_NEAR(dot(start, to_double(g)), status.grad_dot_direction, 1e-5);
        EXPECT_FALSE(beside.stepped_like_plain()) << "corrected along the direction as it is";
        beside.healthy_update(30);
    }
}

TEST(DimerDegenerate, NanOnACachedStepStaysInItsElement) {
    for (const float bad : {NAN, INFINITY}) {
        Beside beside(NOPT_DIMER_ANGLE_FIXED_RATE);
        beside.healthy_update(1);
        const nopt_dimer_status old = beside.model.status();
        const std::vector<float> direction = beside.model.values(NOPT_ROLE_DIRECTION);
        std::vector<float> g = random_values(Beside::kCount, 2);
        g[77] = bad;
        beside.step(g, {});
        EXPECT_EQ(kSkipped, beside.model.status().flags);
        EXPECT_EQ(old.curvature, beside.model.status().curvature);
        EXPECT_EQ(old.angle, beside.model.status().angle);
        EXPECT_FALSE(isfinite(beside.model.status().grad_dot_direction));
        EXPECT_TRUE(same_bits(direction, beside.model.values(NOPT_ROLE_DIRECTION)));
        EXPECT_TRUE(beside.stepped_like_plain());
        const std::vector<float> param = beside.model.values(NOPT_ROLE_PARAM);
        for (size_t i = 0; i < param.size(); ++i) {
            EXPECT_TRUE(i == 77 || isfinite(param[i])) << i;
        }
        beside.healthy_update(30);
    }
}

TEST(DimerDegenerate, CorrectionsThatOverflowAreSkipped) {
    for (const nopt_dimer_angle angle : kAngles) {
        Beside beside(angle);
        beside.healthy_update(1);
        beside.o.alpha = 5.0;
        // 5 g.N is too much for a float, whether N is spread over the elements or turns to one of them.
        std::vector<float> g = beside.model.values(NOPT_ROLE_DIRECTION);
        for (float& value : g) {
            value = value > 0.0f ? 1e38f : -1e38f;
        }
        beside.step(g, {});
        EXPECT_EQ(kSkipped, beside.model.status().flags);
        EXPECT_GT(5.0 * beside.model.status().grad_dot_direction, 3.5e38);
        EXPECT_TRUE(beside.stepped_like_plain());

        // In an update the direction turns and the correction alone is left out.
        const std::vector<float> start = beside.model.values(NOPT_ROLE_DIRECTION);
        std::vector<float> near_g = g;
        near_g[3] *= 0.999f;
        beside.step(g, {near_g, g});
        EXPECT_EQ(kSkipped, beside.model.status().flags);
        EXPECT_FALSE(same_bits(start, beside.model.values(NOPT_ROLE_DIRECTION)));
        EXPECT_NEAR(1.0, norm(to_double(beside.model.values(NOPT_ROLE_DIRECTION))), 1e-6);
        EXPECT_TRUE(beside.stepped_like_plain());
    }
}

// Gradients about half as large as a float can be: their squares and products are none.
TEST(DimerDegenerate, HugeGradientsTurnWithoutNans) {
    for (const nopt_dimer_angle angle : kAngles) {
        Beside beside(angle);
        std::vector<float> g = random_values(Beside::kCount, 2);
        std::vector<float> g2 = random_values(Beside::kCount, 3);
        std::vector<float> g3 = random_values(Beside::kCount, 4);
        for (size_t i = 0; i < g.size(); ++i) {
            g[i] *= 1.6e38f;
            g2[i] *= 1.6e38f;
            g3[i] *= 1.6e38f;
        }
        beside.step(g, {g2, g3});
        EXPECT_EQ(0u, beside.model.status().flags & kRefused);
        EXPECT_TRUE(isfinite(beside.model.status().curvature));
        EXPECT_NEAR(1.0, norm(to_double(beside.model.values(NOPT_ROLE_DIRECTION))), 1e-6);
        EXPECT_FALSE(any_nan(beside.model.values(NOPT_ROLE_PARAM)));
    }
}

TEST(DimerDegenerate, ZeroDirectionTurnsAlongTheDifference) {
    Beside beside(NOPT_DIMER_ANGLE_FIXED_RATE);
    beside.model.set_values(NOPT_ROLE_DIRECTION, std::vector<float>(Beside::kCount, 0.0f));
    const std::vector<float> g = random_values(Beside::kCount, 2);
    beside.step(g, {});  // cached: g.N is 0
    EXPECT_EQ(0u, beside.model.status().flags);
    EXPECT_TRUE(beside.stepped_like_plain());
    beside.step(g, {g});
    EXPECT_EQ(kRefused, beside.model.status().flags);
    EXPECT_EQ(std::vector<float>(Beside::kCount, 0.0f), beside.model.values(NOPT_ROLE_DIRECTION));
    EXPECT_TRUE(beside.stepped_like_plain());
    const std::vector<float> g2 = random_values(Beside::kCount, 3);
    beside.step(g, {g2});
    EXPECT_EQ(0u, beside.model.status().flags);
    const Vector difference = combined(1.0, to_double(g2), -1.0, to_double(g));
    EXPECT_LT(largest_difference(scaled(difference, -1.0 / norm(difference)), beside.model.values(NOPT_ROLE_DIRECTION)),
              1e-7);
    beside.healthy_update(30);
}

TEST(DimerDegenerate, NoDirectionHasNoBestAngle) {
    for (const float bad : {0.0f, NAN}) {
        for (const nopt_dimer_angle angle : kAngles) {
            if (bad == 0.0f && angle == NOPT_DIMER_ANGLE_FIXED_RATE) {
                continue;  // turns, see above
            }
            Beside beside(angle);
            const std::vector<float> direction(Beside::kCount, bad);
            beside.model.set_values(NOPT_ROLE_DIRECTION, direction);
            beside.step(random_values(Beside::kCount, 2),
                        {random_values(Beside::kCount, 3), random_values(Beside::kCount, 4)});
            EXPECT_EQ(kRefused, beside.model.status().flags);
            EXPECT_TRUE(isnan(beside.model.status().curvature)) << "none was measured";
            EXPECT_TRUE(same_bits(direction, beside.model.values(NOPT_ROLE_DIRECTION)));
            EXPECT_TRUE(beside.stepped_like_plain());
            // A direction again, and all is well.
            NOPT_ASSERT_OK(nopt_dimer_init_direction(beside.model.dimer, 5, 0, nullptr));
            NOPT_ASSERT_OK(nopt_dimer_normalize_direction(beside.model.dimer, nullptr));
            beside.healthy_update(30);
        }
    }
}

TEST(DimerDegenerate, NormalizingKeepsWhatHasNoNorm) {
    for (const float bad : {0.0f, static_cast<float>(NAN), static_cast<float>(INFINITY)}) {
        for (const nopt_dimer_scope scope : kScopes) {
            DimerModel model("adam", {40, 700, 0, 3}, scope);
            NOPT_ASSERT_OK(nopt_dimer_init_direction(model.dimer, 9, 0, nullptr));
            std::vector<float> direction = model.values(NOPT_ROLE_DIRECTION);
            std::fill_n(direction.begin(), scope == NOPT_DIMER_SCOPE_GLOBAL ? 743 : 40, bad);
            model.set_values(NOPT_ROLE_DIRECTION, direction);
            NOPT_ASSERT_OK(nopt_dimer_normalize_direction(model.dimer, nullptr));
            EXPECT_EQ(kRefused, model.status().flags);
            const std::vector<float> got = model.values(NOPT_ROLE_DIRECTION);
            EXPECT_EQ(0, memcmp(direction.data(), got.data(), 40 * sizeof(float)));
            if (scope == NOPT_DIMER_SCOPE_GLOBAL) {
                EXPECT_TRUE(same_bits(direction, got));
            } else {
                EXPECT_EQ(0u, model.status(1).flags);
                EXPECT_EQ(0u, model.status(2).flags) << "no elements, nothing to refuse";
                EXPECT_NEAR(1.0, norm(to_double(std::vector<float>(got.begin() + 40, got.begin() + 740))), 1e-6);
                EXPECT_NEAR(1.0, norm(to_double(std::vector<float>(got.begin() + 740, got.end()))), 1e-6);
            }
        }
    }
}

// Squares that leave the range of float are no trouble.
TEST(DimerDegenerate, NormalizesHugeAndTinyDirections) {
    for (const float size : {3e38f, 1e-40f, 1e-45f}) {
        DimerModel model("adam", {40, 700});
        model.set_values(NOPT_ROLE_DIRECTION, std::vector<float>(740, size));
        NOPT_ASSERT_OK(nopt_dimer_normalize_direction(model.dimer, nullptr));
        EXPECT_EQ(0u, model.status().flags);
        EXPECT_NEAR(1.0, norm(to_double(model.values(NOPT_ROLE_DIRECTION))), 1e-6);
    }
}

// One tensor's bad gradient is that tensor's trouble alone.
TEST(DimerDegenerate, ABadTensorLeavesTheOthersAlone) {
    const auto part = [](const std::vector<float>& all, size_t begin, size_t end) {
        return std::vector<float>(all.begin() + static_cast<int64_t>(begin), all.begin() + static_cast<int64_t>(end));
    };
    for (const nopt_dimer_angle angle : kAngles) {
        for (const BadGradient& bad : kBadGradients) {
            SCOPED_TRACE(bad.name);
            Beside spoiled(angle, NOPT_DIMER_SCOPE_PER_TENSOR);
            Beside healthy(angle, NOPT_DIMER_SCOPE_PER_TENSOR);
            spoiled.o.correction = healthy.o.correction = NOPT_DIMER_CORRECTION_PUBLISHED;
            std::vector<float> g = random_values(Beside::kCount, 2);
            std::vector<std::vector<float>> displaced = {random_values(Beside::kCount, 3),
                                                         random_values(Beside::kCount, 4)};
            healthy.step(g, displaced);
            g[100] = bad.spoils_theta ? bad.at_theta : g[100];
            displaced[0][100] = bad.displaced;
            displaced[1][100] = bad.displaced;
            const std::vector<float> direction = spoiled.model.values(NOPT_ROLE_DIRECTION);
            spoiled.step(g, displaced);
            for (const nopt_role role :
                 {NOPT_ROLE_PARAM, NOPT_ROLE_EXP_AVG, NOPT_ROLE_EXP_AVG_SQ, NOPT_ROLE_DIRECTION}) {
                const std::vector<float> a = spoiled.model.values(role);
                const std::vector<float> b = healthy.model.values(role);
                EXPECT_TRUE(same_bits(part(b, 0, 40), part(a, 0, 40))) << role;
                EXPECT_TRUE(same_bits(part(b, 740, 743), part(a, 740, 743))) << role;
            }
            EXPECT_TRUE(same_bits(part(direction, 40, 740), part(spoiled.model.values(NOPT_ROLE_DIRECTION), 40, 740)));
            EXPECT_EQ(kRefused, spoiled.model.status(1).flags);
            for (const int64_t scope : {0, 3}) {
                EXPECT_EQ(0u, spoiled.model.status(scope).flags);
                EXPECT_TRUE(same_bits({healthy.model.status(scope)}, {spoiled.model.status(scope)}));
            }
        }
    }
}

TEST(DimerDegenerate, EmptySetsAreOrdinary) {
    for (const std::vector<int64_t>& counts : {std::vector<int64_t>{}, {0}, {0, 0, 0}}) {
        for (const nopt_dimer_scope scope : kScopes) {
            for (const nopt_dimer_angle angle : kAngles) {
                DimerModel model("adam", counts, scope);
                nopt_dimer_options o = dimer_defaults();
                o.angle = angle;
                const nopt_hyperparams h = defaults("adam");
                EXPECT_EQ(scope == NOPT_DIMER_SCOPE_GLOBAL ? 1 : static_cast<int64_t>(counts.size()),
                          model.scope_count());
                NOPT_ASSERT_OK(model.dimer_step(o, h));
                NOPT_ASSERT_OK(model.displace(o));
                NOPT_ASSERT_OK(model.rotate(o, h));
                NOPT_ASSERT_OK(nopt_dimer_sum(model.dimer, NOPT_DIMER_PASS_STEP, nullptr));
                NOPT_ASSERT_OK(model.dimer_step(o, h));
                NOPT_ASSERT_OK(model.displace(o));
                NOPT_ASSERT_OK(model.restore());
                EXPECT_EQ(2, model.state().step);
                EXPECT_TRUE(model.intact());
            }
        }
    }
}

// ---- corrections ----

// The sign of the curvature decides, wherever it comes from.
TEST(Dimer, EscapesWhereTheCurvatureIsNegative) {
    const std::vector<int64_t> counts = {40, 700, 3};
    const double curvatures[] = {-1e-300, 1e-300, NAN};
    nopt_dimer_options o = dimer_defaults();
    o.correction = NOPT_DIMER_CORRECTION_ESCAPE;
    o.alpha = 2.0;
    nopt_hyperparams h = defaults("sgd");
    h.lr = 1.0;
    DimerModel model("sgd", counts, NOPT_DIMER_SCOPE_PER_TENSOR);
    NOPT_ASSERT_OK(nopt_dimer_set_curvature(model.dimer, 3, curvatures, nullptr));
    for (int64_t scope = 0; scope < 3; ++scope) {
        const double got = model.status(scope).curvature;
        EXPECT_EQ(0, memcmp(&got, &curvatures[scope], sizeof got));
    }
    Model plain("sgd", counts);
    model.new_gradients();
    plain.new_gradients();
    const Vector theta = to_double(model.values(NOPT_ROLE_PARAM));
    NOPT_ASSERT_OK(model.dimer_step(o, h));
    NOPT_ASSERT_OK(plain.step(h));
    for (const size_t t : {1u, 2u}) {
        EXPECT_EQ(0, memcmp(plain.buffer(NOPT_ROLE_PARAM).tensor(t), model.buffer(NOPT_ROLE_PARAM).tensor(t),
                            static_cast<size_t>(counts[t]) * sizeof(float)));
    }
    const Span first = {0, 40};
    const Vector n = first.of(to_double(model.values(NOPT_ROLE_DIRECTION)));
    const Vector g = first.of(to_double(model.values(NOPT_ROLE_GRAD)));
    const Vector expected = combined(1.0, first.of(theta), -1.0, combined(1.0, g, 2.0 * dot(g, n), n));
    for (size_t i = 0; i < 40; ++i) {  // numbers of about 1, a handful of roundings
        EXPECT_NEAR(expected[i], static_cast<double>(model.buffer(NOPT_ROLE_PARAM).tensor(0)[i]), 5e-7);
    }
    // Where all curve up, a dimer's step is the rule's.
    const double up[] = {0.0, 1.0, 1e300};
    NOPT_ASSERT_OK(nopt_dimer_set_curvature(model.dimer, 3, up, nullptr));
    plain.buffer(NOPT_ROLE_PARAM).set_values(model.values(NOPT_ROLE_PARAM));
    model.new_gradients();
    plain.new_gradients();
    NOPT_ASSERT_OK(model.dimer_step(o, h));
    NOPT_ASSERT_OK(plain.step(h));
    EXPECT_TRUE(same_bits(plain.buffer(NOPT_ROLE_PARAM).values(), model.values(NOPT_ROLE_PARAM)));
    // The published correction does not ask.
    o.correction = NOPT_DIMER_CORRECTION_PUBLISHED;
    model.new_gradients();
    plain.new_gradients();
    NOPT_ASSERT_OK(model.dimer_step(o, h));
    NOPT_ASSERT_OK(plain.step(h));
    EXPECT_FALSE(same_bits(plain.buffer(NOPT_ROLE_PARAM).values(), model.values(NOPT_ROLE_PARAM)));
}

// alpha = 1 takes the whole component out, alpha = 2 turns it round.
TEST(Dimer, AlphaIsThePublishedWeight) {
    for (const double alpha : {0.0, 1.0, 2.0}) {
        DimerModel model("sgd", {500});
        nopt_dimer_options o = dimer_defaults();
        o.alpha = alpha;
        nopt_hyperparams h = defaults("sgd");
        h.lr = 1.0;
        model.set_values(NOPT_ROLE_PARAM, std::vector<float>(500, 0.0f));
        model.new_gradients();
        const Vector n = to_double(model.values(NOPT_ROLE_DIRECTION));
        const double along = dot(n, to_double(model.values(NOPT_ROLE_GRAD)));
        ASSERT_GT(fabs(along), 0.01);
        NOPT_ASSERT_OK(model.dimer_step(o, h));
        EXPECT_NEAR(along, model.status().grad_dot_direction, 1e-12);
        // 500 products of numbers below 1 and below 0.1, rounded to float.
        EXPECT_NEAR((alpha - 1.0) * along, dot(n, to_double(model.values(NOPT_ROLE_PARAM))), 1e-6);
    }
}

// ---- where the gradients are ----

// A host that keeps g in GRAD and puts the other gradients elsewhere gets the bits of one that has them backed up.
TEST(Dimer, DisplacedGradientsMayBeElsewhere) {
    const std::vector<int64_t> counts = {40, 0, 20000, 3};
    for (const nopt_dimer_scope scope : kScopes) {
        for (const nopt_dimer_angle angle : kAngles) {
            nopt_dimer_options o = dimer_defaults();
            o.angle = angle;
            o.rotation_rate = 1.0;
            const nopt_hyperparams h = defaults("adam");
            DimerModel backed_up("adam", counts, scope);
            DimerModel elsewhere("adam", counts, scope);
            backed_up.unbind(NOPT_ROLE_GRAD_DISPLACED);
            elsewhere.unbind(NOPT_ROLE_GRAD_BACKUP);
            uint64_t seed = 1;
            const auto next = [&](nopt_role role) {
                const std::vector<float> g = random_values(20043, ++seed);
                backed_up.set_values(NOPT_ROLE_GRAD, g);
                elsewhere.set_values(role, g);
            };
            for (int step = 0; step < 4; ++step) {
                next(NOPT_ROLE_GRAD);
                const std::vector<float> g = elsewhere.values(NOPT_ROLE_GRAD);
                if (step != 1) {
                    NOPT_ASSERT_OK(backed_up.displace(o));
                    NOPT_ASSERT_OK(elsewhere.displace(o));
                    next(NOPT_ROLE_GRAD_DISPLACED);
                    for (int i = angle == NOPT_DIMER_ANGLE_OPTIMAL ? 0 : 1; i < step; ++i) {
                        NOPT_ASSERT_OK(backed_up.rotate(o, h));
                        NOPT_ASSERT_OK(elsewhere.rotate(o, h));
                        EXPECT_TRUE(same_bits(backed_up.values(NOPT_ROLE_PARAM), elsewhere.values(NOPT_ROLE_PARAM)));
                        next(NOPT_ROLE_GRAD_DISPLACED);
                    }
                    if (angle == NOPT_DIMER_ANGLE_OPTIMAL && step == 0) {
                        NOPT_ASSERT_OK(backed_up.rotate(o, h));
                        NOPT_ASSERT_OK(elsewhere.rotate(o, h));
                        next(NOPT_ROLE_GRAD_DISPLACED);
                    }
                }
                NOPT_ASSERT_OK(backed_up.dimer_step(o, h));
                NOPT_ASSERT_OK(elsewhere.dimer_step(o, h));
                EXPECT_TRUE(same_bits(g, elsewhere.values(NOPT_ROLE_GRAD)));
                for (const nopt_role role : {NOPT_ROLE_PARAM, NOPT_ROLE_DIRECTION, NOPT_ROLE_EXP_AVG_SQ}) {
                    EXPECT_TRUE(same_bits(backed_up.values(role), elsewhere.values(role))) << role << " " << step;
                }
                EXPECT_TRUE(same_bits(backed_up.statuses(), elsewhere.statuses()));
                EXPECT_TRUE(elsewhere.intact() && backed_up.intact());
            }
        }
    }
}

// ---- a model spread over ranks ----

// A gradient that every rank computes for its own elements.
std::vector<float> rank_gradient(int64_t first_element, int64_t count, uint64_t salt) {
    std::vector<float> g;
    for (int64_t i = first_element; i < first_element + count; ++i) {
        g.push_back(Random(static_cast<uint64_t>(i) * 64 + salt).value());
    }
    return g;
}

// Some ranks, each with its part of the elements, beside one model that has them all.
class Ranks {
public:
    Ranks(const std::vector<int64_t>& whole_counts, const std::vector<int64_t>& part_counts, nopt_dimer_scope scope)
        : whole("adam", whole_counts, scope), part_counts_(part_counts) {
        NOPT_EXPECT_OK(nopt_dimer_init_direction(whole.dimer, 42, 0, nullptr));
        NOPT_EXPECT_OK(nopt_dimer_normalize_direction(whole.dimer, nullptr));
        int64_t first = 0;
        const std::vector<float> param = whole.values(NOPT_ROLE_PARAM);
        for (const int64_t count : part_counts_) {
            parts.push_back(std::make_unique<DimerModel>("adam", std::vector<int64_t>{count}, scope));
            std::copy_n(param.begin() + first, count, parts.back()->buffer(NOPT_ROLE_PARAM).tensor(0));
            NOPT_EXPECT_OK(nopt_dimer_init_direction(parts.back()->dimer, 42, first, nullptr));
            first += count;
        }
        add_up(NOPT_DIMER_PASS_NORMALIZE);
        for (const auto& part : parts) {
            NOPT_EXPECT_OK(nopt_dimer_normalize_direction(part->dimer, nullptr));
        }
    }

    void new_gradients() {
        whole.set_values(
            NOPT_ROLE_GRAD,
            rank_gradient(0, std::accumulate(part_counts_.begin(), part_counts_.end(), int64_t{0}), salt_));
        int64_t first = 0;
        for (size_t i = 0; i < parts.size(); ++i) {
            parts[i]->set_values(NOPT_ROLE_GRAD, rank_gradient(first, part_counts_[i], salt_));
            first += part_counts_[i];
        }
        ++salt_;
    }

    // What an engine's all-reduce does: neighbours first, as the sums themselves are.
    void add_up(nopt_dimer_pass pass) {
        std::vector<std::vector<double>> all;
        for (const auto& part : parts) {
            NOPT_EXPECT_OK(nopt_dimer_sum(part->dimer, pass, nullptr));
            double* sums = nullptr;
            int64_t count = 0;
            NOPT_EXPECT_OK(nopt_dimer_get_sums(part->dimer, &sums, &count));
            all.emplace_back(sums, sums + count);
        }
        for (size_t width = 1; width < all.size(); width *= 2) {
            for (size_t i = 0; i + width < all.size(); i += 2 * width) {
                all[i] = combined(1.0, all[i], 1.0, all[i + width]);
            }
        }
        for (const auto& part : parts) {
            double* sums = nullptr;
            int64_t count = 0;
            NOPT_EXPECT_OK(nopt_dimer_get_sums(part->dimer, &sums, &count));
            std::copy_n(all[0].begin(), count, sums);
        }
    }

    void each(const std::function<nopt_status(DimerModel&)>& call) {
        NOPT_EXPECT_OK(call(whole));
        for (const auto& part : parts) {
            NOPT_EXPECT_OK(call(*part));
        }
    }

    void expect_equal() {
        for (const nopt_role role : {NOPT_ROLE_PARAM, NOPT_ROLE_DIRECTION, NOPT_ROLE_EXP_AVG, NOPT_ROLE_EXP_AVG_SQ}) {
            std::vector<float> got;
            for (const auto& part : parts) {
                const std::vector<float> values = part->values(role);
                got.insert(got.end(), values.begin(), values.end());
            }
            EXPECT_TRUE(same_bits(whole.values(role), got)) << role;
        }
        for (const auto& part : parts) {
            EXPECT_TRUE(same_bits(whole.statuses(), part->statuses()));
            EXPECT_TRUE(part->intact());
        }
    }

    DimerModel whole;
    std::vector<std::unique_ptr<DimerModel>> parts;

private:
    std::vector<int64_t> part_counts_;
    uint64_t salt_ = 1;
};

TEST(DimerRanks, PartsHaveTheBitsOfTheWhole) {
    struct Split {
        std::vector<int64_t> whole;
        std::vector<int64_t> parts;
        nopt_dimer_scope scope;
    };
    const Split splits[] = {{{65536, 65536}, {65536, 65536}, NOPT_DIMER_SCOPE_GLOBAL},
                            {{131072}, {65536, 65536}, NOPT_DIMER_SCOPE_GLOBAL},
                            {{131072}, {65536, 65536}, NOPT_DIMER_SCOPE_PER_TENSOR},
                            // Tensors across ranks, with a last one that is no whole subtree.
                            {{32768, 65536, 5000}, {32768, 32768, 32768, 5000}, NOPT_DIMER_SCOPE_GLOBAL}};
    for (const Split& split : splits) {
        for (const nopt_dimer_angle angle : kAngles) {
            SCOPED_TRACE(std::to_string(split.whole.size()) + " tensors, " + std::to_string(split.parts.size()) +
                         " ranks, scope " + std::to_string(split.scope) + " angle " + std::to_string(angle));
            nopt_dimer_options o = dimer_defaults();
            o.angle = angle;
            o.rotation_rate = 1.0;
            const nopt_hyperparams h = defaults("adam");
            Ranks ranks(split.whole, split.parts, split.scope);
            ranks.expect_equal();
            for (int step = 0; step < 4; ++step) {
                ranks.new_gradients();
                if (step % 2 == 0) {
                    ranks.each([&](DimerModel& model) { return model.displace(o); });
                    ranks.new_gradients();
                    // Each kind of rotation: one for a rate, those of the plane and of the extrapolated gradient.
                    for (int i = 0; i < step + (angle == NOPT_DIMER_ANGLE_OPTIMAL); ++i) {
                        ranks.add_up(NOPT_DIMER_PASS_STEP);
                        ranks.each([&](DimerModel& model) { return model.rotate(o, h); });
                        ranks.new_gradients();
                    }
                }
                ranks.add_up(NOPT_DIMER_PASS_STEP);
                ranks.each([&](DimerModel& model) { return model.dimer_step(o, h); });
                ranks.expect_equal();
            }
            EXPECT_GT(ranks.whole.status().angle, 0.01);
        }
    }
}

// Sums that were asked for are used by the coming pass, and by no other.
TEST(DimerRanks, SumsServeTheNextPassOnly) {
    const nopt_dimer_options o = dimer_defaults();
    const nopt_hyperparams h = defaults("adam");
    const auto expect_no_effect = [&](nopt_dimer_pass pass, const std::function<void(DimerModel&)>& between) {
        DimerModel model("adam", {700, 3});
        DimerModel twin("adam", {700, 3});
        for (DimerModel* one : {&model, &twin}) {
            one->new_gradients();
            if (one == &model) {
                NOPT_ASSERT_OK(nopt_dimer_sum(model.dimer, pass, nullptr));
                double* sums = nullptr;
                int64_t count = 0;
                NOPT_ASSERT_OK(nopt_dimer_get_sums(model.dimer, &sums, &count));
                std::fill_n(sums, count, 1e3);  // would be seen
            }
            between(*one);
            one->new_gradients();
            NOPT_ASSERT_OK(one->dimer_step(o, h));
        }
        EXPECT_TRUE(same_bits(twin.all_values(), model.all_values()));
        EXPECT_TRUE(same_bits(twin.statuses(), model.statuses()));
    };
    expect_no_effect(NOPT_DIMER_PASS_STEP, [&](DimerModel& model) { NOPT_ASSERT_OK(model.displace(o)); });
    expect_no_effect(NOPT_DIMER_PASS_STEP,
                     [&](DimerModel& model) { NOPT_ASSERT_OK(nopt_dimer_normalize_direction(model.dimer, nullptr)); });
    expect_no_effect(NOPT_DIMER_PASS_NORMALIZE, [&](DimerModel& model) {
        NOPT_ASSERT_OK(nopt_dimer_init_direction(model.dimer, 8, 0, nullptr));
        NOPT_ASSERT_OK(nopt_dimer_normalize_direction(model.dimer, nullptr));
    });
}

TEST(DimerRanks, SumsOfAnUpdateGoWithIt) {
    const nopt_dimer_options o = dimer_defaults();
    const nopt_hyperparams h = defaults("adam");
    DimerModel model("adam", {700, 3});
    DimerModel twin("adam", {700, 3});
    for (DimerModel* one : {&model, &twin}) {
        one->new_gradients();
        NOPT_ASSERT_OK(one->displace(o));
        one->new_gradients();
        if (one == &model) {
            NOPT_ASSERT_OK(nopt_dimer_sum(model.dimer, NOPT_DIMER_PASS_STEP, nullptr));
        }
        NOPT_ASSERT_OK(one->restore());
        NOPT_ASSERT_OK(one->dimer_step(o, h));
    }
    EXPECT_TRUE(same_bits(twin.all_values(), model.all_values()));
    EXPECT_TRUE(same_bits(twin.statuses(), model.statuses()));
}

// Neighbours first, whatever is missing at the end left out.
double tree(std::vector<double> values) {
    if (values.empty()) {
        return 0.0;
    }
    for (size_t width = 1; width < values.size(); width *= 2) {
        for (size_t i = 0; i + width < values.size(); i += 2 * width) {
            values[i] += values[i + width];
        }
    }
    return values[0];
}

// The order of numerics/sums.h, written here a second time: lanes, leaves, chunks; of the tensors given.
double ordered_dot(const std::vector<Vector>& a, const std::vector<Vector>& b) {
    std::vector<double> chunks;
    for (size_t t = 0; t < a.size(); ++t) {
        for (size_t chunk = 0; chunk < a[t].size(); chunk += 16384) {
            const size_t chunk_end = std::min(a[t].size(), chunk + 16384);
            std::vector<double> leaves;
            for (size_t leaf = chunk; leaf < chunk_end; leaf += 512) {
                const size_t leaf_end = std::min(chunk_end, leaf + 512);
                std::vector<double> lanes(32, 0.0);
                for (size_t i = leaf; i < leaf_end; ++i) {
                    lanes[(i - leaf) % 32] += a[t][i] * b[t][i];
                }
                leaves.push_back(tree(lanes));
            }
            chunks.push_back(tree(leaves));
        }
    }
    return tree(chunks);
}

// Bit for bit: other backends and other ranks rely on it.
TEST(DimerRanks, SumsAreAddedUpInTheirOrder) {
    const std::vector<int64_t> counts = {1, 31, 0, 32, 33, 511, 512, 513, 16384, 16385, 70000, 5};
    for (const nopt_dimer_scope scope : kScopes) {
        DimerModel model("sgd", counts, scope);
        nopt_dimer_options o = dimer_defaults();
        o.angle = NOPT_DIMER_ANGLE_OPTIMAL;
        const nopt_hyperparams h = defaults("sgd");
        const auto tensors_of_role = [&](nopt_role role) {
            std::vector<Vector> result;
            for (size_t t = 0; t < counts.size(); ++t) {
                const float* values = model.buffer(role).tensor(t);
                result.emplace_back(values, values + counts[t]);
            }
            return result;
        };
        const auto difference = [&] {  // rounded to float
            std::vector<Vector> d = tensors_of_role(NOPT_ROLE_GRAD);
            const std::vector<Vector> g = tensors_of_role(NOPT_ROLE_GRAD_BACKUP);
            for (size_t t = 0; t < d.size(); ++t) {
                for (size_t i = 0; i < d[t].size(); ++i) {
                    d[t][i] = static_cast<double>(static_cast<float>(d[t][i]) - static_cast<float>(g[t][i]));
                }
            }
            return d;
        };
        using Pairs = std::vector<std::pair<std::vector<Vector>, std::vector<Vector>>>;
        const auto expect_sums = [&](nopt_dimer_pass pass, const Pairs& pairs) {
            NOPT_ASSERT_OK(nopt_dimer_sum(model.dimer, pass, nullptr));
            double* sums = nullptr;
            int64_t count = 0;
            NOPT_ASSERT_OK(nopt_dimer_get_sums(model.dimer, &sums, &count));
            ASSERT_EQ(0, count % model.scope_count());
            const int64_t each = count / model.scope_count();
            for (int64_t s = 0; s < model.scope_count(); ++s) {
                for (size_t k = 0; k < pairs.size(); ++k) {
                    const size_t t = static_cast<size_t>(s);
                    const double expected = scope == NOPT_DIMER_SCOPE_GLOBAL
                                                ? ordered_dot(pairs[k].first, pairs[k].second)
                                                : ordered_dot(std::vector<Vector>{pairs[k].first[t]},
                                                              std::vector<Vector>{pairs[k].second[t]});
                    EXPECT_EQ(expected, sums[s * each + static_cast<int64_t>(k)]) << "scope " << s << ", sum " << k;
                }
            }
        };
        model.new_gradients();
        const std::vector<Vector> n = tensors_of_role(NOPT_ROLE_DIRECTION);
        const std::vector<Vector> g = tensors_of_role(NOPT_ROLE_GRAD);
        expect_sums(NOPT_DIMER_PASS_NORMALIZE, {{n, n}});
        expect_sums(NOPT_DIMER_PASS_STEP, {{g, n}});
        NOPT_ASSERT_OK(model.displace(o));
        model.new_gradients();
        const std::vector<Vector> d = difference();
        expect_sums(NOPT_DIMER_PASS_STEP, {{d, n}, {d, d}, {n, n}, {g, n}, {g, d}});
        NOPT_ASSERT_OK(model.rotate(o, h));
        model.new_gradients();
        const std::vector<Vector> d2 = difference();
        const std::vector<Vector> t = tensors_of_role(NOPT_ROLE_ROTATION_DIRECTION);
        expect_sums(NOPT_DIMER_PASS_STEP, {{d2, n}, {d2, d2}, {d2, t}, {g, t}, {t, t}, {n, t}});
    }
}

// ---- random directions ----

// The vectors that come with the authors' own implementation.
TEST(Philox, KnownAnswers) {
    struct Known {
        nopt::Philox counter;
        uint32_t key[2];
        nopt::Philox expected;
    };
    const Known known[] = {
        {{{0, 0, 0, 0}}, {0, 0}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
        {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
         {0xffffffff, 0xffffffff},
         {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
        {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
         {0xa4093822, 0x299f31d0},
         {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
    };
    for (const Known& one : known) {
        const nopt::Philox got = nopt::philox(one.counter, one.key[0], one.key[1]);
        for (int i = 0; i < 4; ++i) {
            EXPECT_EQ(one.expected.word[i], got.word[i]) << i;
        }
    }
}

std::vector<float> random_direction(const std::vector<int64_t>& counts, uint64_t seed, int64_t first_element) {
    DimerModel model("sgd", counts);
    NOPT_EXPECT_OK(nopt_dimer_init_direction(model.dimer, seed, first_element, nullptr));
    EXPECT_TRUE(model.intact());
    return model.values(NOPT_ROLE_DIRECTION);
}

TEST(Dimer, RandomDirectionsAreIsotropic) {
    constexpr int kCount = 200000;
    const Vector x = to_double(random_direction({kCount}, 3, 0));
    double sum = 0.0, squares = 0.0, cubes = 0.0, neighbours = 0.0;
    for (size_t i = 0; i < x.size(); ++i) {
        ASSERT_NE(0.0, x[i]);
        ASSERT_LE(fabs(x[i]), 1.0);
        sum += x[i];
        squares += x[i] * x[i];
        cubes += x[i] * x[i] * x[i];
        neighbours += i == 0 ? 0.0 : x[i] * x[i - 1];
    }
    // (u1 + u2 + u3 + u4 - 2) / 2 of uniform numbers: the variance is 1/12, that of the square and of x^3 less than
    // 1/50. Five standard deviations of the mean of so many, and a wrong seed would be one in a million.
    const double five = 5.0 / sqrt(kCount);
    EXPECT_NEAR(0.0, sum / kCount, five * sqrt(1.0 / 12.0));
    EXPECT_NEAR(1.0 / 12.0, squares / kCount, five * sqrt(1.0 / 50.0));
    EXPECT_NEAR(0.0, cubes / kCount, five * sqrt(1.0 / 50.0));
    EXPECT_NEAR(0.0, neighbours / kCount, five / 12.0);
}

TEST(Dimer, RandomDirectionsAreAFunctionOfSeedAndElement) {
    const std::vector<float> all = random_direction({40000}, 3, 0);
    // However the elements are cut into tensors and ranks.
    EXPECT_TRUE(same_bits(all, random_direction({1, 0, 16383, 20000, 3616}, 3, 0)));
    EXPECT_TRUE(
        same_bits(std::vector<float>(all.begin() + 12345, all.end()), random_direction({40000 - 12345}, 3, 12345)));
    // Every bit of the seed and of the element's number counts.
    const auto same_share = [&](const std::vector<float>& other) {
        int same = 0;
        for (size_t i = 0; i < other.size(); ++i) {
            same += all[i] == other[i] ? 1 : 0;
        }
        return same / static_cast<double>(other.size());
    };
    EXPECT_LT(same_share(random_direction({40000}, 4, 0)), 1e-3);
    EXPECT_LT(same_share(random_direction({40000}, 3 + (uint64_t{1} << 32), 0)), 1e-3);
    EXPECT_LT(same_share(random_direction({40000}, 3 + (uint64_t{1} << 63), 0)), 1e-3);
    EXPECT_LT(same_share(random_direction({40000}, 3, int64_t{1} << 32)), 1e-3);
    // Past 2^32 elements the count goes on.
    const int64_t edge = (int64_t{1} << 32) - 500;
    const std::vector<float> across = random_direction({1000}, 3, edge);
    EXPECT_TRUE(
        same_bits(std::vector<float>(across.begin() + 500, across.end()), random_direction({500}, 3, edge + 500)));
}

// ---- wrong calls ----

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
    EXPECT_EQ(1.0, model.state().beta1_product);
    for (DimerModel* one : {&model, &twin}) {
        if (stage == kDisplaced && angle == NOPT_DIMER_ANGLE_OPTIMAL) {
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
        bad.push_back({"options->angle is", [=](nopt_dimer_options& o) { o.angle = value; }});
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
            const Stage stage = angle == NOPT_DIMER_ANGLE_OPTIMAL ? kInThePlane : kDisplaced;
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
        {"lr is", NOPT_ERROR_INVALID_ARGUMENT, [](nopt_hyperparams& h) { h.lr = -1.0; }},
        {"lr is", NOPT_ERROR_INVALID_ARGUMENT, [](nopt_hyperparams& h) { h.lr = static_cast<double>(NAN); }},
        {"beta1 is", NOPT_ERROR_INVALID_ARGUMENT, [](nopt_hyperparams& h) { h.beta1 = 1.0; }},
        {"momentum", NOPT_ERROR_UNSUPPORTED, [](nopt_hyperparams& h) { h.momentum = 0.9; }},
        {"NOPT_FLAG_NESTEROV", NOPT_ERROR_UNSUPPORTED, [](nopt_hyperparams& h) { h.flags = NOPT_FLAG_NESTEROV; }},
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
                expect_refused(angle == NOPT_DIMER_ANGLE_OPTIMAL ? kInThePlane : kDisplaced, angle, one.status,
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
    expect_refused(kAtTheta, fixed, missing, "EXP_AVG_SQ", without(NOPT_ROLE_EXP_AVG_SQ, kStep));
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
                                       {kInThePlane, NOPT_DIMER_ANGLE_OPTIMAL}}) {
        expect_refused(stage, angle, NOPT_ERROR_MISSING_ROLE, "PARAM", without(NOPT_ROLE_PARAM, kRotate));
    }
}

TEST(DimerErrors, BestAnglesNeedTheirDirection) {
    DimerModel model("adam", {40});
    nopt_dimer_options o = dimer_defaults();
    o.angle = NOPT_DIMER_ANGLE_OPTIMAL;
    const nopt_hyperparams h = defaults("adam");
    model.unbind(NOPT_ROLE_ROTATION_DIRECTION);
    model.new_gradients();
    const std::vector<float> theta = model.values(NOPT_ROLE_PARAM);
    EXPECT_EQ(NOPT_ERROR_MISSING_ROLE, model.displace(o));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "ROTATION_DIRECTION")) << nopt_last_error_message();
    EXPECT_TRUE(same_bits(theta, model.values(NOPT_ROLE_PARAM)));
    model.bind(NOPT_ROLE_ROTATION_DIRECTION);
    NOPT_ASSERT_OK(model.displace(o));
    NOPT_ASSERT_OK(model.rotate(o, h));
    NOPT_ASSERT_OK(model.dimer_step(o, h));
}

// Buffers that hold what ends the update cannot be taken away within it.
TEST(DimerErrors, HeldRolesStayBound) {
    for (const nopt_role role :
         {NOPT_ROLE_DIRECTION, NOPT_ROLE_PARAM_BACKUP, NOPT_ROLE_GRAD_BACKUP, NOPT_ROLE_ROTATION_DIRECTION}) {
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

TEST(DimerErrors, CurvaturesAreChecked) {
    const auto set = [](std::vector<double> values) {
        return [values](DimerModel& model, const nopt_dimer_options&, const nopt_hyperparams&) {
            return nopt_dimer_set_curvature(model.dimer, static_cast<int64_t>(values.size()), values.data(), nullptr);
        };
    };
    const nopt_dimer_angle angle = NOPT_DIMER_ANGLE_FIXED_RATE;
    const double infinity = static_cast<double>(INFINITY);
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
    // These are enough.
    for (const nopt_role role : kDimerRoles) {
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
    for (const nopt_dimer_scope scope : kScopes) {
        nopt_dimer_options o = dimer_defaults();
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
                }
                NOPT_ASSERT_OK(model.dimer_step(o, h));
            }
        };
        steps(whole, 100);
        DimerModel resumed("dualadam", {40, 0, 700, 3}, scope, 0, 77);
        for (const nopt_role role : {NOPT_ROLE_PARAM, NOPT_ROLE_EXP_AVG, NOPT_ROLE_EXP_AVG_SQ, NOPT_ROLE_DIRECTION}) {
            resumed.set_values(role, whole.values(role));
        }
        const nopt_step_state state = whole.state();
        NOPT_ASSERT_OK(nopt_optimizer_set_state(resumed.optimizer, &state));
        std::vector<double> curvature;
        for (const nopt_dimer_status& status : whole.statuses()) {
            curvature.push_back(status.curvature);
        }
        NOPT_ASSERT_OK(nopt_dimer_set_curvature(resumed.dimer, resumed.scope_count(), curvature.data(), nullptr));
        steps(whole, 200);
        steps(resumed, 200);
        for (const nopt_role role : {NOPT_ROLE_PARAM, NOPT_ROLE_EXP_AVG, NOPT_ROLE_EXP_AVG_SQ, NOPT_ROLE_DIRECTION}) {
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
