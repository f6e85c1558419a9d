// SPDX-License-Identifier: GPL-2.0-or-later
//
// A primary and a backup over loopback, with a guest that writes memory and
// disks and sends frames all the time. Whatever happens, what the backup
// starts is exactly what the guest was at the last committed checkpoint, and
// nobody has seen a frame of a later one.

#include "session/guest_run.h"
#include "tests/unit/session_pair.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;
using namespace haven::session::test;

TEST_GROUP(WholeSession) {
  Pair pair;

  /// The backup's image, started by a person, is the guest at some checkpoint.
  /// @return how many times the device state had been saved by then.
  size_t StartAndCompare() {
    Status promoted = pair.backup->Failover(true);
    CHECK_TEXT(promoted.ok(), promoted.message().c_str());
    GuestState started = pair.activator.started();
    CHECK(started.device.size() > 8);
    size_t serial = ByteReader(started.device).U64();
    GuestState saved;
    pair.loop.Run([&] {  // the primary may still be saving
      if (serial < pair.guest.saved.size()) saved = pair.guest.saved[serial];
    });
    CHECK(started.memory == saved.memory);
    CHECK(started.device == saved.device);
    CHECK(started.disks == saved.disks);
    return serial;
  }
};

TEST(WholeSession, TheBackupStartsTheGuestOfTheLastCommittedEpoch) {
  pair.Steps(50);  // content before protection: the first copy brings it
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.PrimaryReaches(PrimaryState::kSyncing) || pair.Query().state == PrimaryState::kProtected);
  pair.Steps(100);  // while it is copied
  CHECK(pair.Protects());
  for (int round = 0; round < 40; round++) {
    pair.Steps(20);
    Epoch now = pair.backup->Query().epoch;
    CHECK(Eventually([&] { return pair.backup->Query().epoch > now; }));
  }
  size_t serial = StartAndCompare();
  CHECK(serial >= 40);
  CHECK_EQUAL(serial, pair.backup->Query().promoted_epoch);
}

TEST(WholeSession, APageThatWasWrittenOnceIsLookedAtAgainWhileTheRecordIsKept) {
  auto after_one_write = [&](uint64_t page) {
    uint64_t unchanged = 0;
    pair.loop.Run([&] { pair.guest.WritePage(0, page, 7); });
    for (int i = 0; i < 5; i++) {
      Epoch now = pair.Query().epoch;
      CHECK(Eventually([&] { return pair.Query().epoch > now; }));
      unchanged = std::max(unchanged, pair.Query().encoder_unchanged_pages);
    }
    return unchanged;
  };
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.Protects());
  CHECK_EQUAL(1, after_one_write(3));
  CHECK_EQUAL(2, after_one_write(5));
  StartAndCompare();
}

TEST(WholeSession, AnArbiterThatOneSideOnlyAsksIsRefused) {
  pair.primary_options.arbiter = pair.Arbiter("exit 0");
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.PrimaryReaches(PrimaryState::kRefused));
  STRCMP_CONTAINS("the primary of guest vm asks an arbiter, and its backup none", pair.Query().message.c_str());
  STRCMP_CONTAINS("the last primary that came was refused: the primary of guest vm asks an arbiter",
                  pair.backup->Query().message.c_str());
  pair.StopPrimary(wire::Goodbye::kUnprotect);
  pair.EndBackup();
  pair.backup_options.arbiter = pair.primary_options.arbiter;
  pair.primary_options.arbiter = {};
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.PrimaryReaches(PrimaryState::kRefused));
  STRCMP_CONTAINS("the backup of guest vm asks an arbiter, and its primary none", pair.Query().message.c_str());
}

TEST(WholeSession, PagesThatTravelBeforeThePauseAreThoseOfTheCheckpoint) {
  pair.primary_options.early_from_pages = 1;
  pair.primary_options.mode.interval = milliseconds(20);
  pair.Steps(50);
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.Protects());
  for (int round = 0; round < 20; round++) {
    pair.Steps(20);
    Epoch now = pair.backup->Query().epoch;
    CHECK(Eventually([&] {
      pair.Steps(1);
      return pair.backup->Query().epoch > now;
    }));
  }
  CHECK(pair.Query().early_pages_total > 0);
  StartAndCompare();
}

TEST(WholeSession, NothingIsLookedAtAgainByAnEncoderThatDoesNotCompare) {
  pair.primary_options.encoder.stages = memrep::EncoderStages::kNone;
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.Protects());
  Epoch now = pair.Query().epoch;
  CHECK(Eventually([&] { return pair.Query().epoch > now + 3; }));
  CHECK_EQUAL(1, pair.Query().dirty_pages_last);  // which saving writes to
}

TEST(WholeSession, NoFrameIsOutBeforeItsEpochIsCommittedAtTheBackup) {
  pair.StartBackup();
  std::string too_early;
  uint64_t looked = 0;
  pair.guest.on_frame = [&](const std::string& text, size_t produced_after) {
    // Produced after checkpoint n: part of the state that checkpoint n+1 saves.
    looked++;
    if (pair.backup->Query().epoch < produced_after + 1) too_early = text;
  };
  pair.StartPrimary();
  CHECK(pair.Protects());
  for (int i = 0; i < 300; i++) pair.Steps(3);
  pair.Frame("last");
  CHECK(Eventually([&] { return pair.FrameIsOut("last"); }));
  pair.loop.Run([] {});  // what it has written is seen from here on
  STRCMP_EQUAL("", too_early.c_str());
  CHECK(looked > 100);
  StartAndCompare();
}

