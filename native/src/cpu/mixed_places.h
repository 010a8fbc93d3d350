// What the buffers of a tensor are, and where in them the elements are that a mixed kernel works on.
#pragma once

#include "cpu/mixed_kernels.h"
#include "cpu/pack.h"
#include "numerics/dynamic8.h"

namespace nopt {
namespace {

// How the parameters of a tensor are stored.
enum ThetaKind {
    kThetaAlone,       // in PARAM, rounded to nearest where it has 16 bits
    kThetaStochastic,  // in PARAM, bfloat16 rounded at random
    kThetaRemainder,   // in PARAM and PARAM_REMAINDER
    kThetaMaster       // in MASTER_PARAM, and rounded in PARAM
};

struct Types {
    ThetaKind theta;
    nopt_dtype param;
    nopt_dtype grad;
    nopt_dtype states[kMaxStates];
    nopt_dtype inputs[kMaxInputs];
    bool has_blocks;     // some states are DYNAMIC8
    bool random_states;  // those of bfloat16 are rounded at random
};

// Null: the tensor has none.
struct Places {
    char* param;
    const char* source;
    char* master;
    char* remainder;
    const char* grad;
    const char* displaced;
    char* direction;
    char* states[kMaxStates];  // of DYNAMIC8: the block
    const char* inputs[kMaxInputs];
};

// Calls function(Index<i>()) for each bit of the mask.
template <int kIndex>
struct Index {
    static constexpr int value = kIndex;
};
template <uint32_t kMask, int kFirst = 0, class Function>
NOPT_HD void for_each_of(const Function& function) {
    if constexpr (kMask >> kFirst != 0) {
        if constexpr ((kMask >> kFirst & 1u) != 0) function(Index<kFirst>());
        for_each_of<kMask, kFirst + 1>(function);
    }
}

// Masks say which states and inputs there are.
template <uint32_t kStates, uint32_t kInputs>
NOPT_HD Types types_of(const MixedArgs& args, int64_t t) {
    const MixedBuffers& buffers = args.buffers;
    Types types = {};
    types.param = buffers.param.type(t);
    types.grad = buffers.grad.type(t);
    for_each_of<kStates>([&](auto s) {
        types.states[s.value] = buffers.states[s.value].type(t);
        types.has_blocks = types.has_blocks || types.states[s.value] == NOPT_DTYPE_DYNAMIC8;
    });
    for_each_of<kInputs>([&](auto n) { types.inputs[n.value] = buffers.inputs[n.value].type(t); });
    types.random_states = (args.rounding & NOPT_FLAG_STOCHASTIC_ROUNDING_STATES) != 0;
    const bool is_random = (args.rounding & NOPT_FLAG_STOCHASTIC_ROUNDING) != 0;
    types.theta = buffers.master.address(t) != nullptr              ? kThetaMaster
                  : buffers.remainder.address(t) != nullptr         ? kThetaRemainder
                  : is_random && types.param == NOPT_DTYPE_BFLOAT16 ? kThetaStochastic
                                                                    : kThetaAlone;
    return types;
}

template <class Char>
NOPT_HD Char* moved(Char* from, nopt_dtype type, int64_t elements) {
    return from == nullptr ? nullptr : from + elements * bytes_of(type);
}

// Some elements further on. Places in blocks stay at the block.
template <uint32_t kStates, uint32_t kInputs>
NOPT_HD Places places_after(const Types& types, const Places& places, int64_t elements) {
    Places after = {};
    after.param = moved(places.param, types.param, elements);
    after.source = moved(places.source, types.param, elements);
    after.master = moved(places.master, NOPT_DTYPE_FLOAT32, elements);
    after.remainder = moved(places.remainder, NOPT_DTYPE_BFLOAT16, elements);
    after.grad = moved(places.grad, types.grad, elements);
    after.displaced = moved(places.displaced, types.grad, elements);
    after.direction = moved(places.direction, NOPT_DTYPE_FLOAT32, elements);
    for_each_of<kStates>([&](auto s) {
        const nopt_dtype type = types.states[s.value];
        char* const own = places.states[s.value];
        after.states[s.value] = type == NOPT_DTYPE_DYNAMIC8 ? own : moved(own, type, elements);
    });
    for_each_of<kInputs>(
        [&](auto n) { after.inputs[n.value] = moved(places.inputs[n.value], types.inputs[n.value], elements); });
    return after;
}

// From element `begin` on, the first of a block.
template <uint32_t kStates, uint32_t kInputs>
NOPT_HD Places places_at(const MixedArgs& args, const Types& types, int64_t t, int64_t begin) {
    const MixedBuffers& buffers = args.buffers;
    Places first = {};
    first.param = buffers.param.address(t);
    first.source = buffers.source.address(t);
    first.master = buffers.master.address(t);
    first.remainder = buffers.remainder.address(t);
    first.grad = buffers.grad.address(t);
    if (args.dimer != nullptr) {
        first.displaced = args.dimer->displaced.address(t);
        first.direction = args.dimer->direction.address(t);
    }
    for_each_of<kStates>([&](auto s) {
        char* const buffer = buffers.states[s.value].address(t);
        first.states[s.value] = types.states[s.value] == NOPT_DTYPE_DYNAMIC8 ? buffer + dynamic8_offset(begin) : buffer;
    });
    for_each_of<kInputs>([&](auto n) { first.inputs[n.value] = buffers.inputs[n.value].address(t); });
    return places_after<kStates, kInputs>(types, first, begin);
}

// Copies up to the bytes of a pack of float32; `to` is a room for as many, and gets zeros behind them.
#if defined(NOPT_PACK_AVX512)
NOPT_HD uint64_t mask_of(int64_t bytes) {
    return bytes <= 0 ? 0 : bytes >= 64 ? ~uint64_t{0} : ~uint64_t{0} >> (64 - bytes);
}
NOPT_HD void copy_to_room(char* to, const char* from, int64_t bytes) {
    _mm512_storeu_si512(to, _mm512_maskz_loadu_epi8(mask_of(bytes), from));
    _mm512_storeu_si512(to + 64, _mm512_maskz_loadu_epi8(mask_of(bytes - 64), from + 64));
}
NOPT_HD void copy_from_room(char* to, const char* room, int64_t bytes) {
    _mm512_mask_storeu_epi8(to, mask_of(bytes), _mm512_loadu_si512(room));
    _mm512_mask_storeu_epi8(to + 64, mask_of(bytes - 64), _mm512_loadu_si512(room + 64));
}
#else
NOPT_HD void copy_to_room(char* to, const char* from, int64_t bytes) {
    memset(to, 0, kPack * sizeof(float));
    memcpy(to, from, static_cast<size_t>(bytes));
}
NOPT_HD void copy_from_room(char* to, const char* room, int64_t bytes) { memcpy(to, room, static_cast<size_t>(bytes)); }
#endif

// Room for the last elements of a tensor, which are no whole pack.
class Tail {
public:
    // Copies `count` elements into the room, zeros behind them, and returns where they are. (Blocks are decoded as a
    // whole.)
    template <uint32_t kStates, uint32_t kInputs>
    NOPT_NOT_INLINED Places take(const Types& types, const Places& from, int64_t count) {
        Places own = {};
        own.source = copy_in(from.source, types.param, count);
        own.param = const_cast<char*>(own.source);
        own.master = copy_in(from.master, NOPT_DTYPE_FLOAT32, count);
        own.remainder = copy_in(from.remainder, NOPT_DTYPE_BFLOAT16, count);
        own.grad = copy_in(from.grad, types.grad, count);
        own.displaced = copy_in(from.displaced, types.grad, count);
        own.direction = copy_in(from.direction, NOPT_DTYPE_FLOAT32, count);
        for_each_of<kStates>([&](auto s) {
            if (types.states[s.value] != NOPT_DTYPE_DYNAMIC8) {
                own.states[s.value] = copy_in(from.states[s.value], types.states[s.value], count);
            }
        });
        for_each_of<kInputs>(
            [&](auto n) { own.inputs[n.value] = copy_in(from.inputs[n.value], types.inputs[n.value], count); });
        return own;
    }

