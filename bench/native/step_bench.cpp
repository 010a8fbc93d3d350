// Steps of the CPU backend over the shapes that models have, beside the floor: a loop on as many threads that only
// moves the same bytes. Bytes per second count what a step must move: 28 bytes an element for the Adam family.
//
//   nativeopt_bench                                          everything
//   nativeopt_bench --benchmark_filter='adam/large'          one
//   NATIVEOPT_CPU_ISA=baseline NATIVEOPT_NUM_THREADS=1 ...    other settings
#include <benchmark/benchmark.h>

#include <stdlib.h>
#include <string.h>

#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "nativeopt/nativeopt.h"

namespace {

void check(nopt_status status) {
    if (status != NOPT_OK) {
        fprintf(stderr, "%s\n", nopt_last_error_message());
        exit(1);
    }
}

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

// Buffers of all roles in one allocation each, as a framework's allocator lays them out.
class Buffers {
public:
    explicit Buffers(std::vector<int64_t> counts, bool with_dimer = false) : counts_(std::move(counts)) {
        int64_t total = 0;
        for (const int64_t count : counts_) {
            total += (count + 15) / 16 * 16;
        }
        check(nopt_param_set_create(NOPT_BACKEND_CPU, 0, static_cast<int64_t>(counts_.size()), counts_.data(), nullptr,
                                    &set));
        for (int role = 0; role < (with_dimer ? kRoles : NOPT_ROLE_DIRECTION); ++role) {
            if (role == NOPT_ROLE_GRAD_DISPLACED) {
                continue;  // gradients are copied, as for hosts that have one buffer for them
            }
            roles_[role].assign(static_cast<size_t>(total), 0.01f);
            check(nopt_param_set_bind(set, static_cast<nopt_role>(role), static_cast<int64_t>(counts_.size()),
                                      pointers(roles_[role]).data()));
        }
        for (const int64_t count : counts_) {
            elements += count;
        }
    }
    ~Buffers() { check(nopt_param_set_destroy(set)); }
    Buffers(const Buffers&) = delete;
    Buffers& operator=(const Buffers&) = delete;

    std::vector<void*> pointers(std::vector<float>& role) const {
        std::vector<void*> result;
        float* at = role.data();
        for (const int64_t count : counts_) {
            result.push_back(at);
            at += (count + 15) / 16 * 16;
        }
        return result;
    }

    float* role(nopt_role which) { return roles_[which].data(); }

