#include "cpu/dimer.h"

#include <string.h>

#include "cpu/isa.h"
#include "cpu/sums.h"
#include "cpu/tasks.h"
#include "cpu/tile.h"

namespace nopt {
namespace {

// Displacing a set of at least this number of elements writes its backups past the caches, which hold fewer. (2 cores,
// Zen 3, displacement and restoration: 17.5 ms, and 19.2 through the caches, for 1 tensor of 16,777,216; 23 and 29 for
// ResNet-50. The parameters that an update only writes gained nothing by it.)
constexpr int64_t kStreamedElements = int64_t{1} << 22;

// Copies between two roles of the same type.
void copy_elements(const ParamSet& set, nopt_role from, nopt_role to, size_t tensor, int64_t begin, int64_t end) {
    const int64_t bytes = bytes_of(set.dtype(from, tensor));
    memcpy(static_cast<char*>(set.pointer(to, tensor)) + begin * bytes,
           static_cast<const char*>(set.pointer(from, tensor)) + begin * bytes,
           static_cast<size_t>((end - begin) * bytes));
}

// Writes displaced parameters where some elements have 16 bits.
void displace_tiles(const ParamSet& set, const CpuIsa& isa, const DimerScope& scope, double displacement, size_t tensor,
                    int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += kTileElements) {
        const int64_t count = end - at < kTileElements ? end - at : kTileElements;
        const Tile tile(set, *isa.convert, tensor, at, count);
        TileRoom theta, moved;
        DimerArgs args = dimer_args(set, NOPT_ROLE_GRAD, NOPT_ROLE_GRAD_DISPLACED, tensor, at, count);
        args.param_backup = tile.read_theta(NOPT_ROLE_PARAM_BACKUP, theta);
        args.param = tile.written(NOPT_ROLE_PARAM, moved);
        isa.dimer->displace_again(args, scope, static_cast<float>(displacement));
        tile.write_back(NOPT_ROLE_PARAM, args.param, moved);
    }
}

}  // namespace

std::unique_ptr<CpuDimer> make_dimer(const ParamSet& set, nopt_dimer_scope scope) {
    auto dimer = std::make_unique<CpuDimer>();
    dimer->per_tensor = scope == NOPT_DIMER_SCOPE_PER_TENSOR;
    dimer->chunk_sums.resize(static_cast<size_t>(cpu_data(set).chunk_count()));
    const size_t scopes = dimer->per_tensor ? set.counts.size() : 1;
    dimer->sums.resize(scopes);
    dimer->scopes.resize(scopes, initial_scope());
    return dimer;
}

void cpu_dimer_sum(const ParamSet& set, const DimerPass& pass) {
    CpuDimer& dimer = cpu_dimer(pass);
    const CpuData& data = cpu_data(set);
    sum_chunks(set, sums_for(pass.decision, pass.with_norm), pass.grad, pass.displaced, dimer.chunk_sums);
    Sums* const chunks = dimer.chunk_sums.data();
    if (!dimer.per_tensor) {
        dimer.sums[0] = tree_of_chunks(chunks, data.chunk_count());
        return;
    }
    for (size_t t = 0; t < set.counts.size(); ++t) {
        dimer.sums[t] = tree_of_chunks(chunks + data.first_chunk[t], data.first_chunk[t + 1] - data.first_chunk[t]);
    }
}

void cpu_dimer_decide(const ParamSet& set, const DimerPass& pass) {
    CpuDimer& dimer = cpu_dimer(pass);
    for (size_t i = 0; i < dimer.scopes.size(); ++i) {
        const bool empty = (dimer.per_tensor ? set.counts[i] : set.total) == 0;
        decide(pass.decision, dimer.scopes[i], dimer.sums[i], pass.input, empty);
    }
}

