#include <float.h>
#include <inttypes.h>

#include <algorithm>
#include <limits>

#include "api/api.h"
#include "numerics/dtypes.h"

using namespace nopt;

namespace {

void check_tensor_count(const ParamSet& set, int64_t tensor_count) {
    if (tensor_count != static_cast<int64_t>(set.counts.size())) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                    "tensor_count is %" PRId64 ", but the set was created with %zu tensors", tensor_count,
                    set.counts.size());
    }
}

void check_role(nopt_role role) {
    if (!is_role(static_cast<int>(role))) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "role is %d; it must be a nopt_role", static_cast<int>(role));
    }
}

// Whether a role may have elements of a type.
bool may_be(nopt_role role, int dtype) { return is_dtype(dtype) && (role_dtypes(role_info(role)) >> dtype & 1u) != 0; }

// Stores per-tensor values after checking them all.
void set_tensor_values(ParamSet& set, std::vector<double>& target, int64_t tensor_count, const double* values,
                       const char* name, double largest, bool may_inherit) {
    check_tensor_count(set, tensor_count);
    for (int64_t i = 0; values != nullptr && i < tensor_count; ++i) {
        const bool inherits = may_inherit && values[i] == NOPT_INHERIT;
        if (!inherits && !(values[i] >= 0.0 && values[i] <= largest)) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "%s[%" PRId64 "] is %g; it must be in [0, %g]%s", name, i,
                        values[i], largest, may_inherit ? ", or NOPT_INHERIT" : "");
        }
    }
    if (values == nullptr) {
        target.clear();
    } else {
        target.assign(values, values + tensor_count);
    }
    ++set.tensor_options_version;
    ++set.version;
}

}  // namespace

extern "C" {

nopt_status nopt_param_set_create(nopt_backend backend, int32_t device_index, int64_t tensor_count,
                                  const int64_t* element_counts, const nopt_dtype* dtypes, nopt_param_set** set) {
    return guarded([&] {
        require_not_null(set, "set");
        Backend& found = backend_for(backend, device_index);
        if (tensor_count < 0 || tensor_count > std::numeric_limits<int32_t>::max()) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "tensor_count is %" PRId64 "; it must be 0 to 2147483647",
                        tensor_count);
        }
        if (tensor_count > 0) {
            require_not_null(element_counts, "element_counts");
        }
        // The bytes of all tensors must be countable in 63 bits.
        constexpr int64_t kMaxElements = std::numeric_limits<int64_t>::max() / 64;
        int64_t total = 0;
        for (int64_t i = 0; i < tensor_count; ++i) {
            if (element_counts[i] < 0 || element_counts[i] > kMaxElements - total) {
                throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                            "element_counts[%" PRId64 "] is %" PRId64
                            "; it must be 0 or more, and all together at most "
                            "%" PRId64,
                            i, element_counts[i], kMaxElements);
            }
            total += element_counts[i];
            if (dtypes != nullptr && !may_be(NOPT_ROLE_PARAM, static_cast<int>(dtypes[i]))) {
                throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                            "dtypes[%" PRId64
                            "] is %d; parameters may be NOPT_DTYPE_FLOAT32 (1), NOPT_DTYPE_BFLOAT16 (2) or "
                            "NOPT_DTYPE_FLOAT16 (3)",
                            i, static_cast<int>(dtypes[i]));
            }
        }
        std::vector<int64_t> counts;
        if (tensor_count > 0) {
            counts.assign(element_counts, element_counts + tensor_count);
        }
        std::vector<nopt_dtype> types;
        if (dtypes != nullptr) {
            types.assign(dtypes, dtypes + tensor_count);
        }
        auto handle = std::make_unique<nopt_param_set>();
        handle->set = std::make_shared<ParamSet>(found, backend, device_index, std::move(counts), std::move(types));
        *set = handle.release();
    });
}

nopt_status nopt_param_set_destroy(nopt_param_set* set) {
    return guarded([&] { delete set; });
}

nopt_status nopt_param_set_set_dtypes(nopt_param_set* set, nopt_role role, int64_t tensor_count,
                                      const nopt_dtype* dtypes) {
    return guarded([&] {
        require_not_null(set, "set");
        const UseGuard guard(*set->set);
        check_role(role);
        check_tensor_count(*set->set, tensor_count);
        set->set->set_dtypes(role, dtypes);
    });
}

nopt_status nopt_param_set_bind(nopt_param_set* set, nopt_role role, int64_t tensor_count, void* const* pointers) {
    return guarded([&] {
        require_not_null(set, "set");
        const UseGuard guard(*set->set);
        check_role(role);
        check_tensor_count(*set->set, tensor_count);
        const Binding binding = {role, pointers};
        set->set->bind(&binding, 1);
    });
}

nopt_status nopt_param_set_bind_roles(nopt_param_set* set, int64_t tensor_count, int32_t role_count,
                                      const nopt_role* roles, void* const* const* pointers) {
    return guarded([&] {
        require_not_null(set, "set");
        const UseGuard guard(*set->set);
        check_tensor_count(*set->set, tensor_count);
        if (role_count < 0 || role_count > kRoleSlots) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "role_count is %d; it must be 0 to %d", role_count, kRoleSlots);
        }
        if (role_count > 0) {
            require_not_null(roles, "roles");
            require_not_null(pointers, "pointers");
        }
        Binding bindings[kRoleSlots];
        for (int32_t i = 0; i < role_count; ++i) {
            check_role(roles[i]);
            for (int32_t k = 0; k < i; ++k) {
                if (roles[k] == roles[i]) {
                    throw Error(NOPT_ERROR_INVALID_ARGUMENT, "roles[%d] is %s, and so is roles[%d]; name a role once",
                                i, role_name(roles[i]), k);
                }
            }
            bindings[i] = {roles[i], pointers[i]};
        }
        set->set->bind(bindings, role_count);
    });
}

nopt_status nopt_param_set_set_lr_scale(nopt_param_set* set, int64_t tensor_count, const double* lr_scale) {
    return guarded([&] {
        require_not_null(set, "set");
        ParamSet& own = *set->set;
        const UseGuard guard(own);
        set_tensor_values(own, own.lr_scale, tensor_count, lr_scale, "lr_scale", double{FLT_MAX}, false);
        own.largest_lr_scale = own.lr_scale.empty() ? 1.0 : *std::max_element(own.lr_scale.begin(), own.lr_scale.end());
    });
}

nopt_status nopt_param_set_set_weight_decay(nopt_param_set* set, int64_t tensor_count, const double* weight_decay) {
    return guarded([&] {
        require_not_null(set, "set");
        ParamSet& own = *set->set;
        const UseGuard guard(own);
        set_tensor_values(own, own.weight_decay, tensor_count, weight_decay, "weight_decay", kWeightDecayRange.max,
                          true);
    });
}

nopt_status nopt_param_set_set_groups(nopt_param_set* set, int64_t tensor_count, const int32_t* group) {
    return guarded([&] {
        require_not_null(set, "set");
        ParamSet& own = *set->set;
        const UseGuard guard(own);
        check_tensor_count(own, tensor_count);
        for (int64_t i = 0; group != nullptr && i < tensor_count; ++i) {
            if (group[i] < 0) {
                throw Error(NOPT_ERROR_INVALID_ARGUMENT, "group[%" PRId64 "] is %d; it must be 0 or more", i, group[i]);
            }
        }
        if (group == nullptr) {
            own.group.clear();
        } else {
            own.group.assign(group, group + tensor_count);
        }
        ++own.tensor_options_version;
        ++own.version;
    });
}

}  // extern "C"
