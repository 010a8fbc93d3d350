// Launches that are written to files, for bench/kernel_model.py: the parameters, and memory before and after.
#pragma once

#include <string>
#include <vector>

#include "program.h"

namespace ptx {

// Of one launch, where NATIVEOPT_PTX_SNAPSHOTS is set, to the begin of a path: PATH-0.json says what there is, and
// PATH-0.bin has the bytes. Numbers count up from 0 for each path.
class Snapshot {
public:
    Snapshot(const Kernel& kernel, unsigned blocks, unsigned threads, const std::vector<unsigned char>& parameters);
    // Adds memory as it is now, after the launch.
    ~Snapshot();
    Snapshot(const Snapshot&) = delete;
    Snapshot& operator=(const Snapshot&) = delete;

private:
    std::string path_;  // empty: nothing is asked for
};

}  // namespace ptx
