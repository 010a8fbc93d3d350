#include <inttypes.h>
#include <math.h>

#include <limits>

#include "api/api.h"
#include "numerics/dtypes.h"

using namespace nopt;

namespace {

void check_bytes(int64_t bytes, const char* name) {
    if (bytes < 0) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "%s is %" PRId64 "; it must be 0 or more", name, bytes);
    }
}

int checked_dtype(nopt_dtype dtype) {
    const int type = static_cast<int>(dtype);
    if (!is_dtype(type)) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "dtype is %d; it must be a nopt_dtype, 1 to %d", type, kDTypeCount);
    }
    return type;
}

void check_count(int64_t count) {
    if (count < 0 || count > std::numeric_limits<int64_t>::max() / 8) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "count is %" PRId64 "; it must be 0 to 2^60", count);
    }
}

}  // namespace

extern "C" {

nopt_status nopt_dtype_get_bytes(nopt_dtype dtype, int64_t count, int64_t* bytes) {
    return guarded([&] {
        require_not_null(bytes, "bytes");
        const int type = checked_dtype(dtype);
        check_count(count);
        *bytes = buffer_bytes(type, count);
    });
}

nopt_status nopt_memory_alloc(nopt_backend backend, int32_t device_index, int64_t bytes, void** memory) {
    return guarded([&] {
        require_not_null(memory, "memory");
        check_bytes(bytes, "bytes");
        Backend& found = backend_for(backend, device_index);
        *memory = bytes == 0 ? nullptr : found.alloc(device_index, bytes);
    });
}

nopt_status nopt_memory_free(nopt_backend backend, int32_t device_index, void* memory) {
    return guarded([&] {
        Backend& found = backend_for(backend, device_index);
        if (memory != nullptr) {
            found.free(device_index, memory);
        }
    });
}

nopt_status nopt_memory_copy(nopt_backend backend, int32_t device_index, void* destination, const void* source,
                             int64_t bytes, void* stream) {
    return guarded([&] {
        check_bytes(bytes, "bytes");
        Backend& found = backend_for(backend, device_index);
        check_stream(backend, stream);
        if (bytes == 0) {
            return;
        }
        require_not_null(destination, "destination");
        require_not_null(source, "source");
        const uintptr_t to = reinterpret_cast<uintptr_t>(destination);
        const uintptr_t from = reinterpret_cast<uintptr_t>(source);
        const uintptr_t size = static_cast<uintptr_t>(bytes);
        if (to < from ? from - to < size : to - from < size) {
            throw Error(NOPT_ERROR_OVERLAP, "destination overlaps source; use separate buffers");
        }
        found.copy(device_index, destination, source, bytes, stream);
    });
}

nopt_status nopt_memory_fill(nopt_backend backend, int32_t device_index, void* destination, int64_t count,
                             nopt_dtype dtype, double value, void* stream) {
    return guarded([&] {
        const int type = checked_dtype(dtype);
        check_count(count);
        if (type == NOPT_DTYPE_DYNAMIC8 && value != 0.0) {
            throw Error(NOPT_ERROR_UNSUPPORTED, "value is %g; elements of NOPT_DTYPE_DYNAMIC8 can be set to 0 only",
                        value);
        }
        Backend& found = backend_for(backend, device_index);
        check_stream(backend, stream);
        if (count == 0) {
            return;
        }
        require_not_null(destination, "destination");
        const int alignment = dtype_info(type).alignment;
        if (reinterpret_cast<uintptr_t>(destination) % static_cast<uintptr_t>(alignment) != 0) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "destination is not aligned to its element (%d bytes)", alignment);
        }
        found.check_pointer(device_index, destination, "destination", 0);
        const float rounded = static_cast<float>(value);
        const bool is_half = type == NOPT_DTYPE_BFLOAT16 || type == NOPT_DTYPE_FLOAT16;
        if (isfinite(value) && !isfinite(is_half ? from_half(type, to_half(type, rounded)) : rounded)) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "value is %g, which is infinite as a %s", value,
                        dtype_info(type).name);
        }
        switch (type) {
            case NOPT_DTYPE_FLOAT32:
                return found.fill(device_index, destination, count, 4, bits_of(rounded), stream);
            case NOPT_DTYPE_DYNAMIC8:
                return found.fill(device_index, destination, buffer_bytes(type, count), 1, 0, stream);
            default:
                return found.fill(device_index, destination, count, 2, to_half(type, rounded), stream);
        }
    });
}

nopt_status nopt_stream_create(nopt_backend backend, int32_t device_index, void** stream) {
    return guarded([&] {
        require_not_null(stream, "stream");
        *stream = backend_for(backend, device_index).stream_create(device_index);
    });
}

nopt_status nopt_stream_destroy(nopt_backend backend, int32_t device_index, void* stream) {
    return guarded([&] {
        Backend& found = backend_for(backend, device_index);
        check_stream(backend, stream);
        if (stream == NOPT_STREAM_LEGACY || stream == NOPT_STREAM_PER_THREAD) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "stream is a default stream, which cannot be destroyed");
        }
        if (stream != nullptr) {
            found.stream_destroy(device_index, stream);
        }
    });
}

nopt_status nopt_stream_synchronize(nopt_backend backend, int32_t device_index, void* stream) {
    return guarded([&] {
        Backend& found = backend_for(backend, device_index);
        check_stream(backend, stream);
        found.stream_synchronize(device_index, stream);
    });
}

}  // extern "C"
