// The dimer: the same bits everywhere, and parameters that come back bit for bit.
#include <math.h>

#include <map>
#include <memory>
#include <utility>

#include "support/dimer_model.h"

namespace nopt_test {
namespace {

struct BitsRun {
    std::vector<float> values;
    std::vector<nopt_dimer_status> statuses;
    std::vector<double> norms;
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
                 int64_t misalign, const nopt_grad_options* grads = nullptr) {
    DimerModel model(rule, counts, scope, misalign);
    NOPT_EXPECT_OK(nopt_optimizer_set_grad_options(model.optimizer, grads));
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
            for (int rotations = (angle != NOPT_DIMER_ANGLE_FIXED_RATE) + (step == 2); rotations > 0; --rotations) {
                NOPT_EXPECT_OK(model.rotate(o, h));
                new_gradient();
            }
        }
        NOPT_EXPECT_OK(model.dimer_step(o, h));
        const std::vector<nopt_dimer_status> statuses = model.statuses();
        result.statuses.insert(result.statuses.end(), statuses.begin(), statuses.end());
        result.norms.push_back(status_of(model.optimizer).norm);
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

    void expect_same_everywhere(const std::vector<int64_t>& counts, int64_t misalign,
                                const nopt_grad_options* grads = nullptr) {
        for (const nopt_dimer_scope scope : kScopes) {
            for (const nopt_dimer_angle angle : kAngles) {
                BitsRun expected;
                for (const std::string& isa : runnable_isas()) {
                    for (const int32_t threads : {1, 2, 5}) {
                        NOPT_ASSERT_OK(nopt_cpu_set_isa(isa.c_str()));
                        NOPT_ASSERT_OK(nopt_cpu_set_num_threads(threads));
                        const BitsRun got = run_bits(GetParam(), counts, scope, angle, misalign, grads);
                        if (expected.values.empty()) {
                            expected = got;
                            continue;
                        }
                        ASSERT_TRUE(same_bits(expected.values, got.values))
                            << isa << ", " << threads << " threads, scope " << scope << ", angle " << angle;
                        ASSERT_TRUE(same_bits(expected.statuses, got.statuses))
                            << isa << ", " << threads << " threads, scope " << scope << ", angle " << angle;
                        ASSERT_TRUE(same_bits(expected.norms, got.norms))
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

TEST_P(DimerBits, ScaledAndClipped) {
    const nopt_grad_options o = grad_options(0.5, 0.003, 3.0, true);
    expect_same_everywhere(kAwkward, 0, &o);
}

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
                if (angle != NOPT_DIMER_ANGLE_FIXED_RATE) {
                    on_each([&](DimerModel& model) { return model.rotate(o, h); });
                    new_gradients();
                }
            }
            on_each([&](DimerModel& model) { return model.dimer_step(o, h); });
            for (size_t t = 0; t < counts.size(); ++t) {
                for (const nopt_role role : all.kept()) {
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
        for (const nopt_role role : model.kept()) {
            EXPECT_TRUE(same_bits(twin.values(role), model.values(role))) << role;
        }
        EXPECT_TRUE(same_bits(twin.statuses(), model.statuses()));
    }
    // Without a correction, an update's step is the rule's own from theta.
    nopt_dimer_options uncorrected = o;
    uncorrected.alpha = 0.0;
    Model plain("adam", {2000, 0, 3});
    plain.take(model, model.roles());
    const nopt_step_state state = model.state();
    NOPT_ASSERT_OK(nopt_optimizer_set_state(plain.optimizer, &state));
    NOPT_ASSERT_OK(model.displace(uncorrected));
    model.new_gradients();
    NOPT_ASSERT_OK(model.dimer_step(uncorrected, h));
    NOPT_ASSERT_OK(plain.step(h));
    for (const nopt_role role : plain.written()) {
        EXPECT_TRUE(same_bits(plain.buffer(role).values(), model.values(role))) << role;
    }
}

// Backups that are too large for the caches go past them: they are the same, to the ends of unaligned tensors.
TEST(Dimer, LargeSetsAreDisplacedLikeSmallOnes) {
    nopt_dimer_options o = dimer_defaults();
    o.displacement = 0.25;
    const std::vector<int64_t> counts = {1, 1029, 0, int64_t{1} << 22, 31};
    DimerModel model("sgd", counts, NOPT_DIMER_SCOPE_GLOBAL, 3);
    model.new_gradients();
    const std::vector<float> theta = model.values(NOPT_ROLE_PARAM);
    const std::vector<float> direction = model.values(NOPT_ROLE_DIRECTION);
    const std::vector<float> gradients = model.values(NOPT_ROLE_GRAD);
    std::vector<float> expected;
    for (size_t i = 0; i < theta.size(); ++i) {
        expected.push_back(theta[i] + 0.25f * direction[i]);
    }
    for (const std::string& isa : runnable_isas()) {
        NOPT_ASSERT_OK(nopt_cpu_set_isa(isa.c_str()));
        model.set_values(NOPT_ROLE_PARAM_BACKUP, std::vector<float>(theta.size(), 5.0f));
        model.set_values(NOPT_ROLE_GRAD_BACKUP, std::vector<float>(theta.size(), 5.0f));
        NOPT_ASSERT_OK(model.displace(o));
        EXPECT_TRUE(same_bits(theta, model.values(NOPT_ROLE_PARAM_BACKUP))) << isa;
        EXPECT_TRUE(same_bits(gradients, model.values(NOPT_ROLE_GRAD_BACKUP))) << isa;
        EXPECT_TRUE(same_bits(expected, model.values(NOPT_ROLE_PARAM))) << isa;
        EXPECT_TRUE(model.intact()) << isa;
        NOPT_ASSERT_OK(model.restore());
        EXPECT_TRUE(same_bits(theta, model.values(NOPT_ROLE_PARAM))) << isa;
    }
    NOPT_ASSERT_OK(nopt_cpu_set_isa(runnable_isas().back().c_str()));
}

}  // namespace
}  // namespace nopt_test
