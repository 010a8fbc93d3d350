// Takes steps over buffers of its own and ends, for bench/instructions.py to count their instructions:
//
//   nativeopt_counted_steps KIND COUNTxSIZE STEPS
//   nativeopt_counted_steps --build-info
//
// KIND is a rule, with parts behind it that say what else there is: adam, adam-amsgrad, adam-clipped, sgd-momentum,
// adam-cached and adam-update (a dimer's step without and with an update of its direction), adam-bfloat16 (with
// remainders), adam-bfloat16-states (bfloat16 states and no remainders), adam-bfloat16-states-random (both rounded at
// random), adam-dynamic8 (states of 8 bits).
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <string>
#include <vector>

#include "nativeopt/nativeopt.h"

namespace {

void check(nopt_status status) {
    if (status != NOPT_OK) {
        fprintf(stderr, "%s\n", nopt_last_error_message());
        exit(1);
    }
}

// Buffers of one role, all elements the same bits: values do not change what is executed.
class Role {
public:
    Role(nopt_param_set* set, nopt_role role, const std::vector<int64_t>& counts, nopt_dtype dtype, float value) {
        std::vector<int64_t> begins;
        int64_t bytes = 0;
        for (const int64_t count : counts) {
            int64_t own = 0;
            check(nopt_dtype_get_bytes(dtype, count, &own));
            begins.push_back(bytes);
            bytes += (own + 63) / 64 * 64;
        }
        check(nopt_memory_alloc(NOPT_BACKEND_CPU, 0, bytes, &memory_));
        char* const at = static_cast<char*>(memory_);
        memset(at, 0, static_cast<size_t>(bytes));
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        for (int64_t i = 0; value != 0.0f && i < bytes; i += 4) {
            const uint32_t two_halves = (bits >> 16) | (bits & 0xffff0000u);
            memcpy(at + i, dtype == NOPT_DTYPE_FLOAT32 ? &bits : &two_halves, sizeof bits);
        }
        std::vector<void*> pointers;
        for (const int64_t begin : begins) {
            pointers.push_back(at + begin);
        }
        check(nopt_param_set_bind(set, role, static_cast<int64_t>(counts.size()), pointers.data()));
    }
    ~Role() { nopt_memory_free(NOPT_BACKEND_CPU, 0, memory_); }
    Role(const Role&) = delete;
    Role& operator=(const Role&) = delete;

private:
    void* memory_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc == 2 && strcmp(argv[1], "--build-info") == 0) {
        printf("%s\n", nopt_build_info());
        for (int32_t i = 0; i < nopt_cpu_isa_count(); ++i) {
            nopt_cpu_isa_info info = {};
            info.struct_size = sizeof info;
            check(nopt_cpu_isa_get_info(i, &info));
            printf("%s %s\n", info.name, info.supported != 0 ? "supported" : "unsupported");
        }
        return 0;
    }
    int64_t tensors = 0;
    int64_t size = 0;
    int64_t steps = 0;
    if (argc != 4 || sscanf(argv[2], "%" SCNd64 "x%" SCNd64, &tensors, &size) != 2 ||
        sscanf(argv[3], "%" SCNd64, &steps) != 1 || tensors < 1 || size < 1 || steps < 0) {
        fprintf(stderr, "usage: nativeopt_counted_steps KIND COUNTxSIZE STEPS\n");
        return 2;
    }
    const std::string kind = argv[1];
    const auto has = [&](const char* part) { return kind.find(part) != std::string::npos; };
    const std::string rule = kind.substr(0, kind.find('-'));
    const bool dimer = has("-cached") || has("-update");
    const nopt_dtype dtype = has("-bfloat16") ? NOPT_DTYPE_BFLOAT16 : NOPT_DTYPE_FLOAT32;
    const nopt_dtype state_dtype = has("-dynamic8") ? NOPT_DTYPE_DYNAMIC8
                                   : has("-states") ? NOPT_DTYPE_BFLOAT16
                                                    : NOPT_DTYPE_FLOAT32;
    const std::vector<int64_t> counts(static_cast<size_t>(tensors), size);
    const std::vector<nopt_dtype> dtypes(counts.size(), dtype);
    const std::vector<nopt_dtype> state_dtypes(counts.size(), state_dtype);

