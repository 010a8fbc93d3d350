// Every mix of element types x every rule and option, against the equations in double with hyperparameters that are
// floats. The bounds are those of the float operations of one step, carried to the results to first order.
#include <math.h>

#include "support/half_model.h"
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

constexpr double kHalfUlp = 0x1p-24;  // relative: what one rounding to float changes

// How far one step in float may be from the one in double.
struct Bounds {
    double param;
    double exp_avg = 0.0;
    double exp_avg_sq = 0.0;
    double momentum_buffer = 0.0;
};

// `before` and `after`: the step in double. Each number is a count of roundings.
Bounds bounds_of(const std::string& rule, const nopt_hyperparams& h, const RuleReference& before,
                 const RuleReference& after, double grad, int t, double lr, double weight_decay) {
    const bool decoupled = (h.flags & NOPT_FLAG_DECOUPLED_WEIGHT_DECAY) != 0;
    const double l2 = decoupled ? 0.0 : weight_decay;
    const double decay = decoupled ? lr * weight_decay * fabs(before.param) : 0.0;
    const double g = fabs(((h.flags & NOPT_FLAG_MAXIMIZE) != 0 ? -grad : grad) + l2 * before.param);
    const double e_g = kHalfUlp * (g + 2.0 * l2 * fabs(before.param));
    double delta = 0.0;
    double e_delta = 0.0;
    Bounds e = {};
    if (rule == "sgd") {
        const double kept = h.momentum * fabs(before.momentum_buffer);
        e.momentum_buffer = kHalfUlp * (2.0 * kept + fabs(after.momentum_buffer)) + e_g;
        const bool nesterov = (h.flags & NOPT_FLAG_NESTEROV) != 0;
        const double used = h.momentum == 0.0 ? g
                            : nesterov        ? g + h.momentum * fabs(after.momentum_buffer)
                                              : fabs(after.momentum_buffer);
        const double e_used = h.momentum == 0.0 ? e_g
                              : nesterov        ? e_g + h.momentum * e.momentum_buffer + 3.0 * kHalfUlp * used
                                                : e.momentum_buffer;
        delta = lr * used;
        e_delta = lr * e_used + 2.0 * kHalfUlp * delta;
    } else {
        const double gained = (1.0 - h.beta1) * g;
        const double gained_sq = (1.0 - h.beta2) * g * g;
        e.exp_avg =
            kHalfUlp * (h.beta1 * fabs(before.exp_avg) + 2.0 * gained + fabs(after.exp_avg)) + (1.0 - h.beta1) * e_g;
        e.exp_avg_sq = kHalfUlp * (h.beta2 * before.exp_avg_sq + 3.0 * gained_sq + after.exp_avg_sq) +
                       (1.0 - h.beta2) * 2.0 * g * e_g;
        const double v = (h.flags & NOPT_FLAG_AMSGRAD) != 0 ? after.max_exp_avg_sq : after.exp_avg_sq;
        const double correction1 = 1.0 - pow(h.beta1, t);
        const double correction2 = 1.0 - pow(h.beta2, t);
        const double root = sqrt(v / correction2);
        const double e_root = (v > 0.0 ? e.exp_avg_sq / (2.0 * sqrt(v * correction2)) : 0.0) + 3.0 * kHalfUlp * root;
        const double m_hat = fabs(after.exp_avg) / correction1;
        const double e_m_hat = e.exp_avg / correction1 + 2.0 * kHalfUlp * m_hat;
        const double sum = root + h.eps;
        const double e_sum = e_root + 2.0 * kHalfUlp * sum;
        const double direct = m_hat / sum;
        const double e_direct = e_m_hat / sum + direct * e_sum / sum + 2.0 * kHalfUlp * direct;
        const double inverse_sum = root + ((h.flags & NOPT_FLAG_INVERSE_EPSILON) != 0 ? h.eps : 0.0);
        const double inverse = m_hat * inverse_sum;
        const double e_inverse =
            e_m_hat * inverse_sum + m_hat * (e_root + 2.0 * kHalfUlp * inverse_sum) + 2.0 * kHalfUlp * inverse;
        const double a = rule == "dualadam" ? fmax(0.0, 1.0 - h.switching_rate * t) : rule == "invadam" ? 1.0 : 0.0;
        delta = lr * (a * inverse + (1.0 - a) * direct);
        e_delta = lr * (a * e_inverse + (1.0 - a) * e_direct) + 2.0 * kHalfUlp * delta;
    }
    e.param = kHalfUlp * (fabs(after.param) + 3.0 * decay + delta) + e_delta;
    return e;
}

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

