// The processors that the process may use: what its affinity mask and the quotas of its control groups (cgroups) leave.
#pragma once

#include <limits>
#include <string>

namespace nopt {

constexpr double kNoQuota = std::numeric_limits<double>::infinity();

struct Processors {
    // Those that the affinity mask has.
    int available;
    // The processors' worth of time that the control groups grant in a period, or kNoQuota.
    double quota;

    // The threads that can use all of that, at least 1. A part of a processor takes a thread of its own, as it counts
    // in .NET's ProcessorCount, too: two threads use a quota of 1.5 in full, and one leaves a third of it.
    int threads() const;
};

// As they are now. Without knowledge of affinity masks or control groups: the processors of the machine, and no quota.
Processors find_processors();

// As they were at the first call.
const Processors& processors();

// The smallest quota of the control groups that the process is in, of versions 1 and 2, from the topmost that it can
// see down to its own. `root` is put before every path: "", or the folder of a test.
double control_group_quota(const std::string& root);

}  // namespace nopt
