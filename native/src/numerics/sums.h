// The one order in which every sum is added up, on every backend, so that all have the same bits.
//
// A tensor is cut into chunks of kChunkElements, a chunk into leaves of kLeafElements, a leaf into kLanes lanes:
// element i of a leaf belongs to lane i % kLanes. A lane adds its elements one after another, in double. Above that
// everything is one binary tree of neighbours: lanes, leaves, chunks. What is missing at its end counts as 0.
//
// Each term is a product of two floats, which is exact in double: contracting it with the addition changes no bit.
#pragma once

#include <stdint.h>

#include "rules/rule.h"

namespace nopt {

constexpr int64_t kChunkElements = 16384;
constexpr int64_t kLeafElements = 512;
constexpr int kLanes = 32;
constexpr int kChunkLeaves = static_cast<int>(kChunkElements / kLeafElements);

constexpr int kMaxSums = 8;  // of one pass

// The sums of a chunk, or of a scope. They lie in arrays that all-reduces and copies see as plain doubles.
struct Sums {
    double value[kMaxSums];
};

// Adds values up one after another, as the binary tree of neighbours would. Plain data, so that it can be shared.
struct TreeSum {
    double subtrees[64];  // whole ones, by their height; those of the bits of `count`
    uint64_t count;

    NOPT_HD void clear() { count = 0; }

    NOPT_HD void add(double value) {
        int height = 0;
        for (uint64_t n = count; (n & 1) != 0; n >>= 1) {
            value = subtrees[height++] + value;
        }
        subtrees[height] = value;
        ++count;
    }

    NOPT_HD double total() const {
        double sum = 0.0;
        for (int height = 0; height < 64; ++height) {
            if ((count >> height & 1) != 0) {
                sum = subtrees[height] + sum;
            }
        }
        return sum;
    }
};

}  // namespace nopt