nopt_hyperparams rounded_to_float(nopt_hyperparams h) {
    for (double* const one : {&h.lr, &h.beta1, &h.beta2, &h.eps, &h.weight_decay, &h.momentum, &h.switching_rate}) {
        *one = static_cast<double>(static_cast<float>(*one));
    }
    return h;
}

class Matrix : public testing::TestWithParam<Case> {};

TEST_P(Matrix, FollowsTheEquations) {
    const std::string& rule = GetParam().rule;
    const nopt_hyperparams h = rounded_to_float(GetParam().hyperparams);
    HalfModel model(rule, mixes_with_dynamic8());
    Random random(41);
    model.fill_params(random);
    double closest = 0.0;  // to a bound, as a part of it
    for (int t = 1; t <= 3; ++t) {
        model.fill(NOPT_ROLE_GRAD, random);
        model.read();
        std::vector<RuleReference> befores;
        model.for_all([&](size_t i, int64_t j) {
            const auto value = [&](nopt_role role) { return static_cast<double>(model.value(role, i, j)); };
            befores.push_back({static_cast<double>(model.theta(i, j)), value(NOPT_ROLE_EXP_AVG),
                               value(NOPT_ROLE_EXP_AVG_SQ), value(NOPT_ROLE_MAX_EXP_AVG_SQ),
                               value(NOPT_ROLE_MOMENTUM_BUFFER)});
        });
        NOPT_ASSERT_OK(nopt_optimizer_step(model.optimizer, &h, nullptr));
        model.read();
        size_t at = 0;
        model.for_all([&](size_t i, int64_t j) {
            const Mix& mix = model.mixes()[i];
            const RuleReference& before = befores[at++];
            RuleReference after = before;
            const double grad = static_cast<double>(model.value(NOPT_ROLE_GRAD, i, j));
            after.step(rule, h, grad, t, h.lr, h.weight_decay);
            const Bounds bounds = bounds_of(rule, h, before, after, grad, t, h.lr, h.weight_decay);
            const auto check = [&](const char* name, double expected, double actual, double bound, nopt_dtype type) {
                // (1e-44: a few of the smallest floats.)
                const double all = 1.01 * bound + 1e-44 + quantum(expected, type);
                ASSERT_LE(fabs(expected - actual), all)
                    << name << ": " << expected << ", tensor " << i << ", element " << j << ", step " << t;
                closest = fmax(closest, type == NOPT_DTYPE_FLOAT32 ? fabs(expected - actual) / all : 0.0);
            };
            const bool is_exact = mix.extra != Extra::kNone;
            check("theta", after.param, static_cast<double>(model.theta(i, j)), bounds.param,
                  is_exact ? NOPT_DTYPE_FLOAT32 : mix.param);
            if (mix.state != NOPT_DTYPE_DYNAMIC8) {  // see dynamic8_test.cpp
                const auto state = [&](nopt_role role, double expected, double bound) {
                    check("state", expected, static_cast<double>(model.value(role, i, j)), bound, mix.state);
                };
                state(NOPT_ROLE_EXP_AVG, after.exp_avg, bounds.exp_avg);
                state(NOPT_ROLE_EXP_AVG_SQ, after.exp_avg_sq, bounds.exp_avg_sq);
                if ((h.flags & NOPT_FLAG_AMSGRAD) != 0) {
                    state(NOPT_ROLE_MAX_EXP_AVG_SQ, after.max_exp_avg_sq, bounds.exp_avg_sq);
                }
                if (h.momentum != 0.0) {
                    state(NOPT_ROLE_MOMENTUM_BUFFER, after.momentum_buffer, bounds.momentum_buffer);
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
