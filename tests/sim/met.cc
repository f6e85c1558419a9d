// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/met.h"

#include <algorithm>
#include <vector>

#include "core/records.h"

namespace haven::sim {
namespace {

constexpr uint32_t kThens = Fault::kThens;
constexpr uint32_t kEvents = Fault::kKinds + 2 * kThens;  ///< each armed kind with what it does
constexpr uint32_t kByRecords = 1u << 31;
constexpr uint32_t kAtPoint = 1u << 30;

std::string EventName(uint32_t event) {
  if (event < Fault::kKinds) return KindName(static_cast<Fault::Kind>(event));
  constexpr const char* kThen[] = {"kill", "power-off", "cut", "freeze", "set-mode"};
  const uint32_t armed = event - Fault::kKinds;
  return std::string(armed < kThens ? "at-record" : "at-file") + ": " + kThen[armed % kThens];
}

bool IsEvent(uint32_t event) {
  constexpr auto kRecord = static_cast<uint32_t>(Fault::Kind::kAtRecord);
  constexpr auto kFile = static_cast<uint32_t>(Fault::Kind::kAtFile);
  // What happens to an octet is decided before anything is known of it.
  constexpr auto kOctet = static_cast<uint32_t>(Fault::Kind::kOctet);
  return event < kEvents && event != kRecord && event != kFile && event != kOctet;
}

std::string StateName(uint32_t state) {
  constexpr const char* kNames[] = {"off",       "frozen",      "stuck",   "nothing", "waiting",    "copying",
                                    "holding",   "starts",      "held",    "runs",    "connecting", "syncing",
                                    "protected", "unprotected", "refused", "lost",    "stopped",    "halted"};
  return kNames[state];
}

std::string PairName(uint32_t pair) { return "a " + StateName(pair >> 8 & 0xff) + ", b " + StateName(pair & 0xff); }

}  // namespace

uint32_t EventOf(const Fault& fault) {
  if (!fault.IsArmed()) return static_cast<uint32_t>(fault.kind);
  const uint32_t then = static_cast<uint32_t>(fault.then);
  return Fault::kKinds + (fault.kind == Fault::Kind::kAtRecord ? 0 : kThens) + then;
}

uint32_t NoEvent() { return kEvents; }

uint32_t MetStates(HostState a, HostState b, uint32_t event) {
  return event << 16 | static_cast<uint32_t>(a) << 8 | static_cast<uint32_t>(b);
}

uint32_t MetRecords(wire::Type a, wire::Type b, uint32_t event) {
  return kByRecords | event << 16 | static_cast<uint32_t>(a) << 8 | static_cast<uint32_t>(b);
}

uint32_t MetAtPoint(uint32_t cell, uint32_t event) { return kAtPoint | event << 16 | cell; }

uint32_t EventOfMet(uint32_t met) { return (met & ~(kByRecords | kAtPoint)) >> 16; }
uint32_t PairOfMet(uint32_t met) { return met & (kByRecords | 0xffff); }

void Coverage::Add(const std::set<uint32_t>& met) {
  std::set<uint32_t> pairs;
  for (uint32_t one : met) {
    counts_[one]++;
    if ((one & kAtPoint) != 0) continue;
    const uint32_t event = EventOfMet(one);
    if (IsEvent(event)) pairs_[PairOfMet(one)].events.insert(event);
    pairs.insert(PairOfMet(one));
  }
  for (uint32_t pair : pairs) pairs_[pair].runs++;
}

unsigned Coverage::Count(uint32_t met) const {
  const auto found = counts_.find(met);
  return found == counts_.end() ? 0 : found->second;
}

size_t Coverage::reached() const {
  size_t sum = 0;
  for (const auto& [pair, seen] : pairs_) sum += seen.events.size();
  return sum;
}

size_t Coverage::never() const {
  size_t kinds = 0, sum = 0;
  for (uint32_t event = 0; event < kEvents; event++) kinds += IsEvent(event);
  for (const auto& [pair, seen] : pairs_) {
    if ((pair & kByRecords) == 0) sum += kinds - seen.events.size();
  }
  return sum;
}

std::string Coverage::DescribeNever() const {
  std::vector<std::pair<uint32_t, const Pair*>> often;
  for (const auto& [pair, seen] : pairs_) {
    if ((pair & kByRecords) == 0) often.emplace_back(pair, &seen);
  }
  std::stable_sort(often.begin(), often.end(), [](auto a, auto b) { return a.second->runs > b.second->runs; });
  std::string text;
  for (const auto& [pair, seen] : often) {
    std::string names;
    for (uint32_t event = 0; event < kEvents; event++) {
      if (IsEvent(event) && !seen->events.contains(event)) names += (names.empty() ? "" : ", ") + EventName(event);
    }
    if (names.empty()) continue;
    if (seen->events.empty()) names = "anything";
    text += "  " + PairName(pair) + " (" + std::to_string(seen->runs) + " runs): " + names + "\n";
  }
  return text;
}

}  // namespace haven::sim
