// SPDX-License-Identifier: GPL-2.0-or-later
// The guest is handed over by order of a person at the backup.
#include "tests/unit/session_pair.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;
using namespace haven::session::test;

TEST_GROUP(HandOver) {
  Pair pair;

  void Start() {
    pair.StartBackup();
    pair.StartPrimary();
    CHECK_TRUE(pair.Protects());
  }
  GuestState Now() {
    GuestState state;
    pair.loop.Run([&] { state = pair.guest.Now(); });
    return state;
  }
  bool Runs() {
    bool runs = false;
    pair.loop.Run([&] { runs = pair.guest.running() && !pair.guest.halted; });
    return runs;
  }
};

TEST(HandOver, LosesNothingAndLeavesOneCopy) {
  Start();
  pair.Steps(50);
  pair.Frame("before");
  HAVEN_CHECK_OK(pair.backup->HandOver());
  CHECK(pair.backup->Query().state == BackupState::kPromoted);
  CHECK_TRUE(pair.FrameIsOut("before"));
  CHECK_TRUE(pair.PrimaryReaches(PrimaryState::kLost));
  STRCMP_CONTAINS("handed over", pair.Query().message.c_str());
  CHECK_TRUE(Eventually([&] { return pair.guest.halted.load(); }));
  // The very state in which the guest stopped, not that of some epoch before.
  GuestState stopped = Now();
  CHECK(pair.activator.started().memory == stopped.memory);
  CHECK(pair.activator.started().disks == stopped.disks);
  pair.Frame("after");
  CHECK_FALSE(pair.FrameIsOut("after"));
}

TEST(HandOver, GoesOnAtThePrimaryWhenTheBackupCannotStartTheGuest) {
  pair.activator.activate_fails = {StatusCode::kEnvironment, "no such program"};
  Start();
  pair.Steps(20);
  Status status = pair.backup->HandOver();
  CHECK(status.code() == StatusCode::kRefused);
  STRCMP_CONTAINS("no such program", status.message().c_str());
  CHECK_TRUE(Eventually([&] { return Runs(); }));
  pair.Frame("goes on");
  CHECK_TRUE(Eventually([&] { return pair.FrameIsOut("goes on"); }));
  // And is protected again by itself.
  CHECK_TRUE(pair.Protects());
}

TEST(HandOver, IsRefusedWhileTheGuestIsNotProtected) {
  pair.StartBackup();
  STRCMP_CONTAINS("not protected at this moment", pair.backup->HandOver().message().c_str());
  pair.StartPrimary();
  CHECK_TRUE(pair.Protects());
  HAVEN_CHECK_OK(pair.backup->HandOver());
  STRCMP_CONTAINS("runs here already", pair.backup->HandOver().message().c_str());
}

TEST(HandOver, WithoutTheLastWordTheArbiterDecides) {
  // It says no to everybody: neither may the backup take the guest.
  pair.backup_options.arbiter = pair.Arbiter("exit 1");
  pair.primary_options.arbiter = "/bin/true";
  Start();
  Status status = pair.backup->HandOver();
  STRCMP_CONTAINS("the arbiter decided for the primary", status.message().c_str());
  CHECK_TRUE(Eventually([&] { return Runs(); }));
}

TEST(HandOver, OfAPausedGuestLeavesItPaused) {
  Start();
  pair.loop.Run([&] { pair.guest.administrator_paused = true; });
  HAVEN_CHECK_OK(pair.backup->HandOver());
  CHECK_TRUE(pair.activator.started_paused());
}
