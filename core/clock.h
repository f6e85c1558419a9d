/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_CLOCK_H
#define HAVEN_CORE_CLOCK_H

#include <chrono>
#include <functional>

#include "core/threads.h"

namespace haven {

using SteadyClock = std::chrono::steady_clock;
using Instant = SteadyClock::time_point;
using std::chrono::microseconds;
using std::chrono::milliseconds;

/// No deadline.
constexpr Instant kNever = Instant::max();

inline microseconds MicrosSince(Instant start, Instant end) {
  return std::chrono::duration_cast<microseconds>(end - start);
}

/// The time that deadlines and periods are of, and the waiting for them. What
/// decides by time reads and waits through a Clock only, so that a test can let
/// the time pass; what only measures reads SteadyClock. Any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant Now() = 0;

  /// Waits until poll() has something to say of `fd`.
  /// @param events  POLLIN, POLLOUT. @param until  kNever: for ever.
  /// @return false when nothing was ready before `until`.
  virtual bool WaitForFd(int fd, short events, Instant until) = 0;

  /// Waits until `done`, which is called with `lock` held, first and then after
  /// each notification of `changed`.
  /// @return what `done` says last: false when it did not before `until`.
  virtual bool WaitUntil(Condition& changed, std::unique_lock<Mutex>& lock, Instant until,
                         const std::function<bool()>& done) = 0;

  bool WaitFor(Condition& changed, std::unique_lock<Mutex>& lock, milliseconds duration,
               const std::function<bool()>& done) {
    return WaitUntil(changed, lock, Now() + duration, done);
  }
};

/// The machine's, which does not stand still or jump; lives for ever.
Clock& MonotonicClock();

}  // namespace haven

#endif
