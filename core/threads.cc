// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/threads.h"

#include <system_error>

#include "core/assert.h"
#include "core/guarded.h"
#include "core/scheduler.h"

namespace haven {

namespace internal {
constinit thread_local Scheduler* scheduler = nullptr;
}  // namespace internal

namespace {

/// The standard library's lock on what is locked already, and stays so.
class Borrowed {
 public:
  explicit Borrowed(std::mutex& mutex) : lock_(mutex, std::adopt_lock) {}
  ~Borrowed() { lock_.release(); }
  std::unique_lock<std::mutex>& operator*() { return lock_; }

 private:
  std::unique_lock<std::mutex> lock_;
};

}  // namespace

void Mutex::LockBusy() {
  if (internal::scheduler != nullptr) return internal::scheduler->Lock(*this);
  mutex_.lock();
}

void Mutex::TellUnlocked() {
  if (internal::scheduler != nullptr) internal::scheduler->Unlocked(*this);
}

void Condition::wait(Lock& lock) {
  if (internal::scheduler != nullptr) {
    (void)internal::scheduler->Wait(*this, *lock.mutex(), kNever);
    return;
  }
  Borrowed borrowed(lock.mutex()->mutex_);
  condition_.wait(*borrowed);
}

bool Condition::wait_until(Lock& lock, Until until) {
  if (internal::scheduler != nullptr) return internal::scheduler->Wait(*this, *lock.mutex(), until);
  Borrowed borrowed(lock.mutex()->mutex_);
  return condition_.wait_until(*borrowed, until) == std::cv_status::no_timeout;
}

bool Condition::wait_for(Lock& lock, std::chrono::milliseconds duration) {
  Scheduler* const scheduler = internal::scheduler;
  return wait_until(lock, (scheduler != nullptr ? scheduler->Now() : SteadyClock::now()) + duration);
}

void Condition::NotifyScheduled(bool all) noexcept { internal::scheduler->Notify(*this, all); }

Thread::Thread(std::function<void()> run, std::function<void(const Status&)> failed) {
  auto guarded = [run = std::move(run), failed = std::move(failed)] {
    const Status thrown = Guarded([&] {
      run();
      return Status::Ok();
    });
    if (thrown.ok()) return;
    (void)Guarded([&] {
      failed(thrown);
      return Status::Ok();
    });
  };
  if (internal::scheduler != nullptr) {
    scheduled_ = internal::scheduler->Start(std::move(guarded));
    return;
  }
  try {
    thread_ = std::thread(std::move(guarded));
  } catch (const std::system_error& e) {
    throw std::system_error(e.code(), "cannot start a thread");
  }
}

Thread& Thread::operator=(Thread&& other) noexcept {
  HAVEN_ASSERT(!joinable());
  swap(other);
  return *this;
}

Thread::~Thread() { HAVEN_ASSERT(!joinable()); }

void Thread::join() {
  if (scheduled_ != nullptr) {
    scheduled_->Join();
    scheduled_.reset();
  } else {
    thread_.join();
  }
}

void Thread::swap(Thread& other) noexcept {
  thread_.swap(other.thread_);
  scheduled_.swap(other.scheduled_);
}

void SleepFor(std::chrono::milliseconds duration) {
  if (internal::scheduler != nullptr) return internal::scheduler->SleepUntil(internal::scheduler->Now() + duration);
  std::this_thread::sleep_for(duration);
}

}  // namespace haven
