/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_POLICY_ADAPTIVE_H
#define HAVEN_SESSION_POLICY_ADAPTIVE_H

#include <optional>

#include "session/policy/epoch_policy.h"
#include "session/policy/mode.h"
#include "session/recent_median.h"

namespace haven::session {

/// As often as the targets ask for, and no more often. Output ends an epoch as in kemari, but not before the guest
/// has run for a time that is computed from what the last epochs have cost:
///
///   - the latency target less what comes after that time until output leaves: the settling, the pause, the commit;
///   - at least so long that the guest loses no larger share of its work than the limit allows by standing still, that
///     the link carries the epoch in it, and that the backup has done with it: those win over the latency.
///
/// An epoch without output lasts until its dirty pages would make the pause longer than its target, or its age does.
/// Nothing is fed back but what was measured, as a median: so it neither swings nor follows a single bad epoch, and
/// it has followed a change of load when three epochs have shown it.
class Adaptive : public EpochPolicy {
 public:
  void Set(const ModeSettings& settings) override { settings_ = settings; }
  EpochDue Next(Instant resumed) override;
  void NoteTaken(const EpochFigures& epoch) override;
  void NoteCommitted(const EpochFigures& epoch) override;

 private:
  void NotePages(const EpochFigures& epoch);

  ModeSettings settings_;
  using Recent = RecentMedian<5>;

  Recent settle_us_, pause_us_, transfer_us_;
  RecentMedian<9> commit_us_;  ///< one that is late makes those behind it late, too
  Recent busy_percent_;
  Recent backup_us_;    ///< that the backup is busy with an epoch
  Recent fixed_us_;     ///< of the pause: what does not depend on the pages
  Recent ns_per_page_;  ///< of the pause
  Recent run_us_;       ///< for which an epoch's pages would have made the pause that is wanted ...
  /// ... in the last epoch: a burst is followed at once, its end when it has lasted. None: not known yet.
  std::optional<uint64_t> last_run_us_;
};

}  // namespace haven::session

#endif
