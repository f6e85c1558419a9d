/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_THREADS_H
#define HAVEN_CORE_THREADS_H

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "core/status.h"

namespace haven {

// What the engine's threads are, lock and wait with; the engine names no others. They are the standard
// library's, unless the calling thread is one of a Scheduler (core/scheduler.h): then it decides who runs next
// wherever a thread would have to wait.

class Scheduler;

namespace internal {
/// The one that runs the calling thread; nullptr: the system does.
extern constinit thread_local Scheduler* scheduler __attribute__((tls_model("initial-exec")));
}  // namespace internal

/// A lock as std::mutex; works with std::unique_lock and std::lock_guard.
class Mutex {
 public:
  void lock() {
    if (!mutex_.try_lock()) [[unlikely]]
      LockBusy();
  }
  bool try_lock() { return mutex_.try_lock(); }
  void unlock() {
    // Whoever gets it next may end its life.
    const bool awaited = awaited_.load(std::memory_order_relaxed);
    mutex_.unlock();
    if (awaited) [[unlikely]]
      TellUnlocked();
  }

 private:
  friend class Condition;
  friend class Scheduler;
  void LockBusy();
  void TellUnlocked();

  std::mutex mutex_;
  std::atomic<bool> awaited_{false};  ///< by a thread of a Scheduler
};

/// As std::condition_variable, on Mutex.
class Condition {
 public:
  using Lock = std::unique_lock<Mutex>;
  using Until = std::chrono::steady_clock::time_point;

  void notify_one() noexcept { Notify(false); }
  void notify_all() noexcept { Notify(true); }

  void wait(Lock& lock);
  /// @return false when it was not notified before `until`.
  bool wait_until(Lock& lock, Until until);
  bool wait_for(Lock& lock, std::chrono::milliseconds duration);

  template <typename Done>
  void wait(Lock& lock, Done done) {
    while (!done()) wait(lock);
  }
  /// @return what `done` says last.
  template <typename Done>
  bool wait_until(Lock& lock, Until until, Done done) {
    while (!done()) {
      if (!wait_until(lock, until)) return done();
    }
    return true;
  }

 private:
  void Notify(bool all) noexcept {
    if (internal::scheduler != nullptr) [[unlikely]]
      return NotifyScheduled(all);
    if (all) {
      condition_.notify_all();
    } else {
      condition_.notify_one();
    }
  }
  void NotifyScheduled(bool all) noexcept;

  std::condition_variable condition_;
};

/// As std::thread: joined before its end, or the program is ended. No exception leaves it.
class Thread {
 public:
  /// How a thread that a Scheduler runs is waited for.
  class Scheduled {
   public:
    virtual ~Scheduled() = default;
    virtual void Join() = 0;
  };

  Thread() noexcept = default;
  /// @param run     its work.
  /// @param failed  called on it when that threw, last, with what it was: ends what the work is a part of, and no
  ///                more. If this throws, too, the thread has ended without a word.
  /// Throws std::system_error when there is no room for another thread.
  Thread(std::function<void()> run, std::function<void(const Status&)> failed);
  Thread(Thread&&) noexcept = default;
  Thread& operator=(Thread&& other) noexcept;
  ~Thread();

  bool joinable() const { return thread_.joinable() || scheduled_ != nullptr; }
  void join();
  void swap(Thread& other) noexcept;

 private:
  std::thread thread_;
  std::unique_ptr<Scheduled> scheduled_;
};

/// Ends after `duration`, for what cannot be notified.
void SleepFor(std::chrono::milliseconds duration);

}  // namespace haven

#endif
