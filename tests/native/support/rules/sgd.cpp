// b = momentum b + (1 - dampening) g, in the first step b = g; theta -= lr b; with Nesterov lr (g + momentum b),
// without momentum lr g.
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

struct Sgd {
    static constexpr const char* name = "sgd";
    static std::vector<TestValue> values() { return {{"momentum", 0.9}}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const Number g = gradient(e, s);
        Number direction = g;
        if (s["momentum"] > 0.0) {
            const Number momentum = scalar<Number>(s["momentum"]);
            Number& b = s.state(e, "momentum_buffer");
            b = momentum * b + scalar<Number>(s.t == 1 ? 1.0 : 1.0 - s["dampening"]) * g;
            direction = s.has("nesterov") ? g + momentum * b : b;
        }
        subtract(e, s, scalar<Number>(s.lr) * direction);
    }
};

const Registered<Sgd> registered;

}  // namespace
}  // namespace nopt_test
