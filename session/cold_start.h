/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_COLD_START_H
#define HAVEN_SESSION_COLD_START_H

#include <string>

#include "session/promotion.h"

namespace haven::session {

/// Boots the guest here from its replicas alone, by order of a person, when the checkpoint is gone. Thread-safe; no
/// lock is held by a caller.
class ColdStart {
 public:
  /// Both outlive this.
  ColdStart(BackupSituation& here, Promotion& promotion) : here_(here), promotion_(promotion) {}

  /// See BackupGuest.
  Status Failover(bool force);
  Result<std::string> Describe();

 private:
  Status Check(const blkrep::GuestRecord& record, bool force);
  /// Whether what the record says of the copy allows it.
  Status CheckCopy(const blkrep::GuestRecord& record, bool force) const;
  /// @param left  kWaiting from when the checkpoint is given up on: what the state is if this fails.
  Status Boot(const blkrep::GuestRecord& record, bool force, BackupState& left);

  BackupSituation& here_;
  Promotion& promotion_;
};

}  // namespace haven::session

#endif
