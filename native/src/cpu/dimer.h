// What the CPU backend keeps for a dimer, and its passes over the elements.
#pragma once

#include <vector>

#include "backend/backend.h"

namespace nopt {

struct CpuDimer : DimerData {
    bool per_tensor = false;
    std::vector<Sums> chunk_sums;
    std::vector<Sums> sums;  // of each scope
    std::vector<DimerScope> scopes;
};

inline CpuDimer& cpu_dimer(const DimerPass& pass) { return static_cast<CpuDimer&>(pass.data); }

inline const DimerScope& scope_of(const DimerPass& pass, size_t tensor) {
    const CpuDimer& dimer = cpu_dimer(pass);
    return dimer.scopes[dimer.per_tensor ? tensor : 0];
}

std::unique_ptr<CpuDimer> make_dimer(const ParamSet& set, nopt_dimer_scope scope);

// The functions of Backend with these names; see there.
void cpu_dimer_sum(const ParamSet& set, const DimerPass& pass);
void cpu_dimer_decide(const ParamSet& set, const DimerPass& pass);
void cpu_dimer_randomize(const ParamSet& set, uint64_t seed, uint64_t first_element);
void cpu_dimer_scale(const ParamSet& set, const DimerPass& pass);
void cpu_dimer_displace(const ParamSet& set, double displacement);
void cpu_dimer_turn(const ParamSet& set, const DimerPass& pass);
void cpu_dimer_restore(const ParamSet& set);

// The sum of the squares of all gradients over the scopes, and the probe of decide_gradients().
void sum_scopes(const DimerPass& pass, double& sum, double& probe);

}  // namespace nopt
