// Every code of DYNAMIC8, and numbers around every border between two codes, through steps on every instruction set,
// which decode and encode in their own ways: against the definition in numerics/dynamic8.h.
#include <math.h>

#include "numerics/dynamic8.h"
#include "numerics/dynamic8_divisor.h"
#include "support/model.h"

namespace nopt_test {
namespace {

// One tensor whose only states have 8 bits.
struct Codes {
    nopt_param_set* set = nullptr;
    nopt_optimizer* optimizer = nullptr;
    std::vector<float> param;
    std::vector<float> grad;
    std::vector<std::vector<uint8_t>> states;

    Codes(const char* rule, int state_count, size_t count) : param(count, 0.0f), grad(count, 0.0f) {
        const int64_t counts[] = {static_cast<int64_t>(count)};
        const nopt_dtype types[] = {NOPT_DTYPE_DYNAMIC8};
        EXPECT_EQ(NOPT_OK, nopt_param_set_create(NOPT_BACKEND_CPU, 0, 1, counts, nullptr, &set));
        states.resize(static_cast<size_t>(state_count));
        bind(NOPT_ROLE_PARAM, param.data());
        bind(NOPT_ROLE_GRAD, grad.data());
        for (int s = 0; s < state_count; ++s) {
            const nopt_role role = static_cast<nopt_role>(NOPT_ROLE_STATE + s);
            states[static_cast<size_t>(s)].resize(
                static_cast<size_t>(nopt::buffer_bytes(NOPT_DTYPE_DYNAMIC8, counts[0])));
            EXPECT_EQ(NOPT_OK, nopt_param_set_set_dtypes(set, role, 1, types));
            bind(role, states[static_cast<size_t>(s)].data());
        }
        EXPECT_EQ(NOPT_OK, nopt_optimizer_create(set, rule, &optimizer));
    }
    ~Codes() {
        nopt_optimizer_destroy(optimizer);
        nopt_param_set_destroy(set);
    }
    Codes(const Codes&) = delete;
    Codes& operator=(const Codes&) = delete;

