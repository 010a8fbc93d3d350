// eta = lr / (1 + lambd lr (t - 1))^alpha, theta = (1 - lambd eta) theta - eta g, with L2 of the theta before;
// mu = 1 / max(1, t - 1 - t0), ax = ax + mu (theta - ax).
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

struct Asgd {
    static constexpr const char* name = "asgd";
    // Averaging starts within a few steps.
    static std::vector<TestValue> values() { return {{"lambd", 0.5}, {"t0", 1.0}}; }

    template <class Number>
    static void step(RuleElement<Number>& e, const RuleStep& s) {
        const double before = static_cast<double>(s.t - 1);
        const double eta = s.lr / pow(1.0 + s["lambd"] * s.lr * before, s["alpha"]);
        const double mu = 1.0 / std::max(1.0, before - s["t0"]);
        const Number g = gradient(e, s);
        Number& ax = s.state(e, "ax");
        e.param = e.param - (scalar<Number>(s["lambd"] * eta) * e.param + scalar<Number>(eta) * g);
        ax = mu == 1.0 ? e.param : ax + scalar<Number>(mu) * (e.param - ax);
    }
};

const Registered<Asgd> registered;

}  // namespace
}  // namespace nopt_test
