// What the library says of its rules, roles and element types.
#include <ctype.h>
#include <math.h>

#include <map>
#include <set>

#include "support/header.h"
#include "support/model.h"
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

bool is_text(const char* text) { return text != nullptr && strlen(text) > 0 && strchr(text, '\n') == nullptr; }

// A name that files, options and programs can use.
bool is_name(const char* name) {
    return is_text(name) && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name) && isalpha(name[0]);
}

template <class Info>
void expect_named(const std::string& rule, const std::vector<Info>& infos) {
    std::set<std::string> names;
    for (const Info& info : infos) {
        EXPECT_EQ(sizeof info, info.struct_size) << rule;
        EXPECT_TRUE(is_name(info.name)) << rule << " " << info.name;
        EXPECT_TRUE(is_text(info.meaning)) << rule << " " << info.name;
        EXPECT_TRUE(names.insert(info.name).second) << rule << " has two " << info.name;
    }
}

// NOPT_DTYPE_FLOAT32 for "float32".
std::string constant_of(const char* prefix, const char* name) {
    std::string constant = prefix;
    for (const char* c = name; *c != 0; ++c) {
        constant += static_cast<char>(toupper(*c));
    }
    return constant;
}

bool is_one_bit(uint32_t mask) { return mask != 0 && (mask & (mask - 1)) == 0; }

// ---- rules ----

TEST(Descriptions, EveryRuleIsDescribedInFull) {
    std::set<std::string> names;
    for (const std::string& rule : all_rules()) {
        const RuleDescription& d = describe(rule);
        EXPECT_TRUE(is_name(d.info.name));
        EXPECT_TRUE(is_text(d.info.source)) << rule;
        EXPECT_TRUE(is_text(d.info.equations)) << rule;
        EXPECT_TRUE(names.insert(rule).second) << "two rules are called " << rule;
        expect_named(rule, d.hyperparams);
        expect_named(rule, d.flags);
        expect_named(rule, d.states);
        expect_named(rule, d.inputs);
        expect_named(rule, d.running);
    }
    EXPECT_EQ(static_cast<size_t>(nopt_rule_count()), names.size());
}

// The tests of the rules go by the references: each rule has one, and each is of a rule.
TEST(Descriptions, RulesAndReferencesAreTheSame) {
    std::multiset<std::string> of_references;
    for (const Reference& one : references()) {
        of_references.insert(one.rule);
    }
    const std::vector<std::string> rules = all_rules();
    EXPECT_EQ(std::multiset<std::string>(rules.begin(), rules.end()), of_references);
    for (const Reference& one : references()) {
        for (const TestValue& test : one.values) {
            EXPECT_TRUE(has_hyperparam(one.rule, test.name)) << one.rule << " " << test.name;
            EXPECT_TRUE(test.flag == nullptr || has_flag(one.rule, test.flag)) << one.rule << " " << test.flag;
        }
    }
}

TEST(Descriptions, HyperparametersHaveTheirPlacesAndRanges) {
    for (const std::string& rule : all_rules()) {
        const RuleDescription& d = describe(rule);
        ASSERT_GE(d.hyperparams.size(), 2u);
        ASSERT_LE(d.hyperparams.size(), static_cast<size_t>(NOPT_MAX_HYPERPARAMS));
        EXPECT_STREQ("lr", d.hyperparams[NOPT_HYPERPARAM_LR].name);
        EXPECT_STREQ("weight_decay", d.hyperparams[NOPT_HYPERPARAM_WEIGHT_DECAY].name);
        const nopt_hyperparams h = defaults(rule);
        for (int i = 0; i < NOPT_MAX_HYPERPARAMS; ++i) {
            if (i >= d.info.hyperparam_count) {
                EXPECT_EQ(0.0, h.values[i]) << rule;
                continue;
            }
            const nopt_hyperparam_info& info = d.hyperparams[static_cast<size_t>(i)];
            EXPECT_EQ(i, info.index);
            EXPECT_EQ(info.default_value, h.values[i]) << rule << " " << info.name;
            EXPECT_TRUE(isfinite(info.min) && isfinite(info.max) && info.min <= info.max) << rule << info.name;
            EXPECT_GE(info.default_value, info.min) << rule << " " << info.name;
            EXPECT_TRUE(info.max_is_excluded != 0 ? info.default_value < info.max : info.default_value <= info.max);
            EXPECT_TRUE(info.is_integer == 0 || floor(info.default_value) == info.default_value);
            bool selects = false;
            for (const nopt_state_info& state : d.states) {
                selects = selects || state.needed_hyperparam == i;
            }
            EXPECT_EQ(selects ? 1 : 0, info.selects_states) << rule << " " << info.name;
        }
        EXPECT_EQ(0u, h.rounding_seed);
        EXPECT_EQ(0u, h.flags & ~d.info.flags);
    }
}

