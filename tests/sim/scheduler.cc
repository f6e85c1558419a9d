// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/scheduler.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <thread>

#include "core/assert.h"
#include "tests/sim/unseen.h"

namespace haven::sim {
namespace {

/// In a run of a few seconds of the world's time.
constexpr uint64_t kFarTooManySteps = 5'000'000;
/// How often somebody else goes on where nobody has to wait.
constexpr unsigned kYieldPercent = 20;

/// Hands the one right to run from thread to thread. Not seen by ThreadSanitizer, for which this would order all
/// that the threads do.
class Turn {
 public:
  __attribute__((no_sanitize("thread"))) void Give() {
    __atomic_store_n(&given_, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &given_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }
  __attribute__((no_sanitize("thread"))) void Await() {
    while (__atomic_load_n(&given_, __ATOMIC_ACQUIRE) == 0) {
      syscall(SYS_futex, &given_, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
    }
    __atomic_store_n(&given_, 0, __ATOMIC_RELAXED);
  }

 private:
  uint32_t given_ = 0;
};

}  // namespace

struct SimScheduler::Task {
  uint64_t id;
  const char* name;
  Process* process;
  std::function<void()> run;
  Turn turn;
  bool waiting = false, notified = false, ended = false;
  std::mutex end;  ///< what it has done comes before what follows Join()
  const void* key = nullptr;
  Instant until = kNever;  ///< of its machine's clock
  Instant at = kNever;     ///< of the world's
};

namespace {

constinit thread_local void* g_self = nullptr;  ///< the calling thread's Task

struct Install : os::Files {
  static void Do(os::Files* files) { SetHere(files); }
};

}  // namespace

class SimScheduler::Joinable final : public Thread::Scheduled {
 public:
  Joinable(SimScheduler& scheduler, std::shared_ptr<Task> task) : scheduler_(scheduler), task_(std::move(task)) {}
  void Join() override {
    const Unseen unseen;
    while (!task_->ended) scheduler_.Block(task_.get());
    const std::lock_guard lock(task_->end);
  }