void cpu_dimer_randomize(const ParamSet& set, uint64_t seed, uint64_t first_element) {
    std::vector<uint64_t> first;
    for (const int64_t count : set.counts) {
        first.push_back(first_element);
        first_element += static_cast<uint64_t>(count);
    }
    const auto kernel = selected_cpu_isa().dimer->randomize;
    for_each_elements(set, [&](size_t tensor, int64_t begin, int64_t end, int64_t) {
        kernel(elements(set, NOPT_ROLE_DIRECTION, tensor, begin), end - begin, seed,
               first[tensor] + static_cast<uint64_t>(begin));
    });
}

void cpu_dimer_scale(const ParamSet& set, const DimerPass& pass) {
    const auto kernel = selected_cpu_isa().dimer->scale;
    for_each_elements(set, [&](size_t tensor, int64_t begin, int64_t end, int64_t) {
        const DimerScope& scope = scope_of(pass, tensor);
        if (scope.turns != 0) {
            kernel(elements(set, NOPT_ROLE_DIRECTION, tensor, begin), end - begin, scope.along);
        }
    });
}

void cpu_dimer_displace(const ParamSet& set, double displacement) {
    const CpuIsa& isa = selected_cpu_isa();
    const bool streams = set.total >= kStreamedElements;
    for_each_elements(set, [&](size_t tensor, int64_t begin, int64_t end, int64_t) {
        if (!set.is_mixed) {
            isa.dimer->displace(dimer_args(set, NOPT_ROLE_GRAD, NOPT_ROLE_GRAD_DISPLACED, tensor, begin, end - begin),
                                static_cast<float>(displacement), streams);
            return;
        }
        copy_elements(set, NOPT_ROLE_PARAM, NOPT_ROLE_PARAM_BACKUP, tensor, begin, end);
        if (set.bound(NOPT_ROLE_GRAD_BACKUP)) {
            copy_elements(set, NOPT_ROLE_GRAD, NOPT_ROLE_GRAD_BACKUP, tensor, begin, end);
        }
        const DimerScope along_direction = {};
        displace_tiles(set, isa, along_direction, displacement, tensor, begin, end);
    });
}

void cpu_dimer_turn(const ParamSet& set, const DimerPass& pass) {
    const CpuIsa& isa = selected_cpu_isa();
    for_each_elements(set, [&](size_t tensor, int64_t begin, int64_t end, int64_t) {
        const DimerScope& scope = scope_of(pass, tensor);
        for (int64_t at = begin; at < end; at += kTileElements) {
            const int64_t count = end - at < kTileElements ? end - at : kTileElements;
            DimerArgs args = dimer_args(set, pass.grad, pass.displaced, tensor, at, count);
            if (!set.is_mixed) {
                isa.dimer->turn(args, scope, pass.decision);
                isa.dimer->displace_again(args, scope, static_cast<float>(pass.input.displacement));
                continue;
            }
            const Tile tile(set, *isa.convert, tensor, at, count);
            TileRoom grad, displaced;
            args.grad = tile.read(pass.grad, grad);
            args.displaced = tile.read(pass.displaced, displaced);
            isa.dimer->turn(args, scope, pass.decision);
            displace_tiles(set, isa, scope, pass.input.displacement, tensor, at, at + count);
        }
    });
}

void cpu_dimer_restore(const ParamSet& set) {
    for_each_elements(set, [&](size_t tensor, int64_t begin, int64_t end, int64_t) {
        copy_elements(set, NOPT_ROLE_PARAM_BACKUP, NOPT_ROLE_PARAM, tensor, begin, end);
    });
}

void sum_scopes(const DimerPass& pass, double& sum, double& probe) {
    const CpuDimer& dimer = cpu_dimer(pass);
    const SumKind kind = sums_for(pass.decision, pass.with_norm);
    TreeSum squares;
    squares.clear();
    probe = 0.0;
    for (size_t i = 0; i < dimer.scopes.size(); ++i) {
        squares.add(grad_square(kind, dimer.sums[i], dimer.scopes[i].grad_square));
        probe += finite_probe(kind, dimer.sums[i], dimer.scopes[i].grad_square);
    }
    sum = squares.total();
}

}  // namespace nopt
