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

// Some lanes at once: a register of doubles. `widen` and `add_product` are spelled out where compilers do not find the
// instructions by themselves. A product of two floats is exact in double, so that fused or not, all give the same bits.
#if defined(__AVX512F__)
constexpr int kWidth = 8;
typedef __m256 Floats;
typedef __m512d Doubles;
// (Here and below, unmasked forms make GCC 12 warn of its own header.)
NOPT_HD Doubles widen(Floats floats) { return _mm512_maskz_cvtps_pd(0xff, floats); }
NOPT_HD void add_product(Doubles& sum, Doubles a, Doubles b) { sum = _mm512_fmadd_pd(a, b, sum); }
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int kWidth = 4;
typedef __m128 Floats;
typedef __m256d Doubles;
NOPT_HD Doubles widen(Floats floats) { return _mm256_cvtps_pd(floats); }
NOPT_HD void add_product(Doubles& sum, Doubles a, Doubles b) { sum = _mm256_fmadd_pd(a, b, sum); }
#elif defined(__GNUC__)
constexpr int kWidth = 2;
typedef float Floats __attribute__((vector_size(kWidth * sizeof(float))));
typedef double Doubles __attribute__((vector_size(kWidth * sizeof(double))));
NOPT_HD Doubles widen(Floats floats) { return __builtin_convertvector(floats, Doubles); }
NOPT_HD void add_product(Doubles& sum, Doubles a, Doubles b) { sum += a * b; }
#else
constexpr int kWidth = 1;
typedef float Floats;
typedef double Doubles;
NOPT_HD Doubles widen(Floats floats) { return static_cast<double>(floats); }
NOPT_HD void add_product(double& sum, double a, double b) { sum += a * b; }
#endif

// What each kind of sum is made of: `add` takes the values of kWidth elements.
struct Norm {
    static constexpr int kSums = 1;
    static constexpr bool kGrad = false, kDisplaced = false, kDirection = true, kRotation = false;
    NOPT_HD static void add(Doubles (&sum)[kSums], const Doubles&, const Doubles&, const Doubles& n, const Doubles&) {
        add_product(sum[0], n, n);
    }
};

struct GradNorm {
    static constexpr int kSums = 1;
    static constexpr bool kGrad = true, kDisplaced = false, kDirection = false, kRotation = false;
    NOPT_HD static void add(Doubles (&sum)[kSums], const Doubles& g, const Doubles&, const Doubles&, const Doubles&) {
        add_product(sum[0], g, g);
    }
};

template <bool kNorm>
struct Project {
    static constexpr int kSums = kNorm ? 2 : 1;
    static constexpr bool kGrad = true, kDisplaced = false, kDirection = true, kRotation = false;
    NOPT_HD static void add(Doubles (&sum)[kSums], const Doubles& g, const Doubles&, const Doubles& n, const Doubles&) {
        add_product(sum[0], g, n);
        if constexpr (kNorm) add_product(sum[kProjectGradSquare], g, g);
    }
};

template <bool kNorm>
struct Rotate {
    static constexpr int kSums = kNorm ? 6 : 5;
    static constexpr bool kGrad = true, kDisplaced = true, kDirection = true, kRotation = false;
    NOPT_HD static void add(Doubles (&sum)[kSums], const Doubles& g, const Doubles& d, const Doubles& n,
                            const Doubles&) {
        add_product(sum[0], d, n);
        add_product(sum[1], d, d);
        add_product(sum[2], n, n);
        add_product(sum[3], g, n);
        add_product(sum[4], g, d);
        if constexpr (kNorm) add_product(sum[kRotateGradSquare], g, g);
    }
};

