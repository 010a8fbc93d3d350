// What the CUDA backend keeps on the device for a set: how its elements are divided, where its buffers are, and their
// element types.
#pragma once

#include <stdint.h>

#include <vector>

#include "backend/param_set.h"
#include "cuda/cells.cuh"
#include "cuda/launch.cuh"
#include "cuda/partition.h"
#include "cuda/runtime.h"
#include "cuda/staging.h"
#include "cuda/theta.cuh"
#include "cuda/tuning.h"

namespace nopt {

class CudaSet final : public BackendData {
public:
    // The set's device is current.
    explicit CudaSet(const ParamSet& set)
        : tuning(tuning_for(10 * device_attribute(cudaDevAttrComputeCapabilityMajor, set.device) +
                            device_attribute(cudaDevAttrComputeCapabilityMinor, set.device))),
          waves(set.device, tuning.waves),
          staging(std::max<size_t>(set.counts.size() * sizeof(void*), kMinStagingBytes)) {
        const std::vector<Piece> pieces = make_pieces(
            set.counts,
            piece_elements(set.total, device_attribute(cudaDevAttrMultiProcessorCount, set.device), tuning));
        pieces_ = constant_table(pieces);
        piece_count_ = static_cast<int64_t>(pieces.size());
        const SumPlan plan = make_sum_plan(set.counts);
        sum_tasks_ = constant_table(plan.tasks);
        sum_pieces_ = constant_table(plan.pieces);
        sum_task_count_ = static_cast<int64_t>(plan.tasks.size());
        first_chunk = plan.first_chunk;
        std::vector<int64_t> elements_before;
        int64_t elements = 0;
        for (const int64_t count : set.counts) {
            elements_before.push_back(elements);
            elements += count;
        }
        first_element_ = constant_table(elements_before);
    }

    bool is_current(const ParamSet& set) const { return version_ == set.version; }

    // Uploads what changed, in stream order. No stream is being captured: a role's table is allocated when it is bound
    // for the first time, and stays where it is, as graphs know it.
    void refresh(const ParamSet& set, cudaStream_t stream) {
        if (is_current(set)) {
            return;
        }
        const size_t tensors = set.counts.size();
        for (int role = 0; role < kRoleSlots; ++role) {
            if (role_versions_[role] != set.versions[role] && !set.pointers[role].empty()) {
                if (pointers_[role] == nullptr) {
                    pointers_[role] = device_array<void*>(tensors);
                }
                staging.upload(pointers_[role].get(), set.pointers[role], stream);
            }
            role_versions_[role] = set.versions[role];
        }
        if (set.is_mixed && types_version_ != set.types_version) {
            if (types_ == nullptr) {
                types_ = device_array<uint8_t>(tensors * kRoleSlots);
            }
            std::vector<uint8_t> types(tensors * kRoleSlots, 0);
            for (size_t t = 0; t < tensors; ++t) {
                for (int role = 0; role < kRoleSlots; ++role) {
                    if (is_role(role)) {
                        types[t * kRoleSlots + static_cast<size_t>(role)] =
                            static_cast<uint8_t>(set.dtype(static_cast<nopt_role>(role), t));
                    }
                }
            }
            staging.upload(types_.get(), types, stream);
            types_version_ = set.types_version;
        }
        version_ = set.version;
    }

    // The role's addresses; null if it is not bound.
    RoleTable table(const ParamSet& set, nopt_role role) const {
        return set.bound(role) ? reinterpret_cast<RoleTable>(pointers_[role].get()) : nullptr;
    }

    ThetaTable theta_table(const ParamSet& set) const {
        ThetaTable table = {};
        table.types = types_.get();
        table.param = this->table(set, NOPT_ROLE_PARAM);
        table.master = this->table(set, NOPT_ROLE_MASTER_PARAM);
        table.remainder = this->table(set, NOPT_ROLE_PARAM_REMAINDER);
        return table;
    }

    bool has_pieces() const { return piece_count_ > 0; }
    PieceTable piece_table() const { return {pieces_.get(), piece_count_}; }
    SumTable sum_table() const { return {sum_tasks_.get(), sum_pieces_.get(), sum_task_count_}; }
    const int64_t* first_element() const { return first_element_.get(); }  // of each tensor, among those of all

    // Launches a kernel over all pieces of a set that has some. The device is current.
    template <class... Parameters>
    void launch_pieces(const char* name, void (*kernel)(Parameters...), cudaStream_t stream,
                       std::common_type_t<Parameters>... arguments) {
        launch(name, kernel, waves.grid(kernel, blocks_for(piece_count_, kPassWarps), kPassThreads), kPassThreads,
               stream, arguments...);
    }

    const Tuning& tuning;
    Waves waves;
    StagingRing staging;
    std::vector<int64_t> first_chunk;  // of each tensor, and the number of all

private:
    DeviceArray<Piece> pieces_;
    int64_t piece_count_;
    DeviceArray<SumTask> sum_tasks_;
    DeviceArray<Piece> sum_pieces_;
    int64_t sum_task_count_;
    DeviceArray<int64_t> first_element_;
    DeviceArray<void*> pointers_[kRoleSlots];
    DeviceArray<uint8_t> types_;  // see TypeTable
    uint64_t version_ = UINT64_MAX;
    uint64_t types_version_ = 0;
    uint64_t role_versions_[kRoleSlots] = {};
};

inline CudaSet& set_data(const ParamSet& set) { return static_cast<CudaSet&>(*set.data); }

}  // namespace nopt