TEST(Descriptions, FlagsAreTheBitsThatTheRuleKnows) {
    for (const std::string& rule : all_rules()) {
        const RuleDescription& d = describe(rule);
        const std::map<std::string, int> common = enum_of_header("nopt_flag");
        uint32_t all = 0;
        for (const nopt_flag_info& info : d.flags) {
            EXPECT_TRUE(is_one_bit(info.flag)) << rule << " " << info.name;
            EXPECT_EQ(0u, all & info.flag) << rule << " " << info.name;
            all |= info.flag;
            EXPECT_GE(info.needed_hyperparam, -1);
            EXPECT_LT(info.needed_hyperparam, d.info.hyperparam_count);
            bool selects = false;
            for (const nopt_state_info& state : d.states) {
                selects = selects || (state.needed_flag & info.flag) != 0;
            }
            EXPECT_EQ(selects ? 1 : 0, info.selects_states) << rule << " " << info.name;
            // The common ones are called as the header has them, and the rule's own come after them.
            const std::string constant = constant_of("NOPT_FLAG_", info.name);
            if (info.flag < NOPT_FLAG_RULE) {
                ASSERT_EQ(1u, common.count(constant)) << rule << " " << info.name;
                EXPECT_EQ(common.at(constant), static_cast<int>(info.flag)) << rule << " " << info.name;
            } else {
                EXPECT_EQ(0u, common.count(constant)) << rule << " " << info.name;
            }
        }
        EXPECT_EQ(all, d.info.flags) << rule;
        EXPECT_TRUE(has_flag(rule, "stochastic_rounding")) << rule;
        EXPECT_TRUE(has_flag(rule, "stochastic_rounding_states")) << rule;
    }
}

TEST(Descriptions, StatesInputsAndRunningScalarsHaveTheirPlaces) {
    for (const std::string& rule : all_rules()) {
        const RuleDescription& d = describe(rule);
        ASSERT_LE(d.states.size(), static_cast<size_t>(NOPT_MAX_STATES));
        ASSERT_LE(d.inputs.size(), static_cast<size_t>(NOPT_MAX_INPUTS));
        ASSERT_LE(d.running.size(), static_cast<size_t>(NOPT_MAX_RUNNING));
        for (size_t i = 0; i < d.states.size(); ++i) {
            const nopt_state_info& info = d.states[i];
            EXPECT_EQ(NOPT_ROLE_STATE + static_cast<int>(i), info.role);
            EXPECT_NE(0u, info.dtypes >> NOPT_DTYPE_FLOAT32 & 1u) << rule << " " << info.name;
            EXPECT_EQ(info.dtypes >> NOPT_DTYPE_BFLOAT16 & 1u, info.dtypes >> NOPT_DTYPE_FLOAT16 & 1u) << info.name;
            EXPECT_EQ(0u, info.needed_flag & ~d.info.flags);
            EXPECT_TRUE(info.needed_flag == 0 || is_one_bit(info.needed_flag));
            EXPECT_LT(info.needed_hyperparam, d.info.hyperparam_count);
            EXPECT_LT(info.initial_hyperparam, d.info.hyperparam_count);
            EXPECT_GE(info.needed_hyperparam, -1);
            EXPECT_GE(info.initial_hyperparam, -1);
            EXPECT_TRUE(isfinite(info.initial_value) && isfinite(info.needed_above));
        }
        for (size_t i = 0; i < d.inputs.size(); ++i) {
            EXPECT_EQ(NOPT_ROLE_INPUT + static_cast<int>(i), d.inputs[i].role);
        }
        for (size_t i = 0; i < d.running.size(); ++i) {
            EXPECT_EQ(static_cast<int>(i), d.running[i].index);
        }
    }
}

