// As much of CUDA as the library's sources use, on the host: what <cuda_runtime.h> is to nvcc, this is to a C++
// compiler. Kernels run as they stand, each thread of a block as a fiber, the blocks of a launch one after another.
// Device memory is host memory, and streams are in order because everything is. See runtime.cpp.
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <utility>

#define __host__
#define __device__
#define __global__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(threads)
// Blocks run one at a time, so that a block's memory may be static.
#define __shared__ static

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// Of the thread that runs now.
extern dim3 threadIdx;
extern dim3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;

// ---- what a kernel calls ----

namespace cuda_on_host {
void sync_threads();
// Exchanges 8 bytes within the warp; all of its threads must call it.
uint64_t exchange(unsigned mask, uint64_t value, int lane);
int lane();
// Runs body(context) as every thread of every block.
void run(dim3 grid, dim3 block, void (*body)(void*), void* context);
}  // namespace cuda_on_host

inline void __syncthreads() { cuda_on_host::sync_threads(); }
inline void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance) {
    static_assert(sizeof(T) <= sizeof(uint64_t), "at most 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = cuda_on_host::exchange(mask, bits, cuda_on_host::lane() ^ distance);
    memcpy(&value, &bits, sizeof value);
    return value;
}

// ---- the runtime's interface ----

#define CUDART_VERSION 11080

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorNotReady = 600
};
enum cudaMemcpyKind {
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDefault = 4
};
enum cudaMemoryType {
    cudaMemoryTypeUnregistered = 0,
    cudaMemoryTypeHost,
    cudaMemoryTypeDevice,
    cudaMemoryTypeManaged
};
enum cudaDeviceAttr {
    cudaDevAttrMultiProcessorCount = 16
};
constexpr unsigned cudaStreamNonBlocking = 1;
constexpr unsigned cudaEventDisableTiming = 2;

typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
    int multiProcessorCount;
    int major;
    int minor;
};
struct cudaPointerAttributes {
    cudaMemoryType type;
    int device;
};

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t error);
const char* cudaGetErrorName(cudaError_t error);
cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMallocHost(void** memory, size_t bytes);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned flags);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer);
cudaError_t cudaMemcpy(void* destination, const void* source, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void* destination, const void* source, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);

// Two blocks for each of two processors: grids are small, so that the loops over what is left of the chunks are run.
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel*, int, size_t) {
    *blocks = 2;
    return cudaSuccess;
}

namespace cuda_on_host {

template <class... Parameters>
struct Launch {
    void (*kernel)(Parameters...);
    void** arguments;

    static void run(void* context) { static_cast<Launch*>(context)->call(std::index_sequence_for<Parameters...>{}); }

    template <size_t... Index>
    void call(std::index_sequence<Index...>) {
        kernel(*static_cast<Parameters*>(arguments[Index])...);
    }
};

}  // namespace cuda_on_host

template <class... Parameters>
cudaError_t cudaLaunchKernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, void** arguments, size_t,
                             cudaStream_t) {
    cuda_on_host::Launch<Parameters...> launch = {kernel, arguments};
    cuda_on_host::run(grid, block, &launch.run, &launch);
    return cudaSuccess;
}
