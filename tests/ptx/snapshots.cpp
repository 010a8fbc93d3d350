// Takes one step of each kind that is named, and leaves snapshots of its launches in a folder, for
// bench/kernel_model.py; prints how many elements the tensor has.
//
//   nativeopt_ptx_snapshots FOLDER KIND...
//   nativeopt_ptx_snapshots --rules
//   nativeopt_ptx_snapshots --build-info
//
// KIND is a rule, with parts behind it that say what else there is: -amsgrad, -momentum, -clipped; -bfloat16 or
// -float16 for parameters and gradients, with -master or -remainder; -states for states of the same type, -dynamic8 for
// states of 8 bits; -random for stochastic rounding; -cached and -update for a dimer's step without and with an update
// of its direction. A rule that has no state of that type leaves nothing. The tensor is what one wave of blocks takes,
// a piece for each warp.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "cuda/tuning.h"
#include "nativeopt/nativeopt.h"
#include "numerics/dtypes.h"
#include "numerics/dynamic8.h"

namespace {

constexpr int64_t kBlocks = 16;
constexpr int64_t kElements = kBlocks * nopt::kWarpsPerBlock * nopt::kTunings[0].piece_elements;

void check(nopt_status status) {
    if (status != NOPT_OK) {
        fprintf(stderr, "nativeopt_ptx_snapshots: %s\n", nopt_last_error_message());
        exit(1);
    }
}

// Values as a step in the middle of a training finds them: of either sign or of one, up to `scale`.
struct Range {
    float scale;
    bool is_signed;
};

// A role's buffer, filled at random.
class Buffer {
public:
    Buffer(nopt_param_set* set, nopt_role role, nopt_dtype dtype, Range range, std::mt19937& random) {
        int64_t bytes = 0;
        check(nopt_dtype_get_bytes(dtype, kElements, &bytes));
        std::vector<unsigned char> values(static_cast<size_t>(bytes));
        const auto uniform = [&] { return static_cast<float>(random() >> 8) * 0x1p-24f; };
        const auto value = [&] { return range.scale * (range.is_signed ? 2.0f * uniform() - 1.0f : uniform()); };
        if (dtype == NOPT_DTYPE_DYNAMIC8) {
            // Any byte is a code.
            for (size_t i = 0; i < values.size(); ++i) {
                values[i] = static_cast<unsigned char>(random());
            }
            for (size_t i = 0; i < values.size(); i += nopt::kBlockwiseElements + sizeof(float)) {
                memcpy(&values[i], &range.scale, sizeof(float));
            }
        } else {
            for (int64_t i = 0; i < kElements; ++i) {
                const float one = value();
                const uint16_t half = dtype == NOPT_DTYPE_FLOAT32 ? uint16_t{0} : nopt::to_half(dtype, one);
                if (dtype == NOPT_DTYPE_FLOAT32) {
                    memcpy(&values[static_cast<size_t>(i) * 4], &one, 4);
                } else {
                    memcpy(&values[static_cast<size_t>(i) * 2], &half, 2);
                }
            }
        }
        check(nopt_memory_alloc(NOPT_BACKEND_CUDA, 0, bytes, &memory_));
        check(nopt_memory_copy(NOPT_BACKEND_CUDA, 0, memory_, values.data(), bytes, nullptr));
        check(nopt_stream_synchronize(NOPT_BACKEND_CUDA, 0, nullptr));
        check(set_dtype(set, role, dtype));
        check(nopt_param_set_bind(set, role, 1, &memory_));
    }
    ~Buffer() { nopt_memory_free(NOPT_BACKEND_CUDA, 0, memory_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

private:
    static nopt_status set_dtype(nopt_param_set* set, nopt_role role, nopt_dtype dtype) {
        const bool has_choice = role == NOPT_ROLE_GRAD || role >= NOPT_ROLE_STATE;
        return has_choice ? nopt_param_set_set_dtypes(set, role, 1, &dtype) : NOPT_OK;
    }

    void* memory_ = nullptr;
};

// What a name says, such as adam-bfloat16-states.
class Kind {
public:
    explicit Kind(const std::string& name_) : name(name_), rule(name_.substr(0, name_.find('-'))) {
        for (size_t at = rule.size(); at < name.size();) {
            const size_t end = std::min(name.find('-', at + 1), name.size());
            parts_.insert(name.substr(at + 1, end - at - 1));
            at = end;
        }
        for (const std::string& part : parts_) {
            if (kKnown.count(part) == 0) {
                fprintf(stderr, "nativeopt_ptx_snapshots: %s has a part that is not known, %s\n", name.c_str(),
                        part.c_str());
                exit(2);
            }
        }
    }

    bool has(const char* part) const { return parts_.count(part) != 0; }
    bool has_dimer() const { return has("cached") || has("update"); }
    nopt_dtype dtype() const {
        return has("bfloat16") ? NOPT_DTYPE_BFLOAT16 : has("float16") ? NOPT_DTYPE_FLOAT16 : NOPT_DTYPE_FLOAT32;
    }
    nopt_dtype state_dtype() const {
        return has("dynamic8") ? NOPT_DTYPE_DYNAMIC8 : has("states") ? dtype() : NOPT_DTYPE_FLOAT32;
    }

    nopt_hyperparams hyperparams() const {
        nopt_hyperparams h = {};
        h.struct_size = sizeof h;
        check(nopt_rule_get_defaults(rule.c_str(), &h));
        if (has("momentum")) {
            check(nopt_hyperparams_set(rule.c_str(), &h, "momentum", 0.9));
        }
        if (has("amsgrad")) {
            check(nopt_hyperparams_set_flag(rule.c_str(), &h, "amsgrad", 1));
        }
        if (has("random")) {
            check(nopt_hyperparams_set_flag(rule.c_str(), &h, "stochastic_rounding", 1));
            check(nopt_hyperparams_set_flag(rule.c_str(), &h, "stochastic_rounding_states", 1));
        }
        return h;
    }

    const std::string name;
    const std::string rule;

private:
    static inline const std::set<std::string> kKnown = {"amsgrad",  "momentum", "clipped",   "bfloat16",
                                                        "float16",  "master",   "remainder", "states",
                                                        "dynamic8", "random",   "cached",    "update"};
    std::set<std::string> parts_;
};

// A set of one tensor with all buffers of a kind, and its optimizer, at step 100.
class Model {
public:
    explicit Model(const Kind& kind) : hyperparams(kind.hyperparams()), kind_(kind), random_(1) {
        const nopt_dtype dtype = kind.dtype();
        check(nopt_param_set_create(NOPT_BACKEND_CUDA, 0, 1, &kElements, &dtype, &set_));
        check(nopt_optimizer_create(set_, kind.rule.c_str(), &optimizer));
        if (kind.has("clipped")) {
            nopt_grad_options options = {};
            options.struct_size = sizeof options;
            options.flags = NOPT_GRAD_CLIP_NORM;
            options.max_norm = 1.0;
            check(nopt_optimizer_set_grad_options(optimizer, &options));
        }
        add(NOPT_ROLE_PARAM, dtype, {1.0f, true});
        add(NOPT_ROLE_GRAD, dtype, {1e-2f, true});
        if (kind.has("master")) {
            add(NOPT_ROLE_MASTER_PARAM, NOPT_DTYPE_FLOAT32, {1.0f, true});
        }
        if (kind.has("remainder")) {
            add(NOPT_ROLE_PARAM_REMAINDER, NOPT_DTYPE_BFLOAT16, {1.0f, true});
        }
        add_states_and_inputs();
        nopt_step_state progress = {};
        progress.struct_size = sizeof progress;
        check(nopt_rule_get_initial_state(kind.rule.c_str(), &progress));
        check(nopt_rule_advance(kind.rule.c_str(), &hyperparams, 100, &progress));
        check(nopt_optimizer_set_state(optimizer, &progress));
        if (kind.has_dimer()) {
            add(NOPT_ROLE_DIRECTION, NOPT_DTYPE_FLOAT32, {1.0f, true});
            add(NOPT_ROLE_PARAM_BACKUP, dtype, {1.0f, true});
            add(NOPT_ROLE_GRAD_BACKUP, dtype, {1.0f, true});
            check(nopt_dimer_create(optimizer, NOPT_DIMER_SCOPE_GLOBAL, &dimer));
            check(nopt_dimer_normalize_direction(dimer, nullptr));
        }
    }
    ~Model() {
        nopt_dimer_destroy(dimer);
        nopt_optimizer_destroy(optimizer);
        nopt_param_set_destroy(set_);
    }
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    const nopt_hyperparams hyperparams;
    nopt_optimizer* optimizer = nullptr;
    nopt_dimer* dimer = nullptr;  // null: the kind has none
    bool has_type = false;        // whether a state has the type that the kind asks for

private:
    void add(nopt_role role, nopt_dtype type, Range range) {
        buffers_.push_back(std::make_unique<Buffer>(set_, role, type, range, random_));
    }

    void add_states_and_inputs() {
        uint32_t roles = 0;
        check(nopt_optimizer_get_roles(optimizer, &hyperparams, &roles));
        nopt_rule_info info = {};
        for (int32_t i = 0; i < nopt_rule_count() && (info.name == nullptr || kind_.rule != info.name); ++i) {
            info.struct_size = sizeof info;
            check(nopt_rule_get_info(i, &info));
        }
        const nopt_dtype type = kind_.state_dtype();
        has_type = type == NOPT_DTYPE_FLOAT32;
        for (int32_t i = 0; i < info.state_count; ++i) {
            nopt_state_info state = {};
            state.struct_size = sizeof state;
            check(nopt_rule_get_state(kind_.rule.c_str(), i, &state));
            if ((roles >> state.role & 1u) != 0) {
                const bool fits = (state.dtypes >> type & 1u) != 0;
                has_type = has_type || fits;
                add(static_cast<nopt_role>(state.role), fits ? type : NOPT_DTYPE_FLOAT32,
                    {state.is_signed != 0 ? 1e-2f : 1e-4f, state.is_signed != 0});
            }
        }
        for (int32_t i = 0; i < info.input_count; ++i) {
            add(static_cast<nopt_role>(NOPT_ROLE_INPUT + i), kind_.dtype(), {1e-2f, true});
        }
    }

    const Kind& kind_;
    std::mt19937 random_;
    nopt_param_set* set_ = nullptr;
    std::vector<std::unique_ptr<Buffer>> buffers_;
};

void take(const std::string& folder, const Kind& kind) {
    const Model model(kind);
    if (!model.has_type) {
        return;
    }
    nopt_dimer_options options = {};
    options.struct_size = sizeof options;
    check(nopt_dimer_get_defaults(&options));
    check(nopt_stream_synchronize(NOPT_BACKEND_CUDA, 0, nullptr));
    setenv("NATIVEOPT_PTX_SNAPSHOTS", (folder + "/" + kind.name).c_str(), 1);
    if (kind.has("update")) {
        check(nopt_dimer_displace(model.dimer, &options, nullptr));
    }
    check(model.dimer != nullptr ? nopt_dimer_step(model.dimer, &options, &model.hyperparams, nullptr)
                                 : nopt_optimizer_step(model.optimizer, &model.hyperparams, nullptr));
    check(nopt_stream_synchronize(NOPT_BACKEND_CUDA, 0, nullptr));
    unsetenv("NATIVEOPT_PTX_SNAPSHOTS");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 2 && strcmp(argv[1], "--rules") == 0) {
        for (int32_t i = 0; i < nopt_rule_count(); ++i) {
            nopt_rule_info info = {};
            info.struct_size = sizeof info;
            check(nopt_rule_get_info(i, &info));
            printf("%s\n", info.name);
        }
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--build-info") == 0) {
        printf("%s\n", nopt_build_info());
        return 0;
    }
    if (argc < 3) {
        fprintf(stderr, "usage: nativeopt_ptx_snapshots FOLDER KIND... | --rules | --build-info\n");
        return 2;
    }
    setenv("NATIVEOPT_PTX_GRID", ("1x" + std::to_string(kBlocks)).c_str(), 1);
    printf("%lld\n", static_cast<long long>(kElements));
    for (int i = 2; i < argc; ++i) {
        take(argv[1], Kind(argv[i]));
    }
    return 0;
}
