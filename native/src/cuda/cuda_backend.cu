#include <inttypes.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "backend/param_set.h"
#include "cuda/blockwise.cuh"
#include "cuda/dimer.cuh"
#include "cuda/dimer_sums.cuh"
#include "cuda/elementwise.cuh"
#include "cuda/published.cuh"
#include "cuda/runtime.h"
#include "cuda/scalars.cuh"
#include "cuda/tables.cuh"
#include "cuda/tuning.h"
#include "rules/all_rules.h"
#include "rules/registry.h"

namespace nopt {
namespace {

// Every launch goes through here: no <<<>>>, so that any C++ compiler reads this file.
template <class... Parameters>
void launch(const char* name, void (*kernel)(Parameters...), int64_t blocks, int threads, cudaStream_t stream,
            Parameters... arguments) {
    void* pointers[] = {&arguments...};
    check_cuda(cudaLaunchKernel(kernel_address(kernel), dim3(static_cast<unsigned>(blocks)),
                                dim3(static_cast<unsigned>(threads)), pointers, 0, stream),
               name);
    // Also what an earlier asynchronous call left behind.
    check_cuda(cudaGetLastError(), name);
}

template <class Source>
using UpdateKernel = void (*)(ElementwiseTable, typename Source::Table, GroupScalars);

template <class Source>
const UpdateKernel<Source> kUpdateKernels[kRuleCount][kMaxVariants] = {
#define NOPT_RULE(Type, header) {&update_kernel<Type, 0, Source>, &update_kernel<Type, 1, Source>},
#include "rules/rules.def"
#undef NOPT_RULE
};

// ... where a state has 8 bits.
template <class Source>
const UpdateKernel<Source> kBlockwiseKernels[kRuleCount][kMaxVariants] = {
#define NOPT_RULE(Type, header) {&blockwise_kernel<Type, 0, Source>, &blockwise_kernel<Type, 1, Source>},
#include "rules/rules.def"
#undef NOPT_RULE
};

using PrepareKernel = void (*)(StepInputs, GradDecision, DeviceStep*, Published<nopt_step_state>*, GroupTable,
                               unsigned char*);
const PrepareKernel kPrepareKernels[kRuleCount] = {
#define NOPT_RULE(Type, header) &prepare_kernel<Type>,
#include "rules/rules.def"
#undef NOPT_RULE
};

using SumsKernel = void (*)(DimerTable, SumTable, Sums*);
template <bool kHalves>
const SumsKernel kSumsKernels[kDimerSumsCount] = {
    &sums_kernel<kSumsNorm, false>,        &sums_kernel<kSumsProject, kHalves>,
    &sums_kernel<kSumsRotate, kHalves>,    &sums_kernel<kSumsOptimize, kHalves>,
    &sums_kernel<kSumsGradNorm, kHalves>,  &sums_kernel<kSumsProjectNorm, kHalves>,
    &sums_kernel<kSumsRotateNorm, kHalves>};

int64_t blocks_for(int64_t count, int64_t per_block) { return (count + per_block - 1) / per_block; }

// A set's tables, and how many blocks of each kernel the device runs at once.
struct CudaSet final : CudaData {
    explicit CudaSet(const ParamSet& set) : CudaData(set), device(set.device) { waves.reserve(64); }

    // The grid of a kernel with work for so many blocks: no more than whole waves. The device is current.
    template <class... Parameters>
    int64_t grid(void (*kernel)(Parameters...), int64_t blocks) {
        return std::max<int64_t>(1, std::min(blocks, tuning->waves * wave(kernel)));
    }

    template <class... Parameters>
    int64_t wave(void (*kernel)(Parameters...)) {
        const void* const key = reinterpret_cast<const void*>(kernel);
        for (const auto& known : waves) {
            if (known.first == key) {
                return known.second;
            }
        }
        int resident = 0;
        check_cuda(
            cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel_address(kernel), kThreadsPerBlock, 0),
            "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
        waves.emplace_back(key,
                           std::max(resident, 1) * int64_t{device_attribute(cudaDevAttrMultiProcessorCount, device)});
        return waves.back().second;
    }

