// v = alpha v + (1 - alpha) g^2; w = v, centered a = alpha a + (1 - alpha) g, w = v - a^2; u = g / (sqrt(w) + eps);
// with momentum b = momentum b + u, theta -= lr b, else theta -= lr u.
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

struct RmsProp {
    static constexpr const char* name = "rmsprop";
    static std::vector<TestValue> values() { return {{"momentum", 0.9}, {"alpha", 0.9}, {"eps", 1.0}}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const Number g = gradient(e, s);
        const Number alpha = scalar<Number>(s["alpha"]);
        const Number rest = scalar<Number>(1.0 - s["alpha"]);
        Number& v = s.state(e, "square_avg");
        v = alpha * v + rest * (g * g);
        Number w = v;
        if (s.has("centered")) {
            Number& a = s.state(e, "grad_avg");
            a = alpha * a + rest * g;
            w = fmax(v - a * a, Number(0.0));
        }
        Number direction = g / (sqrt(w) + scalar<Number>(s["eps"]));
        if (s["momentum"] > 0.0) {
            Number& b = s.state(e, "momentum_buffer");
            b = scalar<Number>(s["momentum"]) * b + direction;
            direction = b;
        }
        subtract(e, s, scalar<Number>(s.lr) * direction);
    }
};

const Registered<RmsProp> registered;

}  // namespace
}  // namespace nopt_test
