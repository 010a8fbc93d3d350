// What is wrong with a program, and what was run of it.
#pragma once

#include <stdint.h>

#include <string>
#include <vector>

namespace ptx {

struct Thread;
struct Instruction;

// Notes it, and prints it the first time that it happens at an instruction.
void report(const Thread& thread, const Instruction& instruction, const char* what, uint64_t address = 0);

// Of the process so far. Exported, for the tests' program.
struct Summary {
    std::vector<std::string> kernels_not_run;
    size_t kernels = 0;
    uint64_t launches = 0;
    uint64_t instructions = 0;  // of all threads
    uint64_t reports = 0;
    size_t places = 0;  // that they are about
};
Summary summary();

}  // namespace ptx