    const int device;
    std::vector<std::pair<const void*, int64_t>> waves;
};

CudaSet& set_data(const ParamSet& set) { return static_cast<CudaSet&>(*set.data); }

// The step counts of a capturable optimizer, of as many groups as there can be: graphs know where they are.
class CudaStepCounter final : public StepCounter {
public:
    // The device is current.
    explicit CudaStepCounter(int device)
        : steps_(constant_table(std::vector<DeviceStep>(NOPT_MAX_GROUPS))),
          published_(NOPT_MAX_GROUPS, {}),
          device_(device) {}

    nopt_step_state read(int group) const override { return read_published(published_.host[group]); }

    void write(int group, const nopt_step_state& state) override {
        const DeviceGuard guard(device_);
        check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
        DeviceStep* const at = steps_.get() + group;
        DeviceStep step = {};
        check_cuda(cudaMemcpy(&step, at, sizeof step, cudaMemcpyDeviceToHost), "reading the step count");
        step.state = state;
        check_cuda(cudaMemcpy(at, &step, sizeof step, cudaMemcpyHostToDevice), "writing the step count");
        published_.host[group].value = state;
    }

    void set_lr(int group, double lr, void* stream) override {
        const DeviceGuard guard(device_);
        launch("setting the learning rate", &set_lr_kernel, 1, 1, static_cast<cudaStream_t>(stream),
               steps_.get() + group, lr);
    }

    void set_loss_scale(double loss_scale, void* stream) override {
        const DeviceGuard guard(device_);
        launch("setting the loss scale", &set_loss_scale_kernel, 1, 1, static_cast<cudaStream_t>(stream), steps_.get(),
               loss_scale);
    }

    // Of group 0, and those of the others after it.
    DeviceStep* step() const { return steps_.get(); }
    Published<nopt_step_state>* published() const { return published_.device; }

private:
    DeviceArray<DeviceStep> steps_;
    PublishedArray<nopt_step_state> published_;
    const int device_;
};

CudaStepCounter* cuda_counter(StepCounter* counter) { return static_cast<CudaStepCounter*>(counter); }

// A dimer's memory on the device.
struct CudaDimer final : DimerData {
    // The set's device is current.
    CudaDimer(const ParamSet& set, nopt_dimer_scope scope)
        : device(set.device),
          per_tensor(scope == NOPT_DIMER_SCOPE_PER_TENSOR),
          scope_count(per_tensor ? static_cast<int64_t>(set.counts.size()) : 1),
          published(static_cast<size_t>(scope_count), initial_scope()) {
        const CudaSet& data = set_data(set);
        const size_t scopes_size = static_cast<size_t>(scope_count);
        const int64_t chunks = data.first_chunk.back();
        chunk_sums = device_array<Sums>(static_cast<size_t>(chunks));
        sums = device_array<Sums>(scopes_size);
        scopes = constant_table(std::vector<DimerScope>(scopes_size, initial_scope()));
        first_chunk = constant_table(per_tensor ? data.first_chunk : std::vector<int64_t>{0, chunks});
    }

    const int device;
    const bool per_tensor;
    const int64_t scope_count;
    DeviceArray<Sums> chunk_sums;
    DeviceArray<Sums> sums;  // of each scope
    DeviceArray<DimerScope> scopes;
    DeviceArray<int64_t> first_chunk;  // of each scope, and the number of all
    PublishedArray<DimerReading> published;
};

// The gradients' sum and what becomes of them.
struct CudaGrads final : GradData {
    // The set's device is current.
    explicit CudaGrads(const ParamSet& set)
        : sums(set, NOPT_DIMER_SCOPE_GLOBAL),
          reading(constant_table(std::vector<GradReading>{kNoGradReading})),
          skip(constant_table(std::vector<int32_t>{0})),
          published(1, kNoGradReading) {}

    double* sum() override { return &sums.sums.get()->value[0]; }
    GradReading read() const override { return read_published(published.host[0]); }

