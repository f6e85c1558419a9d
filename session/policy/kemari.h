/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_POLICY_KEMARI_H
#define HAVEN_SESSION_POLICY_KEMARI_H

#include "session/policy/epoch_policy.h"

namespace haven::session {

/// As soon as output waits. The window lets what belongs to it come, too: a reply has often more than one frame.
class WhenOutputWaits : public EpochPolicy {
 public:
  WhenOutputWaits(microseconds window, milliseconds max_age) : window_(window), max_age_(max_age) {}
  EpochDue Next(Instant resumed) override { return {resumed, resumed + max_age_, window_}; }

 private:
  const microseconds window_;
  const milliseconds max_age_;
};

}  // namespace haven::session

#endif
