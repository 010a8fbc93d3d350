// Every mix of element types x every rule and option, one step at a time against the equations. The bounds are those of
// the float operations of one step; see Rounded.
#include <math.h>

#include "support/mixed_model.h"
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

// What rounding to the type may add, twice the half: the value in double may lie across a tie.
double quantum(double value, nopt_dtype type) {
    if (type == NOPT_DTYPE_FLOAT32) {
        return 0.0;
    }
    return ldexp(1.0,
                 std::max(value == 0.0 ? -1000 : ilogb(value), smallest_exponent(type)) - significant_bits(type) + 1);
}

std::vector<Mix> mixes_with_dynamic8() {
    std::vector<Mix> mixes = all_mixes();
    mixes.push_back({300, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_DYNAMIC8});
    mixes.push_back({513, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_DYNAMIC8, Extra::kRemainder});
    mixes.push_back({257, NOPT_DTYPE_FLOAT16, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_DYNAMIC8, Extra::kMaster});
    return mixes;
}

class Matrix : public testing::TestWithParam<Case> {};

TEST_P(Matrix, FollowsTheEquations) {
    const std::string& rule = GetParam().rule;
    const nopt_hyperparams& h = GetParam().hyperparams;
    MixedModel model(rule, mixes_with_dynamic8());
    uint32_t mask = 0;
    NOPT_ASSERT_OK(nopt_optimizer_get_roles(model.optimizer, &h, &mask));
    Random random(41);
    model.fill_params(random);
    double closest = 0.0;  // to a bound, as a part of it
    for (int t = 1; t <= 3; ++t) {
        model.fill_reads(random);
        for (const nopt_role role : model.inputs()) {  // there in the first step and in the last
            NOPT_ASSERT_OK(model.bind(role, t != 2));
        }
        model.read();
        std::vector<RuleElement<Rounded>> elements;
        model.for_all([&](size_t i, int64_t j) {
            const auto value = [&](nopt_role role) { return static_cast<double>(model.value(role, i, j)); };
            elements.emplace_back();
            elements.back().param = static_cast<double>(model.theta(i, j));
            elements.back().grad = value(NOPT_ROLE_GRAD);
            for (const nopt_role role : model.states()) {
                elements.back().at(role) = value(role);
            }
            for (const nopt_role role : model.inputs()) {
                elements.back().input[role - NOPT_ROLE_INPUT] = value(role);
                elements.back().has_input[role - NOPT_ROLE_INPUT] = t != 2;
            }
        });
        NOPT_ASSERT_OK(nopt_optimizer_step(model.optimizer, &h, nullptr));
        model.read();
        const RuleStep step(rule, h, t, lr(h), weight_decay(h));
        size_t at = 0;
        model.for_all([&](size_t i, int64_t j) {
            const Mix& mix = model.mixes()[i];
            RuleElement<Rounded>& e = elements[at++];
            step_reference(e, step);
            const auto check = [&](const char* name, const Rounded& expected, float actual, nopt_dtype type) {
                // (1e-44: a few of the smallest floats.)
                const double all = 1.01 * expected.error() + 1e-44 + quantum(expected.value(), type);
                const double difference = fabs(expected.value() - static_cast<double>(actual));
                ASSERT_LE(difference, all)
                    << name << ": " << expected.value() << ", tensor " << i << ", element " << j << ", step " << t;
                closest = fmax(closest, type == NOPT_DTYPE_FLOAT32 ? difference / all : 0.0);
            };
            const bool is_exact = mix.extra != Extra::kNone;
            check("theta", e.param, model.theta(i, j), is_exact ? NOPT_DTYPE_FLOAT32 : mix.param);
            for (const nopt_state_info& state : describe(rule).states) {
                const nopt_role role = static_cast<nopt_role>(state.role);
                const nopt_dtype type = model.buffer(role).type(i);
                if ((mask >> role & 1u) != 0 && type != NOPT_DTYPE_DYNAMIC8) {  // see dynamic8_test.cpp
                    check(state.name, e.at(role), model.value(role, i, j), type);
                }
            }
        });
        ASSERT_FALSE(HasFatalFailure());
    }
    EXPECT_GT(closest, 0.2) << "the bounds are too wide for this test to see anything";
}

INSTANTIATE_TEST_SUITE_P(Rules, Matrix, testing::ValuesIn(all_cases()),
                         [](const testing::TestParamInfo<Case>& one) { return one.param.name; });

}  // namespace
}  // namespace nopt_test
