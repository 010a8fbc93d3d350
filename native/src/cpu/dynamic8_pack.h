// Packs of DYNAMIC8; see numerics/dynamic8.h. The codes of two neighbours are the bytes of a word of 16 bits.
#pragma once

#include "cpu/pack.h"
#include "numerics/dynamic8.h"

namespace nopt {
namespace {

static_assert(kBlockwiseElements % kPack == 0, "blocks hold whole packs");
constexpr int kBlockPacks = static_cast<int>(kBlockwiseElements) / kPack;

constexpr DynamicCode<false> kUnsignedCode;
constexpr DynamicCode<true> kSignedCode;

template <bool kSigned>
NOPT_HD Pack decode_pack(const char* codes, float scale) {
    const float* const numbers = kSigned ? kSignedCode.value : kUnsignedCode.value;
    uint8_t own[kPack];
    memcpy(own, codes, sizeof own);
    Lanes lanes;
    for (int i = 0; i < kWide; ++i) {
        lanes.value[i] = numbers[own[2 * i]] * scale;
        lanes.value[i + kWide] = numbers[own[2 * i + 1]] * scale;
    }
    return pack_of(lanes);
}

template <bool kSigned>
NOPT_HD void encode_pack(char* codes, const Lanes& lanes, float divisor) {
    uint16_t pairs[kWide];
    for (int i = 0; i < kWide; ++i) {
        const uint32_t even = to_dynamic<kSigned>(lanes.value[i] / divisor);
        const uint32_t odd = to_dynamic<kSigned>(lanes.value[i + kWide] / divisor);
        pairs[i] = static_cast<uint16_t>(even | odd << 8);
    }
    memcpy(codes, pairs, sizeof pairs);
}

// The largest magnitude.
NOPT_HD float scale_of(const Lanes* packs, int count) {
    uint32_t largest[kPack] = {};
    for (int p = 0; p < count; ++p) {
        for (int i = 0; i < kPack; ++i) {
            largest[i] = larger_magnitude(largest[i], packs[p].value[i]);
        }
    }
    uint32_t found = 0;
    for (int i = 0; i < kPack; ++i) {
        found = largest[i] > found ? largest[i] : found;
    }
    return float_of(found);
}

// Encodes the packs of a block, of which the last one goes to `tail` unless that is null.
template <bool kSigned>
void encode_block(const Lanes* packs, int count, char* codes, char* tail) {
    const float scale = scale_of(packs, count);
    memcpy(codes - sizeof scale, &scale, sizeof scale);
    const float divisor = divisor_of(scale);
    const int whole = tail == nullptr ? count : count - 1;
    for (int p = 0; p < whole; ++p) {
        encode_pack<kSigned>(codes + p * kPack, packs[p], divisor);
    }
    if (tail != nullptr) {
        encode_pack<kSigned>(tail, packs[whole], divisor);
    }
}

}  // namespace
}  // namespace nopt
