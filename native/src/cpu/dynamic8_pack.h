// Packs of DYNAMIC8; see numerics/dynamic8.h. The codes of two neighbours are the bytes of a word of 16 bits.
//
// With wide registers neither direction looks a number up in memory or searches for its decade. A decade's numbers lie
// on a line, and the exponent of a code, or of a number, tells the decade: tables of 8 lines fit a register.
#pragma once

#include "cpu/pack.h"
#include "numerics/dynamic8.h"

namespace nopt {
namespace {

static_assert(kBlockwiseElements % kPack == 0, "blocks hold whole packs");
constexpr int kBlockPacks = static_cast<int>(kBlockwiseElements) / kPack;

#if defined(NOPT_PACK_AVX512) || defined(NOPT_PACK_AVX2)

constexpr int kLines = 8;  // one for each decade, and one for 0 and 1, which are in none

// The magnitude of number K as a line of 2 K + 1, whose exponent tells the decade and is the line's index, modulo 8.
// The slope and the start are each the sum of a part with so few bits that the first part of the line has no rounding,
// and of what is left: so the sum of both is rounded once, as the table's numbers are.
template <bool kSigned>
struct DecodingLines {
    float slope[kLines];
    float start[kLines];
    float slope_rest[kLines];
    float start_rest[kLines];

    constexpr DecodingLines() : slope(), start(), slope_rest(), start_rest() {
        constexpr int kLowest = DynamicCode<kSigned>::kLowest;
        constexpr int kTop = DynamicCode<kSigned>::kTop;
        for (int d = 0; d < kDynamicDecades; ++d) {
            const int n = 1 << (kLowest + d);
            set((127 + kLowest + d + 1) % kLines, 0.45 * decade_end(d) / n, -0.8 * decade_end(d), 1.8 * decade_end(d));
        }
        // (With few bits, so that the start takes the slope's multiple away exactly.)
        const double slope_of_ends = static_cast<double>((int64_t{1} << 44) / ((2 << kTop) - 2 * kLowest)) * 0x1p-44;
        set((127 + kLowest) % kLines, slope_of_ends, -(2 * kLowest + 1) * slope_of_ends, 1.9);
    }

    constexpr void set(int line, double slope_, double start_, double largest) {
        double unit = 0x1p-23;  // the last bit of a float in [1, 2)
        while (largest < 0x1p23 * unit) {
            unit *= 0.5;
        }
        const double first_slope = static_cast<double>(static_cast<int64_t>(slope_ / unit)) * unit;
        const double first_start = static_cast<double>(static_cast<int64_t>(start_ / unit)) * unit;
        slope[line] = static_cast<float>(first_slope);
        start[line] = static_cast<float>(first_start);
        slope_rest[line] = static_cast<float>(slope_ - first_slope);
        start_rest[line] = static_cast<float>(start_ - first_start);
    }
};

// For a magnitude of logarithm t (see numerics/dynamic8.h): the place `begin` of the one decade that begins among the
// magnitudes of this t. The line for those below it is that of t, for the others that of t + 1; its value is K, up to
// `last`. Indices are modulo 8.
static_assert(kDynamicLogarithms == kLines, "a line for each logarithm");

template <bool kSigned>
struct EncodingLines {
    float begin[kLines];
    float parts[kLines];
    float start[kLines];
    float last[kLines];

