#include "support/rule_reference.h"

namespace nopt_test {

std::vector<Reference>& references() {
    static std::vector<Reference> all;
    return all;
}

const Reference& reference_of(const std::string& rule) {
    for (const Reference& one : references()) {
        if (one.rule == rule) {
            return one;
        }
    }
    throw std::invalid_argument("rule " + rule + " has no reference; add tests/native/support/rules/" + rule + ".cpp");
}

RuleStep::RuleStep(const std::string& rule_, const nopt_hyperparams& h, int64_t t_, double lr_, double weight_decay_)
    : rule(describe(rule_)),
      reference(reference_of(rule_)),
      hyperparams(h),
      t(t_),
      lr(lr_),
      weight_decay(weight_decay_) {}

}  // namespace nopt_test
