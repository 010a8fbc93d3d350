// How many threads the pool begins with: what files about control groups say, and what the affinity mask leaves.
#include "cpu/processors.h"

#include <gtest/gtest.h>
#include <nativeopt/nativeopt.h>

#include <filesystem>
#include <fstream>
#if defined(__linux__)
#include <sched.h>
#endif

namespace nopt_test {
namespace {

// A folder that stands for the root of a file system.
class Root {
public:
    Root() {
        path_ = testing::TempDir() + "nopt_processors_" + testing::UnitTest::GetInstance()->current_test_info()->name();
        std::filesystem::remove_all(path_);
        std::filesystem::create_directories(path_);
    }
    ~Root() { std::filesystem::remove_all(path_); }

    void write(const std::string& name, const std::string& text) const {
        const std::filesystem::path file = path_ + name;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file) << text;
    }

    double quota() const { return nopt::control_group_quota(path_); }

private:
    std::string path_;
};

constexpr char kUnified[] = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST(Processors, NoFilesAreNoQuota) {
    const Root root;
    EXPECT_EQ(nopt::kNoQuota, root.quota());
    root.write("/proc/self/cgroup", "0::/\n");
    EXPECT_EQ(nopt::kNoQuota, root.quota());
    root.write("/proc/self/mountinfo", kUnified);
    EXPECT_EQ(nopt::kNoQuota, root.quota());
}

TEST(Processors, Version2) {
    const Root root;
    root.write("/proc/self/cgroup", "0::/\n");
    root.write("/proc/self/mountinfo", kUnified);
    root.write("/sys/fs/cgroup/cpu.max", "max 100000\n");
    EXPECT_EQ(nopt::kNoQuota, root.quota());
    root.write("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    EXPECT_EQ(1.5, root.quota());
}

TEST(Processors, TheSmallestQuotaOnTheWayUpCounts) {
    const Root root;
    root.write("/proc/self/cgroup", "0::/system.slice/job.service/step\n");
    root.write("/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + std::string(kUnified) + "bad line\n");
    root.write("/sys/fs/cgroup/system.slice/job.service/step/cpu.max", "max 100000\n");
    root.write("/sys/fs/cgroup/system.slice/job.service/cpu.max", "400000 200000\n");
    root.write("/sys/fs/cgroup/system.slice/cpu.max", "300000 100000\n");
    EXPECT_EQ(2, root.quota());
    root.write("/sys/fs/cgroup/system.slice/cpu.max", "50000 100000\n");
    EXPECT_EQ(0.5, root.quota());
    root.write("/sys/fs/cgroup/system.slice/other/cpu.max", "10000 100000\n");  // of others
    EXPECT_EQ(0.5, root.quota());
}

TEST(Processors, Version1) {
    const Root root;
    root.write("/proc/self/cgroup", "5:cpuset:/a\n4:cpu,cpuacct:/a/b\n1:name=systemd:/\n0::/\n");
    root.write("/proc/self/mountinfo",
               "32 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
               "33 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
               "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    root.write("/sys/fs/cgroup/cpuset/a/cpu.cfs_quota_us", "1\n");  // not of the controller
    root.write("/sys/fs/cgroup/cpuset/a/cpu.cfs_period_us", "100000\n");
    EXPECT_EQ(nopt::kNoQuota, root.quota());
    root.write("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
    root.write("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
    EXPECT_EQ(nopt::kNoQuota, root.quota());
    root.write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "125000\n");
    root.write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "50000\n");
    EXPECT_EQ(2.5, root.quota());
}

// A container without a namespace of control groups sees the host's path, and its own group at the mount point.
TEST(Processors, AMountOfAGroupBelowTheRoot) {
    const Root root;
    root.write("/proc/self/cgroup", "4:cpu:/docker/123/inner\n0::/docker/123\n");
    root.write("/proc/self/mountinfo",
               "32 31 0:30 /docker/123 /sys/fs/cgroup/cpu\\040time ro - cgroup cgroup rw,cpu\n"
               "33 31 0:31 /docker/1 /elsewhere rw - cgroup2 cgroup2 rw\n");
    root.write("/sys/fs/cgroup/cpu time/cpu.cfs_quota_us", "100000\n");
    root.write("/sys/fs/cgroup/cpu time/cpu.cfs_period_us", "100000\n");
    EXPECT_EQ(1, root.quota());
    root.write("/sys/fs/cgroup/cpu time/inner/cpu.cfs_quota_us", "25000\n");
    root.write("/sys/fs/cgroup/cpu time/inner/cpu.cfs_period_us", "100000\n");
    EXPECT_EQ(0.25, root.quota());
    root.write("/elsewhere/cpu.max", "10000 100000\n");
    EXPECT_EQ(0.1, root.quota());
    root.write("/proc/self/cgroup", "0::/../../outside\n");
    EXPECT_EQ(0.1, root.quota());
}

TEST(Processors, APartOfAProcessorTakesAThread) {
    const auto threads = [](int available, double quota) { return nopt::Processors{available, quota}.threads(); };
    EXPECT_EQ(8, threads(8, nopt::kNoQuota));
    EXPECT_EQ(1, threads(8, 0.01));
    EXPECT_EQ(1, threads(2, 1));
    EXPECT_EQ(2, threads(2, 1.5));
    EXPECT_EQ(3, threads(8, 2.001));
    EXPECT_EQ(2, threads(2, 64));
    EXPECT_EQ(1, threads(1, nopt::kNoQuota));
}

TEST(Processors, TheLibraryTellsWhatItSaw) {
    int32_t available = 0;
    double quota = 0;
    EXPECT_EQ(NOPT_OK, nopt_cpu_get_processors(&available, &quota));
    EXPECT_EQ(nopt::find_processors().available, available);
    EXPECT_EQ(nopt::find_processors().quota, quota);
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_cpu_get_processors(nullptr, &quota));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_cpu_get_processors(&available, nullptr));
}

#if defined(__linux__)
TEST(Processors, TheAffinityMaskIsFollowed) {
    cpu_set_t before;
    ASSERT_EQ(0, sched_getaffinity(0, sizeof before, &before));
    EXPECT_EQ(CPU_COUNT(&before), nopt::find_processors().available);
    int first = 0;
    while (!CPU_ISSET(first, &before)) {
        ++first;
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ASSERT_EQ(0, sched_setaffinity(0, sizeof one, &one));
    EXPECT_EQ(1, nopt::find_processors().available);
    EXPECT_EQ(1, nopt::find_processors().threads());
    ASSERT_EQ(0, sched_setaffinity(0, sizeof before, &before));
}
#endif

}  // namespace
}  // namespace nopt_test
