// What the calls on a dimer share: the handle, and the checks of every call.
#pragma once

#include "api/api.h"
#include "api/step.h"
#include "dimer/phases.h"

struct nopt_dimer {
    std::shared_ptr<nopt::OptimizerState> optimizer;
    std::unique_ptr<nopt::DimerData> data;
    int64_t scopes;
    nopt::DimerPhase phase;
    // Of the update that is under way: whether it backed up g, the options that it began with, and how its rotations
    // had MAXIMIZE (-1: there was none yet) and the options of the gradients.
    bool grad_is_backed_up;
    nopt_dimer_options options;
    int32_t maximize;
    nopt::GradInput grads;
    int32_t summed_pass;  // the nopt_dimer_pass whose sums are there, or -1
    bool sums_have_norm;  // whether g.g is among them
};

namespace nopt {

// A call on a dimer, checked as far as all calls are.
class DimerCallGuard {
public:
    DimerCallGuard(const nopt_dimer* dimer, void* stream)
        : dimer_(dimer), stream_(stream), set_(checked(dimer)), guard_(set_) {
        check_stream(set_.kind, stream);
        if (set_.displaced_by != nullptr && set_.displaced_by != dimer) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "another dimer has displaced the parameters; call its nopt_dimer_step or nopt_dimer_restore");
        }
    }

    ParamSet& set() { return set_; }

    // When all arguments are checked, before the first pass.
    void begin() { begin_passes(*dimer_->optimizer, stream_); }

private:
    static ParamSet& checked(const nopt_dimer* dimer) {
        require_not_null(dimer, "dimer");
        return *dimer->optimizer->set;
    }

    const nopt_dimer* const dimer_;
    void* const stream_;
    ParamSet& set_;
    const UseGuard guard_;
};

// The options of a call, checked.
nopt_dimer_options read_dimer_options(const nopt_dimer_options* argument);

// Throws unless the role is bound; `why` begins the text.
void require_role(const ParamSet& set, nopt_role role, const char* why);
void require_all_gradients(const ParamSet& set);

// What a call does where the update stands. Throws if it does not fit.
DimerTransition transition_of(const nopt_dimer& dimer, DimerCall call, int32_t angle, const char* function);

// For calls that need theta where it is, as a displacement does.
void require_phase_theta(const nopt_dimer& dimer, const char* function);

// A pass of the next rotate or step. `options` may be null where only the kind of sums matters.
DimerPass make_pass(const nopt_dimer& dimer, DimerDecision decision, const nopt_dimer_options* options, uint32_t flags,
                    const GradInput& grads, int64_t step);

// The sums of a pass, or what is left to do of them where nopt_dimer_sum has come before.
void sum_and_decide(nopt_dimer& dimer, ParamSet& set, const DimerPass& pass, nopt_dimer_pass kind, bool decides,
                    void* stream);

}  // namespace nopt
