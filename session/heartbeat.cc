// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/heartbeat.h"

#include <algorithm>

namespace haven::session {
namespace {

/// A peer may not make us send without pause.
constexpr milliseconds kSmallestDeadline{50};

}  // namespace

milliseconds HeartbeatDeadline(milliseconds own, uint32_t peer_ms) {
  if (peer_ms == 0) return own;
  return std::min(own, std::max(kSmallestDeadline, milliseconds(peer_ms)));
}

Heartbeat::Heartbeat(Link& link, milliseconds deadline, std::function<wire::Liveness()> look)
    : link_(link),
      look_(std::move(look)),
      thread_([this, deadline] { Run(std::max(milliseconds(1), deadline / 4)); },
              [this](const Status&) {
                link_.Close();  // the other side would count us as dead, with all of this going on
              }) {}

Heartbeat::~Heartbeat() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Heartbeat::Run(milliseconds period) {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    auto now = link_.clock().Now().time_since_epoch();
    wire::Heartbeat beat{static_cast<uint64_t>(std::chrono::duration_cast<microseconds>(now).count()), 0};
    bool alive = link_.Send(wire::Type::kHeartbeat, kSyncEpoch, wire::Encode(beat)).ok();
    if (alive && look_) alive = link_.Send(wire::Type::kLiveness, kSyncEpoch, wire::Encode(look_())).ok();
    lock.lock();
    if (!alive) return;
    link_.clock().WaitFor(wake_, lock, period, [this] { return stopping_; });
  }
}

}  // namespace haven::session
