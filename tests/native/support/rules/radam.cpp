// As Adam, with theta -= lr r sqrt(1 - beta2^t) m_hat / (sqrt(v) + eps) where rho > 5, and theta -= lr m_hat elsewhere.
#include "support/rules/moments.h"

namespace nopt_test {
namespace {

struct RAdam {
    static constexpr const char* name = "radam";
    // With the second moment so short, the third step is the first rectified one.
    static std::vector<TestValue> values() { return {{"beta2", 0.93}}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const Moments<Number> moments = update_moments(e, s);
        const double beta2 = s["beta2"];
        const double t = static_cast<double>(s.t);
        const double product = pow(beta2, t);
        const double infinite = 2.0 / (1.0 - beta2) - 1.0;
        const double rho = infinite - 2.0 * t * product / (1.0 - product);
        if (rho <= 5.0) {
            subtract(e, s, scalar<Number>(moments.lr) * moments.m);
            return;
        }
        const double r = sqrt((rho - 4.0) * (rho - 2.0) * infinite / ((infinite - 4.0) * (infinite - 2.0) * rho));
        const Number root = sqrt(s.state(e, "exp_avg_sq"));
        subtract(e, s, scalar<Number>(moments.lr * r * sqrt(1.0 - product)) * (moments.m / (root + moments.eps)));
    }
};

const Registered<RAdam> registered;

}  // namespace
}  // namespace nopt_test
