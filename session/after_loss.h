/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_AFTER_LOSS_H
#define HAVEN_SESSION_AFTER_LOSS_H

namespace haven::session {

/// What a primary knows when the connection to its backup has ended.
struct LossFacts {
  /// Of a hand-over that was under way.
  enum class Guest {
    kHere,
    kGiven,  ///< the backup was told that the guest is its own
  };
  /// What the backup has answered since, when it was asked whether this copy may go on without it.
  enum class Backup {
    kNotAsked,
    kSilent,  ///< no answer, or none that says anything
    kBusy,    ///< it has not noticed the loss yet, or is just about to start the guest
    kYields,  ///< it does not start the guest by itself any more, because it was asked
    kHasIt,   ///< the guest runs there, or ran there: this copy has lost
  };
  enum class Arbiter { kNone, kNotAsked, kUnknown, kWon, kLost };

  bool held = false;           ///< output waits: the backup may hold a checkpoint, and the right to go on from it
  bool pause_on_loss = false;  ///< ... and is to wait until a backup is back
  Guest guest = Guest::kHere;
  Backup backup = Backup::kNotAsked;
  Arbiter arbiter = Arbiter::kNone;
};

enum class AfterLoss {
  kRetry,      ///< nothing is held: the guest runs on, a backup is looked for
  kAskBackup,  ///< a fresh attempt to reach it
  kAskArbiter,
  kHold,     ///< the guest runs on, its output waits, a backup is looked for
  kRelease,  ///< this copy goes on alone: what is held leaves, after a record says so
  kHalt,     ///< this copy has lost: nothing of it leaves any more
};

/// What a primary does next. Pure. Its table is that of docs/who-may-run.md, of its unit test, and of
/// the model in tests/model.
AfterLoss Decide(const LossFacts& facts);

const char* AfterLossName(AfterLoss step);

}  // namespace haven::session

#endif
