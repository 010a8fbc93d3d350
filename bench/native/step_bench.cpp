// Steps of the CPU backend over the shapes that models have, beside the floor: a loop on as many threads that only
// moves the same bytes; and over the sizes of one tensor (size_bench.cpp). Bytes per second count what a step must
// move: 28 bytes an element for the Adam family. --help says how to choose.
#include <benchmark/benchmark.h>

#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "buffers.h"
#include "nativeopt/nativeopt.h"
#include "size_bench.h"
#include "step.h"

namespace {

using Shape = std::vector<std::pair<int64_t, int>>;  // size × count of tensors

std::vector<int64_t> tensors(const Shape& shape) {
    std::vector<int64_t> counts;
    for (const auto& [size, count] : shape) {
        counts.insert(counts.end(), static_cast<size_t>(count), size);
    }
    return counts;
}

const std::vector<std::pair<std::string, Shape>> kShapes = {
    {"large_1x16777216", {{16777216, 1}}},
    {"gpt2_124m",
     {{768, 74}, {2304, 12}, {3072, 12}, {589824, 12}, {786432, 1}, {1769472, 12}, {2359296, 24}, {38597376, 1}}},
    {"resnet50",
     {{64, 14},    {128, 16},   {256, 32},    {512, 22},    {1000, 1},    {1024, 14},  {2048, 8},   {4096, 1},
      {9408, 1},   {16384, 6},  {32768, 1},   {36864, 3},   {65536, 7},   {131072, 2}, {147456, 4}, {262144, 11},
      {524288, 2}, {589824, 6}, {1048576, 5}, {2048000, 1}, {2097152, 1}, {2359296, 3}}},
    {"200x10000", {{10000, 200}}},
    {"10000x64", {{64, 10000}}},
    {"1000x100", {{100, 1000}}},
    {"cache_1x16384", {{16384, 1}}},
};

enum DimerWork {
    kCachedStep,
    kDisplace,
    kFixedUpdate,
    kOptimalUpdate
};

// Adam with a dimer around it: a step with the direction as it is; a displacement (and giving it up); a whole update,
// with gradients that do not change.
void dimer_step(benchmark::State& state, DimerWork work, int bytes, const Shape& shape) {
    Buffers buffers(tensors(shape));
    nopt_optimizer* optimizer = nullptr;
    check(nopt_optimizer_create(buffers.set(), "adam", &optimizer));
    nopt_dimer* dimer = nullptr;
    check(nopt_dimer_create(optimizer, NOPT_DIMER_SCOPE_GLOBAL, &dimer));
    const nopt_hyperparams h = plain("adam").hyperparams;
    nopt_dimer_options options = {};
    options.struct_size = sizeof options;
    check(nopt_dimer_get_defaults(&options));
    options.angle = work == kOptimalUpdate ? NOPT_DIMER_ANGLE_OPTIMAL : NOPT_DIMER_ANGLE_FIXED_RATE;
    uint32_t roles = 0;
    uint32_t dimer_roles = 0;
    check(nopt_optimizer_get_roles(optimizer, &h, &roles));
    check(nopt_dimer_get_roles(dimer, &options, &dimer_roles));
    // Gradients are copied, as for hosts that have one buffer for them.
    buffers.bind(roles | dimer_roles | role_bit(NOPT_ROLE_GRAD_BACKUP));
    check(nopt_dimer_init_direction(dimer, 1, 0, nullptr));
    check(nopt_dimer_normalize_direction(dimer, nullptr));
    for (auto _ : state) {
        if (work != kCachedStep) {
            check(nopt_dimer_displace(dimer, &options, nullptr));
        }
        if (work == kOptimalUpdate) {
            check(nopt_dimer_rotate(dimer, &options, &h, nullptr));
        }
        if (work == kDisplace) {
            check(nopt_dimer_restore(dimer, nullptr));
        } else {
            check(nopt_dimer_step(dimer, &options, &h, nullptr));
        }
    }
    report(state, buffers.elements(), buffers.elements() * bytes);
    check(nopt_dimer_destroy(dimer));
    check(nopt_optimizer_destroy(optimizer));
}

// As many as Adam has: its two states are states 0 and 1.
constexpr nopt_role kExpAvg = NOPT_ROLE_STATE;
constexpr nopt_role kExpAvgSq = static_cast<nopt_role>(NOPT_ROLE_STATE + 1);
constexpr uint32_t kAdamRoles =
    role_bit(NOPT_ROLE_PARAM) | role_bit(NOPT_ROLE_GRAD) | role_bit(kExpAvg) | role_bit(kExpAvgSq);

// Reads four streams and writes three, and nothing else.
void move(float* param, const float* grad, float* exp_avg, float* exp_avg_sq, int64_t count) {
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
        param[i] += grad[i];
        exp_avg[i] += grad[i];
        exp_avg_sq[i] += grad[i];
    }
}

