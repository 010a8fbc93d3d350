// A model of a few tensors with guarded buffers, and an optimizer over it, for tests.
#pragma once

#include <gtest/gtest.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "nativeopt/nativeopt.h"
#include "support/rules.h"

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

// Where models are made: the CPU, or what a program says at its start.
inline nopt_backend test_backend = NOPT_BACKEND_CPU;

// Memory for one role of all tensors, with a canary before and after each tensor. Tests see it on the host; where the
// model's backend is CUDA, the library sees a copy on the device. Each of the two follows the other when it has to.
class GuardedBuffer {
public:
    // Each tensor begins `misalign` elements after a 64-byte boundary.
    GuardedBuffer(const std::vector<int64_t>& counts, int64_t misalign, nopt_backend backend = NOPT_BACKEND_CPU)
        : counts_(counts), backend_(backend) {
        int64_t at = kGuard;
        for (const int64_t count : counts) {
            at = (at + 15) / 16 * 16 + misalign;
            begins_.push_back(at);
            at += count + kGuard;
        }
        memory_.assign(static_cast<size_t>(at) + 16, kCanary);
        const size_t off = reinterpret_cast<uintptr_t>(memory_.data()) % 64;
        base_ = memory_.data() + (off == 0 ? 0 : (64 - off) / sizeof(float));
        bytes_ = at * static_cast<int64_t>(sizeof(float));
        for (size_t i = 0; i < counts_.size(); ++i) {
            std::fill(at_host(i), at_host(i) + counts_[i], 0.0f);
        }
        if (backend_ != NOPT_BACKEND_CPU) {
            void* memory = nullptr;
            NOPT_EXPECT_OK(nopt_memory_alloc(backend_, 0, bytes_, &memory));
            device_.reset(static_cast<float*>(memory));
        }
    }
    GuardedBuffer(const GuardedBuffer&) = delete;
    GuardedBuffer& operator=(const GuardedBuffer&) = delete;
    GuardedBuffer(GuardedBuffer&&) = default;

    // To read and to write.
    float* tensor(size_t i) {
        to_host();
        host_is_newer_ = true;
        return at_host(i);
    }

    // What the library is given.
    std::vector<void*> pointers() {
        std::vector<void*> result;
        for (const int64_t begin : begins_) {
            result.push_back((device_ != nullptr ? device_.get() : base_) + begin);
        }
        return result;
    }

    // All elements, tensor after tensor.
    std::vector<float> values() {
        to_host();
        std::vector<float> result;
        for (size_t i = 0; i < counts_.size(); ++i) {
            result.insert(result.end(), at_host(i), at_host(i) + counts_[i]);
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
            float* const to = tensor(i);
            for (int64_t j = 0; j < counts_[i]; ++j) {
                to[j] = random.value();
            }
        }
    }

    void fill(float value) {
        for (size_t i = 0; i < counts_.size(); ++i) {
            std::fill_n(tensor(i), counts_[i], value);
        }
    }

    // True if nothing outside the tensors was written.
    bool intact() {
        to_host();
        const float* at = memory_.data();
        for (size_t i = 0; i <= counts_.size(); ++i) {
            const float* end = i < counts_.size() ? at_host(i) : memory_.data() + memory_.size();
            for (; at < end; ++at) {
                if (memcmp(at, &kCanary, sizeof kCanary) != 0) {
                    return false;
                }
            }
            at = i < counts_.size() ? at_host(i) + counts_[i] : at;
        }
        return true;
    }

    // Before the library's work is queued on the stream, and after.
    void before_work(void* stream) {
        if (device_ != nullptr && host_is_newer_) {
            copy(device_.get(), base_, stream);
        }
        host_is_newer_ = false;
    }
    void after_work(void* stream) {
        device_is_newer_ = device_ != nullptr;
        stream_ = stream;
    }

private:
    struct DeviceFree {
        void operator()(float* memory) const { nopt_memory_free(NOPT_BACKEND_CUDA, 0, memory); }
    };

    float* at_host(size_t i) { return base_ + begins_[i]; }

    void to_host() {
        if (device_is_newer_) {
            copy(base_, device_.get(), stream_);
            device_is_newer_ = false;
        }
    }

