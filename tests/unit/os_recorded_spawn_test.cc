// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/recorded_spawn.h"

#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <string>
#include <unistd.h>

#include <CppUTest/TestHarness.h>

using haven::milliseconds;
using haven::Status;
using haven::StatusCode;
using haven::os::SpawnRecorded;

namespace {

Status Allow(pid_t) { return Status::Ok(); }

std::string Content(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

TEST_GROUP(OsRecordedSpawn) {
  char folder[32] = "/tmp/haven-unit-XXXXXX";
  std::string output;
  void setup() override {
    CHECK(mkdtemp(folder) != nullptr);
    output = std::string(folder) + "/log";
  }
  void teardown() override {
    unlink(output.c_str());
    unlink((output + ".1").c_str());
    rmdir(folder);
  }
};

TEST(OsRecordedSpawn, RunsAProgramWithoutAShellAndKeepsItsOutput) {
  auto child = SpawnRecorded({{"/bin/echo", "a b", "$HOME;*"}, {}, output}, Allow);
  CHECK_TRUE(child.ok());
  CHECK_TRUE(child.value()->WaitForEnd(milliseconds(10000)));
  STRCMP_EQUAL("exited with status 0", child.value()->HowItEnded().c_str());
  STRCMP_EQUAL("a b $HOME;*\n", Content(output).c_str());
}

TEST(OsRecordedSpawn, KeepsTheLastWordsOfTheRunBefore) {
  for (const char* word : {"first", "second"}) {
    auto child = SpawnRecorded({{"/bin/echo", word}, {}, output}, Allow);
    CHECK_TRUE(child.value()->WaitForEnd(milliseconds(10000)));
  }
  STRCMP_EQUAL("second\n", Content(output).c_str());
  STRCMP_EQUAL("first\n", Content(output + ".1").c_str());
}

TEST(OsRecordedSpawn, NamesAProgramThatCannotBeExecuted) {
  auto child = SpawnRecorded({{"/nonexistent/qemu"}, {}, output}, Allow);
  CHECK_FALSE(child.ok());
  STRCMP_EQUAL("cannot execute /nonexistent/qemu: No such file or directory", child.status().message().c_str());
}

TEST(OsRecordedSpawn, ExecutesNothingWhenItWasNotRecorded) {
  pid_t seen = 0;
  auto child = SpawnRecorded({{"/bin/echo", "ran"}, {}, output}, [&seen](pid_t pid) {
    seen = pid;
    return Status(StatusCode::kEnvironment, "disk full");
  });
  CHECK_FALSE(child.ok());
  STRCMP_EQUAL("disk full", child.status().message().c_str());
  CHECK(seen > 0);
  STRCMP_EQUAL("", Content(output).c_str());
}

TEST(OsRecordedSpawn, PassesOnlyTheNamedDescriptors) {
  int kept[2], other[2];
  CHECK_EQUAL(0, pipe2(kept, O_CLOEXEC));
  CHECK_EQUAL(0, pipe2(other, O_CLOEXEC));
  const std::string kept_path = "/proc/self/fd/" + std::to_string(kept[1]);
  const std::string other_path = "/proc/self/fd/" + std::to_string(other[1]);
  auto there = SpawnRecorded({{"/usr/bin/test", "-e", kept_path}, {kept[1]}, output}, Allow);
  CHECK_TRUE(there.value()->WaitForEnd(milliseconds(10000)));
  STRCMP_EQUAL("exited with status 0", there.value()->HowItEnded().c_str());
  auto not_there = SpawnRecorded({{"/usr/bin/test", "-e", other_path}, {kept[1]}, output}, Allow);
  CHECK_TRUE(not_there.value()->WaitForEnd(milliseconds(10000)));
  STRCMP_EQUAL("exited with status 1", not_there.value()->HowItEnded().c_str());
  for (int fd : {kept[0], kept[1], other[0], other[1]}) close(fd);
}

TEST(OsRecordedSpawn, HidesItsOwnTestHookFromTheGuest) {
  setenv("HAVEN_KILL_AT", "before-commit:99", 1);
  auto child = SpawnRecorded({{"/usr/bin/env"}, {}, output}, Allow);
  unsetenv("HAVEN_KILL_AT");
  CHECK_TRUE(child.value()->WaitForEnd(milliseconds(10000)));
  CHECK(Content(output).find("HAVEN_KILL_AT") == std::string::npos);
  CHECK(Content(output).find("PATH=") != std::string::npos);
}

TEST(OsRecordedSpawn, HasASessionOfItsOwnAndSaysWhichSignalEndedIt) {
  auto child = SpawnRecorded({{"/bin/sleep", "1000"}, {}, output}, Allow);
  CHECK_TRUE(child.ok());
  CHECK_EQUAL(child.value()->pid(), getsid(child.value()->pid()));
  CHECK_FALSE(child.value()->WaitForEnd(milliseconds(0)));
  child.value()->Kill();
  STRCMP_EQUAL("was ended by signal 9 (Killed)", child.value()->HowItEnded().c_str());
}
