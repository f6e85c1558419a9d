// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/run_program.h"

#include <cstdlib>
#include <pthread.h>
#include <unistd.h>

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::os;

namespace {

constexpr milliseconds kLong{20000};

}  // namespace

TEST_GROUP(OsRunProgram) {
  char folder[32] = "/tmp/haven-unit-XXXXXX";
  std::string log;
  void setup() override {
    CHECK(mkdtemp(folder) != nullptr);
    log = std::string(folder) + "/log";
  }
  void teardown() override {
    unlink(log.c_str());
    rmdir(folder);
  }
};

TEST(OsRunProgram, GivesTheOutputOfAProgram) {
  auto output = RunProgram({"/bin/echo", "a b"}, log, kLong);
  STRCMP_EQUAL("a b\n", output.value().c_str());
}

TEST(OsRunProgram, SaysHowAProgramFailed) {
  auto output = RunProgram({"/bin/sh", "-c", "exit 3"}, log, kLong);
  STRCMP_CONTAINS("exited with status 3", output.status().message().c_str());
  output = RunProgram({"/nowhere/xl", "domid"}, log, kLong);
  STRCMP_EQUAL("cannot start /nowhere/xl: cannot execute it: No such file or directory",
               output.status().message().c_str());
  output = RunProgram({"/bin/sleep", "1000"}, log, milliseconds(1));
  STRCMP_CONTAINS("did not end in time", output.status().message().c_str());
}

TEST(OsRunProgram, StartsAProgramWithoutASecondCopyOfItsMemory) {
  static int copies;  // a handler cannot be taken back
  pthread_atfork([] { copies++; }, nullptr, nullptr);
  CHECK_TRUE(RunProgram({"/bin/true", ""}, log, kLong).ok());
  LONGS_EQUAL(0, copies);
}
