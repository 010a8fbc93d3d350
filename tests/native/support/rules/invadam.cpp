// Moments as Adam's, theta -= lr m_hat sqrt(v_hat).
#include "support/rules/moments.h"

namespace nopt_test {
namespace {

struct InvAdam {
    static constexpr const char* name = "invadam";
    // Large enough to be seen.
    static std::vector<TestValue> values() { return {{"eps", 1e-3, "inverse_epsilon"}}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const Moments<Number> moments = update_moments(e, s);
        subtract(e, s, scalar<Number>(moments.lr) * (moments.m * (moments.root + moments.inverse_eps)));
    }
};

const Registered<InvAdam> registered;

}  // namespace
}  // namespace nopt_test