    // Copies back what steps write.
    template <uint32_t kStates>
    NOPT_NOT_INLINED static void give(const Types& types, const Places& own, const Places& to, int64_t count) {
        copy_out(own.param, to.param, types.param, count);
        copy_out(own.master, to.master, NOPT_DTYPE_FLOAT32, count);
        copy_out(own.remainder, to.remainder, NOPT_DTYPE_BFLOAT16, count);
        copy_out(own.direction, to.direction, NOPT_DTYPE_FLOAT32, count);
        for_each_of<kStates>(
            [&](auto s) { copy_out(own.states[s.value], to.states[s.value], types.states[s.value], count); });
    }

private:
    NOPT_HD char* copy_in(const char* from, nopt_dtype type, int64_t count) {
        if (from == nullptr) {
            return nullptr;
        }
        char* const own = room_[used_++];
        copy_to_room(own, from, count * bytes_of(type));
        return own;
    }
    NOPT_HD static void copy_out(const char* own, char* to, nopt_dtype type, int64_t count) {
        if (own != nullptr) {
            copy_from_room(to, own, count * bytes_of(type));
        }
    }

    alignas(kPack * sizeof(float)) char room_[6 + kMaxStates + kMaxInputs][kPack * sizeof(float)];
    int used_ = 0;
};

}  // namespace
}  // namespace nopt
