// Every rule's equations, written here a second time. A rule has one file in support/rules, which says in one template
// what a step does: in double for what must come out, in Rounded for how far floats may be from it.
#pragma once

#include <math.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "support/rounded.h"
#include "support/rules.h"

namespace nopt_test {

// One element of a tensor on its way through a step. States and inputs are in the rule's order.
template <class Number>
struct RuleElement {
    Number param = 0.0;
    Number grad = 0.0;
    Number state[NOPT_MAX_STATES] = {};
    Number input[NOPT_MAX_INPUTS] = {};
    bool has_input[NOPT_MAX_INPUTS] = {};

    // The parameter or a state.
    Number& at(nopt_role role) { return role == NOPT_ROLE_PARAM ? param : state[role - NOPT_ROLE_STATE]; }
    const Number& at(nopt_role role) const { return role == NOPT_ROLE_PARAM ? param : state[role - NOPT_ROLE_STATE]; }
};

struct Reference;

// What the elements of a tensor share in a step.
struct RuleStep {
    // `t`: from 1; learning rate and weight decay are the tensor's.
    RuleStep(const std::string& rule_, const nopt_hyperparams& h, int64_t t_, double lr_, double weight_decay_);

    double operator[](const char* name) const { return hyperparams.values[get(rule.hyperparams, name).index]; }
    bool has(const char* name) const {
        const nopt_flag_info* const info = find(rule.flags, name);
        return info != nullptr && (hyperparams.flags & info->flag) != 0;
    }
    bool is_decoupled() const { return (hyperparams.flags & NOPT_FLAG_DECOUPLED_WEIGHT_DECAY) != 0; }
    template <class Number>
    Number& state(RuleElement<Number>& e, const char* name) const {
        return e.at(static_cast<nopt_role>(get(rule.states, name).role));
    }

    const RuleDescription& rule;
    const Reference& reference;
    const nopt_hyperparams& hyperparams;
    const int64_t t;
    const double lr;
    const double weight_decay;
};

// The gradient with its sign.
template <class Number>
Number signed_gradient(const RuleElement<Number>& e, const RuleStep& s) {
    return s.has("maximize") ? -e.grad : e.grad;
}

// The gradient with its sign and L2.
template <class Number>
Number gradient(const RuleElement<Number>& e, const RuleStep& s) {
    const Number g = signed_gradient(e, s);
    return s.is_decoupled() || s.weight_decay == 0.0 ? g : g + scalar<Number>(s.weight_decay) * e.param;
}

// theta <- (1 - lr * weight_decay) * theta - delta. The small terms are added up first, so that none of them is lost
// beside 1.
template <class Number>
void decay_and_subtract(RuleElement<Number>& e, const RuleStep& s, const Number& delta) {
    e.param = e.param - (s.weight_decay == 0.0 ? delta : scalar<Number>(s.lr * s.weight_decay) * e.param + delta);
}

// Subtracts delta, after the decay if that is decoupled.
template <class Number>
void subtract(RuleElement<Number>& e, const RuleStep& s, const Number& delta) {
    if (s.is_decoupled()) {
        decay_and_subtract(e, s, delta);
    } else {
        e.param = e.param - delta;
    }
}

// What tests set a hyperparameter to, always or where a flag is set.
struct TestValue {
    const char* name;
    double value;
    const char* flag = nullptr;
};

struct Reference {
    std::string rule;
    std::vector<TestValue> values;
    void (*step_in_double)(RuleElement<double>& e, const RuleStep& s);
    void (*step_rounded)(RuleElement<Rounded>& e, const RuleStep& s);
};

// The references of all rules, in the order of linking.
std::vector<Reference>& references();
// The reference of a rule. Throws where there is none.
const Reference& reference_of(const std::string& rule);

// Makes a reference known. `Rule` has `name`, `values()` and a template `step(RuleElement<Number>&, const RuleStep&)`.
template <class Rule>
struct Registered {
    Registered() {
        references().push_back(
            {Rule::name, Rule::values(), &Rule::template step<double>, &Rule::template step<Rounded>});
    }
};

inline void step_reference(RuleElement<double>& e, const RuleStep& s) { s.reference.step_in_double(e, s); }
inline void step_reference(RuleElement<Rounded>& e, const RuleStep& s) { s.reference.step_rounded(e, s); }

// Copies an element. As Rounded it is exact.
template <class To>
RuleElement<To> element_as(const RuleElement<double>& from) {
    RuleElement<To> to;
    to.param = from.param;
    to.grad = from.grad;
    std::copy(std::begin(from.state), std::end(from.state), std::begin(to.state));
    std::copy(std::begin(from.input), std::end(from.input), std::begin(to.input));
    std::copy(std::begin(from.has_input), std::end(from.has_input), std::begin(to.has_input));
    return to;
}

}  // namespace nopt_test
