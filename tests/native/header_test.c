/* The public header is C, and a C program can take steps with it and set what it likes by name. */
#include "nativeopt/nativeopt.h"

#include <stdio.h>
#include <string.h>

/* Enums cross the ABI as 32 bits. */
typedef char status_is_32_bits[sizeof(nopt_status) == 4 ? 1 : -1];
typedef char backend_is_32_bits[sizeof(nopt_backend) == 4 ? 1 : -1];
typedef char dtype_is_32_bits[sizeof(nopt_dtype) == 4 ? 1 : -1];
typedef char role_is_32_bits[sizeof(nopt_role) == 4 ? 1 : -1];

#define CHECK(condition)                                                                 \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "failed: %s (%s)\n", #condition, nopt_last_error_message()); \
            return 1;                                                                    \
        }                                                                                \
    } while (0)

/* The example of docs/rules.md, which stands here line by line. */
static int set_by_name(void) {
    nopt_hyperparams h = {.struct_size = sizeof h};
    nopt_rule_get_defaults("dualadam", &h);
    nopt_hyperparams_set("dualadam", &h, "beta1", 0.8); /* checks the range */
    nopt_hyperparams_set_flag("dualadam", &h, "amsgrad", 1);

    CHECK(h.values[2] == 0.8);
    CHECK(h.flags == NOPT_FLAG_RULE);
    return 0;
}

int main(void) {
    float param[3] = {1.0f, 2.0f, 3.0f};
    float grad[3] = {1.0f, 1.0f, -1.0f};
    const int64_t count = 3;
    float states[2][3] = {{0.0f}};
    void* pointer;
    int32_t i;
    nopt_hyperparam_info info;
    nopt_state_info state;
    nopt_param_set* set = NULL;
    nopt_optimizer* optimizer = NULL;
    nopt_hyperparams hyperparams;

    CHECK(nopt_abi_version() == NOPT_ABI_VERSION);
    CHECK(set_by_name() == 0);
    CHECK(nopt_param_set_create(NOPT_BACKEND_CPU, 0, 1, &count, NULL, &set) == NOPT_OK);
    pointer = param;
    CHECK(nopt_param_set_bind(set, NOPT_ROLE_PARAM, 1, &pointer) == NOPT_OK);
    pointer = grad;
    CHECK(nopt_param_set_bind(set, NOPT_ROLE_GRAD, 1, &pointer) == NOPT_OK);
    CHECK(nopt_optimizer_create(set, "sgd", &optimizer) == NOPT_OK);
    memset(&hyperparams, 0, sizeof hyperparams);
    hyperparams.struct_size = (uint32_t)sizeof hyperparams;
    CHECK(nopt_rule_get_defaults("sgd", &hyperparams) == NOPT_OK);
    CHECK(nopt_hyperparams_set("sgd", &hyperparams, "lr", 0.5) == NOPT_OK);
    CHECK(hyperparams.values[NOPT_HYPERPARAM_LR] == 0.5);
    CHECK(nopt_optimizer_step(optimizer, &hyperparams, NULL) == NOPT_OK);
    CHECK(param[0] == 0.5f && param[1] == 1.5f && param[2] == 3.5f);
    CHECK(nopt_optimizer_destroy(optimizer) == NOPT_OK);

    /* A rule with states, whose names and hyperparameters the library tells. */
    CHECK(nopt_optimizer_create(set, "adam", &optimizer) == NOPT_OK);
    memset(&state, 0, sizeof state);
    state.struct_size = (uint32_t)sizeof state;
    for (i = 0; i < 2; ++i) {
        CHECK(nopt_rule_get_state("adam", i, &state) == NOPT_OK);
        CHECK(strcmp(state.name, i == 0 ? "exp_avg" : "exp_avg_sq") == 0);
        pointer = states[i];
        CHECK(nopt_param_set_bind(set, (nopt_role)state.role, 1, &pointer) == NOPT_OK);
    }
    CHECK(nopt_rule_get_defaults("adam", &hyperparams) == NOPT_OK);
    CHECK(nopt_hyperparams_set("adam", &hyperparams, "beta1", 0.5) == NOPT_OK);
    CHECK(nopt_hyperparams_set_flag("adam", &hyperparams, "maximize", 1) == NOPT_OK);
    CHECK(hyperparams.flags == NOPT_FLAG_MAXIMIZE);
    memset(&info, 0, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    for (i = 0; nopt_rule_get_hyperparam("adam", i, &info) == NOPT_OK; ++i) {
        CHECK(hyperparams.values[info.index] == (strcmp(info.name, "beta1") == 0 ? 0.5 : info.default_value));
    }
    CHECK(i >= 5);
    CHECK(nopt_hyperparams_set("adam", &hyperparams, "beta1", 1.5) == NOPT_ERROR_INVALID_ARGUMENT);
    CHECK(strcmp(nopt_last_error_message(), "beta1 is 1.5; it must be in [0, 1)") == 0);
    CHECK(nopt_optimizer_step(optimizer, &hyperparams, NULL) == NOPT_OK);
    CHECK(states[0][0] == -0.5f && states[0][2] == 0.5f);
    CHECK(nopt_optimizer_destroy(optimizer) == NOPT_OK);
    CHECK(nopt_param_set_destroy(set) == NOPT_OK);
    puts("ok");
    return 0;
}
