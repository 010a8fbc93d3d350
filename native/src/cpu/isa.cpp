#include "cpu/isa.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#endif

#include <atomic>

#include "backend/error.h"

namespace nopt {

#define NOPT_CPU_ISA(id, name)                    \
    extern const CpuKernels cpu_kernels_##id;     \
    extern const MixedKernels mixed_kernels_##id; \
    extern const DimerKernels dimer_kernels_##id; \
    extern const ConvertKernels convert_kernels_##id;
#include "cpu/isas.def"
#undef NOPT_CPU_ISA

namespace {

// By feature, not by level name: GCC before 12 and many Clangs do not know __builtin_cpu_supports("x86-64-v3"). The
// checks include the operating system's support of the wide registers.
[[maybe_unused]] bool supports_baseline() { return true; }

#if defined(__x86_64__)
// By CPUID, as compilers before GCC 11 do not know the name. (The wide registers are the operating system's part, which
// the other checks ask for.)
bool supports_f16c() {
    unsigned int a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

[[maybe_unused]] bool supports_x86_64_v3() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt") && supports_f16c();
}

[[maybe_unused]] bool supports_x86_64_v4() {
    return supports_x86_64_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#endif

const CpuIsa kIsas[] = {
#define NOPT_CPU_ISA(id, name) \
    {name, &supports_##id, &cpu_kernels_##id, &mixed_kernels_##id, &dimer_kernels_##id, &convert_kernels_##id},
#include "cpu/isas.def"
#undef NOPT_CPU_ISA
};

constexpr int kIsaCount = static_cast<int>(sizeof kIsas / sizeof kIsas[0]);

std::atomic<const CpuIsa*> selected{nullptr};

const CpuIsa& named_isa(const char* name, const char* source) {
    for (const CpuIsa& isa : kIsas) {
        if (strcmp(isa.name, name) == 0) {
            if (!isa.supported()) {
                throw Error(NOPT_ERROR_UNAVAILABLE, "%s is \"%s\", which this processor does not support", source,
                            name);
            }
            return isa;
        }
    }
    char known[128] = "";
    for (const CpuIsa& isa : kIsas) {
        const size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used == 0 ? "" : ", ", isa.name);
    }
    throw Error(NOPT_ERROR_INVALID_ARGUMENT, "%s is \"%.64s\"; compiled in are %s", source, name, known);
}

const CpuIsa& initial_isa() {
    const char* forced = getenv("NATIVEOPT_CPU_ISA");
    if (forced != nullptr && forced[0] != '\0') {
        return named_isa(forced, "the environment variable NATIVEOPT_CPU_ISA");
    }
    int widest = 0;
    for (int i = 1; i < kIsaCount; ++i) {
        if (kIsas[i].supported()) {
            widest = i;
        }
    }
    return kIsas[widest];
}

}  // namespace

int cpu_isa_count() { return kIsaCount; }

const CpuIsa& cpu_isa_at(int index) { return kIsas[index]; }

const CpuIsa& selected_cpu_isa() {
    const CpuIsa* isa = selected.load(std::memory_order_relaxed);
    if (isa == nullptr) {
        isa = &initial_isa();
        selected.store(isa, std::memory_order_relaxed);
    }
    return *isa;
}

void select_cpu_isa(const char* name) { selected.store(&named_isa(name, "name"), std::memory_order_relaxed); }

}  // namespace nopt
