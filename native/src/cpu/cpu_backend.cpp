#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <vector>

#if defined(_WIN32)
#include <malloc.h>
#else
#include <unistd.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "backend/error.h"
#include "backend/param_set.h"
#include "cpu/isa.h"
#include "cpu/thread_pool.h"
#include "numerics/dtypes.h"
#include "numerics/dynamic8.h"
#include "rules/registry.h"

namespace nopt {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, and the widest register

// Elements that a thread takes at a time, at least: of large tensors whole chunks, so that it matters to small ones. (2
// cores, Zen 3, AVX2, 1000 tensors of 100: Adam with 4096, 8192 and 16384 took 34, 34 and 36 us; the middle one leaves
// fewer ends of blocks.)
constexpr int64_t kBlockElements = 8192;
// Tensors that a thread takes at a time, where they are small: one costs about as much as 16 elements. (One thread in
// cache, same machine: 148 tensors of one element took 0.93 us, one tensor of 4096 took 1.66.)
constexpr int64_t kTensorCost = 16;

// Elements of a tile, which one kernel after another works on while it is in the first cache.
constexpr int64_t kTileElements = 1024;
static_assert(kTileElements % kBlockwiseElements == 0 && kChunkElements % kTileElements == 0,
              "tiles hold whole blocks");

// Elements of a set from which on a displacement writes the backups past the caches, which hold less. (Same machine,
// displacement and restoration: 17.5 ms, and 19.2 through the caches, for 1 tensor of 16,777,216; 23 and 29 for
// ResNet-50. The parameters that an update only writes gained nothing by it.)
constexpr int64_t kStreamedElements = int64_t{1} << 22;

// Where a block of work begins: a chunk of a tensor. It ends where the next one begins.
struct BlockStart {
    int64_t tensor;
    int64_t element;
    int64_t chunk;  // among those of all tensors
};

struct CpuData : BackendData {
    std::vector<BlockStart> starts;    // one more than there are blocks
    std::vector<int64_t> first_chunk;  // of each tensor, and the number of all

    int64_t block_count() const { return static_cast<int64_t>(starts.size()) - 1; }
    int64_t chunk_count() const { return first_chunk.back(); }
};

struct CpuDimer : DimerData {
    bool per_tensor = false;
    std::vector<Sums> chunk_sums;
    std::vector<Sums> sums;  // of each scope
    std::vector<DimerScope> scopes;
};

struct CpuGrads final : GradData {
    double* sum() override { return &sums.value[0]; }
    GradReading read() const override { return reading; }

    std::vector<Sums> chunk_sums;
    Sums sums = {};
    GradReading reading = kNoGradReading;
};

CpuDimer& dimer_of(const DimerPass& pass) { return static_cast<CpuDimer&>(pass.data); }

// The elements from `begin` of a tensor's buffer; null if the role is not bound.
float* elements(const ParamSet& set, nopt_role role, size_t tensor, int64_t begin) {
    const std::vector<void*>& pointers = set.pointers[role];
    return pointers.empty() ? nullptr : static_cast<float*>(pointers[tensor]) + begin;
}

DimerArgs dimer_args(const ParamSet& set, nopt_role grad, nopt_role displaced, size_t tensor, int64_t begin,
                     int64_t count) {
    return {elements(set, grad, tensor, begin),
            elements(set, displaced, tensor, begin),
            elements(set, NOPT_ROLE_DIRECTION, tensor, begin),
            elements(set, NOPT_ROLE_ROTATION_DIRECTION, tensor, begin),
            elements(set, NOPT_ROLE_PARAM, tensor, begin),
            elements(set, NOPT_ROLE_PARAM_BACKUP, tensor, begin),
            elements(set, NOPT_ROLE_GRAD_BACKUP, tensor, begin),
            count};
}

// A tile of buffers of any type as float32: float32 ones in place, others converted into room of its own. What is
// written is converted back.
class Tile {
public:
    Tile(const ParamSet& set, const ConvertKernels& convert, size_t tensor, int64_t begin, int64_t count)
        : set_(set), convert_(convert), tensor_(tensor), begin_(begin), count_(count) {}

    // The role's elements; null if it is not bound.
    float* read(nopt_role role, float (&room)[kTileElements]) const {
        float* const values = written(role, room);
        if (values == room) {
            const nopt_dtype type = set_.dtype(role, tensor_);
            if (type == NOPT_DTYPE_DYNAMIC8) {
                convert_.from_blocks[is_signed_state(role)](blocks(role), count_, room);
            } else {
                convert_.to_float[type](half(role), count_, room);
            }
        }
        return values;
    }

