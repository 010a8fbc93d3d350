// How tables travel to the device.
#pragma once

#include <string.h>

#include <algorithm>
#include <vector>

#include "cuda/runtime.h"
#include "cuda/tuning.h"

namespace nopt {

// Pinned memory through which changed tables travel to the device. A slot is filled again when its copy has finished.
// With all slots on their way, the host is that many steps ahead of the device: waiting for the oldest then costs the
// device nothing.
class StagingRing {
public:
    // `bytes`: of a slot. Larger tables take several.
    explicit StagingRing(size_t bytes) : bytes_(bytes) {
        for (Slot& slot : slots_) {
            slot.memory = pinned_array<unsigned char>(bytes);
            slot.copied = make_event();
        }
    }

    template <class T>
    void upload(T* destination, const T* source, size_t count, cudaStream_t stream) {
        unsigned char* const to = reinterpret_cast<unsigned char*>(destination);
        const unsigned char* const from = reinterpret_cast<const unsigned char*>(source);
        const size_t size = count * sizeof(T);
        for (size_t at = 0; at < size; at += bytes_) {
            upload_slot(to + at, from + at, std::min(size - at, bytes_), stream);
        }
    }

    template <class T>
    void upload(T* destination, const std::vector<T>& source, cudaStream_t stream) {
        upload(destination, source.data(), source.size(), stream);
    }

private:
    struct Slot {
        PinnedArray<unsigned char> memory;
        Event copied;
    };

    void upload_slot(void* destination, const void* source, size_t size, cudaStream_t stream) {
        Slot& slot = slots_[next_];
        next_ = (next_ + 1) % kStagingSlots;
        if (cudaEventQuery(slot.copied.get()) == cudaErrorNotReady) {
            cudaGetLastError();
            check_cuda(cudaEventSynchronize(slot.copied.get()), "cudaEventSynchronize");
        }
        memcpy(slot.memory.get(), source, size);
        check_cuda(cudaMemcpyAsync(destination, slot.memory.get(), size, cudaMemcpyHostToDevice, stream),
                   "uploading a table");
        check_cuda(cudaEventRecord(slot.copied.get(), stream), "cudaEventRecord");
    }

    const size_t bytes_;
    Slot slots_[kStagingSlots];
    int next_ = 0;
};

// A table that never changes: it is there before this returns.
template <class T>
DeviceArray<T> constant_table(const std::vector<T>& values) {
    DeviceArray<T> table = device_array<T>(values.size());
    if (!values.empty()) {
        check_cuda(cudaMemcpy(table.get(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
                   "uploading a table");
    }
    return table;
}

}  // namespace nopt
