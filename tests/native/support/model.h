// A model of a few tensors with guarded buffers, and an optimizer over it, for tests.
#pragma once

#include <gtest/gtest.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "nativeopt/nativeopt.h"

#define NOPT_ASSERT_OK(call)                                           \
    do {                                                               \
        const nopt_status nopt_status_ = (call);                       \
        ASSERT_EQ(NOPT_OK, nopt_status_) << nopt_last_error_message(); \
    } while (0)

#define NOPT_EXPECT_OK(call)                                           \
    do {                                                               \
        const nopt_status nopt_status_ = (call);                       \
        EXPECT_EQ(NOPT_OK, nopt_status_) << nopt_last_error_message(); \
    } while (0)

namespace nopt_test {

// What the rules use.
constexpr nopt_role kRoles[] = {NOPT_ROLE_PARAM,      NOPT_ROLE_GRAD,           NOPT_ROLE_EXP_AVG,
                                NOPT_ROLE_EXP_AVG_SQ, NOPT_ROLE_MAX_EXP_AVG_SQ, NOPT_ROLE_MOMENTUM_BUFFER};
// What a dimer adds; see DimerModel.
constexpr nopt_role kDimerRoles[] = {NOPT_ROLE_DIRECTION, NOPT_ROLE_GRAD_DISPLACED, NOPT_ROLE_PARAM_BACKUP,
                                     NOPT_ROLE_GRAD_BACKUP, NOPT_ROLE_ROTATION_DIRECTION};
constexpr int kRoleCount = 11;

// Reproducible floats; splitmix64.
class Random {
public:
    explicit Random(uint64_t seed) : state_(seed) {}

    uint64_t next() {
        uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

    // In [-1, 1), of very different magnitudes.
    float value() {
        const float unit = static_cast<float>(static_cast<int64_t>(next() >> 40) - (1 << 23)) / (1 << 23);
        const int exponent = static_cast<int>(next() % 12);
        return unit / static_cast<float>(1 << exponent);
    }

private:
    uint64_t state_;
};

// Memory for one role of all tensors, with a canary before and after each tensor.
class GuardedBuffer {
public:
    // Each tensor begins `misalign` elements after a 64-byte boundary.
    GuardedBuffer(const std::vector<int64_t>& counts, int64_t misalign) : counts_(counts) {
        int64_t at = kGuard;
        for (const int64_t count : counts) {
            at = (at + 15) / 16 * 16 + misalign;
            begins_.push_back(at);
            at += count + kGuard;
        }
        memory_.assign(static_cast<size_t>(at) + 16, kCanary);
        const size_t off = reinterpret_cast<uintptr_t>(memory_.data()) % 64;
        base_ = memory_.data() + (off == 0 ? 0 : (64 - off) / sizeof(float));
        for (size_t i = 0; i < counts_.size(); ++i) {
            std::fill(tensor(i), tensor(i) + counts_[i], 0.0f);
        }
    }
    GuardedBuffer(const GuardedBuffer&) = delete;
    GuardedBuffer& operator=(const GuardedBuffer&) = delete;
    GuardedBuffer(GuardedBuffer&&) = default;

    float* tensor(size_t i) { return base_ + begins_[i]; }

    std::vector<void*> pointers() {
        std::vector<void*> result;
        for (size_t i = 0; i < counts_.size(); ++i) {
            result.push_back(tensor(i));
        }
        return result;
    }

    // All elements, tensor after tensor.
    std::vector<float> values() {
        std::vector<float> result;
        for (size_t i = 0; i < counts_.size(); ++i) {
            result.insert(result.end(), tensor(i), tensor(i) + counts_[i]);
        }
        return result;
    }

    void set_values(const std::vector<float>& values) {
        const float* from = values.data();
        for (size_t i = 0; i < counts_.size(); ++i) {
            std::copy_n(from, counts_[i], tensor(i));
            from += counts_[i];
        }
        ASSERT_EQ(values.data() + values.size(), from);
    }

    void fill(Random& random) {
        for (size_t i = 0; i < counts_.size(); ++i) {
            for (int64_t j = 0; j < counts_[i]; ++j) {
                tensor(i)[j] = random.value();
            }
        }
    }

