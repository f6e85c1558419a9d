/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_STOP_FLAG_H
#define HAVEN_SESSION_STOP_FLAG_H

#include "core/clock.h"

namespace haven::session {

/// Says once, and for good, that everything ends; wakes who waits for time to pass. Any thread.
class StopFlag {
 public:
  void Set() {
    {
      std::lock_guard lock(mutex_);
      set_ = true;
    }
    changed_.notify_all();
  }
  bool IsSet() {
    std::lock_guard lock(mutex_);
    return set_;
  }
  /// Lets `time` pass. @return true at once when the flag is, or becomes, set.
  bool SetWithin(Clock& clock, milliseconds time) {
    std::unique_lock lock(mutex_);
    return clock.WaitFor(changed_, lock, time, [this] { return set_; });
  }

 private:
  Mutex mutex_;
  Condition changed_;
  bool set_ = false;
};

}  // namespace haven::session

#endif