    constexpr EncodingLines() : begin(), parts(), start(), last() {
        constexpr DynamicCode<kSigned> kCode = {};
        for (int d = 0; d <= kDynamicDecades; ++d) {
            begin[(kFirstDynamicLogarithm + d) % kLines] = kCode.begin[d];
        }
        for (int d = 0; d < kDynamicDecades; ++d) {
            const float n = static_cast<float>(1 << (kCode.kLowest + d));
            const int line = (kFirstDynamicLogarithm + d + 1) % kLines;
            parts[line] = kCode.parts[d];
            start[line] = n * kDynamicShift;
            last[line] = n + n - 1.0f;
        }
        // Below the first decade, K is the lowest; from the end of the last one on it is that of 1.
        const int ends = kFirstDynamicLogarithm % kLines;
        parts[ends] = static_cast<float>((1 << kCode.kTop) - kCode.kLowest);
        start[ends] = static_cast<float>(kCode.kLowest) + 0.5f;
        last[ends] = static_cast<float>(1 << kCode.kTop);
    }
};

template <bool kSigned>
struct Lines {
    alignas(32) static constexpr DecodingLines<kSigned> decoding = {};
    alignas(32) static constexpr EncodingLines<kSigned> encoding = {};
};

#if defined(NOPT_PACK_AVX512)
NOPT_HD Floats entry_of(const float (&table)[kLines], Words index) {
    const __m512 both = _mm512_maskz_broadcast_f32x8(0xffff, _mm256_loadu_ps(table));
    return _mm512_maskz_permutexvar_ps(0xffff, reinterpret_cast<__m512i>(index), both);
}
NOPT_HD Floats fused(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
NOPT_HD Floats smaller(Floats a, Floats b) { return _mm512_maskz_min_ps(0xffff, a, b); }
NOPT_HD Floats from_int(Words w) { return _mm512_maskz_cvtepi32_ps(0xffff, reinterpret_cast<__m512i>(w)); }
NOPT_HD Words to_int(Floats f) { return reinterpret_cast<Words>(_mm512_maskz_cvttps_epi32(0xffff, f)); }
NOPT_HD Words logarithms(Words halves) {
    const __m512i magnitudes = reinterpret_cast<__m512i>(halves & 0x7fff7fffu);
    const __m512i from_smallest = _mm512_max_epu16(magnitudes, _mm512_set1_epi16(kSmallestDynamicHalf));
    return reinterpret_cast<Words>(_mm512_mulhi_epu16(from_smallest, _mm512_set1_epi16(kDynamicLogarithm)));
}
NOPT_HD Words plus_one_where(Words w, Floats a, Floats not_below) {
    const __m512i own = reinterpret_cast<__m512i>(w);
    return reinterpret_cast<Words>(
        _mm512_mask_add_epi32(own, _mm512_cmp_ps_mask(a, not_below, _CMP_GE_OQ), own, _mm512_set1_epi32(1)));
}
NOPT_HD Words not_below_minus_127(Words w) {
    return reinterpret_cast<Words>(
        _mm512_maskz_max_epi32(0xffff, reinterpret_cast<__m512i>(w), _mm512_set1_epi32(-127)));
}
NOPT_HD Words load_codes(const char* from) {
    return reinterpret_cast<Words>(_mm512_maskz_cvtepu16_epi32(0xffff, load_vector<__m256i>(from)));
}
NOPT_HD void store_codes(char* to, Words pairs) {
    store_vector(to, _mm512_maskz_cvtepi32_epi16(0xffff, reinterpret_cast<__m512i>(pairs)));
}
#else
NOPT_HD Floats entry_of(const float (&table)[kLines], Words index) {
    return _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), reinterpret_cast<__m256i>(index));
}
NOPT_HD Floats fused(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
NOPT_HD Floats smaller(Floats a, Floats b) { return _mm256_min_ps(a, b); }
NOPT_HD Floats from_int(Words w) { return _mm256_cvtepi32_ps(reinterpret_cast<__m256i>(w)); }
NOPT_HD Words to_int(Floats f) { return reinterpret_cast<Words>(_mm256_cvttps_epi32(f)); }
NOPT_HD Words logarithms(Words halves) {
    const __m256i magnitudes = reinterpret_cast<__m256i>(halves & 0x7fff7fffu);
    const __m256i from_smallest = _mm256_max_epu16(magnitudes, _mm256_set1_epi16(kSmallestDynamicHalf));
    return reinterpret_cast<Words>(_mm256_mulhi_epu16(from_smallest, _mm256_set1_epi16(kDynamicLogarithm)));
}
NOPT_HD Words plus_one_where(Words w, Floats a, Floats not_below) {
    return w - reinterpret_cast<Words>(_mm256_cmp_ps(a, not_below, _CMP_GE_OQ));
}
NOPT_HD Words not_below_minus_127(Words w) {
    return reinterpret_cast<Words>(_mm256_max_epi32(reinterpret_cast<__m256i>(w), _mm256_set1_epi32(-127)));
}
NOPT_HD Words load_codes(const char* from) {
    return reinterpret_cast<Words>(_mm256_cvtepu16_epi32(load_vector<__m128i>(from)));
}
NOPT_HD void store_codes(char* to, Words pairs) {
    const __m256i own = reinterpret_cast<__m256i>(pairs);
    store_vector(to, _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi32(own, own), 0x08)));
}
#endif

