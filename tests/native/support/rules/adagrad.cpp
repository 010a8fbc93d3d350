// s = s + g^2, theta -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps).
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

struct Adagrad {
    static constexpr const char* name = "adagrad";
    static std::vector<TestValue> values() {
        return {{"lr_decay", 0.5}, {"initial_accumulator_value", 4.0}, {"eps", 0.1}};
    }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const Number g = gradient(e, s);
        Number& sum = s.state(e, "sum");
        sum = sum + g * g;
        const double lr = s.lr / (1.0 + static_cast<double>(s.t - 1) * s["lr_decay"]);
        subtract(e, s, scalar<Number>(lr) * (g / (sqrt(sum) + scalar<Number>(s["eps"]))));
    }
};

const Registered<Adagrad> registered;

}  // namespace
}  // namespace nopt_test
