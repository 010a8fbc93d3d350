// Loads, stores, and the addresses of both.
#include "memory.h"
#include "program.h"
#include "report.h"

namespace ptx {
namespace {

uint64_t address_of(const Thread& t, const Instruction& i) {
    const uint64_t base =
        i.base_space == Space::kParam ? reinterpret_cast<uint64_t>(t.block->parameters) : t.source(i.base);
    if (t.is_undefined(i.base)) {
        report(t, i, "has an address that nothing had written");
    }
    return base + static_cast<uint64_t>(i.offset);
}

// Loaded integers are extended to the whole register, by their sign if they have one.
template <class T>
uint64_t extended(T value) {
    if constexpr (std::is_signed_v<T>) {
        return static_cast<uint64_t>(static_cast<int64_t>(value));
    } else {
        return value;
    }
}

template <class T>
Next load(Thread& t, const Instruction& i) {
    bool defined = true;
    const unsigned char* const from =
        access(t, i, address_of(t, i), sizeof(T) * static_cast<size_t>(i.count), false, defined);
    if (!defined) {
        t.any_undefined = true;
        t.undefined_line = i.line;
    }
    for (int k = 0; k < i.count; ++k) {
        if (i.to[k] == kNothing) {
            continue;
        }
        T value = T(-1);
        if (from != nullptr) {
            memcpy(&value, from + static_cast<size_t>(k) * sizeof(T), sizeof value);
        }
        t.registers[i.to[k]] = extended(value);
        t.undefined[i.to[k]] = defined ? 0 : 1;
    }
    return Next::kGoOn;
}

template <class T>
Next store(Thread& t, const Instruction& i) {
    bool defined = true;
    for (int k = 0; k < i.count; ++k) {
        defined = defined && !t.is_undefined(i.from[k]);
    }
    unsigned char* const to = access(t, i, address_of(t, i), sizeof(T) * static_cast<size_t>(i.count), true, defined);
    for (int k = 0; k < i.count && to != nullptr; ++k) {
        const T value = t.get<T>(i, k);
        memcpy(to + static_cast<size_t>(k) * sizeof(T), &value, sizeof value);
    }
    return Next::kGoOn;
}

Next parameter_address(Thread& t, const Instruction& i) {
    t.put(i.to[0], reinterpret_cast<uint64_t>(t.block->parameters) + static_cast<uint64_t>(i.offset));
    return Next::kGoOn;
}

// Generic addresses are those of this process; only shared memory has others of its own.
Next generic_of_shared(Thread& t, const Instruction& i) {
    t.put(i.to[0], t.source(i.from[0]) - kSharedWindow + reinterpret_cast<uint64_t>(t.block->shared));
    return Next::kGoOn;
}
Next shared_of_generic(Thread& t, const Instruction& i) {
    t.put(i.to[0], t.source(i.from[0]) + kSharedWindow - reinterpret_cast<uint64_t>(t.block->shared));
    return Next::kGoOn;
}
Next same_address(Thread& t, const Instruction& i) {
    t.put(i.to[0], t.source(i.from[0]));
    return Next::kGoOn;
}

}  // namespace

// The assembler names loads and stores by the type alone, and moves of parameters' addresses.
void add_transfers(Operations& all) {
    const auto add = [&](auto zero, const std::string& type) {
        all["ld." + type] = load<decltype(zero)>;
        all["st." + type] = store<decltype(zero)>;
    };
    add(int8_t{}, "s8");
    add(int16_t{}, "s16");
    add(int32_t{}, "s32");
    add(int64_t{}, "s64");
    for (const char sign : {'u', 'b'}) {
        add(uint8_t{}, sign + std::string("8"));
        add(uint16_t{}, sign + std::string("16"));
        add(uint32_t{}, sign + std::string("32"));
        add(uint64_t{}, sign + std::string("64"));
    }
    add(uint32_t{}, "f32");
    add(uint64_t{}, "f64");
    all["mov.param"] = parameter_address;
    all["cvta.shared.u64"] = generic_of_shared;
    all["cvta.to.shared.u64"] = shared_of_generic;
    for (const char* const space : {"global", "param"}) {
        all[std::string("cvta.") + space + ".u64"] = same_address;
        all[std::string("cvta.to.") + space + ".u64"] = same_address;
    }
}

}  // namespace ptx
