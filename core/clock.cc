// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/clock.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <poll.h>

#include "core/threads.h"

namespace haven {
namespace {

/// poll()'s timeout, rounded up.
int PollTimeout(Instant until) {
  if (until == kNever) return -1;
  auto left = std::chrono::ceil<milliseconds>(until - SteadyClock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, INT_MAX));
}

class Monotonic : public Clock {
 public:
  Instant Now() override { return SteadyClock::now(); }

  bool WaitForFd(int fd, short events, Instant until) override {
    pollfd waiting{fd, events, 0};
    while (true) {
      int ready = poll(&waiting, 1, PollTimeout(until));
      if (ready > 0 || (ready < 0 && errno != EINTR)) return true;  // the caller's next call says what it is
      if (ready == 0 && Now() >= until) return false;
    }
  }

  bool WaitUntil(Condition& changed, std::unique_lock<Mutex>& lock, Instant until,
                 const std::function<bool()>& done) override {
    return changed.wait_until(lock, until, done);
  }
};

}  // namespace

Clock& MonotonicClock() {
  static Monotonic clock;
  return clock;
}

}  // namespace haven
