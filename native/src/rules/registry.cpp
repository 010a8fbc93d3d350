#include "rules/registry.h"

#include <math.h>
#include <string.h>

#include <new>
#include <type_traits>

#include "rules/all_rules.h"

namespace nopt {
namespace {

template <class R>
void write_scalars(const StepInput& step, double lr_scale, double weight_decay, void* out) {
    static_assert(sizeof(typename R::Scalars) <= kMaxScalars, "raise kMaxScalars");
    static_assert(std::is_trivially_copyable<typename R::Scalars>::value, "scalars are copied to devices");
    new (out) typename R::Scalars(R::scalars(step, lr_scale, weight_decay));
}

template <class R>
constexpr Rule make_rule() {
    return {R::traits, {R::states(0), R::states(1)}, &R::variant, &write_scalars<R>};
}

}  // namespace

const Rule kRules[kRuleCount] = {
#define NOPT_RULE(Type, header) make_rule<Type>(),
#include "rules/rules.def"
#undef NOPT_RULE
};

int find_rule(const char* name) {
    for (int i = 0; i < kRuleCount; ++i) {
        if (strcmp(kRules[i].traits.name, name) == 0) {
            return i;
        }
    }
    return -1;
}

}  // namespace nopt
