#include "backend/param_set.h"

#include <inttypes.h>
#include <stdio.h>

#include "backend/error.h"
#include "numerics/dtypes.h"

namespace nopt {
namespace {

// "float32 (1) or bfloat16 (2)", made of the types of a set of bits; every name fits.
const char* dtype_names(uint32_t dtypes, char (&text)[128]) {
    int used = 0;
    for (int type = 1, left = static_cast<int>(dtypes); type < kDTypeSlots; ++type) {
        if ((left >> type & 1) == 0) {
            continue;
        }
        left &= ~(1 << type);
        used += snprintf(text + used, sizeof text - static_cast<size_t>(used), "%s%s (%d)",
                         used == 0   ? ""
                         : left != 0 ? ", "
                                     : " or ",
                         dtype_info(type).name, type);
    }
    return text;
}

// Roles whose element types the host chooses beside those of the parameters.
bool has_own_types(nopt_role role) { return role == NOPT_ROLE_GRAD || is_state(role) || is_input(role); }

}  // namespace

ParamSet::ParamSet(Backend& backend_, nopt_backend kind_, int device_, std::vector<int64_t> counts_,
                   std::vector<nopt_dtype> param_dtypes)
    : backend(backend_),
      kind(kind_),
      device(device_),
      counts(std::move(counts_)),
      remainders_(counts.size(), NOPT_DTYPE_BFLOAT16) {
    for (const int64_t count : counts) {
        total += count;
    }
    types[NOPT_ROLE_PARAM] = std::move(param_dtypes);
    update_types();
    data = backend.create_data(*this);
}

void ParamSet::update_types() {
    is_mixed = false;
    has_dynamic8 = false;
    for (const std::vector<nopt_dtype>& role : types) {
        for (const nopt_dtype type : role) {
            is_mixed = is_mixed || type != NOPT_DTYPE_FLOAT32;
            has_dynamic8 = has_dynamic8 || type == NOPT_DTYPE_DYNAMIC8;
        }
    }
    for (int slot = 0; slot < kRoleSlots; ++slot) {
        types_of_[slot] = is_role(slot) ? &types_of(static_cast<nopt_role>(slot)) : &all_float32_;
    }
}

const std::vector<nopt_dtype>& ParamSet::types_of(nopt_role role) const {
    switch (role_info(role).types) {
        case kParamTypes:
            return types[NOPT_ROLE_PARAM];
        case kGradTypes:
            return types[NOPT_ROLE_GRAD].empty() ? types[NOPT_ROLE_PARAM] : types[NOPT_ROLE_GRAD];
        case kStateTypes:
        case kInputTypes:
            return types[role];
        case kRemainderTypes:
            return remainders_;
        case kFloat32Types:
            break;
    }
    return all_float32_;
}

int64_t ParamSet::byte_count(nopt_role role, size_t tensor) const {
    return buffer_bytes(dtype(role, tensor), counts[tensor]);
}

bool ParamSet::has_bare_bfloat16() const {
    for (size_t i = 0; i < counts.size(); ++i) {
        if (dtype(NOPT_ROLE_PARAM, i) == NOPT_DTYPE_BFLOAT16 && pointer(NOPT_ROLE_MASTER_PARAM, i) == nullptr &&
            pointer(NOPT_ROLE_PARAM_REMAINDER, i) == nullptr) {
            return true;
        }
    }
    return false;
}

void ParamSet::set_dtypes(nopt_role role, const nopt_dtype* new_types) {
    if (!has_own_types(role)) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                    "role is %s, whose element types cannot be chosen; see nopt_param_set_set_dtypes", role_name(role));
    }
    for (const nopt_role bound_role : {role, NOPT_ROLE_GRAD_DISPLACED, NOPT_ROLE_GRAD_BACKUP}) {
        if ((bound_role == role || role == NOPT_ROLE_GRAD) && !pointers[bound_role].empty()) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "role %s is bound; set its element types before nopt_param_set_bind, or unbind it first",
                        role_name(bound_role));
        }
    }
    const uint32_t allowed = role_dtypes(role_info(role));
    for (size_t i = 0; new_types != nullptr && i < counts.size(); ++i) {
        const int type = static_cast<int>(new_types[i]);
        if (!is_dtype(type) || (allowed >> type & 1u) == 0) {
            char names[128];
            throw Error(is_dtype(type) ? NOPT_ERROR_UNSUPPORTED : NOPT_ERROR_INVALID_ARGUMENT,
                        "dtypes[%zu] is %d; role %s may be %s", i, type, role_name(role), dtype_names(allowed, names));
        }
    }
    if (new_types == nullptr) {
        types[role].clear();
    } else {
        types[role].assign(new_types, new_types + counts.size());
    }
    update_types();
    ++types_version;
    ++version;
}

UseGuard::UseGuard(ParamSet& set) : set_(set) {
    if (set.in_use.exchange(true, std::memory_order_acquire)) {
        throw Error(
            NOPT_ERROR_BUSY,
            "the parameter set is in use by another thread; a set and its optimizers serve one thread at a time");
    }
}

}  // namespace nopt