    void copy(void* destination, const void* source, void* stream) {
        NOPT_EXPECT_OK(nopt_memory_copy(backend_, 0, destination, source, bytes_, stream));
        NOPT_EXPECT_OK(nopt_stream_synchronize(backend_, 0, stream));
    }

    static constexpr int64_t kGuard = 16;
    static constexpr float kCanary = -12345.678f;

    std::vector<int64_t> counts_;
    nopt_backend backend_;
    std::vector<int64_t> begins_;
    std::vector<float> memory_;
    float* base_;
    int64_t bytes_;
    std::unique_ptr<float, DeviceFree> device_;
    bool host_is_newer_ = true;
    bool device_is_newer_ = false;
    void* stream_ = nullptr;
};

// Parameters, gradients, every state and every input of some tensors, all bound, with an optimizer. States hold what
// they do before the first step with the rule's defaults.
class Model {
public:
    Model(const std::string& rule, std::vector<int64_t> counts, int64_t misalign = 0, uint64_t seed = 1,
          bool with_dimer_roles = false)
        : backend(test_backend), counts_(std::move(counts)), random_(seed) {
        const RuleDescription& description = describe(rule);
        for (const nopt_state_info& info : description.states) {
            states_.push_back(static_cast<nopt_role>(info.role));
        }
        reads_ = {NOPT_ROLE_GRAD};
        for (const nopt_input_info& info : description.inputs) {
            reads_.push_back(static_cast<nopt_role>(info.role));
        }
        NOPT_EXPECT_OK(nopt_param_set_create(backend, 0, tensor_count(), counts_.data(), nullptr, &set));
        std::vector<nopt_role> roles = this->roles();
        if (with_dimer_roles) {
            const std::vector<nopt_role> more = dimer_roles();
            roles.insert(roles.end(), more.begin(), more.end());
        }
        for (const nopt_role role : roles) {
            buffers_.emplace(role, GuardedBuffer(counts_, misalign, backend));
            bind(role);
        }
        buffer(NOPT_ROLE_PARAM).fill(random_);
        for (const nopt_role role : inputs()) {
            buffer(role).fill(random_);
        }
        const nopt_hyperparams h = defaults(rule);
        for (const nopt_state_info& info : description.states) {
            const double initial = info.initial_hyperparam < 0 ? info.initial_value : h.values[info.initial_hyperparam];
            buffer(static_cast<nopt_role>(info.role)).fill(static_cast<float>(initial));
        }
        NOPT_EXPECT_OK(nopt_optimizer_create(set, rule.c_str(), &optimizer));
    }

    ~Model() {
        nopt_optimizer_destroy(optimizer);
        nopt_param_set_destroy(set);
    }
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    int64_t tensor_count() const { return static_cast<int64_t>(counts_.size()); }
    const std::vector<int64_t>& counts() const { return counts_; }
    GuardedBuffer& buffer(nopt_role role) { return buffers_.at(role); }

    // The states of the rule, with whatever options.
    const std::vector<nopt_role>& states() const { return states_; }
    // What steps write: PARAM and the states.
    std::vector<nopt_role> written() const {
        std::vector<nopt_role> result = {NOPT_ROLE_PARAM};
        result.insert(result.end(), states_.begin(), states_.end());
        return result;
    }
    // The inputs of the rule.
    std::vector<nopt_role> inputs() const { return {reads_.begin() + 1, reads_.end()}; }
    // What steps only read: GRAD and the inputs.
    const std::vector<nopt_role>& reads() const { return reads_; }
    // All that a step of the rule may use.
    std::vector<nopt_role> roles() const {
        std::vector<nopt_role> result = written();
        result.insert(result.end(), reads_.begin(), reads_.end());
        return result;
    }

    void bind(nopt_role role) {
        const std::vector<void*> pointers = buffer(role).pointers();
        EXPECT_EQ(NOPT_OK, nopt_param_set_bind(set, role, tensor_count(), pointers.data()))
            << nopt_last_error_message();
    }

    void unbind(nopt_role role) {
        EXPECT_EQ(NOPT_OK, nopt_param_set_bind(set, role, tensor_count(), nullptr)) << nopt_last_error_message();
    }

