#include <inttypes.h>
#include <string.h>

#include <algorithm>
#include <vector>

#include "backend/param_set.h"
#include "cuda/elementwise.cuh"
#include "cuda/runtime.h"
#include "cuda/tuning.h"
#include "rules/all_rules.h"
#include "rules/registry.h"

namespace nopt {
namespace {

// Every launch goes through here: no <<<>>>, so that any C++ compiler reads this file.
template <class... Parameters>
void launch(const char* name, void (*kernel)(Parameters...), int64_t blocks, cudaStream_t stream,
            Parameters... arguments) {
    void* pointers[] = {&arguments...};
    check_cuda(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3(static_cast<unsigned>(blocks)),
                                dim3(kThreadsPerBlock), pointers, 0, stream),
               name);
    // Also what an earlier asynchronous call left behind.
    check_cuda(cudaGetLastError(), name);
}

using Kernel = void (*)(ElementwiseTable, StepInput);

const Kernel kKernels[kRuleCount][kMaxVariants] = {
#define NOPT_RULE(Type, header) {&elementwise_kernel<Type, 0>, &elementwise_kernel<Type, 1>},
#include "rules/rules.def"
#undef NOPT_RULE
};

// Pinned memory through which changed tables travel to the device. A slot is filled again when its copy has finished.
// With all slots on their way, the host is that many steps ahead of the device: waiting for the oldest then costs the
// device nothing.
class StagingRing {
public:
    explicit StagingRing(size_t bytes) {
        for (Slot& slot : slots_) {
            slot.memory = pinned_array<unsigned char>(bytes);
            slot.copied = make_event();
        }
    }

    void upload(void* destination, const void* source, size_t bytes, cudaStream_t stream) {
        if (bytes == 0) {
            return;
        }
        Slot& slot = slots_[next_];
        next_ = (next_ + 1) % kStagingSlots;
        if (cudaEventQuery(slot.copied.get()) == cudaErrorNotReady) {
            cudaGetLastError();
            check_cuda(cudaEventSynchronize(slot.copied.get()), "cudaEventSynchronize");
        }
        memcpy(slot.memory.get(), source, bytes);
        check_cuda(cudaMemcpyAsync(destination, slot.memory.get(), bytes, cudaMemcpyHostToDevice, stream),
                   "uploading a table");
        check_cuda(cudaEventRecord(slot.copied.get(), stream), "cudaEventRecord");
    }

private:
    struct Slot {
        PinnedArray<unsigned char> memory;
        Event copied;
    };

    Slot slots_[kStagingSlots];
    int next_ = 0;
};

// A set's tables on the device. Uploaded in stream order, and again only when they changed.
struct CudaData : BackendData {
    // The set's device is current.
    explicit CudaData(const ParamSet& set)
        : staging(std::max<size_t>(set.counts.size(), 1) * sizeof(double)),
          counts(device_array<int64_t>(set.counts.size())),
          lr_scale(device_array<double>(set.counts.size())),
          weight_decay(device_array<double>(set.counts.size())) {
        const size_t tensors = set.counts.size();
        for (DeviceArray<void*>& role : pointers) {
            role = device_array<void*>(tensors);
        }
        std::vector<Chunk> host_chunks;
        for (size_t t = 0; t < tensors; ++t) {
            for (int64_t begin = 0; begin < set.counts[t]; begin += kChunkElements) {
                host_chunks.push_back({begin, static_cast<int32_t>(t), 0});
            }
        }
        chunk_count = static_cast<int64_t>(host_chunks.size());
        chunks = device_array<Chunk>(host_chunks.size());
        if (chunk_count > 0) {
            // These never change; they are there before the constructor returns.
            check_cuda(cudaMemcpy(chunks.get(), host_chunks.data(), host_chunks.size() * sizeof(Chunk),
                                  cudaMemcpyHostToDevice),
                       "uploading the chunks");
            check_cuda(cudaMemcpy(counts.get(), set.counts.data(), tensors * sizeof(int64_t), cudaMemcpyHostToDevice),
                       "uploading the element counts");
        }
        int processors = 0;
        check_cuda(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, set.device),
                   "cudaDeviceGetAttribute");
        for (int rule = 0; rule < kRuleCount; ++rule) {
            for (int variant = 0; variant < kMaxVariants; ++variant) {
                int resident = 0;
                check_cuda(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
                               &resident, reinterpret_cast<const void*>(kKernels[rule][variant]), kThreadsPerBlock, 0),
                           "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
                wave[rule][variant] = std::max<int64_t>(1, int64_t{resident} * processors);
            }
        }
    }

