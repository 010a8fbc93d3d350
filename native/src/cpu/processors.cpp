#include "cpu/processors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>
#if defined(__linux__)
#include <sched.h>
#endif

namespace nopt {
namespace {

// The lines of a file; none if it cannot be read.
std::vector<std::string> lines_of(const std::string& path) {
    std::vector<std::string> lines;
    const std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(path.c_str(), "r"), [](FILE* open) { return fclose(open); });
    if (file == nullptr) {
        return lines;
    }
    std::string line;
    for (int character; (character = fgetc(file.get())) != EOF;) {
        if (character == '\n') {
            lines.push_back(line);
            line.clear();
        } else {
            line += static_cast<char>(character);
        }
    }
    lines.push_back(line);
    return lines;
}

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts(1);
    for (const char character : text) {
        if (character == separator) {
            parts.emplace_back();
        } else {
            parts.back() += character;
        }
    }
    return parts;
}

bool has(const std::vector<std::string>& words, const char* word) {
    return std::find(words.begin(), words.end(), word) != words.end();
}

// mountinfo writes spaces and the like in octal: \040.
std::string unescaped(const std::string& text) {
    std::string plain;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size()) {
            plain += static_cast<char>(strtol(text.substr(i + 1, 3).c_str(), nullptr, 8));
            i += 3;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

struct Mount {
    bool is_version_2;
    std::string root;   // the control group at the mount point
    std::string point;  // where it is mounted
};

// The mounted hierarchies of control groups that bound the time of processors. A line of mountinfo is
// "ID PARENT DEVICE ROOT POINT OPTIONS FIELDS... - TYPE SOURCE SUPER_OPTIONS".
std::vector<Mount> mounts(const std::string& root) {
    std::vector<Mount> found;
    for (const std::string& line : lines_of(root + "/proc/self/mountinfo")) {
        const std::vector<std::string> fields = split(line, ' ');
        const auto dash = std::find(fields.begin(), fields.end(), "-");
        if (fields.end() - dash < 4 || dash - fields.begin() < 6) {
            continue;
        }
        const bool is_version_2 = dash[1] == "cgroup2";
        if (is_version_2 || (dash[1] == "cgroup" && has(split(dash[3], ','), "cpu"))) {
            found.push_back({is_version_2, unescaped(fields[3]), unescaped(fields[4])});
        }
    }
    return found;
}

double number_in(const std::string& path) {
    const std::vector<std::string> lines = lines_of(path);
    return lines.empty() ? 0 : strtod(lines[0].c_str(), nullptr);
}

// Of one control group, without those above it.
double quota_of(const std::string& group, bool is_version_2) {
    double time = 0;
    double period = 0;
    if (is_version_2) {
        // "100000 100000", or "max 100000" without a quota.
        const std::vector<std::string> lines = lines_of(group + "/cpu.max");
        if (!lines.empty() && sscanf(lines[0].c_str(), "%lf %lf", &time, &period) != 2) {
            time = 0;
        }
    } else {
        time = number_in(group + "/cpu.cfs_quota_us");  // -1 without a quota
        period = number_in(group + "/cpu.cfs_period_us");
    }
    return time > 0 && period > 0 ? time / period : kNoQuota;
}

// A path below the mount point, "" for the mount point itself.
std::string below(const std::string& group, const Mount& mount) {
    const std::string top = mount.root == "/" ? "" : mount.root;
    // A group outside of what is mounted, as a container sees it that has no namespace of its own.
    if (group.compare(0, top.size(), top) != 0 || group.find("/..") != std::string::npos) {
        return "";
    }
    const std::string path = group.substr(top.size());
    return path == "/" || (!path.empty() && path[0] != '/') ? "" : path;
}

}  // namespace

double control_group_quota(const std::string& root) {
    double quota = kNoQuota;
    const std::vector<Mount> all = mounts(root);
    for (const std::string& line : lines_of(root + "/proc/self/cgroup")) {
        // "ID:CONTROLLERS:PATH"; version 2 has 0 and no controllers.
        const size_t first = line.find(':');
        const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) {
            continue;
        }
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const bool is_version_2 = controllers.empty();
        if (!is_version_2 && !has(split(controllers, ','), "cpu")) {
            continue;
        }
        for (const Mount& mount : all) {
            if (mount.is_version_2 != is_version_2) {
                continue;
            }
            for (std::string path = below(line.substr(second + 1), mount);; path.erase(path.rfind('/'))) {
                quota = std::min(quota, quota_of(root + mount.point + path, is_version_2));
                if (path.empty()) {
                    break;
                }
            }
        }
    }
    return quota;
}

int Processors::threads() const { return quota < available ? std::max(1, static_cast<int>(ceil(quota))) : available; }

Processors find_processors() {
    int available = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    double quota = kNoQuota;
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        available = CPU_COUNT(&set);
    }
    quota = control_group_quota("");
#endif
    return {available, quota};
}

const Processors& processors() {
    static const Processors found = find_processors();
    return found;
}

}  // namespace nopt
