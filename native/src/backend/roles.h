// What is known of every role; roles.def is the table.
#pragma once

#include <stdint.h>

#include "nativeopt/nativeopt.h"
#include "rules/rule.h"

namespace nopt {

// Tables that a nopt_role is the index of have so many entries.
constexpr int kRoleSlots = 32;

// Which element types the buffers of a role have.
enum RoleTypes {
    kParamTypes,      // those of the parameters
    kGradTypes,       // those of the gradients
    kStateTypes,      // those of the state, as chosen for it
    kInputTypes,      // those of the input, as chosen for it
    kFloat32Types,    // float32
    kRemainderTypes,  // 16 bits, stored as bfloat16 is
};

struct RoleInfo {
    nopt_role role;
    const char* name;  // what people and files call it: "param"
    const char* text;  // what error texts call it: "PARAM"
    RoleTypes types;
    bool is_written;
    bool may_be_null;
    bool is_of_dimer;
    bool is_held;  // within a dimer's update
    const char* meaning;
};

extern const RoleInfo kNamedRoles[];
extern const int kNamedRoleCount;

NOPT_HD constexpr nopt_role state_role(int state) { return static_cast<nopt_role>(NOPT_ROLE_STATE + state); }
NOPT_HD constexpr nopt_role input_role(int input) { return static_cast<nopt_role>(NOPT_ROLE_INPUT + input); }
constexpr bool is_state(nopt_role role) { return role >= NOPT_ROLE_STATE && role < NOPT_ROLE_STATE + NOPT_MAX_STATES; }
constexpr bool is_input(nopt_role role) { return role >= NOPT_ROLE_INPUT && role < NOPT_ROLE_INPUT + NOPT_MAX_INPUTS; }

bool is_role(int role);

// What is known of a role that exists. States and inputs have the names that they have without a rule, such as STATE_0.
const RoleInfo& role_info(nopt_role role);

// The name in error texts, of any number.
const char* role_name(nopt_role role);

// The element types that a role may have, by bit.
uint32_t role_dtypes(const RoleInfo& info);

}  // namespace nopt
