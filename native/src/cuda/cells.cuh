// Buffers of any element type, as the kernels read and write them. Reading has two parts, so that a thread has all its
// loads on their way before it needs the first of them: `fetch` loads the bits, `values` makes floats of them.
#pragma once

#include <stdint.h>

#include "backend/roles.h"
#include "cuda/access.cuh"
#include "cuda/halves.cuh"
#include "cuda/pieces.cuh"
#include "numerics/dtypes.h"

namespace nopt {

// A role's buffers, per tensor, in device memory; null if the role is not bound.
using RoleTable = const void* const*;

// The element types of all tensors, kRoleSlots for each, in device memory. Null: all are float32.
using TypeTable = const uint8_t*;
static_assert(kDTypeSlots <= 256, "an entry of a TypeTable is a byte");

__device__ inline int dtype_of(TypeTable types, int tensor, nopt_role role) {
    return types[int64_t{tensor} * kRoleSlots + static_cast<int>(role)];
}

template <class Values>
__device__ inline Values floats_of_words(const uint32_t* words) {
    Values values;
#pragma unroll
    for (int k = 0; k < Values::kCount; ++k) {
        values.v[k] = float_of(words[k]);
    }
    return values;
}

template <class Values>
__device__ inline Access<Values::kCount> words_of_floats(const Values& values) {
    Access<Values::kCount> bits;
#pragma unroll
    for (int k = 0; k < Values::kCount; ++k) {
        bits.word[k] = bits_of(values.v[k]);
    }
    return bits;
}

template <class Values>
__device__ inline void store_floats(float* to, const Values& values) {
    store_words(to, words_of_floats(values));
}

// What a loop may be compiled for instead of one type: any, and then it asks for that of each role, or one of 16 bits.
constexpr int kAnyType = 0;
constexpr int kHalfType = -1;
static_assert(!is_dtype(kAnyType) && !is_dtype(kHalfType));

__device__ inline bool is_of_type(int dtype, int type) {
    return type == kHalfType ? dtype == NOPT_DTYPE_BFLOAT16 || dtype == NOPT_DTYPE_FLOAT16 : dtype == type;
}

// Of cells whose type is `dtype`, in a loop that is compiled for `kType`.
template <int kType>
__device__ inline int dtype_in_loop(int dtype) {
    const int half = dtype == NOPT_DTYPE_FLOAT16 ? NOPT_DTYPE_FLOAT16 : NOPT_DTYPE_BFLOAT16;
    return kType == kAnyType ? dtype : kType == kHalfType ? half : kType;
}

// A role's elements from the begin of a piece on. `kMixed`: of any type whose elements stand for themselves, which is
// the same for the whole piece; else all are float32, and no instruction asks.
template <bool kMixed>
struct Cells;

template <>
struct Cells<false> {
    float* at;

    __device__ Cells() : at(nullptr) {}
    __device__ Cells(RoleTable table, TypeTable, nopt_role, const Piece& piece)
        : at(static_cast<float*>(const_cast<void*>(table[piece.tensor])) + piece.begin) {}

    template <class Values>
    using Fetched = Values;

    template <class Values>
    __device__ Values fetch(int i) const {
        return floats_of_words<Values>(load_words<Values::kCount>(at + i).word);
    }
    // The first elements of a pack; 0 for the others.
    __device__ Pack fetch_some(int i, int count) const {
        Pack values;
#pragma unroll
        for (int k = 0; k < kPack; ++k) {
            values.v[k] = k < count ? fetch<Single>(i + k).v[0] : 0.0f;
        }
        return values;
    }
    template <class Values>
    __device__ const Values& values(const Values& fetched) const {
        return fetched;
    }
    template <class Values>
    __device__ Values load(int i) const {
        return fetch<Values>(i);
    }
    template <class Values>
    __device__ void store(int i, const Values& values) const {
        store_floats(at + i, values);
    }
    // Of the same type, bit for bit.
    template <class Values>
    __device__ void copy(int i, const Cells& from) const {
        store_words(at + i, load_words<Values::kCount>(from.at + i));
    }
    template <int kType>
    __device__ const Cells& typed() const {
        return *this;
    }
    // The position within a wide access, in elements.
    __device__ int misalignment() const {
        return static_cast<int>(reinterpret_cast<uintptr_t>(at) / sizeof(float) % kPack);
    }
};

// The bits of some elements of one role: a word for each, or half a word, from `word` on. The second half of the words
// has room for the remainders of elements of 16 bits.
template <class Values>
struct Bits {
    static constexpr int kRemainders = Values::kCount < 2 ? 1 : Values::kCount / 2;

