// The random numbers that a block of 256 elements is rounded with (rounding_bits in numerics/dtypes.h), all at once.
#pragma once

#include "numerics/dtypes.h"
#include "numerics/dynamic8.h"

namespace nopt {
namespace {

// Word j has the 16 bits of elements 2 j and 2 j + 1.
struct RoundingWords {
    uint32_t pairs[kBlockwiseElements / 2];

    // Those of an even element and those after it.
    NOPT_HD const char* of(int64_t element) const { return reinterpret_cast<const char*>(pairs) + 2 * element; }
};

constexpr int kPhiloxBlocks = static_cast<int>(kBlockwiseElements) / kRandomsPerBlock;

// A word of each Philox block after another, so that the compiler vectorises a round of all of them.
struct PhiloxBlocks {
    uint32_t word[4][kPhiloxBlocks];

    NOPT_HD Philox of(int b) const { return {{word[0][b], word[1][b], word[2][b], word[3][b]}}; }
    NOPT_HD void set(int b, const Philox& bits) {
        for (int w = 0; w < 4; ++w) {
            word[w][b] = bits.word[w];
        }
    }
};

// `first`: of the elements, a multiple of 8. The other arguments are those of rounding_bits.
void draw(RoundingWords& out, uint64_t seed, uint32_t use, uint32_t step, uint32_t tensor, int64_t first) {
    PhiloxBlocks blocks;
    const uint64_t first_block = static_cast<uint64_t>(first) / kRandomsPerBlock;
    for (int b = 0; b < kPhiloxBlocks; ++b) {
        blocks.set(b, rounding_counter(use, step, tensor, first_block + static_cast<uint64_t>(b)));
    }
    const uint32_t key0 = static_cast<uint32_t>(seed);
    const uint32_t key1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < kPhiloxRounds; ++round) {
        for (int b = 0; b < kPhiloxBlocks; ++b) {
            blocks.set(b, philox_round(blocks.of(b), key0, key1, round));
        }
    }
    for (int b = 0; b < kPhiloxBlocks; ++b) {
        const Philox bits = blocks.of(b);
        for (int k = 0; k < kRandomsPerBlock; k += 2) {
            out.pairs[b * (kRandomsPerBlock / 2) + k / 2] = rounding_bits_of(bits, k) | rounding_bits_of(bits, k + 1)
                                                                                            << 16;
        }
    }
}

}  // namespace
}  // namespace nopt
