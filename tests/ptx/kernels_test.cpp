// Each kernel of each rule at least once, on tensors that are small enough for an interpreter, beside the CPU: the same
// bits.
#include <set>

#include "../cuda/support.h"
#include "support/mixed_model.h"

namespace nopt_test {
namespace {

// Around a wide access, a warp's share of them, a piece and a leaf of the sums; an empty one in the middle, and two
// whose sums a block shares. More pieces than a block has warps.
const std::vector<int64_t> kCounts = {1, 3, 0, 55, 259, 513, 2050, 2 * 2048 + 5};

class PtxKernels : public testing::TestWithParam<std::string> {};

// One case for each set of states that the rule's options lead to.
std::vector<Case> a_case_for_each_variant(const std::string& rule) {
    const Model model(rule, {1});
    std::set<uint32_t> seen;
    std::vector<Case> cases;
    for (const Case& one : all_cases()) {
        uint32_t roles = 0;
        if (one.rule == rule) {
            NOPT_EXPECT_OK(nopt_optimizer_get_roles(model.optimizer, &one.hyperparams, &roles));
            if (seen.insert(roles).second) {
                cases.push_back(one);
            }
        }
    }
    return cases;
}

enum Alignment {
    kWide,      // all buffers begin where wide accesses do
    kAlike,     // one element later
    kDifferent  // gradients one element later than the rest
};

std::vector<float> steps(nopt_backend backend, const Case& one, Alignment alignment, bool device_counts) {
    const OnBackend on(backend);
    Model model(one.rule, kCounts, alignment == kAlike ? 1 : 0);
    set_groups(model, 3);
    if (alignment == kDifferent) {
        std::vector<void*> grads = model.buffer(NOPT_ROLE_GRAD).pointers();
        for (void*& grad : grads) {
            grad = static_cast<float*>(grad) + 1;  // the last element is the guard's, which is there on both backends
        }
        NOPT_EXPECT_OK(nopt_param_set_bind(model.set, NOPT_ROLE_GRAD, model.tensor_count(), grads.data()));
    }
    NOPT_EXPECT_OK(nopt_optimizer_set_capturable(model.optimizer, device_counts ? 1 : 0, nullptr));
    for (int step = 0; step < 2; ++step) {
        model.new_gradients();
        NOPT_EXPECT_OK(model.step(one.hyperparams));
    }
    EXPECT_TRUE(model.intact());
    return model.all_values();
}

TEST_P(PtxKernels, OfFloat32) {
    for (const Case& one : a_case_for_each_variant(GetParam())) {
        for (const Alignment alignment : {kWide, kAlike, kDifferent}) {
            const bool device_counts = alignment == kAlike;
            EXPECT_TRUE(same_bits(steps(NOPT_BACKEND_CPU, one, alignment, device_counts),
                                  steps(NOPT_BACKEND_CUDA, one, alignment, device_counts)))
                << one.name << ", alignment " << alignment;
        }
    }
}

std::vector<float> dimer_steps(nopt_backend backend, const std::string& rule, const std::vector<int64_t>& counts) {
    const OnBackend on(backend);
    DimerModel model(rule, counts, NOPT_DIMER_SCOPE_PER_TENSOR, 1, 5);
    const nopt_grad_options grads = grad_options(0.5, 0.0, 0.0, false);
    NOPT_EXPECT_OK(nopt_optimizer_set_grad_options(model.optimizer, &grads));
    const nopt_dimer_options o = dimer_defaults();
    const nopt_hyperparams h = defaults(rule);
    model.new_gradients();
    NOPT_EXPECT_OK(model.displace(o));
    model.new_gradients();
    NOPT_EXPECT_OK(model.rotate(o, h));
    model.new_gradients();
    NOPT_EXPECT_OK(model.dimer_step(o, h));
    EXPECT_TRUE(model.intact());
    return model.all_values();
}

// With more scopes, too, than the threads that add up their squares.
TEST_P(PtxKernels, OfDimers) {
    for (const std::vector<int64_t>& counts : {kCounts, std::vector<int64_t>(300, 1)}) {
        EXPECT_TRUE(same_bits(dimer_steps(NOPT_BACKEND_CPU, GetParam(), counts),
                              dimer_steps(NOPT_BACKEND_CUDA, GetParam(), counts)))
            << counts.size() << " tensors";
    }
}

std::vector<uint8_t> mixed_steps(nopt_backend backend, const Case& one, const std::vector<Mix>& mixes) {
    const OnBackend on(backend);
    MixedModel model(one.rule, mixes, 0, NOPT_DIMER_SCOPE_GLOBAL);
    const nopt_grad_options grads = grad_options(1.0, 0.0, 0.0, false);
    NOPT_EXPECT_OK(nopt_optimizer_set_grad_options(model.optimizer, &grads));
    Random random(7);
    model.fill_params(random);
    model.fill_reads(random);
    NOPT_EXPECT_OK(nopt_optimizer_step(model.optimizer, &one.hyperparams, nullptr));
    NOPT_EXPECT_OK(nopt_dimer_init_direction(model.dimer, 3, 0, nullptr));
    NOPT_EXPECT_OK(nopt_dimer_normalize_direction(model.dimer, nullptr));
    const nopt_dimer_options o = dimer_defaults();
    model.fill_reads(random);
    NOPT_EXPECT_OK(nopt_dimer_displace(model.dimer, &o, nullptr));
    model.fill_reads(random);
    NOPT_EXPECT_OK(nopt_dimer_step(model.dimer, &o, &one.hyperparams, nullptr));
    return model.all_bytes();
}

// States of 8 bits have a kernel of their own, and so has a set without them. A step and one of a dimer.
TEST_P(PtxKernels, OfOtherTypes) {
    constexpr nopt_dtype kFloat32 = NOPT_DTYPE_FLOAT32;
    constexpr nopt_dtype kBf16 = NOPT_DTYPE_BFLOAT16;
    constexpr nopt_dtype kF16 = NOPT_DTYPE_FLOAT16;
    const std::vector<Mix> of_16_bits = {{259, kBf16, kBf16, kBf16},
                                         {1027, kBf16, kBf16, kFloat32, Extra::kRemainder},
                                         {1024, kBf16, kBf16, kBf16, Extra::kMaster},
                                         {70, kF16, kF16, kBf16, Extra::kMaster}};
    std::vector<Mix> of_8_bits = of_16_bits;
    of_8_bits.push_back({1024, kFloat32, kFloat32, NOPT_DTYPE_DYNAMIC8, Extra::kNone, true});
    of_8_bits.push_back({515, kBf16, kBf16, NOPT_DTYPE_DYNAMIC8, Extra::kMaster});
    of_8_bits.push_back({1024, kBf16, kBf16, NOPT_DTYPE_DYNAMIC8});  // whole blocks, which have a loop of their own
    for (const Case& one : a_case_for_each_variant(GetParam())) {
        Case random = one;
        random.hyperparams.flags |= NOPT_FLAG_STOCHASTIC_ROUNDING;
        const std::vector<Mix> to_round = {{259, kBf16, kBf16, kFloat32}, {1027, kBf16, kBf16, kFloat32}};
        EXPECT_TRUE(mixed_steps(NOPT_BACKEND_CPU, random, to_round) == mixed_steps(NOPT_BACKEND_CUDA, random, to_round))
            << one.name << ", rounded at random";
        for (const std::vector<Mix>& mixes : {of_16_bits, of_8_bits}) {
            EXPECT_TRUE(mixed_steps(NOPT_BACKEND_CPU, one, mixes) == mixed_steps(NOPT_BACKEND_CUDA, one, mixes))
                << one.name << ", " << mixes.size() << " tensors";
        }
    }
}

// A set so large that pieces have several blocks, of which the last is one in part and has single elements: its states
// lie where other threads had those of the block before.
TEST(PtxBlocks, OfAPieceThatEndsWithinOne) {
    const std::vector<Mix> mixes = {
        {150003, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_DYNAMIC8},
        {150003, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_DYNAMIC8, Extra::kMaster}};
    const Case one = a_case_for_each_variant("adam").front();
    EXPECT_TRUE(mixed_steps(NOPT_BACKEND_CPU, one, mixes) == mixed_steps(NOPT_BACKEND_CUDA, one, mixes));
}

INSTANTIATE_TEST_SUITE_P(Rules, PtxKernels, testing::ValuesIn(all_rules()),
                         [](const testing::TestParamInfo<std::string>& one) { return one.param; });

std::vector<uint8_t> turning_dimer_steps(nopt_backend backend, const std::vector<Mix>& mixes, int32_t angle,
                                         const nopt_grad_options& grads) {
    const OnBackend on(backend);
    // Without a norm the kernel that adds up a scope's sums decides, too, and has one form for each kind of scope.
    const bool is_optimal = angle != NOPT_DIMER_ANGLE_FIXED_RATE;
    const bool has_norm = grads.max_norm > 0.0;
    MixedModel model("adam", mixes, is_optimal || has_norm ? 0 : 1,
                     is_optimal && !has_norm ? NOPT_DIMER_SCOPE_GLOBAL : NOPT_DIMER_SCOPE_PER_TENSOR);
    NOPT_EXPECT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, nullptr));
    NOPT_EXPECT_OK(nopt_optimizer_set_grad_options(model.optimizer, &grads));
    Random random(11);
    model.fill_params(random);
    NOPT_EXPECT_OK(nopt_dimer_init_direction(model.dimer, 3, 0, nullptr));
    NOPT_EXPECT_OK(nopt_dimer_normalize_direction(model.dimer, nullptr));
    nopt_dimer_options o = dimer_defaults();
    o.angle = angle;
    const nopt_hyperparams h = defaults("adam");
    const auto displace = [&] {
        model.fill_reads(random);
        NOPT_EXPECT_OK(nopt_dimer_displace(model.dimer, &o, nullptr));
        model.fill_reads(random);
    };
    displace();
    NOPT_EXPECT_OK(nopt_dimer_restore(model.dimer, nullptr));
    NOPT_EXPECT_OK(nopt_dimer_step(model.dimer, &o, &h, nullptr));
    displace();
    for (int turn = 0; turn < 2; ++turn) {
        NOPT_EXPECT_OK(nopt_dimer_rotate(model.dimer, &o, &h, nullptr));
        model.fill_reads(random);
    }
    NOPT_EXPECT_OK(nopt_dimer_step(model.dimer, &o, &h, nullptr));
    return model.all_bytes();
}

