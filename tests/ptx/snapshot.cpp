#include "snapshot.h"

#include <stdio.h>
#include <stdlib.h>

#include <map>

#include "library.h"
#include "memory.h"
#include "report.h"

namespace ptx {
namespace {

FILE* open(const std::string& path, const char* mode) {
    FILE* const file = fopen(path.c_str(), mode);
    if (file == nullptr) {
        give_up("cannot write " + path + "; NATIVEOPT_PTX_SNAPSHOTS is the begin of its path");
    }
    return file;
}

void write_memory(const std::string& path, const char* mode) {
    FILE* const file = open(path + ".bin", mode);
    for (const Region& region : memory()) {
        fwrite(reinterpret_cast<const void*>(region.address), 1, region.bytes, file);
    }
    fclose(file);
}

}  // namespace

Snapshot::Snapshot(const Kernel& kernel, unsigned blocks, unsigned threads,
                   const std::vector<unsigned char>& parameters) {
    const char* const begin = getenv("NATIVEOPT_PTX_SNAPSHOTS");
    if (begin == nullptr) {
        return;
    }
    static std::map<std::string, int> counts;
    path_ = std::string(begin) + "-" + std::to_string(counts[begin]++);
    FILE* const file = open(path_ + ".json", "w");
    fprintf(file, "{\"kernel\": \"%s\", \"blocks\": %u, \"threads\": %u,\n \"parameters\": \"", kernel.name.c_str(),
            blocks, threads);
    for (const unsigned char byte : parameters) {
        fprintf(file, "%02x", byte);
    }
    fprintf(file, "\",\n \"variables\": {");
    const char* separator = "";
    for (const auto& variable : Library::instance().addresses()) {
        fprintf(file, "%s\"%s\": %llu", separator, variable.first.c_str(),
                static_cast<unsigned long long>(variable.second));
        separator = ", ";
    }
    fprintf(file, "},\n \"memory\": [");
    separator = "";
    for (const Region& region : memory()) {
        fprintf(file, "%s[%llu, %zu]", separator, static_cast<unsigned long long>(region.address), region.bytes);
        separator = ", ";
    }
    fprintf(file, "]}\n");
    fclose(file);
    write_memory(path_, "wb");
}

Snapshot::~Snapshot() {
    if (!path_.empty()) {
        write_memory(path_, "ab");
    }
}

}  // namespace ptx
