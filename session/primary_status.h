/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_PRIMARY_STATUS_H
#define HAVEN_SESSION_PRIMARY_STATUS_H

#include <string>

#include "core/clock.h"
#include "core/epoch.h"
#include "memrep/encoder_options.h"

namespace haven::session {

enum class PrimaryState { kConnecting, kSyncing, kProtected, kUnprotected, kRefused, kLost, kStopped };

/// One epoch's figures: the parts of the pause, in order, and what it cost.
struct EpochFigures {
  microseconds settle{0};  ///< before the pause, requests in flight finish, the guest makes itself ready
  microseconds stop{0}, device{0}, harvest{0}, copy{0}, resume{0};
  microseconds pause{0};   ///< from the order to stop until the guest runs
  microseconds commit{0};  ///< from the cut until COMMITTED arrived
  microseconds decode{0};  ///< at the backup, as it says
  microseconds apply{0};   ///< at the backup, of the epoch before
  uint64_t pages = 0;
  uint64_t wire_bytes = 0;
  memrep::EncoderFigures encoder;
};

/// Median, 99th percentile and maximum of a figure over the last epochs.
struct Quantiles {
  uint64_t p50 = 0, p99 = 0, max = 0;
};

struct PrimaryStatus {
  PrimaryState state = PrimaryState::kConnecting;
  std::string message;
  Epoch epoch = 0;  ///< last committed
  uint64_t sync_done_bytes = 0, sync_total_bytes = 0;
  uint64_t epochs = 0;
  uint64_t losses = 0;
  Quantiles pause_us, settle_us, stop_us, device_us, harvest_us, copy_us, resume_us, commit_us;
  uint64_t dirty_pages_last = 0, dirty_pages_total = 0;
  uint64_t memory_wire_bytes = 0, disk_wire_bytes = 0, wire_bytes_last = 0;
  memrep::EncoderFigures encoder_last;  ///< of the last epoch
  microseconds decode_last{0}, apply_last{0};
  uint64_t frames_held = 0, frames_released = 0, frames_dropped = 0;
  microseconds lag{0};
  microseconds cpu{0};
  std::string newer;  ///< whose copy is newer, as of the last comparison: see NewerSide(); empty: there was none
};

}  // namespace haven::session

#endif
