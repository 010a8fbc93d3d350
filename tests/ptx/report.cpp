#include "report.h"

#include <inttypes.h>
#include <stdio.h>

#include "program.h"

namespace ptx {
namespace {

std::map<std::string, uint64_t>& counts() {
    static std::map<std::string, uint64_t> all;
    return all;
}

}  // namespace

void report(const Thread& thread, const Instruction& instruction, const char* what, uint64_t address) {
    const Block& block = *thread.block;
    const std::string place =
        "line " + std::to_string(instruction.line) + ", " + *instruction.text + " of " + block.kernel->name;
    if (counts()[place + " " + what]++ > 0) {
        return;
    }
    fprintf(stderr, "PTX: %s: %s (block %u, thread %u, address 0x%" PRIx64, place.c_str(), what, block.index,
            thread.index, address);
    if (thread.any_undefined) {
        fprintf(stderr, "; the last load of what nothing had written was in line %d", thread.undefined_line);
    }
    fprintf(stderr, ")\n");
}

const std::map<std::string, uint64_t>& reports() { return counts(); }

}  // namespace ptx
