/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_HEARTBEAT_H
#define HAVEN_SESSION_HEARTBEAT_H

#include <functional>

#include "core/link.h"
#include "core/records.h"
#include "core/threads.h"

namespace haven::session {

/// Sends a HEARTBEAT every quarter of the deadline from a thread of its own, so
/// that no other work of this side can make it look dead. The other side
/// counts us as dead when nothing came on the control connection for a whole
/// deadline of its own (Link::Receive's timeout): see HeartbeatDeadline().
class Heartbeat {
 public:
  /// @param link  outlives this; the time is its clock's.
  /// @param look  on the thread: what a primary says besides; none: nothing.
  Heartbeat(Link& link, milliseconds deadline, std::function<wire::Liveness()> look = nullptr);
  ~Heartbeat();

 private:
  void Run(milliseconds period);

  Link& link_;
  const std::function<wire::Liveness()> look_;
  Mutex mutex_;
  Condition wake_;
  bool stopping_ = false;
  Thread thread_;
};

/// The deadline that heartbeats have to satisfy when the sides are configured
/// differently: the smaller one. Pure; any thread.
/// @param peer_ms  as the peer says, untrusted; 0: it does not say.
milliseconds HeartbeatDeadline(milliseconds own, uint32_t peer_ms);

}  // namespace haven::session

#endif
