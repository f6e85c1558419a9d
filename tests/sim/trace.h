/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_TRACE_H
#define HAVEN_TESTS_SIM_TRACE_H

#include <cstdio>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "tests/sim/random.h"

namespace haven::sim {

/// What has happened in a run: a hash of all of it, and lines for people when they are wanted.
class Trace {
 public:
  explicit Trace(bool shown) : shown_(shown) {}

  void Count(uint64_t a, uint64_t b) { hash_ = Mix(hash_ ^ a, b); }
  /// @param now  of the world.
  void Note(Instant now, const std::string& who, std::string_view what) {
    // Not what is said: it names folders and times of the machine.
    hash_ = Mix(hash_, 1);
    if (!shown_) return;
    const auto us = std::chrono::duration_cast<microseconds>(now.time_since_epoch()).count();
    fprintf(stderr, "%6ld.%03ld ms  %04lx  %-9s %.*s\n", static_cast<long>(us / 1000), static_cast<long>(us % 1000),
            static_cast<unsigned long>(hash_ & 0xffff), who.c_str(), static_cast<int>(what.size()), what.data());
  }
  bool shown() const { return shown_; }
  uint64_t hash() const { return hash_; }

 private:
  const bool shown_;
  uint64_t hash_ = 0;
};

}  // namespace haven::sim

#endif
