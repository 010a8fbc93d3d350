// libcudart.so.11.0 over the PTX interpreter; streams as in the project's own stand-in (work runs when somebody waits).
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>
#include "ptx.h"
// ---- the runtime's interface ----

namespace {

using Work = std::function<void()>;

constexpr int kDevices = 2;

std::recursive_mutex everything;
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
    ptx::mem_add(*memory, bytes, type == cudaMemoryTypeDevice);
    return cudaSuccess;
}

}  // namespace


static std::map<const void*, std::string>& kernel_names() { static std::map<const void*, std::string> all; return all; }
static int env_int(const char* name, int d) { const char* e = getenv(name); return e ? atoi(e) : d; }
struct AtEnd { ~AtEnd() { ptx::summary(); } };

extern "C" {
void** __cudaRegisterFatBinary(void*) { static AtEnd end; static void* handle; return &handle; }
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*, int*) { kernel_names()[host] = name; }
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
char __cudaInitModule(void**) { return 0; }

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared, cudaStream_t stream) {
    if (grid.x == 0 || grid.x > 0x7fffffff || block.x == 0 || block.x > 1024 || grid.y * grid.z * block.y * block.z != 1 || shared != 0) return fail(cudaErrorInvalidConfiguration);
    ptx::Kernel* kernel;
    { const Lock lock(everything); kernel = ptx::find(kernel_names()[function]); }
    if (kernel == nullptr) { fprintf(stderr, "no PTX for %s\n", kernel_names()[function].c_str()); return fail(cudaErrorInvalidDeviceFunction); }
    std::vector<unsigned char> parameters(kernel->param_bytes + 1);
    for (size_t i = 0; i < kernel->params.size(); ++i) memcpy(&parameters[kernel->params[i].offset], arguments[i], kernel->params[i].size);
    const unsigned g = grid.x, b = block.x;
    return submit(stream, [=] { ptx::launch(kernel, g, b, parameters); });
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int, size_t) { *blocks = env_int("PTXSIM_OCC", 2); return cudaSuccess; }
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int, size_t, unsigned) { *blocks = env_int("PTXSIM_OCC", 2); return cudaSuccess; }

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
    properties->multiProcessorCount = env_int("PTXSIM_SMS", 2); properties->major = 8;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    *value = attribute == cudaDevAttrMultiProcessorCount ? env_int("PTXSIM_SMS", 2) : attribute == cudaDevAttrComputeCapabilityMajor ? 8 : 0;
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
    ptx::mem_remove(memory);
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) { return cudaFree(memory); }

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
    *device = host;
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
    const Lock lock(everything);
    const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
    auto found = allocations().upper_bound(address);
    memset(attributes, 0, sizeof *attributes);
    if (found != allocations().begin()) {
        --found;
        if (address - found->first < found->second.bytes) {
            attributes->type = found->second.type; attributes->device = found->second.device;
        }
    }
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void* destination, const void* source, size_t bytes, cudaMemcpyKind) {
    const Lock lock(everything);
    run_all();
    memmove(destination, source, bytes); ptx::mem_written(destination, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* destination, const void* source, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
    return submit(stream, [=] { memmove(destination, source, bytes); ptx::mem_written(destination, bytes); });
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

}  // extern "C"
extern "C" cudaError_t cudaMemGetInfo(size_t* f, size_t* t) { *f = *t = 0; return cudaSuccess; }
extern "C" cudaError_t __cudaPopCallConfiguration(dim3*, dim3*, size_t*, void*) { abort(); }
