// The host's stand-in for a CUDA device: fibers for the threads of a block, barriers and warps among them.
//
// Threads are resumed in turn, and the turn goes backward in every other block, so that a missing barrier lets some
// thread read what another has not written yet. A barrier that not all threads reach ends the program with a message.
#include <boost/context/fiber.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>

#include <stdio.h>
#include <stdlib.h>

#include <vector>

#include "cuda_runtime.h"
#include "stand_in.h"

dim3 threadIdx;
dim3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace cuda_on_host {
namespace {

namespace context = boost::context;

constexpr unsigned kWarp = 32;
constexpr size_t kStackBytes = 64 * 1024;

struct Warp {
    // Two sets of slots: a thread may be one exchange ahead of another that still reads.
    uint64_t slots[2][kWarp];
    unsigned arrived = 0;
    uint64_t exchanges = 0;  // finished ones
};

struct Thread {
    context::fiber fiber;
    bool done = false;
};

// The block that runs now; launches take turns.
struct Block {
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    unsigned current = 0;
    unsigned arrived = 0;
    uint64_t barriers = 0;  // finished ones
    bool progress = false;
    context::fiber scheduler;
};

Block* block_now = nullptr;

void yield() {
    Block& block = *block_now;
    const unsigned self = block.current;
    block.scheduler = std::move(block.scheduler).resume();
    block.current = self;
    threadIdx = dim3(self);
}

void run_block(unsigned threads, bool backward, const std::function<void()>& body,
               context::pooled_fixedsize_stack& stacks) {
    Block block;
    block.threads.resize(threads);
    block.warps.resize((threads + kWarp - 1) / kWarp);
    block_now = &block;
    for (unsigned i = 0; i < threads; ++i) {
        block.threads[i].fiber =
            context::fiber(std::allocator_arg, stacks, [&block, i, &body](context::fiber&& scheduler) {
                block.scheduler = std::move(scheduler);
                body();
                block.threads[i].done = true;
                return std::move(block.scheduler);
            });
    }
    for (unsigned left = threads; left > 0;) {
        block.progress = false;
        for (unsigned turn = 0; turn < threads; ++turn) {
            const unsigned i = backward ? threads - 1 - turn : turn;
            Thread& thread = block.threads[i];
            if (thread.done) {
                continue;
            }
            block.current = i;
            threadIdx = dim3(i);
            thread.fiber = std::move(thread.fiber).resume();
            if (thread.done) {
                block.progress = true;
                --left;
            }
        }
        if (!block.progress) {
            fprintf(stderr, "block %u: a barrier or a warp's exchange is not reached by all of its threads\n",
                    blockIdx.x);
            abort();
        }
    }
    block_now = nullptr;
}

}  // namespace

int lane() { return static_cast<int>(block_now->current % kWarp); }

void sync_threads() {
    Block& block = *block_now;
    const uint64_t mine = block.barriers;
    block.progress = true;
    if (++block.arrived == block.threads.size()) {
        block.arrived = 0;
        ++block.barriers;
        return;
    }
    while (block.barriers == mine) {
        yield();
    }
}

uint64_t exchange(unsigned mask, uint64_t value, int from) {
    Block& block = *block_now;
    Warp& warp = block.warps[block.current / kWarp];
    if (mask != 0xffffffffu || block.threads.size() % kWarp != 0) {
        fprintf(stderr, "only exchanges of whole warps are understood\n");
        abort();
    }
    const uint64_t mine = warp.exchanges;
    uint64_t(&slots)[kWarp] = warp.slots[mine % 2];
    slots[lane()] = value;
    block.progress = true;
    if (++warp.arrived == kWarp) {
        warp.arrived = 0;
        ++warp.exchanges;
    }
    while (warp.exchanges == mine) {
        yield();
    }
    return slots[from];
}

}  // namespace cuda_on_host

namespace stand_in {

Device device() { return {"CUDA on the host", 2, 0, 0}; }
// Nothing is kept of memory: the sanitizers of the host see wrong accesses.
void allocated(void*, size_t, bool) {}
void freed(void*) {}
void written(const void*, size_t) {}

}  // namespace stand_in

cudaError_t cuda_on_host::launch(dim3 grid, dim3 block, cudaStream_t stream, std::function<void()> body) {
    if (grid.x == 0 || grid.x > 0x7fffffff || block.x == 0 || block.x > 1024) {
        return stand_in::fail(cudaErrorInvalidConfiguration);
    }
    return stand_in::submit(stream, [grid, block, body] {
        static context::pooled_fixedsize_stack stacks(kStackBytes);
        gridDim = grid;
        blockDim = block;
        for (unsigned b = 0; b < grid.x; ++b) {
            blockIdx = dim3(b);
            run_block(block.x, b % 2 == 1, body, stacks);
        }
    });
}
