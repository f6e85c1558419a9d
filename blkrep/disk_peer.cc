// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/disk_peer.h"

namespace haven::blkrep {

void DiskPeer::Enqueue(Outgoing outgoing, InFlight waiting, uint64_t request) {
  waiting.wire_bytes = outgoing.wire_bytes();
  unacknowledged_bytes_ += waiting.wire_bytes;
  in_flight_.emplace(request, waiting);
  queue_.push_back(std::move(outgoing));
}

DiskPeer::Outgoing DiskPeer::TakeNext() {
  Outgoing next = std::move(queue_.front());
  queue_.pop_front();
  sent_bytes_ += next.wire_bytes();
  return next;
}

std::optional<DiskPeer::InFlight> DiskPeer::Acknowledged(uint64_t request) {
  auto found = in_flight_.find(request);
  if (found == in_flight_.end()) return std::nullopt;
  const InFlight acknowledged = found->second;
  in_flight_.erase(found);
  unacknowledged_bytes_ -= acknowledged.wire_bytes;
  if (acknowledged.copy) copies_--;
  acknowledged_++;
  return acknowledged;
}

std::vector<DiskPeer::InFlight> DiskPeer::Abandon() {
  std::vector<InFlight> abandoned;
  abandoned.reserve(in_flight_.size());
  for (auto& [request, waiting] : in_flight_) abandoned.push_back(waiting);
  in_flight_.clear();
  queue_.clear();
  unacknowledged_bytes_ = 0;
  copies_ = 0;
  return abandoned;
}

}  // namespace haven::blkrep
