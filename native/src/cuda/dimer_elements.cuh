// The dimer's passes over the elements.
#pragma once

#include <stdint.h>

#include "cuda/cells.cuh"
#include "cuda/decide.cuh"
#include "cuda/dimer_table.cuh"
#include "cuda/pieces.cuh"
#include "cuda/set_tables.cuh"
#include "cuda/theta.cuh"
#include "dimer/dimer.h"
#include "numerics/philox.h"

namespace nopt {

__global__ void __launch_bounds__(kPassThreads)
    randomize_kernel(const __grid_constant__ DimerTable table, const int64_t* first_element, uint64_t seed,
                     uint64_t offset) {
    for_each_piece(table.set, [&](const Piece& piece) {
        float* const direction = Cells<false>(table.direction, nullptr, NOPT_ROLE_DIRECTION, piece).at;
        const uint64_t first = offset + static_cast<uint64_t>(first_element[piece.tensor] + piece.begin);
        for (int i = lane_of_warp(); i < piece.count; i += kWarpThreads) {
            direction[i] = random_component(seed, first + static_cast<uint64_t>(i));
        }
    });
}

// Runs Elements over every piece. It is made from (table, piece, value), says whether its buffers are aligned alike,
// and does one or some elements.
template <class Elements>
__device__ inline void run_elements(const DimerTable& table, double value) {
    for_each_piece(table.set, [&](const Piece& piece) {
        const Elements elements(table, piece, value);
        const int off = elements.offset();
        for_each_element(Packs(piece.count, off, elements.aligned_like(off)), elements);
    });
}

// `runs`: 0 in device memory makes the kernel do nothing; null: it does something in any case.
template <class Elements>
__global__ void __launch_bounds__(kPassThreads)
    dimer_kernel(const __grid_constant__ DimerTable table, double value, const int32_t* runs) {
    if (runs == nullptr || *runs != 0) {
        run_elements<Elements>(table, value);
    }
}

struct ScaleElements {
    Cells<false> direction;
    double factor;
    bool scales;

    __device__ ScaleElements(const DimerTable& table, const Piece& piece, double)
        : direction(table.direction, nullptr, NOPT_ROLE_DIRECTION, piece),
          factor(scope_of(table, piece).along),
          scales(scope_of(table, piece).turns != 0) {}
    __device__ int offset() const { return direction.misalignment(); }
    __device__ bool aligned_like(int) const { return true; }

    template <class Values>
    __device__ void operator()(int i) const {
        if (!scales) {
            return;
        }
        Values n = direction.load<Values>(i);
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            n.v[k] = scaled(n.v[k], factor);
        }
        direction.store(i, n);
    }
};

// theta + displacement N, to PARAM.
template <class Values>
__device__ inline Values displaced_values(Values theta, float displacement, const Values& n) {
#pragma unroll
    for (int k = 0; k < Values::kCount; ++k) {
        theta.v[k] = displaced_param(theta.v[k], displacement, n.v[k]);
    }
    return theta;
}

template <bool kMixed>
struct DisplaceElements {
    Theta<kMixed> theta;
    Cells<kMixed> param_backup;
    Cells<false> direction;
    Cells<kMixed> grad;
    Cells<kMixed> grad_backup;  // null: g stays where it is
    float displacement;

    __device__ DisplaceElements(const DimerTable& table, const Piece& piece, double value)
        : theta(table.theta, table.theta.param, piece),
          param_backup(table.param_backup, table.theta.types, NOPT_ROLE_PARAM, piece),
          direction(table.direction, nullptr, NOPT_ROLE_DIRECTION, piece),
          displacement(static_cast<float>(value)) {
        if (table.grad_backup != nullptr) {
            grad = Cells<kMixed>(table.grad, table.theta.types, NOPT_ROLE_GRAD, piece);
            grad_backup = Cells<kMixed>(table.grad_backup, table.theta.types, NOPT_ROLE_GRAD, piece);
        }
    }
    __device__ int offset() const { return theta.offset(); }
    __device__ bool aligned_like(int off) const {
        return theta.aligned_like(off) && param_backup.misalignment() == off && direction.misalignment() == off &&
               (grad_backup.at == nullptr || (grad.misalignment() == off && grad_backup.misalignment() == off));
    }

    template <class Values>
    __device__ void operator()(int i) const {
        const auto fetched = theta.template fetch<Values>(i);
        const Values n = direction.load<Values>(i);
        const Values p = theta.values(fetched);
        param_backup.template copy<Values>(i, theta.param);
        theta.param.store(i, displaced_values(p, displacement, n));
        if (grad_backup.at != nullptr) {
            grad_backup.template copy<Values>(i, grad);
        }
    }
};

// Turns N or T, or both, and displaces theta anew along one of them.
template <bool kMixed>
struct TurnElements {
    DimerScope scope;
    int decision;
    bool finds_plane;
    bool turns;
    float displacement;
    Theta<kMixed> theta;
    Cells<kMixed> grad;
    Cells<kMixed> displaced;
    Cells<false> direction;
    Cells<false> rotation_direction;  // null for a fixed rate
    Cells<false> grad_change;         // null unless directions are conjugate

