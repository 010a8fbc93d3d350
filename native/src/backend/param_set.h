// The tensors of a model on one device and where their buffers are.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "backend/backend.h"

namespace nopt {

const char* role_name(nopt_role role);

// A buffer that steps write, as a range of addresses.
struct WrittenRange {
    uintptr_t begin;
    uintptr_t end;
    nopt_role role;
    int64_t tensor;
};

struct ParamSet {
    // `param_dtypes`: one for each tensor, or none: all float32.
    ParamSet(Backend& backend_, nopt_backend kind_, int device_, std::vector<int64_t> counts_,
             std::vector<nopt_dtype> param_dtypes);

    // Checks and stores one role's addresses, or unbinds the role if `pointers` is null. Allocates only when a role
    // that steps write changes.
    void bind(nopt_role role, void* const* pointers);

    bool bound(nopt_role role) const { return !pointers[role].empty() || counts.empty(); }

    // Checks and stores the element types of a role that is not bound; null: the default.
    void set_dtypes(nopt_role role, const nopt_dtype* types);

    // The type of a tensor's buffer. PARAM_REMAINDER's is BFLOAT16, as it is as large.
    nopt_dtype dtype(nopt_role role, size_t tensor) const;

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

    std::vector<void*> pointers[kRoleCount];    // per role and tensor; empty where not bound
    std::vector<nopt_dtype> types[kRoleCount];  // of PARAM, GRAD and states, per tensor; empty: the default
    bool has_halves = false;                    // whether any of these is not float32
    bool has_dynamic8 = false;                  // whether a state is DYNAMIC8
    uint64_t types_version = 1;                 // counts their changes
    bool has_frozen = false;                    // whether a tensor has elements and no GRAD
    uint64_t versions[kRoleCount] = {};         // counts the changes of each role's addresses
    std::vector<double> lr_scale;               // per tensor; empty: all 1
    std::vector<double> weight_decay;           // per tensor or NOPT_INHERIT; empty: all inherit
    std::vector<int32_t> group;                 // of hyperparameters, per tensor; empty: all 0
    uint64_t tensor_options_version = 0;        // counts the changes of the three above
    uint64_t version = 0;                       // counts all changes

    std::unique_ptr<BackendData> data;
    std::atomic<bool> in_use{false};
    const void* displaced_by = nullptr;  // the dimer in an update, if any: PARAM is not theta then

private:
    void update_has_types();
    int64_t byte_count(nopt_role role, size_t tensor) const;
    void check_dtype(nopt_role role, size_t tensor) const;
    void check_reads(nopt_role role, void* const* read, const std::vector<WrittenRange>& written) const;

    std::vector<WrittenRange> written_;  // of all bound roles that steps write, sorted, disjoint
};

// What an optimizer and the dimers around it share.
struct OptimizerState {
    std::shared_ptr<ParamSet> set;
    int rule;
    int32_t group_count = 1;
    nopt_step_state states[NOPT_MAX_GROUPS];  // unless `counter` has them
    bool capturable = false;
    bool has_lr[NOPT_MAX_GROUPS] = {};  // that of NOPT_LR_ON_DEVICE
    double lr[NOPT_MAX_GROUPS] = {};    // ... where the host counts
    bool has_loss_scale = false;        // that of NOPT_LOSS_SCALE_ON_DEVICE
    double loss_scale = 1.0;            // ... where the host counts
    std::unique_ptr<StepCounter> counter;
    std::unique_ptr<GradData> grads;  // null: no options
    GradInput grad_input = kNoGradInput;
    bool grads_are_summed = false;  // for the next step

    // What was checked last and made of it, so that steps with the same hyperparameters and buffers need not.
    static constexpr uint64_t kUnchecked = UINT64_MAX;
    uint64_t checked_version = kUnchecked;  // of the set
    nopt_hyperparams checked[NOPT_MAX_GROUPS];
    StepInputs inputs;

    // What the steps of dimer passes are counted from.
    int64_t steps_taken() const { return counter == nullptr ? states[0].step : 0; }
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

// The C handles.
struct nopt_param_set {
    std::shared_ptr<nopt::ParamSet> set;
};

struct nopt_optimizer {
    std::shared_ptr<nopt::OptimizerState> state;
};
