// Elements of 16 bits: every mix of types, masters, remainders and stochastic rounding, against float32 steps on the
// widened values.
#include "numerics/dtypes.h"
#include "numerics/philox.h"
#include "support/mixed_model.h"

namespace nopt_test {
namespace {

constexpr nopt_dtype k16BitTypes[] = {NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_FLOAT16};

bool same_float(float a, float b) {
    return (isnan(a) && isnan(b)) || encoded(a, NOPT_DTYPE_FLOAT32) == encoded(b, NOPT_DTYPE_FLOAT32);
}

// Around every value that a half can have and every place where rounding changes.
TEST(Mixed, ConversionsAreRightEverywhere) {
    for (const nopt_dtype type : k16BitTypes) {
        int64_t wrong = 0;
        for (uint32_t bits = 0; bits < 65536; ++bits) {
            const float value = decoded(bits, type);
            wrong += !same_float(value, nopt::from_half(type, static_cast<uint16_t>(bits)));
            const float next = decoded((bits & 0x8000) | std::min(bits + 1, (bits & 0x8000) | 0x7fff), type);
            const float middle = isfinite(next) ? value / 2 + next / 2 : type == NOPT_DTYPE_FLOAT16 ? 65520.0f : 0.0f;
            for (const float center : {value, middle}) {
                for (const float x : {nextafterf(center, -INFINITY), center, nextafterf(center, INFINITY)}) {
                    const uint32_t expected = encoded(rounded(x, type), type);
                    const uint32_t actual = nopt::to_half(type, x);
                    wrong += isnan(x) ? !isnan(decoded(actual, type)) : expected != actual;
                    if (type == NOPT_DTYPE_BFLOAT16) {
                        const uint32_t away = nopt::to_bfloat16_away(x);
                        wrong += isnan(x) ? !isnan(decoded(away, type))
                                          : encoded(rounded(x, type, Ties::kAway), type) != away;
                        wrong +=
                            !same_float(x, nopt::join_bfloat16(static_cast<uint16_t>(away), nopt::remainder_of(x)));
                    }
                }
            }
        }
        EXPECT_EQ(0, wrong) << type;
    }
    // NaNs whose payload is in the bits that are lost.
    for (const uint32_t bits : {0x7f800001u, 0xff800001u, 0x7fffffffu, 0xffffffffu, 0x7f80ffffu}) {
        const float nan = decoded(bits, NOPT_DTYPE_FLOAT32);
        EXPECT_TRUE(isnan(nopt::from_bfloat16(nopt::to_bfloat16(nan))));
        EXPECT_TRUE(isnan(nopt::from_bfloat16(nopt::to_bfloat16_away(nan))));
        EXPECT_TRUE(isnan(nopt::from_bfloat16(nopt::to_bfloat16_stochastic(nan, 0xffff))));
        EXPECT_TRUE(isnan(nopt::join_bfloat16(nopt::to_bfloat16_away(nan), nopt::remainder_of(nan))));
        EXPECT_TRUE(isnan(nopt::from_float16(nopt::to_float16(nan))));
    }
}

// A float32 model with the values of a mixed one, on the CPU.
class Widened {
public:
    explicit Widened(MixedModel& mixed, const std::string& rule) : mixed_(mixed) {
        const nopt_backend before = test_backend;
        test_backend = NOPT_BACKEND_CPU;
        model = std::make_unique<Model>(rule, mixed.counts());
        test_backend = before;
    }

    // Takes over all that a step reads.
    void follow() {
        mixed_.read();
        mixed_.for_all([&](size_t t, int64_t i) {
            model->buffer(NOPT_ROLE_PARAM).tensor(t)[i] = mixed_.theta(t, i);
            for (const nopt_role role : model->roles()) {
                if (role != NOPT_ROLE_PARAM) {
                    TypedBuffer& from = mixed_.buffer(role);
                    model->buffer(role).tensor(t)[i] = decoded(from.bits(t, i), from.type(t));
                }
            }
        });
    }

