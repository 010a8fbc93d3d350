#include "backend/param_set.h"

#include <inttypes.h>
#include <string.h>

#include <algorithm>
#include <iterator>

#include "backend/error.h"

namespace nopt {
namespace {

constexpr int64_t kElementBytes = 4;

// Gradients are only read, so they may share memory with each other.
constexpr nopt_role kReadOnly[] = {NOPT_ROLE_GRAD, NOPT_ROLE_GRAD_DISPLACED};

bool is_written(nopt_role role) {
    return std::find(std::begin(kReadOnly), std::end(kReadOnly), role) == std::end(kReadOnly);
}

// Between displacement and step: theta itself, for one.
bool is_held_by_dimer(nopt_role role) {
    return role == NOPT_ROLE_DIRECTION || role == NOPT_ROLE_PARAM_BACKUP || role == NOPT_ROLE_GRAD_BACKUP ||
           role == NOPT_ROLE_ROTATION_DIRECTION;
}

uintptr_t address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

[[noreturn]] void throw_overlap(nopt_role role_a, int64_t tensor_a, nopt_role role_b, int64_t tensor_b) {
    throw Error(NOPT_ERROR_OVERLAP,
                "pointers: %s of tensor %" PRId64 " overlaps %s of tensor %" PRId64
                "; buffers that a step writes must not share memory",
                role_name(role_a), tensor_a, role_name(role_b), tensor_b);
}

}  // namespace

const char* role_name(nopt_role role) {
    switch (role) {
        case NOPT_ROLE_PARAM:
            return "PARAM";
        case NOPT_ROLE_GRAD:
            return "GRAD";
        case NOPT_ROLE_EXP_AVG:
            return "EXP_AVG";
        case NOPT_ROLE_EXP_AVG_SQ:
            return "EXP_AVG_SQ";
        case NOPT_ROLE_MAX_EXP_AVG_SQ:
            return "MAX_EXP_AVG_SQ";
        case NOPT_ROLE_MOMENTUM_BUFFER:
            return "MOMENTUM_BUFFER";
        case NOPT_ROLE_DIRECTION:
            return "DIRECTION";
        case NOPT_ROLE_GRAD_DISPLACED:
            return "GRAD_DISPLACED";
        case NOPT_ROLE_PARAM_BACKUP:
            return "PARAM_BACKUP";
        case NOPT_ROLE_GRAD_BACKUP:
            return "GRAD_BACKUP";
        case NOPT_ROLE_ROTATION_DIRECTION:
            return "ROTATION_DIRECTION";
    }
    return "unknown";
}

ParamSet::ParamSet(Backend& backend_, nopt_backend kind_, int device_, std::vector<int64_t> counts_)
    : backend(backend_), kind(kind_), device(device_), counts(std::move(counts_)) {
    for (const int64_t count : counts) {
        total += count;
    }
    data = backend.create_data(*this);
}

// `read`: the addresses of a role that is only read, or null.
void ParamSet::check_reads(nopt_role role, void* const* read, const std::vector<WrittenRange>& written) const {
    // The gap between two written ranges that the last buffer was in: most often the next one is in it too.
    uintptr_t gap_begin = 1;
    uintptr_t gap_end = 0;
    for (size_t i = 0; read != nullptr && i < counts.size(); ++i) {
        const uintptr_t begin = address(read[i]);
        const uintptr_t end = begin + static_cast<uintptr_t>(counts[i] * kElementBytes);
        if (counts[i] == 0 || (begin >= gap_begin && end <= gap_end)) {
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
    std::vector<void*>& current = pointers[role];
    const size_t tensors = counts.size();
    if (new_pointers != nullptr && current.size() == tensors &&
        (tensors == 0 || memcmp(current.data(), new_pointers, tensors * sizeof(void*)) == 0)) {
        return;
    }
    if (displaced_by != nullptr && is_held_by_dimer(role)) {
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
            if (begin == 0) {
                throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                            "pointers[%" PRId64 "] of role %s is null, but the tensor has %" PRId64 " elements", tensor,
                            role_name(role), counts[i]);
            }
            if (begin % kElementBytes != 0) {
                throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                            "pointers[%" PRId64 "] of role %s is not aligned to its element (%" PRId64 " bytes)",
                            tensor, role_name(role), kElementBytes);
            }
            if (begin > UINTPTR_MAX - static_cast<uintptr_t>(counts[i] * kElementBytes)) {
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
    const bool written_changes = is_written(role);
    if (written_changes) {
        new_written.reserve(written_.size() + tensors);
        for (const WrittenRange& range : written_) {
            if (range.role != role) {
                new_written.push_back(range);
            }
        }
        for (size_t i = 0; new_pointers != nullptr && i < tensors; ++i) {
            if (counts[i] != 0) {
                const uintptr_t begin = address(new_pointers[i]);
                new_written.push_back(
                    {begin, begin + static_cast<uintptr_t>(counts[i] * kElementBytes), role, static_cast<int64_t>(i)});
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
    for (const nopt_role reader : kReadOnly) {
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
