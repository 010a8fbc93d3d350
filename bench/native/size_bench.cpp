#include "size_bench.h"

#include <vector>

#include "step.h"

namespace {

// Powers of four, and one less than two of them, to show what the elements cost that fill no register.
constexpr int64_t kSizes[] = {1,    4,     16,    64,     255,     256,     1024,     4095,
                              4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864};

struct Case {
    Variant variant;
    Layout layout;
    int64_t size;
    CpuSettings settings;

    std::string name() const {
        return "size/" + variant.name + (layout.dtype == NOPT_DTYPE_BFLOAT16 ? "_bfloat16/" : "/") +
               std::to_string(size) + (layout.offset == 0 ? "/aligned/" : "/unaligned/") + settings.isa +
               "/threads:" + std::to_string(settings.threads);
    }

    void run(benchmark::State& state) const {
        const CpuSettings before = CpuSettings::now();
        settings.use();
        step(state, variant, {size}, layout);
        before.use();
    }
};

std::vector<nopt_cpu_isa_info> isas() {
    std::vector<nopt_cpu_isa_info> result(static_cast<size_t>(nopt_cpu_isa_count()));
    int32_t index = 0;
    for (nopt_cpu_isa_info& info : result) {
        info.struct_size = sizeof info;
        check(nopt_cpu_isa_get_info(index++, &info));
    }
    return result;
}

// Each instruction set that this processor has, with 1, 2, 4, ... threads up to as many as there are now.
std::vector<CpuSettings> all_settings() {
    const int32_t most = CpuSettings::now().threads;
    std::vector<CpuSettings> result;
    for (const nopt_cpu_isa_info& isa : isas()) {
        if (isa.supported == 0) {
            continue;
        }
        for (int32_t threads = 1; threads < most; threads *= 2) {
            result.push_back({isa.name, threads});
        }
        result.push_back({isa.name, most});
    }
    return result;
}

}  // namespace

CpuSettings CpuSettings::now() {
    CpuSettings result = {};
    for (const nopt_cpu_isa_info& isa : isas()) {
        if (isa.selected != 0) {
            result.isa = isa.name;
        }
    }
    check(nopt_cpu_get_num_threads(&result.threads));
    return result;
}

void CpuSettings::use() const {
    check(nopt_cpu_set_isa(isa.c_str()));
    check(nopt_cpu_set_num_threads(threads));
}

void register_sizes(bool all) {
    std::vector<Variant> variants = {plain("adam")};
    std::vector<nopt_dtype> dtypes = {NOPT_DTYPE_FLOAT32};
    std::vector<CpuSettings> settings = {CpuSettings::now()};
    if (all) {
        variants = all_variants();
        variants.push_back(adamw());
        dtypes.push_back(NOPT_DTYPE_BFLOAT16);
        settings = all_settings();
    }
    for (const Variant& variant : variants) {
        for (const nopt_dtype dtype : dtypes) {
            for (const int64_t size : kSizes) {
                for (const int64_t offset : {0, 4}) {
                    for (const CpuSettings& s : settings) {
                        const Case c = {variant, {dtype, offset}, size, s};
                        benchmark::RegisterBenchmark(c.name().c_str(), [c](benchmark::State& state) { c.run(state); })
                            ->UseRealTime()
                            ->Unit(benchmark::kNanosecond);
                    }
                }
            }
        }
    }
}
