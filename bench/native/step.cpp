#include "step.h"

#include <utility>

namespace {

template <class Info>
std::vector<Info> all_of(const std::string& rule, int32_t count, nopt_status (*get)(const char*, int32_t, Info*)) {
    std::vector<Info> infos(static_cast<size_t>(count));
    int32_t index = 0;
    for (Info& info : infos) {
        info.struct_size = sizeof info;
        check(get(rule.c_str(), index++, &info));
    }
    return infos;
}

}  // namespace

Variant plain(const std::string& rule) {
    Variant variant = {rule, rule, {}};
    variant.hyperparams.struct_size = sizeof variant.hyperparams;
    check(nopt_rule_get_defaults(rule.c_str(), &variant.hyperparams));
    return variant;
}

Variant with_flag(Variant variant, const char* flag) {
    variant.name += std::string("_") + flag;
    check(nopt_hyperparams_set_flag(variant.rule.c_str(), &variant.hyperparams, flag, 1));
    return variant;
}

Variant with_value(Variant variant, const char* hyperparam, double value) {
    variant.name += std::string("_") + hyperparam;
    check(nopt_hyperparams_set(variant.rule.c_str(), &variant.hyperparams, hyperparam, value));
    return variant;
}

Variant adamw() {
    Variant variant = with_value(with_flag(plain("adam"), "decoupled_weight_decay"), "weight_decay", 0.01);
    variant.name = "adamw";
    return variant;
}

std::vector<Variant> all_variants() {
    std::vector<Variant> variants;
    for (int32_t i = 0; i < nopt_rule_count(); ++i) {
        nopt_rule_info rule = {};
        rule.struct_size = sizeof rule;
        check(nopt_rule_get_info(i, &rule));
        const Variant base = plain(rule.name);
        variants.push_back(base);
        for (const nopt_flag_info& flag : all_of(rule.name, rule.flag_count, nopt_rule_get_flag)) {
            if (flag.selects_states != 0) {
                variants.push_back(with_flag(base, flag.name));
            }
        }
        const std::vector<nopt_hyperparam_info> infos =
            all_of(rule.name, rule.hyperparam_count, nopt_rule_get_hyperparam);
        for (const nopt_state_info& state : all_of(rule.name, rule.state_count, nopt_rule_get_state)) {
            if (state.needed_hyperparam >= 0) {
                const nopt_hyperparam_info& info = infos[static_cast<size_t>(state.needed_hyperparam)];
                const double above = state.needed_above + (info.is_integer != 0 ? 1.0 : 0.9);
                if (base.hyperparams.values[info.index] < above) {
                    variants.push_back(with_value(base, info.name, above));
                }
            }
        }
    }
    return variants;
}

void step(benchmark::State& state, const Variant& variant, const std::vector<int64_t>& counts, Layout layout) {
    Buffers buffers(counts, layout);
    nopt_optimizer* optimizer = nullptr;
    check(nopt_optimizer_create(buffers.set(), variant.rule.c_str(), &optimizer));
    const nopt_hyperparams& h = variant.hyperparams;
    uint32_t roles = 0;
    check(nopt_optimizer_get_roles(optimizer, &h, &roles));
    buffers.bind(roles);
    for (auto _ : state) {
        check(nopt_optimizer_step(optimizer, &h, nullptr));
    }
    report(state, buffers.elements(), buffers.step_bytes());
    check(nopt_optimizer_destroy(optimizer));
}

void report(benchmark::State& state, int64_t elements, int64_t bytes) {
    state.SetItemsProcessed(state.iterations() * elements);
    state.SetBytesProcessed(state.iterations() * bytes);
}
