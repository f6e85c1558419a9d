/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_CPU_TIME_H
#define HAVEN_SESSION_CPU_TIME_H

#include <atomic>
#include <ctime>

#include "core/clock.h"

namespace haven::session {

/// What the session's own threads have spent. Any thread.
class CpuTime {
 public:
  /// Once, at the end of a thread: all that it has used.
  void AddThisThread() {
    microseconds from{0};
    AddSince(from);
  }
  /// What the calling thread has used since `last`, which becomes now.
  void AddSince(microseconds& last) {
    timespec used{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    const microseconds now = std::chrono::seconds(used.tv_sec) +
                             std::chrono::duration_cast<microseconds>(std::chrono::nanoseconds(used.tv_nsec));
    us_ += (now - last).count();
    last = now;
  }
  uint64_t us() const { return static_cast<uint64_t>(us_.load()); }

 private:
  std::atomic<int64_t> us_{0};
};

}  // namespace haven::session

#endif
