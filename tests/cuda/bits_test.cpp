// The CUDA kernels beside the CPU's: the same bits for every rule and option, and for the dimer, over
// tensors of awkward sizes and alignments.
#include "support.h"

namespace nopt_test {
namespace {

// Around a 16-byte access, a leaf and a chunk of the sums; empty ones first, in the middle and last.
const std::vector<int64_t> kAwkward = {0, 1, 3, 5, 55, 511, 513, 4097, 16384, 0, 16385, 40003, 7, 0};

class CudaBits : public testing::TestWithParam<Case> {};

std::vector<float> run(nopt_backend backend, const Case& one, const std::vector<int64_t>& counts, int64_t misalign) {
    const OnBackend on(backend);
    Model model(one.rule, counts, misalign);
    std::vector<double> lr_scale, weight_decay;
    for (size_t i = 0; i < counts.size(); ++i) {
        lr_scale.push_back(i % 3 == 0 ? 0.5 : 1.0);
        weight_decay.push_back(i % 4 == 1 ? 0.02 : NOPT_INHERIT);
    }
    EXPECT_EQ(NOPT_OK, nopt_param_set_set_lr_scale(model.set, model.tensor_count(), lr_scale.data()));
    EXPECT_EQ(NOPT_OK, nopt_param_set_set_weight_decay(model.set, model.tensor_count(), weight_decay.data()));
    for (int step = 0; step < 3; ++step) {
        model.new_gradients();
        NOPT_EXPECT_OK(model.step(one.hyperparams));
    }
    EXPECT_TRUE(model.intact());
    return model.all_values();
}

TEST_P(CudaBits, EqualTheCpus) {
    for (const int64_t misalign : {0, 1, 3}) {
        ASSERT_TRUE(same_bits(run(NOPT_BACKEND_CPU, GetParam(), kAwkward, misalign),
                              run(NOPT_BACKEND_CUDA, GetParam(), kAwkward, misalign)))
            << misalign;
    }
}

INSTANTIATE_TEST_SUITE_P(Rules, CudaBits, testing::ValuesIn(all_cases()),
                         [](const testing::TestParamInfo<Case>& one) { return one.param.name; });

TEST(CudaBits, ManyScalarsEqualTheCpus) {
    const Case one = all_cases().front();
    const std::vector<int64_t> counts(21000, 1);
    EXPECT_TRUE(same_bits(run(NOPT_BACKEND_CPU, one, counts, 0), run(NOPT_BACKEND_CUDA, one, counts, 0)));
}

struct DimerRun {
    std::vector<float> values;
    std::vector<nopt_dimer_status> statuses;
    nopt_grad_status grads;
};

DimerRun run_dimer(nopt_backend backend, const char* rule, const std::vector<int64_t>& counts, int64_t misalign,
                   nopt_dimer_scope scope, const nopt_dimer_options& o, const nopt_grad_options* grads = nullptr) {
    const OnBackend on(backend);
    DimerModel model(rule, counts, scope, misalign, 5);
    NOPT_EXPECT_OK(nopt_optimizer_set_capturable(model.optimizer, grads != nullptr ? 1 : 0, nullptr));
    NOPT_EXPECT_OK(nopt_optimizer_set_grad_options(model.optimizer, grads));
    const nopt_hyperparams h = defaults(rule);
    for (int step = 0; step < 6; ++step) {
        model.new_gradients();
        if (step % 3 != 2) {
            NOPT_EXPECT_OK(model.displace(o));
            model.new_gradients();
            for (int turn = step; turn < (o.angle != NOPT_DIMER_ANGLE_FIXED_RATE ? 4 : 2); ++turn) {
                NOPT_EXPECT_OK(model.rotate(o, h));
                model.new_gradients();
            }
            if (step == 4) {
                NOPT_EXPECT_OK(model.restore());
            }
        }
        NOPT_EXPECT_OK(model.dimer_step(o, h));
    }
    EXPECT_TRUE(model.intact());
    return {model.all_values(), model.statuses(), status_of(model.optimizer)};
}

TEST(CudaBits, DimersEqualTheCpus) {
    for (const char* rule : {"sgd", "dualadam"}) {
        for (const nopt_dimer_scope scope : {NOPT_DIMER_SCOPE_GLOBAL, NOPT_DIMER_SCOPE_PER_TENSOR}) {
            for (const int32_t angle : kAngles) {
                for (const int64_t misalign : {0, 1}) {
                    nopt_dimer_options o = dimer_defaults();
                    o.angle = angle;
                    o.force = NOPT_DIMER_FORCE_PER_DISPLACEMENT;
                    o.correction = misalign == 0 ? NOPT_DIMER_CORRECTION_PUBLISHED : NOPT_DIMER_CORRECTION_ESCAPE;
                    const DimerRun cpu = run_dimer(NOPT_BACKEND_CPU, rule, kAwkward, misalign, scope, o);
                    const DimerRun cuda = run_dimer(NOPT_BACKEND_CUDA, rule, kAwkward, misalign, scope, o);
                    EXPECT_TRUE(same_bits(cpu.values, cuda.values)) << rule << scope << angle << misalign;
                    EXPECT_TRUE(same_bits(cpu.statuses, cuda.statuses)) << rule << scope << angle << misalign;
                }
            }
        }
    }
}

// Several rounds of the tree over the scopes, with one that is not full; and one scope, or none.
TEST(CudaBits, DimersOfScaledAndClippedGradientsEqualTheCpus) {
    Random random(3);
    std::vector<int64_t> many;
    for (int i = 0; i < 700; ++i) {
        many.push_back(static_cast<int64_t>(random.next() % 40));
    }
    for (const std::vector<int64_t>& counts : {kAwkward, many, std::vector<int64_t>{}}) {
        for (const nopt_dimer_scope scope : {NOPT_DIMER_SCOPE_GLOBAL, NOPT_DIMER_SCOPE_PER_TENSOR}) {
            for (const int32_t angle : kAngles) {
                for (const nopt_grad_options& grads :
                     {grad_options(0.5, 0.0, 3.0, true), grad_options(0.7, 0.002, 0.0, false),
                      grad_options(0.0, 0.01, 1000.0, false)}) {
                    nopt_dimer_options o = dimer_defaults();
                    o.angle = angle;
                    const DimerRun cpu = run_dimer(NOPT_BACKEND_CPU, "adam", counts, 0, scope, o, &grads);
                    const DimerRun cuda = run_dimer(NOPT_BACKEND_CUDA, "adam", counts, 0, scope, o, &grads);
                    EXPECT_TRUE(same_bits(cpu.values, cuda.values)) << counts.size() << scope << angle;
                    EXPECT_TRUE(same_bits(cpu.statuses, cuda.statuses)) << counts.size() << scope << angle;
                    EXPECT_EQ(0, memcmp(&cpu.grads, &cuda.grads, sizeof cpu.grads))
                        << counts.size() << scope << angle << ": " << cpu.grads.norm << ", " << cuda.grads.norm;
                    EXPECT_EQ(grads.max_norm > 0.0 && !counts.empty(), cuda.grads.clip_coefficient < 1.0);
                }
            }
        }
    }
}

}  // namespace
}  // namespace nopt_test
