// SPDX-License-Identifier: GPL-2.0-or-later
//
// Guests that take part in their own stop, and output that is held outside of
// the session.

#include "tests/unit/session_pair.h"

#include <algorithm>

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;
using namespace haven::session::test;

TEST_GROUP(GuestsOwnStop) {
  Pair pair;

  void StartAndWaitUntilAsked() {
    pair.guest.ready_at_once = false;
    pair.StartBackup();
    pair.StartPrimary();
    CHECK(Eventually([&] { return pair.guest.ready_asked == 1; }));
  }
  bool Ready(const Status& status) {
    bool taken = false;
    pair.loop.Run([&] { taken = pair.primary->GuestReady(status); });
    return taken;
  }
};

TEST(GuestsOwnStop, TakesTheCheckpointWhenTheGuestIsReadyAndNotBefore) {
  StartAndWaitUntilAsked();
  pair.Frame("the main thread serves the guest meanwhile");
  CHECK(pair.FrameIsOut("the main thread serves the guest meanwhile"));
  CHECK_EQUAL(0, pair.guest.stops);
  CHECK_TRUE(Ready(Status::Ok()));
  CHECK_EQUAL(1, pair.guest.stops);
  CHECK(pair.Protects());
  CHECK(Eventually([&] { return pair.guest.ready_asked == 2; }));
  CHECK_EQUAL(1, pair.guest.stops);
}

TEST(GuestsOwnStop, AsksAgainAfterAMomentThatWasNoneForACheckpoint) {
  StartAndWaitUntilAsked();
  CHECK_FALSE(Ready({StatusCode::kTryAgain, "not now"}));
  CHECK(Eventually([&] { return pair.guest.ready_asked == 2; }));
  CHECK_EQUAL(0, pair.guest.stops);
  CHECK_TRUE(Ready(Status::Ok()));
  CHECK(pair.Protects());
}

TEST(GuestsOwnStop, RunsForAnIntervalHoweverLongItTookToMakeItselfReady) {
  pair.UseFakeClock();
  pair.primary_options.mode.interval = milliseconds(100);
  pair.guest.ready_at_once = false;
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.AsTimePasses([&] { return pair.guest.ready_asked == 1; }));
  pair.clock.Pass(milliseconds(5000));
  CHECK_TRUE(Ready(Status::Ok()));
  CHECK(pair.WaitsOut(milliseconds(100)));
  CHECK(Eventually([&] { return pair.guest.ready_asked == 2; }));
}

TEST(GuestsOwnStop, LetsTheGuestGoOnThatIsReadyWhenNobodyWaitsAnyMore) {
  CHECK(pair.guest.ready_asked == 0);
  StartAndWaitUntilAsked();
  pair.EndBackup();
  CHECK(pair.PrimaryReaches(PrimaryState::kUnprotected));
  CHECK_FALSE(Ready(Status::Ok()));
  CHECK_EQUAL(0, pair.guest.stops);
}

TEST(GuestsOwnStop, EndsWhileTheGuestHasNotAnswered) {
  StartAndWaitUntilAsked();
  pair.StopPrimary(wire::Goodbye::kUnprotect);
  CHECK_FALSE(Ready(Status::Ok()));
  CHECK_EQUAL(0, pair.guest.stops);
}

TEST_GROUP(OutsideOutput) {
  Pair pair;

  void Protect() {
    pair.StartBackup();
    pair.StartPrimary();
    CHECK(pair.Protects());
  }
  std::vector<std::string> Calls() {
    std::vector<std::string> calls;
    pair.loop.Run([&] { calls = pair.guest.output_calls; });
    return calls;
  }
  size_t Count(const std::string& call) {
    auto calls = Calls();
    return static_cast<size_t>(std::count(calls.begin(), calls.end(), call));
  }
};

TEST(OutsideOutput, IsReleasedAfterEachCommitAndNeverTwiceForOneCut) {
  pair.primary_options.output_elsewhere = true;
  Protect();
  CHECK(Eventually([&] { return Calls().size() >= 6; }));
  auto calls = Calls();
  for (size_t i = 0; i < calls.size(); i++) STRCMP_EQUAL(i % 2 == 0 ? "cut" : "release", calls[i].c_str());
}

TEST(OutsideOutput, IsAllReleasedWhenTheBackupIsLost) {
  Protect();
  pair.EndBackup();
  CHECK(pair.PrimaryReaches(PrimaryState::kUnprotected));
  CHECK(Eventually([&] { return Calls().back() == "all"; }));
  CHECK_EQUAL(1, Count("all"));
}

TEST(OutsideOutput, IsAllReleasedWhenProtectionEnds) {
  Protect();
  pair.StopPrimary(wire::Goodbye::kUnprotect);
  STRCMP_EQUAL("all", Calls().back().c_str());
}

TEST(OutsideOutput, StaysHeldForeverWhenTheBackupRunsTheGuest) {
  pair.primary_options.arbiter = pair.backup_options.arbiter = pair.Arbiter("exit 1");
  Protect();
  pair.EndBackup();
  CHECK(pair.PrimaryReaches(PrimaryState::kLost));
  pair.EndPrimary();
  CHECK_EQUAL(0, Count("all"));
}

TEST(OutsideOutput, OfAnEarlierConnectionIsDroppedWhenItIsHeldUntilABackupIsBack) {
  pair.primary_options.pause_on_loss = true;
  Protect();
  pair.EndBackup();
  CHECK(pair.PrimaryReaches(PrimaryState::kUnprotected));
  CHECK_EQUAL(0, Count("all"));
  CHECK_EQUAL(0, Count("drop"));
  pair.StartBackup();
  CHECK(pair.Protects());
  CHECK_EQUAL(1, Count("drop"));
  CHECK_EQUAL(0, Count("all"));
}

TEST(OutsideOutput, ThatCannotBeHeldEndsTheConnectionBeforeAnythingIsCommitted) {
  pair.guest.cut_output_fails = {StatusCode::kEnvironment, "no plug"};
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(Eventually([&] { return pair.guest.WasTold("no plug"); }));
  CHECK_EQUAL(0, Count("release"));
}
