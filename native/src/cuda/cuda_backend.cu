#include <inttypes.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "backend/param_set.h"
#include "cuda/dimer.cuh"
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
    check_cuda(cudaLaunchKernel(kernel_address(kernel), dim3(static_cast<unsigned>(blocks)), dim3(kThreadsPerBlock),
                                pointers, 0, stream),
               name);
    // Also what an earlier asynchronous call left behind.
    check_cuda(cudaGetLastError(), name);
}

template <class Source>
using UpdateKernel = void (*)(ElementwiseTable, typename Source::Table, StepInput);

template <class Source>
const UpdateKernel<Source> kUpdateKernels[kRuleCount][kMaxVariants] = {
#define NOPT_RULE(Type, header) {&update_kernel<Type, 0, Source>, &update_kernel<Type, 1, Source>},
#include "rules/rules.def"
#undef NOPT_RULE
};

using SumsKernel = void (*)(DimerTable, Sums*);
const SumsKernel kSumsKernels[kDimerSumsCount] = {&sums_kernel<kSumsNorm>, &sums_kernel<kSumsProject>,
                                                  &sums_kernel<kSumsRotate>, &sums_kernel<kSumsOptimize>};

// Blocks that are resident at once on the current device.
template <class... Parameters>
int64_t wave_of(void (*kernel)(Parameters...), int device) {
    int processors = 0;
    check_cuda(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
    int resident = 0;
    check_cuda(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel_address(kernel), kThreadsPerBlock, 0),
               "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
    return std::max<int64_t>(1, int64_t{resident} * processors);
}

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
          first_element(device_array<int64_t>(set.counts.size())),
          lr_scale(device_array<double>(set.counts.size())),
          weight_decay(device_array<double>(set.counts.size())) {
        const size_t tensors = set.counts.size();
        for (DeviceArray<void*>& role : pointers) {
            role = device_array<void*>(tensors);
        }
        std::vector<Chunk> host_chunks;
        std::vector<int64_t> host_first_element;
        int64_t elements = 0;
        for (size_t t = 0; t < tensors; ++t) {
            host_first_element.push_back(elements);
            elements += set.counts[t];
            first_chunk.push_back(static_cast<int64_t>(host_chunks.size()));
            for (int64_t begin = 0; begin < set.counts[t]; begin += kChunkElements) {
                host_chunks.push_back({begin, static_cast<int32_t>(t), 0});
            }
        }
        chunk_count = static_cast<int64_t>(host_chunks.size());
        first_chunk.push_back(chunk_count);
        chunks = device_array<Chunk>(host_chunks.size());
        if (chunk_count > 0) {
            // These never change; they are there before the constructor returns.
            check_cuda(cudaMemcpy(chunks.get(), host_chunks.data(), host_chunks.size() * sizeof(Chunk),
                                  cudaMemcpyHostToDevice),
                       "uploading the chunks");
            check_cuda(cudaMemcpy(counts.get(), set.counts.data(), tensors * sizeof(int64_t), cudaMemcpyHostToDevice),
                       "uploading the element counts");
            check_cuda(cudaMemcpy(first_element.get(), host_first_element.data(), tensors * sizeof(int64_t),
                                  cudaMemcpyHostToDevice),
                       "uploading the first elements");
        }
        for (int rule = 0; rule < kRuleCount; ++rule) {
            for (int variant = 0; variant < kMaxVariants; ++variant) {
                wave[rule][variant] = wave_of(kUpdateKernels<PlainSource>[rule][variant], set.device);
            }
        }
    }

    ChunkTable table() const { return {counts.get(), chunks.get(), chunk_count}; }

    StagingRing staging;
    DeviceArray<int64_t> counts;
    DeviceArray<int64_t> first_element;  // of each tensor, among those of all
    DeviceArray<double> lr_scale;
    DeviceArray<double> weight_decay;
    uint64_t tensor_options_version = 0;
    DeviceArray<void*> pointers[kRoleCount];
    uint64_t versions[kRoleCount] = {};
    DeviceArray<Chunk> chunks;
    int64_t chunk_count = 0;
    std::vector<int64_t> first_chunk;  // of each tensor, and the number of all
    int64_t wave[kRuleCount][kMaxVariants] = {};
};

