// Pages of addresses that were seen to be a device's memory.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <atomic>

namespace nopt {

// Frameworks put gradients at new addresses with every step, and asking the driver about each of them would take longer
// than the step. CUDA gives out memory in pages of this size, of one kind and one device each, so that a page tells of
// all addresses in it. A page that was freed meanwhile may be taken for memory still; whoever binds an address in it
// has passed a dangling pointer, which nothing can tell for sure.
class KnownPages {
public:
    bool contains(int device, const void* pointer) const {
        const uint64_t key = key_of(device, pointer);
        return pages_[slot_of(key)].load(std::memory_order_relaxed) == key;
    }

    void insert(int device, const void* pointer) {
        const uint64_t key = key_of(device, pointer);
        pages_[slot_of(key)].store(key, std::memory_order_relaxed);
    }

private:
    static constexpr int kPageBits = 21;
    static constexpr size_t kSlots = 1 << 13;  // 16 GiB of pages, if none share a slot; 64 KiB

    // Never 0.
    static uint64_t key_of(int device, const void* pointer) {
        return (reinterpret_cast<uintptr_t>(pointer) >> kPageBits) << 8 | static_cast<uint64_t>(device + 1);
    }
    static size_t slot_of(uint64_t key) { return (key >> 8 ^ key >> 21) % kSlots; }

    std::atomic<uint64_t> pages_[kSlots] = {};
};

}  // namespace nopt
