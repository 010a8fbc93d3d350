#include "memory.h"

#include <map>
#include <memory>

#include "program.h"
#include "report.h"

namespace ptx {

Moment::Moment(const Thread& thread)
    : bits_((uint64_t{thread.block->launch} << 44 & kLaunch) | uint64_t{thread.block->index} << 32 |
            uint64_t{thread.index} << 22 | (uint64_t{thread.block->barriers} << 12 & kBarriers) |
            (uint64_t{thread.syncs} & kSyncs)) {}

Moment Moment::by_the_host() {
    Moment moment;
    moment.bits_ = 1;  // launch 0 is none
    return moment;
}

namespace {

struct Accesses {
    Access* first;
    size_t count;
};

// Memory is noted in units of this many bytes.
size_t unit_of(size_t bytes) { return bytes > (size_t{1} << 26) ? 4 : 1; }

struct Allocation {
    explicit Allocation(size_t bytes_)
        : bytes(bytes_), unit(unit_of(bytes)), accesses(std::make_unique<Access[]>(bytes / unit + 1)) {}

    // What is noted of some bytes.
    Accesses of(size_t offset, size_t count) const {
        const size_t first = offset / unit;
        return {accesses.get() + first, (offset + count - 1) / unit + 1 - first};
    }

    size_t bytes;
    size_t unit;
    std::unique_ptr<Access[]> accesses;
};

// By address.
std::map<uint64_t, Allocation>& allocations() {
    static std::map<uint64_t, Allocation> all;
    return all;
}

uint64_t address_of(const void* memory) { return reinterpret_cast<uint64_t>(memory); }

void set_written(Accesses accesses) {
    for (size_t i = 0; i < accesses.count; ++i) {
        accesses.first[i].write = Moment::by_the_host();
    }
}

// Checks the order of an access and those before it, and notes it. True if all bytes have been written.
bool note(const Thread& thread, const Instruction& instruction, Accesses accesses, uint64_t address, bool writes,
          bool defined) {
    const Moment now(thread);
    bool written = true;
    for (size_t i = 0; i < accesses.count; ++i) {
        Access& one = accesses.first[i];
        if (!one.write.is_before(now)) {
            report(thread, instruction, writes ? "races with another thread's write" : "reads in a race with a write",
                   address);
        }
        if (writes) {
            if (!one.read.is_before(now) || !one.far_read.is_before(now)) {
                report(thread, instruction, "writes in a race with a read", address);
            }
            one.write = defined ? now : Moment();
            continue;
        }
        written = written && one.write.ever();
        if (!one.read.same_thread(now)) {
            if (one.read.distance(now) >= one.far_read.distance(now)) {
                one.far_read = one.read;
            }
        }
        one.read = now;
    }
    return written;
}

bool is_inside(uint64_t address, size_t bytes, uint64_t begin, size_t size) {
    return address >= begin && address + bytes <= begin + size;
}

Allocation* allocation_with(uint64_t address, size_t bytes, uint64_t& begin) {
    auto found = allocations().upper_bound(address);
    if (found == allocations().begin()) {
        return nullptr;
    }
    --found;
    begin = found->first;
    return is_inside(address, bytes, begin, found->second.bytes) ? &found->second : nullptr;
}

}  // namespace

void add_memory(void* memory, size_t bytes, bool is_the_hosts) {
    const Allocation& added = allocations().emplace(address_of(memory), Allocation(bytes)).first->second;
    if (is_the_hosts && bytes > 0) {
        set_written(added.of(0, bytes));
    }
}

void remove_memory(void* memory) { allocations().erase(address_of(memory)); }

std::vector<Region> memory() {
    std::vector<Region> all;
    for (const auto& one : allocations()) {
        all.push_back({one.first, one.second.bytes});
    }
    return all;
}

void written_by_the_host(const void* memory, size_t bytes) {
    uint64_t begin = 0;
    Allocation* const found = allocation_with(address_of(memory), bytes, begin);
    if (found != nullptr && bytes > 0) {
        set_written(found->of(address_of(memory) - begin, bytes));
    }
}

unsigned char* access(Thread& thread, const Instruction& instruction, uint64_t address, size_t bytes, bool writes,
                      bool& defined) {
    const Block& block = *thread.block;
    const bool may_be_any = instruction.space == Space::kGeneric;
    if ((address & (bytes - 1)) != 0) {
        report(thread, instruction, "is misaligned", address);
    }
    const auto noted = [&](Accesses accesses) {
        const bool written = note(thread, instruction, accesses, address, writes, defined);
        defined = writes || written;
    };

    uint64_t begin = instruction.space == Space::kShared ? kSharedWindow : address_of(block.shared);
    if ((instruction.space == Space::kShared || may_be_any) &&
        is_inside(address, bytes, begin, block.kernel->shared_bytes)) {
        noted({block.shared_accesses + (address - begin), bytes});
        return block.shared + (address - begin);
    }
    if ((instruction.space == Space::kParam || may_be_any) &&
        is_inside(address, bytes, address_of(block.parameters), block.kernel->parameter_bytes)) {
        if (writes) {
            report(thread, instruction, "writes a parameter", address);
        }
        defined = true;
        return reinterpret_cast<unsigned char*>(address);
    }
    if (instruction.space == Space::kGlobal || may_be_any) {
        Allocation* const found = allocation_with(address, bytes, begin);
        if (found != nullptr) {
            if (writes && !defined) {
                report(thread, instruction, "keeps what nothing had written", address);
            }
            noted(found->of(address - begin, bytes));
            return reinterpret_cast<unsigned char*>(address);
        }
    }
    report(thread, instruction, "is out of bounds", address);
    return nullptr;
}

}  // namespace ptx
