// What is known of roles and element types, for callers.
#include "backend/roles.h"

#include "api/api.h"
#include "numerics/dtypes.h"

using namespace nopt;

extern "C" {

int32_t nopt_role_count(void) { return kNamedRoleCount; }

nopt_status nopt_role_get_info(int32_t index, nopt_role_info* info) {
    return guarded([&] {
        if (index < 0 || index >= kNamedRoleCount) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "index is %d; nopt_role_count() is %d", index, kNamedRoleCount);
        }
        const RoleInfo& role = kNamedRoles[index];
        nopt_role_info value = {};
        value.role = role.role;
        value.name = role.name;
        value.meaning = role.meaning;
        value.dtypes = role_dtypes(role);
        value.is_written = role.is_written ? 1 : 0;
        value.may_be_null = role.may_be_null ? 1 : 0;
        value.is_of_dimer = role.is_of_dimer ? 1 : 0;
        write_struct(info, value, "info");
    });
}

int32_t nopt_dtype_count(void) { return kDTypeCount; }

nopt_status nopt_dtype_get_info(int32_t index, nopt_dtype_info* info) {
    return guarded([&] {
        if (index < 0 || index >= kDTypeCount) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "index is %d; nopt_dtype_count() is %d", index, kDTypeCount);
        }
        const DTypeInfo& type = kDTypes[index];
        nopt_dtype_info value = {};
        value.dtype = type.dtype;
        value.name = type.name;
        value.block_elements = type.block_elements;
        value.block_extra_bytes = type.block_extra_bytes;
        value.element_bytes = type.element_bytes;
        value.alignment = type.alignment;
        write_struct(info, value, "info");
    });
}

}  // extern "C"
