// m = beta1 m + (1 - beta1) g, u = max(beta2 u, |g| + eps), theta -= lr m_hat / u.
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

struct Adamax {
    static constexpr const char* name = "adamax";
    static std::vector<TestValue> values() { return {{"beta2", 0.9}, {"eps", 0.01}}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const Number g = gradient(e, s);
        Number& m = s.state(e, "exp_avg");
        Number& u = s.state(e, "exp_inf");
        m = scalar<Number>(s["beta1"]) * m + scalar<Number>(1.0 - s["beta1"]) * g;
        u = fmax(scalar<Number>(s["beta2"]) * u, fabs(g) + scalar<Number>(s["eps"]));
        subtract(e, s, scalar<Number>(s.lr / (1.0 - pow(s["beta1"], static_cast<double>(s.t)))) * (m / u));
    }
};

const Registered<Adamax> registered;

}  // namespace
}  // namespace nopt_test
