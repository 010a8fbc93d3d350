// The sums of the CPU backend: of chunks on all threads, then of scopes over their chunks.
#pragma once

#include <vector>

#include "backend/param_set.h"
#include "numerics/sum_kinds.h"

namespace nopt {

// Adds up the chunks of all tensors. `grad` and `displaced` say where the gradients are, as far as the kind reads them;
// a tensor without a gradient adds nothing to the norm.
void sum_chunks(const ParamSet& set, SumKind kind, nopt_role grad, nopt_role displaced, std::vector<Sums>& chunk_sums);

// The binary tree of neighbours over chunks, in place.
Sums tree_of_chunks(Sums* sums, int64_t count);

}  // namespace nopt