constexpr uint32_t kSignBit = 0x80000000u;

template <bool kSigned>
NOPT_HD Floats decode_lanes(Words codes, float scale) {
    const DecodingLines<kSigned>& lines = Lines<kSigned>::decoding;
    Floats number;  // 2 K + 1
    Words sign = {};
    if constexpr (kSigned) {
        const Floats below_128 = 128.0f - from_int(codes);
        sign = words_of(below_128) & kSignBit;
        number = 257.0f - 2.0f * floats_of(words_of(below_128) & ~kSignBit);
    } else {
        number = 2.0f * from_int(codes) + 3.0f;
    }
    const Words line = words_of(number) >> 23;
    const Floats first = fused(number, entry_of(lines.slope, line), entry_of(lines.start, line));
    const Floats rest = fused(number, entry_of(lines.slope_rest, line), entry_of(lines.start_rest, line));
    const Floats magnitude = (first + rest) * scale;
    return floats_of(words_of(magnitude) ^ sign);
}

template <bool kSigned>
NOPT_HD Pack decode_pack(const char* codes, float scale) {
    const Words pairs = load_codes(codes);
    return {decode_lanes<kSigned>(pairs & 0xffu, scale), decode_lanes<kSigned>(pairs >> 8, scale)};
}

// `t`: in the lower bits.
template <bool kSigned>
NOPT_HD Words encode_lanes(Floats numbers, Words t) {
    const EncodingLines<kSigned>& lines = Lines<kSigned>::encoding;
    const Floats magnitude = floats_of(words_of(numbers) & ~kSignBit);
    const Words line = plus_one_where(t, magnitude, entry_of(lines.begin, t));
    const Floats k =
        smaller(magnitude * entry_of(lines.parts, line) + entry_of(lines.start, line), entry_of(lines.last, line));
    if constexpr (kSigned) {
        return not_below_minus_127(to_int(floats_of(words_of(k) | (words_of(numbers) & kSignBit))));
    } else {
        return to_int(k) - 1u;
    }
}

template <bool kSigned>
NOPT_HD void encode_pack(char* codes, const Lanes& lanes, float divisor) {
    const Pack pack = pack_of(lanes);
    const Pack numbers = {pack.even / divisor, pack.odd / divisor};
    const Words t = logarithms(upper_halves(words_of(numbers.even), words_of(numbers.odd), LaneNumbers()));
    const Words even = encode_lanes<kSigned>(numbers.even, t);
    const Words odd = encode_lanes<kSigned>(numbers.odd, t >> 16);
    store_codes(codes, (even & 0xffu) | (odd << 8 & 0xff00u));
}

template <bool kSigned>
NOPT_HD void encode_packs(char* codes, const Lanes* packs, int64_t count, float divisor) {
    for (int64_t p = 0; p < count; ++p) {
        encode_pack<kSigned>(codes + p * kPack, packs[p], divisor);
    }
}

#else

template <bool kSigned>
struct CodeOf {
    static constexpr DynamicCode<kSigned> value = {};
};

