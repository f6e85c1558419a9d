// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/after_loss.h"

#include "core/assert.h"

namespace haven::session {

AfterLoss Decide(const LossFacts& facts) {
  using Arbiter = LossFacts::Arbiter;
  using Backup = LossFacts::Backup;
  if (facts.backup == Backup::kHasIt || facts.arbiter == Arbiter::kLost) return AfterLoss::kHalt;
  const bool undecided = facts.arbiter == Arbiter::kNotAsked || facts.arbiter == Arbiter::kUnknown;
  // The backup may run it already, and nobody else can say whether it does.
  if (facts.guest == LossFacts::Guest::kGiven && facts.arbiter == Arbiter::kNone) return AfterLoss::kHalt;
  if (facts.guest == LossFacts::Guest::kGiven && undecided) return AfterLoss::kAskArbiter;
  if (!facts.held) return AfterLoss::kRetry;
  if (facts.pause_on_loss) return AfterLoss::kHold;
  // Before the backup: it notes who asks, and starts nothing by itself from then on. One that has lost leaves it alone.
  if (facts.arbiter == Arbiter::kNotAsked) return AfterLoss::kAskArbiter;
  // However long this process has stood still meanwhile: a backup that was promoted says so.
  if (facts.backup == Backup::kNotAsked) return AfterLoss::kAskBackup;
  // One that is busy may wait for the arbiter for long: who asks that first goes on.
  if (facts.backup == Backup::kBusy && facts.arbiter == Arbiter::kNone) return AfterLoss::kAskBackup;
  if (undecided) return AfterLoss::kAskArbiter;
  return AfterLoss::kRelease;
}

const char* AfterLossName(AfterLoss step) {
  switch (step) {
    case AfterLoss::kRetry: return "retry";
    case AfterLoss::kAskBackup: return "ask-backup";
    case AfterLoss::kAskArbiter: return "ask-arbiter";
    case AfterLoss::kHold: return "hold";
    case AfterLoss::kRelease: return "release";
    case AfterLoss::kHalt: return "halt";
  }
  HAVEN_ASSERT(false);
}

}  // namespace haven::session
