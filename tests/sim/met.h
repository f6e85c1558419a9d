/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_MET_H
#define HAVEN_TESTS_SIM_MET_H

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "core/wire.h"
#include "tests/sim/plan.h"

namespace haven::sim {

/// What a host is doing, as seen from outside.
enum class HostState : uint8_t {
  kOff,
  kFrozen,
  kStuck,    ///< its device model lives, and gets nowhere
  kNothing,  ///< neither a guest nor havend
  kWaiting,  ///< for a primary
  kCopying,  ///< takes the first copy
  kHolding,  ///< has a committed checkpoint
  kStarting,
  kHeld,  ///< the guest, by the start gate
  kRuns,  ///< the guest, without a session
  kConnecting,
  kSyncing,
  kProtected,
  kUnprotected,
  kRefused,
  kLost,
  kStopped,
  kHalted,
};

/// A kind of fault, and what it does where it comes by what a host does; or that none came.
uint32_t EventOf(const Fault& fault);
uint32_t NoEvent();

/// A pair of states that was reached, and what came then, as one number: both hosts' states, or what each had sent
/// last.
uint32_t MetStates(HostState a, HostState b, uint32_t event);
uint32_t MetRecords(wire::Type a, wire::Type b, uint32_t event);
/// What came at a point of the protocol. @param cell  of sixteen bits: see points.h.
uint32_t MetAtPoint(uint32_t cell, uint32_t event);
uint32_t EventOfMet(uint32_t met);
/// The pair without the event.
uint32_t PairOfMet(uint32_t met);

/// How often each was met, by all runs.
class Coverage {
 public:
  void Add(const std::set<uint32_t>& met);
  /// In how many runs.
  unsigned Count(uint32_t met) const;
  /// Pairs with an event.
  size_t reached() const;
  /// Pairs that were reached, each with an event that never came there: how many.
  size_t never() const;
  /// What never came, a line for each pair of states, the ones reached most often first.
  std::string DescribeNever() const;

 private:
  struct Pair {
    unsigned runs = 0;
    std::set<uint32_t> events;
  };
  std::map<uint32_t, unsigned> counts_;
  std::map<uint32_t, Pair> pairs_;
};

}  // namespace haven::sim

#endif
