#include "cpu/sums.h"

#include "cpu/isa.h"
#include "cpu/tasks.h"
#include "cpu/tile.h"

namespace nopt {
namespace {

// The sums of a chunk whose gradients have 16 bits.
void sum_halves(const ParamSet& set, SumKind kind, nopt_role grad_role, nopt_role displaced_role, const CpuIsa& isa,
                size_t tensor, int64_t begin, DimerArgs args, Sums& sums) {
    float grad[kChunkElements];
    float displaced[kChunkElements];
    const auto to_float = isa.convert->to_float[set.dtype(grad_role, tensor)];
    to_float(static_cast<const uint16_t*>(set.pointer(grad_role, tensor)) + begin, args.count, grad);
    args.grad = grad;
    if (sums_read_displaced(kind)) {
        to_float(static_cast<const uint16_t*>(set.pointer(displaced_role, tensor)) + begin, args.count, displaced);
        args.displaced = displaced;
    }
    isa.dimer->sums[kind](args, sums);
}

}  // namespace

void sum_chunks(const ParamSet& set, SumKind kind, nopt_role grad, nopt_role displaced, std::vector<Sums>& chunk_sums) {
    const CpuIsa& isa = selected_cpu_isa();
    for_each_elements(set, [&](size_t tensor, int64_t begin, int64_t end, int64_t chunk) {
        for (int64_t at = begin; at < end; at += kChunkElements, ++chunk) {
            Sums& sums = chunk_sums[static_cast<size_t>(chunk)];
            if (kind == kSumsGradNorm && set.pointer(grad, tensor) == nullptr) {
                sums = {};  // frozen
                continue;
            }
            const int64_t count = end - at < kChunkElements ? end - at : kChunkElements;
            const DimerArgs args = dimer_args(set, grad, displaced, tensor, at, count);
            if (!sums_read_grad(kind) || set.dtype(grad, tensor) == NOPT_DTYPE_FLOAT32) {
                isa.dimer->sums[kind](args, sums);
            } else {
                sum_halves(set, kind, grad, displaced, isa, tensor, at, args, sums);
            }
        }
    });
}

Sums tree_of_chunks(Sums* sums, int64_t count) {
    for (int64_t width = 1; width < count; width *= 2) {
        for (int64_t i = 0; i + width < count; i += 2 * width) {
            for (int k = 0; k < kMaxSums; ++k) {
                sums[i].value[k] += sums[i + width].value[k];
            }
        }
    }
    return count > 0 ? sums[0] : Sums{};
}

}  // namespace nopt
