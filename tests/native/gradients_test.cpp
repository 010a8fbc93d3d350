// Clipping, loss scales and skipped steps, against plain steps on gradients that the test has scaled and clipped.
#include <float.h>

#include "support/mixed_model.h"

namespace nopt_test {
namespace {

nopt_step_state state_of(nopt_optimizer* optimizer) {
    nopt_step_state s = {};
    s.struct_size = sizeof s;
    NOPT_EXPECT_OK(nopt_stream_synchronize(test_backend, 0, nullptr));
    NOPT_EXPECT_OK(nopt_optimizer_get_state(optimizer, &s));
    return s;
}

float clipped(float grad, float factor, double max_value) {
    const float scaled = factor * grad;
    const float limit = static_cast<float>(max_value);
    return max_value > 0.0 && fabsf(scaled) > limit ? copysignf(limit, scaled) : scaled;
}

struct Setting {
    double max_norm;
    double max_value;
    double loss_scale;
};

// No clipping, clipping that changes nothing, and such that does; scales that are powers of two, and that are not.
const Setting kSettings[] = {{0.0, 0.0, 1024.0}, {0.5, 0.0, 0.0},      {1e6, 0.0, 3.0},
                             {0.0, 0.01, 0.0},   {0.7, 0.001, 1000.0}, {0.7, 1e6, 65536.0}};

class GradRules : public testing::TestWithParam<Case> {};

TEST_P(GradRules, StepOnScaledAndClippedGradients) {
    const std::vector<int64_t> counts = {3, 0, 1000, 1};
    const nopt_backend backend = test_backend;
    for (const Setting& setting : kSettings) {
        Model model(GetParam().rule, counts, 1);
        test_backend = NOPT_BACKEND_CPU;
        Model plain(GetParam().rule, counts, 1);
        test_backend = backend;
        const nopt_grad_options o = grad_options(setting.max_norm, setting.max_value, setting.loss_scale, false);
        NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &o));
        const double scale = setting.loss_scale > 0.0 ? setting.loss_scale : 1.0;
        for (int step = 0; step < 3; ++step) {
            model.new_gradients();
            plain.new_gradients();
            double sum = 0.0;
            for (const float g : plain.buffer(NOPT_ROLE_GRAD).values()) {
                sum += static_cast<double>(g) * static_cast<double>(g);
            }
            NOPT_ASSERT_OK(model.step(GetParam().hyperparams));
            const nopt_grad_status s = status_of(model.optimizer);
            double coefficient = 1.0;
            if (setting.max_norm > 0.0) {
                EXPECT_NEAR(sqrt(sum) / scale, s.norm, 1e-12 * s.norm);
                coefficient = std::min(1.0, setting.max_norm / (s.norm + 1e-6));
            }
            EXPECT_EQ(coefficient, s.clip_coefficient);
            EXPECT_EQ(0u, s.skipped);
            const float factor = static_cast<float>(coefficient / scale);
            std::vector<float> grads = plain.buffer(NOPT_ROLE_GRAD).values();
            for (float& g : grads) {
                g = clipped(g, factor, setting.max_value);
            }
            plain.buffer(NOPT_ROLE_GRAD).set_values(grads);
            NOPT_ASSERT_OK(plain.step(GetParam().hyperparams));
            for (const nopt_role role : model.roles()) {
                ASSERT_TRUE(role == NOPT_ROLE_GRAD ||
                            same_bits(plain.buffer(role).values(), model.buffer(role).values()))
                    << setting.max_norm << " " << setting.max_value << " " << setting.loss_scale << " " << role;
            }
        }
        EXPECT_TRUE(model.intact());
    }
}

INSTANTIATE_TEST_SUITE_P(Rules, GradRules, testing::ValuesIn(all_cases()),
                         [](const testing::TestParamInfo<Case>& one) { return one.param.name; });