// Tensors whose sums a block shares, beside small ones.
std::vector<Mix> with_large(std::vector<Mix> mixes, nopt_dtype param) {
    for (const int64_t count : {2050, 2 * 2048 + 5}) {
        mixes.push_back({count, param, NOPT_DTYPE_FLOAT32, NOPT_DTYPE_FLOAT32});
        mixes.push_back({count, param, param, NOPT_DTYPE_FLOAT32});
    }
    return mixes;
}

const std::vector<Mix> kFloat32Mixes = with_large({}, NOPT_DTYPE_FLOAT32);
const std::vector<Mix> kMixedMixes = with_large(all_mixes(), NOPT_DTYPE_BFLOAT16);

std::vector<uint8_t> clipped_step(nopt_backend backend, const std::vector<Mix>& mixes) {
    const OnBackend on(backend);
    MixedModel model("sgd", mixes);
    const nopt_grad_options grads = grad_options(0.5, 0.0, 0.0, false);
    const nopt_hyperparams h = defaults("sgd");
    NOPT_EXPECT_OK(nopt_optimizer_set_grad_options(model.optimizer, &grads));
    Random random(12);
    model.fill_params(random);
    model.fill_reads(random);
    NOPT_EXPECT_OK(nopt_optimizer_step(model.optimizer, &h, nullptr));
    return model.all_bytes();
}

