// What the extern "C" functions share: the guard that turns exceptions into a status, and argument checks.
#pragma once

#include <float.h>
#include <stddef.h>
#include <string.h>

#include <new>
#include <type_traits>

#include "backend/backend.h"
#include "backend/error.h"
#include "backend/param_set.h"

namespace nopt {

void set_last_error(const char* text) noexcept;

// The only try/catch of the library. Nothing here allocates unless something fails.
template <class Body>
nopt_status guarded(Body&& body) noexcept {
    try {
        body();
        return NOPT_OK;
    } catch (const Error& error) {
        set_last_error(error.text);
        return error.status;
    } catch (const std::bad_alloc&) {
        set_last_error("host memory ran out");
        return NOPT_ERROR_OUT_OF_MEMORY;
    } catch (...) {
        set_last_error("an unexpected exception inside the library; please report it");
        return NOPT_ERROR_INTERNAL;
    }
}

inline void require_not_null(const void* argument, const char* name) {
    if (argument == nullptr) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "%s is null", name);
    }
}

// Finite as a float, too.
inline void check_at_least_0(double value, const char* name) {
    if (!(value >= 0.0 && value <= double{FLT_MAX})) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "%s is %g; it must be >= 0 and finite as a float", name, value);
    }
}

inline void check_stream(nopt_backend backend, const void* stream) {
    if (backend == NOPT_BACKEND_CPU && stream != nullptr) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "stream is not null; the CPU backend has no streams");
    }
}

// Bytes of a public struct as ABI version 2 had it, the least that a caller passes. A field appended later leaves its
// number as it is: callers that do not know the field go on working.
template <class Struct>
inline constexpr size_t kOriginalSize = 0;
template <>
inline constexpr size_t kOriginalSize<nopt_device_info> = 160;
template <>
inline constexpr size_t kOriginalSize<nopt_cpu_isa_info> = 48;
template <>
inline constexpr size_t kOriginalSize<nopt_dtype_info> = 32;
template <>
inline constexpr size_t kOriginalSize<nopt_role_info> = 40;
template <>
inline constexpr size_t kOriginalSize<nopt_hyperparams> = 112;
template <>
inline constexpr size_t kOriginalSize<nopt_rule_info> = 56;
template <>
inline constexpr size_t kOriginalSize<nopt_hyperparam_info> = 64;
template <>
inline constexpr size_t kOriginalSize<nopt_flag_info> = 32;
template <>
inline constexpr size_t kOriginalSize<nopt_state_info> = 64;
template <>
inline constexpr size_t kOriginalSize<nopt_input_info> = 24;
template <>
inline constexpr size_t kOriginalSize<nopt_running_info> = 32;
template <>
inline constexpr size_t kOriginalSize<nopt_step_state> = 48;
template <>
inline constexpr size_t kOriginalSize<nopt_grad_options> = 32;
template <>
inline constexpr size_t kOriginalSize<nopt_grad_status> = 32;
template <>
inline constexpr size_t kOriginalSize<nopt_dimer_options> = 48;
template <>
inline constexpr size_t kOriginalSize<nopt_dimer_status> = 40;

template <class Struct>
size_t checked_struct_size(const Struct* argument, const char* name) {
    static_assert(kOriginalSize<Struct> != 0 && kOriginalSize<Struct> <= sizeof(Struct),
                  "name its original size above");
    require_not_null(argument, name);
    uint32_t size;
    memcpy(&size, argument, sizeof size);
    if (size < kOriginalSize<Struct>) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "%s->struct_size is %u; it must be sizeof(*%s), at least %zu", name,
                    size, name, kOriginalSize<Struct>);
    }
    return size;
}

// Element `index` of a caller's array of structs, all of which must have the size of the first.
template <class Struct>
Struct* array_element(Struct* first, int64_t index, const char* name) {
    const size_t size = checked_struct_size(first, name);
    using Byte = std::conditional_t<std::is_const<Struct>::value, const unsigned char, unsigned char>;
    Byte* const own = reinterpret_cast<Byte*>(first) + size * static_cast<size_t>(index);
    uint32_t own_size;
    memcpy(&own_size, own, sizeof own_size);
    if (own_size != size) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "%s[%lld].struct_size is %u, but %s[0].struct_size is %zu", name,
                    static_cast<long long>(index), own_size, name, size);
    }
    return reinterpret_cast<Struct*>(own);
}

// Copies a caller's struct, of its size or ours: fields that an older caller does not have are 0; fields that a newer
// caller has and we do not must be 0, so that no option is silently ignored.
template <class Struct>
Struct read_struct(const Struct* argument, const char* name) {
    const size_t size = checked_struct_size(argument, name);
    const unsigned char* bytes = reinterpret_cast<const unsigned char*>(argument);
    for (size_t i = sizeof(Struct); i < size; ++i) {
        if (bytes[i] != 0) {
            throw Error(NOPT_ERROR_UNSUPPORTED,
                        "%s has a field at byte %zu that this library (ABI %d) does not know; update the library", name,
                        i, NOPT_ABI_VERSION);
        }
    }
    Struct copy = {};
    memcpy(&copy, argument, size < sizeof copy ? size : sizeof copy);
    copy.struct_size = sizeof copy;
    return copy;
}

// Fills a caller's struct, of its size or ours, with 0 in the fields that we do not know; its struct_size stays.
template <class Struct>
void write_struct(Struct* argument, Struct value, const char* name) {
    const size_t size = checked_struct_size(argument, name);
    value.struct_size = static_cast<uint32_t>(size);
    memset(static_cast<void*>(argument), 0, size);
    memcpy(static_cast<void*>(argument), &value, size < sizeof value ? size : sizeof value);
}

template <size_t Size>
void copy_text(char (&destination)[Size], const char* source) {
    strncpy(destination, source, Size - 1);
    destination[Size - 1] = '\0';
}

}  // namespace nopt