// A dimer's memory on the device.
struct CudaDimer : DimerData {
    // The set's device is current.
    CudaDimer(const ParamSet& set, nopt_dimer_scope scope)
        : device(set.device),
          per_tensor(scope == NOPT_DIMER_SCOPE_PER_TENSOR),
          scope_count(per_tensor ? static_cast<int64_t>(set.counts.size()) : 1) {
        const CudaData& data = static_cast<const CudaData&>(*set.data);
        const size_t scopes_size = static_cast<size_t>(scope_count);
        chunk_sums = device_array<Sums>(static_cast<size_t>(data.chunk_count));
        sums = device_array<Sums>(scopes_size);
        scopes = device_array<DimerScope>(scopes_size);
        published = pinned_array<PublishedReading>(scopes_size);
        const std::vector<int64_t> global = {0, data.chunk_count};
        const std::vector<int64_t>& first = per_tensor ? data.first_chunk : global;
        first_chunk = device_array<int64_t>(first.size());
        check_cuda(cudaMemcpy(first_chunk.get(), first.data(), first.size() * sizeof(int64_t), cudaMemcpyHostToDevice),
                   "uploading the chunks of the scopes");
        if (scope_count > 0) {
            const std::vector<DimerScope> initial(scopes_size, initial_scope());
            check_cuda(
                cudaMemcpy(scopes.get(), initial.data(), scopes_size * sizeof(DimerScope), cudaMemcpyHostToDevice),
                "uploading the scopes");
            std::fill(published.get(), published.get() + scope_count, PublishedReading{0, initial_scope(), 0});
            void* mapped = nullptr;
            check_cuda(cudaHostGetDevicePointer(&mapped, published.get(), 0), "cudaHostGetDevicePointer");
            published_on_device = static_cast<PublishedReading*>(mapped);
        }
        for (int rule = 0; rule < kRuleCount; ++rule) {
            for (int variant = 0; variant < kMaxVariants; ++variant) {
                wave[rule][variant] = wave_of(kUpdateKernels<DimerSource>[rule][variant], device);
            }
        }
        for (int kind = 0; kind < kDimerSumsCount; ++kind) {
            sums_wave[kind] = wave_of(kSumsKernels[kind], device);
        }
    }

    const int device;
    const bool per_tensor;
    const int64_t scope_count;
    DeviceArray<Sums> chunk_sums;
    DeviceArray<Sums> sums;  // of each scope
    DeviceArray<DimerScope> scopes;
    DeviceArray<int64_t> first_chunk;  // of each scope, and the number of all
    PinnedArray<PublishedReading> published;
    PublishedReading* published_on_device = nullptr;
    int64_t wave[kRuleCount][kMaxVariants] = {};
    int64_t sums_wave[kDimerSumsCount] = {};
};

