// With a = max(0, 1 - switching_rate t): a parts of InvAdam's step and 1 - a of Adam's.
#include "support/rules/moments.h"

namespace nopt_test {
namespace {

struct DualAdam {
    static constexpr const char* name = "dualadam";
    // It turns into Adam within the tests' steps; and eps is large enough to be seen.
    static std::vector<TestValue> values() { return {{"switching_rate", 0.04}, {"eps", 1e-3, "inverse_epsilon"}}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const Moments<Number> moments = update_moments(e, s);
        const double a = fmax(0.0, 1.0 - s["switching_rate"] * static_cast<double>(s.t));
        const Number inverse = moments.m * (moments.root + moments.inverse_eps);
        const Number direct = moments.m / (moments.root + moments.eps);
        subtract(e, s, scalar<Number>(moments.lr * a) * inverse + scalar<Number>(moments.lr * (1.0 - a)) * direct);
    }
};

const Registered<DualAdam> registered;

}  // namespace
}  // namespace nopt_test
