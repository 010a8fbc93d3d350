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
    describe(text, "nopt_hyperparams", sizeof(nopt_hyperparams),
             {FIELD(nopt_hyperparams, struct_size), FIELD(nopt_hyperparams, flags), FIELD(nopt_hyperparams, lr),
              FIELD(nopt_hyperparams, beta1), FIELD(nopt_hyperparams, beta2), FIELD(nopt_hyperparams, eps),
              FIELD(nopt_hyperparams, weight_decay), FIELD(nopt_hyperparams, momentum),
              FIELD(nopt_hyperparams, switching_rate), FIELD(nopt_hyperparams, rounding_seed)});
    describe(text, "nopt_rule_info", sizeof(nopt_rule_info),
             {FIELD(nopt_rule_info, struct_size), FIELD(nopt_rule_info, flags), FIELD(nopt_rule_info, hyperparams),
              FIELD(nopt_rule_info, reserved), FIELD(nopt_rule_info, name)});
    describe(text, "nopt_step_state", sizeof(nopt_step_state),
             {FIELD(nopt_step_state, struct_size), FIELD(nopt_step_state, reserved), FIELD(nopt_step_state, step),
              FIELD(nopt_step_state, beta1_product), FIELD(nopt_step_state, beta2_product)});
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
              FIELD(nopt_dimer_status, angle)});
    return text;
}

}  // namespace

extern "C" const char* nopt_abi_layout(void) {
    static const std::string text = layout();
    return text.c_str();
}