    // Where the role's elements are to be written, before write_back.
    float* written(nopt_role role, float (&room)[kTileElements]) const {
        if (set_.pointer(role, tensor_) == nullptr) {
            return nullptr;
        }
        return set_.dtype(role, tensor_) == NOPT_DTYPE_FLOAT32 ? elements(set_, role, tensor_, begin_) : room;
    }

    void write_back(nopt_role role, const float* values, const float (&room)[kTileElements]) const {
        if (values == room) {
            const nopt_dtype type = set_.dtype(role, tensor_);
            if (type == NOPT_DTYPE_DYNAMIC8) {
                convert_.to_blocks[is_signed_state(role)](values, count_, blocks(role));
            } else {
                convert_.from_float[type](values, count_, half(role));
            }
        }
    }

    // Theta; `source` is PARAM, or its backup where PARAM is displaced.
    float* read_theta(nopt_role source, float (&room)[kTileElements]) const {
        if (set_.pointer(NOPT_ROLE_MASTER_PARAM, tensor_) != nullptr) {
            return elements(set_, NOPT_ROLE_MASTER_PARAM, tensor_, begin_);
        }
        if (set_.pointer(NOPT_ROLE_PARAM_REMAINDER, tensor_) != nullptr) {
            convert_.join(half(source), half(NOPT_ROLE_PARAM_REMAINDER), count_, room);
            return room;
        }
        return read(source, room);
    }

    // Theta after a step, that began with `theta`.
    float* written_theta(float* theta, float (&room)[kTileElements]) const {
        return set_.pointer(NOPT_ROLE_MASTER_PARAM, tensor_) != nullptr ? theta : written(NOPT_ROLE_PARAM, room);
    }

    void write_back_theta(const float* theta, const StepInput& input) const {
        uint16_t* const param = half(NOPT_ROLE_PARAM);
        const nopt_dtype type = set_.dtype(NOPT_ROLE_PARAM, tensor_);
        if (type == NOPT_DTYPE_FLOAT32) {
            return;
        }
        if (set_.pointer(NOPT_ROLE_PARAM_REMAINDER, tensor_) != nullptr) {
            convert_.split(theta, count_, param, half(NOPT_ROLE_PARAM_REMAINDER));
        } else if (type != NOPT_DTYPE_BFLOAT16) {
            convert_.from_float[type](theta, count_, param);
        } else if (set_.pointer(NOPT_ROLE_MASTER_PARAM, tensor_) != nullptr) {
            convert_.from_master(theta, count_, param);
        } else if ((input.flags & NOPT_FLAG_STOCHASTIC_ROUNDING) != 0) {
            convert_.from_float_stochastic(theta, count_, input.rounding_seed, static_cast<uint64_t>(input.step),
                                           static_cast<uint32_t>(tensor_), begin_, param);
        } else {
            convert_.from_float[type](theta, count_, param);
        }
    }

    uint16_t* half(nopt_role role) const { return static_cast<uint16_t*>(set_.pointer(role, tensor_)) + begin_; }

private:
    // Tiles begin where blocks do.
    unsigned char* blocks(nopt_role role) const {
        return static_cast<unsigned char*>(set_.pointer(role, tensor_)) + dynamic8_offset(begin_);
    }

    const ParamSet& set_;
    const ConvertKernels& convert_;
    const size_t tensor_;
    const int64_t begin_;
    const int64_t count_;
};

// Room for what a tile's kernels take.
struct TileRooms {
    float grad[kTileElements];
    float displaced[kTileElements];
    float theta[kTileElements];
    float param[kTileElements];
    float states[kMaxStates][kTileElements];
};

// Runs body(tensor, begin, end, chunk) for all elements of the set, on all threads: one tensor's elements of a block at
// a time, beginning at the given chunk.
template <class Body>
struct ElementsJob {
    const ParamSet& set;
    const CpuData& data;
    const Body& body;

    static void run_block(void* context, int64_t block) {
        const ElementsJob& job = *static_cast<const ElementsJob*>(context);
        const BlockStart from = job.data.starts[static_cast<size_t>(block)];
        const BlockStart to = job.data.starts[static_cast<size_t>(block) + 1];
        typename Body::PerBlock own;
        for (int64_t t = from.tensor; t <= to.tensor; ++t) {
            const size_t tensor = static_cast<size_t>(t);
            const int64_t begin = t == from.tensor ? from.element : 0;
            const int64_t end = t == to.tensor ? to.element : job.set.counts[tensor];
            if (begin < end) {
                job.body(own, tensor, begin, end, job.data.first_chunk[tensor] + begin / kChunkElements);
            }
        }
    }
};

template <class Body>
void for_each_part(const ParamSet& set, const Body& body) {
    const CpuData& data = static_cast<const CpuData&>(*set.data);
    ElementsJob<Body> job = {set, data, body};
    parallel_for(data.block_count(), &ElementsJob<Body>::run_block, &job);
}

struct Nothing {};

// for_each_part with a lambda that keeps nothing from one part to the next.
template <class Lambda>
struct Parts {
    using PerBlock = Nothing;
    const Lambda& lambda;

