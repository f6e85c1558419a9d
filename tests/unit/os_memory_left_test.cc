// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/memory_left.h"

#include <filesystem>
#include <fstream>

#include <CppUTest/TestHarness.h>

#include "tests/unit/blkrep_support.h"

using namespace haven;
using namespace haven::os;

TEST_GROUP(MemoryLeft) {
  blkrep::test::TempFolder dir;
  const std::string root = dir.File("");

  void File(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  }
  void Group(const std::string& group, const std::string& most, const std::string& used, const std::string& cached) {
    File("/sys/fs/cgroup" + group + "/memory.max", most + "\n");
    File("/sys/fs/cgroup" + group + "/memory.current", used + "\n");
    File("/sys/fs/cgroup" + group + "/memory.stat", "anon 5\ninactive_file " + cached + "\nactive_file 7\n");
  }
};

TEST(MemoryLeft, NoneWithoutALimit) {
  CHECK_FALSE(MemoryLeft(root));
  File("/proc/self/cgroup", "0::/machine/guest\n");
  Group("/machine/guest", "max", "5000", "0");
  File("/proc/sys/vm/overcommit_memory", "1\n");
  File("/proc/meminfo", "MemTotal:  16000 kB\nCommitLimit:  100 kB\nCommitted_AS:  90 kB\n");
  CHECK_FALSE(MemoryLeft(root));
}

TEST(MemoryLeft, TheNearestOfTheControlGroups) {
  File("/proc/self/cgroup", "1:name=systemd:/other\n0::/machine/guest\n");
  Group("/machine/guest", "9000", "5000", "1000");
  CHECK_EQUAL(5000, MemoryLeft(root)->left_bytes);
  Group("/machine", "20000", "18000", "500");
  CHECK_EQUAL(2500, MemoryLeft(root)->left_bytes);
  STRCMP_EQUAL("memory.max of the control group /machine", MemoryLeft(root)->name.c_str());
  Group("/machine", "20000", "28000", "500");
  CHECK_EQUAL(0, MemoryLeft(root)->left_bytes);
}

TEST(MemoryLeft, WhatTheKernelPromises) {
  File("/proc/sys/vm/overcommit_memory", "2\n");
  File("/proc/meminfo", "MemTotal:  16000 kB\nCommitLimit:  100 kB\nCommitted_AS:  90 kB\n");
  CHECK_EQUAL(10240, MemoryLeft(root)->left_bytes);
  STRCMP_CONTAINS("vm.overcommit_ratio", MemoryLeft(root)->name.c_str());
}

TEST(MemoryLeft, GarbageIsNoLimit) {
  File("/proc/self/cgroup", "0::/g\n");
  Group("/g", "a lot", "", "");
  File("/proc/sys/vm/overcommit_memory", "2\n");
  File("/proc/meminfo", "CommitLimit:\n");
  CHECK_FALSE(MemoryLeft(root));
}
