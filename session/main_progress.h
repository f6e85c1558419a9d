/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_MAIN_PROGRESS_H
#define HAVEN_SESSION_MAIN_PROGRESS_H

#include <memory>

#include "core/records.h"
#include "session/guest.h"
#include "session/main_thread.h"

namespace haven::session {

/// Whether the device model gets anywhere: a hung disk stops its checkpoints, and what hangs otherwise its main thread,
/// while our own threads go on and keep telling the backup that this side lives.
class MainProgress {
 public:
  /// All outlive this. @param clock  of its times.
  MainProgress(MainThread& main, Guest& guest, Clock& clock);

  /// Any thread, one at a time: asks the main thread to run something, unless that is under way, and says since when
  /// it has not or a checkpoint has waited for a disk, and what the guest did then.
  wire::Liveness Look();

 private:
  struct Shared;

  MainThread& main_;
  Guest& guest_;
  Clock& clock_;
  const std::shared_ptr<Shared> shared_;  ///< with what is still queued
};

}  // namespace haven::session

#endif
