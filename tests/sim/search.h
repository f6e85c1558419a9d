/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_SEARCH_H
#define HAVEN_TESTS_SIM_SEARCH_H

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <vector>

#include "tests/sim/met.h"

namespace haven::sim {

/// Which seeds are run, from the first one on. A seed decides its run alone; what is chosen is which of them are
/// worth one: every second is that of a few whose plan promises what was met rarely. The choice follows from what
/// whole rounds have met, so that it is the same whoever of a round ends first.
class Search {
 public:
  explicit Search(uint64_t first) : next_(first) {}

  /// The next one; a new round begins only when all of the last one were reported by Ran().
  bool HasNext() const { return !round_.empty() || running_ == 0; }
  uint64_t Next();
  void Ran(uint64_t seed, const std::set<uint32_t>& met);
  const Coverage& coverage() const { return coverage_; }

 private:
  /// What in a plan lets one expect what it will meet.
  using Feature = uint64_t;
  struct Known {
    unsigned runs = 0;
    std::map<uint32_t, unsigned> met;  ///< in how many of them
  };

  void Begin();
  double Promise(uint64_t seed) const;
  /// With the event that each stands for.
  static std::map<Feature, uint32_t> FeaturesOf(uint64_t seed);

  uint64_t next_;
  size_t running_ = 0;
  std::deque<uint64_t> round_;
  Coverage coverage_;
  std::map<Feature, Known> known_;
};

}  // namespace haven::sim

#endif
