#include "backend/roles.h"

#include <stdio.h>

namespace nopt {

const RoleInfo kNamedRoles[] = {
#define NOPT_ROLE_LINE(NAME, name, types, written, nullable, dimer, held, meaning) \
    {NOPT_ROLE_##NAME, #name, #NAME, types, written, nullable, dimer, held, meaning},
#include "backend/roles.def"
#undef NOPT_ROLE_LINE
};
const int kNamedRoleCount = static_cast<int>(sizeof kNamedRoles / sizeof kNamedRoles[0]);

#define NOPT_ROLE_LINE(NAME, name, types, written, nullable, dimer, held, meaning) \
    static_assert(NOPT_ROLE_##NAME < NOPT_ROLE_STATE, "states and inputs come after all others");
#include "backend/roles.def"
#undef NOPT_ROLE_LINE
static_assert(NOPT_ROLE_STATE + NOPT_MAX_STATES <= NOPT_ROLE_INPUT && NOPT_ROLE_INPUT + NOPT_MAX_INPUTS <= kRoleSlots,
              "roles are bits of 32, and no two share one");

namespace {

// Every role by its value, states and inputs as a set sees them, which does not know the rule. A role that does not
// exist has no name.
struct RolesByValue {
    RoleInfo infos[kRoleSlots] = {};
    char names[kRoleSlots][sizeof "STATE_-2147483648"] = {};

    RolesByValue() {
        for (const RoleInfo& info : kNamedRoles) {
            infos[info.role] = info;
        }
        for (int i = 0; i < NOPT_MAX_STATES; ++i) {
            add(state_role(i), "STATE", i, kStateTypes, true);
        }
        for (int i = 0; i < NOPT_MAX_INPUTS; ++i) {
            add(input_role(i), "INPUT", i, kInputTypes, false);
        }
    }

    void add(nopt_role role, const char* kind, int index, RoleTypes types, bool is_written) {
        snprintf(names[role], sizeof names[role], "%s_%d", kind, index);
        infos[role] = {role, names[role], names[role], types, is_written, !is_written, false, false, ""};
    }
};

const RolesByValue kRoles;

}  // namespace

bool is_role(int role) { return role >= 0 && role < kRoleSlots && kRoles.infos[role].name != nullptr; }

const RoleInfo& role_info(nopt_role role) { return kRoles.infos[role]; }

const char* role_name(nopt_role role) { return is_role(role) ? kRoles.infos[role].text : "unknown"; }

uint32_t role_dtypes(const RoleInfo& info) {
    switch (info.types) {
        case kParamTypes:
        case kGradTypes:
        case kInputTypes:
            return kUpTo16Bits;
        case kStateTypes:
            return kUpTo8Bits;
        case kFloat32Types:
            return kFloat32Only;
        case kRemainderTypes:
            return dtype_bit(NOPT_DTYPE_BFLOAT16);
    }
    return 0;
}

}  // namespace nopt
