#include "backend/param_set.h"

#include <inttypes.h>
#include <string.h>

#include <algorithm>
#include <iterator>

#include "backend/error.h"
#include "numerics/dtypes.h"
#include "numerics/dynamic8.h"

namespace nopt {
namespace {

bool is_beside_param(nopt_role role) { return role == NOPT_ROLE_MASTER_PARAM || role == NOPT_ROLE_PARAM_REMAINDER; }

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

uintptr_t address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

[[noreturn]] void throw_overlap(nopt_role role_a, int64_t tensor_a, nopt_role role_b, int64_t tensor_b) {
    throw Error(NOPT_ERROR_OVERLAP,
                "pointers: %s of tensor %" PRId64 " overlaps %s of tensor %" PRId64
                "; buffers that a step writes must not share memory",
                role_name(role_a), tensor_a, role_name(role_b), tensor_b);
}

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

// Throws if a tensor must not have a buffer of the role.
void ParamSet::check_dtype(nopt_role role, size_t tensor) const {
    if (!is_beside_param(role)) {
        return;
    }
    const nopt_dtype type = dtype(NOPT_ROLE_PARAM, tensor);
    const nopt_role other = role == NOPT_ROLE_MASTER_PARAM ? NOPT_ROLE_PARAM_REMAINDER : NOPT_ROLE_MASTER_PARAM;
    if (type == NOPT_DTYPE_FLOAT32 || (type != NOPT_DTYPE_BFLOAT16 && role == NOPT_ROLE_PARAM_REMAINDER)) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                    "pointers[%zu] of role %s is not null, but the tensor is %s; pass null for it", tensor,
                    role_name(role), type == NOPT_DTYPE_FLOAT32 ? "float32" : "float16");
    }
    if (pointer(other, tensor) != nullptr) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                    "pointers[%zu] of role %s is not null, but the tensor has a %s; a tensor has one of them", tensor,
                    role_name(role), role_name(other));
    }
}

// `read`: the addresses of a role that is only read, or null.
void ParamSet::check_reads(nopt_role role, void* const* read, const std::vector<WrittenRange>& written) const {
    // The gap between two written ranges that the last buffer was in: most often the next one is in it too.
    uintptr_t gap_begin = 1;
    uintptr_t gap_end = 0;
    for (size_t i = 0; read != nullptr && i < counts.size(); ++i) {
        const uintptr_t begin = address(read[i]);
        const uintptr_t end = begin + static_cast<uintptr_t>(byte_count(role, i));
        if (counts[i] == 0 || read[i] == nullptr || (begin >= gap_begin && end <= gap_end)) {
            continue;
        }
        const auto after =
            std::upper_bound(written.begin(), written.end(), begin,
                             [](uintptr_t value, const WrittenRange& range) { return value < range.end; });
        gap_begin = after == written.begin() ? 0 : (after - 1)->end;
        gap_end = after == written.end() ? UINTPTR_MAX : after->begin;
        if (end > gap_end) {
            throw_overlap(role, static_cast<int64_t>(i), after->role, after->tensor);
        }
    }
}

void ParamSet::bind(nopt_role role, void* const* new_pointers) {
    const RoleInfo& info = role_info(role);
    std::vector<void*>& current = pointers[role];
    const size_t tensors = counts.size();
    if (new_pointers != nullptr && current.size() == tensors &&
        (tensors == 0 || memcmp(current.data(), new_pointers, tensors * sizeof(void*)) == 0)) {
        return;
    }
    if (displaced_by != nullptr && info.is_held) {
        throw Error(NOPT_ERROR_INVALID_STATE,
                    "role %s holds what a dimer needs to end its update; call nopt_dimer_step or nopt_dimer_restore "
                    "before it is bound anew",
                    role_name(role));
    }

    if (new_pointers != nullptr) {
        for (size_t i = 0; i < tensors; ++i) {
            const int64_t tensor = static_cast<int64_t>(i);
            const uintptr_t begin = address(new_pointers[i]);
            if (counts[i] == 0 || (!current.empty() && current[i] == new_pointers[i])) {
                continue;
            }
            if (begin == 0 && info.may_be_null) {
                continue;
            }
            if (begin == 0) {
                throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                            "pointers[%" PRId64 "] of role %s is null, but the tensor has %" PRId64 " elements", tensor,
                            role_name(role), counts[i]);
            }
            check_dtype(role, i);
            const DTypeInfo& type = dtype_info(dtype(role, i));
            if (begin % static_cast<uintptr_t>(type.alignment) != 0) {
                throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                            "pointers[%" PRId64 "] of role %s is not aligned to its %s (%d bytes)", tensor,
                            role_name(role), type.block_elements > 1 ? "scales" : "element", type.alignment);
            }
            if (begin > UINTPTR_MAX - static_cast<uintptr_t>(byte_count(role, i))) {
                throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                            "pointers[%" PRId64 "] of role %s plus %" PRId64
                            " elements passes the end of the addresses",
                            tensor, role_name(role), counts[i]);
            }
            backend.check_pointer(device, new_pointers[i], role_name(role), tensor);
        }
    }

    // Written ranges are kept sorted, so that new gradients (the only thing that changes from step to step) cost one
    // binary search each and no allocation.
    std::vector<WrittenRange> new_written;
    const bool written_changes = info.is_written;
    if (written_changes) {
        new_written.reserve(written_.size() + tensors);
        for (const WrittenRange& range : written_) {
            if (range.role != role) {
                new_written.push_back(range);
            }
        }
        for (size_t i = 0; new_pointers != nullptr && i < tensors; ++i) {
            if (counts[i] != 0 && new_pointers[i] != nullptr) {
                const uintptr_t begin = address(new_pointers[i]);
                new_written.push_back(
                    {begin, begin + static_cast<uintptr_t>(byte_count(role, i)), role, static_cast<int64_t>(i)});
            }
        }
        std::sort(new_written.begin(), new_written.end(),
                  [](const WrittenRange& a, const WrittenRange& b) { return a.begin < b.begin; });
        for (size_t i = 1; i < new_written.size(); ++i) {
            const WrittenRange& a = new_written[i - 1];
            const WrittenRange& b = new_written[i];
            if (b.begin < a.end) {
                throw_overlap(a.role, a.tensor, b.role, b.tensor);
            }
        }
    }

    const std::vector<WrittenRange>& written = written_changes ? new_written : written_;
    for (int slot = 0; slot < kRoleSlots; ++slot) {
        const nopt_role reader = static_cast<nopt_role>(slot);
        if (!is_role(slot) || role_info(reader).is_written) {
            continue;
        }
        if (reader == role) {
            check_reads(reader, new_pointers, written);
        } else if (written_changes && !pointers[reader].empty()) {
            check_reads(reader, pointers[reader].data(), written);
        }
    }

    // Everything is checked: from here on nothing fails but an allocation, before anything is stored.
    if (new_pointers == nullptr) {
        current.clear();
    } else if (current.size() == tensors) {
        std::copy(new_pointers, new_pointers + tensors, current.begin());
    } else {
        current.assign(new_pointers, new_pointers + tensors);
    }
    if (written_changes) {
        written_.swap(new_written);
    }
    if (role == NOPT_ROLE_GRAD) {
        has_frozen = false;
        for (size_t i = 0; i < current.size(); ++i) {
            has_frozen = has_frozen || (counts[i] != 0 && current[i] == nullptr);
        }
    }
    ++versions[role];
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
