/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_POLICY_KEMARI_H
#define HAVEN_SESSION_POLICY_KEMARI_H

#include "session/policy/epoch_policy.h"
#include "session/policy/mode.h"

namespace haven::session {

/// As soon as output waits. The window lets what belongs to it come, too: a reply has often more than one frame.
class WhenOutputWaits : public EpochPolicy {
 public:
  void Set(const ModeSettings& settings) override {
    window_ = settings.window;
    max_age_ = settings.max_age;
  }
  EpochDue Next(Instant resumed) override { return {resumed, resumed + max_age_, window_}; }

 private:
  microseconds window_{0};
  milliseconds max_age_{0};
};

}  // namespace haven::session

#endif
