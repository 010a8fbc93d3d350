// With d = g - g', g' being the gradient of the step before (d = 0 in the first): m = beta1 m + (1 - beta1) g,
// v = beta2 v + (1 - beta2) d, n = beta3 n + (1 - beta3) (g + beta2 d)^2; theta -= lr (m_hat + beta2 v_hat) /
// (sqrt(n_hat) + eps), theta /= 1 + lr weight_decay; with no_prox theta *= 1 - lr weight_decay before instead.
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

struct Adan {
    static constexpr const char* name = "adan";
    static std::vector<TestValue> values() { return {}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const double beta1 = s["beta1"];
        const double beta2 = s["beta2"];
        const double beta3 = s["beta3"];
        const double t = static_cast<double>(s.t);
        Number& m = s.state(e, "exp_avg");
        Number& v = s.state(e, "exp_avg_diff");
        Number& n = s.state(e, "exp_avg_sq");
        Number& previous = s.state(e, "pre_grad");
        const Number g = signed_gradient(e, s);
        const Number d = s.t == 1 ? Number(0.0) : g - previous;
        const Number ahead = g + scalar<Number>(beta2) * d;
        m = scalar<Number>(beta1) * m + scalar<Number>(1.0 - beta1) * g;
        v = scalar<Number>(beta2) * v + scalar<Number>(1.0 - beta2) * d;
        n = scalar<Number>(beta3) * n + scalar<Number>(1.0 - beta3) * (ahead * ahead);
        previous = g;
        const Number denominator = sqrt(n) / scalar<Number>(sqrt(1.0 - pow(beta3, t))) + scalar<Number>(s["eps"]);
        const Number numerator =
            scalar<Number>(s.lr / (1.0 - pow(beta1, t))) * m + scalar<Number>(s.lr * beta2 / (1.0 - pow(beta2, t))) * v;
        if (s.has("no_prox")) {
            decay_and_subtract(e, s, numerator / denominator);
            return;
        }
        e.param = e.param - numerator / denominator;
        if (s.weight_decay != 0.0) {
            e.param = e.param / scalar<Number>(1.0 + s.lr * s.weight_decay);
        }
    }
};

const Registered<Adan> registered;

}  // namespace
}  // namespace nopt_test
