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
    char* states[kMaxStates];  // of DYNAMIC8: the block
    const char* inputs[kMaxInputs];
};

// Masks say which states and inputs there are.
Types types_of(const MixedArgs& args, int64_t t, uint32_t states, uint32_t inputs) {
    const MixedBuffers& buffers = args.buffers;
    Types types = {};
    types.param = buffers.param.type(t);
    types.grad = args.grads != nullptr ? NOPT_DTYPE_FLOAT32 : buffers.grad.type(t);
    for (int s = 0; s < kMaxStates; ++s) {
        types.states[s] = (states >> s & 1u) != 0 ? buffers.states[s].type(t) : NOPT_DTYPE_FLOAT32;
        types.has_blocks = types.has_blocks || types.states[s] == NOPT_DTYPE_DYNAMIC8;
    }
    for (int n = 0; n < kMaxInputs; ++n) {
        types.inputs[n] = (inputs >> n & 1u) != 0 ? buffers.inputs[n].type(t) : NOPT_DTYPE_FLOAT32;
    }
    types.random_states = (args.rounding & NOPT_FLAG_STOCHASTIC_ROUNDING_STATES) != 0;
    const bool is_random = (args.rounding & NOPT_FLAG_STOCHASTIC_ROUNDING) != 0;
    types.theta = buffers.master.address(t) != nullptr              ? kThetaMaster
                  : buffers.remainder.address(t) != nullptr         ? kThetaRemainder
                  : is_random && types.param == NOPT_DTYPE_BFLOAT16 ? kThetaStochastic
                                                                    : kThetaAlone;
    return types;
}

// Places in blocks stay at the block.
template <class Char>
NOPT_HD Char* moved(Char* from, nopt_dtype type, int64_t elements) {
    return from == nullptr || type == NOPT_DTYPE_DYNAMIC8 ? from : from + elements * bytes_of(type);
}

// Some elements further on, none of them in another block.
Places places_after(const Types& types, const Places& places, int64_t elements) {
    Places after;
    after.param = moved(places.param, types.param, elements);
    after.source = moved(places.source, types.param, elements);
    after.master = moved(places.master, NOPT_DTYPE_FLOAT32, elements);
    after.remainder = moved(places.remainder, NOPT_DTYPE_BFLOAT16, elements);
    after.grad = moved(places.grad, types.grad, elements);
    for (int s = 0; s < kMaxStates; ++s) {
        after.states[s] = moved(places.states[s], types.states[s], elements);
    }
    for (int n = 0; n < kMaxInputs; ++n) {
        after.inputs[n] = moved(places.inputs[n], types.inputs[n], elements);
    }
    return after;
}

// From element `begin` on, the first of a block.
Places places_at(const MixedArgs& args, const Types& types, int64_t t, int64_t begin, uint32_t states,
                 uint32_t inputs) {
    const MixedBuffers& buffers = args.buffers;
    Places first = {};
    first.param = buffers.param.address(t);
    first.source = buffers.source.address(t);
    first.master = buffers.master.address(t);
    first.remainder = buffers.remainder.address(t);
    first.grad = args.grads != nullptr ? nullptr : buffers.grad.address(t);
    for (int n = 0; n < kMaxInputs; ++n) {
        first.inputs[n] = (inputs >> n & 1u) != 0 ? buffers.inputs[n].address(t) : nullptr;
    }
    Places places = places_after(types, first, begin);
    for (int s = 0; s < kMaxStates; ++s) {
        if ((states >> s & 1u) != 0) {
            char* const buffer = buffers.states[s].address(t);
            places.states[s] = types.states[s] == NOPT_DTYPE_DYNAMIC8 ? buffer + dynamic8_offset(begin)
                                                                      : moved(buffer, types.states[s], begin);
        }
    }
    return places;
}

// Room for the last elements of a tensor, which are no whole pack.
class Tail {
public:
    // Copies `count` elements into the room, zeros behind them, and returns where they are.
    Places take(const Types& types, const Places& from, int64_t count) {
        Places own = {};
        own.source = copy_in(from.source, types.param, count);
        own.param = const_cast<char*>(own.source);
        own.master = copy_in(from.master, NOPT_DTYPE_FLOAT32, count);
        own.remainder = copy_in(from.remainder, NOPT_DTYPE_BFLOAT16, count);
        own.grad = copy_in(from.grad, types.grad, count);
        for (int s = 0; s < kMaxStates; ++s) {
            own.states[s] = copy_in(from.states[s], types.states[s], count);
        }
        for (int n = 0; n < kMaxInputs; ++n) {
            own.inputs[n] = copy_in(from.inputs[n], types.inputs[n], count);
        }
        return own;
    }

    // Copies back what steps write.
    static void give(const Types& types, const Places& own, const Places& to, int64_t count) {
        copy_out(own.param, to.param, types.param, count);
        copy_out(own.master, to.master, NOPT_DTYPE_FLOAT32, count);
        copy_out(own.remainder, to.remainder, NOPT_DTYPE_BFLOAT16, count);
        for (int s = 0; s < kMaxStates; ++s) {
            copy_out(own.states[s], to.states[s], types.states[s], count);
        }
    }

private:
    // (Blocks are decoded as a whole.)
    char* copy_in(const char* from, nopt_dtype type, int64_t count) {
        if (from == nullptr || type == NOPT_DTYPE_DYNAMIC8) {
            return nullptr;
        }
        char* const own = room_[used_++];
        memset(own, 0, sizeof room_[0]);
        memcpy(own, from, static_cast<size_t>(count * bytes_of(type)));
        return own;
    }
    static void copy_out(const char* own, char* to, nopt_dtype type, int64_t count) {
        if (own != nullptr) {
            memcpy(to, own, static_cast<size_t>(count * bytes_of(type)));
        }
    }

    char room_[4 + kMaxStates + kMaxInputs][kPack * sizeof(float)];
    int used_ = 0;
};

}  // namespace
}  // namespace nopt