    // True if nothing outside the tensors was written.
    bool intact() {
        const float* at = memory_.data();
        for (size_t i = 0; i <= counts_.size(); ++i) {
            const float* end = i < counts_.size() ? tensor(i) : memory_.data() + memory_.size();
            for (; at < end; ++at) {
                if (memcmp(at, &kCanary, sizeof kCanary) != 0) {
                    return false;
                }
            }
            at = i < counts_.size() ? tensor(i) + counts_[i] : at;
        }
        return true;
    }

private:
    static constexpr int64_t kGuard = 16;
    static constexpr float kCanary = -12345.678f;

    std::vector<int64_t> counts_;
    std::vector<int64_t> begins_;
    std::vector<float> memory_;
    float* base_;
};

inline nopt_hyperparams defaults(const char* rule) {
    nopt_hyperparams h = {};
    h.struct_size = sizeof h;
    EXPECT_EQ(NOPT_OK, nopt_rule_get_defaults(rule, &h)) << nopt_last_error_message();
    return h;
}

// Where models are made: the CPU, or what a program says at its start. Device memory must be the host's.
inline nopt_backend test_backend = NOPT_BACKEND_CPU;

// Parameters, gradients and every state of some tensors, all bound, with an optimizer.
class Model {
public:
    Model(const char* rule, std::vector<int64_t> counts, int64_t misalign = 0, uint64_t seed = 1,
          bool with_dimer_roles = false)
        : counts_(std::move(counts)), random_(seed) {
        for (int role = 0; role < kRoleCount; ++role) {
            const bool has_role = with_dimer_roles || role < NOPT_ROLE_DIRECTION;
            buffers_.emplace_back(has_role ? counts_ : std::vector<int64_t>(), misalign);
        }
        buffers_[NOPT_ROLE_PARAM].fill(random_);
        EXPECT_EQ(NOPT_OK, nopt_param_set_create(test_backend, 0, tensor_count(), counts_.data(), nullptr, &set))
            << nopt_last_error_message();
        for (const nopt_role role : kRoles) {
            bind(role);
        }
        for (const nopt_role role : kDimerRoles) {
            if (with_dimer_roles) {
                bind(role);
            }
        }
        EXPECT_EQ(NOPT_OK, nopt_optimizer_create(set, rule, &optimizer)) << nopt_last_error_message();
    }

    ~Model() {
        nopt_optimizer_destroy(optimizer);
        nopt_param_set_destroy(set);
    }
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    int64_t tensor_count() const { return static_cast<int64_t>(counts_.size()); }
    const std::vector<int64_t>& counts() const { return counts_; }
    GuardedBuffer& buffer(nopt_role role) { return buffers_[role]; }

    void bind(nopt_role role) {
        const std::vector<void*> pointers = buffers_[role].pointers();
        EXPECT_EQ(NOPT_OK, nopt_param_set_bind(set, role, tensor_count(), pointers.data()))
            << nopt_last_error_message();
    }

    void unbind(nopt_role role) {
        EXPECT_EQ(NOPT_OK, nopt_param_set_bind(set, role, tensor_count(), nullptr)) << nopt_last_error_message();
    }

    void new_gradients() { buffers_[NOPT_ROLE_GRAD].fill(random_); }

    nopt_status step(const nopt_hyperparams& h) { return nopt_optimizer_step(optimizer, &h, nullptr); }

    // Every buffer's elements, role after role.
    std::vector<float> all_values() {
        std::vector<float> result;
        for (GuardedBuffer& one : buffers_) {
            const std::vector<float> values = one.values();
            result.insert(result.end(), values.begin(), values.end());
        }
        return result;
    }

    bool intact() {
        for (GuardedBuffer& one : buffers_) {
            if (!one.intact()) {
                return false;
            }
        }
        return true;
    }

    nopt_step_state state() const {
        nopt_step_state s = {};
        s.struct_size = sizeof s;
        EXPECT_EQ(NOPT_OK, nopt_optimizer_get_state(optimizer, &s));
        return s;
    }

    nopt_param_set* set = nullptr;
    nopt_optimizer* optimizer = nullptr;

private:
    std::vector<int64_t> counts_;
    Random random_;
    std::vector<GuardedBuffer> buffers_;
};

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && (a.empty() || memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// A rule with one set of options, for matrix tests.
struct Case {
    std::string name;
    std::string rule;
    nopt_hyperparams hyperparams;
};

// What GoogleTest shows of a case.
inline std::ostream& operator<<(std::ostream& out, const Case& one) { return out << one.name; }

// Every rule with every combination of the options that it knows.
std::vector<Case> all_cases();

// Every instruction set that this processor can run.
std::vector<std::string> runnable_isas();

}  // namespace nopt_test
