// Arithmetic, comparisons and selections. GPUs round as IEEE 754 says where the instruction says .rn, and give one NaN
// in float32, whatever went in.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <type_traits>

#include "program.h"

namespace ptx {
namespace {

template <class T>
T canonical(T value) {
    if constexpr (std::is_same_v<T, float>) {
        constexpr uint32_t kNan = 0x7fffffff;
        if (value != value) {
            memcpy(&value, &kNan, sizeof value);
        }
    }
    return value;
}

template <class T, class Compute>
Next unary(Thread& t, const Instruction& i) {
    t.put(i.to[0], static_cast<T>(Compute()(t.get<T>(i, 0))));
    return Next::kGoOn;
}

template <class T, class Compute>
Next binary(Thread& t, const Instruction& i) {
    t.put(i.to[0], canonical(static_cast<T>(Compute()(t.get<T>(i, 0), t.get<T>(i, 1)))));
    return Next::kGoOn;
}

template <class T, class Compute>
Next ternary(Thread& t, const Instruction& i) {
    t.put(i.to[0], canonical(static_cast<T>(Compute()(t.get<T>(i, 0), t.get<T>(i, 1), t.get<T>(i, 2)))));
    return Next::kGoOn;
}

// ---- floating point ----

struct Reciprocal {
    template <class T>
    T operator()(T a) const {
        return canonical(T(1) / a);
    }
};
struct SquareRoot {
    template <class T>
    T operator()(T a) const {
        return canonical(std::sqrt(a));
    }
};
struct FusedMultiplyAdd {
    template <class T>
    T operator()(T a, T b, T c) const {
        return std::fma(a, b, c);
    }
};
// These only touch the sign, of NaNs too.
struct FloatNegate {
    template <class T>
    T operator()(T a) const {
        return std::copysign(a, std::signbit(a) ? T(1) : T(-1));
    }
};
struct FloatAbsolute {
    template <class T>
    T operator()(T a) const {
        return std::copysign(a, T(1));
    }
};
// -0 is less than +0; of a number and a NaN, the number.
struct FloatMax {
    template <class T>
    T operator()(T a, T b) const {
        if (a != a || b != b) {
            return a != a ? b : a;
        }
        return a == b ? (std::signbit(a) ? b : a) : std::max(a, b);
    }
};
// Of a number and a NaN, the NaN.
struct FloatMaxOrNan {
    template <class T>
    T operator()(T a, T b) const {
        return a != a || b != b ? a + b : FloatMax()(a, b);
    }
};
struct FloatMin {
    template <class T>
    T operator()(T a, T b) const {
        if (a != a || b != b) {
            return a != a ? b : a;
        }
        return a == b ? (std::signbit(a) ? a : b) : std::min(a, b);
    }
};

template <class T>
void add_floats(Operations& all, const std::string& type) {
    for (const char* const rounding : {".", ".rn."}) {
        all["add" + (rounding + type)] = binary<T, std::plus<>>;
        all["sub" + (rounding + type)] = binary<T, std::minus<>>;
        all["mul" + (rounding + type)] = binary<T, std::multiplies<>>;
    }
    all["div.rn." + type] = binary<T, std::divides<>>;
    all["rcp.rn." + type] = unary<T, Reciprocal>;
    all["sqrt.rn." + type] = unary<T, SquareRoot>;
    all["fma.rn." + type] = ternary<T, FusedMultiplyAdd>;
    all["neg." + type] = unary<T, FloatNegate>;
    all["abs." + type] = unary<T, FloatAbsolute>;
    all["max." + type] = binary<T, FloatMax>;
    all["max.NaN." + type] = binary<T, FloatMaxOrNan>;
    all["min." + type] = binary<T, FloatMin>;
}

// ---- integers ----

// They wrap around, so signed ones are computed as unsigned ones of 64 bits.
struct Product {
    uint64_t operator()(uint64_t a, uint64_t b) const { return a * b; }
};
struct ProductAndSum {
    uint64_t operator()(uint64_t a, uint64_t b, uint64_t c) const { return a * b + c; }
};
struct Negated {
    uint64_t operator()(uint64_t a) const { return 0 - a; }
};
struct Quotient {
    template <class T>
    T operator()(T a, T b) const {
        return b == 0 ? static_cast<T>(-1) : static_cast<T>(a / b);
    }
};
struct Rest {
    template <class T>
    T operator()(T a, T b) const {
        return b == 0 ? a : static_cast<T>(a % b);
    }
};
struct Largest {
    template <class T>
    T operator()(T a, T b) const {
        return std::max(a, b);
    }
};
struct Smallest {
    template <class T>
    T operator()(T a, T b) const {
        return std::min(a, b);
    }
};
struct Absolute {
    template <class T>
    T operator()(T a) const {
        return a < 0 ? static_cast<T>(0 - static_cast<uint64_t>(a)) : a;
    }
};

// Shifts by more than the width are by the width.
template <class T>
Next shift_left(Thread& t, const Instruction& i) {
    const uint32_t by = t.get<uint32_t>(i, 1);
    t.put(i.to[0], by >= 8 * sizeof(T) ? T(0) : static_cast<T>(t.get<T>(i, 0) << by));
    return Next::kGoOn;
}
template <class T>
Next shift_right(Thread& t, const Instruction& i) {
    const uint32_t by = std::min<uint32_t>(t.get<uint32_t>(i, 1), 64);
    const T value = t.get<T>(i, 0);
    const T outside = static_cast<T>(value < T(0) ? -1 : 0);
    t.put(i.to[0], by >= 8 * sizeof(T) ? outside : static_cast<T>(value >> by));
    return Next::kGoOn;
}

template <class Wide, class T>
Next wide_product(Thread& t, const Instruction& i) {
    t.put(i.to[0], static_cast<Wide>(Wide{t.get<T>(i, 0)} * Wide{t.get<T>(i, 1)}));
    return Next::kGoOn;
}
template <class Wide, class T>
Next upper_product(Thread& t, const Instruction& i) {
    t.put(i.to[0], static_cast<T>((Wide{t.get<T>(i, 0)} * Wide{t.get<T>(i, 1)}) >> (8 * sizeof(T))));
    return Next::kGoOn;
}

template <class T>
void add_integers(Operations& all, const std::string& type) {
    using Unsigned = std::make_unsigned_t<T>;
    all["add." + type] = binary<Unsigned, std::plus<>>;
    all["sub." + type] = binary<Unsigned, std::minus<>>;
    all["mul.lo." + type] = binary<Unsigned, Product>;
    all["mad.lo." + type] = ternary<Unsigned, ProductAndSum>;
    all["neg." + type] = unary<Unsigned, Negated>;
    all["div." + type] = binary<T, Quotient>;
    all["rem." + type] = binary<T, Rest>;
    all["max." + type] = binary<T, Largest>;
    all["min." + type] = binary<T, Smallest>;
    all["shr." + type] = shift_right<T>;
    if constexpr (std::is_signed_v<T>) {
        all["abs." + type] = unary<T, Absolute>;
    }
}

template <class T>
void add_bits(Operations& all, const std::string& type) {
    all["and." + type] = binary<T, std::bit_and<>>;
    all["or." + type] = binary<T, std::bit_or<>>;
    all["xor." + type] = binary<T, std::bit_xor<>>;
    all["not." + type] = unary<T, std::bit_not<>>;
    all["shl." + type] = shift_left<T>;
    all["shr." + type] = shift_right<T>;
}

// ---- predicates ----

struct Not {
    bool operator()(bool a) const { return !a; }
};

// `kUnordered`: what a comparison with a NaN gives.
template <class T, class Compare, bool kUnordered>
Next compare(Thread& t, const Instruction& i) {
    const T a = t.get<T>(i, 0);
    const T b = t.get<T>(i, 1);
    const bool is_ordered = a == a && b == b;
    t.put(i.to[0], is_ordered ? Compare()(a, b) : kUnordered);
    return Next::kGoOn;
}

struct Always {
    template <class T>
    bool operator()(T, T) const {
        return true;
    }
};
struct Never {
    template <class T>
    bool operator()(T, T) const {
        return false;
    }
};

template <class T>
void add_comparisons(Operations& all, const std::string& type) {
    const auto add = [&](const char* name, Operation operation) { all["setp." + (name + ("." + type))] = operation; };
    add("eq", compare<T, std::equal_to<>, false>);
    add("ne", compare<T, std::not_equal_to<>, false>);
    add("lt", compare<T, std::less<>, false>);
    add("le", compare<T, std::less_equal<>, false>);
    add("gt", compare<T, std::greater<>, false>);
    add("ge", compare<T, std::greater_equal<>, false>);
    if constexpr (std::is_floating_point_v<T>) {
        add("equ", compare<T, std::equal_to<>, true>);
        add("neu", compare<T, std::not_equal_to<>, true>);
        add("ltu", compare<T, std::less<>, true>);
        add("leu", compare<T, std::less_equal<>, true>);
        add("gtu", compare<T, std::greater<>, true>);
        add("geu", compare<T, std::greater_equal<>, true>);
        add("num", compare<T, Always, false>);
        add("nan", compare<T, Never, true>);
    }
}

template <class T>
Next select(Thread& t, const Instruction& i) {
    t.put(i.to[0], t.get<T>(i, t.get<bool>(i, 2) ? 0 : 1));
    return Next::kGoOn;
}

template <class T>
void add_selection(Operations& all, const std::string& type) {
    all["selp." + type] = select<T>;
}

}  // namespace

void add_arithmetic(Operations& all) {
    add_floats<float>(all, "f32");
    add_floats<double>(all, "f64");
    add_integers<int16_t>(all, "s16");
    add_integers<int32_t>(all, "s32");
    add_integers<int64_t>(all, "s64");
    add_integers<uint16_t>(all, "u16");
    add_integers<uint32_t>(all, "u32");
    add_integers<uint64_t>(all, "u64");
    add_bits<uint16_t>(all, "b16");
    add_bits<uint32_t>(all, "b32");
    add_bits<uint64_t>(all, "b64");
    all["and.pred"] = binary<bool, std::bit_and<>>;
    all["or.pred"] = binary<bool, std::bit_or<>>;
    all["xor.pred"] = binary<bool, std::bit_xor<>>;
    all["not.pred"] = unary<bool, Not>;
    const auto add_any = [&](auto zero, const char* type) {
        add_comparisons<decltype(zero)>(all, type);
        add_selection<decltype(zero)>(all, type);
    };
    add_any(int16_t{}, "s16");
    add_any(int32_t{}, "s32");
    add_any(int64_t{}, "s64");
    for (const char sign : {'u', 'b'}) {
        add_any(uint16_t{}, (sign + std::string("16")).c_str());
        add_any(uint32_t{}, (sign + std::string("32")).c_str());
        add_any(uint64_t{}, (sign + std::string("64")).c_str());
    }
    add_any(float{}, "f32");
    add_any(double{}, "f64");
    all["mul.wide.s16"] = wide_product<int32_t, int16_t>;
    all["mul.wide.u16"] = wide_product<uint32_t, uint16_t>;
    all["mul.wide.s32"] = wide_product<int64_t, int32_t>;
    all["mul.wide.u32"] = wide_product<uint64_t, uint32_t>;
    all["mul.hi.s32"] = upper_product<int64_t, int32_t>;
    all["mul.hi.u32"] = upper_product<uint64_t, uint32_t>;
}

}  // namespace ptx
