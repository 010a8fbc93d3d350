// The layout of every public struct, as text. The tests compare it with the header (no field may be missing here) and
// with the managed bindings.
#include <stddef.h>

#include <string>

#include "nativeopt/nativeopt.h"

namespace {

struct Field {
    const char* name;
    size_t offset;
    size_t size;
};

template <size_t Count>
void describe(std::string& text, const char* name, size_t size, const Field (&fields)[Count]) {
    text += std::string("struct ") + name + " " + std::to_string(size) + "\n";
    for (const Field& field : fields) {
        text += std::string("field ") + field.name + " " + std::to_string(field.offset) + " " +
                std::to_string(field.size) + "\n";
    }
}

#define FIELD(Struct, field) \
    { #field, offsetof(Struct, field), sizeof(Struct::field) }

std::string layout() {
    std::string text;
    describe(text, "nopt_device_info", sizeof(nopt_device_info),
             {FIELD(nopt_device_info, struct_size), FIELD(nopt_device_info, backend), FIELD(nopt_device_info, index),
              FIELD(nopt_device_info, processor_count), FIELD(nopt_device_info, compute_capability_major),
              FIELD(nopt_device_info, compute_capability_minor), FIELD(nopt_device_info, memory_bytes),
              FIELD(nopt_device_info, name)});
    describe(text, "nopt_cpu_isa_info", sizeof(nopt_cpu_isa_info),
             {FIELD(nopt_cpu_isa_info, struct_size), FIELD(nopt_cpu_isa_info, supported),
              FIELD(nopt_cpu_isa_info, selected), FIELD(nopt_cpu_isa_info, reserved), FIELD(nopt_cpu_isa_info, name)});
    describe(text, "nopt_dtype_info", sizeof(nopt_dtype_info),
             {FIELD(nopt_dtype_info, struct_size), FIELD(nopt_dtype_info, dtype), FIELD(nopt_dtype_info, name),
              FIELD(nopt_dtype_info, block_elements), FIELD(nopt_dtype_info, block_extra_bytes),
              FIELD(nopt_dtype_info, element_bytes), FIELD(nopt_dtype_info, alignment)});
    describe(text, "nopt_role_info", sizeof(nopt_role_info),
             {FIELD(nopt_role_info, struct_size), FIELD(nopt_role_info, role), FIELD(nopt_role_info, name),
              FIELD(nopt_role_info, meaning), FIELD(nopt_role_info, dtypes), FIELD(nopt_role_info, is_written),
              FIELD(nopt_role_info, may_be_null), FIELD(nopt_role_info, is_of_dimer)});
    describe(text, "nopt_hyperparams", sizeof(nopt_hyperparams),
             {FIELD(nopt_hyperparams, struct_size), FIELD(nopt_hyperparams, flags),
              FIELD(nopt_hyperparams, rounding_seed), FIELD(nopt_hyperparams, values)});
    describe(text, "nopt_rule_info", sizeof(nopt_rule_info),
             {FIELD(nopt_rule_info, struct_size), FIELD(nopt_rule_info, flags), FIELD(nopt_rule_info, hyperparam_count),
              FIELD(nopt_rule_info, flag_count), FIELD(nopt_rule_info, state_count), FIELD(nopt_rule_info, input_count),
              FIELD(nopt_rule_info, running_count), FIELD(nopt_rule_info, reserved), FIELD(nopt_rule_info, name),
              FIELD(nopt_rule_info, source), FIELD(nopt_rule_info, equations)});
    describe(
        text, "nopt_hyperparam_info", sizeof(nopt_hyperparam_info),
        {FIELD(nopt_hyperparam_info, struct_size), FIELD(nopt_hyperparam_info, index),
         FIELD(nopt_hyperparam_info, name), FIELD(nopt_hyperparam_info, meaning),
         FIELD(nopt_hyperparam_info, default_value), FIELD(nopt_hyperparam_info, min), FIELD(nopt_hyperparam_info, max),
         FIELD(nopt_hyperparam_info, max_is_excluded), FIELD(nopt_hyperparam_info, is_integer),
         FIELD(nopt_hyperparam_info, selects_states), FIELD(nopt_hyperparam_info, reserved)});
    describe(text, "nopt_flag_info", sizeof(nopt_flag_info),
             {FIELD(nopt_flag_info, struct_size), FIELD(nopt_flag_info, flag), FIELD(nopt_flag_info, name),
              FIELD(nopt_flag_info, meaning), FIELD(nopt_flag_info, needed_hyperparam),
              FIELD(nopt_flag_info, selects_states)});
    describe(text, "nopt_state_info", sizeof(nopt_state_info),
             {FIELD(nopt_state_info, struct_size), FIELD(nopt_state_info, role), FIELD(nopt_state_info, name),
              FIELD(nopt_state_info, meaning), FIELD(nopt_state_info, is_signed), FIELD(nopt_state_info, dtypes),
              FIELD(nopt_state_info, initial_hyperparam), FIELD(nopt_state_info, needed_flag),
              FIELD(nopt_state_info, initial_value), FIELD(nopt_state_info, needed_hyperparam),
              FIELD(nopt_state_info, reserved), FIELD(nopt_state_info, needed_above)});
    describe(text, "nopt_input_info", sizeof(nopt_input_info),
             {FIELD(nopt_input_info, struct_size), FIELD(nopt_input_info, role), FIELD(nopt_input_info, name),
              FIELD(nopt_input_info, meaning)});
    describe(text, "nopt_running_info", sizeof(nopt_running_info),
             {FIELD(nopt_running_info, struct_size), FIELD(nopt_running_info, index), FIELD(nopt_running_info, name),
              FIELD(nopt_running_info, meaning), FIELD(nopt_running_info, initial_value)});
    describe(text, "nopt_step_state", sizeof(nopt_step_state),
             {FIELD(nopt_step_state, struct_size), FIELD(nopt_step_state, reserved), FIELD(nopt_step_state, step),
              FIELD(nopt_step_state, running)});
    describe(
        text, "nopt_grad_options", sizeof(nopt_grad_options),
        {FIELD(nopt_grad_options, struct_size), FIELD(nopt_grad_options, flags), FIELD(nopt_grad_options, max_norm),
         FIELD(nopt_grad_options, max_value), FIELD(nopt_grad_options, loss_scale)});
    describe(
        text, "nopt_grad_status", sizeof(nopt_grad_status),
        {FIELD(nopt_grad_status, struct_size), FIELD(nopt_grad_status, skipped), FIELD(nopt_grad_status, skipped_steps),
         FIELD(nopt_grad_status, norm), FIELD(nopt_grad_status, clip_coefficient)});
    describe(text, "nopt_dimer_options", sizeof(nopt_dimer_options),
             {FIELD(nopt_dimer_options, struct_size), FIELD(nopt_dimer_options, rotation),
              FIELD(nopt_dimer_options, force), FIELD(nopt_dimer_options, angle), FIELD(nopt_dimer_options, correction),
              FIELD(nopt_dimer_options, reserved), FIELD(nopt_dimer_options, displacement),
              FIELD(nopt_dimer_options, rotation_rate), FIELD(nopt_dimer_options, alpha)});
    describe(text, "nopt_dimer_status", sizeof(nopt_dimer_status),
             {FIELD(nopt_dimer_status, struct_size), FIELD(nopt_dimer_status, flags), FIELD(nopt_dimer_status, step),
              FIELD(nopt_dimer_status, curvature), FIELD(nopt_dimer_status, grad_dot_direction),
              FIELD(nopt_dimer_status, angle), FIELD(nopt_dimer_status, conjugation)});
    return text;
}

}  // namespace

extern "C" const char* nopt_abi_layout(void) {
    static const std::string text = layout();
    return text.c_str();
}
