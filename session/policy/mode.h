/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_POLICY_MODE_H
#define HAVEN_SESSION_POLICY_MODE_H

#include <memory>
#include <string>

#include "core/status.h"
#include "session/policy/epoch_policy.h"

namespace haven::session {

/// What ends an epoch.
enum class Mode {
  kRemus,     ///< the interval is over
  kKemari,    ///< output waits
  kAdaptive,  ///< output waits, or the pause would become long; as often as the targets allow
};

/// A mode and its settings; those of the others are kept for when they are chosen.
struct ModeSettings {
  Mode mode = Mode::kRemus;
  milliseconds interval{50};      ///< remus: that the guest runs between two checkpoints
  microseconds window{500};       ///< kemari: from an epoch's first output to its end
  milliseconds max_age{1000};     ///< kemari, adaptive: an epoch lasts no longer
  microseconds latency{10'000};   ///< adaptive, target: how long output is held, median
  microseconds pause{5000};       ///< adaptive, target: the longest pause
  unsigned overhead_percent = 5;  ///< adaptive, limit: share of its work that the guest loses by standing still
  unsigned in_flight = 4;         ///< all: epochs that are sent and not committed, at most; to kMostEpochsInFlight
  bool predict = true;            ///< all: pages of a large epoch may travel before its pause (early_pages.h)
};

/// @param output_elsewhere  nobody sees when some of the guest's output comes.
/// @return kInvalid with one sentence that says which setting cannot be.
Status CheckMode(const ModeSettings& settings, bool output_elsewhere);
std::unique_ptr<EpochPolicy> MakePolicy(const ModeSettings& settings);
const char* ModeName(Mode mode);
/// For people: the settings that the mode goes by.
std::string DescribeMode(const ModeSettings& settings, bool output_elsewhere);

}  // namespace haven::session

#endif