    CudaDimer sums;  // a scope of all tensors
    DeviceArray<GradReading> reading;
    DeviceArray<int32_t> skip;
    PublishedArray<GradReading> published;
};

CudaDimer& dimer_of(const DimerPass& pass) { return static_cast<CudaDimer&>(pass.data); }

// Pages that were seen to be a device's memory: frameworks put gradients at new addresses with every step, and asking
// the driver of each would take longer than the step. CUDA gives out memory in pages of this size, of one kind and one
// device each, so that a page tells of all addresses in it. One that was freed meanwhile may be taken for memory still;
// whoever binds such an address has passed a dangling pointer, which nothing can tell for sure.
class KnownPages {
public:
    bool contains(int device, const void* pointer) const {
        const uint64_t key = key_of(device, pointer);
        return pages_[slot_of(key)].load(std::memory_order_relaxed) == key;
    }

    void insert(int device, const void* pointer) {
        const uint64_t key = key_of(device, pointer);
        pages_[slot_of(key)].store(key, std::memory_order_relaxed);
    }

private:
    static constexpr int kPageBits = 21;
    static constexpr size_t kSlots = 1 << 13;  // 16 GiB of pages, if none share a slot; 64 KiB

    // Never 0.
    static uint64_t key_of(int device, const void* pointer) {
        return (reinterpret_cast<uintptr_t>(pointer) >> kPageBits) << 8 | static_cast<uint64_t>(device + 1);
    }
    static size_t slot_of(uint64_t key) { return (key >> 8 ^ key >> 21) % kSlots; }

    std::atomic<uint64_t> pages_[kSlots] = {};
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

    std::unique_ptr<BackendData> create_data(const ParamSet& set) override {
        const DeviceGuard guard(set.device);
        return std::make_unique<CudaSet>(set);
    }

    std::unique_ptr<StepCounter> create_step_counter(int device) override {
        const DeviceGuard guard(device);
        return std::make_unique<CudaStepCounter>(device);
    }

    void upload(ParamSet& set, void* stream_pointer) override {
        const DeviceGuard guard(set.device);
        const cudaStream_t stream = static_cast<cudaStream_t>(stream_pointer);
        CudaSet& data = set_data(set);
        if (!data.is_current(set) && is_capturing(stream)) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "stream is being captured, and addresses or options of the set have changed since the last "
                        "step; call nopt_param_set_upload before the capture");
        }
        data.refresh(set, stream);
    }

