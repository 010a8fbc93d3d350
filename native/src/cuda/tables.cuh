// What the CUDA backend keeps on the device for a set: how its elements are divided, where its buffers are, and the
// options of its tensors.
#pragma once

#include <string.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "backend/param_set.h"
#include "cuda/dimer_sums.cuh"
#include "cuda/pieces.cuh"
#include "cuda/runtime.h"
#include "cuda/tuning.h"
#include "numerics/sums.h"

namespace nopt {

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

// A table that never changes: it is there before this returns.
template <class T>
DeviceArray<T> constant_table(const std::vector<T>& values) {
    DeviceArray<T> table = device_array<T>(values.size());
    if (!values.empty()) {
        check_cuda(cudaMemcpy(table.get(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
                   "uploading a table");
    }
    return table;
}

// The pieces that the passes over elements take.
inline std::vector<Piece> make_pieces(const std::vector<int64_t>& counts, int64_t elements) {
    std::vector<Piece> pieces;
    for (size_t t = 0; t < counts.size(); ++t) {
        for (int64_t begin = 0; begin < counts[t]; begin += elements) {
            pieces.push_back(
                {begin, static_cast<int32_t>(t), static_cast<int32_t>(std::min(counts[t] - begin, elements))});
        }
    }
    return pieces;
}

// ... of the size that spreads a set of this many elements.
inline int64_t piece_elements(int64_t total, int processors, const Tuning& tuning) {
    int64_t elements = tuning.piece_elements;
    while (elements > kMinPieceElements && total / elements < tuning.pieces_per_processor * processors) {
        elements /= 2;
    }
    return elements;
}

// What the sums take: chunks in the order of (tensor, chunk), a block for each, and a warp where several small ones
// follow each other.
struct SumPlan {
    std::vector<SumTask> tasks;
    std::vector<Piece> pieces;
    std::vector<int64_t> first_chunk;  // of each tensor, and the number of all
};

inline SumPlan make_sum_plan(const std::vector<int64_t>& counts) {
    SumPlan plan;
    int64_t chunk = 0;
    bool gathers = false;  // whether the last task takes more small chunks
    for (size_t t = 0; t < counts.size(); ++t) {
        const int32_t tensor = static_cast<int32_t>(t);
        plan.first_chunk.push_back(chunk);
        for (int64_t begin = 0; begin < counts[t]; begin += kChunkElements, ++chunk) {
            const int64_t count = std::min(counts[t] - begin, kChunkElements);
            const bool small = count <= kWarpSumElements;
            if (!small || !gathers || plan.tasks.back().chunk_count == kWarpsPerBlock) {
                plan.tasks.push_back({chunk, 0, 0});
                plan.pieces.resize(plan.tasks.size() * kWarpsPerBlock);
            }
            gathers = small;
            SumTask& task = plan.tasks.back();
            Piece* const own = &plan.pieces[plan.pieces.size() - kWarpsPerBlock] + task.chunk_count;
            ++task.chunk_count;
            for (int64_t at = 0, w = 0; at < count; at += kWarpSumElements, ++w) {
                own[w] = {begin + at, tensor, static_cast<int32_t>(std::min(count - at, kWarpSumElements))};
            }
        }
    }
    plan.first_chunk.push_back(chunk);
    return plan;
}

struct CudaData : BackendData {
    // The set's device is current.
    explicit CudaData(const ParamSet& set)
        : staging(std::max<size_t>(set.counts.size(), 1) * sizeof(double)),
          group_hyperparams(device_array<int32_t>(std::max<size_t>(set.counts.size(), 1))),
          group_lr_scale(device_array<double>(std::max<size_t>(set.counts.size(), 1))),
          group_weight_decay(device_array<double>(std::max<size_t>(set.counts.size(), 1))),
          group_of_tensor(device_array<int32_t>(std::max<size_t>(set.counts.size(), 1))),
          group_count(device_array<int32_t>(1)),
          group_scalars(device_array<unsigned char>(std::max<size_t>(set.counts.size(), 1) * kMaxScalars)) {
        tuning = &tuning_for(10 * device_attribute(cudaDevAttrComputeCapabilityMajor, set.device) +
                             device_attribute(cudaDevAttrComputeCapabilityMinor, set.device));
        types = device_array<uint32_t>(set.counts.size());
        for (DeviceArray<void*>& role : pointers) {
            role = device_array<void*>(set.counts.size());
        }
        const std::vector<Piece> all_pieces = make_pieces(
            set.counts,
            piece_elements(set.total, device_attribute(cudaDevAttrMultiProcessorCount, set.device), *tuning));
        pieces = constant_table(all_pieces);
        piece_count = static_cast<int64_t>(all_pieces.size());
        const SumPlan plan = make_sum_plan(set.counts);
        sum_tasks = constant_table(plan.tasks);
        sum_pieces = constant_table(plan.pieces);
        sum_task_count = static_cast<int64_t>(plan.tasks.size());
        first_chunk = plan.first_chunk;
        std::vector<int64_t> elements_before;
        int64_t elements = 0;
        for (const int64_t count : set.counts) {
            elements_before.push_back(elements);
            elements += count;
        }
        first_element = constant_table(elements_before);
    }

    // Uploads what changed, in stream order.
    void refresh(const ParamSet& set, cudaStream_t stream) {
        if (is_current(set)) {
            return;
        }
        for (int role = 0; role < kRoleCount; ++role) {
            if (role_versions[role] != set.versions[role] && !set.pointers[role].empty()) {
                staging.upload(pointers[role].get(), set.pointers[role].data(), set.counts.size() * sizeof(void*),
                               stream);
            }
            role_versions[role] = set.versions[role];
        }
        if (set.has_halves && types_version != set.types_version) {
            types_version = set.types_version;
            std::vector<uint32_t> all(set.counts.size(), 0);
            for (size_t t = 0; t < all.size(); ++t) {
                for (int role = 0; role < kRoleCount; ++role) {
                    all[t] |= (static_cast<uint32_t>(set.dtype(static_cast<nopt_role>(role), t)) & 3u) << (2 * role);
                }
            }
            staging.upload(types.get(), all.data(), all.size() * sizeof(uint32_t), stream);
        }
        if (!has_groups || tensor_options_version != set.tensor_options_version) {
            upload_groups(set, stream);
            tensor_options_version = set.tensor_options_version;
        }
        version = set.version;
    }

    bool is_current(const ParamSet& set) const { return has_groups && version == set.version; }

    // The role's addresses; null if it is not bound.
    RoleTable table(const ParamSet& set, nopt_role role) const {
        return set.bound(role) ? reinterpret_cast<RoleTable>(pointers[role].get()) : nullptr;
    }

    PieceTable piece_table() const { return {pieces.get(), piece_count}; }
    SumTable sum_table() const { return {sum_tasks.get(), sum_pieces.get(), sum_task_count}; }

    // Tensors whose scalars are the same.
    struct Group {
        int32_t hyperparams;  // the index of their group of hyperparameters
        double lr_scale;
        double weight_decay;  // or NOPT_INHERIT
    };

    const Tuning* tuning;
    StagingRing staging;
    DeviceArray<Piece> pieces;
    int64_t piece_count;
    DeviceArray<SumTask> sum_tasks;
    DeviceArray<Piece> sum_pieces;
    int64_t sum_task_count;
    std::vector<int64_t> first_chunk;    // of each tensor, and the number of all
    DeviceArray<int64_t> first_element;  // of each tensor, among those of all
    DeviceArray<void*> pointers[kRoleCount];
    DeviceArray<uint32_t> types;  // see TypeTable
    std::vector<Group> groups;
    DeviceArray<int32_t> group_hyperparams;
    DeviceArray<double> group_lr_scale;
    DeviceArray<double> group_weight_decay;
    DeviceArray<int32_t> group_of_tensor;
    DeviceArray<int32_t> group_count;          // one
    DeviceArray<unsigned char> group_scalars;  // of steps that compute them on the device

private:
    // Tensors of equal options share their scalars.
    void upload_groups(const ParamSet& set, cudaStream_t stream) {
        const size_t tensors = set.counts.size();
        std::vector<Group> found;
        std::vector<int32_t> of_tensor(tensors, 0);
        std::map<std::tuple<int32_t, double, double>, int32_t> index;
        for (size_t t = 0; t < std::max<size_t>(tensors, 1); ++t) {
            const Group group = {set.group.empty() ? 0 : set.group[t], set.lr_scale.empty() ? 1.0 : set.lr_scale[t],
                                 set.weight_decay.empty() ? NOPT_INHERIT : set.weight_decay[t]};
            const auto entry = index.insert(
                {{group.hyperparams, group.lr_scale, group.weight_decay}, static_cast<int32_t>(found.size())});
            if (entry.second) {
                found.push_back(group);
            }
            if (t < tensors) {
                of_tensor[t] = entry.first->second;
            }
        }
        groups = std::move(found);
        const int32_t count = static_cast<int32_t>(groups.size());
        staging.upload(group_count.get(), &count, sizeof count, stream);
        upload_member(group_hyperparams, &Group::hyperparams, stream);
        upload_member(group_lr_scale, &Group::lr_scale, stream);
        upload_member(group_weight_decay, &Group::weight_decay, stream);
        staging.upload(group_of_tensor.get(), of_tensor.data(), tensors * sizeof(int32_t), stream);
        has_groups = true;
    }

    template <class T>
    void upload_member(const DeviceArray<T>& table, T Group::*member, cudaStream_t stream) {
        std::vector<T> values;
        for (const Group& group : groups) {
            values.push_back(group.*member);
        }
        staging.upload(table.get(), values.data(), values.size() * sizeof(T), stream);
    }

    bool has_groups = false;
    uint64_t version = 0;
    uint64_t tensor_options_version = 0;
    uint64_t types_version = 0;
    uint64_t role_versions[kRoleCount] = {};
};

}  // namespace nopt
