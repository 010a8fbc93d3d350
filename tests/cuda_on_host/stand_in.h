// What stands in for a CUDA device: runtime.cpp is the same for all who do, and each of them says how kernels run.
// There is the host (fibers.cpp), and the interpreter of PTX (../ptx).
#pragma once

#include <cuda_runtime.h>
#include <stddef.h>

#include <functional>
#include <mutex>

namespace stand_in {

// ---- of runtime.cpp ----

// Locked by each call of the runtime.
std::recursive_mutex& everything();

// Returns the error, which cudaGetLastError() returns once more.
cudaError_t fail(cudaError_t error);

// Queues work on a stream, or adds it to the graph that captures the stream.
cudaError_t submit(cudaStream_t stream, std::function<void()> work);

// ---- of each stand-in ----

struct Device {
    const char* name;
    int processors;
    int major;  // of the compute capability
    int minor;
};
Device device();

// Called when memory comes and goes, and when a copy has written to it.
void allocated(void* memory, size_t bytes, bool on_device);
void freed(void* memory);
void written(const void* memory, size_t bytes);

}  // namespace stand_in
