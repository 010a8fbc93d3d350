// m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, theta -= lr m_hat / (sqrt(v_hat) + eps).
#include "support/rules/moments.h"

namespace nopt_test {
namespace {

struct Adam {
    static constexpr const char* name = "adam";
    static std::vector<TestValue> values() { return {}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const Moments<Number> moments = update_moments(e, s);
        subtract(e, s, scalar<Number>(moments.lr) * (moments.m / (moments.root + moments.eps)));
    }
};

const Registered<Adam> registered;

}  // namespace
}  // namespace nopt_test
