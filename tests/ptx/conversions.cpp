// Moves and conversions: between types, and of registers in parts. The hardware's NaNs of 16 bits are 7fff.
#include <algorithm>
#include <cmath>
#include <limits>

#include "program.h"

namespace ptx {
namespace {

template <class T>
Next move(Thread& t, const Instruction& i) {
    t.put(i.to[0], t.get<T>(i, 0));
    return Next::kGoOn;
}

// ---- between numbers ----

// The rest of the register follows the sign, as the next instruction may read more of it.
template <class To, class From>
Next integer_of_integer(Thread& t, const Instruction& i) {
    const To value = static_cast<To>(t.get<From>(i, 0));
    t.put(i.to[0],
          static_cast<uint64_t>(static_cast<std::conditional_t<std::is_signed_v<To>, int64_t, uint64_t>>(value)));
    return Next::kGoOn;
}

// Toward zero; what does not fit is the nearest that does, and a NaN is 0, or of 64 bits the sign's.
template <class To, class From>
Next integer_of_float(Thread& t, const Instruction& i) {
    using Limits = std::numeric_limits<To>;
    const double value = std::trunc(static_cast<double>(t.get<From>(i, 0)));
    To result;
    if (value != value) {
        const bool is_wide = sizeof(To) == 8 || sizeof(From) == 8;
        result = is_wide ? static_cast<To>(uint64_t{1} << (8 * sizeof(To) - 1)) : To(0);
    } else if (value <= static_cast<double>(Limits::min())) {
        result = Limits::min();
    } else if (value >= static_cast<double>(Limits::max())) {
        result = Limits::max();
    } else {
        result = static_cast<To>(value);
    }
    t.put(i.to[0], result);
    return Next::kGoOn;
}

template <class To, class From>
Next float_of_integer(Thread& t, const Instruction& i) {
    t.put(i.to[0], static_cast<To>(t.get<From>(i, 0)));
    return Next::kGoOn;
}

Next float_of_double(Thread& t, const Instruction& i) {
    const float value = static_cast<float>(t.get<double>(i, 0));
    if (value == value) {
        t.put(i.to[0], value);
    } else {
        t.put(i.to[0], uint32_t{0x7fffffff});
    }
    return Next::kGoOn;
}
Next double_of_float(Thread& t, const Instruction& i) {
    t.put(i.to[0], static_cast<double>(t.get<float>(i, 0)));
    return Next::kGoOn;
}
Next double_down(Thread& t, const Instruction& i) {
    t.put(i.to[0], std::floor(t.get<double>(i, 0)));
    return Next::kGoOn;
}

// ---- 16 bits ----

uint16_t to_float16(float value) {
    if (value != value) {
        return 0x7fff;
    }
    const unsigned sign = std::signbit(value) ? 0x8000 : 0;
    unsigned bits = 0x7c00;  // infinite
    if (std::fabs(value) < 65536.0f) {
        const double magnitude = std::fabs(static_cast<double>(value));
        const int exponent = magnitude < 0x1p-14 ? -14 : std::ilogb(magnitude);
        // In units of the last bit; the leading one of 11 counts the exponent up.
        const double units = std::nearbyint(std::ldexp(magnitude, 10 - exponent));
        bits = static_cast<unsigned>(exponent + 14) * 1024 + static_cast<unsigned>(units);
    }
    return static_cast<uint16_t>(sign | std::min(bits, 0x7c00u));
}
uint16_t to_bfloat16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;  // ties to even
    return value == value ? static_cast<uint16_t>(rounded) : uint16_t{0x7fff};
}
template <uint16_t (*kConvert)(float)>
Next half_of_float(Thread& t, const Instruction& i) {
    t.put(i.to[0], kConvert(t.get<float>(i, 0)));
    return Next::kGoOn;
}
// The first operand comes to the upper half.
template <uint16_t (*kConvert)(float)>
Next halves_of_floats(Thread& t, const Instruction& i) {
    const uint32_t upper = kConvert(t.get<float>(i, 0));
    t.put(i.to[0], upper << 16 | kConvert(t.get<float>(i, 1)));
    return Next::kGoOn;
}
Next float_of_float16(Thread& t, const Instruction& i) {
    const unsigned bits = t.get<uint16_t>(i, 0);
    const int exponent = static_cast<int>(bits >> 10 & 31);
    const int fraction = static_cast<int>(bits & 1023);
    if (exponent == 31 && fraction != 0) {
        t.put(i.to[0], uint32_t{0x7fffffff});
        return Next::kGoOn;
    }
    const float magnitude = exponent == 31  ? std::numeric_limits<float>::infinity()
                            : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                            : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
    t.put(i.to[0], (bits & 0x8000) != 0 ? -magnitude : magnitude);
    return Next::kGoOn;
}

// ---- parts of registers ----

template <class Part, int kCount>
Next unpack(Thread& t, const Instruction& i) {
    const uint64_t whole = t.source(i.from[0]);
    for (int k = 0; k < kCount; ++k) {
        if (i.to[k] != kNothing) {
            t.put(i.to[k], static_cast<Part>(whole >> (8 * sizeof(Part) * static_cast<size_t>(k))));
        }
    }
    return Next::kGoOn;
}
template <class Part, int kCount>
Next pack(Thread& t, const Instruction& i) {
    uint64_t whole = 0;
    for (int k = 0; k < kCount; ++k) {
        whole |= uint64_t{t.get<Part>(i, k)} << (8 * sizeof(Part) * static_cast<size_t>(k));
    }
    t.put(i.to[0], whole);
    return Next::kGoOn;
}

// Four bytes of eight; the highest bit of a choice takes the byte's sign instead.
Next permute(Thread& t, const Instruction& i) {
    const uint64_t bytes = uint64_t{t.get<uint32_t>(i, 1)} << 32 | t.get<uint32_t>(i, 0);
    const uint32_t choices = t.get<uint32_t>(i, 2);
    uint32_t result = 0;
    for (unsigned k = 0; k < 4; ++k) {
        const uint32_t choice = choices >> (4 * k) & 15;
        const uint32_t byte = static_cast<uint32_t>(bytes >> (8 * (choice & 7))) & 0xff;
        const uint32_t sign = (byte & 0x80) != 0 ? 0xff : 0;
        result |= ((choice & 8) != 0 ? sign : byte) << (8 * k);
    }
    t.put(i.to[0], result);
    return Next::kGoOn;
}

template <class To>
void add_integer_conversions(Operations& all, const std::string& to) {
    const auto add = [&](auto zero, const char* from) {
        using From = decltype(zero);
        all["cvt." + (to + "." + from)] = integer_of_integer<To, From>;
    };
    add(uint8_t{}, "u8");
    add(int8_t{}, "s8");
    add(uint16_t{}, "u16");
    add(int16_t{}, "s16");
    add(uint32_t{}, "u32");
    add(int32_t{}, "s32");
    add(uint64_t{}, "u64");
    add(int64_t{}, "s64");
    all["cvt.rzi." + to + ".f32"] = integer_of_float<To, float>;
    all["cvt.rzi." + to + ".f64"] = integer_of_float<To, double>;
    all["cvt.rn.f32." + to] = float_of_integer<float, To>;
    all["cvt.rn.f64." + to] = float_of_integer<double, To>;
}

}  // namespace

