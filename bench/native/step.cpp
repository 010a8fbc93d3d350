#include "step.h"

nopt_hyperparams hyperparams(const Variant& variant) {
    nopt_hyperparams h = {};
    h.struct_size = sizeof h;
    check(nopt_rule_get_defaults(variant.rule, &h));
    h.flags = variant.flags;
    h.momentum = variant.momentum;
    h.weight_decay = variant.weight_decay;
    return h;
}

void step(benchmark::State& state, const Variant& variant, const std::vector<int64_t>& counts, Layout layout) {
    Buffers buffers(counts, layout);
    nopt_optimizer* optimizer = nullptr;
    check(nopt_optimizer_create(buffers.set(), variant.rule, &optimizer));
    const nopt_hyperparams h = hyperparams(variant);
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