 private:
  SimScheduler& scheduler_;
  const std::shared_ptr<Task> task_;
};

SimScheduler::SimScheduler(uint64_t seed, Trace& trace)
    : trace_(trace), choices_(Mix(seed, 1)), tokens_(Mix(seed, 2)) {}

void SimScheduler::Begin(os::Files* files) {
  files_ = files;
  auto task = std::make_shared<Task>();
  task->id = next_id_++;
  task->name = "world";
  task->process = nullptr;
  tasks_.push_back(task);
  g_self = task.get();
  SetCurrent(this);
  Install::Do(files);
}

Process* SimScheduler::current() const { return static_cast<Task*>(g_self)->process; }

std::shared_ptr<SimScheduler::Task> SimScheduler::Make(Process* process, const char* name, std::function<void()> run) {
  auto task = std::make_shared<Task>();
  task->id = next_id_++;
  task->name = name;
  task->process = process;
  task->run = std::move(run);
  tasks_.push_back(task);
  made_.push_back(task);
  std::thread([this, task] {
    const Unseen unseen;
    task->turn.Await();
    g_self = task.get();
    SetCurrent(this);
    Install::Do(files_);
    task->run();
    task->run = nullptr;
    End();
  }).detach();
  return task;
}

void SimScheduler::Spawn(Process* process, const char* name, std::function<void()> run) {
  (void)Make(process, name, std::move(run));
}

std::unique_ptr<Thread::Scheduled> SimScheduler::Start(std::function<void()> run) {
  const Unseen unseen;
  auto engine = [run = std::move(run)] { AsEngine(run); };
  return std::make_unique<Joinable>(*this, Make(current(), "thread", std::move(engine)));
}

// --- who runs ----------------------------------------------------------------

Instant SimScheduler::WakeTime(const Task& task) const {
  Instant until = task.until;
  if (until != kNever && task.process != nullptr) until += task.process->host.behind;
  return std::min(until, task.at);
}

bool SimScheduler::Runnable(const Task& task) const {
  if (task.process != nullptr && task.process->frozen) return false;
  return !task.waiting || task.notified || WakeTime(task) <= now_;
}

SimScheduler::Task* SimScheduler::Pick() {
  std::erase_if(tasks_, [](const auto& task) {
    return task->ended || (task->process != nullptr && !task->process->alive && task.get() != g_self);
  });
  while (true) {
    ready_.clear();
    Instant next = kNever;
    for (const auto& task : tasks_) {
      if (task->process != nullptr && (!task->process->alive || task->process->frozen)) continue;
      if (Runnable(*task)) {
        ready_.push_back(task.get());
      } else {
        next = std::min(next, WakeTime(*task));
      }
    }
    if (!ready_.empty()) break;
    if (next == kNever) on_hang("every thread waits for ever");
    now_ = next;
  }
  Task* chosen = ready_[ready_.size() == 1 ? 0 : choices_.Below(ready_.size())];
  if (++steps_ > kFarTooManySteps) on_hang("it does not come to an end");
  trace_.Count(chosen->id, static_cast<uint64_t>(now_.time_since_epoch().count()));
  return chosen;
}

bool SimScheduler::Switch() {
  auto* self = static_cast<Task*>(g_self);
  Task* next = Pick();
  if (next != self) {
    next->turn.Give();
    self->turn.Await();
  }
  const bool notified = self->notified;
  self->waiting = self->notified = false;
  self->until = self->at = kNever;
  return notified;
}

void SimScheduler::End() {
  auto* self = static_cast<Task*>(g_self);
  {
    const std::lock_guard lock(self->end);
    self->ended = true;
  }
  Wake(self);
  Pick()->turn.Give();
}

void SimScheduler::Block(const void* key, Instant until, Instant at) {
  auto* self = static_cast<Task*>(g_self);
  self->key = key;
  self->until = until;
  self->at = at;
  self->waiting = true;
  Switch();
}

void SimScheduler::Wake(const void* key) {
  for (const auto& task : tasks_) {
    if (task->waiting && task->key == key) task->notified = true;
  }
}

void SimScheduler::WakeAt(const void* key, Instant at) {
  for (const auto& task : tasks_) {
    if (task->waiting && task->key == key) task->at = std::min(task->at, at);
  }
}

void SimScheduler::Yield() {
  if (choices_.Percent(kYieldPercent)) Switch();
}

void SimScheduler::Park() {
  Process* process = current();
  if (process != nullptr && (!process->alive || process->frozen)) Switch();
}

// --- what the engine's threads wait with ----------------------------------------

Instant SimScheduler::Now() {
  const Unseen unseen;
  const Process* process = current();
  return process != nullptr ? now_ - process->host.behind : now_;
}

void SimScheduler::Lock(Mutex& mutex) {
  const Unseen unseen;
  while (!mutex.try_lock()) {
    SetAwaited(mutex, true);
    Block(&mutex);
  }
}

void SimScheduler::Unlocked(Mutex& mutex) {
  const Unseen unseen;
  SetAwaited(mutex, false);
  Wake(&mutex);
}

bool SimScheduler::Wait(Condition& condition, Mutex& mutex, Instant until) {
  const Unseen unseen;
  auto* self = static_cast<Task*>(g_self);
  self->key = &condition;
  self->until = until;
  self->waiting = true;
  mutex.unlock();
  const bool notified = Switch();
  mutex.lock();
  return notified;
}

void SimScheduler::Notify(Condition& condition, bool all) {
  const Unseen unseen;
  ready_.clear();
  for (const auto& task : tasks_) {
    if (task->waiting && !task->notified && task->key == &condition) ready_.push_back(task.get());
  }
  if (ready_.empty()) return;
  if (all) {
    for (Task* task : ready_) task->notified = true;
  } else {
    ready_[choices_.Below(ready_.size())]->notified = true;
  }
  Yield();
}

void SimScheduler::SleepUntil(Instant until) {
  const Unseen unseen;
  Block(nullptr, until);
}

void SimScheduler::FillRandom(std::span<uint8_t> out) {
  const Unseen unseen;
  for (uint8_t& octet : out) octet = static_cast<uint8_t>(tokens_.Next());
}

std::string SimScheduler::BootId() {
  const Unseen unseen;
  const Process* process = current();
  const uint64_t name =
      process == nullptr ? 0 : Mix(static_cast<unsigned char>(process->host.name[0]), process->host.boots);
  char id[40];
  snprintf(id, sizeof(id), "%08lx-0000-4000-8000-%012lx", Mix(name) & 0xffffffff, Mix(name, 1) & 0xffffffffffff);
  return id;
}

bool SimClock::WaitForFd(int, short, Instant) {
  HAVEN_ASSERT(false);  // nothing in the world is reached through a descriptor
}

}  // namespace haven::sim
