// SPDX-License-Identifier: GPL-2.0-or-later
//
// The end of protection when the backup does not hear of it: nothing is waited for on the main thread, and nothing
// that is held leaves before somebody has confirmed that it may.

#include <algorithm>
#include <filesystem>

#include "tests/unit/session_pair.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;
using namespace haven::session::test;

TEST_GROUP(SessionEnd) {
  Pair pair;

  /// The guest is protected, its backup goes, and its output is held since the arbiter gives no verdict.
  void LoseBackup(const std::string& arbiter) {
    pair.primary_options.arbiter = arbiter;
    pair.backup_options.arbiter = pair.folder.File("nobody");
    pair.StartBackup();
    pair.StartPrimary();
    CHECK(pair.Protects());
    pair.EndBackup();
    CHECK(Eventually([&] { return IsAskedFor(); }));
    pair.Frame("held");
  }
  bool IsAskedFor() { return pair.Query().message.starts_with("output is held until the arbiter answers: "); }
  void Stop(wire::Goodbye reason) {
    pair.loop.Run([&] { HAVEN_CHECK_OK(pair.primary->Stop(reason)); });
  }
  bool HasEnded() {
    return Eventually([&] { return pair.guest.ended.load(); });
  }
  /// What the session asks at its end is asked again when it is no verdict.
  void AwaitAnotherQuestion() {
    const long asked = Questions();
    CHECK(Eventually([&] { return Questions() >= asked + 2; }));
  }
  long Questions() {
    const std::string asked = pair.Asked();
    return std::count(asked.begin(), asked.end(), '\n');
  }
  std::string NoArbiterYet() { return pair.folder.File("arbiter"); }
};

TEST(SessionEnd, HoldsOutputUntilTheArbiterHasDecided) {
  LoseBackup(pair.Arbiter("exit 2"));
  Stop(wire::Goodbye::kUnprotect);
  AwaitAnotherQuestion();
  CHECK_FALSE(pair.guest.ended);
  CHECK_FALSE(pair.FrameIsOut("held"));
  pair.Arbiter("exit 0");
  CHECK(HasEnded());
  CHECK(pair.FrameIsOut("held"));
  CHECK_FALSE(pair.guest.halted);
  CHECK(pair.Query().state == PrimaryState::kStopped);
}

TEST(SessionEnd, HaltsTheGuestOnlyWhenTheArbiterSaysThatItHasLost) {
  LoseBackup(NoArbiterYet());
  Stop(wire::Goodbye::kUnprotect);
  CHECK_FALSE(pair.guest.halted);
  pair.Arbiter("exit 1");
  CHECK(HasEnded());
  CHECK(pair.guest.halted);
  CHECK_FALSE(pair.FrameIsOut("held"));
  CHECK(pair.Query().state == PrimaryState::kLost);
}

TEST(SessionEnd, OfAGuestThatIsPoweredOffDoesNotAskForEver) {
  LoseBackup(NoArbiterYet());
  Stop(wire::Goodbye::kGuestPoweredOff);
  CHECK(HasEnded());
  CHECK_FALSE(pair.FrameIsOut("held"));
  CHECK(pair.Query().state == PrimaryState::kStopped);
  STRCMP_CONTAINS("nobody has confirmed", pair.Query().message.c_str());
}

TEST(SessionEnd, IsNotWaitedForAnyLongerWhenTheGuestIsPoweredOffMeanwhile) {
  LoseBackup(pair.Arbiter("exit 2"));
  Stop(wire::Goodbye::kUnprotect);
  AwaitAnotherQuestion();
  CHECK_FALSE(pair.guest.ended);
  Stop(wire::Goodbye::kGuestPoweredOff);
  CHECK(HasEnded());
  CHECK_FALSE(pair.FrameIsOut("held"));
}

TEST(SessionEnd, ComesThoughNoRecordOfItCanBeWritten) {
  pair.UseFakeClock();
  pair.primary_options.connect.deadline = pair.backup_options.deadline = milliseconds(1000);
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.Protects());
  std::filesystem::rename(pair.primary_options.state_dir, pair.folder.File("elsewhere"));
  pair.EndBackup();
  pair.Frame("held");
  Stop(wire::Goodbye::kUnprotect);
  CHECK(Eventually([&] {
    pair.clock.Pass(milliseconds(500));
    return pair.guest.ended.load();
  }));
  CHECK_FALSE(pair.guest.halted);
  CHECK(pair.FrameIsOut("held"));
}

TEST(SessionEnd, CanBeFreedWhileTheArbiterHangs) {
  LoseBackup(pair.Arbiter("exec sleep 1000"));
  Stop(wire::Goodbye::kUnprotect);
  pair.loop.Run([this] {
    pair.guest.primary = nullptr;
    pair.primary.reset();
  });
  CHECK_FALSE(pair.guest.ended);
  CHECK_FALSE(pair.FrameIsOut("held"));
}