void add_conversions(Operations& all) {
    for (const char sign : {'u', 's', 'b'}) {
        all[std::string("mov.") + sign + "16"] = move<uint16_t>;
        all[std::string("mov.") + sign + "32"] = move<uint32_t>;
        all[std::string("mov.") + sign + "64"] = move<uint64_t>;
    }
    all["mov.f32"] = move<uint32_t>;
    all["mov.f64"] = move<uint64_t>;
    all["mov.pred"] = move<bool>;

    add_integer_conversions<uint8_t>(all, "u8");
    add_integer_conversions<int8_t>(all, "s8");
    add_integer_conversions<uint16_t>(all, "u16");
    add_integer_conversions<int16_t>(all, "s16");
    add_integer_conversions<uint32_t>(all, "u32");
    add_integer_conversions<int32_t>(all, "s32");
    add_integer_conversions<uint64_t>(all, "u64");
    add_integer_conversions<int64_t>(all, "s64");
    all["cvt.rn.f32.f64"] = float_of_double;
    all["cvt.f64.f32"] = double_of_float;
    all["cvt.rmi.f64.f64"] = double_down;
    all["cvt.rn.f16.f32"] = half_of_float<to_float16>;
    all["cvt.rn.bf16.f32"] = half_of_float<to_bfloat16>;
    all["cvt.rn.f16x2.f32"] = halves_of_floats<to_float16>;
    all["cvt.rn.bf16x2.f32"] = halves_of_floats<to_bfloat16>;
    all["cvt.f32.f16"] = float_of_float16;

    // The assembler names these by the parts' number and type.
    all["unpack2.b32"] = unpack<uint16_t, 2>;
    all["unpack2.b64"] = unpack<uint32_t, 2>;
    all["unpack4.b64"] = unpack<uint16_t, 4>;
    all["pack2.b32"] = pack<uint16_t, 2>;
    all["pack2.b64"] = pack<uint32_t, 2>;
    all["pack4.b64"] = pack<uint16_t, 4>;
    all["prmt.b32"] = permute;
}

}  // namespace ptx
