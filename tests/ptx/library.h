// The kernels of the PTX that is run.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "program.h"

namespace ptx {

class Library {
public:
    // Of the file that NATIVEOPT_PTX names, and otherwise of the one that the build made.
    static Library& instance();

    // Null if there is none of this name. Assembled when it is first asked for.
    Kernel* find(const std::string& name);

    const Module& module() const { return module_; }
    const std::map<std::string, std::unique_ptr<Kernel>>& assembled() const { return kernels_; }

private:
    Library();

    Module module_;
    std::vector<std::unique_ptr<unsigned char[]>> variables_;
    std::unordered_map<std::string, uint64_t> addresses_;  // of the module's variables
    std::map<std::string, std::unique_ptr<Kernel>> kernels_;
};

}  // namespace ptx
