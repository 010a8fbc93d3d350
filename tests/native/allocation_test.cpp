// A step allocates nothing, nor do a dimer's calls within training, nor binding new gradients.
#include <errno.h>
#include <stdlib.h>

#include <atomic>

#include "support/dimer_model.h"

namespace {
std::atomic<int64_t> allocations{0};
}

// The library's calls come here too: what a program defines takes the place of the C library's in all of the process.
// The library's operator new is its own, and allocates with malloc.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t size) {
    ++allocations;
    return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
    ++allocations;
    return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) {
    ++allocations;
    return __libc_realloc(memory, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
    ++allocations;
    return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, size_t alignment, size_t size) {
    ++allocations;
    *memory = __libc_memalign(alignment, size);
    return *memory == nullptr ? ENOMEM : 0;
}
}

namespace nopt_test {
namespace {

TEST(Allocation, IsSeenAtAll) {
    const int64_t before = allocations;
    Model model("adam", {10});
    nopt_param_set* set = nullptr;
    const int64_t count = 10;
    const int64_t inside = allocations;
    NOPT_ASSERT_OK(nopt_param_set_create(NOPT_BACKEND_CPU, 0, 1, &count, nullptr, &set));
    EXPECT_GT(allocations, inside) << "the library's allocations are not counted, so this test would see none";
    EXPECT_GT(inside, before);
    nopt_param_set_destroy(set);
}

TEST(Allocation, StepsAndNewGradientsAllocateNothing) {
    std::vector<int64_t> counts(300, 1000);
    counts.push_back(0);
    counts.push_back(200000);
    for (const Case& one : all_cases()) {
        Model model(one.rule, counts);
        GuardedBuffer other(counts, 3);
        const std::vector<void*> grads[] = {model.buffer(NOPT_ROLE_GRAD).pointers(), other.pointers()};
        for (int i = 0; i < 2; ++i) {
            NOPT_ASSERT_OK(model.step(one.hyperparams));  // the pool's threads are made here, once
        }
        const int64_t before = allocations;
        for (int i = 0; i < 10; ++i) {
            const nopt_status bound =
                nopt_param_set_bind(model.set, NOPT_ROLE_GRAD, model.tensor_count(), grads[i % 2].data());
            const nopt_status stepped = model.step(one.hyperparams);
            if (bound != NOPT_OK || stepped != NOPT_OK) {
                FAIL() << nopt_last_error_message();
            }
        }
        EXPECT_EQ(before, allocations) << one.name;
    }
}

// Tensors that are parted by their gradients stay so: only the first steps of a pattern allocate.
TEST(Allocation, StepsWithFrozenTensorsAllocateNothing) {
    const std::vector<int64_t> counts = {1000, 0, 5, 200000, 33, 1};
    const std::vector<bool> patterns[] = {{false, false, true, false, false, true},
                                          {false, true, true, true, false, false}};
    for (const Case& one : all_cases()) {
        Model model(one.rule, counts);
        std::vector<void*> grads[2] = {model.buffer(NOPT_ROLE_GRAD).pointers(),
                                       model.buffer(NOPT_ROLE_GRAD).pointers()};
        for (int i = 0; i < 2; ++i) {
            for (size_t t = 0; t < counts.size(); ++t) {
                grads[i][t] = patterns[i][t] ? nullptr : grads[i][t];
            }
        }
        const auto step = [&](int i) {
            return nopt_param_set_bind(model.set, NOPT_ROLE_GRAD, model.tensor_count(), grads[i % 2].data()) ==
                       NOPT_OK &&
                   model.step(one.hyperparams) == NOPT_OK;
        };
        ASSERT_TRUE(step(0) && step(1) && step(0)) << nopt_last_error_message();
        const int64_t before = allocations;
        for (int i = 1; i < 11; ++i) {
            if (!step(i)) {
                FAIL() << nopt_last_error_message();
            }
        }
        EXPECT_EQ(before, allocations) << one.name;
    }
}

// With hyperparameters that change from step to step, clipped and not.
TEST(Allocation, StepsOfManyGroupsAllocateNothing) {
    constexpr int32_t kGroups = 100;
    const std::vector<int64_t> counts(150, 20);
    std::vector<int32_t> groups;
    for (size_t t = 0; t < counts.size(); ++t) {
        groups.push_back(static_cast<int32_t>(t) % kGroups);
    }
    for (const bool clips : {false, true}) {
        Model model("adam", counts);
        NOPT_ASSERT_OK(nopt_param_set_set_groups(model.set, model.tensor_count(), groups.data()));
        NOPT_ASSERT_OK(nopt_optimizer_set_group_count(model.optimizer, kGroups));
        if (clips) {
            const nopt_grad_options options = grad_options(0.5, 0.0, 2.0, true);
            NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &options));
        }
        std::vector<nopt_hyperparams> h(kGroups, defaults("adam"));
        NOPT_ASSERT_OK(model.step(h[0]));
        const int64_t before = allocations;
        for (int i = 0; i < 5; ++i) {
            lr(h[static_cast<size_t>(17 * i)]) = 1e-2 * (i + 1);
            if (model.step(h[0]) != NOPT_OK) {
                FAIL() << nopt_last_error_message();
            }
        }
        EXPECT_EQ(before, allocations) << clips;
    }
}

TEST(Allocation, DimersAllocateNothing) {
    std::vector<int64_t> counts(300, 1000);
    counts.push_back(0);
    counts.push_back(200000);
    const nopt_hyperparams h = defaults("adam");
    for (const nopt_dimer_scope scope : {NOPT_DIMER_SCOPE_GLOBAL, NOPT_DIMER_SCOPE_PER_TENSOR}) {
        for (const nopt_dimer_angle angle : kAngles) {
            nopt_dimer_options o = dimer_defaults();
            o.angle = angle;
            DimerModel model("adam", counts, scope);
            const nopt_grad_options options = grad_options(0.5, 0.0, 2.0, true);
            NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &options));
            GuardedBuffer other(counts, 3);
            const std::vector<void*> grads[] = {model.buffer(NOPT_ROLE_GRAD).pointers(), other.pointers()};
            Random random(3);
            other.fill(random);
            model.new_gradients();
            nopt_dimer_status status = {};
            status.struct_size = sizeof status;
            const auto update = [&] {
                bool ok = model.dimer_step(o, h) == NOPT_OK;
                ok = ok && model.displace(o) == NOPT_OK && model.restore() == NOPT_OK;
                ok = ok && model.displace(o) == NOPT_OK;
                for (int i = 0; i < 3; ++i) {
                    ok = ok && nopt_param_set_bind(model.set, NOPT_ROLE_GRAD, model.tensor_count(),
                                                   grads[i % 2].data()) == NOPT_OK;
                    ok = ok && model.rotate(o, h) == NOPT_OK;
                    ok = ok && nopt_dimer_get_status(model.dimer, 0, &status) == NOPT_OK;
                }
                return ok && model.dimer_step(o, h) == NOPT_OK;
            };
            ASSERT_TRUE(update()) << nopt_last_error_message();  // the pool's threads are made here, once
            const int64_t before = allocations;
            for (int i = 0; i < 3; ++i) {
                if (!update()) {
                    FAIL() << nopt_last_error_message();
                }
            }
            EXPECT_EQ(before, allocations) << "scope " << scope << ", angle " << angle;
            EXPECT_EQ(0u, status.flags);
        }
    }
}

}  // namespace
}  // namespace nopt_test