// As many of each as the rule says, and not one more.
TEST(Descriptions, IndicesAndNamesAreChecked) {
    const auto check = [](const std::string& rule, int32_t count, const char* what, auto get, auto info) {
        info.struct_size = sizeof info;
        const auto before = info;
        for (const int32_t index : {-1, count, INT32_MAX}) {
            EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, get(rule.c_str(), index, &info)) << rule << " " << what;
            const std::string expected = "index is " + std::to_string(index) + "; rule \"" + rule + "\" has " +
                                         std::to_string(count) + " " + what;
            EXPECT_EQ(expected, nopt_last_error_message());
        }
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, get("adagradx", 0, &info));
        EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "rule is \"adagradx\"; the rules are "));
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, get(nullptr, 0, &info));
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, get(rule.c_str(), 0, nullptr));
        EXPECT_EQ(0, memcmp(&before, &info, sizeof info)) << rule << " " << what;
        info.struct_size -= 8;
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, get(rule.c_str(), 0, &info));
    };
    for (const std::string& rule : all_rules()) {
        const nopt_rule_info& info = describe(rule).info;
        check(rule, info.hyperparam_count, "hyperparameters", nopt_rule_get_hyperparam, nopt_hyperparam_info{});
        check(rule, info.flag_count, "flags", nopt_rule_get_flag, nopt_flag_info{});
        check(rule, info.state_count, "states", nopt_rule_get_state, nopt_state_info{});
        check(rule, info.input_count, "inputs", nopt_rule_get_input, nopt_input_info{});
        check(rule, info.running_count, "running scalars", nopt_rule_get_running, nopt_running_info{});
    }
    nopt_rule_info info = {};
    info.struct_size = sizeof info;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_rule_get_info(-1, &info));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_rule_get_info(nopt_rule_count(), &info));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_rule_get_info(0, nullptr));
    info.struct_size = 8;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_rule_get_info(0, &info));
}

TEST(Descriptions, LargerStructsAreClearedPastWhatIsKnown) {
    struct Newer {
        nopt_state_info base;
        double later;
    } newer = {};
    newer.base.struct_size = sizeof newer;
    newer.later = 5.0;
    NOPT_ASSERT_OK(nopt_rule_get_state("adam", 0, &newer.base));
    EXPECT_EQ(sizeof newer, newer.base.struct_size);
    EXPECT_STREQ("exp_avg", newer.base.name);
    EXPECT_EQ(0.0, newer.later);
}

// ---- setting by name ----

TEST(ByName, EveryHyperparameterAndFlagCanBeSet) {
    for (const std::string& rule : all_rules()) {
        nopt_hyperparams h = defaults(rule);
        h.rounding_seed = 5;
        for (const nopt_hyperparam_info& info : describe(rule).hyperparams) {
            nopt_hyperparams expected = h;
            expected.values[info.index] = info.min;
            NOPT_EXPECT_OK(nopt_hyperparams_set(rule.c_str(), &h, info.name, info.min));
            EXPECT_EQ(0, memcmp(&expected, &h, sizeof h)) << rule << " " << info.name;
        }
        for (const nopt_flag_info& info : describe(rule).flags) {
            for (const int32_t on : {1, 1, 0, 0}) {
                nopt_hyperparams expected = h;
                expected.flags = on != 0 ? h.flags | info.flag : h.flags & ~info.flag;
                NOPT_EXPECT_OK(nopt_hyperparams_set_flag(rule.c_str(), &h, info.name, on));
                EXPECT_EQ(0, memcmp(&expected, &h, sizeof h)) << rule << " " << info.name;
            }
        }
    }
}