// A NaN or an infinity anywhere, in elements of any type: not a byte changes, and the step is not counted.
TEST(Gradients, AStepWithANonfiniteGradientIsSkipped) {
    std::vector<Mix> mixes = all_mixes();
    mixes.push_back({16384 + 3, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32});
    MixedModel model("adam", mixes);
    NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, nullptr));
    const nopt_grad_options o = grad_options(1.0, 0.0, 128.0, true);
    NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &o));
    Random random(7);
    model.fill_params(random);
    const nopt_hyperparams h = defaults("adam");
    int64_t skipped = 0;
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
        for (size_t t = 0; t < mixes.size(); ++t) {
            const int64_t last = mixes[t].count - 1;
            for (const int64_t at : {int64_t{0}, last / 2, last}) {
                if (last < 0 || (skipped > 0 && at > 0 && t % 3 != 0)) {
                    continue;
                }
                model.fill(NOPT_ROLE_GRAD, random);
                TypedBuffer& grad = model.buffer(NOPT_ROLE_GRAD);
                grad.set_bits(t, at, encoded(bad, grad.type(t)));
                grad.write();
                const std::vector<uint8_t> before = model.all_bytes();
                NOPT_ASSERT_OK(nopt_optimizer_step(model.optimizer, &h, nullptr));
                ++skipped;
                ASSERT_TRUE(before == model.all_bytes()) << bad << " in tensor " << t << " at " << at;
                const nopt_grad_status s = status_of(model.optimizer);
                EXPECT_EQ(1u, s.skipped);
                EXPECT_EQ(skipped, s.skipped_steps);
                EXPECT_FALSE(isfinite(s.norm));
            }
        }
    }
    EXPECT_EQ(0, state_of(model.optimizer).step);
    EXPECT_TRUE(same_state(state_after("adam", h, 0), state_of(model.optimizer)));
    model.fill(NOPT_ROLE_GRAD, random);
    const std::vector<uint8_t> before = model.all_bytes();
    NOPT_ASSERT_OK(nopt_optimizer_step(model.optimizer, &h, nullptr));
    EXPECT_FALSE(before == model.all_bytes());
    EXPECT_EQ(1, state_of(model.optimizer).step);
    EXPECT_EQ(0u, status_of(model.optimizer).skipped);
    EXPECT_EQ(skipped, status_of(model.optimizer).skipped_steps);
}

// The largest floats are finite, and so are the squares that are summed up.
TEST(Gradients, TheLargestFloatsAreNotSkipped) {
    Model model("sgd", {1000});
    NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, nullptr));
    const nopt_grad_options o = grad_options(1.0, 0.0, 0.0, true);
    NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &o));
    model.buffer(NOPT_ROLE_GRAD).set_values(std::vector<float>(1000, -3.4e38f));
    NOPT_ASSERT_OK(model.step(defaults("sgd")));
    const nopt_grad_status s = status_of(model.optimizer);
    EXPECT_EQ(0u, s.skipped);
    EXPECT_NEAR(3.4e38 * sqrt(1000.0), s.norm, 1e-6 * s.norm);
}

// Divides a gradient of 0.5 times any scale that there is, also where 1 / scale is no normal float.
TEST(Gradients, AnyScaleIsDividedOut) {
    for (const double scale : {static_cast<double>(FLT_MIN), 1e-30, 3.0, 1e30, 0x1p127, static_cast<double>(FLT_MAX)}) {
        for (const uint32_t maximize : {0u, static_cast<uint32_t>(NOPT_FLAG_MAXIMIZE)}) {
            Model model("sgd", {50});
            NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, nullptr));
            const nopt_grad_options o = grad_options(0.0, 0.0, scale, true);
            NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &o));
            model.buffer(NOPT_ROLE_PARAM).fill(1.0f);
            model.buffer(NOPT_ROLE_GRAD).fill(static_cast<float>(0.5 * scale));
            *model.buffer(NOPT_ROLE_GRAD).tensor(0) = 0.0f;
            nopt_hyperparams h = defaults("sgd");
            h.flags = maximize;
            lr(h) = 0.1;
            NOPT_ASSERT_OK(model.step(h));
            EXPECT_EQ(0u, status_of(model.optimizer).skipped);
            const float* const param = model.buffer(NOPT_ROLE_PARAM).tensor(0);
            EXPECT_EQ(1.0f, param[0]);
            EXPECT_FLOAT_EQ(maximize != 0 ? 1.05f : 0.95f, param[49]) << scale;
        }
    }
}

// Coefficients below the normal floats: the clipped gradients have the norm that they are clipped to. (Of what is below
// the normal floats itself, the last digits are two units off.)
TEST(Gradients, AnyCoefficientClips) {
    for (const double max_norm : {static_cast<double>(FLT_MIN), 1e-30, 1e-3, 1.0, DBL_MAX}) {
        for (const double scale : {1.0, 0x1p127}) {
            Model model("sgd", {1000});
            const nopt_grad_options o = grad_options(max_norm, 0.0, scale, false);
            NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &o));
            model.buffer(NOPT_ROLE_PARAM).fill(0.0f);
            model.buffer(NOPT_ROLE_GRAD).fill(-3e38f);
            nopt_hyperparams h = defaults("sgd");
            lr(h) = 1.0;
            NOPT_ASSERT_OK(model.step(h));
            const double norm = 3e38 * sqrt(1000.0) / scale;
            const double expected = std::min(max_norm / (norm + 1e-6), 1.0) * 3e38 / scale;
            const float param = model.buffer(NOPT_ROLE_PARAM).tensor(0)[999];
            EXPECT_NEAR(expected, static_cast<double>(param), 1e-6 * expected + 3e-45) << max_norm << " " << scale;
        }
    }
}