    // Fills gradients and inputs anew.
    void new_gradients() {
        for (const nopt_role role : reads_) {
            buffer(role).fill(random_);
        }
    }

    // Takes over what the other model has of these roles.
    void take(Model& other, const std::vector<nopt_role>& roles) {
        for (const nopt_role role : roles) {
            buffer(role).set_values(other.buffer(role).values());
        }
    }

    // The elements of one role after another.
    std::vector<float> values_of(const std::vector<nopt_role>& roles) {
        std::vector<float> result;
        for (const nopt_role role : roles) {
            const std::vector<float> values = buffer(role).values();
            result.insert(result.end(), values.begin(), values.end());
        }
        return result;
    }

    nopt_status step(const nopt_hyperparams& h) {
        return work([&] { return nopt_optimizer_step(optimizer, &h, stream); });
    }

    // Every call that reads or writes the buffers goes through here.
    template <class Body>
    nopt_status work(Body&& body) {
        for (auto& one : buffers_) {
            one.second.before_work(stream);
        }
        const nopt_status status = body();
        for (auto& one : buffers_) {
            one.second.after_work(stream);
        }
        return status;
    }

    void synchronize() const { NOPT_EXPECT_OK(nopt_stream_synchronize(backend, 0, stream)); }

    // Every buffer's elements, role after role.
    std::vector<float> all_values() {
        std::vector<nopt_role> roles;
        for (const auto& one : buffers_) {
            roles.push_back(one.first);
        }
        return values_of(roles);
    }

    bool intact() {
        for (auto& one : buffers_) {
            if (!one.second.intact()) {
                return false;
            }
        }
        return true;
    }

    nopt_step_state state(int32_t group = 0) const {
        nopt_step_state s = {};
        s.struct_size = sizeof s;
        NOPT_EXPECT_OK(nopt_optimizer_get_group_state(optimizer, group, &s));
        return s;
    }

    std::vector<nopt_step_state> tensor_states() const {
        std::vector<nopt_step_state> states(counts_.size());
        for (nopt_step_state& one : states) {
            one.struct_size = sizeof one;
        }
        NOPT_EXPECT_OK(nopt_optimizer_get_tensor_states(optimizer, tensor_count(), states.data()));
        return states;
    }

    // Binds the gradients of the tensors that are not frozen.
    void freeze(const std::vector<bool>& frozen) {
        std::vector<void*> pointers = buffer(NOPT_ROLE_GRAD).pointers();
        for (size_t t = 0; t < pointers.size(); ++t) {
            pointers[t] = frozen[t] ? nullptr : pointers[t];
        }
        NOPT_EXPECT_OK(nopt_param_set_bind(set, NOPT_ROLE_GRAD, tensor_count(), pointers.data()));
    }

    const nopt_backend backend;
    void* stream = nullptr;  // of all work
    nopt_param_set* set = nullptr;
    nopt_optimizer* optimizer = nullptr;

private:
    std::vector<int64_t> counts_;
    Random random_;
    std::vector<nopt_role> states_;
    std::vector<nopt_role> reads_;
    std::map<nopt_role, GuardedBuffer> buffers_;
};

// A value of 0 leaves its option out.
inline nopt_grad_options grad_options(double max_norm, double max_value, double loss_scale, bool skips) {
    nopt_grad_options o = {};
    o.struct_size = sizeof o;
    const auto flag = [](bool on, nopt_grad_flag value) { return on ? static_cast<uint32_t>(value) : 0u; };
    o.flags = flag(max_norm > 0.0, NOPT_GRAD_CLIP_NORM) | flag(max_value > 0.0, NOPT_GRAD_CLIP_VALUE) |
              flag(skips, NOPT_GRAD_SKIP_NONFINITE);
    o.max_norm = max_norm;
    o.max_value = max_value;
    o.loss_scale = loss_scale;
    return o;
}

// After the last step on the stream.
inline nopt_grad_status status_of(nopt_optimizer* optimizer, void* stream = nullptr) {
    nopt_grad_status s = {};
    s.struct_size = sizeof s;
    NOPT_EXPECT_OK(nopt_stream_synchronize(test_backend, 0, stream));
    NOPT_EXPECT_OK(nopt_optimizer_get_grad_status(optimizer, &s));
    return s;
}

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
