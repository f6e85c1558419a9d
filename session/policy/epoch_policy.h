/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_POLICY_EPOCH_POLICY_H
#define HAVEN_SESSION_POLICY_EPOCH_POLICY_H

#include "core/clock.h"

namespace haven::session {

/// When an epoch ends. Driver thread.
class EpochPolicy {
 public:
  virtual ~EpochPolicy() = default;
  /// @param resumed  since when the guest runs, after a checkpoint that was taken or put off.
  /// @return when the next one begins.
  virtual Instant NextAfter(Instant resumed) = 0;
};

/// After the same time each: however long the guest stood still or made itself ready, it runs in between.
class FixedInterval : public EpochPolicy {
 public:
  explicit FixedInterval(milliseconds interval) : interval_(interval) {}
  Instant NextAfter(Instant resumed) override { return resumed + interval_; }

 private:
  const milliseconds interval_;
};

}  // namespace haven::session

#endif
