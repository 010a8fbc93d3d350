// The dimer on quadratics with known eigenvalues.
#include <math.h>
#include <stdio.h>

#include <functional>

#include "support/dimer_model.h"
#include "support/dimer_reference.h"

namespace nopt_test {
namespace {

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
        lr(h) = 0.0;
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
    if (o.angle != NOPT_DIMER_ANGLE_FIXED_RATE) {  // the plane
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
            int gradients[3];
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
                const std::string name =
                    std::string(name_of(angle)) + (maximum ? "_maximum_" : "_minimum_") + std::to_string(seed);
                RecordProperty("gradients_" + name, found.gradients);
                printf("%s: %d turns, %d gradients, curvature %.4f\n", name.c_str(), found.turns, found.gradients,
                       found.curvature);
            }
            // The best angle is never the slower one here.
            EXPECT_LE(gradients[NOPT_DIMER_ANGLE_OPTIMAL], gradients[NOPT_DIMER_ANGLE_FIXED_RATE]);
            // Conjugate directions need less than half of its gradients.
            EXPECT_LE(2 * gradients[NOPT_DIMER_ANGLE_CONJUGATE], gradients[NOPT_DIMER_ANGLE_OPTIMAL]);
        }
    }
}

// One turn for each step, as training has it.
TEST(DimerQuadratic, FindsTheEigenvectorFromStepToStep) {
    for (const uint64_t seed : {11u, 12u, 13u}) {
        const Quadratic quadratic(seed);
        int optimal = 0;
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
            optimal = angle == NOPT_DIMER_ANGLE_OPTIMAL ? gradients : optimal;
            if (angle == NOPT_DIMER_ANGLE_CONJUGATE) {
                EXPECT_LE(2 * gradients, optimal);
            }
            const std::string name = std::string(name_of(angle)) + "_" + std::to_string(seed);
            RecordProperty("step_gradients_" + name, gradients);
            printf("%s: %d steps, %d gradients\n", name.c_str(), steps, gradients);
        }
    }
}

// What is left in ROTATION_DIRECTION, a NaN even, is read only after a turn by conjugate directions along the same N;
// other angles, a new direction and an update that was given up make the search begin anew, as the first does.
TEST(DimerQuadratic, ConjugateSearchesBeginAnew) {
    const Quadratic quadratic(11);
    nopt_dimer_options o = dimer_defaults();
    o.angle = NOPT_DIMER_ANGLE_CONJUGATE;
    const auto run = [&](Standing& standing, int steps) {
        for (int step = 0; step < steps; ++step) {
            library_step(standing.model, quadratic, o, standing.h, 1);
        }
    };
    using Reset = std::function<void(Standing&)>;
    const Reset nothing = [](Standing&) {};
    const Reset by_set = [](Standing& standing) {
        const double anew = 0.0;
        NOPT_EXPECT_OK(nopt_dimer_set_conjugation(standing.model.dimer, 1, &anew, nullptr));
    };
    const Reset by_new_direction = [](Standing& standing) {
        NOPT_EXPECT_OK(nopt_dimer_normalize_direction(standing.model.dimer, nullptr));
    };
    const Reset by_restore = [&](Standing& standing) {
        evaluate(quadratic, standing.model);
        NOPT_EXPECT_OK(standing.model.displace(o));
        evaluate(quadratic, standing.model);
        NOPT_EXPECT_OK(standing.model.rotate(o, standing.h));
        NOPT_EXPECT_OK(standing.model.restore());
    };
    for (const Reset& reset : {nothing, by_set, by_new_direction, by_restore}) {
        Standing first(11);
        Standing anew(11);
        run(first, 4);
        const bool resets = reset.target_type() != nothing.target_type();
        EXPECT_NE(0.0, first.model.status().conjugation);
        reset(first);
        EXPECT_EQ(resets, first.model.status().conjugation == 0.0);
        anew.model.set_values(NOPT_ROLE_DIRECTION, first.model.values(NOPT_ROLE_DIRECTION));
        anew.model.set_values(NOPT_ROLE_ROTATION_DIRECTION, std::vector<float>(Quadratic::kSize, NAN));
        run(first, 3);
        run(anew, 3);
        EXPECT_EQ(resets, same_bits(first.model.values(NOPT_ROLE_DIRECTION), anew.model.values(NOPT_ROLE_DIRECTION)));
        EXPECT_EQ(0u, anew.model.status().flags);
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

// Once N is an eigenvector, the search goes by roundings alone, and must not lead away: with rotations that
// extrapolate, too.
TEST(DimerQuadratic, ConjugateSearchesStayWhereTheForceIsRounding) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        for (const int turns : {1, 3}) {
            nopt_dimer_options o = dimer_defaults();
            o.angle = NOPT_DIMER_ANGLE_CONJUGATE;
            o.displacement = 0.5;
            const Loss loss({7}, 0.5, 0.0, seed);
            DimerModel model("sgd", {7}, NOPT_DIMER_SCOPE_GLOBAL, 0, seed);
            nopt_hyperparams h = defaults("sgd");
            lr(h) = 0.0;
            const Vector at_zero = loss.gradient(Vector(7, 0.0));
            for (int step = 0; step < 60; ++step) {
                library_step(model, loss, o, h, turns);
                const Vector n = to_double(model.values(NOPT_ROLE_DIRECTION));
                const Vector change = combined(1.0, loss.gradient(n), -1.0, at_zero);
                const double force = norm(combined(1.0, change, -dot(change, n), n));
                if (step >= 30) {
                    // Gradients of some units, rounded to float, over the displacement: 1e-6.
                    ASSERT_LT(force, 1e-5) << "seed " << seed << " turns " << turns << " step " << step;
                }
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
                    lr(h) = 0.0;
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

}  // namespace
}  // namespace nopt_test
