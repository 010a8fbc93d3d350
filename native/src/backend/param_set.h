// The tensors of a model on one device and where their buffers are.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/roles.h"

namespace nopt {

// A buffer that steps write, as a range of addresses.
struct WrittenRange {
    uintptr_t begin;
    uintptr_t end;
    nopt_role role;
    int64_t tensor;
};

// One role's new addresses, one for each tensor; null unbinds the role.
struct Binding {
    nopt_role role;
    void* const* pointers;
};

struct ParamSet {
    // `param_dtypes`: one for each tensor, or none: all float32.
    ParamSet(Backend& backend_, nopt_backend kind_, int device_, std::vector<int64_t> counts_,
             std::vector<nopt_dtype> param_dtypes);

    // Checks and stores the addresses of distinct roles, either all of them or none. Allocates only when a role is
    // bound that was not, or one that steps write changes.
    void bind(const Binding* bindings, int count);

    bool bound(nopt_role role) const { return !pointers[role].empty() || counts.empty(); }

    // Checks and stores the element types of a role that is not bound; null: the default.
    void set_dtypes(nopt_role role, const nopt_dtype* types);

    // The type of a tensor's buffer. That of PARAM_REMAINDER is BFLOAT16, as it is as large.
    nopt_dtype dtype(nopt_role role, size_t tensor) const {
        const std::vector<nopt_dtype>& own = *types_of_[role];
        return own.empty() ? NOPT_DTYPE_FLOAT32 : own[tensor];
    }

    // Those of all tensors; null: all float32.
    const nopt_dtype* dtypes(nopt_role role) const {
        return types_of_[role]->empty() ? nullptr : types_of_[role]->data();
    }

    // The tensor's buffer; null if there is none.
    void* pointer(nopt_role role, size_t tensor) const {
        return pointers[role].empty() ? nullptr : pointers[role][tensor];
    }

    // Whether a tensor is bfloat16 and has neither MASTER_PARAM nor PARAM_REMAINDER.
    bool has_bare_bfloat16() const;

    Backend& backend;
    const nopt_backend kind;
    const int device;
    const std::vector<int64_t> counts;
    int64_t total = 0;  // elements of all tensors

    std::vector<void*> pointers[kRoleSlots];    // per role and tensor; empty where not bound
    std::vector<nopt_dtype> types[kRoleSlots];  // of PARAM, GRAD, states and inputs, per tensor; empty: the default
    bool is_mixed = false;                      // whether any of these types is not float32
    bool has_dynamic8 = false;                  // whether a state is DYNAMIC8
    uint64_t types_version = 1;                 // counts the changes of types
    bool has_frozen = false;                    // whether a tensor has elements and no GRAD
    uint64_t versions[kRoleSlots] = {};         // counts the changes of each role's addresses
    std::vector<double> lr_scale;               // per tensor; empty: all 1
    double largest_lr_scale = 1.0;
    std::vector<double> weight_decay;     // per tensor or NOPT_INHERIT; empty: all inherit
    std::vector<int32_t> group;           // of hyperparameters, per tensor; empty: all 0
    uint64_t tensor_options_version = 0;  // counts the changes of lr_scale, weight_decay and group
    uint64_t version = 0;                 // counts all changes

    std::unique_ptr<BackendData> data;
    std::atomic<bool> in_use{false};
    const void* displaced_by = nullptr;  // the dimer in an update, if any: PARAM is not theta then

private:
    // Where the buffers of every role are after a call; null where a role is not bound.
    using Addresses = void* const* [kRoleSlots];

    void update_types();
    const std::vector<nopt_dtype>& types_of(nopt_role role) const;
    int64_t byte_count(nopt_role role, size_t tensor) const;
    bool has_these(const Binding& binding) const;
    void check_beside_param(nopt_role role, size_t tensor, const Addresses& next) const;
    void check_addresses(nopt_role role, const Addresses& next) const;
    void check_reads(nopt_role role, const Addresses& next, const std::vector<WrittenRange>& written) const;
    std::vector<WrittenRange> written_after(uint32_t changed, const Addresses& next) const;

    const std::vector<nopt_dtype>* types_of_[kRoleSlots] = {};  // where a role has its types from
    const std::vector<nopt_dtype> all_float32_;                 // empty
    const std::vector<nopt_dtype> remainders_;                  // all 16 bits
    std::vector<WrittenRange> written_;                         // of all bound roles that steps write, sorted, disjoint
};

// Marks a set as in use for the length of a call, so that use from two threads at once is an error and no race.
class UseGuard {
public:
    explicit UseGuard(ParamSet& set);
    ~UseGuard() { set_.in_use.store(false, std::memory_order_release); }
    UseGuard(const UseGuard&) = delete;
    UseGuard& operator=(const UseGuard&) = delete;

private:
    ParamSet& set_;
};

}  // namespace nopt

// The C handle.
struct nopt_param_set {
    std::shared_ptr<nopt::ParamSet> set;
};
