// Kernels as instructions, and what runs them: threads and their block.
//
// A register is 64 bits, and holds narrower values as they are, in its lower bits. A register whose value came from
// memory that nothing had written is undefined: so is what is computed from it, until a selection takes the other
// value. Compilers load what they may not need, so the load itself is no mistake; to branch on it, to address by it or
// to keep it is.
#pragma once

#include <stdint.h>
#include <string.h>

#include <deque>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "module.h"

namespace ptx {

struct Thread;
struct Instruction;

enum class Next {
    kGoOn,
    kWait  // at a barrier, in an exchange, or at the end
};
using Operation = Next (*)(Thread&, const Instruction&);
using Operations = std::unordered_map<std::string, Operation>;  // by name, such as "add.rn.f32"

constexpr unsigned kWarpThreads = 32;

// A source is a register, or a constant at ~source. The constant 0 is at ~kNothing.
constexpr int kNothing = -1;

struct Instruction {
    Operation run = nullptr;
    int guard = kNothing;  // the register that decides whether it runs
    bool negated = false;
    bool selects = false;  // of two values, by a predicate
    int to[4] = {kNothing, kNothing, kNothing, kNothing};
    int from[4] = {kNothing, kNothing, kNothing, kNothing};

    // Of loads and stores, whose values are in `to` and `from`; and of branches, whose target is the offset.
    Space space = Space::kGeneric;
    Space base_space = Space::kGeneric;  // the variable's that the address is in, if it names one
    int base = kNothing;                 // a source
    int64_t offset = 0;
    int count = 1;  // of elements

    int line = 0;
    const std::string* text = nullptr;  // in the kernel
};

struct Kernel {
    std::string name;
    unsigned max_threads = 0;
    std::vector<Variable> parameters;
    std::vector<size_t> parameter_offsets;
    size_t parameter_bytes = 0;
    size_t shared_bytes = 0;
    int registers = 0;
    std::vector<uint64_t> constants = {0};
    std::vector<Instruction> code;
    std::deque<std::string> texts;  // of the instructions

    uint64_t launches = 0;
    uint64_t instructions = 0;  // of all threads that ran
};

struct Block;

// What the lanes of a warp do together.
enum class Together {
    kSync,
    kXor,
    kIndex,
    kUp,
    kDown,
    kLargest
};

struct Exchange {
    Together kind;
    uint32_t mask;
    uint32_t value;
    uint32_t lane;   // or distance
    uint32_t clamp;  // PTX's operand c: the bounds of segments
    bool undefined;
};

struct Thread {
    enum class State {
        kRuns,
        kAtBarrier,
        kInExchange,
        kDone
    };

    Block* block;
    unsigned index;
    State state = State::kRuns;
    size_t next = 0;  // instruction
    uint64_t* registers;
    uint8_t* undefined;          // for each register
    bool any_undefined = false;  // so far
    int undefined_line = 0;      // of the load that the newest undefined value came from
    unsigned syncs = 0;          // of the warp
    Exchange exchange;
    uint64_t instructions = 0;

    uint64_t source(int from) const;
    bool is_undefined(int from) const { return any_undefined && from >= 0 && undefined[from] != 0; }

    template <class T>
    T get(const Instruction& i, int n) const {
        const uint64_t bits = source(i.from[n]);
        if constexpr (std::is_same_v<T, bool>) {
            return (bits & 1) != 0;
        }
        T value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }

    template <class T>
    void put(int to, T value) {
        uint64_t bits = 0;
        memcpy(&bits, &value, sizeof value);
        registers[to] = bits;
    }
};

struct Access;

struct Block {
    const Kernel* kernel;
    unsigned launch;  // a number
    unsigned index;
    unsigned count;  // of blocks
    unsigned thread_count;
    unsigned char* parameters;
    unsigned char* shared;
    Access* shared_accesses;  // one for each byte
    unsigned barriers = 0;    // that it has passed
    std::vector<Thread> threads;
};

inline uint64_t Thread::source(int from) const {
    return from >= 0 ? registers[from] : block->kernel->constants[static_cast<size_t>(~from)];
}

// Shared memory has addresses of its own from here on, which fit into 32 bits; below is nothing.
constexpr uint64_t kSharedWindow = 0x100;

// Makes a kernel of an entry; variables of the module are at the addresses given.
Kernel assemble(const Entry& entry, const std::vector<Variable>& module_variables,
                const std::unordered_map<std::string, uint64_t>& addresses);

// What the instructions of each kind do; each adds its own.
void add_arithmetic(Operations& operations);
void add_conversions(Operations& operations);
void add_transfers(Operations& operations);
void add_control(Operations& operations);

// Runs the blocks of a launch, one after another in random order.
void run(Kernel& kernel, unsigned blocks, unsigned threads, const std::vector<unsigned char>& parameters);

// Gives the lanes of a warp their values, if all that an exchange names have come to it. True if some went on.
bool exchange(Block& block, unsigned warp);

}  // namespace ptx