template <bool kSigned>
NOPT_HD Pack decode_pack(const char* codes, float scale) {
    uint8_t own[kPack];
    memcpy(own, codes, sizeof own);
    Lanes lanes;
    for (int i = 0; i < kWide; ++i) {
        lanes.value[i] = CodeOf<kSigned>::value.value[own[2 * i]] * scale;
        lanes.value[i + kWide] = CodeOf<kSigned>::value.value[own[2 * i + 1]] * scale;
    }
    return pack_of(lanes);
}

template <bool kSigned>
NOPT_HD void encode_packs(char* codes, const Lanes* packs, int64_t count, float divisor) {
    // In the order of the lanes first, in one long loop, which compilers vectorise.
    float numbers[kBlockwiseElements];
    uint8_t own[kBlockwiseElements];
    memcpy(numbers, packs, static_cast<size_t>(count) * sizeof(Lanes));
    for (int64_t i = 0; i < count * kPack; ++i) {
        own[i] = to_dynamic<kSigned>(numbers[i] / divisor);
    }
    for (int64_t p = 0; p < count * kPack; p += kPack) {
        for (int i = 0; i < kWide; ++i) {
            codes[p + 2 * i] = static_cast<char>(own[p + i]);
            codes[p + 2 * i + 1] = static_cast<char>(own[p + i + kWide]);
        }
    }
}

#endif

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

template <bool kSigned>
NOPT_HD void decode_block(const char* block, int64_t count, Lanes* packs) {
    float scale;
    memcpy(&scale, block, sizeof scale);
    const char* const codes = block + sizeof scale;
    const int64_t whole = count / kPack;
    for (int64_t p = 0; p < whole; ++p) {
        packs[p] = lanes_of(decode_pack<kSigned>(codes + p * kPack, scale));
    }
    const int64_t left = count % kPack;
    if (left != 0) {
        char last[kPack] = {};
        memcpy(last, codes + whole * kPack, static_cast<size_t>(left));
        packs[whole] = lanes_of(decode_pack<kSigned>(last, scale));
    }
}

template <bool kSigned>
NOPT_HD void encode_block(Lanes* packs, int64_t count, char* block) {
    const int64_t whole = count / kPack;
    const int64_t left = count % kPack;
    for (int i = 0; left != 0 && i < kPack; ++i) {
        // What is no element has no part in the scale.
        const int place = i < kWide ? 2 * i : 2 * (i - kWide) + 1;
        packs[whole].value[i] = place < left ? packs[whole].value[i] : 0.0f;
    }
    const float scale = scale_of(packs, static_cast<int>(whole) + (left != 0 ? 1 : 0));
    memcpy(block, &scale, sizeof scale);
    const float divisor = divisor_of(scale);
    char* const codes = block + sizeof scale;
    encode_packs<kSigned>(codes, packs, whole, divisor);
    if (left != 0) {
        char last[kPack];
        encode_packs<kSigned>(last, packs + whole, 1, divisor);
        memcpy(codes + whole * kPack, last, static_cast<size_t>(left));
    }
}

constexpr int64_t at_most_a_block(int64_t count) { return count < kBlockwiseElements ? count : kBlockwiseElements; }

// `count` elements, the first of a block among them, which begins with its scale.
template <bool kSigned>
void decode_blocks(const char* block, int64_t count, Lanes* packs) {
    for (; count > 0; count -= kBlockwiseElements, block += kBlockwiseBytes, packs += kBlockPacks) {
        decode_block<kSigned>(block, at_most_a_block(count), packs);
    }
}

template <bool kSigned>
void encode_blocks(Lanes* packs, int64_t count, char* block) {
    for (; count > 0; count -= kBlockwiseElements, block += kBlockwiseBytes, packs += kBlockPacks) {
        encode_block<kSigned>(packs, at_most_a_block(count), block);
    }
}

}  // namespace
}  // namespace nopt
