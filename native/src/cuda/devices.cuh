// What the CUDA backend knows of devices and their memory.
#pragma once

#include <inttypes.h>
#include <string.h>

#include <algorithm>

#include "backend/backend.h"
#include "cuda/known_pages.h"
#include "cuda/launch.cuh"
#include "cuda/runtime.h"

namespace nopt {

template <class T>
__global__ void __launch_bounds__(kThreadsPerBlock) fill_kernel(T* destination, int64_t count, T value) {
    const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreadsPerBlock;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreadsPerBlock + threadIdx.x; i < count; i += stride) {
        destination[i] = value;
    }
}

inline bool is_capturing(cudaStream_t stream) {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    check_cuda(cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
    return status != cudaStreamCaptureStatusNone;
}

// The part of the backend that does without a parameter set.
class CudaDevices : public Backend {
public:
    int device_count() override {
        int count = 0;
        const cudaError_t result = cudaGetDeviceCount(&count);
        if (result == cudaErrorInsufficientDriver || result == cudaErrorNoDevice || count == 0) {
            cudaGetLastError();
            int driver = 0;
            cudaDriverGetVersion(&driver);
            if (driver == 0) {
                throw Error(NOPT_ERROR_UNAVAILABLE, "no NVIDIA driver was found; install one, or use NOPT_BACKEND_CPU");
            }
            throw Error(NOPT_ERROR_UNAVAILABLE,
                        "no CUDA device can be used: %s (the driver supports CUDA %d.%d, this library needs %d.%d)",
                        cudaGetErrorString(result), driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                        CUDART_VERSION % 1000 / 10);
        }
        check_cuda(result, "cudaGetDeviceCount");
        return count;
    }

    void device_info(int device, nopt_device_info& info) override {
        cudaDeviceProp properties;
        check_cuda(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
        info.processor_count = properties.multiProcessorCount;
        info.compute_capability_major = properties.major;
        info.compute_capability_minor = properties.minor;
        info.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
        memcpy(info.name, properties.name, sizeof info.name - 1);  // both are zero-padded
    }

    void* alloc(int device, int64_t bytes) override {
        const DeviceGuard guard(device);
        void* memory = nullptr;
        check_cuda(cudaMalloc(&memory, static_cast<size_t>(bytes)), "cudaMalloc");
        return memory;
    }

    void free(int device, void* memory) override {
        const DeviceGuard guard(device);
        check_cuda(cudaFree(memory), "cudaFree");
    }

    void copy(int device, void* destination, const void* source, int64_t bytes, void* stream) override {
        const DeviceGuard guard(device);
        check_cuda(cudaMemcpyAsync(destination, source, static_cast<size_t>(bytes), cudaMemcpyDefault,
                                   static_cast<cudaStream_t>(stream)),
                   "cudaMemcpyAsync");
    }

    void fill(int device, void* destination, int64_t count, int bytes, uint32_t bits, void* stream) override {
        const DeviceGuard guard(device);
        switch (bytes) {
            case 1:
                return fill_elements(static_cast<uint8_t*>(destination), count, bits, stream);
            case 2:
                return fill_elements(static_cast<uint16_t*>(destination), count, bits, stream);
            default:
                return fill_elements(static_cast<uint32_t*>(destination), count, bits, stream);
        }
    }

    void* stream_create(int device) override {
        const DeviceGuard guard(device);
        cudaStream_t stream = nullptr;
        check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
        return stream;
    }

    void stream_destroy(int device, void* stream) override {
        const DeviceGuard guard(device);
        check_cuda(cudaStreamDestroy(static_cast<cudaStream_t>(stream)), "cudaStreamDestroy");
    }

    void stream_synchronize(int device, void* stream) override {
        const DeviceGuard guard(device);
        check_cuda(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)), "cudaStreamSynchronize");
    }

    void check_pointer(int device, const void* pointer, const char* role, int64_t tensor) override {
        if (known_pages_.contains(device, pointer)) {
            return;
        }
        cudaPointerAttributes attributes;
        check_cuda(cudaPointerGetAttributes(&attributes, pointer), "cudaPointerGetAttributes");
        const bool usable = attributes.type == cudaMemoryTypeManaged ||
                            (attributes.type == cudaMemoryTypeDevice && attributes.device == device);
        if (!usable) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                        "pointers[%" PRId64
                        "] of role %s is not memory of CUDA device %d; pass device memory of the "
                        "parameter set's device",
                        tensor, role, device);
        }
        known_pages_.insert(device, pointer);
    }

private:
    // The device is current.
    template <class T>
    static void fill_elements(T* destination, int64_t count, uint32_t bits, void* stream) {
        launch("filling memory", &fill_kernel<T>, std::min<int64_t>(blocks_for(count, kThreadsPerBlock), 4096),
               kThreadsPerBlock, static_cast<cudaStream_t>(stream), destination, count, static_cast<T>(bits));
    }

    KnownPages known_pages_;
};

}  // namespace nopt
