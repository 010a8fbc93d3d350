// m1 = beta1 m1 + (1 - beta1) g, m2 = beta3(t) m2 + (1 - beta3(t)) g, v as Adam; theta -= lr (m1_hat + alpha(t) m2) /
// (sqrt(v_hat) + eps); alpha grows evenly and the half-life of beta3 does up to the step t_alpha_beta3.
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

struct AdEmaMix {
    static constexpr const char* name = "ademamix";
    // Both kinds of steps are among a few.
    static std::vector<TestValue> values() { return {{"t_alpha_beta3", 3.0}, {"beta3", 0.99}}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const double t = static_cast<double>(s.t);
        double alpha = s["alpha"];
        double beta3 = s["beta3"];
        if (t < s["t_alpha_beta3"]) {
            const double part = t / s["t_alpha_beta3"];
            const double from = log(s["beta1"]);
            const double to = log(beta3);
            alpha *= part;
            beta3 = std::min(beta3, exp(from * to / ((1.0 - part) * to + part * from)));
        }
        const Number g = gradient(e, s);
        Number& fast = s.state(e, "exp_avg_fast");
        Number& slow = s.state(e, "exp_avg_slow");
        Number& v = s.state(e, "exp_avg_sq");
        fast = scalar<Number>(s["beta1"]) * fast + scalar<Number>(1.0 - s["beta1"]) * g;
        slow = scalar<Number>(beta3) * slow + scalar<Number>(1.0 - beta3) * g;
        v = scalar<Number>(s["beta2"]) * v + scalar<Number>(1.0 - s["beta2"]) * (g * g);
        const Number numerator =
            scalar<Number>(s.lr / (1.0 - pow(s["beta1"], t))) * fast + scalar<Number>(s.lr * alpha) * slow;
        const Number root = sqrt(v) / scalar<Number>(sqrt(1.0 - pow(s["beta2"], t)));
        subtract(e, s, numerator / (root + scalar<Number>(s["eps"])));
    }
};

const Registered<AdEmaMix> registered;

}  // namespace
}  // namespace nopt_test
