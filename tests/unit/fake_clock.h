/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_UNIT_FAKE_CLOCK_H
#define HAVEN_TESTS_UNIT_FAKE_CLOCK_H

#include <map>

#include "core/clock.h"

namespace haven::test {

/// Time that stands still until a test lets it pass. Who waits looks every
/// millisecond of the machine's time whether what it waits for is there, first, and
/// then whether the time is over: the outcome depends on this clock alone. A notification
/// that is forgotten does not show with it.
class FakeClock : public Clock {
 public:
  Instant Now() override;
  bool WaitForFd(int fd, short events, Instant until) override;
  bool WaitUntil(Condition& changed, std::unique_lock<Mutex>& lock, Instant until,
                 const std::function<bool()>& done) override;

  void Pass(milliseconds time);
  /// Waits until as many as `waiters` threads wait for the moment that lies `time` ahead.
  /// Before Pass() it makes sure that the deadline is set; after a Pass() that ended
  /// before the deadline, that the wait has not ended.
  /// @return false after 30 s of the machine's time.
  bool IsAwaited(microseconds time, size_t waiters = 1);

 private:
  class Waiter;
  std::mutex mutex_;  ///< guards what follows; no other lock is taken under it
  std::condition_variable waits_changed_;
  Instant now_{std::chrono::hours(1)};
  std::map<Instant, size_t> waits_;  ///< deadline -> threads
};

}  // namespace haven::test

#endif