    nopt_param_set* set = nullptr;
    check(nopt_param_set_create(NOPT_BACKEND_CPU, 0, tensors, counts.data(), dtypes.data(), &set));
    nopt_optimizer* optimizer = nullptr;
    check(nopt_optimizer_create(set, rule.c_str(), &optimizer));
    nopt_hyperparams h = {};
    h.struct_size = sizeof h;
    check(nopt_rule_get_defaults(rule.c_str(), &h));
    if (has("-amsgrad")) {
        check(nopt_hyperparams_set_flag(rule.c_str(), &h, "amsgrad", 1));
    }
    if (has("-momentum")) {
        check(nopt_hyperparams_set(rule.c_str(), &h, "momentum", 0.9));
    }
    if (has("-random")) {
        check(nopt_hyperparams_set_flag(rule.c_str(), &h, "stochastic_rounding", 1));
        check(nopt_hyperparams_set_flag(rule.c_str(), &h, "stochastic_rounding_states", 1));
    }
    if (has("-clipped")) {
        nopt_grad_options options = {};
        options.struct_size = sizeof options;
        options.flags = NOPT_GRAD_CLIP_NORM | NOPT_GRAD_SKIP_NONFINITE;
        options.max_norm = 1.0;
        check(nopt_optimizer_set_grad_options(optimizer, &options));
    }

    std::vector<Role*> roles;
    uint32_t mask = 0;
    check(nopt_optimizer_get_roles(optimizer, &h, &mask));
    for (int role = 0; role < 32; ++role) {
        if ((mask >> role & 1u) != 0) {
            const bool is_state = role >= NOPT_ROLE_STATE;
            if (is_state) {
                check(nopt_param_set_set_dtypes(set, static_cast<nopt_role>(role), tensors, state_dtypes.data()));
            }
            roles.push_back(new Role(set, static_cast<nopt_role>(role), counts, is_state ? state_dtype : dtype,
                                     is_state ? 0.0f : 0.01f));
        }
    }
    if (has("-bfloat16") && !has("-states")) {
        roles.push_back(new Role(set, NOPT_ROLE_PARAM_REMAINDER, counts, NOPT_DTYPE_BFLOAT16, 0.0f));
    }
    nopt_dimer* around = nullptr;
    nopt_dimer_options options = {};
    options.struct_size = sizeof options;
    if (dimer) {
        for (const nopt_role role : {NOPT_ROLE_DIRECTION, NOPT_ROLE_PARAM_BACKUP, NOPT_ROLE_GRAD_BACKUP}) {
            roles.push_back(new Role(set, role, counts, NOPT_DTYPE_FLOAT32, 0.0f));
        }
        check(nopt_dimer_create(optimizer, NOPT_DIMER_SCOPE_GLOBAL, &around));
        check(nopt_dimer_get_defaults(&options));
        check(nopt_dimer_init_direction(around, 1, 0, nullptr));
        check(nopt_dimer_normalize_direction(around, nullptr));
    }
    for (int64_t step = 0; step < steps; ++step) {
        if (has("-update")) {
            check(nopt_dimer_displace(around, &options, nullptr));
        }
        check(dimer ? nopt_dimer_step(around, &options, &h, nullptr) : nopt_optimizer_step(optimizer, &h, nullptr));
    }
    check(nopt_dimer_destroy(around));
    check(nopt_optimizer_destroy(optimizer));
    check(nopt_param_set_destroy(set));
    for (Role* const role : roles) {
        delete role;
    }
    return 0;
}
