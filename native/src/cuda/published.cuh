// A value that the device writes and the host can read at any time without waiting, in pinned memory.
#pragma once

#include <stdint.h>

#include <atomic>

#include "cuda/runtime.h"

namespace nopt {

// The value is whole if both numbers are equal.
template <class T>
struct Published {
    uint64_t before;
    T value;
    uint64_t after;
};

// `version` differs from the one before.
template <class T>
__device__ inline void publish(Published<T>& out, const T& value, uint64_t version) {
    *static_cast<volatile uint64_t*>(&out.before) = version;
    __threadfence_system();
    out.value = value;
    __threadfence_system();
    *static_cast<volatile uint64_t*>(&out.after) = version;
}

template <class T>
T read_published(const Published<T>& source) {
    const volatile Published<T>& published = source;
    // Writing takes the device a microsecond; only one that died in it needs an end to this.
    for (int attempt = 0; attempt < 1000000; ++attempt) {
        // The device writes `before` first and `after` last; here it is the other way round.
        const uint64_t after = published.after;
        std::atomic_thread_fence(std::memory_order_acquire);
        const T value = const_cast<const T&>(published.value);
        std::atomic_thread_fence(std::memory_order_acquire);
        if (published.before == after) {
            return value;
        }
    }
    throw Error(NOPT_ERROR_DEVICE, "the device stopped while it wrote a status");
}

// Room for some of them, as the host and the device see it.
template <class T>
struct PublishedArray {
    PublishedArray(size_t count, const T& initial) : host(pinned_array<Published<T>>(count)) {
        if (count > 0) {
            std::fill(host.get(), host.get() + count, Published<T>{0, initial, 0});
            void* mapped = nullptr;
            check_cuda(cudaHostGetDevicePointer(&mapped, host.get(), 0), "cudaHostGetDevicePointer");
            device = static_cast<Published<T>*>(mapped);
        }
    }

    PinnedArray<Published<T>> host;
    Published<T>* device = nullptr;
};

}  // namespace nopt