TEST(WholeSession, FramesLeaveInTheOrderInWhichTheyCame) {
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.Protects());
  for (int i = 0; i < 200; i++) pair.Frame(std::to_string(i));
  CHECK(Eventually([&] { return pair.guest.frames_out == 200; }));
  pair.loop.Run([&] {
    for (int i = 0; i < 200; i++) STRCMP_EQUAL(std::to_string(i).c_str(), pair.guest.frames[i].c_str());
  });
}

TEST(WholeSession, TheGuestSurvivesItsPrimaryUnderThePolicyDurable) {
  pair.backup_options.disk_ack = session::DiskAck::kDurable;
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.Protects());
  pair.Steps(200);
  Epoch now = pair.backup->Query().epoch;
  CHECK(Eventually([&] { return pair.backup->Query().epoch > now + 1; }));
  StartAndCompare();
}

TEST(WholeSession, AReconnectedBackupIsComplete) {
  pair.UseFakeClock();
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.Protects());
  for (int round = 0; round < 3; round++) {
    pair.Steps(100);
    pair.loop.Run([&] { pair.primary->Fail(EndOf(Status(StatusCode::kPeerLost, "cut by the test"))); });
    CHECK(Eventually([&] { return pair.Query().losses == static_cast<uint64_t>(round + 1); }));
    pair.Steps(100);
    CHECK(pair.PrimaryReaches(PrimaryState::kUnprotected));
    CHECK(pair.AsTimePasses([&] { return pair.Query().state == PrimaryState::kProtected && pair.Query().epoch > 1; }));
    CHECK(pair.Protects());
  }
  pair.Steps(50);
  Epoch now = pair.backup->Query().epoch;
  CHECK(pair.AsTimePasses([&] { return pair.backup->Query().epoch > now + 1; }));
  StartAndCompare();
}

TEST(WholeSession, AFullCopyGoesToABackupThatWasStartedAnew) {
  pair.UseFakeClock();
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.Protects());
  pair.Steps(100);
  pair.EndBackup();
  pair.Steps(50);
  CHECK(pair.PrimaryReaches(PrimaryState::kUnprotected));
  pair.StartBackup();
  HAVEN_CHECK_OK(pair.backup->Recover());
  CHECK(pair.WaitsOut(milliseconds(500)));
  CHECK(pair.Protects());
  pair.Steps(50);
  Epoch now = pair.backup->Query().epoch;
  CHECK(pair.AsTimePasses([&] { return pair.backup->Query().epoch > now + 1; }));
  StartAndCompare();
}

TEST(WholeSession, AGuestThatAnAdministratorPausedStaysPausedAfterAFailover) {
  pair.loop.Run([&] { pair.guest.administrator_paused = true; });
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.Protects());
  StartAndCompare();
  CHECK(pair.activator.started_paused());
}

TEST(WholeSession, AGuestThatStoppedOnItsDiskIsNotTakenForOneThatAnAdministratorPaused) {
  using wire::GuestRun;
  for (const GuestRun run : {GuestRun::kPaused, GuestRun::kIoError, GuestRun::kPanicked, GuestRun::kWatchdog}) {
    Pair other;
    other.loop.Run([&] { other.guest.StopsAs(run); });
    other.StartBackup();
    other.StartPrimary();
    CHECK(other.Protects());
    const std::string name = GuestRunName(run);
    CHECK(other.AsTimePasses([&] { return other.backup->Query().run_state == name; }));
    PrimaryStatus primary;
    other.loop.Run([&] { primary = other.primary->Query(); });
    STRCMP_EQUAL(name.c_str(), primary.run_state.c_str());
    HAVEN_CHECK_OK(other.backup->Failover(true));
    CHECK(other.activator.started_paused());
    CHECK(other.activator.started_run() == run);
    const BackupStatus status = other.backup->Query();
    CHECK(status.state == BackupState::kPromoted);
    STRCMP_EQUAL(name.c_str(), status.run_state.c_str());
    STRCMP_CONTAINS(("left as its primary had it (" + name + ")").c_str(), status.message.c_str());
    STRCMP_CONTAINS("goes on by cont", status.message.c_str());
  }
}

TEST(WholeSession, AGuestThatRanRunsAfterAFailover) {
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.Protects());
  StartAndCompare();
  CHECK_FALSE(pair.activator.started_paused());
}

TEST(WholeSession, TheFiguresOfTheStatusAddUp) {
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.Protects());
  pair.Steps(100);
  pair.Frame("x");
  CHECK(Eventually([&] { return pair.FrameIsOut("x"); }));
  // An epoch is counted after its commit has been announced.
  CHECK(Eventually([&] { return pair.Query().epochs > 0; }));
  PrimaryStatus status = pair.Query();
  CHECK(status.epochs > 0 && status.epoch >= status.epochs);
  CHECK(status.pause_p50_us <= status.pause_p99_us && status.pause_p99_us <= status.pause_max_us);
  CHECK_EQUAL(status.sync_total_bytes, status.sync_done_bytes);
  CHECK_EQUAL(73 * 4096 + 612 * 1024, status.sync_total_bytes);
  CHECK(status.disk_wire_bytes > 0 && status.memory_wire_bytes > 0);
  CHECK(status.frames_released > 0);
  CHECK(Eventually([&] { return pair.Query().frames_held == 0; }));
  CHECK_EQUAL(0, status.losses);
}
