// A step of a rule as a benchmark.
#pragma once

#include <benchmark/benchmark.h>

#include <stdint.h>

#include <vector>

#include "buffers.h"
#include "nativeopt/nativeopt.h"

// A rule with options that make another one of it.
struct Variant {
    const char* name;
    const char* rule;
    uint32_t flags = 0;
    double momentum = 0.0;
    double weight_decay = 0.0;
};

constexpr Variant kSgd = {"sgd", "sgd"};
constexpr Variant kSgdMomentum = {"sgd_momentum", "sgd", 0, 0.9};
constexpr Variant kAdam = {"adam", "adam"};
constexpr Variant kAdamAmsgrad = {"adam_amsgrad", "adam", NOPT_FLAG_AMSGRAD};
constexpr Variant kAdamW = {"adamw", "adam", NOPT_FLAG_DECOUPLED_WEIGHT_DECAY, 0.0, 0.01};
constexpr Variant kInvAdam = {"invadam", "invadam"};
constexpr Variant kDualAdam = {"dualadam", "dualadam"};

// The rule's defaults with the variant's options.
nopt_hyperparams hyperparams(const Variant& variant);

// Times steps over tensors of so many elements. Allocates their buffers, and frees them.
void step(benchmark::State& state, const Variant& variant, const std::vector<int64_t>& counts, Layout layout = {});

// Elements and bytes per second; `bytes` are those of all elements in one iteration.
void report(benchmark::State& state, int64_t elements, int64_t bytes);
