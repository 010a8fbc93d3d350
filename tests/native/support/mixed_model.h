// Models whose tensors have elements of several types, beside a float32 model that says what must come out: each step
// of the one is a step of the other on the widened values, with the results rounded as the header says.
#pragma once

#include <math.h>

#include <map>
#include <memory>

#include "numerics/dynamic8.h"
#include "support/dimer_model.h"

namespace nopt_test {

// ---- rounding, by arithmetic in double, where the library works on bits ----

enum class Ties {
    kEven,
    kAway
};

inline int significant_bits(nopt_dtype type) { return type == NOPT_DTYPE_BFLOAT16 ? 8 : 11; }
inline int smallest_exponent(nopt_dtype type) { return type == NOPT_DTYPE_BFLOAT16 ? -126 : -14; }

// The float nearest to `value` that the type can hold.
inline float rounded(float value, nopt_dtype type, Ties ties = Ties::kEven) {
    if (type == NOPT_DTYPE_FLOAT32 || value == 0.0f || !isfinite(value)) {
        return value;
    }
    const int exponent = std::max(ilogb(value), smallest_exponent(type));
    const double quantum = ldexp(1.0, exponent - significant_bits(type) + 1);
    const double scaled = static_cast<double>(value) / quantum;
    const double result = (ties == Ties::kEven ? nearbyint(scaled) : round(scaled)) * quantum;
    const double limit = type == NOPT_DTYPE_BFLOAT16 ? ldexp(1.0, 128) : ldexp(1.0, 16);
    return fabs(result) >= limit ? copysignf(INFINITY, value) : static_cast<float>(result);
}

// The bits of a float that the type can hold.
inline uint32_t encoded(float value, nopt_dtype type) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (type == NOPT_DTYPE_FLOAT32) {
        return bits;
    }
    if (type == NOPT_DTYPE_BFLOAT16) {
        return isnan(value) ? 0x7fc0 : bits >> 16;
    }
    const uint32_t sign = bits >> 31 << 15;
    if (isnan(value)) {
        return 0x7e00;
    }
    if (isinf(value)) {
        return sign | 0x7c00;
    }
    const float magnitude = fabsf(value);
    if (magnitude < 0x1p-14f) {
        return sign | static_cast<uint32_t>(magnitude / 0x1p-24f);
    }
    const int exponent = ilogb(magnitude);
    return sign | static_cast<uint32_t>(exponent + 15) << 10 |
           (static_cast<uint32_t>(ldexp(static_cast<double>(magnitude), 10 - exponent)) & 0x3ff);
}

