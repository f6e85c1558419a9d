// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a primary does after a loss: the whole table.

#include "session/after_loss.h"

#include <functional>

#include <CppUTest/TestHarness.h>

using namespace haven::session;
using Arbiter = LossFacts::Arbiter;
using Backup = LossFacts::Backup;
using GuestIs = LossFacts::Guest;

namespace {

void ForAll(const std::function<void(const LossFacts&, AfterLoss)>& check) {
  int rows = 0;
  for (bool held : {false, true}) {
    for (bool pause : {false, true}) {
      for (GuestIs guest : {GuestIs::kHere, GuestIs::kGiven}) {
        for (Backup backup : {Backup::kNotAsked, Backup::kSilent, Backup::kBusy, Backup::kYields, Backup::kHasIt}) {
          for (Arbiter arbiter :
               {Arbiter::kNone, Arbiter::kNotAsked, Arbiter::kUnknown, Arbiter::kWon, Arbiter::kLost}) {
            const LossFacts facts{held, pause, guest, backup, arbiter};
            check(facts, Decide(facts));
            rows++;
          }
        }
      }
    }
  }
  CHECK_EQUAL(200, rows);
}

/// Protected without a pause on loss, unless a test says otherwise.
LossFacts Held(Backup backup, Arbiter arbiter = Arbiter::kNone) {
  return {true, false, GuestIs::kHere, backup, arbiter};
}

void Expect(AfterLoss step, const LossFacts& facts) { STRCMP_EQUAL(AfterLossName(step), AfterLossName(Decide(facts))); }

}  // namespace

TEST_GROUP(AfterLoss){};

TEST(AfterLoss, NothingLeavesBeforeTheBackupWasAskedAndTheArbiterWon) {
  ForAll([](const LossFacts& facts, AfterLoss step) {
    if (step != AfterLoss::kRelease) return;
    CHECK(facts.held);
    CHECK(facts.backup != Backup::kNotAsked && facts.backup != Backup::kHasIt);
    CHECK(facts.backup != Backup::kBusy || facts.arbiter == Arbiter::kWon);
    CHECK(facts.arbiter == Arbiter::kNone || facts.arbiter == Arbiter::kWon);
    CHECK_FALSE(facts.pause_on_loss);
  });
}

TEST(AfterLoss, HaltsOnlyWhoHasLostOrHasGivenTheGuestAway) {
  ForAll([](const LossFacts& facts, AfterLoss step) {
    const bool lost = facts.backup == Backup::kHasIt || facts.arbiter == Arbiter::kLost;
    const bool given = facts.guest == GuestIs::kGiven && facts.arbiter == Arbiter::kNone;
    CHECK_EQUAL(lost || given, step == AfterLoss::kHalt);
  });
}

TEST(AfterLoss, NobodyIsAskedWhoHasAnsweredForGood) {
  ForAll([](const LossFacts& facts, AfterLoss step) {
    if (step == AfterLoss::kAskArbiter)
      CHECK(facts.arbiter == Arbiter::kNotAsked || facts.arbiter == Arbiter::kUnknown);
    if (step == AfterLoss::kAskBackup) CHECK(facts.backup == Backup::kNotAsked || facts.backup == Backup::kBusy);
  });
}

TEST(AfterLoss, EachQuestionEndsSomewhere) {
  // Whatever is answered, two answers that are final lead to a step that is no question.
  ForAll([](const LossFacts& facts, AfterLoss) {
    LossFacts answered = facts;
    if (answered.backup == Backup::kNotAsked || answered.backup == Backup::kBusy) answered.backup = Backup::kSilent;
    if (answered.arbiter == Arbiter::kNotAsked || answered.arbiter == Arbiter::kUnknown)
      answered.arbiter = Arbiter::kWon;
    const AfterLoss step = Decide(answered);
    CHECK(step != AfterLoss::kAskBackup && step != AfterLoss::kAskArbiter);
  });
}

TEST(AfterLoss, HasTheRowsOfTheDocument) {
  Expect(AfterLoss::kRetry, {});
  Expect(AfterLoss::kAskBackup, Held(Backup::kNotAsked));
  Expect(AfterLoss::kAskBackup, Held(Backup::kBusy));
  Expect(AfterLoss::kAskArbiter, Held(Backup::kNotAsked, Arbiter::kNotAsked));  // the backup notes who has asked it
  Expect(AfterLoss::kAskBackup, Held(Backup::kNotAsked, Arbiter::kUnknown));
  Expect(AfterLoss::kAskBackup, Held(Backup::kNotAsked, Arbiter::kWon));
  Expect(AfterLoss::kRelease, Held(Backup::kYields));
  Expect(AfterLoss::kRelease, Held(Backup::kSilent));
  Expect(AfterLoss::kHalt, Held(Backup::kHasIt));
  Expect(AfterLoss::kAskArbiter, Held(Backup::kYields, Arbiter::kNotAsked));
  Expect(AfterLoss::kAskArbiter, Held(Backup::kBusy, Arbiter::kNotAsked));  // which waits for it, too
  Expect(AfterLoss::kRelease, Held(Backup::kBusy, Arbiter::kWon));
  Expect(AfterLoss::kAskArbiter, Held(Backup::kSilent, Arbiter::kUnknown));
  Expect(AfterLoss::kRelease, Held(Backup::kSilent, Arbiter::kWon));
  Expect(AfterLoss::kHalt, Held(Backup::kSilent, Arbiter::kLost));
  Expect(AfterLoss::kHalt, Held(Backup::kHasIt, Arbiter::kWon));
}

TEST(AfterLoss, HoldsByPolicyWithoutAskingAnybody) {
  LossFacts facts = Held(Backup::kNotAsked, Arbiter::kNotAsked);
  facts.pause_on_loss = true;
  Expect(AfterLoss::kHold, facts);
}

TEST(AfterLoss, AGuestThatWasGivenAwayComesBackByTheArbiterOnly) {
  LossFacts facts = Held(Backup::kNotAsked);
  facts.guest = GuestIs::kGiven;
  Expect(AfterLoss::kHalt, facts);
  facts.arbiter = Arbiter::kNotAsked;
  Expect(AfterLoss::kAskArbiter, facts);
  facts.arbiter = Arbiter::kWon;
  Expect(AfterLoss::kAskBackup, facts);
}
