// mu_t = beta1 (1 - 0.96^(t psi) / 2), P their product; m and v as Adam; theta -= lr ((1 - mu_t) / (1 - P) g +
// mu_{t+1} / (1 - P mu_{t+1}) m) / (sqrt(v_hat) + eps).
#include "support/rules/moments.h"

namespace nopt_test {
namespace {

struct NAdam {
    static constexpr const char* name = "nadam";
    // So that the decay rate moves within a few steps.
    static std::vector<TestValue> values() { return {{"momentum_decay", 2.0}}; }

    static double mu(const RuleStep& s, double t) {
        return s["beta1"] * (1.0 - 0.5 * pow(0.96, t * s["momentum_decay"]));
    }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const Number g = gradient(e, s);
        const Moments<Number> moments = update_moments(e, s);
        const double t = static_cast<double>(s.t);
        double product = 1.0;
        for (int64_t i = 1; i <= s.t; ++i) {
            product *= mu(s, static_cast<double>(i));
        }
        const double next = mu(s, t + 1.0);
        const Number of_gradient = scalar<Number>(s.lr * (1.0 - mu(s, t)) / (1.0 - product)) * g;
        const Number of_moment = scalar<Number>(s.lr * next / (1.0 - product * next)) * moments.m;
        subtract(e, s, (of_gradient + of_moment) / (moments.root + moments.eps));
    }
};

const Registered<NAdam> registered;

}  // namespace
}  // namespace nopt_test