TEST(PtxSums, OfGradients) {
    for (const std::vector<Mix>& mixes : {kMixedMixes, kFloat32Mixes}) {
        EXPECT_TRUE(clipped_step(NOPT_BACKEND_CPU, mixes) == clipped_step(NOPT_BACKEND_CUDA, mixes)) << mixes.size();
    }
}

// Every kind of sum, with and without the gradients' norm, and every pass over the elements.
TEST(PtxDimers, EqualTheCpus) {
    for (const std::vector<Mix>& mixes : {kMixedMixes, kFloat32Mixes}) {
        for (const int32_t angle : kAngles) {
            for (const nopt_grad_options& grads :
                 {grad_options(0.5, 0.0, 2.0, true), grad_options(0.0, 0.1, 0.0, false)}) {
                EXPECT_TRUE(turning_dimer_steps(NOPT_BACKEND_CPU, mixes, angle, grads) ==
                            turning_dimer_steps(NOPT_BACKEND_CUDA, mixes, angle, grads))
                    << mixes.size() << " tensors, angle " << angle << ", norm up to " << grads.max_norm;
            }
        }
    }
}

// The squares of a direction.
std::vector<double> sums_of(nopt_backend backend, const std::vector<int64_t>& counts, nopt_dimer_scope scope) {
    const OnBackend on(backend);
    GuardedBuffer buffer(counts, 0, backend);
    Random random(13);
    buffer.fill(random);
    const int64_t tensors = static_cast<int64_t>(counts.size());
    const std::vector<void*> pointers = buffer.pointers();
    nopt_param_set* set = nullptr;
    nopt_optimizer* optimizer = nullptr;
    nopt_dimer* dimer = nullptr;
    NOPT_EXPECT_OK(nopt_param_set_create(backend, 0, tensors, counts.data(), nullptr, &set));
    NOPT_EXPECT_OK(nopt_param_set_bind(set, NOPT_ROLE_DIRECTION, tensors, pointers.data()));
    NOPT_EXPECT_OK(nopt_optimizer_create(set, "sgd", &optimizer));
    NOPT_EXPECT_OK(nopt_dimer_create(optimizer, scope, &dimer));
    buffer.before_work(nullptr);
    NOPT_EXPECT_OK(nopt_dimer_sum(dimer, NOPT_DIMER_PASS_NORMALIZE, nullptr));
    double* from = nullptr;
    int64_t count = 0;
    NOPT_EXPECT_OK(nopt_dimer_get_sums(dimer, &from, &count));
    std::vector<double> sums(static_cast<size_t>(count));
    NOPT_EXPECT_OK(nopt_memory_copy(backend, 0, sums.data(), from, count * 8, nullptr));
    NOPT_EXPECT_OK(nopt_stream_synchronize(backend, 0, nullptr));
    NOPT_EXPECT_OK(nopt_dimer_destroy(dimer));
    NOPT_EXPECT_OK(nopt_optimizer_destroy(optimizer));
    NOPT_EXPECT_OK(nopt_param_set_destroy(set));
    return sums;
}

