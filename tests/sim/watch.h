/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_WATCH_H
#define HAVEN_TESTS_SIM_WATCH_H

#include <deque>
#include <set>

#include "tests/sim/points.h"
#include "tests/sim/world.h"

namespace haven::sim {

/// Sees what both hosts do, and what came when they did it.
class Watch {
 public:
  explicit Watch(World& world) : world_(world) {}

  /// A host begins to send a record.
  void Sent(unsigned host, wire::Type type);
  void Meet(const Fault& fault);
  wire::Type last(unsigned host) const { return last_[host]; }
  const std::set<uint32_t>& met() const { return met_; }

 private:
  HostState StateOf(const Host& host) const;
  void MeetAtPoint(const Fault& fault);
  unsigned InFlight();

  World& world_;
  std::set<uint32_t> met_;
  wire::Type last_[2] = {};
  unsigned sent_ = 0;            ///< epochs of the last session that no primary knows to be committed
  std::deque<Instant> commits_;  ///< when the primary will hear of each
};

}  // namespace haven::sim

#endif
