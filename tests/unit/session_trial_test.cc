// SPDX-License-Identifier: GPL-2.0-or-later
//
// A guest is protected when its checkpoint was loaded on the backup, as a trial, and not before.

#include <atomic>

#include "tests/unit/session_pair.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;
using namespace haven::session::test;

TEST_GROUP(Trial) {
  Pair pair;
  std::atomic<bool> may_end{false};

  void teardown() override { may_end = true; }
  /// The trial lasts until `may_end`.
  void HoldTrial(const Status& then = {}) {
    pair.activator.on_try = [this, then] {
      while (!may_end) std::this_thread::sleep_for(milliseconds(1));
      return then;
    };
  }
  void Start() {
    pair.primary_options.machine = pair.activator.machine = "cpus = 1\n";
    pair.StartBackup();
    pair.StartPrimary();
  }
  void Cut() {
    pair.loop.Run([&] { pair.primary->Fail(EndOf(Status(StatusCode::kPeerLost, "cut by the test"))); });
  }
  std::unique_ptr<HandMadeSession> Verifying() {
    pair.StartBackup();
    auto session = std::make_unique<HandMadeSession>(pair.listener.port());
    CHECK(session->SendLayout().header.type == wire::Type::kLayoutReply);
    session->SendEpoch(1);
    CHECK_EQUAL(1, session->control.Next().header.epoch);
    CHECK(pair.BackupReaches(BackupState::kVerifying));
    return session;
  }
};

TEST(Trial, EpochsGoOnAndOutputIsHeldWhileTheGuestIsNotProtectedYet) {
  HoldTrial();
  Start();
  CHECK(pair.PrimaryReaches(PrimaryState::kVerifying));
  CHECK(pair.BackupReaches(BackupState::kVerifying));
  CHECK(Eventually([&] { return pair.Query().epoch > 3; }));
  pair.Frame("one");
  CHECK(Eventually([&] { return pair.FrameIsOut("one"); }));
  CHECK(pair.Query().state == PrimaryState::kVerifying);
  HAVEN_CHECK_FAILS(StatusCode::kRefused,
                    "guest vm is not protected at this moment, so that its primary could hand it over",
                    pair.backup->HandOver());
  may_end = true;
  CHECK(pair.Protects());
  CHECK_EQUAL(1, pair.activator.trials());
}

TEST(Trial, ACheckpointThatCannotBeLoadedIsRefusedOnBothSidesAndTheGuestRuns) {
  pair.activator.on_try = [] { return Status(StatusCode::kRefused, "it has another ROM"); };
  Start();
  CHECK(pair.PrimaryReaches(PrimaryState::kRefused));
  STRCMP_EQUAL("the backup says: it has another ROM", pair.Query().message.c_str());
  CHECK(Eventually([&] { return pair.backup->Query().message.find("it has another ROM") != std::string::npos; }));
  bool runs = false;
  pair.loop.Run([&] { runs = pair.guest.running(); });
  CHECK_TRUE(runs);
  pair.Frame("one");
  CHECK(pair.FrameIsOut("one"));
}

TEST(Trial, WhatFailsForReasonsOfTheHostIsTriedAgain) {
  std::atomic<int> tries{0};
  pair.activator.on_try = [&] { return tries++ == 0 ? Status(StatusCode::kEnvironment, "no process") : Status::Ok(); };
  Start();
  CHECK(pair.Protects());
  CHECK_EQUAL(2, pair.activator.trials());
}

TEST(Trial, WhatWasLoadedOnceIsNotTriedAgainAfterALostLink) {
  Start();
  CHECK(pair.Protects());
  Cut();
  CHECK(Eventually([&] { return pair.activator.prepared() == 2; }));
  CHECK(pair.Protects());
  CHECK_EQUAL(1, pair.activator.trials());
}

TEST(Trial, AnotherMachineIsTried) {
  Start();
  CHECK(pair.Protects());
  pair.EndPrimary();
  pair.primary_options.machine = pair.activator.machine = "cpus = 2\n";
  pair.primary_options.life[0] = 2;
  pair.StartPrimary();
  CHECK(pair.Protects());
  CHECK_EQUAL(2, pair.activator.trials());
}

TEST(Trial, APrimaryThatDiesMeanwhileIsTakenOverFromWhenTheTrialHasEnded) {
  HoldTrial();
  pair.backup_options.auto_promote = true;
  auto session = Verifying();
  session->Close();
  CHECK_EQUAL(0, pair.activator.activations());
  may_end = true;
  CHECK(pair.BackupReaches(BackupState::kPromoted));
  CHECK_EQUAL(1, pair.activator.activations());
}

TEST(Trial, OneThatHangsDoesNotKeepTheGuestFromBeingTakenOver) {
  HoldTrial(Status(StatusCode::kTryAgain, "ended"));
  pair.activator.on_end_trial = [this] { may_end = true; };
  pair.backup_options.auto_promote = true;
  auto session = Verifying();
  session->Close();
  CHECK(pair.BackupReaches(BackupState::kPromoted));
}

TEST(Trial, APersonsFailoverMeanwhileIsDoneWhenTheTrialHasEnded) {
  HoldTrial(Status(StatusCode::kRefused, "it has another ROM"));
  auto session = Verifying();
  std::thread ends([this] {
    std::this_thread::sleep_for(milliseconds(20));
    may_end = true;
  });
  HAVEN_CHECK_OK(pair.backup->Failover(true));
  ends.join();
  CHECK(pair.backup->Query().state == BackupState::kPromoted);
}

TEST(Trial, IsToldOnceAfterTheFirstCommit) {
  auto session = [&] {
    pair.StartBackup();
    return std::make_unique<HandMadeSession>(pair.listener.port());
  }();
  CHECK(session->SendLayout().header.type == wire::Type::kLayoutReply);
  session->SendEpoch(1);
  CHECK_EQUAL(1, session->control.Next().header.epoch);
  CHECK_EQUAL(0, session->control.verified);
  CHECK(pair.BackupReaches(BackupState::kProtecting));
  session->SendEpoch(2);
  CHECK_EQUAL(2, session->control.Next().header.epoch);
  session->SendEpoch(3);
  CHECK_EQUAL(3, session->control.Next().header.epoch);
  CHECK_EQUAL(1, session->control.verified);
}

TEST(Trial, ABackupThatEndsWaitsForIt) {
  HoldTrial();
  auto session = Verifying();
  std::thread ends([this] {
    std::this_thread::sleep_for(milliseconds(20));
    may_end = true;
  });
  pair.EndBackup();
  ends.join();
}
