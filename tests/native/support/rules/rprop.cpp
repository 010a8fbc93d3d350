// a = sign(g) sign(prev); s = clamp(s etaplus) where a > 0, clamp(s etaminus) where a < 0, else clamp(s); where a < 0,
// g = 0; prev = g, theta -= sign(g) s.
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

struct Rprop {
    static constexpr const char* name = "rprop";
    static std::vector<TestValue> values() { return {{"step_size_min", 0.005}, {"step_size_max", 0.02}}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        Number g = gradient(e, s);
        Number& previous = s.state(e, "prev");
        Number& size = s.state(e, "step_size");
        const Number a = sign(g) * sign(previous);
        const Number none(0.0);
        const Number factor = none < a   ? scalar<Number>(s["etaplus"])
                              : a < none ? scalar<Number>(s["etaminus"])
                                         : Number(1.0);
        size = fmin(fmax(size * factor, scalar<Number>(s["step_size_min"])), scalar<Number>(s["step_size_max"]));
        if (a < none) {
            g = none;
        }
        previous = g;
        subtract(e, s, sign(g) * size);
    }
};

const Registered<Rprop> registered;

}  // namespace
}  // namespace nopt_test
