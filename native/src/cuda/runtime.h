// The CUDA runtime with its errors as exceptions and its resources as objects.
#pragma once

#include <cuda_runtime.h>

#include <memory>

#include "backend/error.h"

namespace nopt {

inline void check_cuda(cudaError_t result, const char* what) {
    if (result == cudaSuccess) {
        return;
    }
    cudaGetLastError();  // clears what is not a lasting fault, so that the next call does not report it again
    if (result == cudaErrorNoKernelImageForDevice) {
        throw Error(NOPT_ERROR_DEVICE,
                    "%s: the library has no code for this GPU (%s); build it for this one, which CMake's "
                    "CMAKE_CUDA_ARCHITECTURES and MSBuild's NativeOptCudaArchitectures name",
                    what, cudaGetErrorName(result));
    }
    const nopt_status status = result == cudaErrorMemoryAllocation ? NOPT_ERROR_OUT_OF_MEMORY : NOPT_ERROR_DEVICE;
    throw Error(status, "%s: %s (%s)", what, cudaGetErrorString(result), cudaGetErrorName(result));
}

inline int device_attribute(cudaDeviceAttr attribute, int device) {
    int value = 0;
    check_cuda(cudaDeviceGetAttribute(&value, attribute, device), "cudaDeviceGetAttribute");
    return value;
}

// A kernel as the runtime's functions take it. A stand-in for the runtime, on the host, needs the kernel's type.
template <class Kernel>
#if defined(__CUDACC__)
const void* kernel_address(Kernel* kernel) {
    return reinterpret_cast<const void*>(kernel);
}
#else
Kernel* kernel_address(Kernel* kernel) {
    return kernel;
}
#endif

// Makes a device current for a scope and gives the caller's back.
class DeviceGuard {
public:
    explicit DeviceGuard(int device) {
        check_cuda(cudaGetDevice(&previous_), "cudaGetDevice");
        if (previous_ != device) {
            check_cuda(cudaSetDevice(device), "cudaSetDevice");
            changed_ = true;
        }
    }
    ~DeviceGuard() {
        if (changed_) {
            cudaSetDevice(previous_);
        }
    }
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;

private:
    int previous_ = 0;
    bool changed_ = false;
};

struct DeviceFree {
    void operator()(void* memory) const { cudaFree(memory); }
};

struct HostFree {
    void operator()(void* memory) const { cudaFreeHost(memory); }
};

struct EventDestroy {
    void operator()(CUevent_st* event) const { cudaEventDestroy(event); }
};

template <class T>
using DeviceArray = std::unique_ptr<T[], DeviceFree>;
template <class T>
using PinnedArray = std::unique_ptr<T[], HostFree>;
using Event = std::unique_ptr<CUevent_st, EventDestroy>;

// Null for no elements.
template <class T>
DeviceArray<T> device_array(size_t count) {
    void* memory = nullptr;
    if (count > 0) {
        check_cuda(cudaMalloc(&memory, count * sizeof(T)), "cudaMalloc");
    }
    return DeviceArray<T>(static_cast<T*>(memory));
}

template <class T>
PinnedArray<T> pinned_array(size_t count) {
    void* memory = nullptr;
    if (count > 0) {
        check_cuda(cudaMallocHost(&memory, count * sizeof(T)), "cudaMallocHost");
    }
    return PinnedArray<T>(static_cast<T*>(memory));
}

inline Event make_event() {
    cudaEvent_t event = nullptr;
    check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreate");
    return Event(event);
}

}  // namespace nopt