// What a scale below 1 makes infinite is not finite, whether it would be clipped or not.
TEST(Gradients, AGradientThatOverflowsIsSkipped) {
    for (const double max_norm : {0.0, 1.0}) {
        for (const double max_value : {0.0, 1.0}) {
            Model model("adam", {70, 20000});
            NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, nullptr));
            const nopt_grad_options o = grad_options(max_norm, max_value, 1e-3, true);
            NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &o));
            model.new_gradients();
            const float small = model.buffer(NOPT_ROLE_GRAD).tensor(1)[19999];
            model.buffer(NOPT_ROLE_GRAD).tensor(1)[19999] = 3e38f;
            const std::vector<float> before = model.all_values();
            NOPT_ASSERT_OK(model.step(defaults("adam")));
            EXPECT_EQ(1u, status_of(model.optimizer).skipped);
            EXPECT_TRUE(same_bits(before, model.all_values()));
            EXPECT_EQ(0, state_of(model.optimizer).step);
            model.buffer(NOPT_ROLE_GRAD).tensor(1)[19999] = 3e35f;  // 3e38 after division
            NOPT_ASSERT_OK(model.step(defaults("adam")));
            EXPECT_EQ(0u, status_of(model.optimizer).skipped);
            model.buffer(NOPT_ROLE_GRAD).tensor(1)[19999] = small;
            NOPT_ASSERT_OK(model.step(defaults("adam")));
            EXPECT_EQ(2, state_of(model.optimizer).step);
            EXPECT_EQ(1, status_of(model.optimizer).skipped_steps);
        }
    }
}

// Frozen tensors have no part in the norm.
TEST(Gradients, TheNormIsThatOfWhatMoves) {
    Model model("sgd", {4, 40000, 4});
    const nopt_grad_options o = grad_options(1e9, 0.0, 0.0, false);
    NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &o));
    for (size_t t = 0; t < 3; ++t) {
        std::fill_n(model.buffer(NOPT_ROLE_GRAD).tensor(t), model.counts()[t], 3.0f);
    }
    std::vector<void*> pointers = model.buffer(NOPT_ROLE_GRAD).pointers();
    pointers[1] = nullptr;
    NOPT_ASSERT_OK(nopt_param_set_bind(model.set, NOPT_ROLE_GRAD, 3, pointers.data()));
    NOPT_ASSERT_OK(model.step(defaults("sgd")));
    EXPECT_DOUBLE_EQ(sqrt(8 * 9.0), status_of(model.optimizer).norm);
}

// Two optimizers whose sums the host adds up are clipped by the norm of both.
TEST(Gradients, SumsOfSeveralSetsAddUp) {
    Model a("sgd", {500});
    Model b("sgd", {20000, 1});
    Model both("sgd", {500, 20000, 1});
    std::vector<float> all;
    for (Model* const model : {&a, &b}) {
        model->new_gradients();
        const std::vector<float> grads = model->buffer(NOPT_ROLE_GRAD).values();
        all.insert(all.end(), grads.begin(), grads.end());
    }
    both.buffer(NOPT_ROLE_GRAD).set_values(all);
    const nopt_grad_options o = grad_options(0.3, 0.0, 4.0, false);
    double* sums[2] = {};
    double values[2] = {};
    int i = 0;
    for (Model* const model : {&a, &b, &both}) {
        NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model->optimizer, &o));
    }
    for (Model* const model : {&a, &b}) {
        NOPT_ASSERT_OK(model->work([&] { return nopt_optimizer_sum_grads(model->optimizer, nullptr); }));
        NOPT_ASSERT_OK(nopt_optimizer_get_grad_sum(model->optimizer, &sums[i]));
        NOPT_ASSERT_OK(nopt_memory_copy(test_backend, 0, &values[i], sums[i], 8, nullptr));
        ++i;
    }
    NOPT_ASSERT_OK(nopt_stream_synchronize(test_backend, 0, nullptr));
    const double total = values[0] + values[1];
    for (double* const sum : sums) {
        NOPT_ASSERT_OK(nopt_memory_copy(test_backend, 0, sum, &total, 8, nullptr));
    }
    for (Model* const model : {&a, &b, &both}) {
        NOPT_ASSERT_OK(model->step(defaults("sgd")));
    }
    EXPECT_EQ(status_of(a.optimizer).norm, status_of(b.optimizer).norm);
    EXPECT_NEAR(status_of(both.optimizer).norm, status_of(a.optimizer).norm, 1e-12);
    EXPECT_LT(status_of(a.optimizer).clip_coefficient, 1.0);
    // The sum was for one step.
    NOPT_ASSERT_OK(a.step(defaults("sgd")));
    EXPECT_DOUBLE_EQ(sqrt(values[0]) / 4.0, status_of(a.optimizer).norm);
}

