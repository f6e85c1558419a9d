/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_PRIMARY_REPORT_H
#define HAVEN_SESSION_PRIMARY_REPORT_H

#include <algorithm>
#include <string>

#include "core/threads.h"
#include "session/epoch_history.h"

namespace haven::session {

/// What the primary tells people of itself. Any thread.
class PrimaryReport {
 public:
  /// What is lost stays so. @return whether that is new.
  bool Set(PrimaryState state, const std::string& message) {
    std::lock_guard lock(mutex_);
    if (state_ == state && message_ == message) return false;
    if (state_ == PrimaryState::kLost && state != PrimaryState::kLost) return false;
    state_ = state;
    message_ = message;
    return true;
  }
  PrimaryState state() {
    std::lock_guard lock(mutex_);
    return state_;
  }

  std::string message() {
    std::lock_guard lock(mutex_);
    return message_;
  }

  void SetNewer(const std::string& newer) {
    std::lock_guard lock(mutex_);
    newer_ = newer;
  }
  /// Of the first copy.
  void BeginCopy(uint64_t memory_bytes, uint64_t disk_bytes) {
    std::lock_guard lock(mutex_);
    memory_left_bytes_ = memory_bytes;
    copy_total_bytes_ = memory_bytes + disk_bytes;
  }
  void Copied(uint64_t memory_bytes) {
    std::lock_guard lock(mutex_);
    memory_left_bytes_ -= std::min(memory_left_bytes_, memory_bytes);
  }
  void EndCopy() { Copied(UINT64_MAX); }

  void Add(const EpochFigures& figures) {
    std::lock_guard lock(mutex_);
    history_.Add(figures);
  }
  /// The connection has ended.
  void CountLoss() {
    std::lock_guard lock(mutex_);
    if (state_ == PrimaryState::kProtected) losses_++;
  }

  /// @param disk_left_bytes  that the first copy has still to send.
  void Fill(PrimaryStatus& status, uint64_t disk_left_bytes) {
    std::lock_guard lock(mutex_);
    status.state = state_;
    status.message = message_;
    status.newer = newer_;
    status.losses = losses_;
    history_.Summarise(status);
    const uint64_t left = memory_left_bytes_ + disk_left_bytes;
    status.sync_total_bytes = copy_total_bytes_;
    status.sync_done_bytes = left < copy_total_bytes_ ? copy_total_bytes_ - left : 0;
  }

 private:
  Mutex mutex_;  ///< guards what follows
  PrimaryState state_ = PrimaryState::kConnecting;
  std::string message_;
  std::string newer_;  ///< NewerSide() of the last comparison
  uint64_t losses_ = 0;
  uint64_t memory_left_bytes_ = 0, copy_total_bytes_ = 0;
  EpochHistory history_;
};

}  // namespace haven::session

#endif
