/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_SCHEDULER_H
#define HAVEN_CORE_SCHEDULER_H

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "core/clock.h"
#include "core/threads.h"

namespace haven {

/// Runs threads in the system's place, one at a time, in an order and a time of its own: for tests in which the
/// same choices give the same run. All that a thread waits for goes through it, and what else would differ from
/// run to run. Called by its own threads only.
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  /// The one that runs the calling thread; nullptr: the system does.
  static Scheduler* Current() { return internal::scheduler; }

  /// The time of the machine that the calling thread is on.
  virtual Instant Now() = 0;
  /// Returns with `mutex` locked, which was not free.
  virtual void Lock(Mutex& mutex) = 0;
  virtual void Unlocked(Mutex& mutex) = 0;
  /// Unlocks, waits and locks again. @return false when it was not notified before `until`.
  virtual bool Wait(Condition& condition, Mutex& mutex, Instant until) = 0;
  virtual void Notify(Condition& condition, bool all) = 0;
  virtual std::unique_ptr<Thread::Scheduled> Start(std::function<void()> run) = 0;
  virtual void SleepUntil(Instant until) = 0;

  /// In the place of the system's random numbers and of BootId().
  virtual void FillRandom(std::span<uint8_t> out) = 0;
  virtual std::string BootId() = 0;

 protected:
  /// For the calling thread, from here on.
  static void SetCurrent(Scheduler* scheduler) { internal::scheduler = scheduler; }
  /// Whether Unlocked() is called for it.
  static void SetAwaited(Mutex& mutex, bool awaited) { mutex.awaited_.store(awaited, std::memory_order_relaxed); }
};

}  // namespace haven

#endif
