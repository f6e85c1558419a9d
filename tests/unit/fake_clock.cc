// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/fake_clock.h"

#include <poll.h>

namespace haven::test {
namespace {

constexpr int kLookMs = 1;

}  // namespace

/// One thread in a wait.
class FakeClock::Waiter {
 public:
  Waiter(FakeClock& clock, Instant until) : clock_(clock), until_(until) {
    std::lock_guard lock(clock_.mutex_);
    clock_.waits_[until_]++;
    clock_.waits_changed_.notify_all();
  }
  ~Waiter() {
    std::lock_guard lock(clock_.mutex_);
    if (--clock_.waits_[until_] == 0) clock_.waits_.erase(until_);
  }

 private:
  FakeClock& clock_;
  const Instant until_;
};

Instant FakeClock::Now() {
  std::lock_guard lock(mutex_);
  return now_;
}

bool FakeClock::WaitForFd(int fd, short events, Instant until) {
  Waiter waiter(*this, until);
  pollfd waiting{fd, events, 0};
  while (true) {
    bool over = Now() >= until;  // before the look: what came in time counts
    if (poll(&waiting, 1, over ? 0 : kLookMs) > 0) return true;
    if (over) return false;
  }
}

bool FakeClock::WaitUntil(Condition& changed, std::unique_lock<Mutex>& lock, Instant until,
                          const std::function<bool()>& done) {
  Waiter waiter(*this, until);
  while (true) {
    bool over = Now() >= until;
    if (done()) return true;
    if (over) return false;
    changed.wait_for(lock, milliseconds(kLookMs));
  }
}

void FakeClock::Pass(milliseconds time) {
  std::lock_guard lock(mutex_);
  now_ += time;
}

bool FakeClock::IsAwaited(microseconds time, size_t waiters) {
  std::unique_lock lock(mutex_);
  return waits_changed_.wait_for(lock, std::chrono::seconds(30), [&] {
    auto found = waits_.find(now_ + time);
    return found != waits_.end() && found->second >= waiters;
  });
}

}  // namespace haven::test
