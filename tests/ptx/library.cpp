#include "library.h"

#include <stdlib.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "memory.h"

namespace ptx {
namespace {

std::string text() {
    const char* const given = getenv("NATIVEOPT_PTX");
    const char* const path = given == nullptr ? NATIVEOPT_PTX_FILE : given;
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        give_up(std::string("cannot read ") + path + "; NATIVEOPT_PTX names the file");
    }
    return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

Library& Library::instance() {
    static Library library;
    return library;
}

Library::Library() : module_(text()) {
    for (const Variable& variable : module_.variables()) {
        if (variable.space == Space::kShared) {
            continue;
        }
        const size_t room = variable.bytes + variable.alignment;
        variables_.push_back(std::make_unique<unsigned char[]>(room));
        void* at = variables_.back().get();
        size_t space = room;
        at = std::align(variable.alignment, variable.bytes, at, space);
        add_memory(at, variable.bytes, true);  // without a value it is 0
        std::copy(variable.initial.begin(), variable.initial.end(), static_cast<unsigned char*>(at));
        addresses_[variable.name] = reinterpret_cast<uint64_t>(at);
    }
}

Kernel* Library::find(const std::string& name) {
    if (!module_.has_entry(name)) {
        return nullptr;
    }
    std::unique_ptr<Kernel>& kernel = kernels_[name];
    if (kernel == nullptr) {
        kernel = std::make_unique<Kernel>(assemble(module_.entry(name), module_.variables(), addresses_));
    }
    return kernel.get();
}

Summary Library::summary() const {
    Summary result;
    for (const std::string& name : module_.entry_names()) {
        ++result.kernels;
        const auto found = kernels_.find(name);
        if (found == kernels_.end() || found->second->launches == 0) {
            result.kernels_not_run.push_back(name);
            continue;
        }
        result.launches += found->second->launches;
        result.instructions += found->second->instructions;
    }
    return result;
}

}  // namespace ptx
