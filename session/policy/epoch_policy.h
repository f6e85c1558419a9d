/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_POLICY_EPOCH_POLICY_H
#define HAVEN_SESSION_POLICY_EPOCH_POLICY_H

#include <algorithm>
#include <optional>

#include "core/clock.h"
#include "session/primary_status.h"

namespace haven::session {

struct ModeSettings;

/// When an epoch is to end.
struct EpochDue {
  Instant earliest;                          ///< not before
  Instant latest;                            ///< whatever happens
  std::optional<microseconds> after_output;  ///< after the epoch's first output; none: output ends no epoch

  /// @param output_since  when the epoch's first output began to wait.
  Instant When(const std::optional<Instant>& output_since) const {
    if (!after_output || !output_since) return latest;
    return std::max(earliest, std::min(latest, *output_since + *after_output));
  }
};

/// Decides when epochs end. One class for each mode. Driver thread.
class EpochPolicy {
 public:
  virtual ~EpochPolicy() = default;
  /// Other settings of the same mode.
  virtual void Set(const ModeSettings& settings) = 0;
  /// @param resumed  since when the guest runs, after a checkpoint that was taken.
  virtual EpochDue Next(Instant resumed) = 0;
  /// What an epoch has cost; at once, but for what is known at its commit only.
  virtual void NoteTaken(const EpochFigures& /*epoch*/) {}
  /// In the order of the epochs, each some time after NoteTaken().
  virtual void NoteCommitted(const EpochFigures& /*epoch*/) {}
};

}  // namespace haven::session

#endif
