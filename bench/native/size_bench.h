// Steps of one tensor over its sizes, each rule, alignment, instruction set and number of threads.
#pragma once

#include <stdint.h>

#include <string>

// The instruction set and the bound on threads of the CPU backend, which are those of the whole process.
struct CpuSettings {
    static CpuSettings now();
    void use() const;

    std::string isa;
    int32_t threads;
};

// Registers all of them, or Adam alone in float32 with the settings as they are.
void register_sizes(bool all);
