// What is wrong with a program.
#pragma once

#include <stdint.h>

#include <map>
#include <string>

namespace ptx {

struct Thread;
struct Instruction;

// Notes it, and prints it the first time that it happens at an instruction.
void report(const Thread& thread, const Instruction& instruction, const char* what, uint64_t address = 0);

// How often, by place.
const std::map<std::string, uint64_t>& reports();

}  // namespace ptx
