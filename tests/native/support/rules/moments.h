// What Adam, InvAdam and DualAdam share.
#pragma once

#include "support/rule_reference.h"

namespace nopt_test {

template <class Number>
struct Moments {
    Number m;     // without its correction
    Number root;  // of v_hat
    double lr;    // lr / (1 - beta1^t), which corrects m
    Number eps;
    Number inverse_eps;
};

template <class Number>
Moments<Number> update_moments(RuleElement<Number>& e, const RuleStep& s) {
    const double beta1 = s["beta1"];
    const double beta2 = s["beta2"];
    Number& m = s.state(e, "exp_avg");
    Number& v = s.state(e, "exp_avg_sq");
    const Number g = gradient(e, s);
    m = scalar<Number>(beta1) * m + scalar<Number>(1.0 - beta1) * g;
    v = scalar<Number>(beta2) * v + scalar<Number>(1.0 - beta2) * (g * g);
    Number used = v;
    if (s.has("amsgrad")) {
        Number& largest = s.state(e, "max_exp_avg_sq");
        largest = fmax(largest, v);
        used = largest;
    }
    const double t = static_cast<double>(s.t);
    return {m, sqrt(used) / scalar<Number>(sqrt(1.0 - pow(beta2, t))), s.lr / (1.0 - pow(beta1, t)),
            scalar<Number>(s["eps"]), scalar<Number>(s.has("inverse_epsilon") ? s["eps"] : 0.0)};
}

}  // namespace nopt_test
