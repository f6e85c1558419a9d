/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_CLOCK_H
#define HAVEN_CORE_CLOCK_H

#include <chrono>

namespace haven {

/// Monotonic time. Tests pass instants of their own; nothing that decides by
/// time reads a clock itself.
using SteadyClock = std::chrono::steady_clock;
using Instant = SteadyClock::time_point;
using std::chrono::microseconds;
using std::chrono::milliseconds;

inline microseconds MicrosSince(Instant start, Instant end) {
  return std::chrono::duration_cast<microseconds>(end - start);
}

}  // namespace haven

#endif
