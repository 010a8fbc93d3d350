// Memory that kernels may touch, and for each byte of it who touched it last. Every access is checked: that it is
// aligned and inside of one allocation, that somebody wrote what it reads, and that a barrier is between it and the
// accesses of other threads that it must not meet.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <vector>

namespace ptx {

struct Thread;
struct Instruction;

// By whom and when memory was touched: which thread of which block of which launch, after how many barriers and how
// many synchronisations of its warp; in 64 bits, as there is one for each byte. The counts wrap around, which can only
// report an access that was a whole round of them ago.
class Moment {
public:
    Moment() = default;  // never
    explicit Moment(const Thread& thread);
    static Moment by_the_host();

    bool ever() const { return bits_ != 0; }
    bool same_thread(Moment other) const { return ((bits_ ^ other.bits_) & kThreadMask) == 0; }

    // How much it takes to order this and an access of now: 0 is nothing, 1 within a warp, 2 within a block, 3 of two
    // blocks.
    int distance(Moment now) const {
        const uint64_t different = bits_ ^ now.bits_;
        if ((different & kLaunch) != 0 || (different & kThreadMask) == 0) {
            return 0;
        }
        if ((different & kBlock) != 0) {
            return 3;
        }
        if ((different & kBarriers) != 0) {
            return 0;
        }
        if ((different & kWarp) != 0) {
            return 2;
        }
        return (different & kSyncs) != 0 ? 0 : 1;
    }

    // Whether all that was done then is done before what is done `now`.
    bool is_before(Moment now) const { return distance(now) == 0; }

private:
    // From the lowest bit: 12 of synchronisations, 10 of barriers, 5 of the lane, 5 of the warp, 12 of the block, 20 of
    // the launch.
    static constexpr uint64_t kSyncs = uint64_t{0xfff};
    static constexpr uint64_t kBarriers = uint64_t{0x3ff} << 12;
    static constexpr uint64_t kLane = uint64_t{0x1f} << 22;
    static constexpr uint64_t kWarp = uint64_t{0x1f} << 27;
    static constexpr uint64_t kBlock = uint64_t{0xfff} << 32;
    static constexpr uint64_t kLaunch = uint64_t{0xfffff} << 44;
    static constexpr uint64_t kThreadMask = kLaunch | kBlock | kWarp | kLane;

    uint64_t bits_ = 0;
};

// Of one byte; in allocations of more than 64 MiB, of 4 bytes in a row. Of the reads since it was written, the last,
// and the one that is hardest to order with it.
struct Access {
    Moment write;
    Moment read;
    Moment far_read;
};

// Called by the runtime. What the host allocates for itself counts as written.
void add_memory(void* memory, size_t bytes, bool is_the_hosts);
void remove_memory(void* memory);
void written_by_the_host(const void* memory, size_t bytes);

// What there is now, by address.
struct Region {
    uint64_t address;
    size_t bytes;
};
std::vector<Region> memory();

// Checks an access of a running thread. The bytes are where the pointer says, or nowhere (null) if it is out of bounds.
// After a read, `defined` says whether all of them were written; a write of what is not `defined` leaves them
// unwritten.
unsigned char* access(Thread& thread, const Instruction& instruction, uint64_t address, size_t bytes, bool writes,
                      bool& defined);

}  // namespace ptx