TEST(ByName, WhatIsOutOfRangeOrUnknownChangesNothing) {
    for (const std::string& rule : all_rules()) {
        nopt_hyperparams h = defaults(rule);
        const nopt_hyperparams before = h;
        const double infinity = static_cast<double>(INFINITY);
        for (const nopt_hyperparam_info& info : describe(rule).hyperparams) {
            for (const double bad : {nextafter(info.min, -infinity), static_cast<double>(NAN), infinity, -infinity,
                                     info.max_is_excluded != 0 ? info.max : nextafter(info.max, infinity)}) {
                EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_hyperparams_set(rule.c_str(), &h, info.name, bad))
                    << rule << " " << info.name << " " << bad;
                EXPECT_EQ(nopt_last_error_message(), strstr(nopt_last_error_message(), info.name));
            }
        }
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_hyperparams_set(rule.c_str(), &h, "learning_rate", 0.1));
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_hyperparams_set(rule.c_str(), &h, "", 0.1));
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_hyperparams_set(rule.c_str(), &h, nullptr, 0.1));
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_hyperparams_set("adamx", &h, "lr", 0.1));
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_hyperparams_set(nullptr, &h, "lr", 0.1));
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_hyperparams_set(rule.c_str(), nullptr, "lr", 0.1));
        EXPECT_NE(NOPT_OK, nopt_hyperparams_set_flag(rule.c_str(), &h, "amsgradx", 1));
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_hyperparams_set_flag(rule.c_str(), &h, nullptr, 1));
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_hyperparams_set_flag(rule.c_str(), &h, "stochastic_rounding", 2));
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_hyperparams_set_flag("adamx", &h, "stochastic_rounding", 1));
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT,
                  nopt_hyperparams_set_flag(rule.c_str(), nullptr, "stochastic_rounding", 1));
        EXPECT_EQ(0, memcmp(&before, &h, sizeof h)) << rule;
        h.struct_size = sizeof h - 8;
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_hyperparams_set(rule.c_str(), &h, "lr", 0.1));
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_hyperparams_set_flag(rule.c_str(), &h, "stochastic_rounding", 1));
    }
}

TEST(ByName, ErrorsSayWhatThereIs) {
    nopt_hyperparams h = defaults("sgd");
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_hyperparams_set("sgd", &h, "beta1", 0.5));
    EXPECT_STREQ("rule \"sgd\" has no hyperparameter \"beta1\"; it has lr, weight_decay, momentum, dampening",
                 nopt_last_error_message());
    EXPECT_NE(NOPT_OK, nopt_hyperparams_set_flag("sgd", &h, "amsgrad", 1));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "rule \"sgd\" has no flag \"amsgrad\"; it has "))
        << nopt_last_error_message();
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "nesterov")) << nopt_last_error_message();
}

// ---- roles ----

