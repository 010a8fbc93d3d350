#include "support/model.h"

namespace nopt_test {

std::vector<Case> all_cases() {
    std::vector<Case> cases;
    for (int32_t index = 0; index < nopt_rule_count(); ++index) {
        nopt_rule_info info = {};
        info.struct_size = sizeof info;
        EXPECT_EQ(NOPT_OK, nopt_rule_get_info(index, &info));
        const bool has_momentum = (info.hyperparams & NOPT_HYPERPARAM_MOMENTUM) != 0;
        for (int decay = 0; decay < 2; ++decay) {
            for (int momentum = 0; momentum < (has_momentum ? 2 : 1); ++momentum) {
                for (uint32_t flags = 0; flags < 32; ++flags) {
                    if ((flags & ~info.flags) != 0 || (decay == 0 && (flags & NOPT_FLAG_DECOUPLED_WEIGHT_DECAY) != 0) ||
                        (momentum == 0 && (flags & NOPT_FLAG_NESTEROV) != 0)) {
                        continue;
                    }
                    nopt_hyperparams h = defaults(info.name);
                    h.flags = flags;
                    h.lr = 0.01;
                    h.weight_decay = decay == 0 ? 0.0 : 0.05;
                    h.momentum = momentum == 0 ? 0.0 : 0.9;
                    if ((info.hyperparams & NOPT_HYPERPARAM_SWITCHING_RATE) != 0) {
                        h.switching_rate = 0.04;  // turns into Adam within the tests' steps
                    }
                    if ((flags & NOPT_FLAG_INVERSE_EPSILON) != 0) {
                        h.eps = 1e-3;  // large enough to be seen
                    }
                    std::string name = info.name;
                    name += decay == 0 ? "" : (flags & NOPT_FLAG_DECOUPLED_WEIGHT_DECAY) != 0 ? "_decoupled" : "_l2";
                    name += momentum == 0 ? "" : "_momentum";
                    name += (flags & NOPT_FLAG_AMSGRAD) != 0 ? "_amsgrad" : "";
                    name += (flags & NOPT_FLAG_MAXIMIZE) != 0 ? "_maximize" : "";
                    name += (flags & NOPT_FLAG_NESTEROV) != 0 ? "_nesterov" : "";
                    name += (flags & NOPT_FLAG_INVERSE_EPSILON) != 0 ? "_inverse_eps" : "";
                    cases.push_back({name, info.name, h});
                }
            }
        }
    }
    return cases;
}

std::vector<std::string> runnable_isas() {
    std::vector<std::string> names;
    for (int32_t i = 0; i < nopt_cpu_isa_count(); ++i) {
        nopt_cpu_isa_info info = {};
        info.struct_size = sizeof info;
        EXPECT_EQ(NOPT_OK, nopt_cpu_isa_get_info(i, &info));
        if (info.supported != 0) {
            names.push_back(info.name);
        }
    }
    return names;
}

}  // namespace nopt_test
