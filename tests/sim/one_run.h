/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_ONE_RUN_H
#define HAVEN_TESTS_SIM_ONE_RUN_H

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace haven::sim {

/// What came of the run of one seed.
struct Result {
  std::string violation;  ///< empty: nothing was broken
  uint64_t trace_hash = 0, steps = 0;
  unsigned failovers = 0;
  double seconds = 0;
  std::set<uint32_t> met;
};

/// A run is a process of its own, which ends with it: so threads of what has died in it need no end.
/// @param dropped  bit i: without fault i of the plan. @param shown  its story goes to stderr.
Result RunInChild(uint64_t seed, uint64_t dropped, bool shown);

/// Several at once.
class Pool {
 public:
  explicit Pool(unsigned processes) : processes_(processes) {}
  bool busy() const { return !running_.empty(); }
  bool free() const { return running_.size() < processes_; }
  void Begin(uint64_t seed);
  /// The one that ends first.
  std::pair<uint64_t, Result> Await();

 private:
  struct Child {
    uint64_t seed;
    pid_t pid;
    int fd;
    double begin;
    std::string folder;
  };
  friend Result RunInChild(uint64_t, uint64_t, bool);
  static Child Fork(uint64_t seed, uint64_t dropped, bool shown);
  static Result Finish(const Child& child);

  const unsigned processes_;
  std::vector<Child> running_;
};

/// See plan.h.
void LetSilenceDecide();
size_t CountFaults(uint64_t seed);
double Seconds();

}  // namespace haven::sim

#endif