    __device__ TurnElements(const DimerTable& table, const Piece& piece, double value)
        : scope(scope_of(table, piece)),
          decision(table.decision),
          displacement(static_cast<float>(value)),
          theta(table.theta, table.param_backup, piece),
          grad(table.grad, table.theta.types, NOPT_ROLE_GRAD, piece),
          displaced(table.displaced, table.theta.types, NOPT_ROLE_GRAD, piece),
          direction(table.direction, nullptr, NOPT_ROLE_DIRECTION, piece) {
        finds_plane = decision == kDecidePlane || decision == kDecideConjugatePlane;
        turns = finds_plane ? scope.displaces != 0 : scope.turns != 0;
        if (decision != kDecideRotate) {
            rotation_direction = Cells<false>(table.rotation_direction, nullptr, NOPT_ROLE_ROTATION_DIRECTION, piece);
        }
        if (is_conjugate(static_cast<DimerDecision>(decision))) {
            grad_change = Cells<false>(table.grad_change, nullptr, NOPT_ROLE_GRAD_CHANGE, piece);
        }
    }
    __device__ int offset() const { return theta.offset(); }
    __device__ bool aligned_like(int off) const {
        return theta.aligned_like(off) && grad.misalignment() == off && displaced.misalignment() == off &&
               direction.misalignment() == off &&
               (rotation_direction.at == nullptr || rotation_direction.misalignment() == off) &&
               (grad_change.at == nullptr || grad_change.misalignment() == off);
    }

    template <class Values>
    __device__ void operator()(int i) const {
        const auto fetched = theta.template fetch<Values>(i);
        Values n = direction.load<Values>(i);
        Values along = n;
        if (turns) {
            const bool keeps_change = grad_change.at != nullptr;
            Values t = {};
            Values a = {};
            if (finds_plane ? keeps_change && scope.t_turn != 0.0 : decision != kDecideRotate) {
                t = rotation_direction.load<Values>(i);
            }
            if (keeps_change && !finds_plane) {
                a = grad_change.load<Values>(i);
            }
            const auto fetched_grad = grad.template fetch<Values>(i);
            const auto fetched_displaced = displaced.template fetch<Values>(i);
            const Values g = grad.values(fetched_grad);
            const Values g2 = displaced.values(fetched_displaced);
#pragma unroll
            for (int k = 0; k < Values::kCount; ++k) {
                const float d = gradient_difference(g2.v[k], g.v[k]);
                const float before = n.v[k];
                if (decision == kDecideRotate) {
                    n.v[k] = turned(scope.along, before, scope.across, d);
                    along.v[k] = n.v[k];
                } else if (finds_plane) {
                    along.v[k] = first_plane(scope, before, t.v[k], d);
                    a.v[k] = d;
                } else {
                    n.v[k] = turned(scope.along, before, scope.across, t.v[k]);
                    along.v[k] = keeps_change ? next_plane(scope, before, t.v[k], a.v[k], d)
                                              : next_plane(scope, before, t.v[k], d);
                    a.v[k] = turned(scope.change_along, a.v[k], scope.change_across, d);
                }
            }
            if (keeps_change) {
                grad_change.store(i, a);
            }
            if (!finds_plane) {
                direction.store(i, n);
            }
            if (decision != kDecideRotate) {
                rotation_direction.store(i, along);
            }
        }
        theta.param.store(i, displaced_values(theta.values(fetched), displacement, along));
    }
};

template <bool kMixed>
struct RestoreElements {
    Cells<kMixed> param;
    Cells<kMixed> param_backup;

    __device__ RestoreElements(const DimerTable& table, const Piece& piece, double)
        : param(table.theta.param, table.theta.types, NOPT_ROLE_PARAM, piece),
          param_backup(table.param_backup, table.theta.types, NOPT_ROLE_PARAM, piece) {}
    __device__ int offset() const { return param.misalignment(); }
    __device__ bool aligned_like(int off) const { return param_backup.misalignment() == off; }

    template <class Values>
    __device__ void operator()(int i) const {
        param.template copy<Values>(i, param_backup);
    }
};

// `pass` may be null for what needs no scopes.
inline DimerTable dimer_table(const ParamSet& set, const DimerPass* pass) {
    const CudaSet& data = set_data(set);
    DimerTable table = {};
    table.set = data.piece_table();
    table.theta = data.theta_table(set);
    table.grad = data.table(set, pass != nullptr ? pass->grad : NOPT_ROLE_GRAD);
    table.displaced = data.table(set, pass != nullptr ? pass->displaced : NOPT_ROLE_GRAD_DISPLACED);
    table.direction = data.table(set, NOPT_ROLE_DIRECTION);
    table.rotation_direction = data.table(set, NOPT_ROLE_ROTATION_DIRECTION);
    table.grad_change = data.table(set, NOPT_ROLE_GRAD_CHANGE);
    table.param_backup = data.table(set, NOPT_ROLE_PARAM_BACKUP);
    table.grad_backup = data.table(set, NOPT_ROLE_GRAD_BACKUP);
    if (pass != nullptr) {
        const CudaDimer& dimer = dimer_of(*pass);
        table.scopes = dimer.scopes.get();
        table.per_tensor = dimer.sums.per_tensor ? 1 : 0;
        table.decision = pass->decision;
    }
    return table;
}

// Runs Elements over all pieces, or none if `runs` says so. The device is current.
template <class Elements>
void run_dimer_pass(const char* name, const ParamSet& set, const DimerPass* pass, double value, cudaStream_t stream,
                    const int32_t* runs = nullptr) {
    CudaSet& data = set_data(set);
    if (data.has_pieces()) {
        data.launch_pieces(name, &dimer_kernel<Elements>, stream, dimer_table(set, pass), value, runs);
    }
}

// Runs Elements<true> where some element is not float32.
template <template <bool> class Elements>
void run_dimer_pass(const char* name, const ParamSet& set, const DimerPass* pass, double value, cudaStream_t stream,
                    const int32_t* runs = nullptr) {
    if (set.is_mixed) {
        run_dimer_pass<Elements<true>>(name, set, pass, value, stream, runs);
    } else {
        run_dimer_pass<Elements<false>>(name, set, pass, value, stream, runs);
    }
}

}  // namespace nopt
