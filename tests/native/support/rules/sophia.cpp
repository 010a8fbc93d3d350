// m = beta1 m + (1 - beta1) g; where there is a Hessian diagonal, h = beta2 h + (1 - beta2) of it; theta -= lr
// clip(m / max(gamma h, eps), -1, 1).
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

struct Sophia {
    static constexpr const char* name = "sophia";
    // With the tests' random numbers some elements are clipped then, and others are not.
    static std::vector<TestValue> values() { return {{"gamma", 8.0}}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const int input = input_role(name, "hessian") - NOPT_ROLE_INPUT;
        Number& m = s.state(e, "exp_avg");
        Number& h = s.state(e, "hessian");
        m = scalar<Number>(s["beta1"]) * m + scalar<Number>(1.0 - s["beta1"]) * gradient(e, s);
        if (e.has_input[input]) {
            const Number hessian = s.has("maximize") ? -e.input[input] : e.input[input];  // of what is minimized
            h = scalar<Number>(s["beta2"]) * h + scalar<Number>(1.0 - s["beta2"]) * hessian;
        }
        const Number ratio = m / fmax(scalar<Number>(s["gamma"]) * h, scalar<Number>(s["eps"]));
        subtract(e, s, scalar<Number>(s.lr) * fmax(Number(-1.0), fmin(Number(1.0), ratio)));
    }
};

const Registered<Sophia> registered;

}  // namespace
}  // namespace nopt_test
