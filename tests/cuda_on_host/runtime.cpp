// The host's stand-in for a CUDA device: fibers for the threads of a block, barriers and warps among them, and the few
// functions of the runtime that the library and its tests call.
//
// Threads are resumed in turn, and the turn goes backward in every other block, so that a missing barrier lets some
// thread read what another has not written yet. A barrier that not all threads reach ends the program with a message.
//
// A stream is a queue. Its work runs when somebody waits for it, as late as a real device could: what is reused or read
// too early, without a wait or on another stream, shows. Captured work goes to a graph instead.
#include <boost/context/fiber.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>

#include <stdio.h>
#include <stdlib.h>

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
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

// ---- the runtime's interface ----

namespace {

using Work = std::function<void()>;

constexpr int kDevices = 2;

std::recursive_mutex everything;
int adopting_device = -1;  // of memory that somebody else allocated; below 0: none
thread_local int device_now = 0;
thread_local cudaError_t last_error = cudaSuccess;

using Lock = std::lock_guard<std::recursive_mutex>;

}  // namespace

struct CUgraph_st {
    std::vector<Work> work;
};

struct CUgraphExec_st {
    std::vector<Work> work;
};

struct CUstream_st {
    int device = 0;
    std::deque<Work> queue;
    std::unique_ptr<CUgraph_st> capture;  // not null while it captures
};

struct CUevent_st {
    cudaStream_t stream = nullptr;  // where the newest record of it is queued
    int pending = 0;                // records that have not run
};

namespace {

struct Allocation {
    size_t bytes;
    cudaMemoryType type;
    int device;
};

std::set<CUstream_st*>& streams() {
    static std::set<CUstream_st*> all;
    return all;
}

std::map<uintptr_t, Allocation>& allocations() {
    static std::map<uintptr_t, Allocation> all;
    return all;
}

// The default streams are the current device's.
CUstream_st& resolve(cudaStream_t stream) {
    static CUstream_st legacy[kDevices];
    thread_local CUstream_st* const per_thread = new CUstream_st[kDevices];  // may hold work when its thread is gone
    const uintptr_t handle = reinterpret_cast<uintptr_t>(stream);
    if (handle > 2) {
        return *stream;
    }
    CUstream_st& found = handle == 2 ? per_thread[device_now] : legacy[device_now];
    found.device = device_now;
    streams().insert(&found);
    return found;
}

cudaError_t fail(cudaError_t error) {
    last_error = error;
    return error;
}

bool run_one(CUstream_st& stream) {
    if (stream.queue.empty()) {
        return false;
    }
    const Work work = std::move(stream.queue.front());
    stream.queue.pop_front();
    work();
    return true;
}

// In turn, the newest stream first.
void run_all() {
    for (bool any = true; any;) {
        any = false;
        for (auto stream = streams().rbegin(); stream != streams().rend(); ++stream) {
            any = run_one(**stream) || any;
        }
    }
}

cudaError_t submit(cudaStream_t handle, Work work) {
    const Lock lock(everything);
    CUstream_st& stream = resolve(handle);
    if (stream.device != device_now) {
        return fail(cudaErrorInvalidResourceHandle);
    }
    if (stream.capture != nullptr) {
        stream.capture->work.push_back(std::move(work));
    } else {
        stream.queue.push_back(std::move(work));
    }
    return cudaSuccess;
}

void wait_for(CUevent_st& event) {
    while (event.pending > 0 && run_one(*event.stream)) {
    }
}

// As CUDA does, it gives each page to memory of one kind.
cudaError_t allocate(void** memory, size_t bytes, cudaMemoryType type) {
    constexpr size_t kPage = size_t{1} << 21;
    const Lock lock(everything);
    *memory = aligned_alloc(kPage, (bytes + kPage - 1) / kPage * kPage);
    if (*memory == nullptr) {
        return fail(cudaErrorMemoryAllocation);
    }
    memset(*memory, 0xcd, bytes);  // not zero, as on a device
    allocations()[reinterpret_cast<uintptr_t>(*memory)] = {bytes, type, device_now};
    return cudaSuccess;
}

}  // namespace