    // The number of elements that are not what the rounded float32 step says.
    int64_t differences() {
        mixed_.read();
        int64_t wrong = 0;
        mixed_.for_all([&](size_t t, int64_t i) {
            const Mix& mix = mixed_.mixes()[t];
            const float theta = model->buffer(NOPT_ROLE_PARAM).tensor(t)[i];
            const bool is_exact = mix.extra != Extra::kNone || mix.param == NOPT_DTYPE_FLOAT32;
            wrong += is_exact && !same_float(theta, mixed_.theta(t, i));
            const Ties ties = mix.extra != Extra::kNone && mix.param == NOPT_DTYPE_BFLOAT16 ? Ties::kAway : Ties::kEven;
            wrong += encoded(rounded(theta, mix.param, ties), mix.param) != mixed_.buffer(NOPT_ROLE_PARAM).bits(t, i);
            for (const nopt_role role : model->states()) {
                const nopt_dtype type = mixed_.buffer(role).type(t);
                const float state = model->buffer(role).tensor(t)[i];
                wrong += encoded(rounded(state, type), type) != mixed_.buffer(role).bits(t, i);
            }
        });
        return wrong;
    }

    std::unique_ptr<Model> model;

private:
    MixedModel& mixed_;
};

void set_tensor_values(nopt_param_set* set, size_t tensors) {
    std::vector<double> lr_scale, weight_decay;
    for (size_t i = 0; i < tensors; ++i) {
        lr_scale.push_back(i % 3 == 0 ? 0.5 : 1.0);
        weight_decay.push_back(i % 4 == 1 ? 0.02 : NOPT_INHERIT);
    }
    const int64_t count = static_cast<int64_t>(tensors);
    NOPT_EXPECT_OK(nopt_param_set_set_lr_scale(set, count, lr_scale.data()));
    NOPT_EXPECT_OK(nopt_param_set_set_weight_decay(set, count, weight_decay.data()));
}

class MixedRules : public testing::TestWithParam<Case> {};

TEST_P(MixedRules, AreRoundedFloat32Steps) {
    for (const int64_t misalign : {0, 1, 3}) {
        MixedModel mixed(GetParam().rule, all_mixes(), misalign);
        Widened floats(mixed, GetParam().rule);
        set_tensor_values(mixed.set, mixed.counts().size());
        set_tensor_values(floats.model->set, mixed.counts().size());
        Random random(17);
        mixed.fill_params(random);
        for (int step = 0; step < 3; ++step) {
            mixed.fill_reads(random);
            floats.follow();
            NOPT_ASSERT_OK(nopt_optimizer_step(mixed.optimizer, &GetParam().hyperparams, nullptr));
            NOPT_ASSERT_OK(floats.model->step(GetParam().hyperparams));
            ASSERT_EQ(0, floats.differences()) << "misalign " << misalign << ", step " << step;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Rules, MixedRules, testing::ValuesIn(all_cases()),
                         [](const testing::TestParamInfo<Case>& one) { return one.param.name; });

// The same steps of a parameter with a float32 master and of one with the remainder: the same parameters.
TEST(Mixed, TheRemainderIsTheMaster) {
    const auto mixes = [](Extra extra) {
        return std::vector<Mix>{{3000, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_FLOAT32, extra}};
    };
    MixedModel master("adam", mixes(Extra::kMaster));
    MixedModel remainder("adam", mixes(Extra::kRemainder));
    Random random_a(5), random_b(5);
    master.fill_params(random_a);
    remainder.fill_params(random_b);
    nopt_hyperparams h = defaults("adam");
    for (int step = 0; step < 50; ++step) {
        master.fill(NOPT_ROLE_GRAD, random_a);
        remainder.fill(NOPT_ROLE_GRAD, random_b);
        lr(h) = step % 2 == 0 ? 1e-3 : 1e-6;  // so small that bfloat16 alone would stay
        NOPT_ASSERT_OK(nopt_optimizer_step(master.optimizer, &h, nullptr));
        NOPT_ASSERT_OK(nopt_optimizer_step(remainder.optimizer, &h, nullptr));
        master.read();
        remainder.read();
        ASSERT_EQ(master.buffer(NOPT_ROLE_PARAM).bytes(), remainder.buffer(NOPT_ROLE_PARAM).bytes()) << step;
        master.for_all([&](size_t t, int64_t i) { ASSERT_EQ(master.theta(t, i), remainder.theta(t, i)); });
    }
}

// Half way between two bfloat16: away from zero beside a master or a remainder, which needs it, and to even without.
TEST(Mixed, TiesGoAwayBesideAMaster) {
    std::vector<Mix> mixes;
    for (const Extra extra : {Extra::kNone, Extra::kMaster, Extra::kRemainder}) {
        mixes.push_back({37, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, extra});
    }
    MixedModel model("sgd", mixes);
    model.for_all([&](size_t t, int64_t i) {
        model.set_theta(t, i, 1.0f);
        model.buffer(NOPT_ROLE_GRAD).set_bits(t, i, encoded(-0x1p-8f, NOPT_DTYPE_FLOAT32));
    });
    for (const nopt_role role : {NOPT_ROLE_PARAM, NOPT_ROLE_MASTER_PARAM, NOPT_ROLE_PARAM_REMAINDER, NOPT_ROLE_GRAD}) {
        model.buffer(role).write();
    }
    nopt_hyperparams h = defaults("sgd");
    lr(h) = 1.0;
    NOPT_ASSERT_OK(nopt_optimizer_step(model.optimizer, &h, nullptr));
    model.read();
    model.for_all([&](size_t t, int64_t i) {
        const float expected = mixes[t].extra == Extra::kNone ? 1.0f : 1.0f + 0x1p-7f;
        ASSERT_EQ(encoded(expected, NOPT_DTYPE_BFLOAT16), model.buffer(NOPT_ROLE_PARAM).bits(t, i)) << t;
        ASSERT_EQ(mixes[t].extra == Extra::kNone ? 1.0f : 1.0f + 0x1p-8f, model.theta(t, i)) << t;
    });
}

// Rounded by the numbers that the header names, and right on average.
TEST(Mixed, StochasticRoundingIsReproducibleAndUnbiased) {
    const std::vector<Mix> mixes = {
        {5, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32},
        {20003, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32},
        {77, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, Extra::kMaster},
        {77, NOPT_DTYPE_FLOAT16, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32},
    };
    nopt_hyperparams h = defaults("sgd");
    h.flags = NOPT_FLAG_STOCHASTIC_ROUNDING;
    lr(h) = 1.0;
    h.rounding_seed = 0x123456789abcdefu;
    for (const int64_t misalign : {0, 1}) {
        MixedModel mixed("sgd", mixes, misalign);
        MixedModel again("sgd", mixes, misalign);
        // From 1 down by 0.3 of the distance to the next bfloat16 below.
        const float step_size = 0.3f * 0x1p-8f;
        for (MixedModel* const one : {&mixed, &again}) {
            one->for_all([&](size_t t, int64_t i) {
                one->set_theta(t, i, 1.0f);
                one->buffer(NOPT_ROLE_GRAD).set_bits(t, i, encoded(step_size, NOPT_DTYPE_FLOAT32));
            });
            for (const nopt_role role : {NOPT_ROLE_PARAM, NOPT_ROLE_MASTER_PARAM, NOPT_ROLE_GRAD}) {
                one->buffer(role).write();
            }
            NOPT_ASSERT_OK(nopt_optimizer_step(one->optimizer, &h, nullptr));
        }
        EXPECT_EQ(mixed.all_bytes(), again.all_bytes());
        const float exact = 1.0f - step_size;
        double sum = 0.0;
        for (int64_t i = 0; i < mixes[1].count; ++i) {
            const uint32_t actual = mixed.buffer(NOPT_ROLE_PARAM).bits(1, i);
            const nopt::Philox counter = {{static_cast<uint32_t>(i / 8), 2u << 24, 1, 1}};
            const nopt::Philox words = nopt::philox(counter, 0x89abcdefu, 0x1234567u);
            const uint32_t random = words.word[i % 8 / 2] >> (i % 2 * 16) & 0xffff;
            ASSERT_EQ((encoded(exact, NOPT_DTYPE_FLOAT32) + random) >> 16, actual) << i;
            sum += static_cast<double>(decoded(actual, NOPT_DTYPE_BFLOAT16));
        }
        const double count = static_cast<double>(mixes[1].count);
        const double sigma = 0x1p-8 * sqrt(0.3 * 0.7 / count);
        EXPECT_NEAR(static_cast<double>(exact), sum / count, 4 * sigma);
        // What has a master, or is no bfloat16, is rounded to nearest.
        EXPECT_EQ(encoded(1.0f, NOPT_DTYPE_BFLOAT16), mixed.buffer(NOPT_ROLE_PARAM).bits(2, 5));
        EXPECT_EQ(encoded(rounded(exact, NOPT_DTYPE_FLOAT16), NOPT_DTYPE_FLOAT16),
                  mixed.buffer(NOPT_ROLE_PARAM).bits(3, 5));
        // Another seed and another step give other numbers.
        const std::vector<uint8_t> first = mixed.all_bytes();
        h.rounding_seed += 1;
        NOPT_ASSERT_OK(nopt_optimizer_step(again.optimizer, &h, nullptr));
        h.rounding_seed -= 1;
        NOPT_ASSERT_OK(nopt_optimizer_step(mixed.optimizer, &h, nullptr));
        EXPECT_NE(mixed.all_bytes(), again.all_bytes());
    }
}

// Each state of each tensor is rounded by numbers of its own, and none but bfloat16 ones at random.
TEST(Mixed, StatesRoundStochastically) {
    const std::vector<Mix> mixes = {{77, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT16},
                                    {20003, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_BFLOAT16},
                                    {300, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_BFLOAT16},
                                    {77, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32},
                                    {300, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_DYNAMIC8}};
    // Without and with a tensor in blocks, which other code of a device takes.
    for (const size_t tensors : {mixes.size() - 1, mixes.size()}) {
        for (const int64_t misalign : {0, 1}) {
            MixedModel model("adam", {mixes.begin(), mixes.begin() + static_cast<std::ptrdiff_t>(tensors)}, misalign);
            MixedModel nearest("adam", model.mixes(), misalign);
            nopt_hyperparams h = defaults("adam");
            for (MixedModel* const one : {&model, &nearest}) {
                Random random(7);
                one->fill_params(random);
                one->fill(NOPT_ROLE_GRAD, random);
                h.flags = one == &model ? uint32_t{NOPT_FLAG_STOCHASTIC_ROUNDING_STATES} : 0;
                h.rounding_seed = one == &model ? 0x123456789abcdefu : 0;
                NOPT_ASSERT_OK(nopt_optimizer_step(one->optimizer, &h, nullptr));
                one->read();
            }
            for (const char* const name : {"exp_avg", "exp_avg_sq"}) {
                const nopt_role role = state_role("adam", name);
                const uint32_t use = 3 + static_cast<uint32_t>(role - NOPT_ROLE_STATE);
                const bool is_square = role == state_role("adam", "exp_avg_sq");
                int64_t went_elsewhere = 0;
                model.for_all([&](size_t t, int64_t i) {
                    const uint32_t actual = model.buffer(role).bits(t, i);
                    if (mixes[t].state != NOPT_DTYPE_BFLOAT16) {
                        ASSERT_EQ(nearest.buffer(role).bits(t, i), actual) << t << ", " << i;
                        return;
                    }
                    const float g = model.value(NOPT_ROLE_GRAD, t, i);
                    const float exact =
                        is_square ? static_cast<float>(1.0 - 0.999) * (g * g) : static_cast<float>(1.0 - 0.9) * g;
                    const nopt::Philox counter = {
                        {static_cast<uint32_t>(i / 8), use << 24, static_cast<uint32_t>(t), 1}};
                    const nopt::Philox words = nopt::philox(counter, 0x89abcdefu, 0x1234567u);
                    const uint32_t random = words.word[i % 8 / 2] >> (i % 2 * 16) & 0xffff;
                    ASSERT_EQ((encoded(exact, NOPT_DTYPE_FLOAT32) + random) >> 16, actual) << name << t << ", " << i;
                    went_elsewhere += nearest.buffer(role).bits(t, i) != actual;
                });
                EXPECT_GT(went_elsewhere, 4000) << name;
            }
            // Parameters are none of its concern.
            EXPECT_EQ(nearest.buffer(NOPT_ROLE_PARAM).bytes(), model.buffer(NOPT_ROLE_PARAM).bytes());
        }
    }
}

// The dimer sees widened gradients and theta, and writes displaced parameters rounded.
TEST(Mixed, DimersAreRoundedFloat32Dimers) {
    for (const nopt_dimer_scope scope : kScopes) {
        for (const nopt_dimer_angle angle : kAngles) {
            for (const int64_t misalign : {0, 1}) {
                MixedModel mixed("adam", all_mixes(), misalign, scope);
                Widened floats(mixed, "adam");
                const nopt_backend before = test_backend;
                test_backend = NOPT_BACKEND_CPU;
                DimerModel dimer("adam", mixed.counts(), scope);
                test_backend = before;
                NOPT_ASSERT_OK(nopt_dimer_init_direction(mixed.dimer, 1, 0, nullptr));
                NOPT_ASSERT_OK(nopt_dimer_normalize_direction(mixed.dimer, nullptr));
                Random random(23);
                mixed.fill_params(random);
                nopt_dimer_options o = dimer_defaults();
                o.angle = angle;
                o.force = NOPT_DIMER_FORCE_PER_DISPLACEMENT;
                const nopt_hyperparams h = defaults("adam");
                const bool optimal = angle != NOPT_DIMER_ANGLE_FIXED_RATE;

                // What is the same in both, from the mixed model to the float one.
                const auto take = [&](nopt_role role) {
                    mixed.for_all([&](size_t t, int64_t i) {
                        TypedBuffer& from = mixed.buffer(role);
                        dimer.buffer(role).tensor(t)[i] = decoded(from.bits(t, i), from.type(t));
                    });
                };
                // Displaced parameters are what PARAM can hold; their theta is untouched.
                const auto displaced_as_expected = [&] {
                    mixed.read();
                    int64_t wrong = 0;
                    mixed.for_all([&](size_t t, int64_t i) {
                        const nopt_dtype type = mixed.mixes()[t].param;
                        const float moved = dimer.buffer(NOPT_ROLE_PARAM).tensor(t)[i];
                        wrong += encoded(rounded(moved, type), type) != mixed.buffer(NOPT_ROLE_PARAM).bits(t, i);
                    });
                    return wrong;
                };
                for (int step = 0; step < 4; ++step) {
                    mixed.fill(NOPT_ROLE_GRAD, random);
                    floats.follow();
                    for (const nopt_role role : dimer.roles()) {
                        dimer.set_values(role, floats.model->buffer(role).values());
                    }
                    if (step % 2 == 0) {
                        NOPT_ASSERT_OK(nopt_dimer_displace(mixed.dimer, &o, nullptr));
                        NOPT_ASSERT_OK(dimer.displace(o));
                        ASSERT_EQ(0, displaced_as_expected());
                        for (int turn = 0; turn < (optimal ? 2 : 1); ++turn) {
                            mixed.fill(NOPT_ROLE_GRAD, random);
                            take(NOPT_ROLE_GRAD);
                            NOPT_ASSERT_OK(nopt_dimer_rotate(mixed.dimer, &o, &h, nullptr));
                            NOPT_ASSERT_OK(dimer.rotate(o, h));
                            ASSERT_EQ(0, displaced_as_expected());
                        }
                        mixed.fill(NOPT_ROLE_GRAD, random);
                        take(NOPT_ROLE_GRAD);
                    }
                    if (step == 2) {
                        NOPT_ASSERT_OK(nopt_dimer_restore(mixed.dimer, nullptr));
                        NOPT_ASSERT_OK(dimer.restore());
                        mixed.read();
                        mixed.for_all([&](size_t t, int64_t i) {
                            ASSERT_EQ(mixed.theta(t, i), dimer.buffer(NOPT_ROLE_PARAM).tensor(t)[i]);
                        });
                    }
                    NOPT_ASSERT_OK(nopt_dimer_step(mixed.dimer, &o, &h, nullptr));
                    NOPT_ASSERT_OK(dimer.dimer_step(o, h));
                    // The float model then says what the step wrote.
                    for (const nopt_role role : dimer.roles()) {
                        floats.model->buffer(role).set_values(dimer.values(role));
                    }
                    ASSERT_EQ(0, floats.differences()) << scope << angle << misalign << step;
                    mixed.for_all([&](size_t t, int64_t i) {
                        ASSERT_TRUE(
                            same_float(decoded(mixed.buffer(NOPT_ROLE_DIRECTION).bits(t, i), NOPT_DTYPE_FLOAT32),
                                       dimer.buffer(NOPT_ROLE_DIRECTION).tensor(t)[i]));
                    });
                }
            }
        }
    }
}

// What nopt_param_set_set_dtypes says of float16 states: they end at 65504, and small squares vanish.
TEST(Mixed, Float16StatesOverflowAndVanish) {
    const Mix mix = {1, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT16};
    MixedModel model("adam", {mix, mix, mix, mix});
    const float grads[] = {6e5f, 7e5f, 4e-3f, 6e-3f};
    for (size_t t = 0; t < 4; ++t) {
        model.buffer(NOPT_ROLE_GRAD).set_bits(t, 0, encoded(grads[t], NOPT_DTYPE_FLOAT32));
    }
    model.buffer(NOPT_ROLE_GRAD).write();
    const nopt_hyperparams h = defaults("adam");
    NOPT_ASSERT_OK(nopt_optimizer_step(model.optimizer, &h, nullptr));
    model.read();
    const nopt_role m = state_role("adam", "exp_avg");
    const nopt_role v = state_role("adam", "exp_avg_sq");
    EXPECT_TRUE(isfinite(model.value(m, 0, 0)));
    EXPECT_TRUE(isinf(model.value(m, 1, 0)));
    EXPECT_EQ(0.0f, model.value(v, 2, 0));
    EXPECT_LT(0.0f, model.value(v, 3, 0));
}

TEST(Mixed, WhatDoesNotFitIsRefused) {
    const nopt_backend backend = test_backend;
    const int64_t counts[] = {4, 4, 4};
    const nopt_dtype params[] = {NOPT_DTYPE_FLOAT32, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_FLOAT16};
    const nopt_dtype float16s[] = {NOPT_DTYPE_FLOAT16, NOPT_DTYPE_FLOAT16, NOPT_DTYPE_FLOAT16};
    const nopt_dtype in_blocks[] = {NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT16, NOPT_DTYPE_DYNAMIC8};
    const nopt_dtype unknown[] = {NOPT_DTYPE_FLOAT32, static_cast<nopt_dtype>(9), NOPT_DTYPE_FLOAT32};
    nopt_param_set* set = nullptr;
    NOPT_ASSERT_OK(nopt_param_set_create(backend, 0, 3, counts, params, &set));
    void* memory = nullptr;
    NOPT_ASSERT_OK(nopt_memory_alloc(backend, 0, 4096, &memory));
    char* const at = static_cast<char*>(memory);
    const auto refused = [](nopt_status expected, const char* words, nopt_status status) {
        EXPECT_EQ(expected, status);
        EXPECT_NE(nullptr, strstr(nopt_last_error_message(), words)) << nopt_last_error_message();
    };
    refused(NOPT_ERROR_INVALID_ARGUMENT, "role is PARAM", nopt_param_set_set_dtypes(set, NOPT_ROLE_PARAM, 3, params));
    refused(NOPT_ERROR_UNSUPPORTED, "dtypes[2] is 4; role GRAD may be float32 (1), bfloat16 (2) or float16 (3)",
            nopt_param_set_set_dtypes(set, NOPT_ROLE_GRAD, 3, in_blocks));
    refused(NOPT_ERROR_INVALID_ARGUMENT, "dtypes[1] is 9", nopt_param_set_set_dtypes(set, NOPT_ROLE_GRAD, 3, unknown));
    refused(NOPT_ERROR_INVALID_ARGUMENT, "tensor_count is 2",
            nopt_param_set_set_dtypes(set, NOPT_ROLE_GRAD, 2, float16s));
    refused(NOPT_ERROR_INVALID_ARGUMENT, "set is null",
            nopt_param_set_set_dtypes(nullptr, NOPT_ROLE_GRAD, 3, float16s));

    void* grads[] = {at, at + 64, at + 128};
    NOPT_ASSERT_OK(nopt_param_set_bind(set, NOPT_ROLE_GRAD, 3, grads));
    refused(NOPT_ERROR_INVALID_STATE, "GRAD is bound", nopt_param_set_set_dtypes(set, NOPT_ROLE_GRAD, 3, float16s));
    void* odd[] = {at + 256, at + 321, at + 384};
    refused(NOPT_ERROR_INVALID_ARGUMENT, "pointers[1] of role PARAM is not aligned",
            nopt_param_set_bind(set, NOPT_ROLE_PARAM, 3, odd));
    // Two bytes an element: 8 bytes apart is enough for the second, and not for the first.
    void* close[] = {at + 256, at + 264, at + 272};
    refused(NOPT_ERROR_OVERLAP, "PARAM of tensor 0 overlaps PARAM of tensor 1",
            nopt_param_set_bind(set, NOPT_ROLE_PARAM, 3, close));
    void* fitting[] = {at + 256, at + 272, at + 280};
    NOPT_ASSERT_OK(nopt_param_set_bind(set, NOPT_ROLE_PARAM, 3, fitting));

    void* masters[] = {at + 512, at + 576, nullptr};
    refused(NOPT_ERROR_INVALID_ARGUMENT, "pointers[0] of role MASTER_PARAM is not null, but the tensor is float32",
            nopt_param_set_bind(set, NOPT_ROLE_MASTER_PARAM, 3, masters));
    masters[0] = nullptr;
    NOPT_ASSERT_OK(nopt_param_set_bind(set, NOPT_ROLE_MASTER_PARAM, 3, masters));
    void* remainders[] = {nullptr, at + 640, nullptr};
    refused(NOPT_ERROR_INVALID_ARGUMENT, "has a MASTER_PARAM",
            nopt_param_set_bind(set, NOPT_ROLE_PARAM_REMAINDER, 3, remainders));
    remainders[1] = nullptr;
    remainders[2] = at + 640;
    refused(NOPT_ERROR_INVALID_ARGUMENT, "but the tensor is float16",
            nopt_param_set_bind(set, NOPT_ROLE_PARAM_REMAINDER, 3, remainders));

    nopt_optimizer* optimizer = nullptr;
    NOPT_ASSERT_OK(nopt_optimizer_create(set, "sgd", &optimizer));
    nopt_hyperparams h = defaults("sgd");
    h.rounding_seed = 7;
    refused(NOPT_ERROR_INVALID_ARGUMENT, "rounding_seed is 7", nopt_optimizer_step(optimizer, &h, nullptr));
    h.flags = NOPT_FLAG_STOCHASTIC_ROUNDING;
    refused(NOPT_ERROR_UNSUPPORTED, "no bfloat16 tensor", nopt_optimizer_step(optimizer, &h, nullptr));
    h.flags = NOPT_FLAG_STOCHASTIC_ROUNDING_STATES;
    refused(NOPT_ERROR_UNSUPPORTED, "no state is bfloat16", nopt_optimizer_step(optimizer, &h, nullptr));
    NOPT_ASSERT_OK(nopt_optimizer_destroy(optimizer));
    NOPT_ASSERT_OK(nopt_param_set_destroy(set));
    NOPT_ASSERT_OK(nopt_memory_free(backend, 0, memory));
}

}  // namespace
}  // namespace nopt_test