    void operator()(Nothing&, size_t tensor, int64_t begin, int64_t end, int64_t chunk) const {
        lambda(tensor, begin, end, chunk);
    }
};

template <class Lambda>
void for_each_elements(const ParamSet& set, const Lambda& lambda) {
    for_each_part(set, Parts<Lambda>{lambda});
}

// The scalars of a tensor, and what tells them from those of others: most tensors share them.
struct TensorScalars {
    alignas(16) unsigned char values[kMaxScalars];
    double lr_scale = -1.0;  // no tensor has this one
    double weight_decay = -1.0;
    size_t group = 0;

    // Those of this tensor from now on. Returns whether they were before.
    bool become(const ParamSet& set, const Rule& rule, const StepInputs& inputs, size_t tensor) {
        const size_t own_group = set.group.empty() ? 0 : static_cast<size_t>(set.group[tensor]);
        const double own_lr_scale = set.lr_scale.empty() ? 1.0 : set.lr_scale[tensor];
        double own_weight_decay = set.weight_decay.empty() ? NOPT_INHERIT : set.weight_decay[tensor];
        if (own_weight_decay == NOPT_INHERIT) {
            own_weight_decay = inputs.of[own_group].weight_decay;
        }
        if (own_lr_scale == lr_scale && own_weight_decay == weight_decay && own_group == group) {
            return true;
        }
        lr_scale = own_lr_scale;
        weight_decay = own_weight_decay;
        group = own_group;
        rule.scalars(inputs.of[group], lr_scale, weight_decay, values);
        return false;
    }
};

// A step on float32 buffers: a block at a time, in one call of the kernel unless its tensors have options of their own.
struct PlainStep {
    const ParamSet& set;
    const CpuData& data;
    const Rule& rule;
    const StepInputs& inputs;
    const ElementwiseKernel kernel;
    const void* scalars;  // of all tensors; null: they have their own

    static void run_block(void* context, int64_t block) {
        const PlainStep& step = *static_cast<const PlainStep*>(context);
        const BlockStart* const starts = &step.data.starts[static_cast<size_t>(block)];
        ElementwiseArgs args;
        args.param = step.set.pointers[NOPT_ROLE_PARAM].data();
        args.param_source = args.param;
        args.grad = step.set.pointers[NOPT_ROLE_GRAD].data();
        const StateRoles& states = step.rule.states[step.inputs.of[0].variant];
        for (int s = 0; s < states.count; ++s) {
            args.states[s] = step.set.pointers[states.roles[s]].data();
        }
        args.counts = step.set.counts.data();
        args.first = starts[0].tensor;
        args.begin = starts[0].element;
        args.last = starts[1].tensor;
        args.end = starts[1].element;
        args.scalars = step.scalars;
        if (args.scalars != nullptr) {
            step.kernel(args);
        } else {
            step.run_shared(args);
        }
    }

    // Tensors in a row that share their scalars.
    void run_shared(ElementwiseArgs& own) const {
        const int64_t last = own.last;
        const int64_t end = own.end;
        TensorScalars shared;
        shared.become(set, rule, inputs, static_cast<size_t>(own.first));
        own.scalars = shared.values;
        for (int64_t t = own.first + 1; t <= last; ++t) {
            TensorScalars next = shared;
            if (next.become(set, rule, inputs, static_cast<size_t>(t))) {
                continue;
            }
            own.last = t - 1;
            own.end = set.counts[static_cast<size_t>(t - 1)];
            kernel(own);
            shared = next;
            own.first = t;
            own.begin = 0;
        }
        own.last = last;
        own.end = end;
        kernel(own);
    }
};

void plain_step(const ParamSet& set, const Rule& rule, const StepInputs& inputs, ElementwiseKernel kernel) {
    const CpuData& data = static_cast<const CpuData&>(*set.data);
    alignas(16) unsigned char scalars[kMaxScalars];
    const bool are_shared = set.lr_scale.empty() && set.weight_decay.empty() && set.group.empty();
    if (are_shared) {
        rule.scalars(inputs.of[0], 1.0, inputs.of[0].weight_decay, scalars);
    }
    PlainStep step = {set, data, rule, inputs, kernel, are_shared ? scalars : nullptr};
    parallel_for(data.block_count(), &PlainStep::run_block, &step);
}

// A step with a dimer, or where some elements have 16 or 8 bits: a tile at a time.
struct StepBody {
    using PerBlock = TensorScalars;