    void begin(ParamSet& set, const StepCounter* counter, void* stream_pointer) override {
        const DeviceGuard guard(set.device);
        if (counter == nullptr && is_capturing(static_cast<cudaStream_t>(stream_pointer))) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "stream is being captured, and the host counts this optimizer's steps; call "
                        "nopt_optimizer_set_capturable before the capture");
        }
        upload(set, stream_pointer);
    }

    bool step(ParamSet& set, int rule, const StepInputs& inputs, StepCounter* counter, const GradPass* grads,
              const DimerPass* dimer, void* stream_pointer) override {
        const DeviceGuard guard(set.device);
        const StepInput& first = inputs.of[0];
        CudaSet& data = set_data(set);
        const cudaStream_t stream = static_cast<cudaStream_t>(stream_pointer);
        const StateRoles& states = rule_at(rule).states[first.variant];
        const char* const name = rule_at(rule).traits.name;

        GroupScalars scalars = {};
        GradDecision decision = {};
        if (grads != nullptr) {
            CudaGrads& own = static_cast<CudaGrads&>(grads->data);
            decision.input = grads->input;
            decision.reading = own.reading.get();
            decision.published = own.published.device;
            decision.skip = own.skip.get();
            if (needs_sum(grads->input)) {
                const CudaDimer& sums = dimer == nullptr ? own.sums : dimer_of(*dimer);
                decision.sums = sums.sums.get();
                decision.scopes = sums.scopes.get();
                decision.scope_count = sums.scope_count;
                decision.decision = dimer == nullptr ? kDecideNothing : dimer->decision;
            }
        }
        if (counter != nullptr || grads != nullptr || data.groups.size() > kFewGroups) {
            CudaStepCounter* const own = cuda_counter(counter);
            const GroupTable groups = {data.group_count.get(), data.group_hyperparams.get(), data.group_lr_scale.get(),
                                       data.group_weight_decay.get()};
            launch(name, kPrepareKernels[rule], 1, kThreadsPerBlock, stream, inputs, decision,
                   own == nullptr ? nullptr : own->step(), own == nullptr ? nullptr : own->published(), groups,
                   data.group_scalars.get());
            scalars.group_of_tensor = data.group_of_tensor.get();
            scalars.many = data.group_scalars.get();
        } else {
            for (size_t g = 0; g < data.groups.size(); ++g) {
                const CudaData::Group& group = data.groups[g];
                const StepInput& input = inputs.of[group.hyperparams];
                rule_at(rule).scalars(input, group.lr_scale,
                                      group.weight_decay == NOPT_INHERIT ? input.weight_decay : group.weight_decay,
                                      scalars.few[g]);
            }
            scalars.group_of_tensor = data.groups.size() == 1 ? nullptr : data.group_of_tensor.get();
        }
        if (dimer != nullptr && dimer->with_norm) {
            DecideTable table = decide_table(*dimer);
            table.skip = decision.skip;
            table.input.step -= counter == nullptr ? 0 : 1;  // it is counted already
            decide_scopes(set, *dimer, table, stream);
        }
        if (data.piece_count == 0) {
            return true;
        }
        if (grads != nullptr && grads->input.skips != 0 && dimer != nullptr && dimer->decision != kDecideProject) {
            const auto kernel =
                set.has_halves ? &dimer_if_kernel<RestoreElements<true>> : &dimer_if_kernel<RestoreElements<false>>;
            launch_pieces("restoring", data, kernel, stream, dimer_table(set, nullptr), 0.0, decision.skip);
        }

        ElementwiseTable table = {};
        table.set = data.piece_table();
        table.theta = theta_table(set);
        table.grad = data.table(set, NOPT_ROLE_GRAD);
        for (int s = 0; s < states.count; ++s) {
            table.states[s] = data.table(set, states.roles[s]);
        }
        table.skip = decision.skip;
        table.theta.stochastic = (first.flags & NOPT_FLAG_STOCHASTIC_ROUNDING) != 0 ? 1 : 0;
        table.theta.rounding_seed = first.rounding_seed;
        table.theta.host_step = first.step;
        table.theta.device_step = counter == nullptr ? nullptr : cuda_counter(counter)->step();
        if (dimer == nullptr) {
            const auto kernel = update_kernel_for<PlainSource>(set, rule, first.variant);
            launch_pieces(name, data, kernel, stream, table, {}, scalars);
        } else {
            const auto kernel = update_kernel_for<DimerSource>(set, rule, first.variant);
            launch_pieces(name, data, kernel, stream, table, dimer_table(set, dimer), scalars);
        }
        return true;
    }

    std::unique_ptr<GradData> create_grads(const ParamSet& set) override {
        const DeviceGuard guard(set.device);
        return std::make_unique<CudaGrads>(set);
    }

    void sum_grads(ParamSet& set, GradData& grads, void* stream) override {
        const DimerPass pass = {
            static_cast<CudaGrads&>(grads).sums, kDecideNothing, {}, NOPT_ROLE_GRAD, NOPT_ROLE_GRAD, nullptr, false};
        dimer_sum(set, pass, false, stream);
    }

    std::unique_ptr<DimerData> create_dimer(const ParamSet& set, nopt_dimer_scope scope) override {
        const DeviceGuard guard(set.device);
        return std::make_unique<CudaDimer>(set, scope);
    }

    Sums* dimer_sums(DimerData& data) override { return static_cast<CudaDimer&>(data).sums.get(); }

    void dimer_sum(ParamSet& set, const DimerPass& pass, bool decides, void* stream_pointer) override {
        const DeviceGuard guard(set.device);
        CudaSet& data = set_data(set);
        CudaDimer& dimer = dimer_of(pass);
        const cudaStream_t stream = static_cast<cudaStream_t>(stream_pointer);
        if (data.sum_task_count > 0) {
            const DimerSums kind = sums_for(pass.decision, pass.with_norm);
            const SumsKernel kernel = set.has_halves ? kSumsKernels<true>[kind] : kSumsKernels<false>[kind];
            launch("summing up", kernel, data.grid(kernel, data.sum_task_count), kThreadsPerBlock, stream,
                   dimer_table(set, &pass), data.sum_table(), dimer.chunk_sums.get());
        }
        if (dimer.scope_count == 0) {
            return;
        }
        const bool is_one = !dimer.per_tensor;
        const auto kernel = is_one ? &scope_sums_kernel<kScopeThreads> : &scope_sums_kernel<kWarpThreads>;
        launch("summing up", kernel, is_one ? 1 : data.grid(kernel, blocks_for(dimer.scope_count, kWarpsPerBlock)),
               is_one ? kScopeThreads : kThreadsPerBlock, stream, decide_table(pass), dimer.scope_count,
               static_cast<const int64_t*>(dimer.first_chunk.get()), dimer.chunk_sums.get(), dimer.sums.get(),
               decides ? 1 : 0);
    }

    void dimer_decide(ParamSet& set, const DimerPass& pass, void* stream_pointer) override {
        const DeviceGuard guard(set.device);
        decide_scopes(set, pass, decide_table(pass), static_cast<cudaStream_t>(stream_pointer));
    }

    void dimer_randomize(ParamSet& set, uint64_t seed, uint64_t first_element, void* stream) override {
        const DeviceGuard guard(set.device);
        CudaSet& data = set_data(set);
        launch_pieces("drawing a direction", data, &randomize_kernel, static_cast<cudaStream_t>(stream),
                      dimer_table(set, nullptr), static_cast<const int64_t*>(data.first_element.get()), seed,
                      first_element);
    }

    void dimer_scale(ParamSet& set, const DimerPass& pass, void* stream) override {
        run_elements<ScaleElements>(set, &pass, 0.0, "scaling", stream);
    }

    void dimer_displace(ParamSet& set, double displacement, void* stream) override {
        if (set.has_halves) {
            run_elements<DisplaceElements<true>>(set, nullptr, displacement, "displacing", stream);
        } else {
            run_elements<DisplaceElements<false>>(set, nullptr, displacement, "displacing", stream);
        }
    }

    void dimer_turn(ParamSet& set, const DimerPass& pass, void* stream) override {
        if (set.has_halves) {
            run_elements<TurnElements<true>>(set, &pass, pass.input.displacement, "rotating", stream);
        } else {
            run_elements<TurnElements<false>>(set, &pass, pass.input.displacement, "rotating", stream);
        }
    }

    void dimer_restore(ParamSet& set, void* stream) override {
        if (set.has_halves) {
            run_elements<RestoreElements<true>>(set, nullptr, 0.0, "restoring", stream);
        } else {
            run_elements<RestoreElements<false>>(set, nullptr, 0.0, "restoring", stream);
        }
    }

    DimerReading dimer_read(DimerData& data, int64_t scope) override {
        return read_published(static_cast<CudaDimer&>(data).published.host[scope]);
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
            dimer.published.host[i].value.curvature = curvature[i];
        }
        check_cuda(cudaMemcpyAsync(dimer.scopes.get(), scopes.data(), bytes, cudaMemcpyHostToDevice, stream),
                   "writing the scopes");
        check_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    }