    nopt_param_set* set = nullptr;
    int64_t elements = 0;

private:
    static constexpr int kRoles = NOPT_ROLE_ROTATION_DIRECTION + 1;
    std::vector<int64_t> counts_;
    std::vector<float> roles_[kRoles];
};

void step(benchmark::State& state, const std::string& rule, uint32_t flags, double momentum, int bytes,
          const Shape& shape) {
    Buffers buffers(tensors(shape));
    nopt_optimizer* optimizer = nullptr;
    check(nopt_optimizer_create(buffers.set, rule.c_str(), &optimizer));
    nopt_hyperparams h = {};
    h.struct_size = sizeof h;
    check(nopt_rule_get_defaults(rule.c_str(), &h));
    h.flags = flags;
    h.momentum = momentum;
    for (auto _ : state) {
        check(nopt_optimizer_step(optimizer, &h, nullptr));
    }
    state.SetItemsProcessed(state.iterations() * buffers.elements);
    state.SetBytesProcessed(state.iterations() * buffers.elements * bytes);
    check(nopt_optimizer_destroy(optimizer));
}

enum DimerWork {
    kCachedStep,
    kDisplace,
    kFixedUpdate,
    kOptimalUpdate
};

// Adam with a dimer around it: a step with the direction as it is; a displacement (and giving it up); a whole update,
// with gradients that do not change.
void dimer_step(benchmark::State& state, DimerWork work, int bytes, const Shape& shape) {
    Buffers buffers(tensors(shape), true);
    nopt_optimizer* optimizer = nullptr;
    check(nopt_optimizer_create(buffers.set, "adam", &optimizer));
    nopt_dimer* dimer = nullptr;
    check(nopt_dimer_create(optimizer, NOPT_DIMER_SCOPE_GLOBAL, &dimer));
    check(nopt_dimer_init_direction(dimer, 1, 0, nullptr));
    check(nopt_dimer_normalize_direction(dimer, nullptr));
    nopt_hyperparams h = {};
    h.struct_size = sizeof h;
    check(nopt_rule_get_defaults("adam", &h));
    nopt_dimer_options options = {};
    options.struct_size = sizeof options;
    check(nopt_dimer_get_defaults(&options));
    options.angle = work == kOptimalUpdate ? NOPT_DIMER_ANGLE_OPTIMAL : NOPT_DIMER_ANGLE_FIXED_RATE;
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
    state.SetItemsProcessed(state.iterations() * buffers.elements);
    state.SetBytesProcessed(state.iterations() * buffers.elements * bytes);
    check(nopt_dimer_destroy(dimer));
    check(nopt_optimizer_destroy(optimizer));
}

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
    int32_t threads = 1;
    check(nopt_cpu_get_num_threads(&threads));
    const int64_t part = buffers.elements / threads / 16 * 16;
    for (auto _ : state) {
        std::vector<std::thread> others;
        for (int32_t t = 0; t < threads; ++t) {
            const int64_t begin = t * part;
            const int64_t count = t == threads - 1 ? buffers.elements - begin : part;
            const auto work = [&buffers, begin, count] {
                move(buffers.role(NOPT_ROLE_PARAM) + begin, buffers.role(NOPT_ROLE_GRAD) + begin,
                     buffers.role(NOPT_ROLE_EXP_AVG) + begin, buffers.role(NOPT_ROLE_EXP_AVG_SQ) + begin, count);
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
    state.SetItemsProcessed(state.iterations() * buffers.elements);
    state.SetBytesProcessed(state.iterations() * buffers.elements * 28);
}

// What a host pays when every gradient's address changed, as frameworks do.
void bind_gradients(benchmark::State& state, const Shape& shape) {
    Buffers buffers(tensors(shape));
    std::vector<float> other(static_cast<size_t>(buffers.elements + 16 * 20000), 0.01f);
    std::vector<float> another(other);
    const std::vector<void*> addresses[] = {buffers.pointers(other), buffers.pointers(another)};
    size_t turn = 0;
    for (auto _ : state) {
        const std::vector<void*>& now = addresses[turn++ % 2];
        check(nopt_param_set_bind(buffers.set, NOPT_ROLE_GRAD, static_cast<int64_t>(now.size()), now.data()));
    }
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    for (const auto& [name, shape] : kShapes) {
        const Shape& s = shape;
        const auto add = [](const std::string& title, const std::function<void(benchmark::State&)>& body) {
            benchmark::RegisterBenchmark(title.c_str(), body)->UseRealTime()->Unit(benchmark::kMicrosecond);
        };
        add("floor/" + name, [&s](benchmark::State& state) { floor_of_adam(state, s); });
        add("adam/" + name, [&s](benchmark::State& state) { step(state, "adam", 0, 0.0, 28, s); });
        add("adamw/" + name,
            [&s](benchmark::State& state) { step(state, "adam", NOPT_FLAG_DECOUPLED_WEIGHT_DECAY, 0.0, 28, s); });
        add("dualadam/" + name, [&s](benchmark::State& state) { step(state, "dualadam", 0, 0.0, 28, s); });
        add("sgd_momentum/" + name, [&s](benchmark::State& state) { step(state, "sgd", 0, 0.9, 20, s); });
        add("deo_adam/" + name, [&s](benchmark::State& state) { dimer_step(state, kCachedStep, 8 + 32, s); });
        add("deo_displace_restore/" + name, [&s](benchmark::State& state) { dimer_step(state, kDisplace, 24 + 8, s); });
        add("deo_adam_update/" + name,
            [&s](benchmark::State& state) { dimer_step(state, kFixedUpdate, 24 + 12 + 40, s); });
        add("deo_adam_update_optimal/" + name,
            [&s](benchmark::State& state) { dimer_step(state, kOptimalUpdate, 24 + 12 + 24 + 16 + 40, s); });
        add("bind_gradients/" + name, [&s](benchmark::State& state) { bind_gradients(state, s); });
    }
    benchmark::AddCustomContext("build", nopt_build_info());
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
