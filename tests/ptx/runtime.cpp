// What is the interpreter's own of the CUDA runtime: it registers the kernels of a program and launches them. The rest
// is the host's, ../cuda_on_host/runtime.cpp.
#include <cuda_runtime.h>

#include <stdio.h>
#include <stdlib.h>

#include <map>
#include <string>

#include "../cuda_on_host/stand_in.h"
#include "library.h"
#include "memory.h"
#include "snapshot.h"

namespace {

struct Grid {
    int processors;
    int blocks;  // that each of them runs at once
};

// Such as "3x2". Grids are whole waves of all processors, so this decides how the work is divided.
Grid grid() {
    static const Grid kGrid = [] {
        const char* const text = getenv("NATIVEOPT_PTX_GRID");
        Grid result = {2, 2};
        if (text != nullptr && sscanf(text, "%dx%d", &result.processors, &result.blocks) != 2) {
            ptx::give_up(std::string("NATIVEOPT_PTX_GRID is ") + text + "; it must be like 3x2");
        }
        return result;
    }();
    return kGrid;
}

// By the address of the function on the host that stands for the kernel.
std::map<const void*, std::string>& names() {
    static std::map<const void*, std::string> all;
    return all;
}

}  // namespace

namespace stand_in {

Device device() { return {"nvcc's PTX on the host", grid().processors, 8, 0}; }
void allocated(void* memory, size_t bytes, bool on_device) { ptx::add_memory(memory, bytes, !on_device); }
void freed(void* memory) { ptx::remove_memory(memory); }
void written(const void* memory, size_t bytes) { ptx::written_by_the_host(memory, bytes); }

}  // namespace stand_in

cudaError_t cudaLaunchKernel(const void* function, dim3 blocks, dim3 threads, void** arguments, size_t dynamic,
                             cudaStream_t stream) {
    const bool is_flat = blocks.y == 1 && blocks.z == 1 && threads.y == 1 && threads.z == 1 && dynamic == 0;
    if (blocks.x == 0 || threads.x == 0 || threads.x > 1024 || !is_flat) {
        return stand_in::fail(cudaErrorInvalidConfiguration);
    }
    const std::lock_guard<std::recursive_mutex> lock(stand_in::everything());
    ptx::Kernel* const kernel = ptx::Library::instance().find(names()[function]);
    if (kernel == nullptr) {
        return stand_in::fail(cudaErrorInvalidDeviceFunction);
    }
    std::vector<unsigned char> parameters(kernel->parameter_bytes);
    for (size_t i = 0; i < kernel->parameters.size(); ++i) {
        memcpy(parameters.data() + kernel->parameter_offsets[i], arguments[i], kernel->parameters[i].bytes);
    }
    return stand_in::submit(stream, [kernel, blocks, threads, parameters] {
        const ptx::Snapshot snapshot(*kernel, blocks.x, threads.x, parameters);
        ptx::run(*kernel, blocks.x, threads.x, parameters);
    });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int, size_t) {
    *blocks = grid().blocks;
    return cudaSuccess;
}

// What the code that nvcc adds to a program calls when it is loaded.
extern "C" {
void** __cudaRegisterFatBinary(void*);
void __cudaRegisterFatBinaryEnd(void**);
void __cudaUnregisterFatBinary(void**);
void __cudaRegisterFunction(void**, const char* function, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*);
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int);
char __cudaInitModule(void**);
cudaError_t __cudaPopCallConfiguration(dim3*, dim3*, size_t*, void*);

void** __cudaRegisterFatBinary(void*) {
    static void* handle = nullptr;
    return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, const char* function, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
    names()[function] = name;
}
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
char __cudaInitModule(void**) { return 0; }
// Of launches by <<<>>>, which the sources do not use.
cudaError_t __cudaPopCallConfiguration(dim3*, dim3*, size_t*, void*) { return cudaErrorNotSupported; }
#if CUDART_VERSION >= 12010
cudaError_t __cudaGetKernel(cudaKernel_t*, const void*);
cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void**, size_t, cudaStream_t);

cudaError_t __cudaGetKernel(cudaKernel_t*, const void*) { return cudaErrorNotSupported; }
cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void**, size_t, cudaStream_t) { return cudaErrorNotSupported; }
#endif
}