inline float decoded(uint32_t bits, nopt_dtype type) {
    if (type != NOPT_DTYPE_FLOAT16) {
        bits = type == NOPT_DTYPE_BFLOAT16 ? bits << 16 : bits;
        float value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    const int exponent = static_cast<int>(bits >> 10 & 31);
    const double fraction = static_cast<double>(bits & 0x3ff) / 1024;
    const double magnitude = exponent == 31  ? static_cast<double>(fraction == 0.0 ? INFINITY : NAN)
                             : exponent == 0 ? ldexp(fraction, -14)
                                             : ldexp(1.0 + fraction, exponent - 15);
    return static_cast<float>((bits & 0x8000) != 0 ? -magnitude : magnitude);
}

// Where bfloat16 and its remainder mean this float.
inline uint32_t lower_bits(float value) { return encoded(value, NOPT_DTYPE_FLOAT32) & 0xffff; }

// ---- buffers and models ----

// Memory for one role of tensors of any type, with canaries around each.
class TypedBuffer {
public:
    TypedBuffer(const std::vector<int64_t>& counts, std::vector<nopt_dtype> types, std::vector<bool> present,
                int64_t misalign, nopt_backend backend)
        : counts_(counts), types_(std::move(types)), present_(std::move(present)), backend_(backend) {
        size_t at = kGuard;
        for (size_t i = 0; i < counts_.size(); ++i) {
            const size_t unit = types_[i] == NOPT_DTYPE_DYNAMIC8 ? 4 : size_of(i);
            at = (at + 63) / 64 * 64 + static_cast<size_t>(misalign) * unit;
            begins_.push_back(at);
            at += bytes_of(i) + kGuard;
        }
        bytes_.assign(at, kCanary);
        void* memory = nullptr;
        NOPT_EXPECT_OK(nopt_memory_alloc(backend_, 0, static_cast<int64_t>(at), &memory));
        memory_ = memory;
        for (size_t i = 0; i < counts_.size(); ++i) {
            std::fill_n(bytes_.begin() + static_cast<std::ptrdiff_t>(begins_[i]), bytes_of(i), uint8_t{0});
        }
        write();
    }
    ~TypedBuffer() { nopt_memory_free(backend_, 0, memory_); }
    TypedBuffer(const TypedBuffer&) = delete;
    TypedBuffer& operator=(const TypedBuffer&) = delete;

    nopt_dtype type(size_t i) const { return types_[i]; }
    bool present(size_t i) const { return present_[i]; }
    size_t size_of(size_t i) const {
        return types_[i] == NOPT_DTYPE_FLOAT32 ? 4 : types_[i] == NOPT_DTYPE_DYNAMIC8 ? 1 : 2;
    }
    size_t bytes_of(size_t i) const {
        const size_t scales = types_[i] == NOPT_DTYPE_DYNAMIC8 ? static_cast<size_t>(counts_[i] + 255) / 256 * 4 : 0;
        return static_cast<size_t>(counts_[i]) * size_of(i) + scales;
    }

    std::vector<void*> pointers() const {
        std::vector<void*> result;
        for (size_t i = 0; i < counts_.size(); ++i) {
            result.push_back(present_[i] ? static_cast<char*>(memory_) + begins_[i] : nullptr);
        }
        return result;
    }

    uint32_t bits(size_t tensor, int64_t i) const {
        uint32_t value = 0;
        memcpy(&value, &bytes_[place_of(tensor, i)], size_of(tensor));
        return value;
    }
    void set_bits(size_t tensor, int64_t i, uint32_t value) {
        memcpy(&bytes_[place_of(tensor, i)], &value, size_of(tensor));
    }

    // Of the block that element i is in, where blocks have one.
    float scale(size_t tensor, int64_t i) const {
        float value;
        memcpy(&value, &bytes_[begins_[tensor] + static_cast<size_t>(i / 256) * 260], sizeof value);
        return value;
    }

    // Between the tests' copy and the library's.
    void write() { copy(memory_, bytes_.data()); }
    void read() { copy(bytes_.data(), memory_); }

    const std::vector<uint8_t>& bytes() const { return bytes_; }

    bool intact() const {
        size_t at = 0;
        for (size_t i = 0; i <= counts_.size(); ++i) {
            const size_t end = i < counts_.size() ? begins_[i] : bytes_.size();
            for (; at < end; ++at) {
                if (bytes_[at] != kCanary) {
                    return false;
                }
            }
            at = i < counts_.size() ? begins_[i] + bytes_of(i) : at;
        }
        return true;
    }

private:
    size_t place_of(size_t tensor, int64_t i) const {
        const size_t scales = types_[tensor] == NOPT_DTYPE_DYNAMIC8 ? static_cast<size_t>(i / 256 + 1) * 4 : 0;
        return begins_[tensor] + static_cast<size_t>(i) * size_of(tensor) + scales;
    }

    void copy(void* destination, const void* source) const {
        NOPT_EXPECT_OK(
            nopt_memory_copy(backend_, 0, destination, source, static_cast<int64_t>(bytes_.size()), nullptr));
        NOPT_EXPECT_OK(nopt_stream_synchronize(backend_, 0, nullptr));
    }

    static constexpr size_t kGuard = 64;
    static constexpr uint8_t kCanary = 0xa5;

    std::vector<int64_t> counts_;
    std::vector<nopt_dtype> types_;
    std::vector<bool> present_;
    nopt_backend backend_;
    std::vector<size_t> begins_;
    std::vector<uint8_t> bytes_;
    void* memory_ = nullptr;
};

enum class Extra {
    kNone,
    kMaster,
    kRemainder
};

// One tensor's types.
struct Mix {
    int64_t count;
    nopt_dtype param;
    nopt_dtype grad;
    nopt_dtype state;
    Extra extra = Extra::kNone;
    bool first_is_float32 = false;  // of several states
};

// Every mix, with sizes around what is handled at one time; empties first, in the middle and last.
inline std::vector<Mix> all_mixes() {
    constexpr nopt_dtype kTypes[] = {NOPT_DTYPE_FLOAT32, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_FLOAT16};
    const int64_t sizes[] = {1, 3, 7, 9, 55, 255, 257, 513, 1025, 8, 16};
    std::vector<Mix> mixes = {{0, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_FLOAT32}};
    for (const nopt_dtype param : kTypes) {
        for (const nopt_dtype grad : kTypes) {
            for (const Extra extra : {Extra::kNone, Extra::kMaster, Extra::kRemainder}) {
                const bool fits = extra == Extra::kNone || param == NOPT_DTYPE_BFLOAT16 ||
                                  (param == NOPT_DTYPE_FLOAT16 && extra == Extra::kMaster);
                if (fits) {
                    const int one_by_one = static_cast<int>(param) + static_cast<int>(grad) + static_cast<int>(extra);
                    mixes.push_back(
                        {sizes[mixes.size() % std::size(sizes)], param, grad, kTypes[one_by_one % 3], extra});
                }
            }
        }
        mixes.push_back({0, param, param, NOPT_DTYPE_FLOAT32});
    }
    return mixes;
}

// A model of such tensors, with a dimer if `scope` is not negative.
class MixedModel {
public:
    MixedModel(const std::string& rule, std::vector<Mix> mixes, int64_t misalign = 0, int scope = -1)
        : backend_(test_backend), mixes_(std::move(mixes)), description_(describe(rule)) {
        std::vector<int64_t> counts;
        std::vector<nopt_dtype> params, grads, floats(mixes_.size(), NOPT_DTYPE_FLOAT32),
            halves(mixes_.size(), NOPT_DTYPE_BFLOAT16);
        std::vector<bool> all(mixes_.size(), true), masters, remainders;
        for (const Mix& mix : mixes_) {
            counts.push_back(mix.count);
            params.push_back(mix.param);
            grads.push_back(mix.grad);
            masters.push_back(mix.extra == Extra::kMaster);
            remainders.push_back(mix.extra == Extra::kRemainder);
        }
        counts_ = counts;
        const int64_t count = static_cast<int64_t>(counts.size());
        NOPT_EXPECT_OK(nopt_param_set_create(backend_, 0, count, counts.data(), params.data(), &set));
        NOPT_EXPECT_OK(nopt_param_set_set_dtypes(set, NOPT_ROLE_GRAD, count, grads.data()));
        const auto add = [&](nopt_role role, const std::vector<nopt_dtype>& types, const std::vector<bool>& present) {
            buffers_[role] = std::make_unique<TypedBuffer>(counts, types, present, misalign, backend_);
            const std::vector<void*> pointers = buffers_[role]->pointers();
            NOPT_EXPECT_OK(nopt_param_set_bind(set, role, count, pointers.data()));
        };
        add(NOPT_ROLE_PARAM, params, all);
        add(NOPT_ROLE_GRAD, grads, all);
        for (const nopt_state_info& info : description_.states) {
            const nopt_role role = static_cast<nopt_role>(info.role);
            states_.push_back(role);
            // What the rule does not allow is float32.
            std::vector<nopt_dtype> types;
            for (const Mix& mix : mixes_) {
                const bool is_float32 =
                    mix.first_is_float32 && description_.states.size() > 1 && info.role == NOPT_ROLE_STATE;
                const bool fits = (info.dtypes >> mix.state & 1u) != 0;
                types.push_back(fits && !is_float32 ? mix.state : NOPT_DTYPE_FLOAT32);
            }
            NOPT_EXPECT_OK(nopt_param_set_set_dtypes(set, role, count, types.data()));
            add(role, types, all);
        }
        for (const nopt_input_info& info : description_.inputs) {
            const nopt_role role = static_cast<nopt_role>(info.role);
            reads_.push_back(role);
            NOPT_EXPECT_OK(nopt_param_set_set_dtypes(set, role, count, grads.data()));
            add(role, grads, all);
        }
        add(NOPT_ROLE_MASTER_PARAM, floats, masters);
        add(NOPT_ROLE_PARAM_REMAINDER, halves, remainders);
        NOPT_EXPECT_OK(nopt_optimizer_create(set, rule.c_str(), &optimizer));
        if (scope >= 0) {
            add(NOPT_ROLE_DIRECTION, floats, all);
            add(NOPT_ROLE_PARAM_BACKUP, params, all);
            add(NOPT_ROLE_GRAD_BACKUP, grads, all);
            add(NOPT_ROLE_ROTATION_DIRECTION, floats, all);
            add(NOPT_ROLE_GRAD_CHANGE, floats, all);
            NOPT_EXPECT_OK(nopt_dimer_create(optimizer, static_cast<nopt_dimer_scope>(scope), &dimer));
        }
    }
    ~MixedModel() {
        nopt_dimer_destroy(dimer);
        nopt_optimizer_destroy(optimizer);
        nopt_param_set_destroy(set);
    }
    MixedModel(const MixedModel&) = delete;
    MixedModel& operator=(const MixedModel&) = delete;

    TypedBuffer& buffer(nopt_role role) { return *buffers_.at(role); }
    // The states of the rule, with whatever options.
    const std::vector<nopt_role>& states() const { return states_; }
    // The inputs of the rule.
    std::vector<nopt_role> inputs() const { return {reads_.begin() + 1, reads_.end()}; }
    // What steps only read: GRAD and the inputs.
    const std::vector<nopt_role>& reads() const { return reads_; }
    const std::vector<Mix>& mixes() const { return mixes_; }
    const std::vector<int64_t>& counts() const { return counts_; }

    // Random values that the role's type can hold.
    void fill(nopt_role role, Random& random) {
        for_all([&](size_t t, int64_t i) {
            const nopt_dtype type = buffer(role).type(t);
            buffer(role).set_bits(t, i, encoded(rounded(random.value(), type), type));
        });
        buffer(role).write();
    }

    // Random parameters, and what goes with them: masters are not what the parameters are rounded to already.
    void fill_params(Random& random) {
        for_all([&](size_t t, int64_t i) {
            const float value = random.value();
            set_theta(t, i, value);
        });
        for (const nopt_role role : {NOPT_ROLE_PARAM, NOPT_ROLE_MASTER_PARAM, NOPT_ROLE_PARAM_REMAINDER}) {
            buffer(role).write();
        }
    }

    void set_theta(size_t t, int64_t i, float value) {
        const Mix& mix = mixes_[t];
        const Ties ties = mix.extra != Extra::kNone && mix.param == NOPT_DTYPE_BFLOAT16 ? Ties::kAway : Ties::kEven;
        buffer(NOPT_ROLE_PARAM).set_bits(t, i, encoded(rounded(value, mix.param, ties), mix.param));
        if (mix.extra == Extra::kMaster) {
            buffer(NOPT_ROLE_MASTER_PARAM).set_bits(t, i, encoded(value, NOPT_DTYPE_FLOAT32));
        } else if (mix.extra == Extra::kRemainder) {
            buffer(NOPT_ROLE_PARAM_REMAINDER).set_bits(t, i, lower_bits(value));
        }
    }

    // The float that the rule sees.
    float theta(size_t t, int64_t i) {
        if (mixes_[t].extra == Extra::kMaster) {
            return decoded(buffer(NOPT_ROLE_MASTER_PARAM).bits(t, i), NOPT_DTYPE_FLOAT32);
        }
        const uint32_t param = buffer(NOPT_ROLE_PARAM).bits(t, i);
        if (mixes_[t].extra == Extra::kNone) {
            return decoded(param, mixes_[t].param);
        }
        const uint32_t lower = buffer(NOPT_ROLE_PARAM_REMAINDER).bits(t, i);
        return decoded(((param - (lower >= 0x8000 ? 1 : 0)) << 16) + lower, NOPT_DTYPE_FLOAT32);
    }

    // What the rule sees of a gradient or a state.
    float value(nopt_role role, size_t t, int64_t i) {
        TypedBuffer& from = buffer(role);
        if (from.type(t) != NOPT_DTYPE_DYNAMIC8) {
            return decoded(from.bits(t, i), from.type(t));
        }
        static const nopt::DynamicCode<false> plain;
        static const nopt::DynamicCode<true> with_sign;
        return (has_sign(role) ? with_sign.value : plain.value)[from.bits(t, i)] * from.scale(t, i);
    }

    // Whether a state has negative values.
    bool has_sign(nopt_role role) const {
        return description_.states[static_cast<size_t>(role - NOPT_ROLE_STATE)].is_signed != 0;
    }

    // Binds a role that has a buffer, or unbinds it.
    nopt_status bind(nopt_role role, bool bound) {
        const std::vector<void*> pointers = buffer(role).pointers();
        return nopt_param_set_bind(set, role, static_cast<int64_t>(pointers.size()), bound ? pointers.data() : nullptr);
    }

    // Fills gradients and inputs anew.
    void fill_reads(Random& random) {
        for (const nopt_role role : reads_) {
            fill(role, random);
        }
    }

    template <class Body>
    void for_all(Body&& body) {
        for (size_t t = 0; t < mixes_.size(); ++t) {
            for (int64_t i = 0; i < mixes_[t].count; ++i) {
                body(t, i);
            }
        }
    }

    void read() {
        for (const auto& one : buffers_) {
            one.second->read();
            EXPECT_TRUE(one.second->intact());
        }
    }

    // Everything, role after role.
    std::vector<uint8_t> all_bytes() {
        read();
        std::vector<uint8_t> all;
        for (const auto& one : buffers_) {
            all.insert(all.end(), one.second->bytes().begin(), one.second->bytes().end());
        }
        return all;
    }

    nopt_param_set* set = nullptr;
    nopt_optimizer* optimizer = nullptr;
    nopt_dimer* dimer = nullptr;

private:
    const nopt_backend backend_;
    std::vector<Mix> mixes_;
    const RuleDescription& description_;
    std::vector<int64_t> counts_;
    std::vector<nopt_role> states_;
    std::vector<nopt_role> reads_ = {NOPT_ROLE_GRAD};
    std::map<nopt_role, std::unique_ptr<TypedBuffer>> buffers_;
};

}  // namespace nopt_test
