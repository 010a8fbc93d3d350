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
// (The unmasked form makes GCC 12 warn of its own header.)
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
#endif
NOPT_HD void add_product(double& sum, double a, double b) { sum += a * b; }

// What each kind of sum is made of: `add` takes the values at one place (a block of lanes, or one).
struct Norm {
    static constexpr int kSums = 1;
    static constexpr bool kGrad = false, kDisplaced = false, kDirection = true, kRotation = false;
    template <class T>
    NOPT_HD static void add(T (&sum)[kSums], const T&, const T&, const T& n, const T&) {
        add_product(sum[0], n, n);
    }
};

struct GradNorm {
    static constexpr int kSums = 1;
    static constexpr bool kGrad = true, kDisplaced = false, kDirection = false, kRotation = false;
    template <class T>
    NOPT_HD static void add(T (&sum)[kSums], const T& g, const T&, const T&, const T&) {
        add_product(sum[0], g, g);
    }
};

template <bool kNorm>
struct Project {
    static constexpr int kSums = kNorm ? 2 : 1;
    static constexpr bool kGrad = true, kDisplaced = false, kDirection = true, kRotation = false;
    template <class T>
    NOPT_HD static void add(T (&sum)[kSums], const T& g, const T&, const T& n, const T&) {
        add_product(sum[0], g, n);
        if constexpr (kNorm) add_product(sum[kProjectGradSquare], g, g);
    }
};

template <bool kNorm>
struct Rotate {
    static constexpr int kSums = kNorm ? 6 : 5;
    static constexpr bool kGrad = true, kDisplaced = true, kDirection = true, kRotation = false;
    template <class T>
    NOPT_HD static void add(T (&sum)[kSums], const T& g, const T& d, const T& n, const T&) {
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
    template <class T>
    NOPT_HD static void add(T (&sum)[kSums], const T& g, const T& d, const T& n, const T& t) {
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

// The same over all lanes of a leaf, in steps that the compiler vectorises.
NOPT_HD double tree_of_lanes(const double (&lanes)[kLanes]) {
    static_assert(kLanes == 32, "five levels");
    double a[16], b[8], c[4];
    for (int i = 0; i < 16; ++i) a[i] = lanes[2 * i] + lanes[2 * i + 1];
    for (int i = 0; i < 8; ++i) b[i] = a[2 * i] + a[2 * i + 1];
    for (int i = 0; i < 4; ++i) c[i] = b[2 * i] + b[2 * i + 1];
    return (c[0] + c[1]) + (c[2] + c[3]);
}

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

// Two registers' lanes of all rows of a full leaf: enough sums on their way at once, and none of them in memory.
constexpr int kBlock = 2 * kWidth;
template <class Kind>
NOPT_HD void add_block(const DimerArgs& args, int64_t begin, double* lanes) {
    Doubles low[Kind::kSums] = {};
    Doubles high[Kind::kSums] = {};
    for (int64_t i = begin; i < begin + kLeafElements; i += kLanes) {
        add_vector<Kind>(args, i, low);
        add_vector<Kind>(args, i + kWidth, high);
    }
    for (int k = 0; k < Kind::kSums; ++k) {
        memcpy(lanes + k * kLanes, &low[k], sizeof low[k]);
        memcpy(lanes + k * kLanes + kWidth, &high[k], sizeof high[k]);
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
        double lanes[kSums][kLanes];
        const int64_t left = args.count - begin;
        if (left >= kLeafElements) {
            for (int block = 0; block < kLanes; block += kBlock) {
                add_block<Kind>(args, begin + block, &lanes[0][block]);
            }
        } else {
            memset(lanes, 0, sizeof lanes);
            for (int64_t i = 0; i < left; ++i) {
                double sum[kSums];
                for (int k = 0; k < kSums; ++k) {
                    sum[k] = lanes[k][i % kLanes];
                }
                const float g = Kind::kGrad ? args.grad[begin + i] : 0.0f;
                const float d = Kind::kDisplaced ? gradient_difference(args.displaced[begin + i], g) : 0.0f;
                const float n = Kind::kDirection ? args.direction[begin + i] : 0.0f;
                const float t = Kind::kRotation ? args.rotation_direction[begin + i] : 0.0f;
                Kind::add(sum, static_cast<double>(g), static_cast<double>(d), static_cast<double>(n),
                          static_cast<double>(t));
                for (int k = 0; k < kSums; ++k) {
                    lanes[k][i % kLanes] = sum[k];
                }
            }
        }
        for (int k = 0; k < kSums; ++k) {
            leaves[leaf][k] = tree_of_lanes(lanes[k]);
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
