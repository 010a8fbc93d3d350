// Versions, layouts, devices, and the rules of the ABI that every struct follows.
#include <cstddef>
#include <map>
#include <sstream>

#include "support/header.h"
#include "support/model.h"

namespace nopt_test {
namespace {

TEST(Abi, VersionsAreThoseOfTheHeader) {
    EXPECT_EQ(static_cast<uint32_t>(NOPT_ABI_VERSION), nopt_abi_version());
    EXPECT_STREQ("0.1.0", nopt_version());
    EXPECT_NE(nullptr, strstr(nopt_build_info(), "cpu: baseline"));
}

// The report has every byte of every struct: a field that it forgot would leave a gap.
TEST(Abi, LayoutReportCoversEveryStruct) {
    const std::map<std::string, size_t> expected = {
        {"nopt_device_info", sizeof(nopt_device_info)},         {"nopt_cpu_isa_info", sizeof(nopt_cpu_isa_info)},
        {"nopt_dtype_info", sizeof(nopt_dtype_info)},           {"nopt_role_info", sizeof(nopt_role_info)},
        {"nopt_hyperparams", sizeof(nopt_hyperparams)},         {"nopt_rule_info", sizeof(nopt_rule_info)},
        {"nopt_hyperparam_info", sizeof(nopt_hyperparam_info)}, {"nopt_flag_info", sizeof(nopt_flag_info)},
        {"nopt_state_info", sizeof(nopt_state_info)},           {"nopt_input_info", sizeof(nopt_input_info)},
        {"nopt_running_info", sizeof(nopt_running_info)},       {"nopt_step_state", sizeof(nopt_step_state)},
        {"nopt_grad_options", sizeof(nopt_grad_options)},       {"nopt_grad_status", sizeof(nopt_grad_status)},
        {"nopt_dimer_options", sizeof(nopt_dimer_options)},     {"nopt_dimer_status", sizeof(nopt_dimer_status)}};
    std::istringstream report(nopt_abi_layout());
    std::map<std::string, size_t> got;
    std::string kind, name, current;
    size_t end = 0;
    while (report >> kind >> name) {
        if (kind == "struct") {
            if (!current.empty()) {
                EXPECT_EQ(got[current], end) << current << " has bytes that no field covers";
            }
            current = name;
            report >> got[name];
            end = 0;
        } else {
            ASSERT_EQ("field", kind);
            size_t offset = 0, size = 0;
            report >> offset >> size;
            EXPECT_EQ(end, offset) << current << "." << name;
            end = offset + size;
        }
    }
    EXPECT_EQ(got[current], end) << current << " has bytes that no field covers";
    EXPECT_EQ(expected, got);
    std::set<std::string> names;
    for (const auto& one : got) {
        names.insert(one.first);
    }
    EXPECT_EQ(structs_of_header(), names);
    EXPECT_EQ(0u, offsetof(nopt_hyperparams, struct_size));
}

TEST(Abi, DevicesAreDescribed) {
    int32_t count = -1;
    NOPT_ASSERT_OK(nopt_device_count(NOPT_BACKEND_CPU, &count));
    EXPECT_EQ(1, count);
    nopt_device_info info = {};
    info.struct_size = sizeof info;
    NOPT_ASSERT_OK(nopt_device_get_info(NOPT_BACKEND_CPU, 0, &info));
    EXPECT_EQ(sizeof info, info.struct_size);
    EXPECT_GE(info.processor_count, 1);
    EXPECT_GT(info.memory_bytes, 0);
    EXPECT_EQ(0, strncmp(info.name, "CPU", 3));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_device_get_info(NOPT_BACKEND_CPU, 1, &info));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_device_get_info(static_cast<nopt_backend>(7), 0, &info));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_device_count(NOPT_BACKEND_CPU, nullptr));
    EXPECT_STREQ("count is null", nopt_last_error_message());
}

