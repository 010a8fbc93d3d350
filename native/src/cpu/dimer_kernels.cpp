// The dimer's CPU kernels. This file is compiled once for each instruction set, NOPT_CPU_ISA being its identifier; all
// have the same bits.
#include "cpu/dimer_kernels.h"

#include <string.h>

#include "cpu/isa_macros.h"
#include "numerics/philox.h"

namespace nopt {
namespace {

// Eight lanes at once, in registers: a cache line of doubles. The compiler splits them into what the processor has.
constexpr int kBlock = 8;
#if defined(__GNUC__)
typedef float Floats __attribute__((vector_size(kBlock * sizeof(float))));
typedef double Doubles __attribute__((vector_size(kBlock * sizeof(double))));
#define NOPT_WIDEN(floats) __builtin_convertvector(floats, Doubles)
#else
template <class T>
struct Block {
    T v[kBlock];
    T& operator[](int i) { return v[i]; }
    friend Block operator-(const Block& a, const Block& b) {
        Block r;
        for (int i = 0; i < kBlock; ++i) r.v[i] = a.v[i] - b.v[i];
        return r;
    }
    friend Block operator*(const Block& a, const Block& b) {
        Block r;
        for (int i = 0; i < kBlock; ++i) r.v[i] = a.v[i] * b.v[i];
        return r;
    }
    Block& operator+=(const Block& a) {
        for (int i = 0; i < kBlock; ++i) v[i] += a.v[i];
        return *this;
    }
};
typedef Block<float> Floats;
typedef Block<double> Doubles;
NOPT_HD Doubles NOPT_WIDEN(const Floats& floats) {
    Doubles r;
    for (int i = 0; i < kBlock; ++i) r.v[i] = static_cast<double>(floats.v[i]);
    return r;
}
#endif

// What each kind of sum is made of: `add` takes the values at one place (a block of lanes, or one).
struct Norm {
    static constexpr int kSums = 1;
    static constexpr bool kGrad = false, kDisplaced = false, kDirection = true, kRotation = false;
    template <class T>
    NOPT_HD static void add(T (&sum)[kSums], const T&, const T&, const T& n, const T&) {
        sum[0] += n * n;
    }
};

struct Project {
    static constexpr int kSums = 1;
    static constexpr bool kGrad = true, kDisplaced = false, kDirection = true, kRotation = false;
    template <class T>
    NOPT_HD static void add(T (&sum)[kSums], const T& g, const T&, const T& n, const T&) {
        sum[0] += g * n;
    }
};

struct Rotate {
    static constexpr int kSums = 5;
    static constexpr bool kGrad = true, kDisplaced = true, kDirection = true, kRotation = false;
    template <class T>
    NOPT_HD static void add(T (&sum)[kSums], const T& g, const T& d, const T& n, const T&) {
        sum[0] += d * n;
        sum[1] += d * d;
        sum[2] += n * n;
        sum[3] += g * n;
        sum[4] += g * d;
    }
};

struct Optimize {
    static constexpr int kSums = 4;
    static constexpr bool kGrad = true, kDisplaced = true, kDirection = true, kRotation = true;
    template <class T>
    NOPT_HD static void add(T (&sum)[kSums], const T& g, const T& d, const T& n, const T& t) {
        sum[0] += d * n;
        sum[1] += d * d;
        sum[2] += d * t;
        sum[3] += g * d;
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

// Eight lanes of all rows of a full leaf.
template <class Kind>
NOPT_HD void add_block(const DimerArgs& args, int64_t begin, double* lanes) {
    constexpr int kSums = Kind::kSums;
    Doubles sum[kSums];
    memset(sum, 0, sizeof sum);
    for (int64_t i = begin; i < begin + kLeafElements; i += kLanes) {
        Floats g = {}, d = {}, n = {}, t = {};
        if constexpr (Kind::kGrad) memcpy(&g, args.grad + i, sizeof g);
        if constexpr (Kind::kDisplaced) {
            memcpy(&d, args.displaced + i, sizeof d);
            d = d - g;
        }
        if constexpr (Kind::kDirection) memcpy(&n, args.direction + i, sizeof n);
        if constexpr (Kind::kRotation) memcpy(&t, args.rotation_direction + i, sizeof t);
        Kind::add(sum, NOPT_WIDEN(g), NOPT_WIDEN(d), NOPT_WIDEN(n), NOPT_WIDEN(t));
    }
    for (int k = 0; k < kSums; ++k) {
        memcpy(lanes + k * kLanes, &sum[k], sizeof sum[k]);
    }
}

template <class Kind>
void chunk_sums(const DimerArgs& args, Sums& out) {
    constexpr int kSums = Kind::kSums;
    double leaves[kChunkLeaves][kSums];
    int leaf = 0;
    for (int64_t begin = 0; begin < args.count; begin += kLeafElements, ++leaf) {
        double lanes[kSums][kLanes];
        const int64_t left = args.count - begin;
        int used = kLanes;
        if (left >= kLeafElements) {
            for (int block = 0; block < kLanes; block += kBlock) {
                add_block<Kind>(args, begin + block, &lanes[0][block]);
            }
        } else {
            used = left < kLanes ? static_cast<int>(left) : kLanes;
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
            tree(lanes[k], used, 1);
            leaves[leaf][k] = lanes[k][0];
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

void displace(const DimerArgs& args, float displacement) {
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
    {&chunk_sums<Norm>, &chunk_sums<Project>, &chunk_sums<Rotate>, &chunk_sums<Optimize>},
    &randomize,
    &scale,
    &displace,
    &displace_again,
    &turn,
    &project,
};

}  // namespace nopt
