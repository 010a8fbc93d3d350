// Memory of the benchmarks' tensors.
#pragma once

#include <stdint.h>

#include <map>
#include <vector>

#include "nativeopt/nativeopt.h"

// Ends the program with the library's message if a call failed.
void check(nopt_status status);

constexpr uint32_t role_bit(nopt_role role) { return 1u << role; }

// About 0.01; as a float32 it is also two bfloat16 of that. Gradients are always this, so that moments stay near it and
// nothing becomes denormal or infinite.
constexpr double kValue = 0x1.487848p-7;

struct Layout {
    nopt_dtype dtype = NOPT_DTYPE_FLOAT32;  // of parameters and gradients; states are float32
    int64_t offset = 0;                     // bytes from an alignment of 64 to where each buffer begins
};

// One role's buffers, in one allocation, as a framework's allocator lays them out. Each four bytes are `value` in
// float32.
class RoleBuffers {
public:
    RoleBuffers(const std::vector<int64_t>& counts, nopt_dtype dtype, int64_t offset, double value);
    ~RoleBuffers();
    RoleBuffers(const RoleBuffers&) = delete;
    RoleBuffers& operator=(const RoleBuffers&) = delete;

    const std::vector<void*>& pointers() const { return pointers_; }

private:
    void* memory_ = nullptr;
    std::vector<void*> pointers_;
};

// A parameter set and the buffers that are bound to it.
class Buffers {
public:
    explicit Buffers(std::vector<int64_t> counts, Layout layout = {});
    ~Buffers();
    Buffers(const Buffers&) = delete;
    Buffers& operator=(const Buffers&) = delete;

    // Allocates and binds the roles of a mask; for bfloat16 parameters their remainders, too.
    void bind(uint32_t roles);

    // Where the first tensor's buffer begins, and those of the others follow.
    float* floats(nopt_role role) const { return static_cast<float*>(roles_.at(role).pointers()[0]); }

    // What a step has to move: it reads all that is bound, and writes all but the gradients.
    int64_t step_bytes() const { return step_bytes_; }

    const std::vector<int64_t>& counts() const { return counts_; }
    int64_t elements() const { return elements_; }
    nopt_param_set* set() const { return set_; }

private:
    std::vector<int64_t> counts_;
    Layout layout_;
    int64_t elements_ = 0;
    int64_t step_bytes_ = 0;
    nopt_param_set* set_ = nullptr;
    std::map<nopt_role, RoleBuffers> roles_;
};