// Either there are CUDA devices, or the status and the text say why not.
TEST(Abi, CudaIsThereOrSaysWhyNot) {
    int32_t count = -1;
    const nopt_status status = nopt_device_count(NOPT_BACKEND_CUDA, &count);
    if (status == NOPT_OK) {
        EXPECT_GE(count, 1);
    } else {
        EXPECT_EQ(NOPT_ERROR_UNAVAILABLE, status);
        EXPECT_EQ(0, count);
        EXPECT_GT(strlen(nopt_last_error_message()), 20u);
        void* memory = nullptr;
        EXPECT_EQ(NOPT_ERROR_UNAVAILABLE, nopt_memory_alloc(NOPT_BACKEND_CUDA, 0, 16, &memory));
    }
}

TEST(Abi, StructSizeIsChecked) {
    Model model("adam", {4});
    model.new_gradients();
    const std::vector<float> before = model.all_values();
    nopt_hyperparams h = defaults("adam");
    h.struct_size = 112 - 8;  // less than it had at first
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, model.step(h));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "struct_size"));

    // A caller of a newer version: zero in the fields that we do not know is no request, anything else is one.
    struct Newer {
        nopt_hyperparams base;
        double later;
    } newer = {defaults("adam"), 0.5};
    newer.base.struct_size = sizeof newer;
    EXPECT_EQ(NOPT_ERROR_UNSUPPORTED, nopt_optimizer_step(model.optimizer, &newer.base, nullptr));
    EXPECT_TRUE(same_bits(before, model.all_values()));
    newer.later = 0.0;
    EXPECT_EQ(NOPT_OK, nopt_optimizer_step(model.optimizer, &newer.base, nullptr));

    // Outputs keep the caller's size and clear what they do not know.
    newer.later = 1.0;
    NOPT_ASSERT_OK(nopt_rule_get_defaults("adam", &newer.base));
    EXPECT_EQ(sizeof newer, newer.base.struct_size);
    EXPECT_EQ(0.0, newer.later);
}

TEST(Abi, DefaultsAreTorchsAndThePapers) {
    for (const char* rule : {"adam", "invadam", "dualadam"}) {
        const nopt_hyperparams h = defaults(rule);
        EXPECT_EQ(1e-3, lr(h));
        EXPECT_EQ(0.9, value(h, rule, "beta1"));
        EXPECT_EQ(0.999, value(h, rule, "beta2"));
        EXPECT_EQ(1e-8, value(h, rule, "eps"));
        EXPECT_EQ(0.0, weight_decay(h));
        EXPECT_EQ(0u, h.flags);
    }
    EXPECT_EQ(8e-5, value(defaults("dualadam"), "dualadam", "switching_rate"));
    EXPECT_EQ(1e-3, lr(defaults("sgd")));
    EXPECT_EQ(0.0, value(defaults("sgd"), "sgd", "momentum"));
    nopt_hyperparams h = {};
    h.struct_size = sizeof h;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_rule_get_defaults("adamx", &h));
    std::string expected = "rule is \"adamx\"; the rules are ";
    for (const std::string& rule : all_rules()) {
        expected += (rule == all_rules().front() ? "" : ", ") + rule;
    }
    EXPECT_EQ(expected, nopt_last_error_message());
}

TEST(Abi, InstructionSetsAndThreadsAreChecked) {
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_cpu_set_isa("mmx"));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "baseline"));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_cpu_set_isa(nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_cpu_set_num_threads(0));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_cpu_set_num_threads(1025));
    nopt_cpu_isa_info info = {};
    info.struct_size = sizeof info;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_cpu_isa_get_info(-1, &info));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_cpu_isa_get_info(nopt_cpu_isa_count(), &info));

    int selected = 0;
    for (int32_t i = 0; i < nopt_cpu_isa_count(); ++i) {
        NOPT_ASSERT_OK(nopt_cpu_isa_get_info(i, &info));
        selected += info.selected;
        EXPECT_TRUE(info.supported || !info.selected);
    }
    EXPECT_EQ(1, selected);
}

}  // namespace
}  // namespace nopt_test
