// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/pid_file.h"

#include <cstdlib>
#include <fstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include <CppUTest/TestHarness.h>

using namespace haven::os;

TEST_GROUP(OsPidFile) {
  char folder[32] = "/tmp/haven-unit-XXXXXX";
  std::string path;
  pid_t child = 0;
  void setup() override {
    CHECK(mkdtemp(folder) != nullptr);
    path = std::string(folder) + "/qemu.pid";
  }
  void teardown() override {
    unlink(path.c_str());
    rmdir(folder);
  }
  void StartChild() {
    child = fork();
    if (child == 0) {
      for (;;) pause();
    }
  }
};

TEST(OsPidFile, ReadsWhatItWrote) {
  for (bool runs : {false, true}) {
    for (const char* boot : {"", "0a1b-2c"}) {
      PidRecord record{4711, 123456789ull, runs, boot};
      CHECK_TRUE(WritePidFile(path, record).ok());
      auto read = ReadPidFile(path);
      CHECK_TRUE(read.has_value());
      CHECK(record == *read);
    }
  }
}

TEST(OsPidFile, SaysWhichRecordCannotBeWritten) {
  haven::Status status = WritePidFile(path + ".d/qemu.pid", {4711, 1, false});
  STRCMP_CONTAINS((path + ".d/qemu.pid").c_str(), status.message().c_str());
}

TEST(OsPidFile, TakesNothingElseForARecord) {
  CHECK_FALSE(ReadPidFile(path).has_value());
  for (const char* text : {"", "12", "12 34", "1 5 waiting", "-7 5 waiting", "x 5 waiting", "12 34 idle"}) {
    std::ofstream(path) << text;
    CHECK_FALSE(ReadPidFile(path).has_value());
  }
}

TEST(OsPidFile, DoesNotTakeAnotherProcessWithTheSamePidForTheRecordedOne) {
  unsigned long long started = ProcessStartTime(getpid());
  CHECK(started > 0);
  int pidfd = OpenRecordedProcess({getpid(), started, false});
  CHECK(pidfd >= 0);
  close(pidfd);
  CHECK_EQUAL(-1, OpenRecordedProcess({getpid(), started + 1, false}));
}

TEST(OsPidFile, DoesNotTakeAProcessOfThisBootForOneOfAnother) {
  PidRecord record = RecordOf(getpid(), true);
  CHECK_EQUAL(ProcessStartTime(getpid()), record.start_time);
  CHECK_TRUE(record.runs_guest);
  CHECK_EQUAL(36u, record.boot_id.size());
  int pidfd = OpenRecordedProcess(record);
  CHECK(pidfd >= 0);
  close(pidfd);
  record.boot_id[0] = record.boot_id[0] == '0' ? '1' : '0';
  CHECK_EQUAL(-1, OpenRecordedProcess(record));
}

TEST(OsPidFile, EndsTheRecordedProcess) {
  StartChild();
  int pidfd = OpenRecordedProcess({child, ProcessStartTime(child), false});
  CHECK(pidfd >= 0);
  CHECK_TRUE(EndProcess(pidfd).ok());
  close(pidfd);
  // Ended, but not yet reaped: no start time, so that it counts as gone.
  CHECK_EQUAL(0ull, ProcessStartTime(child));
  int status = 0;
  CHECK_EQUAL(child, waitpid(child, &status, 0));
  CHECK_TRUE(WIFSIGNALED(status));
}
