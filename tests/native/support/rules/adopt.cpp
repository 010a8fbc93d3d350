// t = 1: v = g^2 only. Then n = g / max(sqrt(v), eps), c = (t - 1)^clip_exponent, m = beta1 m + (1 - beta1) clip(n, -c,
// c), theta -= lr m, v = beta2 v + (1 - beta2) g^2.
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

struct Adopt {
    static constexpr const char* name = "adopt";
    // Some of the normalised gradients are clipped then.
    static std::vector<TestValue> values() { return {{"beta2", 0.9}, {"eps", 0.5}, {"clip_exponent", 0.1}}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const Number g = gradient(e, s);
        Number& m = s.state(e, "exp_avg");
        Number& v = s.state(e, "exp_avg_sq");
        if (s.t == 1) {
            v = g * g;
            return;
        }
        const Number clip = scalar<Number>(pow(static_cast<double>(s.t - 1), s["clip_exponent"]));
        const Number normalised = g / fmax(sqrt(v), scalar<Number>(s["eps"]));
        m = scalar<Number>(s["beta1"]) * m + scalar<Number>(1.0 - s["beta1"]) * fmax(-clip, fmin(clip, normalised));
        v = scalar<Number>(s["beta2"]) * v + scalar<Number>(1.0 - s["beta2"]) * (g * g);
        subtract(e, s, scalar<Number>(s.lr) * m);
    }
};

const Registered<Adopt> registered;

}  // namespace
}  // namespace nopt_test
