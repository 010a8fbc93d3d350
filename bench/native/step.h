// A step of a rule as a benchmark.
#pragma once

#include <benchmark/benchmark.h>

#include <stdint.h>

#include <string>
#include <vector>

#include "buffers.h"
#include "nativeopt/nativeopt.h"

// A rule with the options of a measurement.
struct Variant {
    std::string name;
    std::string rule;
    nopt_hyperparams hyperparams;
};

// The rule's defaults.
Variant plain(const std::string& rule);

// With a flag, or a hyperparameter that has another value, which its name says.
Variant with_flag(Variant variant, const char* flag);
Variant with_value(Variant variant, const char* hyperparam, double value);

// Adam with decoupled weight decay.
Variant adamw();

// Every rule with its defaults; with each flag that adds a state, and with a value above the bound of each
// hyperparameter that does.
std::vector<Variant> all_variants();

// Times steps over tensors of so many elements. Allocates their buffers, and frees them.
void step(benchmark::State& state, const Variant& variant, const std::vector<int64_t>& counts, Layout layout = {});

// Elements and bytes per second; `bytes` are those of all elements in one iteration.
void report(benchmark::State& state, int64_t elements, int64_t bytes);
