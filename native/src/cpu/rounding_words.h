// The random numbers that a part of a tensor is rounded with (rounding_bits in numerics/dtypes.h).
#pragma once

#include "cpu/mixed_kernels.h"
#include "cpu/pack.h"

namespace nopt {
namespace {

// Word j has the 16 bits of elements 2 j and 2 j + 1: the four words of a Philox block are those of its eight elements.
struct RoundingWords {
    uint32_t pairs[kPartElements / 2];

    // Those of an even element and those after it.
    NOPT_HD const char* of(int64_t element) const { return reinterpret_cast<const char*>(pairs) + 2 * element; }
};

#if defined(__SSE2__)

// A word of some Philox blocks, each in the lower half of a lane of 64 bits, where its product with a factor leaves
// both words that the next round needs. What is in the upper halves does not matter.
#if defined(NOPT_PACK_AVX512)
typedef __m512i PhiloxWord;
NOPT_HD PhiloxWord in_all(uint64_t number) { return _mm512_set1_epi64(static_cast<int64_t>(number)); }
NOPT_HD PhiloxWord product(PhiloxWord a, PhiloxWord b) { return _mm512_maskz_mul_epu32(0xff, a, b); }
NOPT_HD PhiloxWord upper_word(PhiloxWord a) { return _mm512_maskz_srli_epi64(0xff, a, 32); }
NOPT_HD PhiloxWord word_pair(PhiloxWord a, PhiloxWord b) {  // the lower words of both
    return _mm512_mask_shuffle_epi32(a, 0xaaaa, b, _MM_PERM_CCAA);
}
NOPT_HD PhiloxWord even_lanes(PhiloxWord a, PhiloxWord b) { return _mm512_maskz_unpacklo_epi64(0xff, a, b); }
NOPT_HD PhiloxWord odd_lanes(PhiloxWord a, PhiloxWord b) { return _mm512_maskz_unpackhi_epi64(0xff, a, b); }
#elif defined(NOPT_PACK_AVX2)
typedef __m256i PhiloxWord;
NOPT_HD PhiloxWord in_all(uint64_t number) { return _mm256_set1_epi64x(static_cast<int64_t>(number)); }
NOPT_HD PhiloxWord product(PhiloxWord a, PhiloxWord b) { return _mm256_mul_epu32(a, b); }
NOPT_HD PhiloxWord upper_word(PhiloxWord a) { return _mm256_srli_epi64(a, 32); }
NOPT_HD PhiloxWord word_pair(PhiloxWord a, PhiloxWord b) {
    return _mm256_blend_epi32(a, _mm256_slli_epi64(b, 32), 0xaa);
}
NOPT_HD PhiloxWord even_lanes(PhiloxWord a, PhiloxWord b) { return _mm256_unpacklo_epi64(a, b); }
NOPT_HD PhiloxWord odd_lanes(PhiloxWord a, PhiloxWord b) { return _mm256_unpackhi_epi64(a, b); }
#else
typedef __m128i PhiloxWord;
NOPT_HD PhiloxWord in_all(uint64_t number) { return _mm_set1_epi64x(static_cast<int64_t>(number)); }
NOPT_HD PhiloxWord product(PhiloxWord a, PhiloxWord b) { return _mm_mul_epu32(a, b); }
NOPT_HD PhiloxWord upper_word(PhiloxWord a) { return _mm_srli_epi64(a, 32); }
NOPT_HD PhiloxWord word_pair(PhiloxWord a, PhiloxWord b) {
    return _mm_or_si128(_mm_srli_epi64(_mm_slli_epi64(a, 32), 32), _mm_slli_epi64(b, 32));
}
NOPT_HD PhiloxWord even_lanes(PhiloxWord a, PhiloxWord b) { return _mm_unpacklo_epi64(a, b); }
NOPT_HD PhiloxWord odd_lanes(PhiloxWord a, PhiloxWord b) { return _mm_unpackhi_epi64(a, b); }
#endif

constexpr int kPhiloxLanes = static_cast<int>(sizeof(PhiloxWord) / sizeof(uint64_t));
constexpr int kAtATime = 4;  // so many words at a time hide how long a product takes
constexpr int kPhiloxBlocks = kAtATime * kPhiloxLanes;

// Which block the lane has: even lanes the first ones, so that the words come out in the order of the elements.
constexpr uint64_t block_of_lane(int lane) {
    return static_cast<uint64_t>(lane / 2 + (lane % 2 == 0 ? 0 : kPhiloxLanes / 2));
}

// The words of kPhiloxBlocks blocks in a row.
NOPT_HD void draw_blocks(uint32_t* out, uint64_t seed, const Philox (&counters)[kPhiloxBlocks]) {
    PhiloxWord word[kAtATime][4];
    for (int k = 0; k < kAtATime; ++k) {
        for (int w = 0; w < 4; ++w) {
            uint64_t lanes[kPhiloxLanes];
            for (int lane = 0; lane < kPhiloxLanes; ++lane) {
                lanes[lane] = counters[static_cast<uint64_t>(k * kPhiloxLanes) + block_of_lane(lane)].word[w];
            }
            memcpy(&word[k][w], lanes, sizeof lanes);
        }
    }
    const PhiloxWord factor0 = in_all(kPhiloxFactor0);
    const PhiloxWord factor1 = in_all(kPhiloxFactor1);
    for (int round = 0; round < kPhiloxRounds; ++round) {
        const PhiloxWord key0 = in_all(philox_key0(static_cast<uint32_t>(seed), round));
        const PhiloxWord key1 = in_all(philox_key1(static_cast<uint32_t>(seed >> 32), round));
        for (int k = 0; k < kAtATime; ++k) {
            PhiloxWord* const own = word[k];
            const PhiloxWord product0 = product(own[0], factor0);
            const PhiloxWord product1 = product(own[2], factor1);
            own[0] = upper_word(product1) ^ own[1] ^ key0;
            own[1] = product1;
            own[2] = upper_word(product0) ^ own[3] ^ key1;
            own[3] = product0;
        }
    }
    for (int k = 0; k < kAtATime; ++k) {
        const PhiloxWord first = word_pair(word[k][0], word[k][1]);
        const PhiloxWord second = word_pair(word[k][2], word[k][3]);
        store_vector(out + k * 4 * kPhiloxLanes, even_lanes(first, second));
        store_vector(out + k * 4 * kPhiloxLanes + 2 * kPhiloxLanes, odd_lanes(first, second));
    }
}

#else

constexpr int kPhiloxBlocks = 32;

NOPT_HD void draw_blocks(uint32_t* out, uint64_t seed, const Philox (&counters)[kPhiloxBlocks]) {
    for (int b = 0; b < kPhiloxBlocks; ++b) {
        const Philox bits = philox(counters[b], static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
        memcpy(out + 4 * b, bits.word, sizeof bits.word);
    }
}

#endif

static_assert(kPartElements % (kPhiloxBlocks * kRandomsPerBlock) == 0, "a part has room for whole draws");

// At least `count` of them. `first`: of the elements, a multiple of 8. The other arguments are those of rounding_bits.
void draw(RoundingWords& out, int64_t count, uint64_t seed, uint32_t use, uint32_t step, uint32_t tensor,
          int64_t first) {
    uint64_t block = static_cast<uint64_t>(first) / kRandomsPerBlock;
    uint32_t* pairs = out.pairs;
    for (int64_t done = 0; done < count; done += kPhiloxBlocks * kRandomsPerBlock) {
        Philox counters[kPhiloxBlocks];
        for (int b = 0; b < kPhiloxBlocks; ++b) {
            counters[b] = rounding_counter(use, step, tensor, block++);
        }
        draw_blocks(pairs, seed, counters);
        pairs += kPhiloxBlocks * kRandomsPerBlock / 2;
    }
}

}  // namespace
}  // namespace nopt
