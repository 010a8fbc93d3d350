#include "buffers.h"

#include <stdio.h>
#include <stdlib.h>

#include <utility>

namespace {

int64_t bytes_of(nopt_dtype dtype, int64_t count) {
    int64_t bytes = 0;
    check(nopt_dtype_get_bytes(dtype, count, &bytes));
    return bytes;
}

}  // namespace

void check(nopt_status status) {
    if (status != NOPT_OK) {
        fprintf(stderr, "%s\n", nopt_last_error_message());
        exit(1);
    }
}

RoleBuffers::RoleBuffers(const std::vector<int64_t>& counts, nopt_dtype dtype, int64_t offset, double value) {
    std::vector<int64_t> begins;
    int64_t end = offset;
    for (const int64_t count : counts) {
        begins.push_back(end);
        end += (bytes_of(dtype, count) + 63) / 64 * 64;
    }
    check(nopt_memory_alloc(NOPT_BACKEND_CPU, 0, end, &memory_));
    for (const int64_t begin : begins) {
        pointers_.push_back(static_cast<char*>(memory_) + begin);
    }
    check(nopt_memory_fill(NOPT_BACKEND_CPU, 0, pointers_[0], (end - offset) / 4, NOPT_DTYPE_FLOAT32, value, nullptr));
}

RoleBuffers::~RoleBuffers() { check(nopt_memory_free(NOPT_BACKEND_CPU, 0, memory_)); }

Buffers::Buffers(std::vector<int64_t> counts, Layout layout) : counts_(std::move(counts)), layout_(layout) {
    for (const int64_t count : counts_) {
        elements_ += count;
    }
    const std::vector<nopt_dtype> dtypes(counts_.size(), layout_.dtype);
    check(nopt_param_set_create(NOPT_BACKEND_CPU, 0, static_cast<int64_t>(counts_.size()), counts_.data(),
                                dtypes.data(), &set_));
}

Buffers::~Buffers() { check(nopt_param_set_destroy(set_)); }

void Buffers::bind(uint32_t roles) {
    if (layout_.dtype == NOPT_DTYPE_BFLOAT16) {
        roles |= role_bit(NOPT_ROLE_PARAM_REMAINDER);
    }
    for (int i = 0; i < 32; ++i) {
        const nopt_role role = static_cast<nopt_role>(i);
        if ((roles & role_bit(role)) == 0) {
            continue;
        }
        const bool is_remainder = role == NOPT_ROLE_PARAM_REMAINDER;
        const bool is_float = !is_remainder && role != NOPT_ROLE_PARAM && role != NOPT_ROLE_GRAD;
        const nopt_dtype dtype = is_float ? NOPT_DTYPE_FLOAT32 : layout_.dtype;
        const double value = is_remainder ? 0.0 : kValue;
        const RoleBuffers& buffers = roles_.try_emplace(role, counts_, dtype, layout_.offset, value).first->second;
        check(nopt_param_set_bind(set_, role, static_cast<int64_t>(counts_.size()), buffers.pointers().data()));
        step_bytes_ += bytes_of(dtype, elements_) * (role == NOPT_ROLE_GRAD ? 1 : 2);
    }
}
