// The dimer's CPU kernels. This file is compiled once for each instruction set, NOPT_CPU_ISA being its identifier; all
// have the same bits.
#include "cpu/dimer_kernels.h"

#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "cpu/isa_macros.h"
#include "numerics/philox.h"

namespace nopt {
namespace {

// Some lanes at once: a register of doubles. What compilers do not find by themselves is spelled out for each kind of
// register: `widen`; `add_product`, exact before the addition, since the factors were floats, so that fused or not, all
// give the same bits; `load_first`, of as many floats as there are, and zeros; `tree_of_pair`, the binary tree of
// neighbours over the lanes of two registers.
#if defined(__AVX512F__) && defined(__AVX512VL__)
constexpr int kWidth = 8;
typedef __m256 Floats;
typedef __m512d Doubles;
// (Unmasked forms make GCC 12 warn of its own header.)
NOPT_HD Doubles widen(Floats floats) { return _mm512_maskz_cvtps_pd(0xff, floats); }
NOPT_HD void add_product(Doubles& sum, Doubles a, Doubles b) { sum = _mm512_fmadd_pd(a, b, sum); }
NOPT_HD Floats load_first(const float* values, int count) {
    return _mm256_maskz_loadu_ps(static_cast<__mmask8>((1 << count) - 1), values);
}
NOPT_HD double tree_of_lanes(Doubles lanes) {
    const __m256d pairs =
        _mm256_hadd_pd(_mm512_maskz_extractf64x4_pd(0xff, lanes, 0), _mm512_maskz_extractf64x4_pd(0xff, lanes, 1));
    const __m128d fours = _mm_add_pd(_mm256_castpd256_pd128(pairs), _mm256_extractf128_pd(pairs, 1));
    return _mm_cvtsd_f64(_mm_add_sd(fours, _mm_unpackhi_pd(fours, fours)));
}
NOPT_HD double tree_of_pair(Doubles low, Doubles high) { return tree_of_lanes(low) + tree_of_lanes(high); }
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int kWidth = 4;
typedef __m128 Floats;
typedef __m256d Doubles;
NOPT_HD Doubles widen(Floats floats) { return _mm256_cvtps_pd(floats); }
NOPT_HD void add_product(Doubles& sum, Doubles a, Doubles b) { sum = _mm256_fmadd_pd(a, b, sum); }
NOPT_HD Floats load_first(const float* values, int count) {
    return _mm_maskload_ps(values, _mm_cmpgt_epi32(_mm_set1_epi32(count), _mm_setr_epi32(0, 1, 2, 3)));
}
NOPT_HD double tree_of_pair(Doubles low, Doubles high) {
    const __m256d pairs = _mm256_hadd_pd(low, high);  // of low, high, low, high
    const __m128d fours = _mm_add_pd(_mm256_castpd256_pd128(pairs), _mm256_extractf128_pd(pairs, 1));
    return _mm_cvtsd_f64(_mm_add_sd(fours, _mm_unpackhi_pd(fours, fours)));
}
#elif defined(__GNUC__)
constexpr int kWidth = 2;
typedef float Floats __attribute__((vector_size(kWidth * sizeof(float))));
typedef double Doubles __attribute__((vector_size(kWidth * sizeof(double))));
NOPT_HD Doubles widen(Floats floats) { return __builtin_convertvector(floats, Doubles); }
NOPT_HD void add_product(Doubles& sum, Doubles a, Doubles b) { sum += a * b; }
NOPT_HD Floats load_first(const float* values, int count) {
    return Floats{count > 0 ? values[0] : 0.0f, count > 1 ? values[1] : 0.0f};
}
NOPT_HD double tree_of_pair(Doubles low, Doubles high) { return (low[0] + low[1]) + (high[0] + high[1]); }
#else
constexpr int kWidth = 1;
typedef float Floats;
typedef double Doubles;
NOPT_HD Doubles widen(Floats floats) { return static_cast<double>(floats); }
NOPT_HD void add_product(Doubles& sum, Doubles a, Doubles b) { sum += a * b; }
NOPT_HD Floats load_first(const float* values, int count) { return count > 0 ? *values : 0.0f; }
NOPT_HD double tree_of_pair(Doubles low, Doubles high) { return low + high; }
#endif

// Some elements of the buffers that a kind of sum reads; the rest is 0 and costs nothing.
struct Values {
    Doubles g, d, n, t, a;
};

// What each kind of sum is made of.
struct Norm {
    static constexpr int kSums = 1;
    static constexpr bool kGrad = false, kDisplaced = false, kDirection = true, kRotation = false, kChange = false;
    NOPT_HD static void add(Doubles (&sum)[kSums], const Values& v) { add_product(sum[0], v.n, v.n); }
};

struct GradNorm {
    static constexpr int kSums = 1;
    static constexpr bool kGrad = true, kDisplaced = false, kDirection = false, kRotation = false, kChange = false;
    NOPT_HD static void add(Doubles (&sum)[kSums], const Values& v) { add_product(sum[0], v.g, v.g); }
};

template <bool kNorm>
struct Project {
    static constexpr int kSums = kNorm ? 2 : 1;
    static constexpr bool kGrad = true, kDisplaced = false, kDirection = true, kRotation = false, kChange = false;
    NOPT_HD static void add(Doubles (&sum)[kSums], const Values& v) {
        add_product(sum[0], v.g, v.n);
        if constexpr (kNorm) add_product(sum[kProjectGradSquare], v.g, v.g);
    }
};

template <bool kNorm>
struct Rotate {
    static constexpr int kSums = kNorm ? 6 : 5;
    static constexpr bool kGrad = true, kDisplaced = true, kDirection = true, kRotation = false, kChange = false;
    NOPT_HD static void add(Doubles (&sum)[kSums], const Values& v) {
        add_product(sum[0], v.d, v.n);
        add_product(sum[1], v.d, v.d);
        add_product(sum[2], v.n, v.n);
        add_product(sum[3], v.g, v.n);
        add_product(sum[4], v.g, v.d);
        if constexpr (kNorm) add_product(sum[kRotateGradSquare], v.g, v.g);
    }
};

template <bool kConjugate>
struct Optimize {
    static constexpr int kSums = kConjugate ? 8 : 6;
    static constexpr bool kGrad = true, kDisplaced = true, kDirection = true, kRotation = true, kChange = kConjugate;
    NOPT_HD static void add(Doubles (&sum)[kSums], const Values& v) {
        add_product(sum[0], v.d, v.n);
        add_product(sum[1], v.d, v.d);
        add_product(sum[2], v.d, v.t);
        add_product(sum[3], v.g, v.t);
        add_product(sum[4], v.t, v.t);
        add_product(sum[5], v.n, v.t);
        if constexpr (kConjugate) {
            add_product(sum[6], v.d, v.a);
            add_product(sum[7], v.a, v.t);
        }
    }
};

template <bool kNorm>
struct Plane {
    static constexpr int kSums = kNorm ? 8 : 7;
    static constexpr bool kGrad = true, kDisplaced = true, kDirection = true, kRotation = true, kChange = false;
    NOPT_HD static void add(Doubles (&sum)[kSums], const Values& v) {
        add_product(sum[0], v.d, v.n);
        add_product(sum[1], v.d, v.d);
        add_product(sum[2], v.n, v.n);
        add_product(sum[3], v.g, v.n);
        add_product(sum[4], v.n, v.t);
        add_product(sum[5], v.t, v.t);
        add_product(sum[6], v.d, v.t);
        if constexpr (kNorm) add_product(sum[kPlaneGradSquare], v.g, v.g);
    }
};

// The binary tree of neighbours over `count` entries that lie `stride` apart; the root ends up in the first.
NOPT_HD void tree(double* values, int count, int stride) {
    for (int width = 1; width < count; width *= 2) {
        for (int i = 0; i + width < count; i += 2 * width) {
            values[i * stride] += values[(i + width) * stride];
        }
    }
}

// Adds the kWidth elements from i on to as many lanes; of those at `end` and behind it, which are not read, zeros.
template <class Kind, bool kIsWhole>
NOPT_HD void add_vector(const DimerArgs& args, int64_t i, int64_t end, Doubles (&sum)[Kind::kSums]) {
    const auto load = [i, end](const float* values) {
        if constexpr (kIsWhole) {
            Floats floats;
            memcpy(&floats, values + i, sizeof floats);
            return floats;
        } else {
            const int64_t left = end - i;
            return load_first(values + i, left < 0 ? 0 : left < kWidth ? static_cast<int>(left) : kWidth);
        }
    };
    Floats g = {}, d = {}, n = {}, t = {}, a = {};
    if constexpr (Kind::kGrad) g = load(args.grad);
    if constexpr (Kind::kDisplaced) d = load(args.displaced) - g;
    if constexpr (Kind::kDirection) n = load(args.direction);
    if constexpr (Kind::kRotation) t = load(args.rotation_direction);
    if constexpr (Kind::kChange) a = load(args.grad_change);
    Kind::add(sum, {widen(g), widen(d), widen(n), widen(t), widen(a)});
}

// A leaf is summed in passes over its rows, each for the lanes of some registers: enough sums on their way at once, and
// none of them in memory.
template <class Kind>
constexpr int kPairs = Kind::kSums <= 2 && 4 * kWidth <= kLanes ? 2 : 1;  // of registers
template <class Kind>
constexpr int kPassLanes = kPairs<Kind> * 2 * kWidth;
template <class Kind>
constexpr int kPasses = kLanes / kPassLanes<Kind>;
constexpr int kLine = 16;  // elements of a line of cache

template <class Kind, bool kIsWhole>
NOPT_HD void add_row(const DimerArgs& args, int64_t i, int64_t end, Doubles (&sum)[2 * kPairs<Kind>][Kind::kSums]) {
    for (int k = 0; k < 2 * kPairs<Kind>; ++k) {
        add_vector<Kind, kIsWhole>(args, i + k * kWidth, end, sum[k]);
    }
}

// A pass over a leaf's elements up to `end`. Over a full one it fetches its share of the leaf that lies `ahead`: each
// pass some, all the way, so that memory is never waited for. (Zen 3, one thread, the sums of a rotation over
// 16,777,216 elements: 0.73 ns an element; 1.17 without; 1.57 where the first pass fetches all; 0.65 for a loop that
// only reads.)
template <class Kind, bool kIsFull>
NOPT_HD void pass_sums(const DimerArgs& args, int64_t leaf, int pass, int64_t end, int64_t ahead, double* sums) {
    Doubles sum[2 * kPairs<Kind>][Kind::kSums] = {};
    int64_t i = leaf + pass * kPassLanes<Kind>;
    if constexpr (kIsFull) {
        constexpr int kPass = kPassLanes<Kind>;
        constexpr int kRowsOfLine = kPass < kLine ? kLine / kPass : 1;
        constexpr int kLinesOfRow = kPass > kLine ? kPass / kLine : 1;
        int64_t fetched = leaf + ahead + pass * (kLeafElements / kPasses<Kind>);
        for (int rows = 0; rows < kLeafElements / kLanes; rows += kRowsOfLine) {
            for (int line = 0; line < kLinesOfRow; ++line, fetched += kLine) {
                if constexpr (Kind::kGrad) NOPT_PREFETCH(args.grad + fetched);
                if constexpr (Kind::kDisplaced) NOPT_PREFETCH(args.displaced + fetched);
                if constexpr (Kind::kDirection) NOPT_PREFETCH(args.direction + fetched);
                if constexpr (Kind::kRotation) NOPT_PREFETCH(args.rotation_direction + fetched);
                if constexpr (Kind::kChange) NOPT_PREFETCH(args.grad_change + fetched);
            }
            for (int row = 0; row < kRowsOfLine; ++row, i += kLanes) {
                add_row<Kind, true>(args, i, end, sum);
            }
        }
    } else {
        for (int64_t rows = (end - leaf) / kLanes; rows > 0; --rows, i += kLanes) {
            add_row<Kind, true>(args, i, end, sum);
        }
        add_row<Kind, false>(args, i, end, sum);
    }
    for (int k = 0; k < Kind::kSums; ++k) {
        sums[k] = tree_of_pair(sum[0][k], sum[1][k]);
        if constexpr (kPairs<Kind> == 2) {
            sums[k] += tree_of_pair(sum[2][k], sum[3][k]);
        }
    }
}

template <class Kind, bool kIsFull>
NOPT_HD void leaf_sums(const DimerArgs& args, int64_t leaf, int64_t end, int64_t ahead, double* sums) {
    double passes[kPasses<Kind>][Kind::kSums];
    for (int pass = 0; pass < kPasses<Kind>; ++pass) {
        pass_sums<Kind, kIsFull>(args, leaf, pass, end, ahead, passes[pass]);
    }
    for (int k = 0; k < Kind::kSums; ++k) {
        tree(&passes[0][k], kPasses<Kind>, Kind::kSums);
        sums[k] = passes[0][k];
    }
}

template <class Kind>
void chunk_sums(const DimerArgs& args, Sums& out) {
    constexpr int kSums = Kind::kSums;
    double leaves[kChunkLeaves][kSums];
    for (int k = 0; k < kSums; ++k) {
        leaves[0][k] = 0.0;  // of no elements; GCC 12 warns otherwise
    }
    int leaf = 0;
    for (int64_t begin = 0; begin < args.count; begin += kLeafElements, ++leaf) {
        const int64_t left = args.count - begin;
        if (left < kLeafElements) {
            leaf_sums<Kind, false>(args, begin, args.count, 0, leaves[leaf]);
        } else {
            const int64_t ahead = left < 2 * kLeafElements ? 0 : kLeafElements;
            leaf_sums<Kind, true>(args, begin, begin + kLeafElements, ahead, leaves[leaf]);
        }
    }
    for (int k = 0; k < kSums; ++k) {
        tree(&leaves[0][k], leaf, kSums);
        out.value[k] = leaves[0][k];
    }
    for (int k = kSums; k < kMaxSums; ++k) {
        out.value[k] = 0.0;
    }
}

void randomize(float* direction, int64_t count, uint64_t seed, uint64_t first_element) {
    for (int64_t i = 0; i < count; ++i) {
        direction[i] = random_component(seed, first_element + static_cast<uint64_t>(i));
    }
}

void scale(float* direction, int64_t count, double factor) {
    for (int64_t i = 0; i < count; ++i) {
        direction[i] = scaled(direction[i], factor);
    }
}

// Past the caches, where the processor can: memory that is only written is not read for it.
void stream_copy(const float* from, int64_t count, float* to) {
    int64_t i = 0;
#if defined(__AVX2__)
    for (; i < count && reinterpret_cast<uintptr_t>(to + i) % sizeof(__m256) != 0; ++i) {
        to[i] = from[i];
    }
    for (; i + 8 <= count; i += 8) {
        _mm256_stream_ps(to + i, _mm256_loadu_ps(from + i));
    }
#endif
    for (; i < count; ++i) {
        to[i] = from[i];
    }
}

void displace_streaming(const DimerArgs& args, float displacement) {
    constexpr int64_t kPiece = 1024;  // elements that stay in the first cache from one loop to the other
    const float* __restrict const direction = args.direction;
    for (int64_t begin = 0; begin < args.count; begin += kPiece) {
        const int64_t count = args.count - begin < kPiece ? args.count - begin : kPiece;
        float* __restrict const param = args.param + begin;
        stream_copy(param, count, args.param_backup + begin);
        NOPT_INDEPENDENT_ITERATIONS
        for (int64_t i = 0; i < count; ++i) {
            param[i] = displaced_param(param[i], displacement, direction[begin + i]);
        }
        if (args.grad_backup != nullptr) {
            stream_copy(args.grad + begin, count, args.grad_backup + begin);
        }
    }
#if defined(__AVX2__)
    _mm_sfence();  // before other threads are told that it is there
#endif
}

void displace(const DimerArgs& args, float displacement, bool streams) {
    if (streams) {
        displace_streaming(args, displacement);
        return;
    }
    float* __restrict const param = args.param;
    float* __restrict const backup = args.param_backup;
    const float* __restrict const direction = args.direction;
    NOPT_INDEPENDENT_ITERATIONS
    for (int64_t i = 0; i < args.count; ++i) {
        const float p = param[i];
        backup[i] = p;
        param[i] = displaced_param(p, displacement, direction[i]);
    }
    if (args.grad_backup != nullptr) {
        memcpy(args.grad_backup, args.grad, static_cast<size_t>(args.count) * sizeof(float));
    }
}

void displace_again(const DimerArgs& args, const DimerScope& scope, float displacement) {
    float* __restrict const param = args.param;
    const float* __restrict const backup = args.param_backup;
    const float* __restrict const direction = scope.displaces != 0 ? args.rotation_direction : args.direction;
    NOPT_INDEPENDENT_ITERATIONS
    for (int64_t i = 0; i < args.count; ++i) {
        param[i] = displaced_param(backup[i], displacement, direction[i]);
    }
}

void turn(const DimerArgs& args, const DimerScope& scope, DimerDecision decision) {
    const float* __restrict const grad = args.grad;
    const float* __restrict const displaced = args.displaced;
    float* __restrict const direction = args.direction;
    float* __restrict const rotation = args.rotation_direction;
    float* __restrict const change = args.grad_change;
    const DimerScope s = scope;
    if (decision == kDecideRotate && s.turns != 0) {
        NOPT_INDEPENDENT_ITERATIONS
        for (int64_t i = 0; i < args.count; ++i) {
            direction[i] = turned(s.along, direction[i], s.across, gradient_difference(displaced[i], grad[i]));
        }
    } else if (decision == kDecidePlane && s.displaces != 0) {
        NOPT_INDEPENDENT_ITERATIONS
        for (int64_t i = 0; i < args.count; ++i) {
            rotation[i] = turned(s.t_along, direction[i], s.t_across, gradient_difference(displaced[i], grad[i]));
        }
    } else if ((decision == kDecideOptimize || decision == kDecideConjugate) && s.turns != 0) {
        NOPT_INDEPENDENT_ITERATIONS
        for (int64_t i = 0; i < args.count; ++i) {
            direction[i] = turned(s.along, direction[i], s.across, rotation[i]);
        }
    } else if (decision == kDecideOptimizeAgain && s.turns != 0) {
        NOPT_INDEPENDENT_ITERATIONS
        for (int64_t i = 0; i < args.count; ++i) {
            const float n = direction[i];
            const float t = rotation[i];
            direction[i] = turned(s.along, n, s.across, t);
            rotation[i] = next_plane(s, n, t, gradient_difference(displaced[i], grad[i]));
        }
    } else if (decision == kDecideConjugatePlane && s.displaces != 0) {
        NOPT_INDEPENDENT_ITERATIONS
        for (int64_t i = 0; i < args.count; ++i) {
            const float d = gradient_difference(displaced[i], grad[i]);
            change[i] = d;
            rotation[i] = first_plane(s, direction[i], rotation[i], d);
        }
    } else if (decision == kDecideConjugateAgain && s.turns != 0) {
        NOPT_INDEPENDENT_ITERATIONS
        for (int64_t i = 0; i < args.count; ++i) {
            const float n = direction[i];
            const float t = rotation[i];
            const float a = change[i];
            const float d = gradient_difference(displaced[i], grad[i]);
            direction[i] = turned(s.along, n, s.across, t);
            rotation[i] = next_plane(s, n, t, a, d);
            change[i] = turned(s.change_along, a, s.change_across, d);
        }
    }
}

void project(const DimerArgs& args, float correction, float* out_) {
    const float* __restrict const grad = args.grad;
    const float* __restrict const direction = args.direction;
    float* __restrict const out = out_;
    NOPT_INDEPENDENT_ITERATIONS
    for (int64_t i = 0; i < args.count; ++i) {
        out[i] = corrected(grad[i], correction, direction[i]);
    }
}

}  // namespace

static_assert(kSumKindCount == 10, "the table below names every kind");

extern const DimerKernels NOPT_JOIN(dimer_kernels_, NOPT_CPU_ISA);
const DimerKernels NOPT_JOIN(dimer_kernels_, NOPT_CPU_ISA) = {
    // In the order of SumKind.
    {&chunk_sums<GradNorm>, &chunk_sums<Norm>, &chunk_sums<Project<false>>, &chunk_sums<Project<true>>,
     &chunk_sums<Rotate<false>>, &chunk_sums<Rotate<true>>, &chunk_sums<Optimize<false>>, &chunk_sums<Plane<false>>,
     &chunk_sums<Plane<true>>, &chunk_sums<Optimize<true>>},
    &randomize,
    &scale,
    &displace,
    &displace_again,
    &turn,
    &project,
};

}  // namespace nopt