    uint8_t* block(int state, size_t element) {
        return states[static_cast<size_t>(state)].data() + nopt::dynamic8_offset(static_cast<int64_t>(element));
    }
    uint8_t& code(int state, size_t element) { return block(state, element)[sizeof(float) + element % 256]; }

private:
    void bind(nopt_role role, void* buffer) { EXPECT_EQ(NOPT_OK, nopt_param_set_bind(set, role, 1, &buffer)); }
};

// 1 in every block, so that the others are divided by it; magnitudes around each border and around each number.
std::vector<float> magnitudes_around_borders(bool is_signed) {
    std::vector<float> around;
    const nopt::DynamicCode<false> unsigned_code;
    const nopt::DynamicCode<true> signed_code;
    const auto add = [&](float value) {
        for (uint32_t away = 0; value > 0.0f && away < 24; ++away) {
            const float number = nopt::float_of(nopt::bits_of(value) + away - 12);
            around.push_back(number <= 1.0f ? number : 1.0f);
        }
    };
    const float* const values = is_signed ? signed_code.value : unsigned_code.value;
    for (int i = 0; i + 1 < 256; ++i) {
        add(values[i]);
        if (values[i] > 0.0f && values[i + 1] > values[i]) {
            add(0.5f * (values[i] + values[i + 1]));
        }
    }
    for (const float begin : is_signed ? signed_code.begin : unsigned_code.begin) {
        add(begin);
    }
    for (const float tiny : {0.0f, 1e-45f, 1e-38f, 1e-20f, 1e-8f, 1.1e-7f, 1.2e-7f}) {
        around.push_back(tiny);
    }
    std::vector<float> all;
    for (const float number : around) {
        if (all.size() % 256 == 0) {
            all.push_back(1.0f);
        }
        all.push_back(number);
        if (is_signed && all.size() % 256 != 0) {
            all.push_back(-number);
        }
    }
    return all;
}

// The least magnitudes of all codes but that of 0.
template <bool kSigned>
std::vector<float> least_magnitudes() {
    std::vector<float> least;
    for (int code = 1; code <= nopt::to_dynamic<kSigned>(1.0f); ++code) {
        uint32_t below = 0;
        uint32_t from = nopt::bits_of(1.0f);
        while (from - below > 1) {
            const uint32_t middle = below + (from - below) / 2;
            (nopt::to_dynamic<kSigned>(nopt::float_of(middle)) >= code ? from : below) = middle;
        }
        least.push_back(nopt::float_of(from));
    }
    return least;
}

// Of dividends around the one whose quotient is halfway between a code's least magnitude and the float below it.
template <bool kSigned>
void compare_quotients(uint32_t stride) {
    for (const float least : least_magnitudes<kSigned>()) {
        const double halfway = 0.5 * (double{least} + double{nopt::float_of(nopt::bits_of(least) - 1)});
        for (uint32_t mantissa = 0; mantissa < 1u << 23; mantissa += stride) {
            const nopt::Divisor divisor(nopt::float_of(nopt::bits_of(1.0f) | mantissa));
            const uint32_t near = nopt::bits_of(static_cast<float>(halfway * double{divisor.value}));
            for (uint32_t away = 0; away < 5; ++away) {
                const float dividend = nopt::float_of(near + away - 2);
                ASSERT_EQ(dividend / divisor.value >= least, divisor.quotient(dividend) >= least)
                    << dividend << " / " << divisor.value;
            }
        }
    }
}

TEST(Dynamic8Divisor, HasTheCodesOfDivisions) {
    compare_quotients<false>(4093);
    compare_quotients<true>(4093);
}

TEST(Dynamic8Divisor, TakesScalesOfAnySize) {
    for (int exponent = -149; exponent < 128; ++exponent) {
        const float scale = ldexpf(exponent < -126 ? 1.0f : 1.7f, exponent);
        const nopt::Divisor divisor(scale);
        for (const float part : {1.0f, -0.9f, 0.01f, 3e-5f, 1e-10f, 0.0f}) {
            const float state = part * scale;
            const float quotient = divisor.quotient(state * divisor.unit);
            ASSERT_EQ(nopt::to_dynamic<true>(state / scale), nopt::to_dynamic<true>(quotient))
                << state << " / " << scale;
        }
    }
}

class Dynamic8Codes : public testing::TestWithParam<std::string> {
protected:
    void SetUp() override { ASSERT_EQ(NOPT_OK, nopt_cpu_set_isa(GetParam().c_str())); }
    void TearDown() override { ASSERT_EQ(NOPT_OK, nopt_cpu_set_isa(runnable_isas().back().c_str())); }
};

// SGD with a momentum of 1 and no gradient: theta becomes -b, and b stays.
TEST_P(Dynamic8Codes, WithASignDecodeAsTheTableSays) {
    constexpr nopt::DynamicCode<true> kCode;
    const float scales[] = {1.0f, 0.3f, 1e-30f, 7e20f};
    Codes codes("sgd", 1, 4 * 256);
    for (size_t i = 0; i < codes.param.size(); ++i) {
        memcpy(codes.block(0, i), &scales[i / 256], sizeof(float));
        codes.code(0, i) = static_cast<uint8_t>(i * 7);
    }
    nopt_hyperparams h = defaults("sgd");
    NOPT_ASSERT_OK(nopt_hyperparams_set("sgd", &h, "momentum", 1.0));
    NOPT_ASSERT_OK(nopt_hyperparams_set("sgd", &h, "lr", 1.0));
    NOPT_ASSERT_OK(nopt_optimizer_step(codes.optimizer, &h, nullptr));
    for (size_t i = 0; i < codes.param.size(); ++i) {
        const uint8_t code = static_cast<uint8_t>(i * 7);
        ASSERT_EQ(0.0f - kCode.value[code] * scales[i / 256], codes.param[i]) << "code " << int{code};
        ASSERT_EQ(int{code}, int{codes.code(0, i)});
    }
}

TEST_P(Dynamic8Codes, WithASignEncodeAsTheDefinition) {
    const std::vector<float> numbers = magnitudes_around_borders(true);
    Codes codes("sgd", 1, numbers.size());
    std::copy(numbers.begin(), numbers.end(), codes.grad.begin());
    nopt_hyperparams h = defaults("sgd");
    NOPT_ASSERT_OK(nopt_hyperparams_set("sgd", &h, "momentum", 0.5));
    NOPT_ASSERT_OK(nopt_optimizer_step(codes.optimizer, &h, nullptr));
    for (size_t i = 0; i < numbers.size(); ++i) {
        ASSERT_EQ(int{nopt::to_dynamic<true>(numbers[i])}, int{codes.code(0, i)}) << numbers[i];
    }
}

// Adamax with a beta2 of 1/2 and small gradients g: u is half of what it was, or |g|, and theta becomes -g / u.
TEST_P(Dynamic8Codes, WithoutASignDecodeAsTheTableSays) {
    constexpr nopt::DynamicCode<false> kCode;
    Codes codes("adamax", 2, 256);
    const float scale = 0.7f;
    const float grad = 0x1p-60f;
    for (size_t i = 0; i < 256; ++i) {
        memcpy(codes.block(1, i), &scale, sizeof scale);
        codes.code(1, i) = static_cast<uint8_t>(i);
        codes.grad[i] = grad;
    }
    nopt_hyperparams h = defaults("adamax");
    for (const auto& value : {std::make_pair("beta1", 0.0), std::make_pair("beta2", 0.5), std::make_pair("eps", 0.0),
                              std::make_pair("lr", 1.0)}) {
        NOPT_ASSERT_OK(nopt_hyperparams_set("adamax", &h, value.first, value.second));
    }
    NOPT_ASSERT_OK(nopt_optimizer_step(codes.optimizer, &h, nullptr));
    for (size_t i = 0; i < 256; ++i) {
        const float decayed = 0.5f * (kCode.value[i] * scale);
        ASSERT_EQ(-(grad / (decayed >= grad ? decayed : grad)), codes.param[i]) << "code " << i;
    }
}

TEST_P(Dynamic8Codes, WithoutASignEncodeAsTheDefinition) {
    const std::vector<float> numbers = magnitudes_around_borders(false);
    Codes codes("adamax", 2, numbers.size());
    std::copy(numbers.begin(), numbers.end(), codes.grad.begin());
    nopt_hyperparams h = defaults("adamax");
    NOPT_ASSERT_OK(nopt_hyperparams_set("adamax", &h, "eps", 0.0));
    NOPT_ASSERT_OK(nopt_optimizer_step(codes.optimizer, &h, nullptr));
    for (size_t i = 0; i < numbers.size(); ++i) {
        ASSERT_EQ(int{nopt::to_dynamic<false>(numbers[i])}, int{codes.code(1, i)}) << numbers[i];
    }
}

std::string name_of(const testing::TestParamInfo<std::string>& isa) {
    std::string name = isa.param;
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

INSTANTIATE_TEST_SUITE_P(Isas, Dynamic8Codes, testing::ValuesIn(runnable_isas()), name_of);

}  // namespace
}  // namespace nopt_test
