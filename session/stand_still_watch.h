/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_STAND_STILL_WATCH_H
#define HAVEN_SESSION_STAND_STILL_WATCH_H

#include "core/clock.h"

namespace haven::session {

/// Notices that this process has stood still (stopped, its host paused or swapping): a thread of its own ticks, and
/// a gap between two ticks is longer than it may be. What was learnt before the gap may be wrong since. Any thread.
class StandStillWatch {
 public:
  /// @param longest  a gap up to this is none.
  StandStillWatch(Clock& clock, milliseconds longest);
  ~StandStillWatch();

  /// @return whether there was a gap since the last call, or since the beginning; it may last until now.
  bool StoodStill();

 private:
  void Run();

  Clock& clock_;
  const milliseconds longest_;
  Mutex mutex_;  ///< guards what follows
  Condition changed_;
  Instant last_;
  bool gap_ = false, ending_ = false;
  Thread thread_;
};

}  // namespace haven::session

#endif