    StagingRing staging;
    DeviceArray<int64_t> counts;
    DeviceArray<double> lr_scale;
    DeviceArray<double> weight_decay;
    uint64_t tensor_options_version = 0;
    DeviceArray<void*> pointers[kRoleCount];
    uint64_t versions[kRoleCount] = {};
    DeviceArray<Chunk> chunks;
    int64_t chunk_count = 0;
    int64_t wave[kRuleCount][kMaxVariants] = {};  // blocks that are resident at once
};

class CudaBackend final : public Backend {
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

    void fill_float32(int device, float* destination, int64_t count, float value, void* stream) override {
        const DeviceGuard guard(device);
        const int64_t blocks = std::min<int64_t>((count + kThreadsPerBlock - 1) / kThreadsPerBlock, 4096);
        launch("filling memory", &fill_kernel, blocks, static_cast<cudaStream_t>(stream), destination, count, value);
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
    }

    std::unique_ptr<BackendData> create_data(const ParamSet& set) override {
        const DeviceGuard guard(set.device);
        return std::make_unique<CudaData>(set);
    }

    void step(ParamSet& set, int rule, const StepInput& input, void* stream_pointer) override {
        const DeviceGuard guard(set.device);
        CudaData& data = static_cast<CudaData&>(*set.data);
        const cudaStream_t stream = static_cast<cudaStream_t>(stream_pointer);
        const StateRoles& states = rule_at(rule).states[input.variant];

        ElementwiseTable table = {};
        table.counts = data.counts.get();
        table.chunks = data.chunks.get();
        table.chunk_count = data.chunk_count;
        table.param = reinterpret_cast<float* const*>(role_table(set, data, NOPT_ROLE_PARAM, stream));
        table.grad = reinterpret_cast<const float* const*>(role_table(set, data, NOPT_ROLE_GRAD, stream));
        for (int s = 0; s < states.count; ++s) {
            table.states[s] = reinterpret_cast<float* const*>(role_table(set, data, states.roles[s], stream));
        }
        if (data.tensor_options_version != set.tensor_options_version) {
            const size_t bytes = set.counts.size() * sizeof(double);
            if (!set.lr_scale.empty()) {
                data.staging.upload(data.lr_scale.get(), set.lr_scale.data(), bytes, stream);
            }
            if (!set.weight_decay.empty()) {
                data.staging.upload(data.weight_decay.get(), set.weight_decay.data(), bytes, stream);
            }
            data.tensor_options_version = set.tensor_options_version;
        }
        table.lr_scale = set.lr_scale.empty() ? nullptr : data.lr_scale.get();
        table.weight_decay = set.weight_decay.empty() ? nullptr : data.weight_decay.get();

        const int64_t blocks = std::min(data.chunk_count, data.wave[rule][input.variant]);
        launch(rule_at(rule).traits.name, kKernels[rule][input.variant], blocks, stream, table, input);
    }

private:
    // The role's addresses on the device, as of this point of the stream.
    static void* const* role_table(const ParamSet& set, CudaData& data, nopt_role role, cudaStream_t stream) {
        if (data.versions[role] != set.versions[role]) {
            data.staging.upload(data.pointers[role].get(), set.pointers[role].data(), set.counts.size() * sizeof(void*),
                                stream);
            data.versions[role] = set.versions[role];
        }
        return data.pointers[role].get();
    }
};

}  // namespace

Backend& cuda_backend() {
    static CudaBackend instance;
    return instance;
}

}  // namespace nopt