    const ParamSet& set;
    const Rule& rule;
    const StepInputs& inputs;
    const DimerPass* dimer;  // may be null
    ElementwiseKernel kernel;
    const DimerKernels& dimer_kernels;
    const ConvertKernels& convert;

    void operator()(PerBlock& own, size_t tensor, int64_t begin, int64_t end, int64_t) const {
        if (set.pointers[NOPT_ROLE_GRAD][tensor] == nullptr) {
            return;  // frozen
        }
        own.become(set, rule, inputs, tensor);
        if (set.has_halves) {
            update_tiles(own, tensor, begin, end);
            return;
        }
        const DimerScope& scope = scope_of(tensor);
        const bool turns = dimer->decision != kDecideProject;
        float corrected[kTileElements];
        for (int64_t at = begin; at < end; at += kTileElements) {
            const int64_t count = end - at < kTileElements ? end - at : kTileElements;
            const DimerArgs args = dimer_args(set, dimer->grad, dimer->displaced, tensor, at, count);
            const float* const grad = turn_and_project(args, scope, turns, corrected);
            float* states[kMaxStates];
            for (int s = 0; s < kMaxStates; ++s) {
                states[s] = s < rule.states[inputs.of[0].variant].count
                                ? elements(set, rule.states[inputs.of[0].variant].roles[s], tensor, at)
                                : nullptr;
            }
            update(own, count, args.param, turns ? args.param_backup : args.param, grad, states);
        }
    }

    const DimerScope& scope_of(size_t tensor) const {
        const CpuDimer& data = dimer_of(*dimer);
        return data.scopes[data.per_tensor ? tensor : 0];
    }

    // The gradient that the rule sees.
    const float* turn_and_project(const DimerArgs& args, const DimerScope& scope, bool turns,
                                  float (&corrected)[kTileElements]) const {
        if (turns) {
            dimer_kernels.turn(args, scope, dimer->decision);
        }
        if (scope.correction == 0.0f) {
            return args.grad;
        }
        dimer_kernels.project(args, scope.correction, corrected);
        return corrected;
    }

    // Where some elements have 16 or 8 bits.
    void update_tiles(const PerBlock& own, size_t tensor, int64_t begin, int64_t end) const {
        const StateRoles& states = rule.states[inputs.of[0].variant];
        const bool turns = dimer != nullptr && dimer->decision != kDecideProject;
        TileRooms rooms;
        float corrected[kTileElements];
        for (int64_t at = begin; at < end; at += kTileElements) {
            const int64_t count = end - at < kTileElements ? end - at : kTileElements;
            const Tile tile(set, convert, tensor, at, count);
            const float* grad = tile.read(dimer == nullptr ? NOPT_ROLE_GRAD : dimer->grad, rooms.grad);
            if (dimer != nullptr) {
                DimerArgs args = dimer_args(set, dimer->grad, dimer->displaced, tensor, at, count);
                args.grad = grad;
                args.displaced = turns ? tile.read(dimer->displaced, rooms.displaced) : nullptr;
                grad = turn_and_project(args, scope_of(tensor), turns, corrected);
            }
            float* const theta = tile.read_theta(turns ? NOPT_ROLE_PARAM_BACKUP : NOPT_ROLE_PARAM, rooms.theta);
            float* const param = tile.written_theta(theta, rooms.param);
            float* own_states[kMaxStates];
            for (int s = 0; s < kMaxStates; ++s) {
                own_states[s] = s < states.count ? tile.read(states.roles[s], rooms.states[s]) : nullptr;
            }
            update(own, count, param, theta, grad, own_states);
            tile.write_back_theta(param, inputs.of[0]);
            for (int s = 0; s < states.count; ++s) {
                tile.write_back(states.roles[s], own_states[s], rooms.states[s]);
            }
        }
    }