TEST(Descriptions, EveryRoleIsDescribedOnce) {
    std::set<int32_t> values;
    std::set<std::string> names;
    for (int32_t i = 0; i < nopt_role_count(); ++i) {
        nopt_role_info info = {};
        info.struct_size = sizeof info;
        NOPT_ASSERT_OK(nopt_role_get_info(i, &info));
        EXPECT_EQ(sizeof info, info.struct_size);
        EXPECT_TRUE(is_name(info.name)) << i;
        EXPECT_TRUE(is_text(info.meaning)) << info.name;
        const std::map<std::string, int> roles = enum_of_header("nopt_role");
        ASSERT_EQ(1u, roles.count(constant_of("NOPT_ROLE_", info.name))) << info.name;
        EXPECT_EQ(roles.at(constant_of("NOPT_ROLE_", info.name)), info.role) << info.name;
        EXPECT_TRUE(values.insert(info.role).second) << info.name;
        EXPECT_TRUE(names.insert(info.name).second) << info.name;
        EXPECT_GE(info.role, 0);
        EXPECT_LT(info.role, static_cast<int32_t>(NOPT_ROLE_STATE)) << info.name;
        EXPECT_NE(0u, info.dtypes) << info.name;
        // What is only read may be shared, and is a gradient of the host's.
        EXPECT_EQ(info.is_written == 0, strcmp(info.name, "grad") == 0 || strcmp(info.name, "grad_displaced") == 0)
            << info.name;
    }
    // Those of the header, but for states and inputs, and no others.
    std::set<int32_t> declared;
    for (const auto& one : enum_of_header("nopt_role")) {
        if (one.second != NOPT_ROLE_STATE && one.second != NOPT_ROLE_INPUT) {
            declared.insert(one.second);
        }
    }
    EXPECT_FALSE(declared.empty());
    EXPECT_EQ(declared, values);
    Model model("adam", {1});
    for (int role = 0; role < 32; ++role) {
        const bool is_state = role >= NOPT_ROLE_STATE && role < NOPT_ROLE_STATE + NOPT_MAX_STATES;
        const bool is_input = role >= NOPT_ROLE_INPUT && role < NOPT_ROLE_INPUT + NOPT_MAX_INPUTS;
        const bool exists = values.count(role) != 0 || is_state || is_input;
        EXPECT_EQ(exists ? NOPT_OK : NOPT_ERROR_INVALID_ARGUMENT,
                  nopt_param_set_bind(model.set, static_cast<nopt_role>(role), 1, nullptr))
            << role;
    }
    nopt_role_info info = {};
    info.struct_size = sizeof info;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_role_get_info(-1, &info));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_role_get_info(nopt_role_count(), &info));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_role_get_info(0, nullptr));
    info.struct_size = 8;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_role_get_info(0, &info));
}

TEST(Descriptions, RolesAreWhatTheHeaderSays) {
    std::map<std::string, nopt_role_info> by_name;
    for (int32_t i = 0; i < nopt_role_count(); ++i) {
        nopt_role_info info = {};
        info.struct_size = sizeof info;
        NOPT_ASSERT_OK(nopt_role_get_info(i, &info));
        by_name[info.name] = info;
    }
    EXPECT_EQ(NOPT_ROLE_PARAM, by_name["param"].role);
    EXPECT_EQ(1, by_name["param"].is_written);
    EXPECT_EQ(0, by_name["param"].may_be_null);
    EXPECT_EQ(NOPT_ROLE_GRAD, by_name["grad"].role);
    EXPECT_EQ(0, by_name["grad"].is_written);
    EXPECT_EQ(1, by_name["grad"].may_be_null);
    EXPECT_EQ(0, by_name["grad"].is_of_dimer);
    EXPECT_EQ(NOPT_ROLE_DIRECTION, by_name["direction"].role);
    EXPECT_EQ(1, by_name["direction"].is_of_dimer);
    EXPECT_EQ(1u << NOPT_DTYPE_FLOAT32, by_name["direction"].dtypes);
    EXPECT_EQ(1u << NOPT_DTYPE_FLOAT32 | 1u << NOPT_DTYPE_BFLOAT16 | 1u << NOPT_DTYPE_FLOAT16, by_name["param"].dtypes);
}

// ---- element types ----