CudaDimer& dimer_of(const DimerPass& pass) { return static_cast<CudaDimer&>(pass.data); }

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

    void step(ParamSet& set, int rule, const StepInput& input, const DimerPass* dimer, void* stream_pointer) override {
        const DeviceGuard guard(set.device);
        CudaData& data = static_cast<CudaData&>(*set.data);
        const cudaStream_t stream = static_cast<cudaStream_t>(stream_pointer);
        const StateRoles& states = rule_at(rule).states[input.variant];

        ElementwiseTable table = {};
        table.set = data.table();
        table.param = floats(set, data, NOPT_ROLE_PARAM, stream);
        table.grad = floats(set, data, NOPT_ROLE_GRAD, stream);
        for (int s = 0; s < states.count; ++s) {
            table.states[s] = floats(set, data, states.roles[s], stream);
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

        const char* const name = rule_at(rule).traits.name;
        if (dimer == nullptr) {
            launch(
                name, kUpdateKernels<PlainSource>[rule][input.variant],
                std::min(data.chunk_count, data.wave[rule][input.variant]), stream, table, PlainSource::Table {},
                input);
        } else {
            launch(name, kUpdateKernels<DimerSource>[rule][input.variant],
                   std::min(data.chunk_count, dimer_of(*dimer).wave[rule][input.variant]), stream, table,
                   dimer_table(set, dimer, stream), input);
        }
    }

    std::unique_ptr<DimerData> create_dimer(const ParamSet& set, nopt_dimer_scope scope) override {
        const DeviceGuard guard(set.device);
        return std::make_unique<CudaDimer>(set, scope);
    }

    Sums* dimer_sums(DimerData& data) override { return static_cast<CudaDimer&>(data).sums.get(); }

    void dimer_sum(ParamSet& set, const DimerPass& pass, bool decides, void* stream_pointer) override {
        const DeviceGuard guard(set.device);
        CudaDimer& dimer = dimer_of(pass);
        const cudaStream_t stream = static_cast<cudaStream_t>(stream_pointer);
        const DimerTable table = dimer_table(set, &pass, stream);
        if (table.set.chunk_count > 0) {
            const int kind = sums_for(pass.decision);
            launch("summing up", kSumsKernels[kind], std::min(table.set.chunk_count, dimer.sums_wave[kind]), stream,
                   table, dimer.chunk_sums.get());
        }
        if (dimer.scope_count > 0) {
            launch("summing up", &scope_sums_kernel, std::min<int64_t>(dimer.scope_count, kMaxSmallBlocks), stream,
                   table, pass.input, dimer.scope_count, static_cast<const int64_t*>(dimer.first_chunk.get()),
                   dimer.chunk_sums.get(), dimer.sums.get(), decides ? 1 : 0, dimer.published_on_device);
        }
    }

    void dimer_decide(ParamSet& set, const DimerPass& pass, void* stream_pointer) override {
        const DeviceGuard guard(set.device);
        CudaDimer& dimer = dimer_of(pass);
        const cudaStream_t stream = static_cast<cudaStream_t>(stream_pointer);
        if (dimer.scope_count > 0) {
            const int64_t blocks = (dimer.scope_count + kThreadsPerBlock - 1) / kThreadsPerBlock;
            launch("deciding", &decide_kernel, std::min<int64_t>(blocks, kMaxSmallBlocks), stream,
                   dimer_table(set, &pass, stream), pass.input, dimer.scope_count,
                   static_cast<const int64_t*>(dimer.first_chunk.get()), static_cast<const Sums*>(dimer.sums.get()),
                   dimer.published_on_device);
        }
    }

    void dimer_randomize(ParamSet& set, uint64_t seed, uint64_t first_element, void* stream_pointer) override {
        const DeviceGuard guard(set.device);
        CudaData& data = static_cast<CudaData&>(*set.data);
        const cudaStream_t stream = static_cast<cudaStream_t>(stream_pointer);
        DimerTable table = {};
        table.set = data.table();
        table.direction = floats(set, data, NOPT_ROLE_DIRECTION, stream);
        launch("drawing a direction", &randomize_kernel, std::min<int64_t>(data.chunk_count, kMaxSmallBlocks), stream,
               table, static_cast<const int64_t*>(data.first_element.get()), seed, first_element);
    }

    void dimer_scale(ParamSet& set, const DimerPass& pass, void* stream) override {
        run_elements<ScaleElements>(set, &pass, 0.0, "scaling", stream);
    }

    void dimer_displace(ParamSet& set, double displacement, void* stream) override {
        run_elements<DisplaceElements>(set, nullptr, displacement, "displacing", stream);
    }

    void dimer_turn(ParamSet& set, const DimerPass& pass, void* stream) override {
        run_elements<TurnElements>(set, &pass, pass.input.displacement, "rotating", stream);
    }

    void dimer_restore(ParamSet& set, void* stream) override {
        run_elements<RestoreElements>(set, nullptr, 0.0, "restoring", stream);
    }

    DimerReading dimer_read(DimerData& data, int64_t scope) override {
        const volatile PublishedReading& published = static_cast<CudaDimer&>(data).published.get()[scope];
        // Writing takes the device a microsecond; only one that died in it needs an end to this.
        for (int attempt = 0; attempt < 1000000; ++attempt) {
            // The device writes `before` first and `after` last; here it is the other way round.
            const uint64_t after = published.after;
            std::atomic_thread_fence(std::memory_order_acquire);
            const DimerReading reading = const_cast<const DimerReading&>(published.reading);
            std::atomic_thread_fence(std::memory_order_acquire);
            if (published.before == after) {
                return reading;
            }
        }
        throw Error(NOPT_ERROR_DEVICE, "the device stopped while it wrote a scope's status");
    }

    void dimer_set_curvature(DimerData& data, const double* curvature, void* stream_pointer) override {
        CudaDimer& dimer = static_cast<CudaDimer&>(data);
        const DeviceGuard guard(dimer.device);
        const cudaStream_t stream = static_cast<cudaStream_t>(stream_pointer);
        std::vector<DimerScope> scopes(static_cast<size_t>(dimer.scope_count));
        const size_t bytes = scopes.size() * sizeof(DimerScope);
        check_cuda(cudaMemcpyAsync(scopes.data(), dimer.scopes.get(), bytes, cudaMemcpyDeviceToHost, stream),
                   "reading the scopes");
        check_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
        for (size_t i = 0; i < scopes.size(); ++i) {
            scopes[i].curvature = curvature[i];
            dimer.published[i].reading.curvature = curvature[i];
        }
        check_cuda(cudaMemcpyAsync(dimer.scopes.get(), scopes.data(), bytes, cudaMemcpyHostToDevice, stream),
                   "writing the scopes");
        check_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
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

    // ... of float buffers; null if the role is not bound.
    static float* const* floats(const ParamSet& set, CudaData& data, nopt_role role, cudaStream_t stream) {
        if (!set.bound(role)) {
            return nullptr;
        }
        return reinterpret_cast<float* const*>(role_table(set, data, role, stream));
    }

    // `pass` may be null for what needs no scopes.
    static DimerTable dimer_table(const ParamSet& set, const DimerPass* pass, cudaStream_t stream) {
        CudaData& data = static_cast<CudaData&>(*set.data);
        DimerTable table = {};
        table.set = data.table();
        table.grad = floats(set, data, pass != nullptr ? pass->grad : NOPT_ROLE_GRAD, stream);
        table.displaced = floats(set, data, pass != nullptr ? pass->displaced : NOPT_ROLE_GRAD_DISPLACED, stream);
        table.direction = floats(set, data, NOPT_ROLE_DIRECTION, stream);
        table.rotation_direction = floats(set, data, NOPT_ROLE_ROTATION_DIRECTION, stream);
        table.param = floats(set, data, NOPT_ROLE_PARAM, stream);
        table.param_backup = floats(set, data, NOPT_ROLE_PARAM_BACKUP, stream);
        table.grad_backup = floats(set, data, NOPT_ROLE_GRAD_BACKUP, stream);
        if (pass != nullptr) {
            const CudaDimer& dimer = dimer_of(*pass);
            table.scopes = dimer.scopes.get();
            table.per_tensor = dimer.per_tensor ? 1 : 0;
            table.decision = pass->decision;
        }
        return table;
    }

    template <class Elements>
    static void run_elements(const ParamSet& set, const DimerPass* pass, double value, const char* name,
                             void* stream_pointer) {
        const DeviceGuard guard(set.device);
        const cudaStream_t stream = static_cast<cudaStream_t>(stream_pointer);
        const DimerTable table = dimer_table(set, pass, stream);
        if (table.set.chunk_count > 0) {
            launch(name, &dimer_kernel<Elements>, std::min<int64_t>(table.set.chunk_count, kMaxSmallBlocks), stream,
                   table, value);
        }
    }
};

}  // namespace

Backend& cuda_backend() {
    static CudaBackend instance;
    return instance;
}

}  // namespace nopt
