// How kernels are launched.
#pragma once

#include <stdint.h>

#include <algorithm>
#include <type_traits>
#include <utility>
#include <vector>

#include "cuda/runtime.h"
#include "cuda/tuning.h"

namespace nopt {

// Every launch goes through here: no <<<>>>, so that any C++ compiler reads the sources.
template <class... Parameters>
void launch(const char* name, void (*kernel)(Parameters...), int64_t blocks, int threads, cudaStream_t stream,
            std::common_type_t<Parameters>... arguments) {
    void* pointers[] = {&arguments...};
    check_cuda(cudaLaunchKernel(kernel_address(kernel), dim3(static_cast<unsigned>(blocks)),
                                dim3(static_cast<unsigned>(threads)), pointers, 0, stream),
               name);
    // This also reports what an earlier asynchronous call left behind.
    check_cuda(cudaGetLastError(), name);
}

constexpr int64_t blocks_for(int64_t count, int64_t per_block) { return (count + per_block - 1) / per_block; }

// How many blocks of each kernel a device runs at once, which grids are made of.
class Waves {
public:
    Waves(int device, int64_t most) : device_(device), most_(most) { known_.reserve(64); }

    // The grid of a kernel with work for so many blocks: whole waves at most. The device is current.
    template <class... Parameters>
    int64_t grid(void (*kernel)(Parameters...), int64_t blocks, int threads = kThreadsPerBlock) {
        return std::max<int64_t>(1, std::min(blocks, most_ * wave(kernel, threads)));
    }

private:
    template <class... Parameters>
    int64_t wave(void (*kernel)(Parameters...), int threads) {
        const void* const key = reinterpret_cast<const void*>(kernel);
        for (const auto& known : known_) {
            if (known.first == key) {
                return known.second;
            }
        }
        int resident = 0;
        check_cuda(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel_address(kernel), threads, 0),
                   "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
        known_.emplace_back(key,
                            std::max(resident, 1) * int64_t{device_attribute(cudaDevAttrMultiProcessorCount, device_)});
        return known_.back().second;
    }

    const int device_;
    const int64_t most_;  // waves of a grid
    std::vector<std::pair<const void*, int64_t>> known_;
};

}  // namespace nopt
