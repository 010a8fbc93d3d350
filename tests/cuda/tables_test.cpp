// What is uploaded to the device, and how a set is divided there: addresses that change with every step, options that
// change between steps, sizes around every border.
#include <algorithm>

#include "support.h"

namespace nopt_test {
namespace {

// 20 steps without a wait, each with gradients at new addresses: more than there are slots to upload through.
TEST(CudaTables, AddressesMayChangeWithEveryStep) {
    const std::vector<int64_t> counts = {5, 0, 1025, 33};
    const auto run = [&](nopt_backend backend) {
        const OnBackend on(backend);
        Model model("dualadam", counts);
        const nopt_hyperparams h = defaults("dualadam");
        Random random(3);
        std::vector<GuardedBuffer> gradients;
        for (int step = 0; step < 20; ++step) {
            gradients.emplace_back(counts, step % 4, backend);
            gradients.back().fill(random);
            gradients.back().before_work(nullptr);
        }
        for (GuardedBuffer& grad : gradients) {
            const std::vector<void*> pointers = grad.pointers();
            NOPT_EXPECT_OK(nopt_param_set_bind(model.set, NOPT_ROLE_GRAD, model.tensor_count(), pointers.data()));
            NOPT_EXPECT_OK(model.step(h));
        }
        model.synchronize();
        return model.buffer(NOPT_ROLE_PARAM).values();
    };
    EXPECT_TRUE(same_bits(run(NOPT_BACKEND_CPU), run(NOPT_BACKEND_CUDA)));
}

// One group, some, as many as travel with a launch, and more; and back again.
TEST(CudaTables, OptionsMayChangeBetweenSteps) {
    const std::vector<int64_t> counts(100, 37);
    const auto run = [&](nopt_backend backend) {
        const OnBackend on(backend);
        Model model("adam", counts);
        nopt_hyperparams h = defaults("adam");
        h.flags = NOPT_FLAG_DECOUPLED_WEIGHT_DECAY;
        weight_decay(h) = 0.1;
        for (const int groups : {1, 2, 16, 17, 50, 3, 90}) {
            set_groups(model, groups);
            model.new_gradients();
            NOPT_EXPECT_OK(model.step(h));
        }
        NOPT_EXPECT_OK(nopt_param_set_set_lr_scale(model.set, 100, nullptr));
        NOPT_EXPECT_OK(model.step(h));
        EXPECT_TRUE(model.intact());
        return model.all_values();
    };
    EXPECT_TRUE(same_bits(run(NOPT_BACKEND_CPU), run(NOPT_BACKEND_CUDA)));
}

struct Shape {
    const char* name;
    std::vector<int64_t> counts;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.name; }

const Shape kShapes[] = {
    {"nothing", {}},
    {"empties", {0, 0, 0}},
    {"one", {1}},
    {"scalars", std::vector<int64_t>(21000, 1)},
    {"many_of_64", std::vector<int64_t>(10000, 64)},
    // Chunks that share a block of the sums, between others that do not.
    {"small_and_large", {2048, 2049, 2047, 0, 1, 16384 + 2048, 7, 7, 7, 7, 7, 7, 7, 7, 7, 40000, 3}},
    // Large enough for the largest pieces, on a device of few processors; odd, so that it ends in single elements.
    {"large", {600003}},
    // More chunks than the tree of a scope takes at one time.
    {"very_large", {3, 257 * 16384 + 1}},
};

class CudaShapes : public testing::TestWithParam<Shape> {};

TEST_P(CudaShapes, StepsEqualTheCpus) {
    const auto run = [&](nopt_backend backend) {
        const OnBackend on(backend);
        Model model("adam", GetParam().counts);
        for (int step = 0; step < 2; ++step) {
            model.new_gradients();
            NOPT_EXPECT_OK(model.step(defaults("adam")));
        }
        EXPECT_EQ(2, model.state().step);
        EXPECT_TRUE(model.intact());
        return model.all_values();
    };
    EXPECT_TRUE(same_bits(run(NOPT_BACKEND_CPU), run(NOPT_BACKEND_CUDA)));
}

TEST_P(CudaShapes, DimersEqualTheCpus) {
    for (const nopt_dimer_scope scope : kScopes) {
        // Values of float hide the last bits of a sum: the sums themselves are compared, too.
        std::vector<nopt_dimer_status> statuses[2];
        std::vector<double> sums[2];
        std::vector<float> values[2];
        for (const nopt_backend backend : {NOPT_BACKEND_CPU, NOPT_BACKEND_CUDA}) {
            const OnBackend on(backend);
            DimerModel model("sgd", GetParam().counts, scope);
            sums[backend] = model.sums();
            nopt_dimer_options o = dimer_defaults();
            o.force = NOPT_DIMER_FORCE_PER_DISPLACEMENT;
            model.new_gradients();
            NOPT_EXPECT_OK(model.displace(o));
            model.new_gradients();
            NOPT_EXPECT_OK(model.dimer_step(o, defaults("sgd")));
            EXPECT_TRUE(model.intact());
            const std::vector<double> last = model.sums();
            sums[backend].insert(sums[backend].end(), last.begin(), last.end());
            statuses[backend] = model.statuses();
            values[backend] = model.all_values();
        }
        EXPECT_TRUE(same_bits(sums[0], sums[1])) << scope;
        EXPECT_TRUE(same_bits(statuses[0], statuses[1])) << scope;
        EXPECT_TRUE(same_bits(values[0], values[1])) << scope;
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaShapes, testing::ValuesIn(kShapes),
                         [](const testing::TestParamInfo<Shape>& one) { return std::string(one.param.name); });

// What types a set has for states of other rules does not count.
TEST(CudaTables, StatesOf8BitsThatTheRuleLacksDoNotCount) {
    int rules = 0;
    for (const std::string& rule : all_rules()) {
        const std::vector<nopt_state_info>& states = describe(rule).states;
        const bool may_have_blocks = std::any_of(states.begin(), states.end(), [](const nopt_state_info& info) {
            return (info.dtypes >> NOPT_DTYPE_DYNAMIC8 & 1u) != 0;
        });
        if (may_have_blocks || states.size() >= NOPT_MAX_STATES) {
            continue;
        }
        ++rules;
        const auto run = [&](nopt_backend backend) {
            const OnBackend on(backend);
            Model model(rule, {300, 7});
            const nopt_role other = static_cast<nopt_role>(NOPT_ROLE_STATE + static_cast<int>(states.size()));
            const nopt_dtype types[] = {NOPT_DTYPE_DYNAMIC8, NOPT_DTYPE_DYNAMIC8};
            NOPT_EXPECT_OK(nopt_param_set_set_dtypes(model.set, other, 2, types));
            model.new_gradients();
            NOPT_EXPECT_OK(model.step(defaults(rule)));
            return model.all_values();
        };
        EXPECT_TRUE(same_bits(run(NOPT_BACKEND_CPU), run(NOPT_BACKEND_CUDA))) << rule;
    }
    EXPECT_GT(rules, 0);
}

TEST(CudaTables, MemoryOfTheHostIsRefused) {
    Model model("sgd", {4});
    float values[4] = {};
    void* const pointer = values;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_param_set_bind(model.set, NOPT_ROLE_GRAD, 1, &pointer));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "device memory")) << nopt_last_error_message();
}

}  // namespace
}  // namespace nopt_test
