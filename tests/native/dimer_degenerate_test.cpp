// What the dimer makes of degenerate input, of its corrections, and of gradients in one place or two.
#include <math.h>

#include "support/dimer_model.h"
#include "support/dimer_reference.h"

namespace nopt_test {
namespace {

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
        plain_.take(model, model.roles());
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
        if (o.angle != NOPT_DIMER_ANGLE_FIXED_RATE) {
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
        return same_numbers(plain_.values_of(plain_.written()), model.values_of(model.written()));
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
            for (int bad_one = 0; bad_one < (angle != NOPT_DIMER_ANGLE_FIXED_RATE ? 2 : 1); ++bad_one) {
                SCOPED_TRACE(std::string(bad.name) + " angle " + std::to_string(angle) + " gradient " +
                             std::to_string(bad_one));
                Beside beside(angle);
                beside.healthy_update(1);
                const nopt_dimer_status old = beside.model.status();
                const std::vector<float> direction = beside.model.values(NOPT_ROLE_DIRECTION);

                std::vector<float> g = random_values(Beside::kCount, 10);
                std::vector<std::vector<float>> displaced = {random_values(Beside::kCount, 11)};
                if (angle != NOPT_DIMER_ANGLE_FIXED_RATE) {
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
        if (angle != NOPT_DIMER_ANGLE_FIXED_RATE) {
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
            for (const nopt_role role : healthy.model.kept()) {
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
    lr(h) = 1.0;
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
        lr(h) = 1.0;
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
                    for (int i = angle != NOPT_DIMER_ANGLE_FIXED_RATE ? 0 : 1; i < step; ++i) {
                        NOPT_ASSERT_OK(backed_up.rotate(o, h));
                        NOPT_ASSERT_OK(elsewhere.rotate(o, h));
                        EXPECT_TRUE(same_bits(backed_up.values(NOPT_ROLE_PARAM), elsewhere.values(NOPT_ROLE_PARAM)));
                        next(NOPT_ROLE_GRAD_DISPLACED);
                    }
                    if (angle != NOPT_DIMER_ANGLE_FIXED_RATE && step == 0) {
                        NOPT_ASSERT_OK(backed_up.rotate(o, h));
                        NOPT_ASSERT_OK(elsewhere.rotate(o, h));
                        next(NOPT_ROLE_GRAD_DISPLACED);
                    }
                }
                NOPT_ASSERT_OK(backed_up.dimer_step(o, h));
                NOPT_ASSERT_OK(elsewhere.dimer_step(o, h));
                EXPECT_TRUE(same_bits(g, elsewhere.values(NOPT_ROLE_GRAD)));
                for (const nopt_role role : elsewhere.kept()) {
                    EXPECT_TRUE(same_bits(backed_up.values(role), elsewhere.values(role))) << role << " " << step;
                }
                EXPECT_TRUE(same_bits(backed_up.statuses(), elsewhere.statuses()));
                EXPECT_TRUE(elsewhere.intact() && backed_up.intact());
            }
        }
    }
}

}  // namespace
}  // namespace nopt_test
