// What kernels know of a dimer.
#pragma once

#include <stdint.h>

#include "cuda/cells.cuh"
#include "cuda/pieces.cuh"
#include "cuda/theta.cuh"
#include "dimer/dimer.h"

namespace nopt {

// A dimer's pass; all in device memory, passed by value. A role that is not bound is null.
struct DimerTable {
    PieceTable set;
    ThetaTable theta;
    RoleTable grad;
    RoleTable displaced;
    RoleTable direction;
    RoleTable rotation_direction;
    RoleTable grad_change;
    RoleTable param_backup;
    RoleTable grad_backup;
    DimerScope* scopes;  // null: the pass needs none
    int32_t per_tensor;
    int32_t decision;  // a DimerDecision
};

__device__ inline const DimerScope& scope_of(const DimerTable& table, const Piece& piece) {
    return table.scopes[table.per_tensor != 0 ? piece.tensor : 0];
}

}  // namespace nopt
