/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_SCHEDULER_H
#define HAVEN_TESTS_SIM_SCHEDULER_H

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/scheduler.h"
#include "os/files.h"
#include "tests/sim/random.h"
#include "tests/sim/trace.h"

namespace haven::sim {

using Duration = Instant::duration;

/// A machine of the world. Only its clock and its name are the scheduler's matter.
struct Host {
  std::string name, folder;
  bool up = true;
  unsigned boots = 1;
  Duration behind{0};  ///< its clock: by how much the times that it stood still have set it back
};

/// What lives and dies as one. A process that is dead never runs again: its threads stay where they are, as the
/// whole run is a process of the machine's, which ends soon. Nothing of it is destroyed.
struct Process {
  Process(std::string name_in, Host& host_in) : name(std::move(name_in)), host(host_in) {}
  std::string name;
  Host& host;
  bool alive = true;
  bool frozen = false;
  std::set<int> descriptors;
};

/// Each simulated thread is one of the machine's; exactly one of them runs. Who is next is chosen at random
/// wherever a thread waits, and in some other places. Time stands still while somebody can run.
class SimScheduler final : public Scheduler {
 public:
  SimScheduler(uint64_t seed, Trace& trace);

  /// The calling thread becomes the first one, of no process. @param files  of all threads.
  void Begin(os::Files* files);
  /// Of no machine: what the world itself goes by.
  Instant world_now() const { return now_; }
  /// Who runs; nullptr: the world itself.
  Process* current() const;
  /// A thread in `process`, which nobody joins.
  void Spawn(Process* process, const char* name, std::function<void()> run);

  /// Waits for Wake(key), until `until` of this machine's clock, or `at` of the world's.
  void Block(const void* key, Instant until = kNever, Instant at = kNever);
  void Wake(const void* key);
  /// Who waits for `key` is awake from `at` on, of the world's clock.
  void WakeAt(const void* key, Instant at);
  /// Somebody else may run now.
  void Yield();
  /// When the calling thread's process has died or stands still, this is where it stays.
  void Park();

  /// Called when nobody can ever run again, or far too much has happened.
  std::function<void(const std::string& why)> on_hang;
  uint64_t steps() const { return steps_; }

  Instant Now() override;
  void Lock(Mutex& mutex) override;
  void Unlocked(Mutex& mutex) override;
  bool Wait(Condition& condition, Mutex& mutex, Instant until) override;
  void Notify(Condition& condition, bool all) override;
  std::unique_ptr<Thread::Scheduled> Start(std::function<void()> run) override;
  void SleepUntil(Instant until) override;
  void FillRandom(std::span<uint8_t> out) override;
  std::string BootId() override;

 private:
  struct Task;
  class Joinable;

  std::shared_ptr<Task> Make(Process* process, const char* name, std::function<void()> run);
  bool Runnable(const Task& task) const;
  Instant WakeTime(const Task& task) const;
  Task* Pick();
  /// @return whether the calling thread was notified meanwhile.
  bool Switch();
  void End();

  Trace& trace_;
  Random choices_, tokens_;
  os::Files* files_ = nullptr;
  Instant now_{std::chrono::seconds(1)};
  uint64_t steps_ = 0, next_id_ = 0;
  std::vector<std::shared_ptr<Task>> tasks_;
  std::vector<std::shared_ptr<Task>> made_;  ///< all: ThreadSanitizer would take the end of one for a race
  std::vector<Task*> ready_;                 ///< of Pick()
};

/// The clock of the machine that the calling thread is on.
class SimClock final : public Clock {
 public:
  Instant Now() override { return Scheduler::Current()->Now(); }
  bool WaitForFd(int fd, short events, Instant until) override;
  bool WaitUntil(Condition& changed, std::unique_lock<Mutex>& lock, Instant until,
                 const std::function<bool()>& done) override {
    return changed.wait_until(lock, until, done);
  }
};

}  // namespace haven::sim

#endif