    void update(const TensorScalars& own, int64_t count, float* param, const float* source, const float* grad,
                float* const (&states)[kMaxStates]) const {
        void* const param_table = param;
        const void* const source_table = source;
        const void* const grad_table = grad;
        void* state_table[kMaxStates];
        ElementwiseArgs args = {};
        args.param = &param_table;
        args.param_source = &source_table;
        args.grad = &grad_table;
        for (int s = 0; s < kMaxStates; ++s) {
            state_table[s] = states[s];
            args.states[s] = &state_table[s];
        }
        args.end = count;
        args.scalars = own.values;
        kernel(args);
    }
};

// The sums of a chunk whose gradients have 16 bits.
void sum_halves(const ParamSet& set, DimerDecision decision, DimerSums kind, nopt_role grad_role,
                nopt_role displaced_role, const CpuIsa& isa, size_t tensor, int64_t begin, DimerArgs args, Sums& sums) {
    float grad[kChunkElements];
    float displaced[kChunkElements];
    const auto to_float = isa.convert->to_float[set.dtype(grad_role, tensor)];
    to_float(static_cast<const uint16_t*>(set.pointer(grad_role, tensor)) + begin, args.count, grad);
    args.grad = grad;
    if (decision != kDecideProject && decision != kDecideNothing) {
        to_float(static_cast<const uint16_t*>(set.pointer(displaced_role, tensor)) + begin, args.count, displaced);
        args.displaced = displaced;
    }
    isa.dimer->sums[kind](args, sums);
}

// The sums of all chunks.
void sum_chunks(const ParamSet& set, DimerDecision decision, bool with_norm, nopt_role grad, nopt_role displaced,
                std::vector<Sums>& chunk_sums) {
    const CpuIsa& isa = selected_cpu_isa();
    const DimerSums kind = sums_for(decision, with_norm);
    for_each_elements(set, [&](size_t tensor, int64_t begin, int64_t end, int64_t chunk) {
        for (int64_t at = begin; at < end; at += kChunkElements, ++chunk) {
            Sums& sums = chunk_sums[static_cast<size_t>(chunk)];
            if (decision == kDecideNothing && set.pointer(grad, tensor) == nullptr) {
                sums = {};  // frozen
                continue;
            }
            const int64_t count = end - at < kChunkElements ? end - at : kChunkElements;
            const DimerArgs args = dimer_args(set, grad, displaced, tensor, at, count);
            if (set.dtype(grad, tensor) == NOPT_DTYPE_FLOAT32 || decision == kDecideNormalize) {
                isa.dimer->sums[kind](args, sums);
            } else {
                sum_halves(set, decision, kind, grad, displaced, isa, tensor, at, args, sums);
            }
        }
    });
}

// The binary tree of neighbours over chunks, in place.
Sums tree(Sums* sums, int64_t count) {
    for (int64_t width = 1; width < count; width *= 2) {
        for (int64_t i = 0; i + width < count; i += 2 * width) {
            for (int k = 0; k < kMaxSums; ++k) {
                sums[i].value[k] += sums[i + width].value[k];
            }
        }
    }
    return count > 0 ? sums[0] : Sums{};
}

// Between two roles of the same type.
void copy_elements(const ParamSet& set, nopt_role from, nopt_role to, size_t tensor, int64_t begin, int64_t end) {
    const int64_t bytes = bytes_of(set.dtype(from, tensor));
    memcpy(static_cast<char*>(set.pointer(to, tensor)) + begin * bytes,
           static_cast<const char*>(set.pointer(from, tensor)) + begin * bytes,
           static_cast<size_t>((end - begin) * bytes));
}

// Writes displaced parameters where some elements have 16 bits.
void displace_tiles(const ParamSet& set, const CpuIsa& isa, const DimerScope& scope, double displacement, size_t tensor,
                    int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += kTileElements) {
        const int64_t count = end - at < kTileElements ? end - at : kTileElements;
        const Tile tile(set, *isa.convert, tensor, at, count);
        float theta[kTileElements], moved[kTileElements];
        DimerArgs args = dimer_args(set, NOPT_ROLE_GRAD, NOPT_ROLE_GRAD_DISPLACED, tensor, at, count);
        args.param_backup = tile.read_theta(NOPT_ROLE_PARAM_BACKUP, theta);
        args.param = tile.written(NOPT_ROLE_PARAM, moved);
        isa.dimer->displace_again(args, scope, static_cast<float>(displacement));
        tile.write_back(NOPT_ROLE_PARAM, args.param, moved);
    }
}

template <class Element>
struct FillJob {
    Element* destination;
    int64_t count;
    Element value;

    static void run_block(void* context, int64_t block) {
        const FillJob& job = *static_cast<const FillJob*>(context);
        const int64_t begin = block * kChunkElements;
        std::fill_n(job.destination + begin, std::min(kChunkElements, job.count - begin), job.value);
    }
};

class CpuBackend final : public Backend {
public:
    int device_count() override { return 1; }

    void device_info(int, nopt_device_info& info) override {
        info.processor_count = num_threads();
#if !defined(_WIN32)
        info.memory_bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<int64_t>(sysconf(_SC_PAGESIZE));
#endif
        snprintf(info.name, sizeof info.name, "CPU (%s)", selected_cpu_isa().name);
    }

