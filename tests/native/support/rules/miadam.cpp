// m and v as Adam; while t <= switch_step: b1 = kappa b1 + m, b2 = kappa b2 + b1, b3 = kappa b3 + b2, theta -=
// lr^(order + 1) / (1 - beta1^t) b_order / (sqrt(v_hat) + eps); then as Adam.
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

struct MiAdam {
    static constexpr const char* name = "miadam";
    // Both kinds of steps are among a few.
    static std::vector<TestValue> values() { return {{"order", 3.0}, {"switch_step", 2.0}}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const double t = static_cast<double>(s.t);
        const Number g = gradient(e, s);
        Number& m = s.state(e, "exp_avg");
        Number& v = s.state(e, "exp_avg_sq");
        m = m + scalar<Number>(1.0 - s["beta1"]) * (g - m);
        v = scalar<Number>(s["beta2"]) * v + scalar<Number>(1.0 - s["beta2"]) * (g * g);
        double lr = s.lr / (1.0 - pow(s["beta1"], t));
        Number direction = m;
        if (t <= s["switch_step"]) {
            const char* const names[] = {"buf_exp_avg", "buf_exp_avg2", "buf_exp_avg3"};
            for (int i = 0; i < static_cast<int>(s["order"]); ++i) {
                Number& b = s.state(e, names[i]);
                b = scalar<Number>(s["kappa"]) * b + direction;
                direction = b;
                lr *= s.lr;
            }
        }
        const Number root = sqrt(v) / scalar<Number>(sqrt(1.0 - pow(s["beta2"], t)));
        subtract(e, s, scalar<Number>(lr) * (direction / (root + scalar<Number>(s["eps"]))));
    }
};

const Registered<MiAdam> registered;

}  // namespace
}  // namespace nopt_test