TEST(Gradients, OptionsAreChecked) {
    Model model("adam", {4});
    model.new_gradients();
    const auto refused = [&](nopt_status expected, const char* words, nopt_grad_options o) {
        EXPECT_EQ(expected, nopt_optimizer_set_grad_options(model.optimizer, &o));
        EXPECT_NE(nullptr, strstr(nopt_last_error_message(), words)) << nopt_last_error_message();
    };
    for (const double bad : {-2.0, 1e-39, 1e-300, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
        nopt_grad_options o = grad_options(0.0, 0.0, bad, false);
        refused(NOPT_ERROR_INVALID_ARGUMENT, "options->loss_scale is", o);
        o = grad_options(1.0, 1.0, 0.0, false);
        o.max_norm = bad;
        refused(NOPT_ERROR_INVALID_ARGUMENT, "options->max_norm is", o);
        o.max_norm = 1.0;
        o.max_value = bad;
        refused(NOPT_ERROR_INVALID_ARGUMENT, "options->max_value is", o);
    }
    nopt_grad_options o = grad_options(0.0, 0.0, 1e46, false);
    refused(NOPT_ERROR_INVALID_ARGUMENT, "options->loss_scale is 1e+46; it must be in [1.17549e-38, 3.40282e+38]", o);
    o = grad_options(0.0, 0.0, 0.0, false);
    o.max_norm = 1.0;
    refused(NOPT_ERROR_INVALID_ARGUMENT, "no NOPT_GRAD_CLIP_NORM", o);
    o.max_norm = 0.0;
    o.flags = NOPT_GRAD_CLIP_NORM;
    refused(NOPT_ERROR_INVALID_ARGUMENT, "options->max_norm is 0", o);
    o.flags = 64;
    refused(NOPT_ERROR_UNSUPPORTED, "options->flags is 64", o);
    o.struct_size = 8;
    refused(NOPT_ERROR_INVALID_ARGUMENT, "struct_size", o);
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_set_grad_options(nullptr, nullptr));
    double* sum = nullptr;
    EXPECT_EQ(NOPT_ERROR_INVALID_STATE, nopt_optimizer_sum_grads(model.optimizer, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_STATE, nopt_optimizer_get_grad_sum(model.optimizer, &sum));
    EXPECT_EQ(1.0, status_of(model.optimizer).clip_coefficient);

    // Where the device decides it has to count; the CPU does not mind.
    o = grad_options(0.0, 0.0, 0.0, true);
    NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &o));
    if (test_backend == NOPT_BACKEND_CUDA) {
        EXPECT_EQ(NOPT_ERROR_INVALID_STATE, model.step(defaults("adam")));
        EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "nopt_optimizer_set_capturable"));
    } else {
        EXPECT_EQ(NOPT_OK, model.step(defaults("adam")));
    }
    NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, nullptr));
    NOPT_ASSERT_OK(model.step(defaults("adam")));
}

// A scale of its own for each step, on the device where that counts.
TEST(Gradients, TheLossScaleCanBeOnTheDevice) {
    const nopt_hyperparams h = defaults("adam");
    Model model("adam", {700, 3});
    Model twin("adam", {700, 3});
    nopt_grad_options o = grad_options(0.5, 0.0, NOPT_LOSS_SCALE_ON_DEVICE, true);
    NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &o));
    model.new_gradients();
    EXPECT_EQ(NOPT_ERROR_INVALID_STATE, nopt_optimizer_set_loss_scale(model.optimizer, 2.0, nullptr));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "nopt_optimizer_set_capturable")) << nopt_last_error_message();
    for (Model* const one : {&model, &twin}) {
        NOPT_ASSERT_OK(nopt_optimizer_set_capturable(one->optimizer, 1, nullptr));
    }
    EXPECT_EQ(NOPT_ERROR_INVALID_STATE, model.step(h));  // none was set
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "nopt_optimizer_set_loss_scale")) << nopt_last_error_message();
    for (const double bad : {0.0, -1.0, 1e-39, 1e46, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_set_loss_scale(model.optimizer, bad, nullptr)) << bad;
    }
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_set_loss_scale(nullptr, 1.0, nullptr));
    twin.new_gradients();
    for (const double scale : {1024.0, 3.0, 0.125}) {
        o.loss_scale = scale;
        NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(twin.optimizer, &o));
        NOPT_ASSERT_OK(nopt_optimizer_set_loss_scale(model.optimizer, scale, nullptr));
        for (Model* const one : {&model, &twin}) {
            NOPT_ASSERT_OK(one->step(h));
            one->new_gradients();
        }
        EXPECT_EQ(status_of(twin.optimizer).norm, status_of(model.optimizer).norm) << scale;
        ASSERT_TRUE(same_bits(twin.all_values(), model.all_values())) << scale;
    }
    EXPECT_EQ(3, state_of(model.optimizer).step);
}

}  // namespace
}  // namespace nopt_test