    // The room before the memory has the address of the allocation.
    void* alloc(int, int64_t bytes) override {
        const size_t offset = next_offset(bytes);
        const size_t size = (static_cast<size_t>(bytes) + offset + kAlignment - 1) / kAlignment * kAlignment;
#if defined(_WIN32)
        void* const allocation = _aligned_malloc(size, kAlignment);
#else
        void* const allocation = aligned_alloc(kAlignment, size);
#endif
        if (allocation == nullptr) {
            throw Error(NOPT_ERROR_OUT_OF_MEMORY, "cannot allocate %lld bytes of host memory",
                        static_cast<long long>(bytes));
        }
        ask_for_large_pages(allocation, size);
        char* const memory = static_cast<char*>(allocation) + offset;
        memcpy(memory - sizeof allocation, &allocation, sizeof allocation);
        return memory;
    }

    void free(int, void* memory) override {
        void* allocation;
        memcpy(&allocation, static_cast<char*>(memory) - sizeof allocation, sizeof allocation);
#if defined(_WIN32)
        _aligned_free(allocation);
#else
        ::free(allocation);
#endif
    }

    void copy(int, void* destination, const void* source, int64_t bytes, void*) override {
        memcpy(destination, source, static_cast<size_t>(bytes));
    }

    // On all threads: memory that nobody has touched comes from the node of the processor that touches it, and in steps
    // the threads will have like shares of it.
    void fill(int, void* destination, int64_t count, int bytes, uint32_t bits, void*) override {
        switch (bytes) {
            case 1:
                return fill_elements(static_cast<uint8_t*>(destination), count, bits);
            case 2:
                return fill_elements(static_cast<uint16_t*>(destination), count, bits);
            default:
                return fill_elements(static_cast<uint32_t*>(destination), count, bits);
        }
    }

    void* stream_create(int) override { return nullptr; }
    void stream_destroy(int, void*) override {}
    void stream_synchronize(int, void*) override {}
    void check_pointer(int, const void*, const char*, int64_t) override {}

    // Cuts the chunks of all tensors into blocks of about the same cost.
    std::unique_ptr<BackendData> create_data(const ParamSet& set) override {
        auto data = std::make_unique<CpuData>();
        data->starts.push_back({0, 0, 0});
        int64_t left = kBlockElements;
        int64_t chunk = 0;
        const int64_t tensors = static_cast<int64_t>(set.counts.size());
        for (int64_t t = 0; t < tensors; ++t) {
            const int64_t count = set.counts[static_cast<size_t>(t)];
            data->first_chunk.push_back(chunk);
            left -= count == 0 ? 0 : kTensorCost;
            for (int64_t done = 0; done < count; done += kChunkElements) {
                if (left <= 0) {
                    data->starts.push_back({t, done, chunk});
                    left = kBlockElements;
                }
                left -= count - done < kChunkElements ? count - done : kChunkElements;
                ++chunk;
            }
        }
        data->first_chunk.push_back(chunk);
        if (tensors > 0) {
            data->starts.push_back({tensors - 1, set.counts.back(), chunk});
        }
        return data;
    }

    bool step(ParamSet& set, int rule, const StepInputs& inputs, StepCounter*, const GradPass* grads,
              const DimerPass* dimer, void* stream) override {
        StepInputs own;
        if (grads != nullptr) {
            CpuGrads& data = static_cast<CpuGrads&>(grads->data);
            double sum = data.sums.value[0];
            double probe = sum;
            const bool dimer_has_sum = dimer != nullptr && dimer->with_norm;
            if (dimer_has_sum) {
                sum_scopes(*dimer, sum, probe);
            }
            if (!decide_gradients(grads->input, sum, probe, data.reading)) {
                if (dimer != nullptr && dimer->decision != kDecideProject) {
                    dimer_restore(set, stream);
                }
                return false;
            }
            if (dimer_has_sum) {
                dimer_decide(set, *dimer, stream);
            }
            own = inputs;
            for (int g = 0; g < own.count; ++g) {
                apply_gradients(grads->input, data.reading, own.of[g]);
            }
        }
        const CpuIsa& isa = selected_cpu_isa();
        const ElementwiseKernel kernel = isa.kernels->elementwise[rule][inputs.of[0].variant];
        const StepInputs& seen = grads != nullptr ? own : inputs;
        if (dimer == nullptr && !set.has_halves) {
            plain_step(set, rule_at(rule), seen, kernel);
        } else {
            for_each_part(set, StepBody{set, rule_at(rule), seen, dimer, kernel, *isa.dimer, *isa.convert});
        }
        return true;
    }

    std::unique_ptr<GradData> create_grads(const ParamSet& set) override {
        auto grads = std::make_unique<CpuGrads>();
        grads->chunk_sums.resize(static_cast<size_t>(static_cast<const CpuData&>(*set.data).chunk_count()));
        return grads;
    }

