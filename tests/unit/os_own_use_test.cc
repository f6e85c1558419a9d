// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/own_use.h"

#include <filesystem>
#include <fstream>
#include <sys/resource.h>
#include <vector>

#include <CppUTest/TestHarness.h>

#include "tests/unit/blkrep_support.h"

using namespace haven;
using namespace haven::os;

TEST_GROUP(OwnUse) {
  blkrep::test::TempFolder dir;
  const std::string root = dir.File("");

  void File(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  }
};

TEST(OwnUse, CountsDescriptorsUpAndDown) {
  const OwnUse before = CountOwnUse();
  CHECK(before.descriptors >= 3);
  rlimit limit{};
  CHECK_EQUAL(0, getrlimit(RLIMIT_NOFILE, &limit));
  CHECK_EQUAL(limit.rlim_cur, before.descriptors_limit);
  {
    std::vector<std::ifstream> files;
    for (int i = 0; i < 10; i++) files.emplace_back("/dev/null");
    CHECK_EQUAL(before.descriptors + 10, CountOwnUse().descriptors);
  }
  CHECK_EQUAL(before.descriptors, CountOwnUse().descriptors);
}

TEST(OwnUse, CountsThreadsAndFindsTheLowestOfTheirLimits) {
  CHECK(CountOwnUse().threads >= 1);
  CHECK_EQUAL(0, CountOwnUse(root).threads_limit);
  for (const char* thread : {"11", "12", "15"}) File(std::string("/proc/self/task/") + thread, "");
  File("/proc/sys/kernel/threads-max", "9000\n");
  File("/proc/self/cgroup", "0::/system/havend\n");
  File("/sys/fs/cgroup/system/havend/pids.max", "max\n");
  CHECK_EQUAL(3, CountOwnUse(root).threads);
  CHECK_EQUAL(9000, CountOwnUse(root).threads_limit);
  File("/sys/fs/cgroup/system/pids.max", "700\n");
  CHECK_EQUAL(700, CountOwnUse(root).threads_limit);
}
