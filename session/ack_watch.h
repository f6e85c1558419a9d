/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_ACK_WATCH_H
#define HAVEN_SESSION_ACK_WATCH_H

#include <optional>

#include "blkrep/disk_replicator.h"
#include "core/clock.h"

namespace haven::session {

/// Notices a backup that answers, but does not acknowledge the guest's writes:
/// they would wait for ever, and the guest with them. One thread.
class AckWatch {
 public:
  Status Check(const blkrep::DiskReplicator::Acks& acks, Instant now, milliseconds patience) {
    if (!acks.waiting || acks.acknowledged != acknowledged_ || !since_) {
      since_ = acks.waiting ? std::optional(now) : std::nullopt;
      acknowledged_ = acks.acknowledged;
      return Status::Ok();
    }
    if (now - *since_ < patience) return Status::Ok();
    return {StatusCode::kPeerLost, "the backup answers, but does not acknowledge disk writes"};
  }

 private:
  uint64_t acknowledged_ = 0;
  std::optional<Instant> since_;  ///< of the first look that found requests waiting and nothing new
};

}  // namespace haven::session

#endif
