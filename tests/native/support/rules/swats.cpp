// m and v as Adam, theta -= lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + eps). Nobody writes the running scalars
// in these tests, so that there is no switch to SGD.
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

struct Swats {
    static constexpr const char* name = "swats";
    static std::vector<TestValue> values() { return {}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const double t = static_cast<double>(s.t);
        const Number g = gradient(e, s);
        Number& m = s.state(e, "exp_avg");
        Number& v = s.state(e, "exp_avg_sq");
        m = scalar<Number>(s["beta1"]) * m + scalar<Number>(1.0 - s["beta1"]) * g;
        v = scalar<Number>(s["beta2"]) * v + scalar<Number>(1.0 - s["beta2"]) * (g * g);
        const double lr = s.lr * sqrt(1.0 - pow(s["beta2"], t)) / (1.0 - pow(s["beta1"], t));
        subtract(e, s, scalar<Number>(lr) * (m / (sqrt(v) + scalar<Number>(s["eps"]))));
    }
};

const Registered<Swats> registered;

}  // namespace
}  // namespace nopt_test