cudaError_t cuda_on_host::launch(dim3 grid, dim3 block, cudaStream_t stream, std::function<void()> body) {
    if (grid.x == 0 || grid.x > 0x7fffffff || block.x == 0 || block.x > 1024) {
        return fail(cudaErrorInvalidConfiguration);
    }
    return submit(stream, [grid, block, body] {
        static context::pooled_fixedsize_stack stacks(kStackBytes);
        gridDim = grid;
        blockDim = block;
        for (unsigned b = 0; b < grid.x; ++b) {
            blockIdx = dim3(b);
            run_block(block.x, b % 2 == 1, body, stacks);
        }
    });
}

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
        return fail(cudaErrorInvalidDevice);
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

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    *value = attribute == cudaDevAttrMultiProcessorCount ? 2 : 0;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
    const Lock lock(everything);
    run_all();
    return cudaSuccess;
}

cudaError_t cudaGetLastError() {
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

const char* cudaGetErrorString(cudaError_t error) {
    switch (error) {
        case cudaErrorMemoryAllocation:
            return "out of memory";
        case cudaErrorInvalidConfiguration:
            return "invalid configuration argument";
        case cudaErrorInvalidResourceHandle:
            return "invalid resource handle";
        default:
            return "an error";
    }
}

const char* cudaGetErrorName(cudaError_t) { return "cudaError"; }

cudaError_t cudaMalloc(void** memory, size_t bytes) { return allocate(memory, bytes, cudaMemoryTypeDevice); }
cudaError_t cudaMallocHost(void** memory, size_t bytes) { return allocate(memory, bytes, cudaMemoryTypeHost); }

cudaError_t cudaFree(void* memory) {
    const Lock lock(everything);
    run_all();
    allocations().erase(reinterpret_cast<uintptr_t>(memory));
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) { return cudaFree(memory); }

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
    *device = host;
    return cudaSuccess;
}

// Has all memory that this stand-in did not allocate count as that of a device, such as another library's tensors.
extern "C" __attribute__((visibility("default"))) void cuda_on_host_adopt(int device) {
    const Lock lock(everything);
    adopting_device = device;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
    const Lock lock(everything);
    const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
    auto found = allocations().upper_bound(address);
    *attributes = {cudaMemoryTypeUnregistered, 0};
    if (adopting_device >= 0) {
        *attributes = {cudaMemoryTypeDevice, adopting_device};
    }
    if (found != allocations().begin()) {
        --found;
        if (address - found->first < found->second.bytes) {
            *attributes = {found->second.type, found->second.device};
        }
    }
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void* destination, const void* source, size_t bytes, cudaMemcpyKind) {
    const Lock lock(everything);
    run_all();
    memmove(destination, source, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* destination, const void* source, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
    return submit(stream, [=] { memmove(destination, source, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
    const Lock lock(everything);
    *stream = new CUstream_st;
    (*stream)->device = device_now;
    streams().insert(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    const Lock lock(everything);
    while (run_one(*stream)) {
    }
    streams().erase(stream);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    const Lock lock(everything);
    CUstream_st& stream = resolve(handle);
    if (stream.capture != nullptr) {
        return fail(cudaErrorStreamCaptureUnsupported);
    }
    while (run_one(stream)) {
    }
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    return submit(stream, [event] { wait_for(*event); });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
    const Lock lock(everything);
    *status = resolve(stream).capture != nullptr ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    const Lock lock(everything);
    if (reinterpret_cast<uintptr_t>(stream) < 2 || stream->capture != nullptr) {
        return fail(cudaErrorStreamCaptureUnsupported);  // the legacy stream has no capture
    }
    resolve(stream).capture = std::make_unique<CUgraph_st>();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    const Lock lock(everything);
    *graph = resolve(stream).capture.release();
    return *graph != nullptr ? cudaSuccess : fail(cudaErrorInvalidValue);
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
    *exec = new CUgraphExec_st{graph->work};
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    const Lock lock(everything);
    for (const Work& work : exec->work) {
        submit(stream, work);
    }
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    delete exec;
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
    *event = new CUevent_st;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    const Lock lock(everything);
    wait_for(*event);  // a queued record refers to it
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    const Lock lock(everything);
    return event->pending == 0 ? cudaSuccess : fail(cudaErrorNotReady);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
    const Lock lock(everything);
    const cudaError_t result = submit(handle, [event] { --event->pending; });
    if (result == cudaSuccess) {
        event->stream = &resolve(handle);
        ++event->pending;
    }
    return result;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    const Lock lock(everything);
    wait_for(*event);
    return cudaSuccess;
}
