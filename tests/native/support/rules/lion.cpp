// theta -= lr sign(beta1 m + (1 - beta1) g), then m = beta2 m + (1 - beta2) g.
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

struct Lion {
    static constexpr const char* name = "lion";
    static std::vector<TestValue> values() { return {}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const Number g = gradient(e, s);
        Number& m = s.state(e, "exp_avg");
        const Number blend = scalar<Number>(s["beta1"]) * m + scalar<Number>(1.0 - s["beta1"]) * g;
        m = scalar<Number>(s["beta2"]) * m + scalar<Number>(1.0 - s["beta2"]) * g;
        subtract(e, s, scalar<Number>(s.lr) * sign(blend));
    }
};

const Registered<Lion> registered;

}  // namespace
}  // namespace nopt_test