    void sum_grads(ParamSet& set, GradData& grads, void*) override {
        CpuGrads& own = static_cast<CpuGrads&>(grads);
        sum_chunks(set, kDecideNothing, false, NOPT_ROLE_GRAD, NOPT_ROLE_GRAD, own.chunk_sums);
        own.sums = tree(own.chunk_sums.data(), static_cast<int64_t>(own.chunk_sums.size()));
    }

    std::unique_ptr<DimerData> create_dimer(const ParamSet& set, nopt_dimer_scope scope) override {
        auto dimer = std::make_unique<CpuDimer>();
        dimer->per_tensor = scope == NOPT_DIMER_SCOPE_PER_TENSOR;
        dimer->chunk_sums.resize(static_cast<size_t>(static_cast<const CpuData&>(*set.data).chunk_count()));
        const size_t scopes = dimer->per_tensor ? set.counts.size() : 1;
        dimer->sums.resize(scopes);
        dimer->scopes.resize(scopes, initial_scope());
        return dimer;
    }

    Sums* dimer_sums(DimerData& data) override { return static_cast<CpuDimer&>(data).sums.data(); }

    void dimer_sum(ParamSet& set, const DimerPass& pass, bool decides, void* stream) override {
        CpuDimer& dimer = dimer_of(pass);
        const CpuData& data = static_cast<const CpuData&>(*set.data);
        sum_chunks(set, pass.decision, pass.with_norm, pass.grad, pass.displaced, dimer.chunk_sums);
        Sums* const chunks = dimer.chunk_sums.data();
        if (dimer.per_tensor) {
            for (size_t t = 0; t < set.counts.size(); ++t) {
                dimer.sums[t] = tree(chunks + data.first_chunk[t], data.first_chunk[t + 1] - data.first_chunk[t]);
            }
        } else {
            dimer.sums[0] = tree(chunks, data.chunk_count());
        }
        if (decides) {
            dimer_decide(set, pass, stream);
        }
    }

    void dimer_decide(ParamSet& set, const DimerPass& pass, void*) override {
        CpuDimer& dimer = dimer_of(pass);
        for (size_t i = 0; i < dimer.scopes.size(); ++i) {
            const bool empty = (dimer.per_tensor ? set.counts[i] : set.total) == 0;
            decide(pass.decision, dimer.scopes[i], dimer.sums[i], pass.input, empty);
        }
    }

    void dimer_randomize(ParamSet& set, uint64_t seed, uint64_t first_element, void*) override {
        std::vector<uint64_t> first;
        for (const int64_t count : set.counts) {
            first.push_back(first_element);
            first_element += static_cast<uint64_t>(count);
        }
        const auto kernel = selected_cpu_isa().dimer->randomize;
        for_each_elements(set, [&](size_t tensor, int64_t begin, int64_t end, int64_t) {
            kernel(elements(set, NOPT_ROLE_DIRECTION, tensor, begin), end - begin, seed,
                   first[tensor] + static_cast<uint64_t>(begin));
        });
    }

    void dimer_scale(ParamSet& set, const DimerPass& pass, void*) override {
        const CpuDimer& dimer = dimer_of(pass);
        const auto kernel = selected_cpu_isa().dimer->scale;
        for_each_elements(set, [&](size_t tensor, int64_t begin, int64_t end, int64_t) {
            const DimerScope& scope = dimer.scopes[dimer.per_tensor ? tensor : 0];
            if (scope.turns != 0) {
                kernel(elements(set, NOPT_ROLE_DIRECTION, tensor, begin), end - begin, scope.along);
            }
        });
    }

    void dimer_displace(ParamSet& set, double displacement, void*) override {
        const CpuIsa& isa = selected_cpu_isa();
        const bool streams = set.total >= kStreamedElements;
        for_each_elements(set, [&](size_t tensor, int64_t begin, int64_t end, int64_t) {
            if (!set.has_halves) {
                isa.dimer->displace(
                    dimer_args(set, NOPT_ROLE_GRAD, NOPT_ROLE_GRAD_DISPLACED, tensor, begin, end - begin),
                    static_cast<float>(displacement), streams);
                return;
            }
            copy_elements(set, NOPT_ROLE_PARAM, NOPT_ROLE_PARAM_BACKUP, tensor, begin, end);
            if (set.bound(NOPT_ROLE_GRAD_BACKUP)) {
                copy_elements(set, NOPT_ROLE_GRAD, NOPT_ROLE_GRAD_BACKUP, tensor, begin, end);
            }
            DimerScope along_direction = {};
            displace_tiles(set, isa, along_direction, displacement, tensor, begin, end);
        });
    }

