// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/own_limits.h"

#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

#include "os/recorded_spawn.h"
#include "os/run_program.h"
#include "tests/unit/blkrep_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using haven::blkrep::test::TempFolder;
using haven::os::OwnLimits;

namespace {

rlimit Descriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit;
}

std::string Score() {
  std::string score;
  std::ifstream("/proc/self/oom_score_adj") >> score;
  return score;
}

void SetScore(const std::string& score) { std::ofstream("/proc/self/oom_score_adj") << score; }

constexpr char kSayScore[] = "read score < /proc/self/oom_score_adj; echo $score";

}  // namespace

TEST_GROUP(OsOwnLimits) {
  static constexpr rlim_t kUsual = 64;
  static constexpr int kOwnScore = 300;  // one that may be had without a privilege, from ...
  TempFolder folder;
  rlimit before = Descriptors();
  const std::string score_before = Score();
  std::vector<int> opened;

  void setup() override {
    const rlimit usual{kUsual, before.rlim_max};
    CHECK_EQUAL(0, setrlimit(RLIMIT_NOFILE, &usual));
    SetScore("500");  // ... this one
  }
  void teardown() override {
    for (int fd : opened) close(fd);
    setrlimit(RLIMIT_NOFILE, &before);
    SetScore(score_before);
  }
  /// Of a program that is on record, as a device model: what it prints.
  std::string Recorded(const std::string& script) {
    const std::string output = folder.File("output");
    auto child = os::SpawnRecorded({{"/bin/sh", "-c", script}, {}, output}, [](pid_t) { return Status::Ok(); });
    CHECK_TRUE_TEXT(child.ok(), child.status().message().c_str());
    child.value()->Wait();
    std::stringstream text;
    text << std::ifstream(output).rdbuf();
    return text.str();
  }
};

TEST(OsOwnLimits, HasAsManyDescriptorsAsTheHardLimitAllowsWhileItLives) {
  {
    OwnLimits limits(kOwnScore);
    CHECK_TRUE_TEXT(limits.status().ok(), limits.status().message().c_str());
    CHECK_EQUAL(before.rlim_max, Descriptors().rlim_cur);
  }
  CHECK_EQUAL(kUsual, Descriptors().rlim_cur);
}

TEST(OsOwnLimits, GivesAGuestTheLimitThatHavendWasStartedWith) {
  OwnLimits limits(kOwnScore);
  STRCMP_EQUAL("64\n", Recorded("ulimit -Sn").c_str());
  STRCMP_EQUAL((std::to_string(before.rlim_max) + "\n").c_str(), Recorded("ulimit -Hn").c_str());
}

TEST(OsOwnLimits, StartsAGuestWhenThisProcessHasMoreDescriptorsOpenThanTheGuestMayHave) {
  OwnLimits limits(kOwnScore);
  for (rlim_t i = 0; i < 2 * kUsual; i++) opened.push_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
  CHECK(opened.back() > static_cast<int>(kUsual));
  STRCMP_EQUAL("64\n", Recorded("read line; ulimit -Sn").c_str());
}

TEST(OsOwnLimits, GivesBackTheLimitOfAProgramThatIsNotOnRecord) {
  OwnLimits limits(kOwnScore);
  // It may look before this process has come to it.
  auto said = os::RunProgram({"/bin/sh", "-c", "while [ $(ulimit -Sn) != 64 ]; do sleep 0.01; done; echo given back"},
                             folder.File("log"), milliseconds(10000));
  CHECK_TRUE_TEXT(said.ok(), said.status().message().c_str());
  STRCMP_EQUAL("given back\n", said.value().c_str());
}

TEST(OsOwnLimits, IsSparedWhenMemoryIsShortWhileItLives) {
  {
    OwnLimits limits(kOwnScore);
    STRCMP_EQUAL("300", Score().c_str());
  }
  STRCMP_EQUAL("500", Score().c_str());
}

TEST(OsOwnLimits, GivesAGuestTheScoreThatHavendWasStartedWith) {
  OwnLimits limits(kOwnScore);
  STRCMP_EQUAL("500\n", Recorded(kSayScore).c_str());
}

TEST(OsOwnLimits, GivesBackTheScoreOfAProgramThatIsNotOnRecord) {
  OwnLimits limits(kOwnScore);
  auto said = os::RunProgram({"/bin/sh", "-c",
                              "score=; while [ \"$score\" != 500 ]; do read score < /proc/self/oom_score_adj; done; "
                              "echo given back"},
                             folder.File("log"), milliseconds(10000));
  CHECK_TRUE_TEXT(said.ok(), said.status().message().c_str());
}

TEST(OsOwnLimits, KeepsALowerScore) {
  OwnLimits limits(600);
  CHECK_TRUE_TEXT(limits.status().ok(), limits.status().message().c_str());
  STRCMP_EQUAL("500", Score().c_str());
}