TEST(Descriptions, EveryElementTypeIsDescribedOnce) {
    std::set<int32_t> values;
    std::set<std::string> names;
    const std::map<std::string, int> declared = enum_of_header("nopt_dtype");
    EXPECT_EQ(declared.size(), static_cast<size_t>(nopt_dtype_count()));
    for (int32_t i = 0; i < nopt_dtype_count(); ++i) {
        nopt_dtype_info info = {};
        info.struct_size = sizeof info;
        NOPT_ASSERT_OK(nopt_dtype_get_info(i, &info));
        EXPECT_EQ(sizeof info, info.struct_size);
        EXPECT_TRUE(is_name(info.name)) << i;
        ASSERT_EQ(1u, declared.count(constant_of("NOPT_DTYPE_", info.name))) << info.name;
        EXPECT_EQ(declared.at(constant_of("NOPT_DTYPE_", info.name)), info.dtype) << info.name;
        EXPECT_TRUE(values.insert(info.dtype).second) << info.name;
        EXPECT_TRUE(names.insert(info.name).second) << info.name;
        ASSERT_GE(info.block_elements, 1);
        EXPECT_EQ(info.block_elements > 1, info.block_extra_bytes > 0) << info.name;
        const int64_t sizes[] = {0, 1, 7, info.block_elements, info.block_elements + 1, 1000, 1 << 20};
        for (const int64_t count : sizes) {
            int64_t bytes = -1;
            NOPT_ASSERT_OK(nopt_dtype_get_bytes(static_cast<nopt_dtype>(info.dtype), count, &bytes));
            const int64_t blocks = (count + info.block_elements - 1) / info.block_elements;
            EXPECT_EQ(count * info.element_bytes + blocks * info.block_extra_bytes, bytes) << info.name << " " << count;
        }
        // Buffers must be aligned as it says.
        const nopt_dtype type = static_cast<nopt_dtype>(info.dtype);
        const nopt_role role = info.dtype == NOPT_DTYPE_FLOAT16 ? NOPT_ROLE_GRAD : NOPT_ROLE_STATE;
        const int64_t one = 1;
        nopt_param_set* set = nullptr;
        NOPT_ASSERT_OK(nopt_param_set_create(NOPT_BACKEND_CPU, 0, 1, &one, nullptr, &set));
        NOPT_EXPECT_OK(nopt_param_set_set_dtypes(set, role, 1, &type));
        alignas(64) char memory[64] = {};
        for (int offset = 0; offset < 16; ++offset) {
            void* const pointer = memory + offset;
            EXPECT_EQ(offset % info.alignment == 0 ? NOPT_OK : NOPT_ERROR_INVALID_ARGUMENT,
                      nopt_param_set_bind(set, role, 1, &pointer))
                << info.name << " " << offset;
        }
        NOPT_EXPECT_OK(nopt_param_set_destroy(set));
    }
    // No value has bytes that the table does not describe.
    for (int value = -1; value < 40; ++value) {
        int64_t bytes = 0;
        EXPECT_EQ(values.count(value) != 0 ? NOPT_OK : NOPT_ERROR_INVALID_ARGUMENT,
                  nopt_dtype_get_bytes(static_cast<nopt_dtype>(value), 1, &bytes))
            << value;
    }
    nopt_dtype_info info = {};
    info.struct_size = sizeof info;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_dtype_get_info(-1, &info));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_dtype_get_info(nopt_dtype_count(), &info));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_dtype_get_info(0, nullptr));
    info.struct_size = 8;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_dtype_get_info(0, &info));
}

// ---- states ----

// What a rule does not allow for a state is refused at the step, and what it allows is not.
TEST(Descriptions, StatesHaveTheTypesThatTheRuleAllows) {
    for (const std::string& rule : all_rules()) {
        for (const nopt_state_info& info : describe(rule).states) {
            for (const nopt_dtype type :
                 {NOPT_DTYPE_FLOAT32, NOPT_DTYPE_BFLOAT16, NOPT_DTYPE_FLOAT16, NOPT_DTYPE_DYNAMIC8}) {
                nopt_hyperparams h = test_hyperparams(rule);
                h.flags = info.needed_flag;
                if (info.needed_hyperparam >= 0) {
                    h.values[info.needed_hyperparam] = fmax(h.values[info.needed_hyperparam], info.needed_above + 0.5);
                }
                Model model(rule, {3});
                const nopt_role role = static_cast<nopt_role>(info.role);
                model.unbind(role);
                NOPT_ASSERT_OK(nopt_param_set_set_dtypes(model.set, role, 1, &type));
                alignas(64) char memory[64] = {};
                void* const pointer = memory;
                NOPT_ASSERT_OK(nopt_param_set_bind(model.set, role, 1, &pointer));
                const bool allowed = (info.dtypes >> type & 1u) != 0;
                EXPECT_EQ(allowed ? NOPT_OK : NOPT_ERROR_UNSUPPORTED, model.step(h)) << rule << info.name << type;
                EXPECT_EQ(allowed ? 1 : 0, model.state().step);
            }
        }
    }
}

}  // namespace
}  // namespace nopt_test
