// Which buffers a set accepts: addresses are checked as they will be after the call, and stored once all of them are
// right.
#include <inttypes.h>
#include <string.h>

#include <algorithm>

#include "backend/error.h"
#include "backend/param_set.h"
#include "numerics/dtypes.h"

namespace nopt {
namespace {

uintptr_t address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

constexpr uint32_t role_bit(nopt_role role) { return 1u << role; }

[[noreturn]] void throw_overlap(nopt_role role_a, int64_t tensor_a, nopt_role role_b, int64_t tensor_b) {
    throw Error(NOPT_ERROR_OVERLAP,
                "pointers: %s of tensor %" PRId64 " overlaps %s of tensor %" PRId64
                "; buffers that a step writes must not share memory",
                role_name(role_a), tensor_a, role_name(role_b), tensor_b);
}

}  // namespace

bool ParamSet::has_these(const Binding& binding) const {
    const std::vector<void*>& current = pointers[binding.role];
    if (binding.pointers == nullptr || current.empty()) {
        return current.empty() && (binding.pointers == nullptr || counts.empty());
    }
    return memcmp(current.data(), binding.pointers, current.size() * sizeof(void*)) == 0;
}

// Throws if a tensor must not have a MASTER_PARAM or a PARAM_REMAINDER.
void ParamSet::check_beside_param(nopt_role role, size_t tensor, const Addresses& next) const {
    const nopt_dtype type = dtype(NOPT_ROLE_PARAM, tensor);
    if (type == NOPT_DTYPE_FLOAT32 || (type != NOPT_DTYPE_BFLOAT16 && role == NOPT_ROLE_PARAM_REMAINDER)) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                    "pointers[%zu] of role %s is not null, but the tensor is %s; pass null for it", tensor,
                    role_name(role), dtype_info(type).name);
    }
    const nopt_role other = role == NOPT_ROLE_MASTER_PARAM ? NOPT_ROLE_PARAM_REMAINDER : NOPT_ROLE_MASTER_PARAM;
    if (next[other] != nullptr && next[other][tensor] != nullptr) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                    "pointers[%zu] of role %s is not null, but the tensor has a %s; a tensor has one of them", tensor,
                    role_name(role), role_name(other));
    }
}

// Throws if a new address of the role is wrong by itself.
void ParamSet::check_addresses(nopt_role role, const Addresses& next) const {
    const RoleInfo& info = role_info(role);
    const std::vector<void*>& current = pointers[role];
    for (size_t i = 0; i < counts.size(); ++i) {
        void* const pointer = next[role][i];
        const bool is_known = !current.empty() && current[i] == pointer;
        if (counts[i] == 0 || is_known || (pointer == nullptr && info.may_be_null)) {
            continue;
        }
        if (pointer == nullptr) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                        "pointers[%zu] of role %s is null, but the tensor has %" PRId64 " elements", i, role_name(role),
                        counts[i]);
        }
        if (role == NOPT_ROLE_MASTER_PARAM || role == NOPT_ROLE_PARAM_REMAINDER) {
            check_beside_param(role, i, next);
        }
        const DTypeInfo& type = dtype_info(dtype(role, i));
        if (address(pointer) % static_cast<uintptr_t>(type.alignment) != 0) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "pointers[%zu] of role %s is not aligned to its %s (%d bytes)", i,
                        role_name(role), type.block_elements > 1 ? "scales" : "element", type.alignment);
        }
        if (address(pointer) > UINTPTR_MAX - static_cast<uintptr_t>(byte_count(role, i))) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                        "pointers[%zu] of role %s plus %" PRId64 " elements passes the end of the addresses", i,
                        role_name(role), counts[i]);
        }
        backend.check_pointer(device, pointer, role_name(role), static_cast<int64_t>(i));
    }
}