struct Optimize {
    static constexpr int kSums = 6;
    static constexpr bool kGrad = true, kDisplaced = true, kDirection = true, kRotation = true;
    NOPT_HD static void add(Doubles (&sum)[kSums], const Doubles& g, const Doubles& d, const Doubles& n,
                            const Doubles& t) {
        add_product(sum[0], d, n);
        add_product(sum[1], d, d);
        add_product(sum[2], d, t);
        add_product(sum[3], g, t);
        add_product(sum[4], t, t);
        add_product(sum[5], n, t);
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

// The same over the 2 * kWidth lanes of a block.
#if defined(__AVX2__)
NOPT_HD double tree_of_block(__m256d low, __m256d high) {
    const __m256d pairs = _mm256_hadd_pd(low, high);  // of low, high, low, high
    const __m128d fours = _mm_add_pd(_mm256_castpd256_pd128(pairs), _mm256_extractf128_pd(pairs, 1));
    return _mm_cvtsd_f64(_mm_add_sd(fours, _mm_unpackhi_pd(fours, fours)));
}
#if defined(__AVX512F__)
NOPT_HD double tree_of_block(__m512d low, __m512d high) {
    const auto tree_of_lanes = [](__m512d lanes) {
        return tree_of_block(_mm512_maskz_extractf64x4_pd(0xff, lanes, 0),
                             _mm512_maskz_extractf64x4_pd(0xff, lanes, 1));
    };
    return tree_of_lanes(low) + tree_of_lanes(high);
}
#endif
#elif defined(__GNUC__)
NOPT_HD double tree_of_block(Doubles low, Doubles high) { return (low[0] + low[1]) + (high[0] + high[1]); }
#else
NOPT_HD double tree_of_block(double low, double high) { return low + high; }
#endif

// Adds kWidth elements from i on to as many lanes.
template <class Kind>
NOPT_HD void add_vector(const DimerArgs& args, int64_t i, Doubles (&sum)[Kind::kSums]) {
    Floats g = {}, d = {}, n = {}, t = {};
    if constexpr (Kind::kGrad) memcpy(&g, args.grad + i, sizeof g);
    if constexpr (Kind::kDisplaced) {
        memcpy(&d, args.displaced + i, sizeof d);
        d = d - g;
    }
    if constexpr (Kind::kDirection) memcpy(&n, args.direction + i, sizeof n);
    if constexpr (Kind::kRotation) memcpy(&t, args.rotation_direction + i, sizeof t);
    Kind::add(sum, widen(g), widen(d), widen(n), widen(t));
}

// Two registers' lanes of so many rows of a leaf: enough sums on their way at once, and none of them in memory. Fetches
// its share of the leaf that lies `ahead`: each pass some, all the way, so that memory is never waited for. (Zen 3, one
// thread, the sums of a rotation over 16,777,216 elements: 0.73 ns an element; 1.17 without; 1.57 where the first pass
// fetches all; 0.65 for a loop that only reads. In the caches no difference.)
constexpr int kBlock = 2 * kWidth;
constexpr int kBlocks = kLanes / kBlock;
template <class Kind>
NOPT_HD void block_sums(const DimerArgs& args, int64_t leaf, int block, int64_t rows, int64_t ahead, double* sums) {
    Doubles low[Kind::kSums] = {};
    Doubles high[Kind::kSums] = {};
    int64_t fetched = leaf + ahead + block * (kLeafElements / kBlocks);
    const int64_t begin = leaf + block * kBlock;
    for (int64_t i = begin; i < begin + rows * kLanes; i += kLanes, fetched += kBlock) {
        if constexpr (Kind::kGrad) NOPT_PREFETCH(args.grad + fetched);
        if constexpr (Kind::kDisplaced) NOPT_PREFETCH(args.displaced + fetched);
        if constexpr (Kind::kDirection) NOPT_PREFETCH(args.direction + fetched);
        if constexpr (Kind::kRotation) NOPT_PREFETCH(args.rotation_direction + fetched);
        add_vector<Kind>(args, i, low);
        add_vector<Kind>(args, i + kWidth, high);
    }
    for (int k = 0; k < Kind::kSums; ++k) {
        sums[k] = tree_of_block(low[k], high[k]);
    }
}

template <class Kind>
NOPT_HD void leaf_sums(const DimerArgs& args, int64_t leaf, int64_t rows, int64_t ahead, double* sums) {
    double blocks[kBlocks][Kind::kSums];
    for (int block = 0; block < kBlocks; ++block) {
        block_sums<Kind>(args, leaf, block, rows, ahead, blocks[block]);
    }
    for (int k = 0; k < Kind::kSums; ++k) {
        tree(&blocks[0][k], kBlocks, Kind::kSums);
        sums[k] = blocks[0][k];
    }
}

// The sums of a leaf that is not full: of a copy, whose last row is filled up with zeros.
template <class Kind>
NOPT_HD void rest_sums(const DimerArgs& args, int64_t leaf, double* sums) {
    const int64_t count = args.count - leaf;
    const int64_t rows = (count + kLanes - 1) / kLanes;
    float copies[4][kLeafElements];
    const auto copy = [&](const float* values, float(&room)[kLeafElements]) {
        memcpy(room, values + leaf, static_cast<size_t>(count) * sizeof(float));
        memset(room + count, 0, static_cast<size_t>(rows * kLanes - count) * sizeof(float));
        return room;
    };
    DimerArgs rest = {};
    if constexpr (Kind::kGrad) rest.grad = copy(args.grad, copies[0]);
    if constexpr (Kind::kDisplaced) rest.displaced = copy(args.displaced, copies[1]);
    if constexpr (Kind::kDirection) rest.direction = copy(args.direction, copies[2]);
    if constexpr (Kind::kRotation) rest.rotation_direction = copy(args.rotation_direction, copies[3]);
    leaf_sums<Kind>(rest, 0, rows, 0, sums);
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
            rest_sums<Kind>(args, begin, leaves[leaf]);
        } else {
            const int64_t ahead = left < 2 * kLeafElements ? 0 : kLeafElements;
            leaf_sums<Kind>(args, begin, kLeafElements / kLanes, ahead, leaves[leaf]);
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
    } else if (decision == kDecideOptimize && s.turns != 0) {
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

extern const DimerKernels NOPT_JOIN(dimer_kernels_, NOPT_CPU_ISA);
const DimerKernels NOPT_JOIN(dimer_kernels_, NOPT_CPU_ISA) = {
    {&chunk_sums<Norm>, &chunk_sums<Project<false>>, &chunk_sums<Rotate<false>>, &chunk_sums<Optimize>,
     &chunk_sums<GradNorm>, &chunk_sums<Project<true>>, &chunk_sums<Rotate<true>>},
    &randomize,
    &scale,
    &displace,
    &displace_again,
    &turn,
    &project,
};

}  // namespace nopt
