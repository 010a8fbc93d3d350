// The instruction sets that the CPU kernels were compiled for, and which one steps use.
#pragma once

#include "cpu/convert_kernels.h"
#include "cpu/dimer_kernels.h"
#include "cpu/kernels.h"
#include "cpu/mixed_kernels.h"

namespace nopt {

struct CpuIsa {
    const char* name;
    bool (*supported)();
    const CpuKernels* kernels;
    const MixedKernels* mixed;
    const DimerKernels* dimer;
    const ConvertKernels* convert;
};

int cpu_isa_count();
const CpuIsa& cpu_isa_at(int index);

// The widest that the processor supports, the one of NATIVEOPT_CPU_ISA, or the one selected last. Throws if the
// environment variable names none that can run here.
const CpuIsa& selected_cpu_isa();
void select_cpu_isa(const char* name);

}  // namespace nopt
