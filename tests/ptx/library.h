// The kernels of the PTX that is run.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "program.h"

namespace ptx {

// What was run so far.
struct Summary {
    std::vector<std::string> kernels_not_run;
    size_t kernels = 0;
    uint64_t launches = 0;
    uint64_t instructions = 0;  // of all threads
};

class Library {
public:
    // Of the file that NATIVEOPT_PTX names, and otherwise of the one that the build made.
    static Library& instance();

    // Null if there is none of this name. Assembled when it is first asked for.
    Kernel* find(const std::string& name);

    // Of the module's variables.
    const std::unordered_map<std::string, uint64_t>& addresses() const { return addresses_; }

    Summary summary() const;

private:
    Library();

    Module module_;
    std::vector<std::unique_ptr<unsigned char[]>> variables_;
    std::unordered_map<std::string, uint64_t> addresses_;
    std::map<std::string, std::unique_ptr<Kernel>> kernels_;
};

}  // namespace ptx
