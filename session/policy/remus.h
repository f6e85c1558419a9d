/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_POLICY_REMUS_H
#define HAVEN_SESSION_POLICY_REMUS_H

#include "session/policy/epoch_policy.h"
#include "session/policy/mode.h"

namespace haven::session {

/// After the same time each: however long the guest stood still or made itself ready, it runs in between.
class FixedInterval : public EpochPolicy {
 public:
  void Set(const ModeSettings& settings) override { interval_ = settings.interval; }
  EpochDue Next(Instant resumed) override { return {resumed + interval_, resumed + interval_, std::nullopt}; }

 private:
  milliseconds interval_{0};
};

}  // namespace haven::session

#endif