void floor_of_adam(benchmark::State& state, const Shape& shape) {
    Buffers buffers(tensors(shape));
    buffers.bind(kAdamRoles);
    int32_t threads = 1;
    check(nopt_cpu_get_num_threads(&threads));
    const int64_t part = buffers.elements() / threads / 16 * 16;
    for (auto _ : state) {
        std::vector<std::thread> others;
        for (int32_t t = 0; t < threads; ++t) {
            const int64_t begin = t * part;
            const int64_t count = t == threads - 1 ? buffers.elements() - begin : part;
            const auto work = [&buffers, begin, count] {
                move(buffers.floats(NOPT_ROLE_PARAM) + begin, buffers.floats(NOPT_ROLE_GRAD) + begin,
                     buffers.floats(kExpAvg) + begin, buffers.floats(kExpAvgSq) + begin, count);
            };
            if (t == threads - 1) {
                work();
            } else {
                others.emplace_back(work);
            }
        }
        for (std::thread& other : others) {
            other.join();
        }
    }
    report(state, buffers.elements(), buffers.step_bytes());
}

// What a host pays when every gradient's address changed, as frameworks do.
void bind_gradients(benchmark::State& state, const Shape& shape) {
    Buffers buffers(tensors(shape));
    buffers.bind(kAdamRoles);
    const RoleBuffers one(buffers.counts(), NOPT_DTYPE_FLOAT32, 0, kValue);
    const RoleBuffers other(buffers.counts(), NOPT_DTYPE_FLOAT32, 0, kValue);
    size_t turn = 0;
    for (auto _ : state) {
        const std::vector<void*>& now = (turn++ % 2 == 0 ? one : other).pointers();
        check(nopt_param_set_bind(buffers.set(), NOPT_ROLE_GRAD, static_cast<int64_t>(now.size()), now.data()));
    }
}

const char* const kHelp =
    "Steps of NativeOpt's CPU backend. Without a filter: models' shapes, and Adam over the sizes of one tensor, 1 to\n"
    "67108864; some three minutes. Otherwise --benchmark_filter, a regular expression, chooses among\n"
    "\n"
    "  WORK/SHAPE, WORK being floor, adam, adamw, dualadam, sgd_momentum, bind_gradients or deo_..., with a dimer\n"
    "  size/RULE/SIZE/ALIGNMENT/ISA/threads:N\n"
    "    RULE: a rule, such as adam; RULE_OPTION with an option that adds a state, such as adam_amsgrad or\n"
    "      sgd_momentum; adamw; RULE_bfloat16 with bfloat16 parameters (and remainders) and gradients\n"
    "    ALIGNMENT: aligned (buffers begin at multiples of 64 bytes) or unaligned (4 bytes after them)\n"
    "    ISA: an instruction set that this processor has, e.g. baseline\n"
    "    N: 1, 2, 4, ... up to NATIVEOPT_NUM_THREADS or the processors\n"
    "\n"
    "Each takes about a second, those of many elements some seconds, and all sizes half an hour or more. Sizes take\n"
    "up to 1.4 GB of memory, shapes 4 GB. NATIVEOPT_CPU_ISA and NATIVEOPT_NUM_THREADS are for names without ISA and\n"
    "N, and for the sizes that run without a filter.\n"
    "\n"
    "  nativeopt_bench --benchmark_filter=. --benchmark_list_tests                  all names\n"
    "  nativeopt_bench --benchmark_filter='^adam/large'                             one of the models' shapes\n"
    "  nativeopt_bench --benchmark_filter='size/.*/16384/.*threads:1/'              all rules in cache, on one thread\n"
    "  nativeopt_bench --benchmark_filter='size/adam/.*/unaligned/baseline'         one rule's sizes\n"
    "  nativeopt_bench --benchmark_filter=size/ --benchmark_min_time=0.05           all sizes, less exactly\n"
    "\n";

void register_models() {
    for (const auto& [name, shape] : kShapes) {
        const Shape& s = shape;
        const std::string suffix = "/" + name;
        const auto add = [&suffix](const std::string& work, const std::function<void(benchmark::State&)>& body) {
            benchmark::RegisterBenchmark((work + suffix).c_str(), body)->UseRealTime()->Unit(benchmark::kMicrosecond);
        };
        add("floor", [&s](benchmark::State& state) { floor_of_adam(state, s); });
        for (const Variant& variant :
             {plain("adam"), adamw(), plain("dualadam"), with_value(plain("sgd"), "momentum", 0.9)}) {
            add(variant.name, [&s, variant](benchmark::State& state) { step(state, variant, tensors(s)); });
        }
        add("deo_adam", [&s](benchmark::State& state) { dimer_step(state, kCachedStep, 8 + 32, s); });
        add("deo_displace_restore", [&s](benchmark::State& state) { dimer_step(state, kDisplace, 24 + 8, s); });
        add("deo_adam_update", [&s](benchmark::State& state) { dimer_step(state, kFixedUpdate, 24 + 12 + 40, s); });
        add("deo_adam_update_optimal",
            [&s](benchmark::State& state) { dimer_step(state, kOptimalUpdate, 24 + 12 + 24 + 16 + 40, s); });
        add("bind_gradients", [&s](benchmark::State& state) { bind_gradients(state, s); });
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (std::any_of(argv, argv + argc, [](const char* argument) { return strcmp(argument, "--help") == 0; })) {
        printf("%s", kHelp);
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    const CpuSettings settings = CpuSettings::now();
    benchmark::AddCustomContext("build", nopt_build_info());
    benchmark::AddCustomContext("isa", settings.isa);
    benchmark::AddCustomContext("threads", std::to_string(settings.threads));
    register_models();
    register_sizes(!benchmark::GetBenchmarkFilter().empty());
    return benchmark::RunSpecifiedBenchmarks() > 0 ? 0 : 1;
}
