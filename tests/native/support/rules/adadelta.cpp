// v = rho v + (1 - rho) g^2, D = sqrt(a + eps) / sqrt(v + eps) g, a = rho a + (1 - rho) D^2, theta -= lr D.
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

struct Adadelta {
    static constexpr const char* name = "adadelta";
    static std::vector<TestValue> values() { return {{"eps", 0.01}}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const Number g = gradient(e, s);
        const Number rho = scalar<Number>(s["rho"]);
        const Number rest = scalar<Number>(1.0 - s["rho"]);
        const Number eps = scalar<Number>(s["eps"]);
        Number& v = s.state(e, "square_avg");
        Number& a = s.state(e, "acc_delta");
        v = rho * v + rest * (g * g);
        const Number delta = sqrt(a + eps) / sqrt(v + eps) * g;
        a = rho * a + rest * (delta * delta);
        subtract(e, s, scalar<Number>(s.lr) * delta);
    }
};

const Registered<Adadelta> registered;

}  // namespace
}  // namespace nopt_test
