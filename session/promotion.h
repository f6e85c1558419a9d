/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_PROMOTION_H
#define HAVEN_SESSION_PROMOTION_H

#include "session/backup_situation.h"

namespace haven::session {

/// Starts the guest here from the checkpoint that is held: first the arbiter is asked, then the new generation is
/// written down, then the replicas are given away, then the guest is started. The generation is taken back if it never
/// ran. Thread-safe; no lock is held by a caller; calls block until the guest runs.
class Promotion {
 public:
  /// Whether the arbiter is asked, and what is done while it does not answer.
  enum class Ask { kNobody, kOnce, kUntilAnswered };

  /// @param here  outlives this.
  explicit Promotion(BackupSituation& here) : here_(here) {}

  /// Ok at once when it was promoted before.
  /// @return kRefused when the arbiter decided for the primary, or that has come back.
  Status Promote(Ask ask);
  /// By itself, until the arbiter has decided and the record could be written. A person's order goes before; if that
  /// fails, this goes on.
  void PromoteByItself();
  /// As PromoteByItself(), when the primary was not heard of for a while: it may have gone on while this side stood
  /// still. The situation listens already. Ends, too, when something else is decided about the checkpoint.
  void PromoteUnlessHeard();
  /// How long that is.
  milliseconds Patience() const;
  /// By order of a person: see BackupGuest.
  Status Failover(bool force);

  // Of every way to start the guest here:
  /// @return Ok: it may be started. A wait for the arbiter ends when a person orders a failover, or at the shutdown.
  Status AskForPromotion(Ask ask);
  /// Whatever the arbiter says: a primary that asks from now on has lost.
  void ClaimArbiter(const wire::Token& token);
  /// Takes the new generation back if the guest could not be started and never ran.
  /// @param before  what the record was. @return `started`, and what else has failed.
  Status TakeBackUnlessRan(Status started, const blkrep::GuestRecord& before);

 private:
  /// Under the situation's mutex.
  Status MayFailover(bool force) const;
  /// What a promotion by itself waits for, to be tried again. The situation listens for the primary then.
  enum class Pending {
    kNothing,  ///< it is at its end
    kOrder,    ///< a person's, which goes before
    kRecord,   ///< storage that takes it
  };

  /// Under the situation's promotion.
  Status PromoteLocked(Ask ask, Pending& pending);
  /// ... and what threw is a failed promotion.
  Status PromoteGuarded(Ask ask, Pending& pending);
  Status NotPromoted(Status why, Ask ask, Pending& pending, Pending what);
  Pending TryByItself();
  /// The situation listens. @return whether the primary was heard of, or something else is decided about the
  /// checkpoint; else this is a promotion again.
  bool HeardWithin(milliseconds time);

  BackupSituation& here_;
};

}  // namespace haven::session

#endif
