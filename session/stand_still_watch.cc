// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/stand_still_watch.h"

#include <algorithm>
#include <utility>

namespace haven::session {

StandStillWatch::StandStillWatch(Clock& clock, milliseconds longest)
    : clock_(clock),
      longest_(longest),
      last_(clock.Now()),
      thread_([this] { Run(); },
              [this](const Status&) {
                std::lock_guard lock(mutex_);
                gap_ = true;  // nobody would notice one
              }) {}

StandStillWatch::~StandStillWatch() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool StandStillWatch::StoodStill() {
  std::lock_guard lock(mutex_);
  const Instant now = clock_.Now();
  const bool since_last = now - std::exchange(last_, now) > longest_;
  return std::exchange(gap_, false) || since_last;
}

void StandStillWatch::Run() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    clock_.WaitFor(changed_, lock, std::max(milliseconds(1), longest_ / 4), [this] { return ending_; });
    const Instant now = clock_.Now();
    if (now - std::exchange(last_, now) > longest_) gap_ = true;
  }
}

}  // namespace haven::session