// A warp takes 256 chunks of a scope at one time, and a block 4,096 chunks of all tensors. What comes of more than 8
// such turns is read by another thread than the one that wrote it.
TEST(PtxSums, OfMoreChunksThanATreeTakesAtOneTime) {
    const std::vector<int64_t> many(8 * 4096 + 1, 1);
    EXPECT_EQ(sums_of(NOPT_BACKEND_CPU, many, NOPT_DIMER_SCOPE_GLOBAL),
              sums_of(NOPT_BACKEND_CUDA, many, NOPT_DIMER_SCOPE_GLOBAL));
    const std::vector<int64_t> large = {8 * 256 * 16384 + 1, 5};
    EXPECT_EQ(sums_of(NOPT_BACKEND_CPU, large, NOPT_DIMER_SCOPE_PER_TENSOR),
              sums_of(NOPT_BACKEND_CUDA, large, NOPT_DIMER_SCOPE_PER_TENSOR));
}

// Values of each size; of the bytes after the last element, nothing is written.
TEST(PtxMemory, IsFilled) {
    for (const nopt_dtype type : {NOPT_DTYPE_FLOAT32, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_DYNAMIC8}) {
        std::vector<uint8_t> bytes[2];
        for (const nopt_backend backend : {NOPT_BACKEND_CPU, NOPT_BACKEND_CUDA}) {
            constexpr int64_t kBytes = 4096;
            bytes[backend].assign(kBytes, 0xa5);
            void* memory = nullptr;
            NOPT_ASSERT_OK(nopt_memory_alloc(backend, 0, kBytes, &memory));
            NOPT_ASSERT_OK(nopt_memory_copy(backend, 0, memory, bytes[backend].data(), kBytes, nullptr));
            NOPT_ASSERT_OK(
                nopt_memory_fill(backend, 0, memory, 777, type, type == NOPT_DTYPE_DYNAMIC8 ? 0.0 : 1.5, nullptr));
            NOPT_ASSERT_OK(nopt_memory_copy(backend, 0, bytes[backend].data(), memory, kBytes, nullptr));
            NOPT_ASSERT_OK(nopt_stream_synchronize(backend, 0, nullptr));
            NOPT_ASSERT_OK(nopt_memory_free(backend, 0, memory));
        }
        EXPECT_EQ(bytes[0], bytes[1]) << type;
    }
}

}  // namespace
}  // namespace nopt_test
