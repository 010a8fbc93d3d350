// What the extern "C" functions share: the guard that turns exceptions into a status, and argument checks.
#pragma once

#include <stddef.h>
#include <string.h>

#include <new>

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

inline void check_stream(nopt_backend backend, const void* stream) {
    if (backend == NOPT_BACKEND_CPU && stream != nullptr) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "stream is not null; the CPU backend has no streams");
    }
}

// Bytes of the smallest struct that this ABI version accepts: up to and including its last original field.
inline void check_struct_size(uint32_t size, size_t minimum, const char* name) {
    if (size < minimum) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "%s->struct_size is %u; it must be sizeof(*%s), at least %zu", name,
                    size, name, minimum);
    }
}

// Copies a caller's struct, of its size or ours: fields that an older caller does not have are 0; fields that a newer
// caller has and we do not must be 0, so that no option is silently ignored.
template <class Struct>
Struct read_struct(const Struct* argument, const char* name) {
    require_not_null(argument, name);
    uint32_t size;
    memcpy(&size, argument, sizeof size);
    check_struct_size(size, sizeof(Struct), name);
    const unsigned char* bytes = reinterpret_cast<const unsigned char*>(argument);
    for (size_t i = sizeof(Struct); i < size; ++i) {
        if (bytes[i] != 0) {
            throw Error(NOPT_ERROR_UNSUPPORTED,
                        "%s has a field at byte %zu that this library (ABI %d) does not know; update the library", name,
                        i, NOPT_ABI_VERSION);
        }
    }
    Struct copy;
    memcpy(&copy, argument, sizeof copy);
    copy.struct_size = sizeof copy;
    return copy;
}

// Fills a caller's struct, of its size or ours; the caller's struct_size stays.
template <class Struct>
void write_struct(Struct* argument, Struct value, const char* name) {
    require_not_null(argument, name);
    const uint32_t size = argument->struct_size;
    check_struct_size(size, sizeof(Struct), name);
    memset(reinterpret_cast<unsigned char*>(argument) + sizeof(Struct), 0, size - sizeof(Struct));
    value.struct_size = size;
    memcpy(argument, &value, sizeof value);
}

template <size_t Size>
void copy_text(char (&destination)[Size], const char* source) {
    strncpy(destination, source, Size - 1);
    destination[Size - 1] = '\0';
}

}  // namespace nopt