    uint32_t word[2 * kRemainders];
};

template <>
struct Cells<true> {
    void* at;
    int dtype;

    __device__ Cells() : at(nullptr), dtype(NOPT_DTYPE_FLOAT32) {}
    __device__ Cells(RoleTable table, TypeTable types, nopt_role role, const Piece& piece)
        : at(const_cast<void*>(table[piece.tensor])), dtype(dtype_of(types, piece.tensor, role)) {
        at = static_cast<char*>(at) + piece.begin * bytes_of(dtype);
    }

    template <class Values>
    using Fetched = Bits<Values>;

    __device__ float* floats(int i) const { return static_cast<float*>(at) + i; }
    __device__ uint16_t* halves(int i) const { return static_cast<uint16_t*>(at) + i; }

    template <class Values>
    __device__ Bits<Values> fetch(int i) const {
        Bits<Values> bits = {};
        if (dtype == NOPT_DTYPE_FLOAT32) {
            const Access<Values::kCount> words = load_words<Values::kCount>(floats(i));
#pragma unroll
            for (int k = 0; k < Values::kCount; ++k) {
                bits.word[k] = words.word[k];
            }
        } else {
            load_halves<Values::kCount>(halves(i), bits.word);
        }
        return bits;
    }
    // The first elements of a pack; 0 for the others.
    __device__ Bits<Pack> fetch_some(int i, int count) const {
        Bits<Pack> bits = {};
#pragma unroll
        for (int k = 0; k < kPack; ++k) {
            const uint32_t one = k < count ? fetch<Single>(i + k).word[0] : 0;
            if (dtype == NOPT_DTYPE_FLOAT32) {
                bits.word[k] = one;
            } else {
                bits.word[k / 2] |= one << (k % 2 * 16);
            }
        }
        return bits;
    }
    template <class Values>
    __device__ Values values(const Bits<Values>& bits) const {
        if (dtype == NOPT_DTYPE_FLOAT32) {
            return floats_of_words<Values>(bits.word);
        }
        Values values;
        if (dtype == NOPT_DTYPE_BFLOAT16) {
            from_bfloat16s(bits.word, values.v);
        } else {
            from_float16s(bits.word, values.v);
        }
        return values;
    }
    template <class Values>
    __device__ Values load(int i) const {
        return values(fetch<Values>(i));
    }
    template <class Values>
    __device__ void store(int i, const Values& values) const {
        if (dtype == NOPT_DTYPE_FLOAT32) {
            store_floats(floats(i), values);
        } else {
            store_halves(halves(i), dtype == NOPT_DTYPE_BFLOAT16 ? to_bfloat16s(values.v) : to_float16s(values.v));
        }
    }
    template <class Values>
    __device__ void copy(int i, const Cells& from) const {
        if (dtype == NOPT_DTYPE_FLOAT32) {
            store_words(floats(i), load_words<Values::kCount>(from.floats(i)));
        } else {
            Halves<Values::kCount> bits;
            load_halves<Values::kCount>(from.halves(i), bits.word);
            store_halves(halves(i), bits);
        }
    }
    // The same, if they are of this type, for a loop that is compiled for it.
    template <int kType>
    __device__ Cells typed() const {
        Cells cells = *this;
        cells.dtype = dtype_in_loop<kType>(dtype);
        return cells;
    }
    __device__ int misalignment() const {
        return static_cast<int>(reinterpret_cast<uintptr_t>(at) / static_cast<uintptr_t>(bytes_of(dtype)) % kPack);
    }
};

// Makes the Cells of a role that may not be bound, or have no buffer for the tensor; then `at` is null.
template <bool kMixed>
__device__ inline Cells<kMixed> optional_cells(RoleTable table, TypeTable types, nopt_role role, const Piece& piece) {
    return table == nullptr || table[piece.tensor] == nullptr ? Cells<kMixed>()
                                                              : Cells<kMixed>(table, types, role, piece);
}

}  // namespace nopt