private:
    // The device is current.
    template <class Element>
    static void fill_elements(Element* destination, int64_t count, uint32_t bits, void* stream) {
        launch("filling memory", &fill_kernel<Element>, std::min<int64_t>(blocks_for(count, kThreadsPerBlock), 4096),
               kThreadsPerBlock, static_cast<cudaStream_t>(stream), destination, count, static_cast<Element>(bits));
    }

    KnownPages known_pages_;

    static bool is_capturing(cudaStream_t stream) {
        cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
        check_cuda(cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
        return status != cudaStreamCaptureStatusNone;
    }

    // A kernel over all pieces of a set that has some.
    template <class... Parameters>
    static void launch_pieces(const char* name, CudaSet& data, void (*kernel)(Parameters...), cudaStream_t stream,
                              std::common_type_t<Parameters>... arguments) {
        launch(name, kernel, data.grid(kernel, blocks_for(data.piece_count, kWarpsPerBlock)), kThreadsPerBlock, stream,
               arguments...);
    }

    template <template <bool> class Source>
    static UpdateKernel<Source<true>> update_kernel_for(const ParamSet& set, int rule, uint32_t variant) {
        return set.has_dynamic8 ? kBlockwiseKernels<Source<true>>[rule][variant]
               : set.has_halves ? kUpdateKernels<Source<true>>[rule][variant]
                                : kUpdateKernels<Source<false>>[rule][variant];
    }

    static ThetaTable theta_table(const ParamSet& set) {
        const CudaSet& data = set_data(set);
        ThetaTable table = {};
        table.types = data.types.get();
        table.param = data.table(set, NOPT_ROLE_PARAM);
        table.master = data.table(set, NOPT_ROLE_MASTER_PARAM);
        table.remainder = data.table(set, NOPT_ROLE_PARAM_REMAINDER);
        return table;
    }

    // `pass` may be null for what needs no scopes.
    static DimerTable dimer_table(const ParamSet& set, const DimerPass* pass) {
        const CudaSet& data = set_data(set);
        DimerTable table = {};
        table.set = data.piece_table();
        table.grad = data.table(set, pass != nullptr ? pass->grad : NOPT_ROLE_GRAD);
        table.displaced = data.table(set, pass != nullptr ? pass->displaced : NOPT_ROLE_GRAD_DISPLACED);
        table.direction = data.table(set, NOPT_ROLE_DIRECTION);
        table.rotation_direction = data.table(set, NOPT_ROLE_ROTATION_DIRECTION);
        table.theta = theta_table(set);
        table.param_backup = data.table(set, NOPT_ROLE_PARAM_BACKUP);
        table.grad_backup = data.table(set, NOPT_ROLE_GRAD_BACKUP);
        if (pass != nullptr) {
            const CudaDimer& dimer = dimer_of(*pass);
            table.scopes = dimer.scopes.get();
            table.per_tensor = dimer.per_tensor ? 1 : 0;
            table.decision = pass->decision;
        }
        return table;
    }

    static DecideTable decide_table(const DimerPass& pass) {
        CudaDimer& dimer = dimer_of(pass);
        return {dimer.scopes.get(),
                dimer.published.device,
                pass.counter == nullptr ? nullptr : cuda_counter(pass.counter)->step(),
                nullptr,
                pass.input,
                pass.decision};
    }

    static void decide_scopes(const ParamSet& set, const DimerPass& pass, const DecideTable& table,
                              cudaStream_t stream) {
        const CudaDimer& dimer = dimer_of(pass);
        if (dimer.scope_count > 0) {
            launch("deciding", &decide_kernel,
                   set_data(set).grid(&decide_kernel, blocks_for(dimer.scope_count, kThreadsPerBlock)),
                   kThreadsPerBlock, stream, table, dimer.scope_count,
                   static_cast<const int64_t*>(dimer.first_chunk.get()), static_cast<const Sums*>(dimer.sums.get()));
        }
    }

    template <class Elements>
    static void run_elements(const ParamSet& set, const DimerPass* pass, double value, const char* name, void* stream) {
        const DeviceGuard guard(set.device);
        CudaSet& data = set_data(set);
        if (data.piece_count > 0) {
            launch_pieces(name, data, &dimer_kernel<Elements>, static_cast<cudaStream_t>(stream),
                          dimer_table(set, pass), value);
        }
    }
};

}  // namespace

Backend& cuda_backend() {
    static CudaBackend instance;
    return instance;
}

}  // namespace nopt
