#include "report.h"

#include <inttypes.h>
#include <stdio.h>

#include <map>

#include "library.h"

namespace ptx {
namespace {

// How often, by place.
std::map<std::string, uint64_t>& counts() {
    static std::map<std::string, uint64_t> all;
    return all;
}

}  // namespace

void report(const Thread& thread, const Instruction& instruction, const char* what, uint64_t address) {
    const Block& block = *thread.block;
    const std::string place =
        "line " + std::to_string(instruction.line) + ", " + *instruction.text + " of " + block.kernel->name;
    if (counts()[place + what]++ > 0) {
        return;
    }
    fprintf(stderr, "PTX: %s: %s (block %u, thread %u, address 0x%" PRIx64, place.c_str(), what, block.index,
            thread.index, address);
    if (thread.any_undefined) {
        fprintf(stderr, "; the last load of what nothing had written was in line %d", thread.undefined_line);
    }
    fprintf(stderr, ")\n");
}

Summary summary() {
    Library& library = Library::instance();
    Summary result;
    for (const std::string& name : library.module().entry_names()) {
        ++result.kernels;
        const auto found = library.assembled().find(name);
        if (found == library.assembled().end() || found->second->launches == 0) {
            result.kernels_not_run.push_back(name);
            continue;
        }
        result.launches += found->second->launches;
        result.instructions += found->second->instructions;
    }
    result.places = counts().size();
    for (const auto& one : counts()) {
        result.reports += one.second;
    }
    return result;
}

}  // namespace ptx
