// Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"): random numbers as a
// pure function of a key and a counter, the same on every device and for any number of threads.
#pragma once

#include <stdint.h>

#include "rules/rule.h"

namespace nopt {

struct Philox {
    uint32_t word[4];
};

constexpr int kPhiloxRounds = 10;

constexpr uint32_t kPhiloxFactor0 = 0xD2511F53u;
constexpr uint32_t kPhiloxFactor1 = 0xCD9E8D57u;

// The key of a round, from 0 on.
NOPT_HD uint32_t philox_key0(uint32_t key0, int round) { return key0 + static_cast<uint32_t>(round) * 0x9E3779B9u; }
NOPT_HD uint32_t philox_key1(uint32_t key1, int round) { return key1 + static_cast<uint32_t>(round) * 0xBB67AE85u; }

NOPT_HD Philox philox_round(const Philox& c, uint32_t key0, uint32_t key1, int round) {
    const uint64_t product0 = uint64_t{kPhiloxFactor0} * c.word[0];
    const uint64_t product1 = uint64_t{kPhiloxFactor1} * c.word[2];
    return {{static_cast<uint32_t>(product1 >> 32) ^ c.word[1] ^ philox_key0(key0, round),
             static_cast<uint32_t>(product1),
             static_cast<uint32_t>(product0 >> 32) ^ c.word[3] ^ philox_key1(key1, round),
             static_cast<uint32_t>(product0)}};
}

NOPT_HD Philox philox(Philox counter, uint32_t key0, uint32_t key1) {
    for (int round = 0; round < kPhiloxRounds; ++round) {
        counter = philox_round(counter, key0, key1, round);
    }
    return counter;
}

// What the counters are used for, so that two uses of one seed never draw the same numbers.
enum RandomUse : uint32_t {
    kRandomDirection = 1,
    kRandomRounding = 2,  // of parameters
    kRandomStates = 3     // rounding of the first state; state i has this use + i
};

// A random number for the element, in (-1, 1), nearly normal and never 0: the sum of four uniform ones.
NOPT_HD float random_component(uint64_t seed, uint64_t element) {
    const Philox counter = {
        {static_cast<uint32_t>(element), static_cast<uint32_t>(element >> 32), 0, kRandomDirection}};
    const Philox r = philox(counter, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
    const int64_t sum = int64_t{r.word[0]} + r.word[1] + r.word[2] + r.word[3];
    // The mean of 2 sum is 2^34 - 4; one more makes the difference odd, so that no direction begins as 0.
    const int64_t centred = 2 * sum - (int64_t{1} << 34) + 5;
    return static_cast<float>(static_cast<double>(centred) * 0x1p-34);
}

}  // namespace nopt