    void dimer_turn(ParamSet& set, const DimerPass& pass, void*) override {
        const CpuDimer& dimer = dimer_of(pass);
        const CpuIsa& isa = selected_cpu_isa();
        for_each_elements(set, [&](size_t tensor, int64_t begin, int64_t end, int64_t) {
            const DimerScope& scope = dimer.scopes[dimer.per_tensor ? tensor : 0];
            for (int64_t at = begin; at < end; at += kTileElements) {
                const int64_t count = end - at < kTileElements ? end - at : kTileElements;
                DimerArgs args = dimer_args(set, pass.grad, pass.displaced, tensor, at, count);
                if (!set.has_halves) {
                    isa.dimer->turn(args, scope, pass.decision);
                    isa.dimer->displace_again(args, scope, static_cast<float>(pass.input.displacement));
                    continue;
                }
                const Tile tile(set, *isa.convert, tensor, at, count);
                float grad[kTileElements], displaced[kTileElements];
                args.grad = tile.read(pass.grad, grad);
                args.displaced = tile.read(pass.displaced, displaced);
                isa.dimer->turn(args, scope, pass.decision);
                displace_tiles(set, isa, scope, pass.input.displacement, tensor, at, at + count);
            }
        });
    }

    void dimer_restore(ParamSet& set, void*) override {
        for_each_elements(set, [&](size_t tensor, int64_t begin, int64_t end, int64_t) {
            copy_elements(set, NOPT_ROLE_PARAM_BACKUP, NOPT_ROLE_PARAM, tensor, begin, end);
        });
    }

    DimerReading dimer_read(DimerData& data, int64_t scope) override {
        return static_cast<CpuDimer&>(data).scopes[static_cast<size_t>(scope)];
    }

    void dimer_set_curvature(DimerData& data, const double* curvature, void*) override {
        for (DimerScope& scope : static_cast<CpuDimer&>(data).scopes) {
            scope.curvature = *curvature++;
        }
    }

private:
    template <class Element>
    static void fill_elements(Element* destination, int64_t count, uint32_t bits) {
        FillJob<Element> job = {destination, count, static_cast<Element>(bits)};
        parallel_for((count + kChunkElements - 1) / kChunkElements, &FillJob<Element>::run_block, &job);
    }

    // Large allocations all begin at the same place of a page, and processors tell lines apart by part of their
    // address: where the streams of a step go through the same sets of the first cache they may push each other out.
    // (Zen 3, four buffers of 64 MiB, one after another: a scalar loop took up to 334 ms, and 47 at different lines;
    // Adam 21 and 13.)
    static size_t next_offset(int64_t bytes) {
        static std::atomic<uint32_t> count{0};
        constexpr uint32_t kOffsets = 12;      // of five lines each: within a page
        constexpr int64_t kLarge = 64 * 1024;  // bytes; small ones keep theirs
        return bytes < kLarge ? kAlignment
                              : kAlignment * (1 + 5 * (count.fetch_add(1, std::memory_order_relaxed) % kOffsets));
    }

    // Streams go through a page of 4 KiB in no time, and each new one has to be looked up. Where the system gives large
    // pages to those who ask, ask; elsewhere nothing happens. (Same machine, a virtual one, 16,777,216 elements: SGD
    // took 5.4 ms and 6.6 with small pages, Adam 12.1 and 15.6, AMSGrad 15.2 and 16.0; medians of three runs.)
    static void ask_for_large_pages([[maybe_unused]] void* allocation, [[maybe_unused]] size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
        constexpr size_t kLarge = size_t{4} << 20;  // holds one of 2 MiB, wherever it begins
        if (bytes >= kLarge) {
            const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
            const uintptr_t begin = (reinterpret_cast<uintptr_t>(allocation) + page - 1) / page * page;
            const uintptr_t end = (reinterpret_cast<uintptr_t>(allocation) + bytes) / page * page;
            madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
        }
#endif
    }

    // Over all scopes.
    static void sum_scopes(const DimerPass& pass, double& sum, double& probe) {
        const CpuDimer& dimer = dimer_of(pass);
        TreeSum squares;
        squares.clear();
        probe = 0.0;
        for (size_t i = 0; i < dimer.scopes.size(); ++i) {
            squares.add(grad_square(pass.decision, dimer.scopes[i], dimer.sums[i]));
            probe += finite_probe(pass.decision, dimer.scopes[i], dimer.sums[i]);
        }
        sum = squares.total();
    }
};

}  // namespace

Backend& cpu_backend() {
    static CpuBackend instance;
    return instance;
}

}  // namespace nopt
