// States of 8 bits: the code against its definition, and steps against float32 steps on the decoded values.
#include "numerics/dynamic8.h"

#include "support/mixed_model.h"

namespace nopt_test {
namespace {

// The numbers of the code, smallest first: the middles of 2^i (with a sign) or 2^(i+1) equal parts of
// [0.1, 1) * 10^(i-6), i = 0 to 6; 0, and 1.
std::vector<double> magnitudes(bool is_signed) {
    std::vector<double> all = {0.0};
    for (int i = 0; i < 7; ++i) {
        const int parts = 1 << (is_signed ? i : i + 1);
        for (int j = 0; j < parts; ++j) {
            all.push_back(pow(10.0, i - 6) * (0.1 + 0.9 * (j + 0.5) / parts));
        }
    }
    all.push_back(1.0);
    return all;
}

// By byte.
std::vector<double> numbers(bool is_signed) {
    const std::vector<double> positive = magnitudes(is_signed);
    std::vector<double> all(256, 0.0);
    for (size_t i = 0; i < positive.size(); ++i) {
        all[i] = positive[i];
        if (is_signed && i > 0 && i < 128) {
            all[256 - i] = -positive[i];
        }
    }
    return all;
}

uint8_t to_byte(bool is_signed, float number) {
    return is_signed ? nopt::to_dynamic<true>(number) : nopt::to_dynamic<false>(number);
}

double distance_to_nearest(const std::vector<double>& in_order, double number) {
    const auto above = std::lower_bound(in_order.begin(), in_order.end(), number);
    double distance = above == in_order.end() ? fabs(number) : *above - number;
    if (above != in_order.begin()) {
        distance = std::min(distance, number - *(above - 1));
    }
    return distance;
}

// Half way between two numbers, the rounding of three operations in float decides. Where numbers are densest, n = 128
// to a decade, that is 1.5 units in the last place of K = 128 at 0.1 of the decade: 1.5 * 2^-16 * 0.9 / 128 / 0.1.
constexpr double kHalfWay = 2e-6;

std::vector<double> sorted(std::vector<double> all) {
    std::sort(all.begin(), all.end());
    return all;
}

TEST(Dynamic8, TheCodeIsTheDefinitions) {
    for (const bool is_signed : {false, true}) {
        const std::vector<double> all = numbers(is_signed);
        const nopt::DynamicCode<false> plain;
        const nopt::DynamicCode<true> with_sign;
        for (size_t byte = 0; byte < 256; ++byte) {
            const float value = is_signed ? with_sign.value[byte] : plain.value[byte];
            ASSERT_FLOAT_EQ(static_cast<float>(all[byte]), value) << byte;
            ASSERT_EQ(byte, to_byte(is_signed, value)) << value;
        }
        EXPECT_EQ(0, to_byte(is_signed, NAN));
        EXPECT_EQ(0, to_byte(is_signed, -0.0f));
        EXPECT_EQ(is_signed ? 129 : 255, to_byte(is_signed, is_signed ? -1.0f : 1.0f));
    }
}

// Around every place where the nearest number changes, and in between.
TEST(Dynamic8, EveryNumberGoesToTheNearest) {
    for (const bool is_signed : {false, true}) {
        const std::vector<double> all = numbers(is_signed);
        const std::vector<double> in_order = sorted(all);
        std::vector<float> probes;
        for (size_t i = 1; i < in_order.size(); ++i) {
            const double between = 0.5 * (in_order[i - 1] + in_order[i]);
            for (const double one : {in_order[i], between, 0.5 * (between + in_order[i])}) {
                const float at = static_cast<float>(one);
                probes.insert(probes.end(), {at, nextafterf(at, -1.0f), nextafterf(at, 1.0f), at * 0.9999f});
            }
        }
        Random random(3);
        for (int i = 0; i < 20000; ++i) {
            const float value = random.value() * powf(10.0f, -static_cast<float>(i % 8));
            probes.push_back(is_signed ? value : fabsf(value));
        }
        for (const float probe : probes) {
            const double number = static_cast<double>(probe);
            const double error = fabs(all[to_byte(is_signed, probe)] - number);
            ASSERT_LE(error, distance_to_nearest(in_order, number) + kHalfWay * fabs(number)) << probe;
        }
    }
}

// ---- models ----

const Extra kExtras[] = {Extra::kNone, Extra::kNone, Extra::kMaster, Extra::kRemainder};

// Sizes around blocks, pieces and chunks, in several types; some states are not of 8 bits.
std::vector<Mix> dynamic_mixes(std::vector<int64_t> sizes) {
    std::vector<Mix> mixes;
    for (const int64_t size : sizes) {
        const size_t i = mixes.size();
        const bool is_float = i % 4 == 0;
        mixes.push_back({size, is_float ? NOPT_DTYPE_FLOAT32 : NOPT_DTYPE_BFLOAT16,
                         i % 3 == 0 ? NOPT_DTYPE_FLOAT16 : NOPT_DTYPE_FLOAT32,
                         i % 5 == 4   ? NOPT_DTYPE_BFLOAT16
                         : i % 5 == 1 ? NOPT_DTYPE_FLOAT16
                                      : NOPT_DTYPE_DYNAMIC8,
                         kExtras[i % 4]});
    }
    return mixes;
}

// The states of a block as the float32 step left them, against the codes and the scale of the model.
void expect_encoded(MixedModel& model, nopt_role role, size_t t, const float* expected) {
    const std::vector<double> all = numbers(model.has_sign(role));
    const std::vector<double> in_order = sorted(all);
    TypedBuffer& buffer = model.buffer(role);
    const int64_t count = model.counts()[t];
    for (int64_t begin = 0; begin < count; begin += 256) {
        const int64_t end = std::min<int64_t>(begin + 256, count);
        float scale = 0.0f;
        for (int64_t i = begin; i < end; ++i) {
            scale = std::max(scale, fabsf(expected[i]));
        }
        ASSERT_EQ(scale, buffer.scale(t, begin)) << role << " of tensor " << t << ", block at " << begin;
        for (int64_t i = begin; i < end; ++i) {
            const double part = scale == 0.0f ? 0.0 : static_cast<double>(expected[i] / scale);
            const double error = fabs(all[buffer.bits(t, i)] - part);
            ASSERT_LE(error, distance_to_nearest(in_order, part) + kHalfWay * fabs(part))
                << role << " of tensor " << t << ", element " << i;
        }
    }
}

class Dynamic8Rules : public testing::TestWithParam<Case> {};

TEST_P(Dynamic8Rules, AreFloat32StepsOnTheDecodedStates) {
    for (const int64_t misalign : {0, 1, 3}) {
        MixedModel model(GetParam().rule, dynamic_mixes({1, 7, 255, 256, 257, 0, 512, 1000, 2049}), misalign);
        const nopt_backend before = test_backend;
        test_backend = NOPT_BACKEND_CPU;
        Model floats(GetParam().rule, model.counts());
        test_backend = before;
        Random random(29);
        model.fill_params(random);
        for (int step = 0; step < 3; ++step) {
            model.fill_reads(random);
            model.read();
            model.for_all([&](size_t t, int64_t i) {
                floats.buffer(NOPT_ROLE_PARAM).tensor(t)[i] = model.theta(t, i);
                for (const nopt_role role : floats.roles()) {
                    if (role != NOPT_ROLE_PARAM) {
                        floats.buffer(role).tensor(t)[i] = model.value(role, t, i);
                    }
                }
            });
            NOPT_ASSERT_OK(nopt_optimizer_step(model.optimizer, &GetParam().hyperparams, nullptr));
            NOPT_ASSERT_OK(floats.step(GetParam().hyperparams));
            model.read();
            model.for_all([&](size_t t, int64_t i) {
                const Mix& mix = model.mixes()[t];
                const float theta = floats.buffer(NOPT_ROLE_PARAM).tensor(t)[i];
                const bool is_exact = mix.extra != Extra::kNone || mix.param == NOPT_DTYPE_FLOAT32;
                ASSERT_EQ(is_exact ? theta : rounded(theta, mix.param), model.theta(t, i)) << t << ", " << i;
            });
            for (const nopt_role role : model.states()) {
                for (size_t t = 0; t < model.counts().size(); ++t) {
                    if (model.buffer(role).type(t) == NOPT_DTYPE_DYNAMIC8) {
                        expect_encoded(model, role, t, floats.buffer(role).tensor(t));
                    }
                }
            }
            ASSERT_FALSE(testing::Test::HasFatalFailure()) << "misalign " << misalign << ", step " << step;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Rules, Dynamic8Rules, testing::ValuesIn(all_cases()),
                         [](const testing::TestParamInfo<Case>& one) { return one.param.name; });

constexpr int64_t kBadElement = 300;

// Bytes of the states and the parameters of both models.
void expect_same(MixedModel& model, MixedModel& other) {
    model.read();
    other.read();
    for (const nopt_role role : model.states()) {
        ASSERT_EQ(model.buffer(role).bytes(), other.buffer(role).bytes()) << role;
    }
    model.for_all([&](size_t t, int64_t i) { ASSERT_EQ(model.theta(t, i), other.theta(t, i)) << t << ", " << i; });
}

// Of tensors with a state in blocks: the bad element's states are 0, and all others have the same numbers in both.
void expect_bad_element_alone(MixedModel& model, MixedModel& other, const nopt_hyperparams& h) {
    uint32_t mask = 0;
    NOPT_ASSERT_OK(nopt_optimizer_get_roles(model.optimizer, &h, &mask));
    std::vector<nopt_role> states;  // that these options have
    for (const nopt_role role : model.states()) {
        if ((mask >> role & 1u) != 0) {
            states.push_back(role);
        }
    }
    model.read();
    other.read();
    model.for_all([&](size_t t, int64_t i) {
        bool is_in_blocks = false;
        for (const nopt_role role : states) {
            is_in_blocks = is_in_blocks || model.buffer(role).type(t) == NOPT_DTYPE_DYNAMIC8;
        }
        for (const nopt_role role : states) {
            const float expected = i == kBadElement ? 0.0f : other.value(role, t, i);
            ASSERT_TRUE(!is_in_blocks || model.value(role, t, i) == expected) << role << ": " << t << ", " << i;
        }
        ASSERT_TRUE(i == kBadElement || model.theta(t, i) == other.theta(t, i)) << t << ", " << i;
    });
}

// Tensors with two blocks and a part of one each: all states in blocks; all but the first; and misaligned ones, which
// other code of a device takes.
const std::vector<Mix> kInBlocks = {
    {700, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_DYNAMIC8},
    {700, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_DYNAMIC8, Extra::kNone, true},
    {700, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_DYNAMIC8}};

class Dynamic8NotFinite : public testing::TestWithParam<Case> {};

// An element with a gradient that is not finite harms no other, and its own states begin anew.
TEST_P(Dynamic8NotFinite, IsAsIfTheElementWereNew) {
    for (const int64_t misalign : {0, 1}) {
        for (const float bad : {NAN, INFINITY, -INFINITY}) {
            MixedModel model(GetParam().rule, kInBlocks, misalign);
            MixedModel other(GetParam().rule, kInBlocks, misalign);
            for (MixedModel* const one : {&model, &other}) {
                Random random(2);
                one->fill_params(random);
                one->fill_reads(random);
                for (size_t t = 0; t < kInBlocks.size(); ++t) {
                    one->set_theta(t, kBadElement, 0.0f);
                    for (const nopt_role role : one->reads()) {
                        const float value = one == &model && role == NOPT_ROLE_GRAD ? bad : 0.0f;
                        one->buffer(role).set_bits(t, kBadElement, encoded(value, one->buffer(role).type(t)));
                        one->buffer(role).write();
                    }
                }
                one->buffer(NOPT_ROLE_PARAM).write();
                NOPT_ASSERT_OK(nopt_optimizer_step(one->optimizer, &GetParam().hyperparams, nullptr));
            }
            expect_bad_element_alone(model, other, GetParam().hyperparams);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Rules, Dynamic8NotFinite, testing::ValuesIn(all_cases()),
                         [](const testing::TestParamInfo<Case>& one) { return one.param.name; });

// The square of 1.9e19 is infinite. The step itself leaves that parameter, and the next ones go on as those of an
// element whose first gradient was 0: neither do the others of its block suffer, nor is its own step too long because
// m is kept, or 0 for ever because v is infinite.
TEST(Dynamic8, ASquareThatOverflowsStaysWithItsElement) {
    MixedModel model("adam", kInBlocks);
    MixedModel other("adam", kInBlocks);
    const nopt_hyperparams h = defaults("adam");
    for (MixedModel* const one : {&model, &other}) {
        Random random(2);
        one->fill_params(random);
        for (int step = 0; step < 4; ++step) {
            one->fill(NOPT_ROLE_GRAD, random);
            for (size_t t = 0; t < kInBlocks.size() && step == 0; ++t) {
                const float value = one == &model ? 1.9e19f : 0.0f;
                const nopt_dtype type = one->buffer(NOPT_ROLE_GRAD).type(t);
                one->buffer(NOPT_ROLE_GRAD).set_bits(t, kBadElement, encoded(rounded(value, type), type));
            }
            one->buffer(NOPT_ROLE_GRAD).write();
            NOPT_ASSERT_OK(nopt_optimizer_step(one->optimizer, &h, nullptr));
        }
    }
    expect_same(model, other);
    EXPECT_TRUE(isfinite(model.theta(0, kBadElement)));
}

// Other types keep an infinite v, also beside a tensor in blocks: that element's steps are 0 from then on.
TEST(Dynamic8, OtherTypesKeepAnInfiniteSquare) {
    const nopt_dtype types[] = {NOPT_DTYPE_DYNAMIC8, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_FLOAT16};
    std::vector<Mix> mixes;
    for (const nopt_dtype type : types) {
        mixes.push_back({256, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, type});
    }
    MixedModel model("adam", mixes);
    Random random(2);
    model.fill_params(random);
    const nopt_hyperparams h = defaults("adam");
    for (int step = 0; step < 3; ++step) {
        model.for_all([&](size_t t, int64_t i) {
            const float large = types[t] == NOPT_DTYPE_FLOAT16 ? 1e4f : 1.9e19f;
            const float value = step == 0 && i == 7 ? large : 1.0f;
            model.buffer(NOPT_ROLE_GRAD).set_bits(t, i, encoded(value, NOPT_DTYPE_FLOAT32));
        });
        model.buffer(NOPT_ROLE_GRAD).write();
        std::vector<float> before;
        for (size_t t = 0; t < mixes.size(); ++t) {
            before.push_back(model.theta(t, 7));
        }
        NOPT_ASSERT_OK(nopt_optimizer_step(model.optimizer, &h, nullptr));
        model.read();
        for (size_t t = 0; t < mixes.size(); ++t) {
            const bool is_in_blocks = t == 0;
            EXPECT_EQ(!is_in_blocks, isinf(model.value(state_role("adam", "exp_avg_sq"), t, 7))) << t;
            // What is too large for a float16 is not yet infinite in the step itself.
            const bool moves = step > 0 ? is_in_blocks : types[t] == NOPT_DTYPE_FLOAT16;
            EXPECT_EQ(moves, before[t] != model.theta(t, 7)) << t;
        }
    }
}

std::vector<uint8_t> run(const char* rule, int64_t misalign) {
    MixedModel model(rule, dynamic_mixes({33333, 1, 255, 257, 0, 16384 + 300, 512, 4096}), misalign,
                     NOPT_DIMER_SCOPE_PER_TENSOR);
    NOPT_EXPECT_OK(nopt_dimer_init_direction(model.dimer, 1, 0, nullptr));
    NOPT_EXPECT_OK(nopt_dimer_normalize_direction(model.dimer, nullptr));
    Random random(3);
    model.fill_params(random);
    nopt_hyperparams h = defaults(rule);
    h.flags = NOPT_FLAG_STOCHASTIC_ROUNDING | NOPT_FLAG_STOCHASTIC_ROUNDING_STATES | flag(rule, "amsgrad");
    const nopt_dimer_options o = dimer_defaults();
    for (int step = 0; step < 4; ++step) {
        model.fill(NOPT_ROLE_GRAD, random);
        if (step == 2) {
            NOPT_EXPECT_OK(nopt_dimer_displace(model.dimer, &o, nullptr));
            model.fill(NOPT_ROLE_GRAD, random);
        }
        NOPT_EXPECT_OK(step < 2 ? nopt_optimizer_step(model.optimizer, &h, nullptr)
                                : nopt_dimer_step(model.dimer, &o, &h, nullptr));
    }
    return model.all_bytes();
}

TEST(Dynamic8, BitsAreTheSameEverywhere) {
    int32_t threads_before = 0;
    NOPT_ASSERT_OK(nopt_cpu_get_num_threads(&threads_before));
    const nopt_backend backend = test_backend;
    for (const int64_t misalign : {0, 1}) {
        std::vector<uint8_t> expected;
        test_backend = NOPT_BACKEND_CPU;
        for (const std::string& isa : runnable_isas()) {
            for (const int32_t threads : {1, 2, 5}) {
                NOPT_ASSERT_OK(nopt_cpu_set_isa(isa.c_str()));
                NOPT_ASSERT_OK(nopt_cpu_set_num_threads(threads));
                const std::vector<uint8_t> got = run("adam", misalign);
                expected = expected.empty() ? got : expected;
                ASSERT_TRUE(expected == got) << isa << ", " << threads << " threads";
            }
        }
        test_backend = backend;
        ASSERT_TRUE(expected == run("adam", misalign)) << "backend " << backend;
    }
    NOPT_ASSERT_OK(nopt_cpu_set_isa(runnable_isas().back().c_str()));
    NOPT_ASSERT_OK(nopt_cpu_set_num_threads(threads_before));
}

TEST(Dynamic8, SizesAndAlignmentAreChecked) {
    int64_t bytes = 0;
    const int64_t sizes[][2] = {{0, 0}, {1, 5}, {256, 260}, {257, 265}, {1000, 1016}};
    for (const auto& size : sizes) {
        NOPT_ASSERT_OK(nopt_dtype_get_bytes(NOPT_DTYPE_DYNAMIC8, size[0], &bytes));
        EXPECT_EQ(size[1], bytes);
    }
    NOPT_ASSERT_OK(nopt_dtype_get_bytes(NOPT_DTYPE_BFLOAT16, 7, &bytes));
    EXPECT_EQ(14, bytes);
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT,
              nopt_dtype_get_bytes(static_cast<nopt_dtype>(nopt_dtype_count() + 1), 7, &bytes));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_dtype_get_bytes(NOPT_DTYPE_FLOAT32, -1, &bytes));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_dtype_get_bytes(NOPT_DTYPE_FLOAT32, INT64_MAX / 4, &bytes));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_dtype_get_bytes(NOPT_DTYPE_FLOAT32, 1, nullptr));
    EXPECT_EQ(14, bytes);

    const nopt_backend backend = test_backend;
    const int64_t counts[] = {256, 256};
    const nopt_dtype dynamic[] = {NOPT_DTYPE_DYNAMIC8, NOPT_DTYPE_DYNAMIC8};
    nopt_param_set* set = nullptr;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_param_set_create(backend, 0, 2, counts, dynamic, &set));
    NOPT_ASSERT_OK(nopt_param_set_create(backend, 0, 2, counts, nullptr, &set));
    EXPECT_EQ(NOPT_ERROR_UNSUPPORTED, nopt_param_set_set_dtypes(set, NOPT_ROLE_GRAD, 2, dynamic));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "dtypes[0] is 4; role GRAD")) << nopt_last_error_message();
    NOPT_ASSERT_OK(nopt_param_set_set_dtypes(set, NOPT_ROLE_STATE, 2, dynamic));
    void* memory = nullptr;
    NOPT_ASSERT_OK(nopt_memory_alloc(backend, 0, 1024, &memory));
    char* const at = static_cast<char*>(memory);
    void* odd[] = {at, at + 262};
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_param_set_bind(set, NOPT_ROLE_STATE, 2, odd));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "not aligned to its scales (4 bytes)"));
    void* close[] = {at, at + 256};
    EXPECT_EQ(NOPT_ERROR_OVERLAP, nopt_param_set_bind(set, NOPT_ROLE_STATE, 2, close));
    void* fitting[] = {at, at + 260};
    NOPT_ASSERT_OK(nopt_param_set_bind(set, NOPT_ROLE_STATE, 2, fitting));
    NOPT_ASSERT_OK(nopt_param_set_destroy(set));
    NOPT_ASSERT_OK(nopt_memory_free(backend, 0, memory));
}

}  // namespace
}  // namespace nopt_test
