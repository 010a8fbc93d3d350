// Runs launches. The threads of a block run one after another in random order, each until it waits; and again when what
// it waits for is there.
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>

#include "memory.h"
#include "program.h"
#include "report.h"

namespace ptx {
namespace {

constexpr unsigned kMostBlocks = 4096;  // that a Moment counts

std::mt19937& random_numbers() {
    static std::mt19937 numbers = [] {
        const char* const seed = getenv("NATIVEOPT_PTX_SEED");
        return std::mt19937(seed == nullptr ? 1u : static_cast<unsigned>(atoi(seed)));
    }();
    return numbers;
}

// What is written is undefined if a source is, but for a selection's other value.
void follow_undefined(Thread& t, const Instruction& i) {
    bool undefined = t.is_undefined(i.from[0]) || t.is_undefined(i.from[1]) || t.is_undefined(i.from[2]) ||
                     t.is_undefined(i.from[3]);
    if (i.selects && !t.is_undefined(i.from[2])) {
        undefined = t.is_undefined(i.from[t.get<bool>(i, 2) ? 0 : 1]);
    }
    for (const int to : i.to) {
        if (to != kNothing) {
            t.undefined[to] = undefined ? 1 : 0;
        }
    }
}

void run_until_it_waits(Thread& t) {
    const Instruction* const code = t.block->kernel->code.data();
    for (Next next = Next::kGoOn; next == Next::kGoOn;) {
        const Instruction& i = code[t.next++];
        ++t.instructions;
        if (i.guard != kNothing) {
            if (t.is_undefined(i.guard)) {
                report(t, i, "depends on what nothing had written");
            }
            if (((t.registers[i.guard] & 1) != 0) == i.negated) {
                continue;
            }
        }
        if (t.any_undefined) {
            follow_undefined(t, i);
        }
        next = i.run(t, i);
    }
}

// All that did not end are at the barrier, and go on.
void pass_barrier(Block& block) {
    const Thread* first = nullptr;
    for (Thread& t : block.threads) {
        if (t.state != Thread::State::kAtBarrier) {
            continue;
        }
        if (first == nullptr) {
            first = &t;
        } else if (t.next != first->next) {
            report(t, block.kernel->code[t.next - 1], "is a barrier that other threads are not at");
        }
        t.state = Thread::State::kRuns;
    }
    ++block.barriers;
}

[[noreturn]] void report_deadlock(const Block& block) {
    fprintf(stderr, "PTX: block %u of %s is stuck:\n", block.index, block.kernel->name.c_str());
    for (const Thread& t : block.threads) {
        if (t.state != Thread::State::kDone) {
            const Instruction& i = block.kernel->code[t.next - 1];
            fprintf(stderr, "  thread %u at line %d, %s\n", t.index, i.line, i.text->c_str());
        }
    }
    abort();
}

void run_block(Block& block) {
    std::vector<unsigned> order(block.thread_count);
    std::iota(order.begin(), order.end(), 0u);
    const auto count = [&](Thread::State state) {
        return std::count_if(block.threads.begin(), block.threads.end(),
                             [&](const Thread& t) { return t.state == state; });
    };
    for (;;) {
        bool any = false;
        std::shuffle(order.begin(), order.end(), random_numbers());
        for (const unsigned index : order) {
            Thread& t = block.threads[index];
            if (t.state == Thread::State::kRuns) {
                run_until_it_waits(t);
                any = true;
            }
        }
        for (unsigned warp = 0; warp * kWarpThreads < block.thread_count; ++warp) {
            any = exchange(block, warp) || any;
        }
        const auto done = count(Thread::State::kDone);
        if (done == static_cast<std::ptrdiff_t>(block.thread_count)) {
            return;
        }
        const auto waiting = count(Thread::State::kAtBarrier);
        if (waiting + done == static_cast<std::ptrdiff_t>(block.thread_count)) {
            if (done != 0) {
                const auto one = std::find_if(block.threads.begin(), block.threads.end(),
                                              [](const Thread& t) { return t.state == Thread::State::kAtBarrier; });
                report(*one, block.kernel->code[one->next - 1], "is a barrier, but some threads have ended");
            }
            pass_barrier(block);
        } else if (!any) {
            report_deadlock(block);
        }
    }
}

// Bytes that begin at a multiple of 256, as device memory does.
class Aligned {
public:
    explicit Aligned(size_t bytes) : bytes_(bytes + 256) {}
    unsigned char* data() {
        void* at = bytes_.data();
        size_t space = bytes_.size();
        return static_cast<unsigned char*>(std::align(256, 1, at, space));
    }

private:
    std::vector<unsigned char> bytes_;
};

}  // namespace

void run(Kernel& kernel, unsigned blocks, unsigned threads, const std::vector<unsigned char>& parameters) {
    static unsigned launch = 0;
    if (threads > kernel.max_threads || blocks > kMostBlocks) {
        give_up(std::to_string(blocks) + " blocks of " + std::to_string(threads) + " threads are more than " +
                kernel.name + " may have, or than are modelled");
    }
    Aligned own_parameters(kernel.parameter_bytes);
    Aligned shared(kernel.shared_bytes);
    std::copy(parameters.begin(), parameters.end(), own_parameters.data());
    std::vector<Access> accesses(kernel.shared_bytes);
    const size_t registers = static_cast<size_t>(kernel.registers);
    std::vector<uint64_t> values(registers * threads, 0xbadbadbadbadbad);
    std::vector<uint8_t> undefined(registers * threads);

    std::vector<unsigned> order(blocks);
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), random_numbers());
    ++launch;
    for (const unsigned index : order) {
        Block block;
        block.kernel = &kernel;
        block.launch = launch;
        block.index = index;
        block.count = blocks;
        block.thread_count = threads;
        block.parameters = own_parameters.data();
        block.shared = shared.data();
        block.shared_accesses = accesses.data();
        std::fill(accesses.begin(), accesses.end(), Access());
        for (unsigned i = 0; i < threads; ++i) {
            Thread thread = {};
            thread.block = &block;
            thread.index = i;
            thread.registers = values.data() + registers * i;
            thread.undefined = undefined.data() + registers * i;
            block.threads.push_back(thread);
        }
        run_block(block);
        for (const Thread& t : block.threads) {
            kernel.instructions += t.instructions;
        }
    }
    ++kernel.launches;
}

}  // namespace ptx
