// Elements of a model as the rules' references have them.
#pragma once

#include "support/model.h"
#include "support/rule_reference.h"

namespace nopt_test {

// The elements of a tensor. All inputs are there.
inline std::vector<RuleElement<double>> elements_of(Model& model, size_t tensor) {
    std::vector<RuleElement<double>> result(static_cast<size_t>(model.counts()[tensor]));
    const auto take = [&](nopt_role role, auto&& put) {
        const float* const values = model.buffer(role).tensor(tensor);
        for (size_t i = 0; i < result.size(); ++i) {
            put(result[i], static_cast<double>(values[i]));
        }
    };
    for (const nopt_role role : model.written()) {
        take(role, [&](RuleElement<double>& e, double value) { e.at(role) = value; });
    }
    take(NOPT_ROLE_GRAD, [](RuleElement<double>& e, double value) { e.grad = value; });
    for (const nopt_role role : model.inputs()) {
        take(role, [&](RuleElement<double>& e, double value) {
            e.input[role - NOPT_ROLE_INPUT] = value;
            e.has_input[role - NOPT_ROLE_INPUT] = true;
        });
    }
    return result;
}

// The elements of all tensors, one tensor after another.
inline std::vector<RuleElement<double>> elements_of(Model& model) {
    std::vector<RuleElement<double>> result;
    for (size_t t = 0; t < model.counts().size(); ++t) {
        const std::vector<RuleElement<double>> own = elements_of(model, t);
        result.insert(result.end(), own.begin(), own.end());
    }
    return result;
}

// Takes over the gradient and the inputs.
template <class Number>
void take_reads(RuleElement<Number>& to, const RuleElement<double>& from) {
    to.grad = from.grad;
    std::copy(std::begin(from.input), std::end(from.input), std::begin(to.input));
    std::copy(std::begin(from.has_input), std::end(from.has_input), std::begin(to.has_input));
}

// What a step makes of an element whose gradient is only known to a bound, and how far the library may be from it: what
// the uncertain gradient can do, twice, since rules are not linear in it, and the roundings of the rule itself.
class StepBounds {
public:
    StepBounds(const RuleElement<double>& before, double grad, double grad_bound, const RuleStep& step)
        : StepBounds(before, grad, grad - grad_bound, grad + grad_bound, step) {}

    // Here the gradient is known to lie between two others.
    StepBounds(const RuleElement<double>& before, double grad, double below, double above, const RuleStep& step)
        : rounded_(element_as<Rounded>(before)) {
        rounded_.grad = grad;
        step_reference(rounded_, step);
        for (const double end : {below, above}) {
            ends_.push_back(before);
            ends_.back().grad = end;
            step_reference(ends_.back(), step);
        }
    }

    double value(nopt_role role) const { return rounded_.at(role).value(); }
    double bound(nopt_role role) const {
        double spread = 0.0;
        for (const RuleElement<double>& end : ends_) {
            spread = fmax(spread, fabs(end.at(role) - value(role)));
        }
        return 2.0 * spread + 1.1 * rounded_.at(role).error() + 1e-44;
    }

private:
    RuleElement<Rounded> rounded_;
    std::vector<RuleElement<double>> ends_;
};

}  // namespace nopt_test