// Throws if a buffer of a role that is only read shares memory with one that is written.
void ParamSet::check_reads(nopt_role role, const Addresses& next, const std::vector<WrittenRange>& written) const {
    // The gap between two written ranges that the last buffer was in: most often the next one is in it too.
    uintptr_t gap_begin = 1;
    uintptr_t gap_end = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
        const uintptr_t begin = address(next[role][i]);
        const uintptr_t end = begin + static_cast<uintptr_t>(byte_count(role, i));
        if (counts[i] == 0 || begin == 0 || (begin >= gap_begin && end <= gap_end)) {
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

// The written ranges, with the new ones of the roles that change. Throws if two of them overlap.
std::vector<WrittenRange> ParamSet::written_after(uint32_t changed, const Addresses& next) const {
    std::vector<WrittenRange> written;
    written.reserve(written_.size() + counts.size());
    for (const WrittenRange& range : written_) {
        if ((changed & role_bit(range.role)) == 0) {
            written.push_back(range);
        }
    }
    for (int slot = 0; slot < kRoleSlots; ++slot) {
        const nopt_role role = static_cast<nopt_role>(slot);
        if ((changed & role_bit(role)) == 0 || next[role] == nullptr || !role_info(role).is_written) {
            continue;
        }
        for (size_t i = 0; i < counts.size(); ++i) {
            if (counts[i] != 0 && next[role][i] != nullptr) {
                const uintptr_t begin = address(next[role][i]);
                written.push_back(
                    {begin, begin + static_cast<uintptr_t>(byte_count(role, i)), role, static_cast<int64_t>(i)});
            }
        }
    }
    std::sort(written.begin(), written.end(),
              [](const WrittenRange& a, const WrittenRange& b) { return a.begin < b.begin; });
    for (size_t i = 1; i < written.size(); ++i) {
        const WrittenRange& a = written[i - 1];
        const WrittenRange& b = written[i];
        if (b.begin < a.end) {
            throw_overlap(a.role, a.tensor, b.role, b.tensor);
        }
    }
    return written;
}

void ParamSet::bind(const Binding* bindings, int count) {
    Addresses next;
    for (int slot = 0; slot < kRoleSlots; ++slot) {
        next[slot] = pointers[slot].empty() ? nullptr : pointers[slot].data();
    }
    uint32_t changed = 0;
    bool written_changes = false;
    for (int i = 0; i < count; ++i) {
        const nopt_role role = bindings[i].role;
        if (has_these(bindings[i])) {
            continue;
        }
        if (displaced_by != nullptr && role_info(role).is_held) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "role %s holds what a dimer needs to end its update; call nopt_dimer_step or "
                        "nopt_dimer_restore before it is bound anew",
                        role_name(role));
        }
        next[role] = bindings[i].pointers;
        changed |= role_bit(role);
        written_changes = written_changes || role_info(role).is_written;
    }
    if (changed == 0) {
        return;
    }
    const auto changes = [&](const Binding& binding) { return (changed & role_bit(binding.role)) != 0; };
    for (int i = 0; i < count; ++i) {
        if (changes(bindings[i]) && bindings[i].pointers != nullptr) {
            check_addresses(bindings[i].role, next);
        }
    }
    // Written ranges are kept sorted, so that new gradients (the only thing that changes from step to step) cost one
    // binary search each and no allocation.
    std::vector<WrittenRange> new_written;
    if (written_changes) {
        new_written = written_after(changed, next);
    }
    for (int slot = 0; slot < kRoleSlots; ++slot) {
        const nopt_role role = static_cast<nopt_role>(slot);
        const bool is_read = next[role] != nullptr && !role_info(role).is_written;
        if (is_read && (written_changes || (changed & role_bit(role)) != 0)) {
            check_reads(role, next, written_changes ? new_written : written_);
        }
    }
    for (int i = 0; i < count; ++i) {
        if (changes(bindings[i]) && bindings[i].pointers != nullptr) {
            pointers[bindings[i].role].reserve(counts.size());
        }
    }

    // Everything is checked and there is room for it: from here on nothing fails.
    for (int i = 0; i < count; ++i) {
        if (!changes(bindings[i])) {
            continue;
        }
        std::vector<void*>& own = pointers[bindings[i].role];
        if (bindings[i].pointers == nullptr) {
            own.clear();
        } else {
            own.assign(bindings[i].pointers, bindings[i].pointers + counts.size());
        }
        ++versions[bindings[i].role];
    }
    ++version;
    if (written_changes) {
        written_.swap(new_written);
    }
    if ((changed & role_bit(NOPT_ROLE_GRAD)) != 0) {
        const std::vector<void*>& grads = pointers[NOPT_ROLE_GRAD];
        has_frozen = false;
        for (size_t i = 0; i < grads.size(); ++i) {
            has_frozen = has_frozen || (counts[i] != 0 && grads[i] == nullptr);
        }
    }
}

}  // namespace nopt
