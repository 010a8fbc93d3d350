/* Fits a line to points with AdamW through the C API. It takes the learning rate as its argument, and its exit code is
   0 if the loss fell. */
#include <nativeopt/nativeopt.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the program with the library's message if a call fails. */
static void check(nopt_status status) {
    if (status != NOPT_OK) {
        fprintf(stderr, "%s\n", nopt_last_error_message());
        exit(2);
    }
}

/* Binds the buffer of the one tensor to a role. */
static void bind(nopt_param_set* set, nopt_role role, float* buffer) {
    void* address = buffer;
    check(nopt_param_set_bind(set, role, 1, &address));
}

/* Computes the mean of the squared errors of y = line[0] x + line[1] at 21 points of y = 3x - 1, and its gradient. */
static double loss_and_gradient(const float line[2], float gradient[2]) {
    double loss = 0;
    gradient[0] = gradient[1] = 0;
    for (int i = -10; i <= 10; ++i) {
        float x = (float)i / 10;
        float error = line[0] * x + line[1] - (3 * x - 1);
        loss += error * error / 21;
        gradient[0] += 2 * error * x / 21;
        gradient[1] += 2 * error / 21;
    }
    return loss;
}

int main(int argc, char** argv) {
    if (nopt_abi_version() != NOPT_ABI_VERSION) {
        fprintf(stderr, "the library is not the one that this program was compiled for\n");
        return 2;
    }
    printf("NativeOpt %s\n", nopt_version());

    /* A set of one tensor on the CPU, and an optimizer over it. */
    float line[2] = {0, 0}, gradient[2], exp_avg[2] = {0, 0}, exp_avg_sq[2] = {0, 0};
    int64_t count = 2;
    nopt_dtype dtype = NOPT_DTYPE_FLOAT32;
    nopt_param_set* set = NULL;
    nopt_optimizer* optimizer = NULL;
    check(nopt_param_set_create(NOPT_BACKEND_CPU, 0, 1, &count, &dtype, &set));
    bind(set, NOPT_ROLE_PARAM, line);
    bind(set, NOPT_ROLE_GRAD, gradient);
    bind(set, NOPT_ROLE_STATE, exp_avg);
    bind(set, NOPT_ROLE_STATE + 1, exp_avg_sq);
    check(nopt_optimizer_create(set, "adam", &optimizer));

    nopt_hyperparams hyperparams = {.struct_size = sizeof hyperparams};
    check(nopt_rule_get_defaults("adam", &hyperparams));
    check(nopt_hyperparams_set("adam", &hyperparams, "lr", argc > 1 ? atof(argv[1]) : 0.05));
    check(nopt_hyperparams_set_flag("adam", &hyperparams, "decoupled_weight_decay", 1)); /* AdamW */

    double first = 0, last = 0;
    for (int step = 0; step <= 400; ++step) {
        last = loss_and_gradient(line, gradient);
        if (step == 0) {
            first = last;
        }
        if (step % 100 == 0) {
            printf("step %d: loss %.4g, y = %.3fx + (%.3f)\n", step, last, line[0], line[1]);
        }
        check(nopt_optimizer_step(optimizer, &hyperparams, NULL)); /* a stream on CUDA, NULL on the CPU */
    }

    check(nopt_optimizer_destroy(optimizer));
    check(nopt_param_set_destroy(set));
    return last < 0.05 * first ? 0 : 1;
}
