/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_CHECKPOINTER_H
#define HAVEN_SESSION_CHECKPOINTER_H

#include <functional>
#include <optional>
#include <vector>

#include "blkrep/disk_replicator.h"
#include "memrep/page_snapshot.h"
#include "session/early_pages.h"
#include "session/guest.h"
#include "session/output_gate.h"
#include "session/recent_peak.h"

namespace haven::session {

/// What the pause of one epoch yields.
struct Checkpoint {
  Epoch epoch = 0;
  Bytes device_state;
  uint64_t disk_records = 0;
  bool guest_paused = false;  ///< not by us
  wire::GuestRun run = wire::GuestRun::kUnknown;
  Instant cut;
  std::optional<Instant> output_since;  ///< when the epoch's first output came
  EpochFigures figures;
};

/// Takes checkpoints: all that happens while the guest stands still, and
/// nothing else.
class Checkpointer {
 public:
  /// Room for so many copies is kept at least: 64 MiB.
  static constexpr uint64_t kWarmPages = 16384;

  /// @param clock  of its figures, by which epochs are planned.
  /// @param workers  outlives it; nullptr: the main thread copies alone.
  Checkpointer(Guest& guest, OutputGate& output, blkrep::DiskReplicator& disks, Clock& clock,
               memrep::WorkerPool* workers = nullptr);

  /// Makes ready for the next pause: clears bitmaps, warms memory. Before
  /// each Take() or Harvest(), outside of the pause, not while one runs.
  void Prepare(AfterHarvest after);

  enum class Then { kResume, kStayStopped };
  /// Main thread. Stops the guest, saves its state, cuts the epoch, lets it run
  /// unless it is to stay stopped.
  /// On failure the guest runs again and the epoch is not cut.
  /// @param cut  called when the epoch is cut, while the guest still stands.
  Status Take(Checkpoint& out, Then then, const std::function<void()>& cut);

  /// Main thread. Harvests the dirty pages without a pause.
  Status Harvest();
  /// Of the epoch in which the guest runs; driver. What it keeps is copied by the next Take().
  EarlyPages& early() { return early_; }

  /// The pages of the last Take().
  const memrep::PageSnapshot& snapshot() const { return snapshot_; }
  /// The bitmaps of the last Harvest(), by region.
  PageSets& bitmaps() { return bitmaps_; }

 private:
  Status SaveState(Checkpoint& out, Instant stopped);
  Status SaveAndCut(Checkpoint& out, Instant stopped, const std::function<void()>& cut);
  /// Since the last call.
  int64_t BusyPercent();

  Guest& guest_;
  OutputGate& output_;
  blkrep::DiskReplicator& disks_;
  Clock& clock_;
  memrep::PageSnapshot snapshot_;
  PageSets bitmaps_;
  EarlyPages early_;
  AfterHarvest after_harvest_ = AfterHarvest::kForget;
  std::optional<microseconds> cpu_;  ///< of the guest, at the last checkpoint ...
  Instant cpu_seen_{};               ///< ... which was then
  RecentPeak most_pages_;            ///< of an epoch
  size_t most_device_bytes_ = 0;
};

}  // namespace haven::session

#endif
