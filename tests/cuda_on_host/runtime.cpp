// The runtime's interface: devices, memory, streams, graphs and events, as much as the library and its tests call. How
// kernels run is said elsewhere (stand_in.h).
//
// A stream is a queue. Its work runs when somebody waits for it, as late as a real device could: what is reused or read
// too early, without a wait or on another stream, shows. Captured work goes to a graph instead.
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "stand_in.h"

namespace {

using stand_in::fail;
using stand_in::submit;
using Work = std::function<void()>;

constexpr int kDevices = 2;

int adopting_device = -1;  // of memory that somebody else allocated; below 0: none
thread_local int device_now = 0;
thread_local cudaError_t last_error = cudaSuccess;

// Of everything here: a call of the runtime at a time.
class Lock {
public:
    Lock() : guard_(stand_in::everything()) {}

private:
    const std::lock_guard<std::recursive_mutex> guard_;
};

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

void wait_for(CUevent_st& event) {
    while (event.pending > 0 && run_one(*event.stream)) {
    }
}

// As CUDA does, it gives each page to memory of one kind.
cudaError_t allocate(void** memory, size_t bytes, cudaMemoryType type) {
    constexpr size_t kPage = size_t{1} << 21;
    const Lock lock;
    *memory = aligned_alloc(kPage, (bytes + kPage - 1) / kPage * kPage);
    if (*memory == nullptr) {
        return fail(cudaErrorMemoryAllocation);
    }
    memset(*memory, 0xcd, bytes);  // not zero, as on a device
    allocations()[reinterpret_cast<uintptr_t>(*memory)] = {bytes, type, device_now};
    stand_in::allocated(*memory, bytes, type == cudaMemoryTypeDevice);
    return cudaSuccess;
}

}  // namespace

std::recursive_mutex& stand_in::everything() {
    static std::recursive_mutex mutex;
    return mutex;
}

cudaError_t stand_in::fail(cudaError_t error) {
    last_error = error;
    return error;
}

cudaError_t stand_in::submit(cudaStream_t handle, Work work) {
    const Lock lock;
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
    const stand_in::Device device = stand_in::device();
    *properties = {};
    snprintf(properties->name, sizeof properties->name, "%s", device.name);
    properties->totalGlobalMem = size_t{1} << 30;
    properties->multiProcessorCount = device.processors;
    properties->major = device.major;
    properties->minor = device.minor;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    const stand_in::Device device = stand_in::device();
    *value = attribute == cudaDevAttrMultiProcessorCount      ? device.processors
             : attribute == cudaDevAttrComputeCapabilityMajor ? device.major
             : attribute == cudaDevAttrComputeCapabilityMinor ? device.minor
                                                              : 0;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
    const Lock lock;
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

// Nothing is free, for a test that would take 27 GiB.
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* all_bytes) {
    *free_bytes = 0;
    *all_bytes = size_t{1} << 30;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) { return allocate(memory, bytes, cudaMemoryTypeDevice); }
cudaError_t cudaMallocHost(void** memory, size_t bytes) { return allocate(memory, bytes, cudaMemoryTypeHost); }

cudaError_t cudaFree(void* memory) {
    const Lock lock;
    run_all();
    allocations().erase(reinterpret_cast<uintptr_t>(memory));
    stand_in::freed(memory);
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
    const Lock lock;
    adopting_device = device;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
    const Lock lock;
    const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
    auto found = allocations().upper_bound(address);
    *attributes = {};
    if (adopting_device >= 0) {
        attributes->type = cudaMemoryTypeDevice;
        attributes->device = adopting_device;
    }
    if (found != allocations().begin()) {
        --found;
        if (address - found->first < found->second.bytes) {
            attributes->type = found->second.type;
            attributes->device = found->second.device;
        }
    }
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void* destination, const void* source, size_t bytes, cudaMemcpyKind) {
    const Lock lock;
    run_all();
    memmove(destination, source, bytes);
    stand_in::written(destination, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* destination, const void* source, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
    return submit(stream, [=] {
        memmove(destination, source, bytes);
        stand_in::written(destination, bytes);
    });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
    const Lock lock;
    *stream = new CUstream_st;
    (*stream)->device = device_now;
    streams().insert(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    const Lock lock;
    while (run_one(*stream)) {
    }
    streams().erase(stream);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    const Lock lock;
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
    const Lock lock;
    *status = resolve(stream).capture != nullptr ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    const Lock lock;
    if (reinterpret_cast<uintptr_t>(stream) < 2 || stream->capture != nullptr) {
        return fail(cudaErrorStreamCaptureUnsupported);  // the legacy stream has no capture
    }
    resolve(stream).capture = std::make_unique<CUgraph_st>();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    const Lock lock;
    *graph = resolve(stream).capture.release();
    return *graph != nullptr ? cudaSuccess : fail(cudaErrorInvalidValue);
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
    *exec = new CUgraphExec_st{graph->work};
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    const Lock lock;
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
    const Lock lock;
    wait_for(*event);  // a queued record refers to it
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    const Lock lock;
    return event->pending == 0 ? cudaSuccess : fail(cudaErrorNotReady);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
    const Lock lock;
    const cudaError_t result = submit(handle, [event] { --event->pending; });
    if (result == cudaSuccess) {
        event->stream = &resolve(handle);
        ++event->pending;
    }
    return result;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    const Lock lock;
    wait_for(*event);
    return cudaSuccess;
}
