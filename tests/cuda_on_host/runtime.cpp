// The host's stand-in for a CUDA device: fibers for the threads of a block, barriers and warps among them, and the few
// functions of the runtime that the library calls.
//
// Threads are resumed in turn, and the turn goes backward in every other block, so that a missing barrier lets some
// thread read what another has not written yet. A barrier that not all threads reach ends the program with a message.
#include <boost/context/fiber.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>

#include <stdio.h>
#include <stdlib.h>

#include <memory>
#include <mutex>
#include <vector>

#include "cuda_runtime.h"

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
std::mutex launching;

void yield() {
    Block& block = *block_now;
    const unsigned self = block.current;
    block.scheduler = std::move(block.scheduler).resume();
    block.current = self;
    threadIdx = dim3(self);
}

void run_block(unsigned threads, bool backward, void (*body)(void*), void* argument,
               context::pooled_fixedsize_stack& stacks) {
    Block block;
    block.threads.resize(threads);
    block.warps.resize((threads + kWarp - 1) / kWarp);
    block_now = &block;
    for (unsigned i = 0; i < threads; ++i) {
        block.threads[i].fiber =
            context::fiber(std::allocator_arg, stacks, [&block, i, body, argument](context::fiber&& scheduler) {
                block.scheduler = std::move(scheduler);
                body(argument);
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

void run(dim3 grid, dim3 block, void (*body)(void*), void* argument) {
    const std::lock_guard<std::mutex> guard(launching);
    static context::pooled_fixedsize_stack stacks(kStackBytes);
    gridDim = grid;
    blockDim = block;
    for (unsigned b = 0; b < grid.x; ++b) {
        blockIdx = dim3(b);
        run_block(block.x, b % 2 == 1, body, argument, stacks);
    }
}

}  // namespace cuda_on_host

// ---- the runtime's interface ----

namespace {

constexpr int kDevices = 2;
thread_local int device_now = 0;

}  // namespace

cudaError_t cudaGetDeviceCount(int* count) {
    *count = kDevices;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
    *device = device_now;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
    if (device < 0 || device >= kDevices) {
        return cudaErrorInvalidDevice;
    }
    device_now = device;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
    *properties = {};
    snprintf(properties->name, sizeof properties->name, "CUDA on the host");
    properties->totalGlobalMem = size_t{1} << 30;
    properties->multiProcessorCount = 2;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
    *value = 2;
    return cudaSuccess;
}

cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t) { return "an error"; }
const char* cudaGetErrorName(cudaError_t) { return "cudaError"; }

cudaError_t cudaMalloc(void** memory, size_t bytes) {
    *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (*memory == nullptr) {
        return cudaErrorMemoryAllocation;
    }
    memset(*memory, 0xcd, bytes);  // not zero, as on a device
    return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) { return cudaMalloc(memory, bytes); }
cudaError_t cudaFreeHost(void* memory) { return cudaFree(memory); }

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
    *device = host;
    return cudaSuccess;
}

// All memory is the current device's.
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void*) {
    *attributes = {cudaMemoryTypeManaged, device_now};
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void* destination, const void* source, size_t bytes, cudaMemcpyKind) {
    memmove(destination, source, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* destination, const void* source, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
    return cudaMemcpy(destination, source, bytes, kind);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
    *stream = reinterpret_cast<cudaStream_t>(new char);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    delete reinterpret_cast<char*>(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
    *event = reinterpret_cast<cudaEvent_t>(new char);
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete reinterpret_cast<char*>(event);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
