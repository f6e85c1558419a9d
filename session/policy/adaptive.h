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
///   - the latency target less what comes after that time until output leaves: the pause and the commit;
///   - at least so long that the guest stands still for no larger share than the limit allows, and that the link
///     carries the epoch in it: those win over the latency.
///
/// An epoch without output lasts until its dirty pages would make the pause longer than its target, or its age does.
/// Nothing is fed back but what was measured, as a median: so it neither swings nor follows a single bad epoch, and
/// it has followed a change of load when three epochs have shown it.
class Adaptive : public EpochPolicy {
 public:
  explicit Adaptive(const ModeSettings& settings) : settings_(settings) {}
  EpochDue Next(Instant resumed) override;
  void Note(const EpochFigures& committed) override;

 private:
  void NotePages(const EpochFigures& epoch);

  const ModeSettings settings_;
  using Recent = RecentMedian<5>;

  Recent pause_us_, commit_us_, transfer_us_;
  Recent fixed_us_;     ///< of the pause: what does not depend on the pages
  Recent ns_per_page_;  ///< of the pause
  Recent run_us_;       ///< for which an epoch's pages would have made the pause that is wanted ...
  /// ... in the last epoch: a burst is followed at once, its end when it has lasted. None: not known yet.
  std::optional<uint64_t> last_run_us_;
};

}  // namespace haven::session

#endif
